"""A deployment: what was asked and what it replaces, which never changes, and what its phase has seen, which does.

Both are handed from state to state as JSON.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

from ecs_deploy.core.errors import Error
from ecs_deploy.core.poll_schedule import AFTER_SIGNAL
from ecs_deploy.core.signals import Signals
from ecs_deploy.core.state import Base, Candidate, Phase, Stable

# Each time a call of an older execution was applied late, or somebody changed the service in the very moment.
MOST_REPEATS = 2
# The clocks of ECS and of EventBridge are others than the function's, and events have whole seconds.
CLOCKS_DIFFER = timedelta(seconds=5)


class Explanation(NamedTuple):
    """Why a deployment failed, as far as it can be seen: the likely cause with the next step, and what was said."""

    cause: str = ""
    reasons: tuple[str, ...] = ()


class Failure(NamedTuple):
    """Why a deployment failed: the contract's error, a sentence, and what was observed."""

    error: Error
    message: str
    reasons: tuple[str, ...] = ()


class Plan(NamedTuple):
    """What an execution brings in.

    `revision` (an ARN, as are the others) has `image` in `containers`; it was made from `base`, and `registered` for
    this. `replaced` was stable before. `request` is the checked request; `timeout` is seconds; `broken_since` is
    when the failed rollout began that the service has not recovered from. `digests` are those that have to run, by
    container, in a return those that ran before, and `parts` those that are listed in one that is an index, None where
    nobody tells. `written` are the images as they were written, where a return has pinned them. `warnings` tell people
    what may keep this from being returned from. `copy_of` is what the revision is a copy of, where it is one.
    """

    candidate: Candidate
    cluster: str
    service: str
    request: Mapping[str, Any]
    containers: tuple[str, ...]
    image: str
    revision: str
    base: Base
    replaced: str
    timeout: int
    rollback: bool
    registered: bool = True
    broken_since: datetime | None = None
    digests: Mapping[str, str] = {}
    parts: Mapping[str, tuple[str, ...] | None] = {}
    written: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()
    copy_of: str = ""

    @property
    def key(self) -> str:
        """The service's name in the table."""
        return f"{self.cluster}/{self.service}"

    @property
    def execution(self) -> str:
        return self.candidate.execution

    def returning(self, stable: Stable | None, target: str) -> Self:
        """To bring back what was `stable`, if that is the `target`, with the digests that it ran with."""
        known = stable if stable and stable.revision == target else None
        return self._replace(digests=known.digests if known else {}, parts=known.parts if known else {})


class Progress(NamedTuple):
    """How far the deployment of a rollout has come, for people who watch: its tasks by state, of those desired."""

    desired: int
    running: int
    pending: int
    failed: int


class Rollout(NamedTuple):
    """What a phase has seen. `target` is the revision that it brings in, `deployment` the one that UpdateService made.

    `updated_at` is when, `changed_at` when ECS last had something new to show. On top of the timeout come, in seconds,
    what ECS waits by the service's own configuration, hooks included, `extra`, and what was `lost` while AWS could not
    be asked. `reason` is what ECS last said against it; `notified` are the hooks that people were notified of.
    It was first stable at `stable_at`, if a task or a watch follows that; `unseen` is what a watch could not read.
    `stops` is the service deployment that ECS is to roll back, where that is how to return. `signals` are
    those that were read before the last poll, and `looks` how many polls came since the last of them. `progress` is
    what the last poll has read, where ECS tells.
    """

    phase: Phase
    target: str
    deployment: str = ""
    updated_at: datetime | None = None
    extra: float = 0
    lost: float = 0
    polls: int = 0
    repeats: int = 0
    reason: str | None = None
    failure: Failure | None = None
    signals: Signals = Signals()
    looks: int = len(AFTER_SIGNAL)
    polled_at: datetime | None = None
    changed_at: datetime | None = None
    paused_since: datetime | None = None
    notified: tuple[str, ...] = ()
    service_deployment: str = ""
    stops: str = ""
    progress: Progress | None = None
    stable_at: datetime | None = None
    unseen: tuple[str, ...] = ()

    def updated(self, deployment: str, own_time: timedelta, at: datetime) -> Self:
        """After UpdateService has answered. Where ECS shifts traffic, a later poll finds the deployment."""
        return self._replace(
            deployment=deployment,
            service_deployment="",
            extra=own_time.total_seconds(),
            updated_at=at,
            polled_at=at,
            changed_at=at,
            looks=len(AFTER_SIGNAL),
        )

    def heard(self, signals: Signals) -> Self:
        """With the signals that were read before a poll."""
        looks = self.looks + 1 if signals.number == self.signals.number else 0
        return self._replace(signals=signals, looks=looks)

    @property
    def hears(self) -> bool:
        """Whether events of the service have arrived since it was updated."""
        heard_at = self.signals.heard_at
        return heard_at is not None and heard_at > self.since - CLOCKS_DIFFER

    def polled(self, now: datetime, entered_at: datetime, *, retried: bool) -> Self:
        """At a poll. If AWS could not be asked since `entered_at`, that time is not the rollout's, nor is a pause."""
        paused = _seconds(self.polled_at or now, now) if self.paused_since else 0
        lost = _seconds(entered_at, now) if retried and not paused else 0
        return self._replace(polls=self.polls + 1, extra=self.extra + paused, lost=self.lost + lost)

    def observed(self, now: datetime, *, is_paused: bool) -> Self:
        """After a poll. What was paused may not be shown anew yet; the time since the poll before is not its own."""
        began, before = self.paused_since, self.polled_at or now
        if not is_paused:
            return self._replace(paused_since=None, polled_at=now, changed_at=now if began else self.changed_at)
        paused = 0 if began else _seconds(before, now)
        return self._replace(extra=self.extra + paused, paused_since=began or before, polled_at=now, changed_at=now)

    def repeated(self) -> Self:
        """Update the service once more, which does not go on without end."""
        return self._replace(repeats=self.repeats + 1)

    @property
    def may_repeat(self) -> bool:
        return self.repeats < MOST_REPEATS

    @property
    def since(self) -> datetime:
        """When the service was updated in this phase, once it was."""
        if self.updated_at is None:
            raise ValueError("the service was not updated yet")
        return self.updated_at

    def elapsed(self, now: datetime) -> float:
        """Seconds since the service was updated in this phase."""
        return (now - self.since).total_seconds()

    def deadline(self, timeout: int) -> datetime:
        """When the rollout of this phase is overdue."""
        return self.since + timedelta(seconds=timeout + self.extra + self.lost)

    def stopped(self, at: datetime) -> Self:
        """After ECS was told to roll back `stops`, which the polls follow from now on."""
        return self.updated(self.stops, timedelta(), at)._replace(service_deployment=self.stops)

    def returning(self, target: str, failure: Failure, *, stops: str = "") -> Self:
        """Bring back `target` because of `failure`."""
        return type(self)(
            Phase.RETURNING,
            target,
            failure=failure,
            polls=self.polls,
            signals=self.signals,
            stops=stops,
        )


def _seconds(start: datetime, end: datetime) -> float:
    return max((end - start).total_seconds(), 0)
