"""The events of ECS that end the waits of executions: one rule, and a function that finds who waits.

What an event says is read from ECS in any case, by the execution that is woken. So a lost one costs time only, and none
is kept: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_cwe_events.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Aws, Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra import permissions
from infra.functions import Function

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.context import Discovery
    from infra.functions import Package
    from infra.table import Table

USEFUL = Duration.minutes(5)
"""An event that could not be delivered for so long comes after the polls."""


class Waits(Construct):
    """The rule, and the function that it invokes."""

    def __init__(
        self,
        scope: Construct,
        table: Table,
        package: Package,
        environment: Mapping[str, str],
        discovery: Discovery | None,
    ) -> None:
        super().__init__(scope, "Waits")
        self.ender = Function(
            self,
            "End",
            module="end_waits",
            doing="ending the waits of executions by what ECS tells",
            package=package,
            environment=environment,
            allowed=permissions.of_waits(table.table_arn, discovery),
        )
        retry = events.CfnRule.RetryPolicyProperty(
            maximum_event_age_in_seconds=USEFUL.to_seconds(), maximum_retry_attempts=185
        )
        rule = events.CfnRule(
            self,
            "Rule",
            description="ecs-deploy: a deployment, a failed task or a hook of a service",
            event_pattern=PATTERN,
            targets=[events.CfnRule.TargetProperty(id="End", arn=self.ender.function.function_arn, retry_policy=retry)],
        )
        lambda_.CfnPermission(
            self,
            "Permission",
            action="lambda:InvokeFunction",
            function_name=self.ender.function.function_name,
            principal="events.amazonaws.com",
            source_arn=rule.attr_arn,
        )
        lambda_.EventInvokeConfig(self, "Retries", function=self.ender.function, max_event_age=USEFUL)


PATTERN: dict[str, Any] = {
    "source": ["aws.ecs"],
    "detail-type": ["ECS Deployment State Change", "ECS Task State Change", "ECS Hook State Change"],
    "account": [Aws.ACCOUNT_ID],
    "region": [Aws.REGION],
    "detail": {
        "group": [{"exists": False}, {"prefix": "service:"}, {"prefix": "ecs-deploy:"}],
        "lastStatus": [{"exists": False}, "STOPPED"],
        "stoppedReason": [{"exists": False}, {"anything-but": {"prefix": "Scaling activity initiated by"}}],
    },
}
"""Match what is told of deployments and hooks, and tasks that have stopped: of gates, and of services but for those
scaled in.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
"""
