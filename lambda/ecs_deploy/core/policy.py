"""Which services want what was pushed: pure policy, which the dispatcher acts by.

A push is taken at its word: the event supplies the tag.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

from ecs_deploy.core.artifact import may_be_image
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.formats import instant
from ecs_deploy.core.registry import Ecr, ecr, host_of
from ecs_deploy.core.tag_policy import policy_of
from ecs_deploy.core.versions import version_of


class Stage(NamedTuple):
    """An earlier stage of a target: a service, and the seconds that it has to run something first."""

    cluster: str
    service: str
    soak: int

    @property
    def key(self) -> str:
        """The service's name in the table."""
        return f"{self.cluster}/{self.service}"


class Target(NamedTuple):
    """A service that pushes to a repository are deployed to; infra/targets.py says what each member means.

    `registry` is the host of the repository's, where it is another account's or region's. `min_age` is seconds.
    `gates` are the keys of a request that say what a push has to pass. With `promoted_from` no push starts it: it takes
    over what another service has run for some time. Those of a group, `together`, are deployed as one by their `order`.
    """

    cluster: str
    service: str
    repository: str | None = None
    tags: tuple[str, ...] = ("*",)
    timeout: int = 600
    rollback: bool = True
    container: str | None = None
    pin: bool = True
    require_rollback: bool = False
    retain: bool = False
    reconcile_minutes: int | None = None
    min_age: int = 0
    window: str | None = None
    alarm: str | None = None
    sticky_revert: bool = False
    registry: str | None = None
    gates: Mapping[str, Any] = {}
    promoted_from: Stage | None = None
    together: str = ""
    order: int = 0

    @property
    def key(self) -> str:
        """The service's name in the table."""
        return f"{self.cluster}/{self.service}"

    def policy_of(self, tag: str) -> str | None:
        """What pushes of a tag go by, "" for their time; None where it does not wait for the tag."""
        return None if self.promoted_from else policy_of(self.tags, tag)


class Start(NamedTuple):
    """An execution to start, when it is `due`: its name, which is given once, and its request."""

    name: str
    request: Mapping[str, Any]
    due: datetime = datetime.min.replace(tzinfo=UTC)


class Image(NamedTuple):
    """An image of a repository with its tags, and when it was pushed.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html
    """

    digest: str
    tags: tuple[str, ...]
    pushed_at: datetime


_ACTIONS = {"ECR Image Action": "PUSH", "ECR Replication Action": "REPLICATE"}


def starts_for_push(
    event: Mapping[str, Any], targets: Iterable[Target], environment: Environment, registries: Collection[str] = ()
) -> list[Start]:  # fmt: skip
    """The executions that an event of ECR asks for: none unless it is a finished push or replication of a tagged image.

    `registries` are the others whose pushes count: accounts, or an account and a region with `/` between.
    https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html
    """
    detail = event["detail"]
    source = Ecr(event["account"], event["region"])
    is_ours = source == Ecr(*environment) or not {source.account, f"{source.account}/{source.region}"}.isdisjoint(
        registries
    )
    action = _ACTIONS.get(event["detail-type"])
    is_push = action is not None and (detail.get("action-type"), detail.get("result")) == (action, "SUCCESS")
    tag = detail.get("image-tag")
    if not is_ours or not is_push or not tag or not may_be_image(detail.get("artifact-media-type")):
        return []
    push = {"id": event["id"], "time": event["time"], "digest": detail["image-digest"]}
    pushed_at = datetime.fromisoformat(event["time"])
    wanting = [
        target
        for target in targets
        if target.repository == detail["repository-name"]
        and registry_of(target, environment) == source
        and target.policy_of(tag) is not None
    ]
    groups = {each.together: [other for other in wanting if other.together == each.together] for each in wanting}
    return [
        _start_of(each, wanted, tag, push, environment)._replace(
            due=pushed_at + timedelta(seconds=max(target.min_age for target in each))
        )
        for wanted, each in _as_one(groups)
    ]


def _as_one(groups: Mapping[str, list[Target]]) -> list[tuple[str, list[Target]]]:
    """The targets that one execution deploys, with the name of their group; one alone is deployed as any target is."""
    found: list[tuple[str, list[Target]]] = []
    for name, members in groups.items():
        is_group = bool(name) and len({each.key for each in members}) > 1
        found += [(name, members)] if is_group else [("", [each]) for each in members]
    return found


def _start_of(
    members: Sequence[Target], group: str, tag: str, push: Mapping[str, str], environment: Environment
) -> Start:  # fmt: skip
    first, *_ = members
    if group:
        image = f"{image_of(first, environment)}:{tag}"
        return Start(execution_name("push", push["id"], group), {"together": group, "image": image, "push": {**push}})
    request = request_for(first, tag, first.policy_of(tag) or "", push, environment)
    return Start(execution_name("push", push["id"], *_place(first)), request)


def services_of(event: Mapping[str, Any]) -> list[str]:
    """The services whose tags have changed.

    https://docs.aws.amazon.com/tag-editor/latest/userguide/monitor-tag-changes.html
    """
    places = (arn.partition(":service/")[2] for arn in event["resources"])
    return [each for each in places if "/" in each]


def waiting_for(event: Mapping[str, Any], targets: Iterable[Target]) -> list[str]:
    """The services whose pushes have waited for what an event says: a calendar has opened, an alarm is OK.

    https://docs.aws.amazon.com/systems-manager/latest/userguide/monitoring-systems-manager-event-examples.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    """
    detail = event["detail"]
    if event["source"] == "aws.cloudwatch":
        found = [each.key for each in targets if each.alarm and each.alarm == detail["alarmName"]]
    else:
        # By its ARN, or by its name, as a target may have it.
        names = {name for arn in event["resources"] for name in (arn, arn.split(":document/")[-1])}
        found = [each.key for each in targets if each.window in names]
    return list(dict.fromkeys(found))


def missed_push(
    target: Target, images: Iterable[Image], after: Callable[[str], datetime], until: datetime,
    known: Collection[str], environment: Environment,
) -> Start | None:  # fmt: skip
    """The execution for the newest image that a target waits for, if its event was missed.

    It was pushed `after` what decides for its policy and `until` then, and its digest is not `known` from an earlier
    execution. With a tag that the newest one has, go all under its policy, by their versions.
    """
    wanted = [
        (each.pushed_at, each.digest, tag, policy)
        for each in images
        for tag in sorted(each.tags)
        if (policy := target.policy_of(tag)) is not None
    ]
    if not wanted:
        return None
    *_, policy = max(wanted)
    # Of several tags of an image the first counts. Without a policy none has a version.
    ranked = [
        (version_of(policy, tag), pushed_at, digest, tag) for pushed_at, digest, tag, its in wanted if its == policy
    ]
    _, pushed_at, digest, tag = max(ranked, key=lambda each: each[:3])
    if not after(policy) < pushed_at <= until or digest in known:
        return None
    name = execution_name("missed", digest, instant(pushed_at), *_place(target))
    push = {"id": name, "time": instant(pushed_at), "digest": digest}
    return Start(name, request_for(target, tag, policy, push, environment))


def as_group(target: Target, start: Start) -> Start:
    """The execution of a target's group instead of its own, if it is in one: the same for each of the members."""
    if not target.together:
        return start
    push = {key: start.request["push"][key] for key in ("time", "digest")}
    name = execution_name("missed", push["digest"], push["time"], target.together)
    request = {"together": target.together, "image": start.request["image"], "push": {"id": name, **push}}
    return Start(name, request, start.due)


def image_of(target: Target, environment: Environment) -> str:
    """The image of a target's repository, without a tag."""
    return f"{target.registry or host_of(environment)}/{target.repository}"


def registry_of(target: Target, environment: Environment) -> Ecr:
    """Where a target's repository is."""
    return ecr(target.registry) or Ecr(*environment)


def _place(target: Target) -> tuple[str, str]:
    return target.key, target.container or ""


def request_for(
    target: Target, tag: str, policy: str, push: Mapping[str, str], environment: Environment
) -> dict[str, Any]:  # fmt: skip
    """The request that deploys an image of a target's repository, by its tag and the digest of its push."""
    return {
        "cluster": target.cluster,
        "service": target.service,
        "image": f"{image_of(target, environment)}:{tag}",
        "timeout": target.timeout,
        "rollback": target.rollback,
        **({"container": target.container} if target.container else {}),
        **({} if target.pin else {"pin": False}),
        **({"requireRollback": True} if target.require_rollback else {}),
        **({"retain": True} if target.retain else {}),
        **target.gates,
        "push": {
            **push,
            "repository": target.repository,
            "tag": tag,
            **({"policy": policy} if policy else {}),
        },
    }


def execution_name(kind: str, *parts: str) -> str:
    """A name for an execution, the same for the same parts; Step Functions gives each once in 90 days.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    digest = sha256("\n".join(parts).encode()).hexdigest()
    return f"{kind}-{digest}"
