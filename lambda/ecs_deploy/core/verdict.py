"""The verdict on a rollout: read from the deployment that UpdateService answered, never from counts alone.

"One deployment is left" and "running equals desired" are also true after ECS has rolled back.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple

from ecs_deploy.core.formats import short
from ecs_deploy.core.plan import CLOCKS_DIFFER
from ecs_deploy.core.service import Deployment, Service
from ecs_deploy.core.service_deployment import Hook, ServiceDeployment

# What was just written may not be shown yet: remind101/empire#353, hashicorp/terraform-provider-aws#45553.
NOT_SHOWN_YET = timedelta(seconds=60)


class Finding(Enum):
    """What a poll says of the deployment that is followed."""

    NOT_SHOWN = auto()
    IN_PROGRESS = auto()
    PAUSED = auto()
    """A hook decides whether it goes on: ECS waits for it."""
    STABLE = auto()
    FAILED = auto()
    ECS_IS_ROLLING_BACK = auto()
    ECS_ROLLED_BACK = auto()
    TIMED_OUT = auto()
    DISPLACED = auto()
    """Somebody else has changed the service."""
    OVERTAKEN = auto()
    """A call of another execution of the deployer was applied late."""
    GONE = auto()


class Verdict(NamedTuple):
    """The finding, what ECS said to it where it said anything, and the `hook` that ECS waits for."""

    finding: Finding
    reason: str | None = None
    hook: Hook | None = None


class Followed(NamedTuple):
    """The deployment to judge: its id, the revision that it brings in, when it was made and how long ago.

    `replaced` are the revisions that ECS may return to from it; `late` those of other calls of the deployer,
    earlier ones of this execution too. `overdue` says that its time has passed, `is_replaced_shown` that what it takes
    the place of is still PRIMARY.
    """

    deployment: str
    revision: str
    updated_at: datetime
    age: timedelta
    overdue: bool
    replaced: Collection[str]
    late: Collection[str]
    is_replaced_shown: bool = False


def judge(service: Service, followed: Followed) -> Verdict:
    """Judge a deployment that rolls."""
    primary = service.primary
    mine = next((each for each in service.deployments if each.id == followed.deployment), None)
    # UpdateService to the revision that is PRIMARY already makes no deployment, and others may force one of it.
    if followed.revision == primary.revision and not _is_from_before(primary, followed):
        return _judge_primary(service, primary, overdue=followed.overdue)
    known = {followed.revision, *followed.replaced, *followed.late}
    is_known = followed.is_replaced_shown or primary.revision in known
    came_since = primary.created_at is not None and primary.created_at > followed.updated_at
    if mine is None and followed.age < NOT_SHOWN_YET and is_known and not came_since:
        return Verdict(Finding.NOT_SHOWN)
    if mine is not None and mine.rollout_state == "FAILED" and _is_late(primary, followed):
        return Verdict(Finding.FAILED, mine.rollout_reason)
    if _has_returned(service, mine, followed):
        return _judge_return(service, mine, overdue=followed.overdue)
    if primary.revision in followed.late or followed.is_replaced_shown:
        return Verdict(Finding.OVERTAKEN, f"the service is on {short(primary.revision)}")
    return Verdict(Finding.DISPLACED, f"somebody else has brought in {short(primary.revision)} meanwhile")


def _is_from_before(primary: Deployment, followed: Followed) -> bool:
    """Whether this is an earlier deployment of the same revision, as a return sees it until its own is shown."""
    other = primary.id != followed.deployment and followed.age < NOT_SHOWN_YET
    return other and primary.created_at is not None and primary.created_at < followed.updated_at - CLOCKS_DIFFER


def _is_late(primary: Deployment, followed: Followed) -> bool:
    """Whether a call of the deployer has put it there, and not a return of ECS."""
    return primary.revision in followed.late and primary.revision not in followed.replaced


def _has_returned(service: Service, mine: Deployment | None, followed: Followed) -> bool:
    """Whether ECS has given up on the deployment; if not, PRIMARY is there because somebody put it there."""
    if mine is not None:
        return mine.rollout_state == "FAILED"
    return service.rolls_back_itself and service.primary.revision in followed.replaced


def judge_before_shown(service: Service, revision: str, base: str, age: timedelta) -> Verdict:
    """The verdict while no service deployment of ours is shown: it is to come, was displaced, or was not needed.

    UpdateService to the revision that runs makes none:
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html
    """
    if age < NOT_SHOWN_YET:
        return Verdict(Finding.NOT_SHOWN)
    if service.current == revision == base:
        return Verdict(Finding.STABLE)
    return Verdict(Finding.DISPLACED, f"somebody else has brought in {short(service.current)} meanwhile")


def judge_hooks(mine: ServiceDeployment) -> Verdict | None:
    """The verdict while ECS waits for a hook; it must not be undone for that."""
    hook = next(iter(mine.active_hooks), None)
    return Verdict(Finding.PAUSED, f"{mine.stage}: ECS waits for {hook}", hook) if hook else None


def judge_shift(service: Service, mine: ServiceDeployment, age: timedelta, *, overdue: bool) -> Verdict:
    """Judge a deployment that shifts traffic, by its service deployment's status; `overdue` past its deadline.

    Until its `age` is a minute, a read of the service may still show the deployment of before.
    """
    if mine.is_under_way or mine.is_being_undone:
        waiting = Finding.IN_PROGRESS if mine.is_under_way else Finding.ECS_IS_ROLLING_BACK
        return Verdict(Finding.TIMED_OUT if overdue else waiting, mine.said)
    if mine.status == "ROLLBACK_SUCCESSFUL":
        return Verdict(Finding.ECS_ROLLED_BACK, mine.said)
    if service.service_deployment not in {"", mine.arn}:
        if age < NOT_SHOWN_YET:
            return Verdict(Finding.NOT_SHOWN)
        return Verdict(Finding.DISPLACED, "somebody else has started another deployment meanwhile")
    return Verdict(Finding.STABLE) if mine.status == "SUCCESSFUL" else Verdict(Finding.FAILED, mine.said)


def _judge_primary(service: Service, mine: Deployment, *, overdue: bool) -> Verdict:
    if mine.rollout_state == "FAILED":
        # ECS is about to put its own return in PRIMARY's place; a second one would race with it.
        undone_by_ecs = service.rolls_back_itself and not overdue
        return Verdict(Finding.ECS_IS_ROLLING_BACK if undone_by_ecs else Finding.FAILED, mine.rollout_reason)
    if service.is_complete(mine):
        return Verdict(Finding.STABLE)
    if overdue:
        counts = f"{mine.running} of {mine.desired} tasks run, {mine.pending} are pending, {mine.failed_tasks} failed"
        return Verdict(Finding.TIMED_OUT, counts)
    return Verdict(Finding.IN_PROGRESS)


def _judge_return(service: Service, mine: Deployment | None, *, overdue: bool) -> Verdict:
    """PRIMARY is a revision that ran before ours: ECS gave up on ours."""
    primary, reason = service.primary, mine.rollout_reason if mine else None
    if service.is_complete(primary):
        return Verdict(Finding.ECS_ROLLED_BACK, reason)
    if primary.rollout_state == "FAILED":
        return Verdict(Finding.FAILED, reason)
    if overdue:
        return Verdict(Finding.TIMED_OUT, reason)
    return Verdict(Finding.ECS_IS_ROLLING_BACK, reason or primary.rollout_reason)
