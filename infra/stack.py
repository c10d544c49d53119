"""The stack: the functions, the workflow that calls them, what starts it and what watches it. It only composes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_lambda as lambda_

from infra import asset, checks
from infra.alarms import Alarms
from infra.claims import Claims
from infra.dashboard import Dashboard
from infra.functions import Package, step_function
from infra.machine import Machine
from infra.notices import Notices
from infra.parameters import Parameters, with_parameters
from infra.sweep import Sweep, groups
from infra.triggers import Triggers
from infra.workflow import REGISTER, STEPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Construct

    from infra.context import LogLevel, Notify
    from infra.targets import Target


class EcsDeploy(Stack):
    """One state machine that deploys the targets; account and region are those of whoever deploys it.

    Without `notify` nobody is told: there is no topic, and the alarms are seen in CloudWatch only.
    """

    def __init__(
        self, scope: Construct, *, targets: Sequence[Target], log_level: LogLevel, notify: Notify | None
    ) -> None:
        super().__init__(
            scope, "EcsDeploy", description="ecs-deploy: push an image to ECR, and the ECS services that use it run it"
        )
        package = Package(lambda_.Code.from_asset(str(asset.build())), log_level)
        claims = Claims(self)
        steps = {
            step: step_function(
                self,
                step,
                package=package,
                targets=targets,
                claims=claims if step is REGISTER else None,
            )
            for step in STEPS
        }
        functions = {step: made.function for step, made in steps.items()}
        workflow = Machine(self, functions, targets)
        triggers = Triggers(self, workflow.machine, targets)
        swept = groups(targets)
        sweep = Sweep(self, workflow.machine, swept, package) if swept else None
        written = with_parameters(targets)
        parameters = Parameters(self, workflow.machine, written, package) if written else None
        notices = None if notify is None else Notices(self, workflow.machine, notify)
        dead_letters = {"Triggers": triggers.dead_letters, **({"Notices": notices.dead_letters} if notices else {})}
        alarms = Alarms(self, workflow, functions, dead_letters, notices.topics if notices else [])
        if sweep:
            alarms.watch("SweepFailed", sweep.function, "Missed pushes were not looked for")
        if parameters:
            alarms.watch("ParameterFailed", parameters.function, "What a service runs was not written to its parameter")
        dashboard = Dashboard(self, workflow, functions, dead_letters, alarms.alarms)

        self.machine = workflow.machine
        CfnOutput(self, "StateMachineArn", value=workflow.machine.state_machine_arn)
        for step, made in steps.items():
            CfnOutput(self, step.placeholder, value=made.function.function_name)
        if sweep:
            CfnOutput(self, "SweepFunction", value=sweep.function.function_name)
        if parameters:
            CfnOutput(self, "ParameterFunction", value=parameters.function.function_name)
        CfnOutput(self, "DeadLetterQueueUrl", value=triggers.dead_letters.queue_url)
        CfnOutput(self, "DashboardName", value=dashboard.dashboard.dashboard_name)
        if notices:
            CfnOutput(self, "NoticesTopicArn", value=notices.topic.topic_arn)
            CfnOutput(self, "NoticesDeadLetterQueueUrl", value=notices.dead_letters.queue_url)
            if notices.chat:
                CfnOutput(self, "ChatTopicArn", value=notices.chat.topic_arn)
        checks.acknowledge(steps, claims, workflow, dead_letters.values(), targets)
        for reader in (sweep, parameters):
            if reader:
                checks.acknowledge_reader(reader.role)
