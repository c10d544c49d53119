"""Where the time of a rollout went: read from its tasks and from the events of its service, once it is complete.

The parts follow one another and add up to the whole. What overlaps counts for the part that ends last: while the last
new task starts, the first old ones may drain already.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html (pullStartedAt, pullStoppedAt, startedAt)
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages.html
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from ecs_deploy.core.service import Service, Task

# As ECS words them; no page promises these words. Where they differ, all that follows the start counts as health.
_DRAINS = re.compile(r"has begun draining connections on|has stopped \d+ running tasks")
_COMPLETED = re.compile(r"deployment completed|has reached a steady state")

# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
_DEFAULT_HEALTH = 5 * 30
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
_DEFAULT_DRAIN = 300


class Times(NamedTuple):
    """The parts of a rollout, in seconds.

    `start` until the last new task runs, but for the `pull` of its images; `health` until it counts as healthy;
    `shift` what the service is configured to wait while it shifts traffic and bakes; `drain` until the old tasks are
    gone.
    """

    pull: float
    start: float
    health: float
    shift: float
    drain: float


def rollout_times(
    service: Service, tasks: Iterable[Task], revision: str, began: datetime, now: datetime
) -> Times | None:
    """The parts of the rollout of a revision, which `began` with the update; None where no task of it says when it ran.

    The tasks may be some of many.
    """
    new = {task.started_at: task for task in tasks if task.revision == revision and task.started_at}
    if not new:
        return None
    started_at = max(new)
    completed_at = _first(service, _COMPLETED, started_at) or now
    drains_at = _first(service, _DRAINS, started_at) or completed_at
    ran, drains, end = (max((moment - began).total_seconds(), 0) for moment in (started_at, drains_at, completed_at))
    pull = _seconds(new[started_at].pull_started_at, new[started_at].pull_stopped_at)
    shift = min(service.own_time.total_seconds(), max(drains - ran, 0))
    parts = (min(pull, ran), max(ran - pull, 0), max(drains - ran, 0) - shift, shift, max(end - drains, 0))
    return Times(*(round(each, 1) for each in parts))


def defaults_that_show(service: Service, times: Times) -> tuple[str, ...]:
    """What the defaults of a load balancer add to a rollout, where it took that long."""
    if not service.has_load_balancer:
        return ()
    found = []
    if times.health >= _DEFAULT_HEALTH:
        found.append(
            f"health checks took {times.health:.0f} s: by default a target group wants five good ones, 30 s apart "
            "(HealthyThresholdCount, HealthCheckIntervalSeconds)"
        )
    if times.drain >= _DEFAULT_DRAIN:
        found.append(
            f"draining took {times.drain:.0f} s: by default a target group waits 300 s for connections of old tasks "
            "(deregistration_delay.timeout_seconds)"
        )
    return tuple(found)


def _first(service: Service, what: re.Pattern[str], since: datetime) -> datetime | None:
    """When the first event of a kind came that is not older."""
    return min((each.at for each in service.events if each.at >= since and what.search(each.message)), default=None)


def _seconds(start: datetime | None, end: datetime | None) -> float:
    return max((end - start).total_seconds(), 0) if start and end else 0
