"""The rule of a watch: what returns a service that is stable, when the next look is, and when it is over."""

from collections.abc import Callable
from datetime import datetime

from ecs_deploy.core import watching
from ecs_deploy.core.gate_keys import WatchKeys
from ecs_deploy.core.poll_schedule import AFTER_SIGNAL
from ecs_deploy.core.service import Container, Task
from ecs_deploy.core.watching import Alarm, Alarmed, Goes, Over, Watch
from tests.support.rules import at, table, td, typed


def stopped(minutes: float, code: str = "EssentialContainerExited", reason: str = "") -> Task:
    """A task that stopped in that minute."""
    containers = (Container("app", 1, None),)
    return Task("arn", td(2), "STOPPED", "UNKNOWN", at(0), at(0), at(minutes), code, reason, "ecs-svc/2", containers)


SCALED_IN = stopped(3, "ServiceSchedulerInitiated", "Scaling activity initiated by a person")


def judged(
    *tasks: Task, alarm: str = "OK", since: datetime | None = None, minutes: float = 3, seconds: int = 600,
    desired: int = 2, looks: int = len(AFTER_SIGNAL),
) -> Watch:  # fmt: skip
    """A watch that began in the second minute, of a service that was updated in the first one."""
    keys, alarms = WatchKeys(seconds, ("load",)), [Alarm("load", alarm, since)]
    return watching.watch(keys, at(2), at(1), at(minutes), alarms=alarms, tasks=tasks, desired=desired, looks=looks)


GONE_OFF = Alarmed("the alarm load went off while it was watched")
THREE = Alarmed("3 of its tasks failed while it was watched", is_of_tasks=True)


@table(
    "found, expected",
    {
        "nothing has happened": (judged, Goes(30)),
        "it has just begun": (lambda: judged(minutes=2), Goes(30)),
        "it is almost over": (lambda: judged(minutes=11.9), Goes(6)),
        "it is over": (lambda: judged(minutes=12), Over()),
        "it is long over": (lambda: judged(minutes=99), Over()),
        "a day is looked at less often": (lambda: judged(seconds=86_400), Goes(173)),
        "an event has come": (lambda: judged(looks=0), Goes(1)),
        "and four looks ago": (lambda: judged(looks=4), Goes(8)),
        "an alarm goes off": (lambda: judged(alarm="ALARM", since=at(2)), GONE_OFF),
        "an alarm went off between the update and the watch": (lambda: judged(alarm="ALARM", since=at(1)), GONE_OFF),
        "an alarm went off before the update": (lambda: judged(alarm="ALARM", since=at(0.9)), Goes(30)),
        "nobody knows when an alarm went off": (lambda: judged(alarm="ALARM"), GONE_OFF),
        "an alarm has too few data": (lambda: judged(alarm="INSUFFICIENT_DATA", since=at(2)), Goes(30)),
        "an alarm went off as it was updated": (lambda: judged(alarm="ALARM", since=at(1)), GONE_OFF),
        "one second is left": (lambda: judged(minutes=11 + 59 / 60), Goes(1)),
        "half a second is left": (lambda: judged(minutes=11 + 59.5 / 60), Goes(1)),
        "no failed task is too early": (lambda: judged(*(stopped(2) for _ in range(3))), THREE),
        "an alarm goes off at the end": (lambda: judged(alarm="ALARM", since=at(12), minutes=12), GONE_OFF),
        "two tasks fail": (lambda: judged(stopped(2), stopped(3)), Goes(30)),
        "three tasks fail": (lambda: judged(stopped(2), stopped(3), stopped(3)), THREE),
        "three, one of them before": (lambda: judged(stopped(1.9), stopped(3), stopped(3)), Goes(30)),
        "three, one of which was scaled in": (lambda: judged(stopped(2), stopped(3), SCALED_IN), Goes(30)),
        "three of many": (lambda: judged(stopped(2), stopped(3), stopped(3), desired=10), Goes(30)),
        "half of many": (
            lambda: judged(*(stopped(3) for _ in range(5)), desired=10),
            Alarmed("5 of its tasks failed while it was watched", is_of_tasks=True),
        ),
        "half of an odd number": (lambda: judged(*(stopped(3) for _ in range(5)), desired=11), Goes(30)),
        "two hundred of a thousand": (
            lambda: judged(*(stopped(3) for _ in range(200)), desired=1000),
            Alarmed("200 of its tasks failed while it was watched", is_of_tasks=True),
        ),
    },
)
def test_a_watch(found: Callable[[], Watch], expected: Watch) -> None:
    assert typed(found()) == typed(expected)


def test_all_alarms_are_named() -> None:
    alarms = [Alarm(name, "ALARM", at(2)) for name in ("load", "5xx")]
    found = watching.watch(WatchKeys(600), at(2), at(1), at(3), alarms=alarms, tasks=(), desired=2, looks=0)
    assert found == Alarmed("the alarm load and the alarm 5xx went off while it was watched")
