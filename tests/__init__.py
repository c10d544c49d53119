"""The tests, in tiers that can be run alone."""
