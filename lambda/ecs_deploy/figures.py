"""What one execution adds to the figures by which a delivery is judged (DORA: https://dora.dev/guides/dora-metrics/).

A change is a revision that was brought in and judged. How often there is one is how often there is a LeadTime; the
share that failed is the average of ChangeFailure, which is 0 or 1. What was superseded or refused changed nothing.
"""

from datetime import datetime, timedelta

from ecs_deploy.course import Answer, Outcome
from ecs_deploy.errors import DeploymentFailed, DeploymentTimedOut, RollbackFailed
from ecs_deploy.progress import Phase, Progress

LEAD_TIME, CHANGE_FAILURE, TIME_TO_RESTORE = "LeadTime", "ChangeFailure", "TimeToRestore"
_FAILED = frozenset(error.__name__ for error in (DeploymentFailed, DeploymentTimedOut, RollbackFailed))
# For the steps themselves, and for the retries of a few.
_GRACE = timedelta(minutes=5)


def figures(progress: Progress, answer: Answer, now: datetime) -> dict[str, float]:
    """The figures of an end, by name, the times in seconds; none where no change was judged.

    Restored is a service when the return from a failed change is complete, or else when the next change is. It was
    broken since the execution started that brought the failed change in.
    """
    since_broken = _seconds(progress.broken_since or progress.started_at, now)
    if answer["next"] == "succeed":
        if answer["outcome"]["outcome"] != Outcome.DEPLOYED:
            return {CHANGE_FAILURE: 1} if progress.failure else {}
        restored = {TIME_TO_RESTORE: since_broken} if progress.broken_since else {}
        return {LEAD_TIME: _seconds(progress.requested_at, now), CHANGE_FAILURE: 0, **restored}
    failure = answer["failure"]
    was_brought_in = progress.updated_at or progress.phase != Phase.DEPLOYING
    if failure["error"] not in _FAILED or not was_brought_in:
        return {}
    return {CHANGE_FAILURE: 1, **({TIME_TO_RESTORE: since_broken} if failure["cause"]["rolledBack"] else {})}


def is_overdue(progress: Progress, now: datetime) -> bool:
    """Whether the execution runs longer than the timeouts of its rollouts so far allow."""
    rollouts = 1 + progress.insisted + (progress.phase == Phase.ROLLING_BACK)
    allowed = rollouts * timedelta(seconds=progress.timeout + progress.bake_time) + _GRACE
    return now - datetime.fromisoformat(progress.started_at) > allowed


def _seconds(since: str, now: datetime) -> float:
    # The clocks of two machines differ.
    return max((now - datetime.fromisoformat(since)).total_seconds(), 0.0)
