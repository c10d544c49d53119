"""The watch over a service that is stable: its tasks and its alarms still lead to a return for a while.

ECS itself watches no longer: its circuit breaker and its alarms are for as long as the deployment lasts.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

from ecs_deploy.core.gate_keys import WatchKeys
from ecs_deploy.core.poll_schedule import AFTER_SIGNAL
from ecs_deploy.core.service import Task
from ecs_deploy.core.signals import FAILURES

_OFTEN, _POLLS = 30, 500
# As ECS's own circuit breaker counts: half of the desired count, within these.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
_MOST_FAILURES = 200


class Alarm(NamedTuple):
    """An alarm of CloudWatch: its state, and since when, if that is known."""

    name: str
    state: str
    since: datetime | None = None


class Over(NamedTuple):
    """Nothing has gone wrong until the end of the watch."""


class Goes(NamedTuple):
    """It goes on: the next look is after so many seconds."""

    seconds: int


class Alarmed(NamedTuple):
    """The service has to be returned; `is_of_tasks` where these can tell more."""

    why: str
    is_of_tasks: bool = False


Watch = Over | Goes | Alarmed


def watch(
    keys: WatchKeys, since: datetime, updated_at: datetime, now: datetime, *,
    alarms: Iterable[Alarm], tasks: Iterable[Task], desired: int, looks: int,
) -> Watch:  # fmt: skip
    """Judge a watch that began `since` then, of a service that was `updated_at` then.

    What was in ALARM before the update does not count.
    `tasks` are those of its deployment that have stopped, and `looks` the polls since the last signal.
    """
    if gone := [each.name for each in alarms if each.state == "ALARM" and not (each.since and each.since < updated_at)]:
        return Alarmed(f"the alarm {' and the alarm '.join(gone)} went off while it was watched")
    failed = sum(task.has_failed and task.stopped_at is not None and task.stopped_at >= since for task in tasks)
    if failed >= min(max(FAILURES, ceil(desired / 2)), _MOST_FAILURES):
        return Alarmed(f"{failed} of its tasks failed while it was watched", is_of_tasks=True)
    left = (since + timedelta(seconds=keys.seconds) - now).total_seconds()
    if left <= 0:
        return Over()
    # An execution has 25,000 events, and a poll takes 13 of them.
    pause = AFTER_SIGNAL[looks] if looks < len(AFTER_SIGNAL) else max(_OFTEN, keys.seconds / _POLLS)
    return Goes(max(1, ceil(min(pause, left))))
