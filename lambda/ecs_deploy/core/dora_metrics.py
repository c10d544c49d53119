"""What one execution adds to the metrics by which a delivery is judged (DORA: https://dora.dev/guides/dora-metrics/).

A change is a revision that was brought in and judged. How often there is one is how often there is a LeadTime; the
share that failed is the average of ChangeFailure, which is 0 or 1. What was superseded or refused changed nothing.
"""

from datetime import datetime

from ecs_deploy.core.decision import End, Fail, Outcome, Succeed, seconds_between
from ecs_deploy.core.errors import Error
from ecs_deploy.core.plan import Plan, Rollout
from ecs_deploy.core.state import Phase

LEAD_TIME, CHANGE_FAILURE, TIME_TO_RESTORE = "LeadTime", "ChangeFailure", "TimeToRestore"
_FAILED = frozenset({Error.DEPLOYMENT_FAILED, Error.DEPLOYMENT_TIMED_OUT, Error.ROLLBACK_FAILED})
# For the steps themselves, and for the retries of a few.
_GRACE = 300


def dora_metrics(plan: Plan, rollout: Rollout, end: End, now: datetime) -> dict[str, float]:
    """The metrics of an end, by name, the times in seconds; none where no change was judged.

    A service is restored when the return from a failed change is complete, or else when the next change is. It was
    broken since the execution started that brought the failed change in.
    """
    since_broken = seconds_between(plan.broken_since or plan.candidate.started_at, now)
    match end:
        case Succeed(outcome):
            if outcome["outcome"] != Outcome.DEPLOYED:
                return {}
            restored = {TIME_TO_RESTORE: since_broken} if plan.broken_since else {}
            stable_at = rollout.stable_at or now
            return {LEAD_TIME: seconds_between(plan.candidate.requested_at, stable_at), CHANGE_FAILURE: 0, **restored}
        case Fail(error, cause):
            if error not in _FAILED or not (rollout.updated_at or rollout.phase is Phase.RETURNING):
                return {}
            return {CHANGE_FAILURE: 1, **({TIME_TO_RESTORE: since_broken} if cause["rolledBack"] else {})}


def is_overdue(plan: Plan, rollout: Rollout, now: datetime) -> bool:
    """Whether a rollout is followed longer than its timeout allows, which what follows it is not part of."""
    if rollout.stable_at:
        return False
    return rollout.updated_at is not None and rollout.elapsed(now) > plan.timeout + rollout.extra + _GRACE
