"""What each function may do: the listed services and repositories, and nothing broader where AWS lets us say so.

Which actions know resources and conditions:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html

A policy has a size limit (an inline policy 10,240 characters for a role, a managed one 6,144, ten of them on a role:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html), and a wildcard is no way round it. So the
names are packed into documents that fit a managed policy: the first is the role's inline policy, the others are
managed policies of this stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Aws
from aws_cdk.aws_iam import PolicyStatement

from infra.context import InvalidContext
from infra.workflow import POLL, REGISTER, UPDATE, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from infra.targets import Target

ANY_REPOSITORY = "repository/*"
ANY_ROLE = "role/*"
GREATEST_NUMBER_OF_DOCUMENTS = 11
# Their ids come with each deployment. Only reads, so the cluster is near enough; every service would triple the policy.
OF_A_CLUSTER: Mapping[str, Callable[[str], str]] = {
    "ecs:DescribeServiceDeployments": "service-deployment/{}/*".format,
    "ecs:DescribeServiceRevisions": "service-revision/{}/*".format,
}
_DOCUMENT = 5_800
_PASS_ROLE = ("iam:PassRole",)
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
_TO_TASKS = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
# An ARN up to its name, of the longest partition and a long region, with its quotes and its comma.
_ARN = 65


@dataclass(frozen=True)
class Grant:
    """Actions on named resources; a name is the last part of an ARN, such as `service/production1/doorman`."""

    actions: tuple[str, ...]
    names: tuple[str, ...]
    # Listing and describing tasks knows no service, but the cluster, by a condition:
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/security_iam_id-based-policy-examples.html
    by_cluster: bool = False

    def statement(self, arns: list[str]) -> PolicyStatement:
        """The grant for these ARNs."""
        if self.by_cluster:
            condition = {"ArnEquals": {"ecs:cluster": arns}}
            return PolicyStatement(actions=list(self.actions), resources=["*"], conditions=condition)
        conditions = _TO_TASKS if self.actions == _PASS_ROLE else None
        return PolicyStatement(actions=list(self.actions), resources=arns, conditions=conditions)

    @property
    def arn_prefix(self) -> str:
        """Where the names live: this account, the service of the actions, and this region if it knows regions."""
        service = self.actions[0].partition(":")[0]
        return f"arn:{Aws.PARTITION}:{service}:{'' if service == 'iam' else Aws.REGION}:{Aws.ACCOUNT_ID}:"


def fixed(step: Step) -> list[PolicyStatement]:
    """The statements of a step that no target changes."""
    describe = _revisions()
    revisions = f"arn:{Aws.PARTITION}:ecs:{Aws.REGION}:{Aws.ACCOUNT_ID}:task-definition/*"
    # On a revision that is there already, the deployer's own tags are all that may be written.
    mark = PolicyStatement(
        actions=["ecs:TagResource"],
        resources=[revisions],
        conditions={"ForAllValues:StringLike": {"aws:TagKeys": "ecs-deploy:*"}},
    )
    log_streams = f"arn:{Aws.PARTITION}:logs:*:{Aws.ACCOUNT_ID}:log-group:*:log-stream:*"
    statements = {
        REGISTER: [
            describe,
            mark,
            PolicyStatement(actions=["ecs:RegisterTaskDefinition"], resources=[revisions]),
            PolicyStatement(
                actions=["ecs:TagResource"],
                resources=[revisions],
                conditions={"StringEquals": {"ecs:CreateAction": "RegisterTaskDefinition"}},
            ),
        ],
        UPDATE: [describe],
        POLL: [describe, mark, PolicyStatement(actions=["logs:GetLogEvents"], resources=[log_streams])],
    }
    return statements[step]


def of_a_sweep(machine: str, targets: Sequence[Target]) -> list[list[PolicyStatement]]:
    """The documents of the sweep, which looks at the targets and starts the state machine with the ARN `machine`."""
    services = _unique(f"service/{target.cluster}/{target.service}" for target in targets)
    repositories = _unique(f"repository/{target.repository}" for target in targets)
    first, *others = documents(
        [Grant(("ecr:DescribeImages",), repositories), Grant(("ecs:DescribeServices",), services)]
    )
    start = PolicyStatement(actions=["states:StartExecution", "states:DescribeStateMachine"], resources=[machine])
    return [[_revisions(), start, *first], *others]


def of_parameters(targets: Sequence[Target]) -> list[list[PolicyStatement]]:
    """The documents of the function that writes the parameters of the targets."""
    read = PolicyStatement(actions=["ecs:DescribeTaskDefinition"], resources=["*"])
    names = _unique(f"parameter/{(target.parameter or '').removeprefix('/')}" for target in targets)
    services = _unique(f"service/{target.cluster}/{target.service}" for target in targets)
    first, *others = documents([Grant(("ssm:PutParameter",), names), Grant(("ecs:DescribeServices",), services)])
    return [[read, *first], *others]


def of_the_workflow(targets: Sequence[Target]) -> list[list[PolicyStatement]]:
    """The documents of the state machine for its look at a service that a broken function has left."""
    services = _unique(f"service/{target.cluster}/{target.service}" for target in targets)
    return documents([Grant(("ecs:DescribeServices",), services)])


def named(step: Step, targets: Sequence[Target]) -> list[Grant]:
    """What a step may do to the services and the repositories of the targets."""
    services = _unique(f"service/{target.cluster}/{target.service}" for target in targets)
    if step is not REGISTER:
        update = ("ecs:UpdateService",) if step is UPDATE else ()
        of_services = Grant(("ecs:DescribeServices", *update), services)
        if step is UPDATE:
            return [of_services]
        clusters = _unique(target.cluster for target in targets)
        return [
            Grant(
                ("ecs:ListTasks", "ecs:DescribeTasks"), tuple(f"cluster/{each}" for each in clusters), by_cluster=True
            ),
            *(Grant((action,), tuple(name(each) for each in clusters)) for action, name in OF_A_CLUSTER.items()),
            of_services,
        ]
    repositories = _unique(f"repository/{target.repository or '*'}" for target in targets)
    if ANY_REPOSITORY in repositories:
        repositories = (ANY_REPOSITORY,)
    return [
        Grant(_PASS_ROLE, roles(targets)),
        Grant(("ecr:DescribeImages",), repositories),
        Grant(("ecs:DescribeServices",), services),
    ]


def roles(targets: Sequence[Target]) -> tuple[str, ...]:
    """The roles that revisions may carry: any, once a target names none."""
    if any(target.roles is None for target in targets):
        return (ANY_ROLE,)
    return _unique(f"role/{role}" for target in targets for role in target.roles or ())


def documents(grants: Iterable[Grant]) -> list[list[PolicyStatement]]:
    """Pack grants into as few documents as hold them; raises `InvalidContext` when a role cannot have so many."""
    packed: list[dict[Grant, list[str]]] = [{}]
    room = _DOCUMENT
    for grant in grants:
        for name in grant.names:
            cost = _ARN + len(name)
            if cost > room:
                packed.append({})
                room = _DOCUMENT
            packed[-1].setdefault(grant, []).append(grant.arn_prefix + name)
            room -= cost
    if len(packed) > GREATEST_NUMBER_OF_DOCUMENTS:
        raise InvalidContext(
            f"cdk.json, targets: the names of the services and repositories need {len(packed)} IAM policies, "
            f"but a role holds {GREATEST_NUMBER_OF_DOCUMENTS} of them. Take some of the targets out."
        )
    return [[grant.statement(arns) for grant, arns in document.items()] for document in packed]


def _revisions() -> PolicyStatement:
    return PolicyStatement(actions=["ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions"], resources=["*"])


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
