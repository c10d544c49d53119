"""The calls to AWS, a module for each service."""
