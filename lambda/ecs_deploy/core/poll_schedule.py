"""When to poll, where no event of ECS ends the wait before: often until events arrive, seldom from then on.

Events only say when to poll: they come late, twice, or never. An event of the service since its update shows that they
arrive. Without any, the polls alone notice the end of a rollout a tenth of its time late at most, or a minute where
that is more. The numbers are held by tests/unit/test_poll_schedule.py.
"""

from math import ceil

OFTEN = 60
_SHARE = 0.1
# What two polls take is part of how late the second one is.
_POLLS = 4
_SPARSER = 4
_LONGEST_PAUSE = 3_600

AFTER_SIGNAL = (1, 1, 2, 4, 8, 16, 32)
"""Seconds between the polls after a signal: what ECS has sent an event of may not be shown yet, for up to a minute."""


def next_wait(elapsed: float, left: float, *, looks: int, hears: bool) -> int:
    """Whole seconds to wait for a rollout, `elapsed` seconds after the update and `left` before the deadline.

    `looks` polls came since the last signal, and `hears` says that events arrive.
    """
    if looks < len(AFTER_SIGNAL):
        pause: float = AFTER_SIGNAL[looks]
    elif hears:
        pause = max(OFTEN, (_SPARSER - 1) * elapsed)
    else:
        pause = max(OFTEN, _SHARE * elapsed) - _POLLS
    # Never past the deadline: a timed-out deployment is undone when it times out, not a minute later.
    return max(1, ceil(min(pause, left)))


def next_pause(paused: float, *, looks: int, hears: bool) -> int:
    """Whole seconds to wait for somebody to decide, `paused` seconds after that began: it may last for days."""
    if looks < len(AFTER_SIGNAL):
        return AFTER_SIGNAL[looks]
    return _LONGEST_PAUSE if hears else ceil(min(max(OFTEN, _SHARE * paused) - _POLLS, _LONGEST_PAUSE))
