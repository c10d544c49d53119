"""The stack with real containers: images that are pushed, pulled and run by a Docker engine."""
