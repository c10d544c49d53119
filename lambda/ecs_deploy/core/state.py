"""What the table remembers of a service: its state, which every change replaces, and its history.

ECS is asked what runs; the table holds what ECS does not remember.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

EVERY_CONTAINER = "*"
"""Stands for all containers, of whoever deploys a whole revision."""
LATEST_INTENTS = 5


class Phase(StrEnum):
    """What an execution does to the service."""

    DEPLOYING = "DEPLOYING"
    RETURNING = "RETURNING"


class Candidate(NamedTuple):
    """A request in the order of requests.

    `request` is the event's id for a push, else the execution's ARN; an execution that is started again keeps it.
    `failed_at` is when what it asked for was found not to work. `tag` is that of its image, and `policy` what the
    versions in such tags are read by, where pushes go by these.
    """

    execution: str
    request: str
    requested_at: datetime
    started_at: datetime
    is_push: bool = False
    digest: str = ""
    failed_at: datetime | None = None
    tag: str = ""
    policy: str = ""


class Base(NamedTuple):
    """What a revision is made from, and which deployment was PRIMARY then; ECS tells none where it shifts traffic."""

    revision: str
    deployment: str = ""
    created_at: datetime | None = None


class Intent(NamedTuple):
    """An UpdateService, written before it is called, since ECS may apply it long after nobody waits for it any more.

    Until its answer is noted, with the `deployment` that it made, it is the lock of one `invocation`, `until` that
    cannot run any more. `number` tells the calls of one rollout apart. `displaced` is a change by somebody else that it
    took the place of, and that the next revision has to be made from.
    """

    execution: str
    request: str
    containers: tuple[str, ...]
    revision: str
    base: Base
    number: int
    invocation: str
    at: datetime
    until: datetime
    deployment: str = ""
    noted_at: datetime | None = None
    displaced: str = ""

    def is_send(self, other: "Intent") -> bool:
        """Whether both are one call, sent by one invocation; each send may be applied by itself."""
        return self.is_same_call(other) and self.invocation == other.invocation

    def is_same_call(self, other: "Intent") -> bool:
        """Whether both are one call, sent again by another try."""
        mine, theirs = ((each.execution, each.revision, each.number) for each in (self, other))
        return mine == theirs


class Stable(NamedTuple):
    """What was stable last: where a failed deployment returns to, and since when.

    `digests` are those that its containers ran with, as far as they are known, and `parts` those that are listed in one
    that is an index. `written` are its images as they were written, where a return has pinned them.
    """

    revision: str
    at: datetime
    digests: Mapping[str, str] = {}
    parts: Mapping[str, tuple[str, ...] | None] = {}
    written: Mapping[str, str] = {}


class Hold(NamedTuple):
    """Why pushes wait."""

    why: str
    by: str
    at: datetime


class Watched(NamedTuple):
    """What is stable, and returned from if something goes wrong yet; deployed once nobody watches it any more."""

    candidate: Candidate
    stable: Stable


class Owner(NamedTuple):
    """The execution that deploys to the service now; one at a time."""

    execution: str
    containers: tuple[str, ...]
    since: datetime
    phase: Phase = Phase.DEPLOYING
    watched: Watched | None = None


class Answer(NamedTuple):
    """What somebody has answered who was asked for approval; `by` is the execution that brought the answer."""

    is_yes: bool
    by: str
    at: datetime
    why: str = ""


class GateTask(NamedTuple):
    """The task that has to end well before a service is updated.

    `token` makes ECS start it once; from `at`, when it was to be started, until `until` it may be on its way. At its
    `deadline` it is stopped, by whoever waits for its end. `task` is its ARN, once that is known. It has ended well
    (`is_passed`), or not, for the reason `failure`.
    """

    token: str
    revision: str
    at: datetime
    until: datetime
    deadline: datetime
    task: str = ""
    is_passed: bool = False
    failure: str = ""

    @property
    def is_over(self) -> bool:
        return self.is_passed or bool(self.failure)


class Gate(NamedTuple):
    """A request before its turn: it waits for an answer, or for its task, and displaces nothing."""

    candidate: Candidate
    containers: tuple[str, ...]
    since: datetime
    is_asking: bool = False
    answer: Answer | None = None
    task: GateTask | None = None


class State(NamedTuple):
    """The state of a service. `rev` counts its writes; `since` is when the service was first seen.

    By container, `newest` is the newest accepted request and `deployed` the one that was stable last. `broken_since` is
    when the failed rollout began that the service has not recovered from. Pushes wait for a person (`hold`) and since a
    revert (`revert_hold`); `held_for` is why the last one did that people were notified of. `gates` are of the requests
    before their turn, by execution.
    """

    rev: int
    since: datetime
    newest: Mapping[str, Candidate] = {}
    deployed: Mapping[str, Candidate] = {}
    owner: Owner | None = None
    intents: tuple[Intent, ...] = ()
    stable: Stable | None = None
    hold: Hold | None = None
    revert_hold: Hold | None = None
    held_for: str = ""
    broken_since: datetime | None = None
    gates: Mapping[str, Gate] = {}


class Result(StrEnum):
    """How an execution ended for its service."""

    DEPLOYED = "DEPLOYED"
    UNCHANGED = "UNCHANGED"
    FAILED = "FAILED"
    SUPERSEDED = "SUPERSEDED"
    """By a newer request. Without a verdict, it is started again if that one fails."""
    DISPLACED = "DISPLACED"
    """Somebody else has changed the service meanwhile."""
    HELD = "HELD"
    DIED = "DIED"
    STOPPED = "STOPPED"
    """A person stopped the execution."""
    ABANDONED = "ABANDONED"
    """The deployer could not go on, and left the deployment to ECS."""


class Entry(NamedTuple):
    """An execution in the history of its service. `again` is the request that would start it again.

    `revision` is there once the service was about to be updated; `digests` are those that it ran with, and
    `replaced_digests` those of what was stable before. `copies` are the revisions that were registered anew, each by
    what it is a copy of. `answer` is what a step has answered, so that one whose answer was lost finds it again.
    """

    candidate: Candidate
    containers: tuple[str, ...]
    again: Mapping[str, Any]
    image: str
    revision: str = ""
    replaced: str = ""
    result: Result | None = None
    ended_at: datetime | None = None
    answer: Mapping[str, Any] | None = None
    digests: Mapping[str, str] = {}
    replaced_digests: Mapping[str, str] = {}
    copies: Mapping[str, str] = {}
