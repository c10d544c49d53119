"""What cdk-nag finds and we stand by, each on the construct it is about and with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Acknowledgment, App, Stack, Validations
from cdk_nag import AwsSolutionsChecks

from infra.permissions import ANY_REPOSITORY, ANY_ROLE, OF_A_CLUSTER
from infra.workflow import POLL, REGISTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_sqs as sqs
    from constructs import IConstruct

    from infra.claims import Claims
    from infra.functions import Function
    from infra.machine import Machine
    from infra.targets import Target
    from infra.workflow import Step


def enforce(app: App) -> None:
    """Make every finding an error of the synthesis."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(
    steps: Mapping[Step, Function],
    claims: Claims,
    workflow: Machine,
    dead_letters: Iterable[sqs.Queue],
    targets: Sequence[Target],
) -> None:
    """Acknowledge the findings that AWS leaves no way round."""
    account = "<AWS::Region>:<AWS::AccountId>"
    for made in steps.values():
        _wildcard(
            made.role,
            "*",
            "X-Ray, DescribeTaskDefinition and ListTaskDefinitions know no resources, tasks are limited to clusters.",
        )
    register = steps[REGISTER].role
    for role in (register, steps[POLL].role):
        _wildcard(
            role,
            f"arn:<AWS::Partition>:ecs:{account}:task-definition/*",
            "A service may run a task definition of any family. On those that are there, only own tags can be written.",
        )
    _wildcard(
        steps[POLL].role,
        "arn:<AWS::Partition>:logs:*:<AWS::AccountId>:log-group:*:log-stream:*",
        "The last lines of a container that died: its task definition names the log group. Only read.",
    )
    for cluster in {target.cluster for target in targets}:
        for name in OF_A_CLUSTER.values():
            _wildcard(
                steps[POLL].role,
                f"arn:<AWS::Partition>:ecs:{account}:{name(cluster)}",
                "Each deployment makes an id of its own. Only read.",
            )
    _wildcard(
        register,
        f"arn:<AWS::Partition>:iam::<AWS::AccountId>:{ANY_ROLE}",
        "A target names no roles: a revision carries those of the one before. They can be passed to ECS tasks only.",
    )
    _wildcard(
        register,
        f"arn:<AWS::Partition>:ecr:{account}:{ANY_REPOSITORY}",
        "A target without a repository is deployed by hand, and its image may come from any. Only read.",
    )
    _wildcard(
        workflow.role.node.find_child("DefaultPolicy"),
        "*",
        "Log delivery and X-Ray know no resources.",
    )
    named = Stack.of(claims).resolve(claims.machine.state_machine_name)["Fn::GetAtt"][0]
    _wildcard(
        register,
        f"arn:<AWS::Partition>:states:{account}:execution:<{named}.Name>:*",
        "Each claim is an execution of its own. Only read, to see who has it.",
    )
    for rule in ("SF1", "SF2"):
        Validations.of(claims.machine).acknowledge(
            Acknowledgment(id=f"AwsSolutions::AwsSolutions-{rule}", reason="Its executions do nothing.")
        )
    for queue in dead_letters:
        Validations.of(queue).acknowledge(
            Acknowledgment(id="AwsSolutions::AwsSolutions-SQS3", reason="It is the dead-letter queue, of the rules.")
        )


def acknowledge_reader(role: iam.Role) -> None:
    """Acknowledge the findings of a function beside the workflow."""
    _wildcard(role, "*", "X-Ray, DescribeTaskDefinition and ListTaskDefinitions know no resources. Only read.")


def _wildcard(construct: IConstruct, resource: str, reason: str) -> None:
    Validations.of(construct).acknowledge(
        Acknowledgment(id=f"AwsSolutions::AwsSolutions-IAM5[Resource::{resource}]", reason=reason)
    )
