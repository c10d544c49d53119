"""The deployer by itself: its core, and its steps over a model of ECS."""
