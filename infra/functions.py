"""A function with a role and a log group of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.context import LogLevel
from infra.workflow import FUNCTION_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.permissions import Documents

LOG_RETENTION = logs.RetentionDays.THREE_MONTHS


@dataclass(frozen=True)
class Package:
    """What all functions share: the asset, and the level they log at."""

    asset: lambda_.Code
    log_level: LogLevel


class Function(Construct):
    """A function that may do what the documents of `allowed` say, of which the first is its role's own policy."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        module: str,
        doing: str,
        package: Package,
        environment: Mapping[str, str],
        allowed: Documents,
    ) -> None:
        super().__init__(scope, name)
        log_group = logs.LogGroup(self, "Logs", retention=LOG_RETENTION, removal_policy=RemovalPolicy.DESTROY)
        self.role = self._role(doing, log_group, allowed)
        self.function = lambda_.Function(
            self,
            "Function",
            description=f"ecs-deploy: {doing}",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=package.asset,
            handler=f"ecs_deploy.handlers.{module}.handler",
            # The role is complete; CDK would add a policy of its own for tracing.
            role=self.role.without_policy_updates(),
            # With this much comes one whole CPU, which is what a start waits for (docs/start-up.md):
            # https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
            memory_size=1769,
            timeout=Duration.seconds(FUNCTION_TIMEOUT),
            tracing=lambda_.Tracing.ACTIVE,
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            # Above INFO, Lambda drops lines without a level, as metrics are; Powertools drops what is below its own:
            # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
            application_log_level_v2=lambda_.ApplicationLogLevel.DEBUG
            if package.log_level is LogLevel.DEBUG
            else lambda_.ApplicationLogLevel.INFO,
            environment={"POWERTOOLS_LOG_LEVEL": package.log_level, **environment},
        )

    def _role(self, doing: str, log_group: logs.LogGroup, allowed: Documents) -> iam.Role:
        first, *others = allowed
        observe = [
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[log_group.log_group_arn]
            ),
            iam.PolicyStatement(actions=["xray:PutTraceSegments", "xray:PutTelemetryRecords"], resources=["*"]),
        ]
        return iam.Role(
            self,
            "Role",
            description=f"ecs-deploy: {doing}",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            inline_policies={"Step": iam.PolicyDocument(statements=[*first, *observe], minimize=False)},
            managed_policies=[
                iam.ManagedPolicy(self, f"MoreTargets{number}", statements=document)
                for number, document in enumerate(others, start=1)
            ],
        )
