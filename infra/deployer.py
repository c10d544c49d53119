"""The construct: the functions, the workflow that calls them, what starts it and what watches it. It only composes.

Any CDK app can place it into a stack of its own, one in a stack: names of alarms and logs begin with the stack's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra import asset, checks, permissions
from infra.alarms import Alarms
from infra.context import LogLevel
from infra.dashboard import Dashboard
from infra.dispatch import Dispatch, Registries, Sources
from infra.functions import Function, Package
from infra.machine import Machine
from infra.notifications import Notifications
from infra.parameters import Parameters, with_parameters
from infra.table import Table
from infra.waits import Waits
from infra.workflow import REGISTER, STEPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.context import Discovery, Notify
    from infra.targets import Target


class EcsDeploy(Construct):
    """One state machine that deploys the targets; account and region are those of the stack.

    Without `notify` there is no topic, and the alarms are seen in CloudWatch only. With `discovery`, services opt in by
    tags; `registries` are others whose pushes count. `code` is the asset, if it is somewhere already. `machine` is what
    others start;
    `outputs` are names and ARNs that people want to know, by the name of each.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - as all constructs call it
        *,
        targets: Sequence[Target],
        log_level: LogLevel = LogLevel.INFO,
        notify: Notify | None = None,
        discovery: Discovery | None = None,
        registries: Registries | None = None,
        code: lambda_.Code | None = None,
    ) -> None:
        super().__init__(scope, id)
        package = Package(code or lambda_.Code.from_asset(str(asset.build(targets))), log_level)
        table = Table(self)
        environment = {**table.environment, **({"DISCOVERY": "true"} if discovery else {})}
        steps = {
            step: Function(
                self,
                step.state,
                module=step.module,
                doing=step.doing,
                package=package,
                environment=environment,
                allowed=permissions.of_step(step, targets, discovery, table.table_arn),
            )
            for step in STEPS
        }
        workflow = Machine(self, {step: made.function for step, made in steps.items()}, table, targets, discovery)
        groups = self._groups(steps[REGISTER], workflow) if any(each.together for each in targets) else None
        waits = Waits(self, table, package, environment, discovery)
        sources = Sources(targets, discovery, registries)
        dispatch = Dispatch(self, workflow.machine, table, sources, package, environment)
        written = with_parameters(targets)
        parameters = Parameters(self, workflow.machine, written, package) if written else None
        notifications = None if notify is None else Notifications(self, workflow.machine, notify)

        functions = {step.state: made.function for step, made in steps.items()}
        functions["Dispatcher"] = dispatch.dispatcher.function
        functions["Waits"] = waits.ender.function
        dead_letters = {"DeadLetters": dispatch.dead_letters}
        if notifications:
            dead_letters["NotificationsDeadLetters"] = notifications.dead_letters
        alarms = Alarms(self, workflow, functions, dead_letters, notifications.topics if notifications else [])
        if parameters:
            what = "What a service runs was not written to its parameter"
            alarms.watch("ParameterFailed", parameters.writer.function, what)
        dashboard = Dashboard(self, workflow, functions, dead_letters, alarms.alarms)

        self.machine = workflow.machine
        self.outputs = {
            "StateMachineArn": workflow.machine.state_machine_arn,
            **{f"{name}Function": function.function_name for name, function in functions.items()},
            **({"ParameterFunction": parameters.writer.function.function_name} if parameters else {}),
            "TableName": table.table_name,
            "QueueUrl": dispatch.queue.queue_url,
            "DeadLetterQueueUrl": dispatch.dead_letters.queue_url,
            "DashboardName": dashboard.dashboard.dashboard_name,
        }
        if notifications:
            self.outputs["NotificationsTopicArn"] = notifications.topic.topic_arn
            self.outputs["NotificationsDeadLetterQueueUrl"] = notifications.dead_letters.queue_url
            if notifications.chat:
                self.outputs["ChatTopicArn"] = notifications.chat.topic_arn
        checks.acknowledge(steps, dispatch, waits, parameters, workflow, dead_letters.values(), sources, groups)

    def _groups(self, register: Function, workflow: Machine) -> iam.Policy:
        """Let the first step start the executions of a group's members.

        In a policy of its own: the machine needs the function, and the function its role.
        """
        executions = workflow.executions
        statements = permissions.of_groups(workflow.machine.state_machine_arn, executions)
        return iam.Policy(self, "Groups", statements=statements, roles=[register.role])
