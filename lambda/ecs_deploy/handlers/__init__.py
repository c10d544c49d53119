"""The entry points: each reads, decides once, and acts."""
