"""How long to wait before the next poll: polls cluster where the end of a rollout is likely, and thin out elsewhere.

A pure function of what is known. While tasks of the new revision are missing and old ones run, the rollout cannot end
soon, because the old ones still have to go. From then on it may end at any moment, and is noticed at most a tenth of
its time late. Where the service was deployed before, the polls wait for the time at which that rollout's tasks ran, and
then for the time after which it was complete.

The numbers are from replays of 10,000 random rollouts: `python -m tests.bench.replay` prints them, and
tests/unit/test_poll_schedule.py holds them. A deployment of a day polls no more often than the 25,000 events of an
execution's history bear: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

from enum import Enum, auto
from typing import NamedTuple, Self
from zlib import crc32

SHORTEST = 3
LONGEST = 120
# A rollout is noticed at most this share of its time late.
_SHARE = 0.1
# When the last new task runs, ECS tells the old ones to stop, they stop, and ECS looks again. Each poll draws its own,
# so that the executions which one push has started drift apart.
_OLD_TASKS_TAKE = (3.5, 5.0)
# Of a rollout that ends early, a few seconds are a large part.
_EARLY = 110
_LONGEST_EARLY = 5
# When only the new deployment is left, ECS is about to call it complete.
_SHARE_ALONE = 0.03

# What the rollouts of a service mostly vary by, and the polls to spend on one that does not vary by more.
_VARIES = 0.2
_MOST_POLLS = 15
_WHOLE_SECONDS = 1
# A poll that still misses tasks shows that they ran after it.
_AHEAD = 0.05

_SLOWEST = 8.0
_QUICKER = 0.9


class Stage(Enum):
    """How far a rollout is, as DescribeServices shows it."""

    STARTING = auto()
    """New tasks are missing, and old ones run."""
    ENDING = auto()
    """All new tasks run, or no old one is left to wait for."""
    ALONE = auto()
    """All new tasks run, and no other deployment is listed."""


class PollSchedule(NamedTuple):
    """What the waits of a rollout go by, handed on from poll to poll. All times are seconds.

    `start` and `end` are of the service's last rollout: until all its tasks ran, and from then until it was complete;
    both are 0 where none is known. Of this one, after the update: `polled` is the last poll, `missed` the last one that
    missed new tasks, `ran` the first one that did not. `backoff` stretches the waits, after AWS has throttled.
    """

    start: float = 0
    end: float = 0
    polled: float = 0
    missed: float = 0
    ran: float | None = None
    backoff: float = 1

    @classmethod
    def remembered(cls, text: str) -> Self:
        """The schedule that a rollout which took `text` leaves for the next one; none where it cannot be read."""
        start, _, end = text.partition("+")
        return cls(int(start), int(end)) if start.isdecimal() and end.isdecimal() else cls()

    def memory(self, elapsed: float) -> str:
        """What to remember of a rollout that was seen complete after `elapsed` seconds, for `remembered`.

        What was seen between two looks happened midway, on average.
        """
        end = (self.polled + elapsed) / 2
        start = end if self.ran is None else (self.missed + self.ran) / 2
        return f"{round(start)}+{round(end - start)}"

    def anew(self, *, known: bool) -> Self:
        """At the start of another rollout; `known` if it is like those before."""
        return type(self)(self.start, self.end, backoff=self.backoff) if known else type(self)(backoff=self.backoff)

    def throttled(self, *, was: bool) -> Self:
        """After a poll that AWS throttled first, or not: twice as slow, then slowly back."""
        return self._replace(backoff=min(self.backoff * 2, _SLOWEST) if was else max(self.backoff * _QUICKER, 1))

    def next_wait(self, stage: Stage, elapsed: float, left: float, polls: int, jitter: float) -> tuple[int, Self]:
        """Whole seconds to wait, and the schedule after that.

        `elapsed` seconds after the update, `left` seconds before the deadline, with `polls` done; `jitter` of 0 to 1.
        """
        polled = self._seen(stage, elapsed)
        pause = polled.backoff * (polled._known(elapsed, polls) or _unknown(stage, elapsed, jitter))
        # Never past the deadline: a timed-out deployment is undone when it times out, not a minute later.
        return max(1, int(min(pause, LONGEST, left))), polled

    def _seen(self, stage: Stage, elapsed: float) -> Self:
        if stage is Stage.STARTING:
            return self._replace(polled=elapsed, missed=elapsed, ran=None)
        return self._replace(polled=elapsed, ran=elapsed if self.ran is None else self.ran)

    def _known(self, elapsed: float, polls: int) -> float | None:
        """Seconds to wait for what the last rollout makes likely; None where that has passed, or none is known."""
        if self.start + self.end == 0:
            return None
        if self.ran is None:
            earliest, latest = self.start * (1 - _VARIES - _AHEAD), self.start * (1 + _VARIES)
            pause = _SHARE * elapsed
        else:
            earliest, latest = self.missed + self.end * (1 - _VARIES), self.ran + self.end * (1 + _VARIES)
            latest += _WHOLE_SECONDS
            pause = min((latest - elapsed) / max(_MOST_POLLS - polls, 1), _SHARE * elapsed)
        if elapsed >= latest:
            return None
        return max(SHORTEST, pause, earliest - elapsed)


def _unknown(stage: Stage, elapsed: float, jitter: float) -> float:
    """Seconds to wait where nothing is known of the service's rollouts."""
    share = _SHARE_ALONE if stage is Stage.ALONE else _SHARE
    pause = max(SHORTEST, share * elapsed)
    if stage is Stage.STARTING:
        least, most = _OLD_TASKS_TAKE
        return pause + least + jitter * (most - least)
    return min(pause, _LONGEST_EARLY) if elapsed < _EARLY else pause


def jitter(execution: str, polls: int) -> float:
    """A number of 0 to 1, the same each time for this poll of this execution, and another for others."""
    return crc32(f"{execution} {polls}".encode()) / 2**32
