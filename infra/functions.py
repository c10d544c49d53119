"""The functions behind the workflow's steps: each with a role and a log group of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra import permissions
from infra.claims import ENVIRONMENT_NAME as CLAIMS
from infra.context import LogLevel
from infra.workflow import FUNCTION_TIMEOUT, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.claims import Claims
    from infra.targets import Target

LOG_RETENTION = logs.RetentionDays.THREE_MONTHS

# Lambda drops what is below its own level before Powertools is asked.
_LAMBDA_LEVELS = {
    LogLevel.DEBUG: lambda_.ApplicationLogLevel.DEBUG,
    LogLevel.INFO: lambda_.ApplicationLogLevel.INFO,
    LogLevel.WARNING: lambda_.ApplicationLogLevel.WARN,
    LogLevel.ERROR: lambda_.ApplicationLogLevel.ERROR,
}


class StepFunction(Construct):
    """The function of one step."""

    def __init__(
        self,
        scope: Construct,
        step: Step,
        *,
        code: lambda_.Code,
        targets: Sequence[Target],
        log_level: LogLevel,
        claims: Claims | None = None,
    ) -> None:
        super().__init__(scope, step.state)
        log_group = logs.LogGroup(self, "Logs", retention=LOG_RETENTION, removal_policy=RemovalPolicy.DESTROY)
        self.role = _role(self, step, targets, log_group, claims.statements if claims else [])
        self.function = lambda_.Function(
            self,
            "Function",
            description=f"ecs-deploy: {step.doing}",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=code,
            handler=step.handler,
            # The role below is complete; CDK would add a policy of its own for tracing.
            role=self.role.without_policy_updates(),
            # Memory buys a share of a CPU, and a cold start is spent on importing the SDK:
            # https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
            memory_size=512,
            timeout=Duration.seconds(FUNCTION_TIMEOUT),
            tracing=lambda_.Tracing.ACTIVE,
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            application_log_level_v2=_LAMBDA_LEVELS[log_level],
            environment={
                "POWERTOOLS_LOG_LEVEL": log_level,
                **({CLAIMS: claims.machine.state_machine_arn} if claims else {}),
            },
        )


def _role(
    scope: Construct,
    step: Step,
    targets: Sequence[Target],
    log_group: logs.LogGroup,
    claiming: Sequence[iam.PolicyStatement],
) -> iam.Role:
    first, *others = permissions.documents(permissions.named(step, targets))
    observe = [
        iam.PolicyStatement(actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[log_group.log_group_arn]),
        iam.PolicyStatement(actions=["xray:PutTraceSegments", "xray:PutTelemetryRecords"], resources=["*"]),
    ]
    return iam.Role(
        scope,
        "Role",
        description=f"ecs-deploy: {step.doing}",
        assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        inline_policies={
            "Step": iam.PolicyDocument(
                statements=[*permissions.fixed(step), *claiming, *first, *observe], minimize=False
            )
        },
        managed_policies=[
            iam.ManagedPolicy(scope, f"MoreTargets{number}", statements=statements)
            for number, statements in enumerate(others, start=1)
        ],
    )
