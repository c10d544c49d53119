"""The verdict on a rollout: read from the deployment that UpdateService answered, never from counts alone.

"One deployment is left" and "running equals desired" are also true after ECS has rolled back.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple

from ecs_deploy.service import Deployment, Service, ServiceDeployment, Task

# A single failed task can be bad luck; ECS's own circuit breaker starts counting at three too:
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
FAILED_TASKS_OF_A_CRASH_LOOP = 3


class Finding(Enum):
    """What a look at the service says of the deployment that is followed.

    DISPLACED: another revision is in use; OVERTAKEN: it is one that was asked for earlier and came late.
    """

    IN_PROGRESS = auto()
    TASKS_KEEP_FAILING = auto()
    STABLE = auto()
    FAILED = auto()
    ECS_IS_ROLLING_BACK = auto()
    ECS_ROLLED_BACK = auto()
    TIMED_OUT = auto()
    DISPLACED = auto()
    OVERTAKEN = auto()
    GONE = auto()


class Verdict(NamedTuple):
    """The finding, and what ECS said to it where it said anything."""

    finding: Finding
    reason: str | None = None


def judge(service: Service, *, deployment: str, revision: str, before: Collection[str], overdue: bool) -> Verdict:
    """Judge the deployment with this id, which brings in `revision`; `overdue` past its deadline.

    `before` are the revisions that ran or rolled out before it: ECS may return to any of them.
    """
    if not service.is_active:
        return Verdict(Finding.GONE, f"the service is {service.status}")
    primary = service.primary
    mine = next((each for each in service.deployments if each.id == deployment), None)
    if primary.id == deployment:
        return _judge_primary(service, primary, overdue=overdue)
    # UpdateService is idempotent for the revision that is PRIMARY already, so ours may carry another id.
    if primary.revision == revision:
        return _judge_primary(service, primary, overdue=overdue)
    if primary.revision in before or (mine and mine.rollout_state == "FAILED" and service.rolls_back_itself):
        return _judge_return(service, mine, overdue=overdue)
    return Verdict(Finding.DISPLACED, f"{primary.revision} is what the service was told to run meanwhile")


# A service deployment is seen a moment after UpdateService has answered.
SOON = timedelta(seconds=60)
_UNDER_WAY = frozenset({"PENDING", "IN_PROGRESS"})
_BEING_UNDONE = frozenset({"STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"})


def is_ours(seen: ServiceDeployment, *, followed: str, revision: str, updated_at: datetime) -> bool:
    """Whether this is the service deployment that our UpdateService made: the one that is followed, or a new one."""
    return seen.arn == followed or (seen.revision == revision and seen.created_at >= updated_at - SOON)


def judge_before_ours(since_update: timedelta) -> Verdict:
    """The verdict while another service deployment is the current one: it is to come, or it was displaced."""
    return Verdict(Finding.IN_PROGRESS if since_update < SOON else Finding.DISPLACED)


def judge_shift(service: Service, mine: ServiceDeployment, *, overdue: bool) -> Verdict:
    """Judge a deployment that shifts traffic, by its service deployment's status; `overdue` past its deadline."""
    said = f"{mine.stage}: {mine.reason or mine.status}" if mine.stage else mine.reason or mine.status
    if mine.status in _UNDER_WAY or mine.status in _BEING_UNDONE:
        waiting = Finding.IN_PROGRESS if mine.status in _UNDER_WAY else Finding.ECS_IS_ROLLING_BACK
        return Verdict(Finding.TIMED_OUT if overdue else waiting, said)
    if mine.status == "ROLLBACK_SUCCESSFUL":
        return Verdict(Finding.ECS_ROLLED_BACK, said)
    if service.service_deployment not in {"", mine.arn}:
        return Verdict(Finding.DISPLACED)
    return Verdict(Finding.STABLE) if mine.status == "SUCCESSFUL" else Verdict(Finding.FAILED, said)


def _judge_primary(service: Service, mine: Deployment, *, overdue: bool) -> Verdict:
    if mine.rollout_state == "FAILED":
        # ECS is about to put its own return in PRIMARY's place; a second one would race with it.
        undone_by_ecs = service.rolls_back_itself and not overdue
        return Verdict(Finding.ECS_IS_ROLLING_BACK if undone_by_ecs else Finding.FAILED, mine.rollout_reason)
    if _is_complete(service, mine):
        return Verdict(Finding.STABLE)
    if overdue:
        counts = f"{mine.running} of {mine.desired} tasks run, {mine.pending} are pending, {mine.failed_tasks} failed"
        return Verdict(Finding.TIMED_OUT, counts)
    if mine.failed_tasks >= FAILED_TASKS_OF_A_CRASH_LOOP and not service.has_circuit_breaker:
        if mine.running == 0:
            return Verdict(Finding.FAILED, f"{mine.failed_tasks} tasks failed and none is running")
        return Verdict(Finding.TASKS_KEEP_FAILING)
    return Verdict(Finding.IN_PROGRESS)


def settle(tasks: Sequence[Task], revision: str) -> Verdict:
    """The verdict where tasks of `revision` keep failing while some run, which may be about to fail like the others.

    A running task that was started before another one failed from the same start has come further: the rollout moves.
    Where none has, each start ends in a failure.
    """
    own = [task for task in tasks if task.revision == revision]
    failures = [task.started_at for task in own if task.has_failed and task.started_at]
    running = [task.started_at for task in own if task.status == "RUNNING" and task.started_at]
    moves = not failures or (running and min(running) < max(failures))
    return Verdict(
        Finding.IN_PROGRESS if moves else Finding.FAILED, None if moves else "no task outlives those that failed"
    )


def _judge_return(service: Service, mine: Deployment | None, *, overdue: bool) -> Verdict:
    """PRIMARY is a revision that ran before ours: ECS gave up on ours."""
    primary, reason = service.primary, mine.rollout_reason if mine else None
    if _is_complete(service, primary):
        return Verdict(Finding.ECS_ROLLED_BACK, reason)
    if primary.rollout_state == "FAILED" or overdue:
        return Verdict(Finding.TIMED_OUT, reason)
    return Verdict(Finding.ECS_IS_ROLLING_BACK, reason or primary.rollout_reason)


def _is_complete(service: Service, deployment: Deployment) -> bool:
    """Whether ECS calls it complete; where there is no rollout state, whether it alone is left and all of it runs."""
    if deployment.rollout_state is not None:
        return deployment.rollout_state == "COMPLETED"
    steady = deployment.running == service.desired and deployment.pending == 0
    return len(service.deployments) == 1 and steady
