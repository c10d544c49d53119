"""A deployment on its way, handed from state to state as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Self

from ecs_deploy.marks import Marks
from ecs_deploy.notation import instant, tag_value
from ecs_deploy.service import Service
from ecs_deploy.wait import Rhythm

# Each time an older execution came late and died before it could give back what it displaced.
MOST_TIMES_INSISTED = 3


class Phase(StrEnum):
    """What the deployer is doing to the service."""

    DEPLOYING = "DEPLOYING"
    ROLLING_BACK = "ROLLING_BACK"
    GIVING_BACK = "GIVING_BACK"


class Explanation(NamedTuple):
    """Why a deployment failed, as far as it can be seen: the likely cause with the next step, and what was said."""

    cause: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a deployment failed: the contract's error, a sentence, and what ECS said."""

    error: str
    message: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """A deployment on its way, handed from state to state as JSON.

    `revision` is the new one, with `image` in `containers`; `base` the one it was made from, in use since `base_since`;
    `replaced` the one that was stable before; `returns_to` the one that a rollback brings in, and `tried` those that it
    brought in and that failed too; `given_back` one that was displaced and must not be, after which the execution
    starts anew if `again`; `interrupted` one whose rollout was under way when this one took its place (all ARNs).
    `deployment` is the id that UpdateService answered, `updated_at` when it did, `reason` what ECS last said against
    it. Times are ISO 8601 in UTC; `timeout`, and what comes on top of it, `bake_time` and the time that was `lost`
    while AWS could not be asked, are seconds. `rhythm` is what the waits go by, `asked` the checked
    request, and `broken_since` when the failed rollout began that the service has not recovered from, if any.
    """

    execution: str
    cluster: str
    service: str
    image: str
    containers: tuple[str, ...]
    revision: str
    base: str
    base_since: str
    replaced: str
    timeout: int
    rollback: bool
    request: str
    requested_at: str
    started_at: str
    returns_to: str = ""
    tried: tuple[str, ...] = ()
    asked: dict[str, Any] = field(default_factory=dict)
    broken_since: str = ""
    given_back: str = ""
    again: bool = False
    interrupted: str = ""
    insisted: int = 0
    phase: str = Phase.DEPLOYING
    deployment: str = ""
    updated_at: str = ""
    bake_time: int = 0
    lost: float = 0
    polls: int = 0
    reason: str | None = None
    failure: Failure | None = None
    rhythm: Rhythm = field(default_factory=Rhythm)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `as_json` gave, here or in another release: the functions may change under an execution.

        A member that is missing has its default, and one that is unknown is passed over.
        """
        known = {each.name: document[each.name] for each in fields(cls) if each.name in document}
        for key in known.keys() & {"containers", "tried"}:
            known[key] = tuple(known[key])
        if failure := known.get("failure"):
            known["failure"] = Failure(failure["error"], failure["message"], tuple(failure["reasons"]))
        rhythm = known.get("rhythm", {})
        known["rhythm"] = Rhythm(**{each.name: rhythm[each.name] for each in fields(Rhythm) if each.name in rhythm})
        return cls(**known)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def deadline(self) -> datetime:
        """When the rollout of this phase is overdue, once the service was updated."""
        return self.updated_at_time + timedelta(seconds=self.timeout + self.bake_time + self.lost)

    @property
    def updated_at_time(self) -> datetime:
        return datetime.fromisoformat(self.updated_at)

    def elapsed(self, now: datetime) -> float:
        """Seconds since the service was updated in this phase."""
        return (now - self.updated_at_time).total_seconds()

    @property
    def target(self) -> str:
        """The revision that the service shall run in this phase."""
        targets = {Phase.DEPLOYING: self.revision, Phase.ROLLING_BACK: self.returns_to}
        return targets.get(Phase(self.phase), self.given_back)

    @property
    def marks(self) -> Marks:
        """The place of this execution in the order of requests."""
        return Marks(
            f"{self.cluster}/{self.service}",
            self.request,
            tag_value(self.execution),
            datetime.fromisoformat(self.requested_at),
            datetime.fromisoformat(self.started_at),
            self.replaced,
            self.containers,
        )

    @property
    def before(self) -> set[str]:
        """The revisions that the target takes the place of."""
        known = {self.base, self.replaced, self.revision, self.returns_to, self.given_back, *self.tried}
        return known - {self.target, ""}

    @property
    def may_insist(self) -> bool:
        """Whether the target may be brought in once more: not without end."""
        return self.insisted < MOST_TIMES_INSISTED

    def insisting(self) -> Self:
        return replace(self, insisted=self.insisted + 1)

    def updated(self, service: Service, now: datetime) -> Self:
        """After UpdateService has answered `service`.

        Which service deployment it made is not sure from the answer where ECS shifts traffic; a later look tells.
        """
        return replace(
            self,
            deployment=service.primary.id if service.is_rolling else "",
            bake_time=round(service.bake_time.total_seconds()),
            updated_at=instant(now),
            interrupted=self.interrupted or service.interrupted,
            rhythm=self.rhythm.anew(known=self.phase == Phase.DEPLOYING),
        )

    def begun_anew(self, service: Service) -> Self:
        """After somebody gave the new revision back: its rollout, and its deadline, count from then."""
        primary = service.primary
        ours = self.phase == Phase.DEPLOYING and primary.revision == self.revision and primary.id != self.deployment
        if not ours or not self.may_insist or not primary.created_at or primary.created_at <= self.updated_at_time:
            return self
        return replace(self.insisting(), deployment=primary.id, updated_at=instant(primary.created_at))

    def following(self, deployment: str) -> Self:
        return replace(self, deployment=deployment)

    def polled(self, *, retried: bool) -> Self:
        """After a poll; `retried` if AWS throttled or failed it first."""
        return replace(self, polls=self.polls + 1, rhythm=self.rhythm.throttled(was=retried))

    def heard(self, reason: str | None) -> Self:
        return replace(self, reason=reason or self.reason)

    def delayed(self, seconds: float) -> Self:
        return replace(self, lost=self.lost + seconds)

    def returning_to(self, revision: str, failure: Failure, *, after: str = "") -> Self:
        """Bring in `revision` because of `failure`, `after` the return to another one failed too."""
        return replace(
            self,
            phase=Phase.ROLLING_BACK,
            returns_to=revision,
            tried=(*self.tried, after) if after else self.tried,
            deployment="",
            updated_at="",
            lost=0,
            insisted=0,
            reason=None,
            failure=failure,
        )

    def giving_back(self, revision: str, *, again: bool) -> Self:
        return replace(self, phase=Phase.GIVING_BACK, given_back=revision, again=again)
