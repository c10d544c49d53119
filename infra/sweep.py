"""The sweep: at the rate of each target, look for pushes whose events did not arrive.

A schedule has the requests of its targets as its input, so the function needs no list of its own. Nothing is lost when
an invocation is: the next one looks again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aws_cdk import Aws, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from infra import permissions
from infra.functions import Function
from infra.targets import MOST_OFTEN_SWEPT
from infra.triggers import request_without_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_stepfunctions as sfn

    from infra.functions import Package
    from infra.targets import Target

TARGETS_OF_A_SCHEDULE = 20
GRACE = 900
"""Seconds an event may take, and its execution until it has registered a revision, before the push counts as missed."""

ENVIRONMENT_NAME = "MACHINE"
"""Where the function finds the ARN of the state machine."""


class Sweep(Construct):
    """The function, and the schedules that invoke it."""

    def __init__(
        self,
        scope: Construct,
        machine: sfn.StateMachine,
        groups: Sequence[Sequence[Target]],
        package: Package,
    ) -> None:
        super().__init__(scope, "Sweep")
        targets = [target for group in groups for target in group]
        made = Function(
            self,
            "Look",
            module="sweep",
            doing="looking for pushes whose events did not arrive",
            package=package,
            timeout=Duration.minutes(MOST_OFTEN_SWEPT),
            environment={ENVIRONMENT_NAME: machine.state_machine_arn},
            allowed=permissions.of_a_sweep(machine.state_machine_arn, targets),
        )
        self.function, self.role = made.function, made.role
        self._group = scheduler.CfnScheduleGroup(self, "Group")
        self._invoker = iam.Role(
            self,
            "Role",
            description="ecs-deploy: a schedule invokes the sweep",
            # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID, "aws:SourceArn": self._group.attr_arn}
                },
            ),
            inline_policies={
                "InvokeSweep": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[self.function.function_arn])
                    ]
                )
            },
        )
        for number, group in enumerate(groups, start=1):
            self._schedule(f"Every{number}", group, minutes=group[0].sweep or 0)

    def _schedule(self, name: str, group: Sequence[Target], minutes: int) -> None:
        event = {
            "grace": GRACE,
            "targets": [{"request": request_without_tag(target), "tags": target.tags} for target in group],
        }
        scheduler.CfnSchedule(
            self,
            name,
            description="ecs-deploy: look for pushes whose events did not arrive",
            group_name=self._group.ref,
            schedule_expression=f"rate({minutes} minute{'' if minutes == 1 else 's'})",
            # So that many schedules do not ask ECS in the same moment.
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(
                mode="FLEXIBLE", maximum_window_in_minutes=max(1, min(minutes // 12, 60))
            ),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self.function.function_arn, role_arn=self._invoker.role_arn, input=json.dumps(event)
            ),
        )


def groups(targets: Sequence[Target]) -> list[list[Target]]:
    """The targets of each schedule: those that are swept at the same rate, the same repository together."""
    alike: dict[int, list[Target]] = {}
    for target in sorted(targets, key=lambda target: (target.repository or "", target.cluster, target.service)):
        if target.sweep is not None:
            alike.setdefault(target.sweep, []).append(target)
    return [
        group[start : start + TARGETS_OF_A_SCHEDULE]
        for _, group in sorted(alike.items())
        for start in range(0, len(group), TARGETS_OF_A_SCHEDULE)
    ]
