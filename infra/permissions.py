"""What each role may do: the listed services and repositories, and nothing broader where AWS lets us say so.

Which actions know resources and conditions:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html (a transaction of puts needs
`PutItem`)

A policy has a size limit (an inline policy 10,240 characters for a role, a managed one 6,144, ten of them on a role:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html), and a wildcard is no way round it. So the
names are packed into documents that fit a managed policy: the first is the role's inline policy, the others are
managed policies of this stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Aws, Token
from aws_cdk.aws_iam import PolicyStatement

from infra.context import InvalidContext
from infra.workflow import POLL, REGISTER, UPDATE, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from infra.context import Discovery
    from infra.targets import Target

    Documents = list[list[PolicyStatement]]

ANY_REPOSITORY = "repository/*"
ANY_SERVICE = "service/*"
ANY_CLUSTER = "cluster/*"
ANY_CALENDAR = "document/*"
_HAS_TAG = {"Null": {"aws:ResourceTag/ecs-deploy:repository": "false"}}
ANY_ROLE = "role/*"
ANY_REVISION = "task-definition/*"
# Each deployment makes ids of its own.
DEPLOYMENTS, REVISIONS = "service-deployment/{}/*", "service-revision/{}/*"
# These need the service, too: "Permissions required for viewing service deployments" in the reference.
_OF_DEPLOYMENTS, _OF_REVISIONS = "ecs:DescribeServiceDeployments", "ecs:DescribeServiceRevisions"
_STOP, _CONTINUE = "ecs:StopServiceDeployment", "ecs:ContinueServiceDeployment"
GREATEST_NUMBER_OF_DOCUMENTS = 11
_DOCUMENT = 5_800
_PASS_ROLE = ("iam:PassRole",)
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
_TO_TASKS = ("ecs-tasks.amazonaws.com",)
# The infrastructure role of a service that shifts traffic or has EBS volumes is passed to ECS itself:
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/infrastructure_IAM_role.html
_TO_ECS = (*_TO_TASKS, "ecs.amazonaws.com")
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
    passed_to: tuple[str, ...] = ()
    # Only services that have opted in by this tag:
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/security_iam_id-based-policy-examples.html
    tagged: bool = False

    def statement(self, arns: list[str]) -> PolicyStatement:
        """The grant for these ARNs."""
        if self.by_cluster:
            operator = "ArnLike" if any(each.endswith(ANY_CLUSTER) for each in arns) else "ArnEquals"
            condition = {operator: {"ecs:cluster": arns}}
            return PolicyStatement(actions=list(self.actions), resources=["*"], conditions=condition)
        if self.tagged:
            return PolicyStatement(actions=list(self.actions), resources=arns, conditions=_HAS_TAG)
        services = self.passed_to[0] if len(self.passed_to) == 1 else list(self.passed_to)
        conditions = {"StringEquals": {"iam:PassedToService": services}} if services else None
        return PolicyStatement(actions=list(self.actions), resources=arns, conditions=conditions)

    @property
    def arn_prefix(self) -> str:
        """Where the names live: this account, the service of the actions, and this region if it knows regions."""
        service = self.actions[0].partition(":")[0]
        return f"arn:{Aws.PARTITION}:{service}:{'' if service == 'iam' else Aws.REGION}:{Aws.ACCOUNT_ID}:"


# The log groups of tasks are named in their task definitions.
_LOGS = PolicyStatement(
    actions=["logs:GetLogEvents"],
    resources=[f"arn:{Aws.PARTITION}:logs:*:{Aws.ACCOUNT_ID}:log-group:*:log-stream:*"],
)


def of_step(step: Step, targets: Sequence[Target], discovery: Discovery | None, table: str) -> Documents:
    """The documents of a step, which uses the table with the ARN `table`."""
    return {REGISTER: _of_register, UPDATE: _of_update, POLL: _of_poll}[step](targets, discovery, table)


def _of_register(targets: Sequence[Target], discovery: Discovery | None, table: str) -> Documents:
    # Registering lists `task-definition*` in the reference, but its errors name `*`, which is right under both.
    tag = Grant(("ecs:TagResource",), ())
    clusters = (*_clusters(targets), *(["*"] if discovery else []))
    # An answer goes to the deployment that waits at a hook of ECS.
    actions = ("ecs:DescribeServices", "ecs:ListServiceDeployments", _OF_DEPLOYMENTS, _CONTINUE)
    return _documents(
        [
            _of_any("ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions", "ecs:RegisterTaskDefinition"),
            _of_any("ecs:DeregisterTaskDefinition"),
            _of_any("ecr:DescribePullThroughCacheRules"),
            PolicyStatement(
                actions=list(tag.actions),
                resources=[tag.arn_prefix + ANY_REVISION],
                conditions={"StringEquals": {"ecs:CreateAction": "RegisterTaskDefinition"}},
            ),
            _LOGS,
            *_of_table(table, "GetItem", "PutItem", "Query"),
            *_of_alarms(targets, discovery),
        ],
        [
            Grant(_PASS_ROLE, _roles(targets, discovery), passed_to=_TO_TASKS),
            Grant(("ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetLifecyclePolicy"), _images(targets, discovery)),
            Grant(("ecr:PutImage",), _repositories(each for each in targets if each.retain)),
            _of_tasks(targets, discovery, "ecs:RunTask", "ecs:StopTask"),
            Grant((_OF_DEPLOYMENTS, _CONTINUE), tuple(map(DEPLOYMENTS.format, clusters))),
            Grant(actions, _services(targets)),
            *_of_tagged(discovery, "ecs:DescribeServices", "ecs:ListServiceDeployments", _CONTINUE),
            # As where it is polled.
            Grant((_OF_DEPLOYMENTS,), (ANY_SERVICE,) if discovery else ()),
            _of_windows(targets, discovery),
        ],
    )


def _of_update(targets: Sequence[Target], discovery: Discovery | None, table: str) -> Documents:
    # An update passes the roles of its task definition, which the reference does not list.
    actions = ("ecs:DescribeServices", "ecs:UpdateService")
    return _documents(
        _of_table(table, "GetItem", "PutItem"),
        [
            Grant(_PASS_ROLE, _roles(targets, discovery), passed_to=_TO_ECS),
            Grant(actions, _services(targets)),
            *_of_tagged(discovery, *actions),
        ],
    )


def _of_poll(targets: Sequence[Target], discovery: Discovery | None, table: str) -> Documents:
    clusters = (*_clusters(targets), *(["*"] if discovery else []))
    actions = ("ecs:DescribeServices", "ecs:ListServiceDeployments", _OF_DEPLOYMENTS, _OF_REVISIONS, _STOP)
    return _documents(
        [
            _of_any("ecs:DescribeTaskDefinition", "ecs:DeregisterTaskDefinition"),
            _LOGS,
            *_of_table(table, "GetItem", "PutItem"),
            *_of_alarms(targets, discovery),
        ],
        [
            Grant(_PASS_ROLE, _roles(targets, discovery), passed_to=_TO_TASKS),
            _of_tasks(targets, discovery, "ecs:RunTask", "ecs:StopTask"),
            Grant((_OF_DEPLOYMENTS, _STOP), tuple(map(DEPLOYMENTS.format, clusters))),
            Grant((_OF_REVISIONS,), tuple(map(REVISIONS.format, clusters))),
            Grant(actions, _services(targets)),
            *_of_tagged(discovery, "ecs:DescribeServices", "ecs:ListServiceDeployments", _STOP),
            # Whether the condition on its tags holds here, no page says. They are only read.
            Grant((_OF_DEPLOYMENTS, _OF_REVISIONS), (ANY_SERVICE,) if discovery else ()),
        ],
    )


def of_groups(machine: str, executions: str) -> list[PolicyStatement]:
    """The statements of the first step, where targets are deployed together: their executions are started by it."""
    return [
        PolicyStatement(actions=["states:StartExecution"], resources=[machine]),
        PolicyStatement(actions=["states:DescribeExecution"], resources=[executions]),
    ]


def of_dispatcher(
    targets: Sequence[Target], discovery: Discovery | None, own: Sequence[PolicyStatement], table: str
) -> Documents:
    """The documents of the dispatcher, which has statements of its `own`."""
    pushed = [target for target in targets if target.repository]
    discover = (
        [
            _of_any("tag:GetResources"),
            PolicyStatement(actions=["dynamodb:DeleteItem"], resources=[table]),
            # Also of those that have taken their tags away.
            PolicyStatement(
                actions=["ecs:DescribeServices"],
                resources=[Grant(("ecs:DescribeServices",), ()).arn_prefix + ANY_SERVICE],
            ),
        ]
        if discovery
        else []
    )
    return _documents(
        [
            _of_any("ecs:DescribeTaskDefinition"),
            *own,
            *_of_table(table, "GetItem", "PutItem", "Query"),
            *_of_alarms(targets, discovery),
            *discover,
        ],
        [
            Grant(("ecr:DescribeImages", "ecr:BatchGetImage"), _images(pushed, discovery)),
            Grant(("ecs:DescribeServices",), _services(targets)),
            _of_windows(targets, discovery),
        ],
    )


def of_waits(table: str, discovery: Discovery | None) -> Documents:
    """The documents of the function that ends waits."""
    return [_of_table(table, *(["GetItem"] if discovery else []))]


def of_parameters(targets: Sequence[Target]) -> Documents:
    """The documents of the function that writes the parameters of the targets."""
    names = _unique(f"parameter/{(target.parameter or '').removeprefix('/')}" for target in targets)
    return _documents(
        [_of_any("ecs:DescribeTaskDefinition")],
        [Grant(("ssm:PutParameter",), names), Grant(("ecs:DescribeServices",), _services(targets))],
    )


def of_workflow(targets: Sequence[Target], discovery: Discovery | None) -> Documents:
    """The documents of the state machine to describe a service that a broken function has left."""
    describe = "ecs:DescribeServices"
    return _documents([], [Grant((describe,), _services(targets)), *_of_tagged(discovery, describe)])


def _of_tagged(discovery: Discovery | None, *actions: str) -> list[Grant]:
    """Actions on the services that have opted in."""
    return [Grant(actions, (ANY_SERVICE,), tagged=True)] if discovery else []


def _of_tasks(targets: Sequence[Target], discovery: Discovery | None, *more: str) -> Grant:
    clusters = tuple(f"cluster/{each}" for each in _clusters(targets))
    any_cluster = (ANY_CLUSTER,) if discovery else ()
    return Grant(("ecs:ListTasks", "ecs:DescribeTasks", *more), (*clusters, *any_cluster), by_cluster=True)


def _of_windows(targets: Sequence[Target], discovery: Discovery | None) -> Grant:
    """To see whether a calendar of this account or another one is open. The tags of a service may name any.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html
    """
    windows = [each.window for each in targets if each.window]
    documents = [each if each.startswith("arn:") else f"document/{each}" for each in windows]
    return Grant(("ssm:GetCalendarState",), _unique([*documents, *([ANY_CALENDAR] if discovery else [])]))


def _of_alarms(targets: Sequence[Target], discovery: Discovery | None) -> list[PolicyStatement]:
    """To see whether an alarm is OK; of a composite one, AWS shows nothing to a permission for less than all.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
    """
    is_needed = discovery or any(each.alarm or each.watch for each in targets)
    return [_of_any("cloudwatch:DescribeAlarms")] if is_needed else []


def _clusters(targets: Iterable[Target]) -> tuple[str, ...]:
    return _unique(target.cluster for target in targets)


def _services(targets: Iterable[Target]) -> tuple[str, ...]:
    return _unique(f"service/{target.cluster}/{target.service}" for target in targets)


def _images(targets: Iterable[Target], discovery: Discovery | None) -> tuple[str, ...]:
    return (ANY_REPOSITORY,) if discovery else _repositories(targets)


def _repositories(targets: Iterable[Target]) -> tuple[str, ...]:
    """The repositories that images may come from: any, once a target names none."""
    names = _unique(_repository(target) for target in targets)
    return (ANY_REPOSITORY,) if ANY_REPOSITORY in names else names


def _repository(target: Target) -> str:
    name = f"repository/{target.repository or '*'}"
    if target.registry is None:
        return name
    account, region = target.registry_place
    return f"arn:{Aws.PARTITION}:ecr:{region}:{account}:{name}"


def _roles(targets: Sequence[Target], discovery: Discovery | None) -> tuple[str, ...]:
    """The roles that revisions may carry: any, once a target names none."""
    if any(target.roles is None for target in targets):
        return (ANY_ROLE,)
    discovered = discovery.roles if discovery else ()
    roles = [*(role for target in targets for role in target.roles or ()), *discovered]
    return _unique(role if Token.is_unresolved([role]) else f"role/{role}" for role in roles)


def _documents(fixed: Sequence[PolicyStatement], grants: Iterable[Grant]) -> Documents:
    """Pack grants into as few documents as hold them, after the `fixed` statements.

    Raises `InvalidContext` when a role cannot have so many.
    """
    packed: list[dict[Grant, list[str]]] = [{}]
    room = _DOCUMENT
    for grant in grants:
        for name in grant.names:
            cost = _ARN + len(name)
            if cost > room:
                packed.append({})
                room = _DOCUMENT
            is_whole = name.startswith("arn:") or Token.is_unresolved([name])
            packed[-1].setdefault(grant, []).append(name if is_whole else grant.arn_prefix + name)
            room -= cost
    if len(packed) > GREATEST_NUMBER_OF_DOCUMENTS:
        raise InvalidContext(
            f"cdk.json, targets: the names of the services and repositories need {len(packed)} IAM policies, "
            f"but a role holds {GREATEST_NUMBER_OF_DOCUMENTS} of them. Take some of the targets out."
        )
    first, *others = [[grant.statement(arns) for grant, arns in document.items()] for document in packed]
    return [[*fixed, *first], *others]


def _of_any(*actions: str) -> PolicyStatement:
    """Actions that know no resources."""
    return PolicyStatement(actions=list(actions), resources=["*"])


def _of_table(table: str, *actions: str) -> list[PolicyStatement]:
    """Actions on the table, and to end the waits whose tokens are there, which knows no resources.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
    """
    on_table = [f"dynamodb:{action}" for action in (*actions, "UpdateItem")]
    return [PolicyStatement(actions=on_table, resources=[table]), _of_any("states:SendTaskSuccess")]


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
