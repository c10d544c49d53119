"""A clock that only moves when a test says so."""

from datetime import UTC, datetime, timedelta


class RealClock:
    """The time that passes."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Clock:
    """Virtual time; a test of a rollout of ten minutes takes no second."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
