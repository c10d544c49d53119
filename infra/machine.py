"""The state machine that runs the workflow: its role, its log, its trace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aws_cdk import Aws, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra import permissions
from infra.functions import LOG_RETENTION
from infra.workflow import PARTITION, SOURCE, TABLE, definition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import aws_lambda as lambda_

    from infra.context import Discovery
    from infra.table import Table
    from infra.targets import Target
    from infra.workflow import Step


class Machine(Construct):
    """The state machine, Standard: an execution may last a day and is exactly-once."""

    def __init__(
        self,
        scope: Construct,
        functions: Mapping[Step, lambda_.Function],
        table: Table,
        targets: Sequence[Target],
        discovery: Discovery | None,
    ) -> None:
        super().__init__(scope, "Workflow")
        describe, *more = permissions.of_workflow(targets, discovery)
        self.log_group = logs.LogGroup(
            self,
            "Logs",
            # With this prefix the account's resource policy for log delivery cannot outgrow its limit:
            # https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html
            log_group_name=f"/aws/vendedlogs/states/{Stack.of(self).stack_name}",
            retention=LOG_RETENTION,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.role = iam.Role(
            self,
            "Role",
            description="ecs-deploy: the workflow",
            assumed_by=iam.ServicePrincipal("states.amazonaws.com"),
            inline_policies={
                "InvokeSteps": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            actions=["lambda:InvokeFunction"],
                            resources=[function.function_arn for function in functions.values()],
                        )
                    ]
                ),
                "Notify": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            actions=["events:PutEvents"],
                            resources=[f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{Aws.ACCOUNT_ID}:event-bus/default"],
                            # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-bus-perms.html
                            conditions={"StringEquals": {"events:source": SOURCE}},
                        )
                    ]
                ),
                "Wait": iam.PolicyDocument(
                    statements=[iam.PolicyStatement(actions=["dynamodb:UpdateItem"], resources=[table.table_arn])]
                ),
                "Diagnose": iam.PolicyDocument(statements=describe),
            },
            managed_policies=[
                iam.ManagedPolicy(self, f"MoreTargets{number}", statements=document)
                for number, document in enumerate(more, start=1)
            ],
        )
        self.machine = sfn.StateMachine(
            self,
            "Machine",
            definition_body=sfn.DefinitionBody.from_string(json.dumps(definition())),
            definition_substitutions={
                PARTITION: Aws.PARTITION,
                TABLE: table.table_name,
                **{step.placeholder: function.function_arn for step, function in functions.items()},
            },
            role=self.role,
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=self.log_group, level=sfn.LogLevel.ALL, include_execution_data=True),
        )

    @property
    def executions(self) -> str:
        """The ARNs of all its executions."""
        place = f"arn:{Aws.PARTITION}:states:{Aws.REGION}:{Aws.ACCOUNT_ID}"
        return f"{place}:execution:{self.machine.state_machine_name}:*"
