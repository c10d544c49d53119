"""What targets take over from an earlier stage: read the stage, and start what it has run for long enough."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from ecs_deploy.aws import dynamodb, ecs
from ecs_deploy.core import promotion
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.policy import Start, Target
from ecs_deploy.core.promotion import Later, Nothing, Promotion
from ecs_deploy.core.task_definition import images_of
from ecs_deploy.handlers import executions, runtime


class Awaited(NamedTuple):
    """What a stage has run since `stable_at` is taken over at `due`, if it goes on."""

    stable_at: datetime
    due: datetime


def take_over(
    targets: Iterable[Target], environment: Environment, stable_at: datetime | None = None
) -> Awaited | None:  # fmt: skip
    """Start what targets take over from one stage now; answer what to wait for, the soonest first.

    Nothing, if this was awaited since it was stable at `stable_at` and something else is stable now. Raises
    `AwsUnavailable`, and `DeployError` where the stage cannot be read.
    """
    awaited: list[Awaited] = []
    for target in targets:
        found, since = of(target, environment)
        if stable_at and since != stable_at:
            continue
        match found:
            case Start():
                executions.start(found)
            case Later(due):
                awaited += [Awaited(since, due)] if since else []
            case Nothing(why):
                runtime.logger.info("Nothing is taken over", service=target.key, reason=why)
    return min(awaited, key=lambda each: each.due, default=None)


def of(target: Target, environment: Environment) -> tuple[Promotion, datetime | None]:
    """What a target takes over now, and since when its stage is stable. Raises `DeployError`, `AwsUnavailable`."""
    if target.promoted_from is None:
        raise ValueError("only a target that is promoted comes here")
    now, stage = runtime.now(), target.promoted_from
    state = dynamodb.read_state(stage.key, now)
    if state.rev == 0:
        return Nothing("nothing was deployed to it yet"), None
    service = ecs.describe_service(stage.cluster, stage.service)
    images = images_of(ecs.describe_task_definition(service.current).document)
    since = state.stable.at if state.stable else None
    return promotion.promote(target, state, service, images, now, environment), since
