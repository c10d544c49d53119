"""The claims: a state machine whose executions do nothing, but each name is given to one of them only.

The first step claims the event of a push with it, so that of two executions that EventBridge has started for the same
event one goes on: https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
"""

from __future__ import annotations

import json

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

ENVIRONMENT_NAME = "CLAIMS"
"""Where a function finds the ARN of the state machine."""

DEFINITION = {
    "Comment": "Claims the event of a push for one execution of the deployer, which its input names.",
    "QueryLanguage": "JSONata",
    "StartAt": "Claimed",
    "States": {"Claimed": {"Type": "Succeed"}},
}


class Claims(Construct):
    """The state machine, Standard: an Express one would give a name twice. Its role may do nothing."""

    def __init__(self, scope: Construct) -> None:
        super().__init__(scope, "Claims")
        self.machine = sfn.StateMachine(
            self,
            "Machine",
            definition_body=sfn.DefinitionBody.from_string(json.dumps(DEFINITION)),
            role=iam.Role(
                self,
                "Role",
                description="ecs-deploy: claims",
                assumed_by=iam.ServicePrincipal("states.amazonaws.com"),
            ).without_policy_updates(),
        )

    @property
    def statements(self) -> list[iam.PolicyStatement]:
        """What a function has to be allowed that claims."""
        executions = (
            f"arn:{Aws.PARTITION}:states:{Aws.REGION}:{Aws.ACCOUNT_ID}:execution:{self.machine.state_machine_name}:*"
        )
        return [
            iam.PolicyStatement(actions=["states:StartExecution"], resources=[self.machine.state_machine_arn]),
            iam.PolicyStatement(actions=["states:DescribeExecution"], resources=[executions]),
        ]
