"""The request of a group, and those of its members' executions."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.formats import instant
from ecs_deploy.core.image import ImageReference, InvalidImageReference
from ecs_deploy.core.policy import Target, execution_name, registry_of, request_for
from ecs_deploy.core.registry import Ecr, ecr
from ecs_deploy.core.together import Group, Member, Phase

KEY = "together"
_NAME = r"[A-Za-z0-9_-]{1,255}"
_KEYS = frozenset({KEY, "image", "push"})


class GroupRequest(NamedTuple):
    """A checked request: the name of the group, the image, and the push if one has started it."""

    name: str
    image: ImageReference
    push: Mapping[str, Any]
    identity: str
    requested_at: datetime


def is_group(document: object) -> bool:
    """Whether a request is that of a group; that of a member names its service, too."""
    return isinstance(document, dict) and KEY in document and "service" not in document


def parse(document: Mapping[str, Any], execution: str, started_at: datetime) -> GroupRequest:
    """Check a request of a group. Raises `DeployError` with all that is wrong with it."""
    problems = [f"{key}: does not go with {KEY}" for key in document if key not in _KEYS]
    name, text, push = document[KEY], document.get("image"), document.get("push")
    if not isinstance(name, str) or not re.fullmatch(_NAME, name):
        problems.append(f"{KEY}: must be the name of a group (1 to 255 letters, digits, _ and -)")
    image: ImageReference | None = None
    if not isinstance(text, str):
        problems.append("image: is missing, or no text")
    else:
        try:
            image = ImageReference.parse(text)
        except InvalidImageReference as error:
            problems.append(f"image: {error}")
    if push is not None and not (isinstance(push, dict) and {"id", "time", "digest"} <= push.keys()):
        problems.append("push: needs id, time and digest of the event")
    if problems or image is None:
        raise DeployError(Error.INVALID_REQUEST, f"The request is not valid. {'; '.join(problems)}.")
    if push:
        return GroupRequest(name, image, push, push["id"], datetime.fromisoformat(push["time"]))
    return GroupRequest(name, image, {}, execution, started_at)


def members_of(requested: GroupRequest, targets: Iterable[Target], environment: Environment) -> tuple[Member, ...]:
    """The members of a group that the image is for. Raises `DeployError` where there are none."""
    mine = [each for each in targets if each.together == requested.name]
    found = [each for each in mine if _wants(each, requested, environment)]
    if not found:
        known = f"no target of the group {requested.name} waits for it" if mine else f"no target has {requested.name}"
        raise DeployError(Error.INVALID_REQUEST, f"{KEY}: {known}. Correct the name, or the targets in cdk.json.")
    return tuple(
        Member(each.cluster, each.service, each.container or "", each.order, stays=not each.rollback) for each in found
    )


def _wants(target: Target, requested: GroupRequest, environment: Environment) -> bool:
    image = requested.image
    here = registry_of(target, environment) == (ecr(image.domain) or Ecr(*environment))
    path = image.path == target.repository and here
    return path and (not requested.push or target.policy_of(image.tag or "") is not None)


def child_name(requested: GroupRequest, group: Group, member: Member) -> str:
    """The name of a member's execution in a phase, the same however often its step is tried."""
    return execution_name(group.phase.lower(), requested.identity, requested.name, member.key, member.container)


def child_request(
    requested: GroupRequest, group: Group, member: Member, targets: Iterable[Target], environment: Environment
) -> dict[str, Any]:  # fmt: skip
    """The request of a member's execution in a phase. All have the group's place in the order of requests."""
    place, time = {"cluster": member.cluster, "service": member.service}, instant(requested.requested_at)
    if group.phase is Phase.RETURN:
        identity = f"{requested.identity}/return"
        return {**place, "revision": member.before, KEY: requested.name, "restart": {"request": identity, "time": time}}
    target = next(
        each for each in targets if each.key == member.key and (each.container or "") == member.container
        and each.together == requested.name
    )  # fmt: skip
    tag = requested.image.tag or "latest"
    policy = target.policy_of(tag) if requested.push else ""
    whole = request_for(target, tag, policy or "", requested.push, environment)
    if not requested.push:
        whole = {**whole, "image": str(requested.image), "restart": {"request": requested.identity, "time": time}}
        del whole["push"]
    checks = {"dryRun": True} if group.phase is Phase.CHECK else {}
    return {**whole, KEY: requested.name, **checks}
