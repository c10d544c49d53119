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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aws_cdk import Aws, CfnResource, Duration
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
    from collections.abc import Mapping, Sequence

    from aws_cdk import CfnCondition
    from aws_cdk import aws_stepfunctions as sfn

    from infra.context import Discovery
    from infra.functions import Package
    from infra.table import Table
    from infra.targets import Target


@dataclass(frozen=True)
class Registries:
    """The other registries whose pushes count.

    `text` is how the dispatcher reads them, `accounts` may send to the bus, if the `condition` holds, and `sources` are
    these and the stack's own account.
    """

    text: str
    accounts: list[str]
    sources: list[str]
    condition: CfnCondition | None = None

    @classmethod
    def listed(cls, registries: Sequence[str]) -> Registries | None:
        """Those of cdk.json; None where there are none."""
        accounts = list(dict.fromkeys(each.partition("/")[0] for each in registries))
        return cls(",".join(registries), accounts, [Aws.ACCOUNT_ID, *accounts]) if accounts else None


@dataclass(frozen=True)
class Sources:
    """Which pushes are deployed: by the targets, by services that opt in, and from which other registries."""

    targets: Sequence[Target]
    discovery: Discovery | None = None
    registries: Registries | None = None


SERVICES_OF_A_SCHEDULE = 20
"""As many as one invocation reconciles in its time."""


class Dispatch(Construct):
    """The rules and the schedules, the queue with its dead letters, and the dispatcher."""

    def __init__(
        self,
        scope: Construct,
        machine: sfn.StateMachine,
        table: Table,
        sources: Sources,
        package: Package,
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(scope, "Dispatch")
        targets, discovery = sources.targets, sources.discovery
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
            _allow(
                self.queue.queue_arn,
                *("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:SendMessage"),
            ),
            _allow(self.dead_letters.queue_arn, "sqs:SendMessage"),
        ]
        self.dispatcher = Function(
            scope,
            "Dispatcher",
            module="dispatcher",
            doing="starting the workflow for what was pushed",
            package=package,
            environment={
                **environment,
                **({"REGISTRIES": sources.registries.text} if sources.registries else {}),
                "MACHINE": machine.state_machine_arn,
                "DEAD_LETTERS": self.dead_letters.queue_url,
                "QUEUE": self.queue.queue_url,
            },
            allowed=permissions.of_dispatcher(targets, discovery, own, table.table_arn),
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
            self._rule("Push", "an image was pushed or replicated", push_pattern(sources.registries)),
            self._rule("Ended", "an execution has ended", ended_pattern(machine.state_machine_arn)),
        ]
        if discovery:
            rules.append(self._rule("Tagged", "the tags of a service have changed", TAGGED))
        if discovery or any(each.window for each in targets):
            rules.append(self._rule("Opened", "a change calendar has opened", OPENED))
        if discovery or any(each.alarm for each in targets):
            rules.append(self._rule("Fine", "an alarm is OK again", FINE))
        for queue in (self.queue, self.dead_letters):
            queues.accept(queue, "events", [rule.attr_arn for rule in rules])
        messages = [(minutes, {"reconcile": services}) for minutes, services in groups(targets)]
        discovered: list[tuple[int, dict[str, Any]]] = [(60, {"discover": True})] if discovery else []
        if scheduled := [*messages, *discovered]:
            self._schedules(scheduled)
        if sources.registries:
            self._open_bus(sources.registries)

    def _rule(self, name: str, what: str, pattern: dict[str, Any]) -> events.CfnRule:
        target = events.CfnRule.TargetProperty(
            id="Queue", arn=self.queue.queue_arn, **queues.otherwise(self.dead_letters)
        )
        return events.CfnRule(self, name, description=f"ecs-deploy: {what}", event_pattern=pattern, targets=[target])

    def _open_bus(self, registries: Registries) -> None:
        """Let other accounts send to the default event bus. Rules match what they send by its account.

        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-bus-perms.html
        """
        bus = f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{Aws.ACCOUNT_ID}:event-bus/default"
        statement = {
            "Sid": "Registries",
            "Effect": "Allow",
            "Principal": {"AWS": registries.accounts},
            "Action": "events:PutEvents",
            "Resource": bus,
        }
        # The class for it warns of a property that is not set.
        policy = CfnResource(
            self,
            "Registries",
            type="AWS::Events::EventBusPolicy",
            properties={"StatementId": f"{Aws.STACK_NAME}-registries", "Statement": statement},
        )
        policy.cfn_options.condition = registries.condition

    def _schedules(self, scheduled: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """A schedule for each message. Nothing is lost when a message is: the next one does the same."""
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
        for number, (minutes, message) in enumerate(scheduled, start=1):
            scheduler.CfnSchedule(
                self,
                f"Reconcile{number}",
                description="ecs-deploy: have the targets reconciled",
                group_name=group.ref,
                schedule_expression=f"rate({minutes} minutes)",
                flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
                target=scheduler.CfnSchedule.TargetProperty(
                    arn=self.queue.queue_arn, role_arn=role.role_arn, input=json.dumps(message)
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


def push_pattern(registries: Registries | None = None) -> dict[str, Any]:
    """Match every finished push or replication of a tagged image, to this account and region or to the `registries`."""
    return {
        "source": ["aws.ecr"],
        "detail-type": ["ECR Image Action", "ECR Replication Action"],
        "account": registries.sources if registries else [Aws.ACCOUNT_ID],
        # Only what is forwarded is of another region, and the dispatcher knows which count.
        **({} if registries else {"region": [Aws.REGION]}),
        "detail": {
            "action-type": ["PUSH", "REPLICATE"],
            "result": ["SUCCESS"],
            # A field that is missing matches nothing, and an empty tag is none.
            "image-tag": [{"anything-but": [""]}],
        },
    }


TAGGED: dict[str, Any] = {
    "source": ["aws.tag"],
    "detail-type": ["Tag Change on Resource"],
    "account": [Aws.ACCOUNT_ID],
    "region": [Aws.REGION],
    "detail": {
        "service": ["ecs"],
        "resource-type": ["service"],
        "changed-tag-keys": [{"prefix": "ecs-deploy:"}],
    },
}
"""Match a change of the tags by which a service opts in.

https://docs.aws.amazon.com/tag-editor/latest/userguide/monitor-tag-changes.html
"""


OPENED: dict[str, Any] = {
    "source": ["aws.ssm"],
    "detail-type": ["Calendar State Change"],
    "detail": {"state": ["OPEN"]},
}
"""Match every change calendar that opens: the names of many would not fit into a pattern.

https://docs.aws.amazon.com/systems-manager/latest/userguide/monitoring-systems-manager-event-examples.html
"""

FINE: dict[str, Any] = {
    "source": ["aws.cloudwatch"],
    "detail-type": ["CloudWatch Alarm State Change"],
    "account": [Aws.ACCOUNT_ID],
    "region": [Aws.REGION],
    "detail": {"state": {"value": ["OK"]}},
}
"""Match every alarm that is OK again.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
"""


def ended_pattern(machine: str) -> dict[str, Any]:
    """Match the end of an execution of this state machine."""
    return {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [machine], "status": ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]},
    }


def _allow(resource: str, *actions: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=[resource])
