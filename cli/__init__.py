"""The command line: start an execution of the state machine, follow it, and say how it ended.

It knows Step Functions, and CloudFormation's outputs to find the machine. Installed, its package is `ecs_deploy_cli`.
"""

__version__ = "0.1.0"
