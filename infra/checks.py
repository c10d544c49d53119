"""What cdk-nag finds and we stand by, each on the construct it is about and with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Acknowledgment, App, Stack, Token, Validations
from cdk_nag import AwsSolutionsChecks

from infra.permissions import (
    ANY_CALENDAR,
    ANY_REPOSITORY,
    ANY_REVISION,
    ANY_ROLE,
    ANY_SERVICE,
    DEPLOYMENTS,
    REVISIONS,
)
from infra.workflow import POLL, REGISTER, UPDATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aws_cdk import aws_sqs as sqs
    from constructs import IConstruct

    from infra.context import Discovery
    from infra.dispatch import Dispatch, Sources
    from infra.functions import Function
    from infra.machine import Machine
    from infra.parameters import Parameters
    from infra.waits import Waits
    from infra.workflow import Step


def enforce(app: App) -> None:
    """Make every finding an error of the synthesis."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(
    steps: Mapping[Step, Function],
    dispatch: Dispatch,
    waits: Waits,
    parameters: Parameters | None,
    workflow: Machine,
    dead_letters: Iterable[sqs.Queue],
    sources: Sources,
    groups: IConstruct | None,
) -> None:
    """Acknowledge the findings that AWS leaves no way round."""
    ours, ecs = "<AWS::Region>:<AWS::AccountId>", "arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>"
    register, update, poll = (steps[step] for step in (REGISTER, UPDATE, POLL))
    beside = (dispatch.dispatcher, waits.ender, *([parameters.writer] if parameters else []))
    for made in (register, update, poll, *beside):
        reason = (
            "X-Ray, task definitions and tokens of waits know no resources; tasks are limited to clusters; composite "
            "alarms are shown to whoever may see all."
        )
        _wildcard(made, "*", reason)
    _wildcard(register, f"{ecs}:{ANY_REVISION}", "A service may run any family. Only what is registered is tagged.")
    for made in (register, update, poll):
        _wildcard(
            made,
            f"arn:<AWS::Partition>:iam::<AWS::AccountId>:{ANY_ROLE}",
            "A target names no roles: a revision carries those of the one before. They are passed to ECS tasks only.",
        )
    _wildcard(
        register,
        f"arn:<AWS::Partition>:ecr:{ours}:{ANY_REPOSITORY}",
        "A target without a repository is deployed by hand, and its image may come from any. Only read.",
    )
    for made in (register, poll):
        _wildcard(
            made,
            "arn:<AWS::Partition>:logs:*:<AWS::AccountId>:log-group:*:log-stream:*",
            "The last lines of a container that died: its task definition names the log group. Only read.",
        )
    for cluster in {target.cluster for target in sources.targets} | ({"*"} if sources.discovery else set()):
        for made, name in ((register, DEPLOYMENTS), (poll, DEPLOYMENTS), (poll, REVISIONS)):
            reason = "Each deployment makes an id of its own. The service, which is named, has to be allowed too."
            _wildcard(made, f"{ecs}:{name.format(cluster)}", reason)
    if sources.discovery:
        _acknowledge_discovery((*steps.values(), dispatch.dispatcher), workflow, sources.discovery)
    named = Stack.of(workflow).resolve(workflow.machine.state_machine_name)["Fn::GetAtt"][0]
    for starts in (dispatch.dispatcher, *([groups] if groups else [])):
        _wildcard(
            starts,
            f"arn:<AWS::Partition>:states:{ours}:execution:<{named}.Name>:*",
            "Each execution has a name of its own. Only read, to see whether it runs.",
        )
    _wildcard(workflow.role.node.find_child("DefaultPolicy"), "*", "Log delivery and X-Ray know no resources.")
    for queue in dead_letters:
        Validations.of(queue).acknowledge(
            Acknowledgment(id="AwsSolutions::AwsSolutions-SQS3", reason="It is the dead-letter queue.")
        )


def _acknowledge_discovery(functions: Iterable[Function], workflow: Machine, discovery: Discovery) -> None:
    """Acknowledge what nobody can name while services opt in by tags."""
    ours = "<AWS::Region>:<AWS::AccountId>"
    tagged = "Services opt in by a tag, which the condition asks for. To describe one without it changes nothing."
    for made in (*functions, workflow.role):
        _wildcard(made, f"arn:<AWS::Partition>:ecs:{ours}:{ANY_SERVICE}", tagged)
        for service, name in (("ecr", ANY_REPOSITORY), ("ssm", ANY_CALENDAR)):
            _wildcard(
                made, f"arn:<AWS::Partition>:{service}:{ours}:{name}", "The tags of a service name it. Only read."
            )
        for role in discovery.roles if not Token.is_unresolved([*discovery.roles]) else ():
            reason = "The roles that may be passed to the tasks of services that opt in."
            _wildcard(made, f"arn:<AWS::Partition>:iam::<AWS::AccountId>:role/{role}", reason)


def _wildcard(construct: IConstruct, resource: str, reason: str) -> None:
    Validations.of(construct).acknowledge(
        Acknowledgment(id=f"AwsSolutions::AwsSolutions-IAM5[Resource::{resource}]", reason=reason)
    )
