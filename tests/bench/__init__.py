"""`make bench`: this deployer beside others, measured in one run; docs/benchmarks.md is what it writes."""
