"""The stack: the functions, the workflow that calls them, the triggers that start it. It only composes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_lambda as lambda_

from infra import asset, checks
from infra.claims import Claims
from infra.functions import StepFunction
from infra.machine import Machine
from infra.triggers import Triggers
from infra.workflow import REGISTER, STEPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Construct

    from infra.context import LogLevel
    from infra.targets import Target


class EcsDeploy(Stack):
    """One state machine that deploys the targets; account and region are those of whoever deploys it."""

    def __init__(self, scope: Construct, *, targets: Sequence[Target], log_level: LogLevel) -> None:
        super().__init__(
            scope, "EcsDeploy", description="ecs-deploy: push an image to ECR, and the ECS services that use it run it"
        )
        code = lambda_.Code.from_asset(str(asset.build()))
        claims = Claims(self)
        steps = {
            step: StepFunction(
                self,
                step,
                code=code,
                targets=targets,
                log_level=log_level,
                claims=claims if step is REGISTER else None,
            )
            for step in STEPS
        }
        workflow = Machine(self, {step: made.function for step, made in steps.items()})
        triggers = Triggers(self, workflow.machine, targets)

        self.machine = workflow.machine
        CfnOutput(self, "StateMachineArn", value=workflow.machine.state_machine_arn)
        for step, made in steps.items():
            CfnOutput(self, step.placeholder, value=made.function.function_name)
        CfnOutput(self, "DeadLetterQueueUrl", value=triggers.dead_letters.queue_url)
        checks.acknowledge(steps, claims, workflow, triggers, targets)
