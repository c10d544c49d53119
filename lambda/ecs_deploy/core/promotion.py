"""What a target takes over from an earlier stage: the image that this has run stably for long enough, by its digest.

It goes by what the table and ECS say when the time is over, so that what failed, was reverted or was displaced before
is not taken over. It is requested as if it were pushed when the time was over, once for each request of the stage.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from ecs_deploy.core.environment import Environment
from ecs_deploy.core.formats import instant
from ecs_deploy.core.image import ImageReference
from ecs_deploy.core.order import rank
from ecs_deploy.core.policy import Start, Target, execution_name, image_of, registry_of, request_for
from ecs_deploy.core.registry import Ecr, ecr
from ecs_deploy.core.service import Service
from ecs_deploy.core.state import EVERY_CONTAINER, Candidate, Stable, State


class Later(NamedTuple):
    """The stage has not run it for long enough; at `at` it has, if it goes on."""

    at: datetime


class Nothing(NamedTuple):
    """The stage runs nothing to take over."""

    why: str


Promotion = Start | Later | Nothing


def promote(
    target: Target, stage: State, service: Service, images: Mapping[str, ImageReference], now: datetime,
    environment: Environment,
) -> Promotion:  # fmt: skip
    """What a target takes over from its stage, whose `images` are those of the revision that it runs, by container."""
    if target.promoted_from is None:
        return Nothing("it takes over from no other service")
    stable = stage.stable
    if stage.owner:
        return Nothing(f"{stage.owner.execution} deploys to it")
    if stable is None or not stage.deployed:
        return Nothing("nothing was deployed to it yet")
    if stage.broken_since:
        return Nothing("its last deployment has failed")
    if not _runs_only(service, stable.revision):
        return Nothing("it does not run what was deployed to it last")
    found = _deployed(target, stage, stable, images, environment)
    if isinstance(found, Nothing):
        return found
    due = stable.at + timedelta(seconds=target.promoted_from.soak)
    return _start(target, found, due, environment) if now >= due else Later(due)


def _runs_only(service: Service, revision: str) -> bool:
    if service.current != revision:
        return False
    return not service.is_rolling or (len(service.deployments) == 1 and service.is_complete(service.primary))


def _deployed(
    target: Target, stage: State, stable: Stable, images: Mapping[str, ImageReference], environment: Environment
) -> Candidate | Nothing:  # fmt: skip
    """The request that has brought in what the stage runs of the target's repository.

    What a person has gone back to, by a revision or a revert, is a decision about the stage and for nobody else.
    """
    place = registry_of(target, environment)
    names = [
        name
        for name, image in images.items()
        if image.path == target.repository and (ecr(image.domain) or Ecr(*environment)) == place
    ]
    requests = [stage.deployed[each] for each in (*names, EVERY_CONTAINER) if each in stage.deployed]
    if not names or not requests:
        return Nothing(f"it runs no image of {target.repository} that was deployed to it")
    newest = max(requests, key=rank)
    if newest == stage.deployed.get(EVERY_CONTAINER):
        return Nothing(f"{newest.execution} has deployed a whole revision to it")
    if not newest.digest or not runs(stable, newest.digest):
        return Nothing("the digest that it runs is not known to be the one that was deployed to it")
    return newest


def runs(stable: Stable | None, digest: str) -> bool:
    """Whether a digest, or what is listed in it, is among those that are stable."""
    known = {digest, *((stable.parts.get(digest) if stable else None) or ())}
    return stable is not None and not known.isdisjoint(stable.digests.values())


def _start(target: Target, candidate: Candidate, due: datetime, environment: Environment) -> Start:
    name = execution_name("promote", candidate.request, candidate.digest, target.key, target.container or "")
    push = {"id": name, "time": instant(due), "digest": candidate.digest}
    request = request_for(target, candidate.tag or "latest", "", push, environment)
    request |= {"promotedFrom": target.promoted_from.key} if target.promoted_from else {}
    if not candidate.tag:
        request = {**request, "image": f"{image_of(target, environment)}@{candidate.digest}"}
    return Start(name, request)
