"""One suite of scenarios for the emulator and for an AWS account: what the models believe is held against AWS."""

NAME = "ecs-deploy-acceptance"
"""Of the stack, the cluster, and the beginning of all other names."""

SCENARIOS = ("push", "broken", "crash-loop", "revert", "by-hand", "hook", "permissions")
"""The scenarios, each of which has a service and a repository of its own."""

DEPLOYMENT, HOOK, TASK = "ECS Deployment State Change", "ECS Hook State Change", "ECS Task State Change"
"""The events of ECS that the suite reads.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_cwe_events.html
"""
