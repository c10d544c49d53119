"""Which services want what was pushed: pure policy, which the dispatcher acts by.

A push is taken at its word: the event supplies the tag.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any, NamedTuple

from ecs_deploy.core.artifact import may_be_image
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.formats import instant
from ecs_deploy.core.lifecycle import OWN_TAG_PREFIX
from ecs_deploy.core.registry import host_of


class Target(NamedTuple):
    """A service that pushes to a repository are deployed to; infra/targets.py says what each member means."""

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

    @property
    def key(self) -> str:
        """The service's name in the table."""
        return f"{self.cluster}/{self.service}"

    def wants(self, tag: str) -> bool:
        """Whether a tag is one of those that it waits for; `*` stands for any characters, but in the deployer's own."""
        return not tag.startswith(OWN_TAG_PREFIX) and any(fnmatchcase(tag, pattern) for pattern in self.tags)


class Start(NamedTuple):
    """An execution to start: its name, which is given once, and its request."""

    name: str
    request: Mapping[str, Any]


class Image(NamedTuple):
    """An image of a repository with its tags, and when it was pushed.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html
    """

    digest: str
    tags: tuple[str, ...]
    pushed_at: datetime


_ACTIONS = {"ECR Image Action": "PUSH", "ECR Replication Action": "REPLICATE"}


def starts_for_push(
    event: Mapping[str, Any], targets: Iterable[Target], environment: Environment
) -> list[Start]:  # fmt: skip
    """The executions that an event of ECR asks for: none unless it is a finished push or replication of a tagged image.

    https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html
    """
    detail = event["detail"]
    is_ours = (event["account"], event["region"]) == environment
    action = _ACTIONS.get(event["detail-type"])
    is_push = action is not None and (detail.get("action-type"), detail.get("result")) == (action, "SUCCESS")
    tag = detail.get("image-tag")
    if not is_ours or not is_push or not tag or not may_be_image(detail.get("artifact-media-type")):
        return []
    push = {"id": event["id"], "time": event["time"], "digest": detail["image-digest"]}
    return [
        Start(execution_name("push", event["id"], *_place(target)), _request(target, tag, push, environment))
        for target in targets
        if target.repository == detail["repository-name"] and target.wants(tag)
    ]


def missed_push(
    target: Target, images: Iterable[Image], after: datetime, until: datetime, known: Collection[str],
    environment: Environment,
) -> Start | None:  # fmt: skip
    """The execution for the newest image that a target waits for, if its event was missed.

    It was pushed `after` and `until` then, and its digest is not `known` from an earlier execution.
    """
    wanted = [(each.pushed_at, each.digest, sorted(filter(target.wants, each.tags))) for each in images]
    pushed_at, digest, tags = max((each for each in wanted if each[2]), default=(after, "", [""]))
    if not after < pushed_at <= until or digest in known:
        return None
    name = execution_name("missed", digest, instant(pushed_at), *_place(target))
    push = {"id": name, "time": instant(pushed_at), "digest": digest}
    return Start(name, _request(target, tags[0], push, environment))


def image_of(target: Target, environment: Environment) -> str:
    """The image of a target's repository, without a tag."""
    return f"{host_of(environment)}/{target.repository}"


def _place(target: Target) -> tuple[str, str]:
    return target.key, target.container or ""


def _request(target: Target, tag: str, push: Mapping[str, str], environment: Environment) -> dict[str, Any]:
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
        "push": {**push, "repository": target.repository, "tag": tag},
    }


def execution_name(kind: str, *parts: str) -> str:
    """A name for an execution, the same for the same parts; Step Functions gives each once in 90 days.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    digest = sha256("\n".join(parts).encode()).hexdigest()
    return f"{kind}-{digest}"
