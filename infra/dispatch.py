"""The dispatch: one rule takes all pushes, a queue keeps them, and one function starts the workflow.

The function reads the targets, so no rule names a repository. What else it does, it does with what the other messages
say: an execution that has ended, and the schedule by which the targets are reconciled.

A function that a rule invokes is tried three times within minutes, and then the event is lost; the queue tries it for
two hours, and keeps it then: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html

The rule asks for `image-tag`, because a push of a multi-architecture image makes one more event for each child, without
a tag: https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aws_cdk import Aws, Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import permissions, queues
from infra.functions import Function
from infra.workflow import FUNCTION_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_stepfunctions as sfn

    from infra.functions import Package
    from infra.table import Table
    from infra.targets import Target


SERVICES_OF_A_SCHEDULE = 20
"""As many as one invocation reconciles in its time."""


class Dispatch(Construct):
    """The rules and the schedules, the queue with its dead letters, and the dispatcher."""

    def __init__(
        self, scope: Construct, machine: sfn.StateMachine, table: Table, targets: Sequence[Target], package: Package
    ) -> None:
        super().__init__(scope, "Dispatch")
        self.dead_letters = queues.dead_letters(self)
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
            visibility_timeout=Duration.seconds(6 * FUNCTION_TIMEOUT),
            retention_period=Duration.days(4),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=20),
        )
        executions = f"arn:{Aws.PARTITION}:states:{Aws.REGION}:{Aws.ACCOUNT_ID}:execution:{machine.state_machine_name}"
        own = [
            _allow(machine.state_machine_arn, "states:StartExecution"),
            _allow(f"{executions}:*", "states:DescribeExecution"),
            _allow(self.queue.queue_arn, "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
            _allow(self.dead_letters.queue_arn, "sqs:SendMessage"),
        ]
        self.dispatcher = Function(
            scope,
            "Dispatcher",
            module="dispatcher",
            doing="starting the workflow for what was pushed",
            package=package,
            environment={
                **table.environment,
                "MACHINE": machine.state_machine_arn,
                "DEAD_LETTERS": self.dead_letters.queue_url,
            },
            allowed=permissions.of_dispatcher(targets, own, table.table_arn),
        )
        lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=self.dispatcher.function,
            event_source_arn=self.queue.queue_arn,
            batch_size=10,
            report_batch_item_failures=True,
            max_concurrency=10,
        )
        rules = [
            self._rule("Push", "an image was pushed or replicated", PUSH),
            self._rule("Ended", "an execution has ended", ended_pattern(machine.state_machine_arn)),
        ]
        for queue in (self.queue, self.dead_letters):
            queues.accept(queue, "events", [rule.attr_arn for rule in rules])
        if reconciled := groups(targets):
            self._schedules(reconciled)

    def _rule(self, name: str, what: str, pattern: dict[str, Any]) -> events.CfnRule:
        target = events.CfnRule.TargetProperty(
            id="Queue", arn=self.queue.queue_arn, **queues.otherwise(self.dead_letters)
        )
        return events.CfnRule(self, name, description=f"ecs-deploy: {what}", event_pattern=pattern, targets=[target])

    def _schedules(self, reconciled: Sequence[tuple[int, Sequence[str]]]) -> None:
        """A schedule for each group. Nothing is lost when a message is: the next one does the same."""
        group = scheduler.CfnScheduleGroup(self, "Group")
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
        ours = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID, "aws:SourceArn": group.attr_arn}}
        send = iam.PolicyDocument(statements=[_allow(self.queue.queue_arn, "sqs:SendMessage")])
        role = iam.Role(
            self,
            "Role",
            description="ecs-deploy: a schedule has the targets reconciled",
            assumed_by=iam.ServicePrincipal("scheduler.amazonaws.com", conditions=ours),
            inline_policies={"Send": send},
        )
        for number, (minutes, services) in enumerate(reconciled, start=1):
            scheduler.CfnSchedule(
                self,
                f"Reconcile{number}",
                description="ecs-deploy: have the targets reconciled",
                group_name=group.ref,
                schedule_expression=f"rate({minutes} minutes)",
                flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
                target=scheduler.CfnSchedule.TargetProperty(
                    arn=self.queue.queue_arn, role_arn=role.role_arn, input=json.dumps({"reconcile": services})
                ),
            )


def groups(targets: Sequence[Target]) -> list[tuple[int, list[str]]]:
    """The services that are reconciled together, after their rate in minutes: of several targets, the highest."""
    rates: dict[str, int] = {}
    for target in targets:
        if target.reconcile:
            key = f"{target.cluster}/{target.service}"
            rates[key] = min(target.reconcile, rates.get(key, target.reconcile))
    found = []
    for minutes in sorted(set(rates.values())):
        services = [key for key, rate in rates.items() if rate == minutes]
        found += [
            (minutes, services[start : start + SERVICES_OF_A_SCHEDULE])
            for start in range(0, len(services), SERVICES_OF_A_SCHEDULE)
        ]
    return found


PUSH: dict[str, Any] = {
    "source": ["aws.ecr"],
    "detail-type": ["ECR Image Action", "ECR Replication Action"],
    "account": [Aws.ACCOUNT_ID],
    "region": [Aws.REGION],
    "detail": {
        "action-type": ["PUSH", "REPLICATE"],
        "result": ["SUCCESS"],
        # A field that is missing matches nothing, and an empty tag is none.
        "image-tag": [{"anything-but": [""]}],
    },
}
"""Match every finished push or replication of a tagged image, to this account and region."""


def ended_pattern(machine: str) -> dict[str, Any]:
    """Match the end of an execution of this state machine."""
    return {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [machine], "status": ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]},
    }


def _allow(resource: str, *actions: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=[resource])
