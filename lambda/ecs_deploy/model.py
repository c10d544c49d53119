"""What the core decides about: a service and its deployments as ECS describes them, and a deployment on its way."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from ecs_deploy.wait import Rhythm, Stage

ROLLING = "ROLLING"


class Home(NamedTuple):
    """The account and region that the deployer serves; a request cannot reach out of it."""

    account: str
    region: str


class Deployment(NamedTuple):
    """One deployment of a service.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html
    """

    id: str
    status: str
    revision: str
    desired: int
    pending: int
    running: int
    failed_tasks: int
    rollout_state: str | None
    rollout_reason: str | None
    created_at: datetime | None

    @classmethod
    def described(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            id=document["id"],
            status=document["status"],
            revision=document["taskDefinition"],
            desired=document.get("desiredCount", 0),
            pending=document.get("pendingCount", 0),
            running=document.get("runningCount", 0),
            failed_tasks=document.get("failedTasks", 0),
            rollout_state=document.get("rolloutState"),
            rollout_reason=document.get("rolloutStateReason"),
            created_at=document.get("createdAt"),
        )


class Event(NamedTuple):
    """A line of a service's event stream, of which ECS shows the latest hundred."""

    at: datetime
    message: str


class Container(NamedTuple):
    """A container of a task; the exit code is absent where it never ran or still runs."""

    name: str
    exit_code: int | None
    reason: str | None


class Task(NamedTuple):
    """A task of a service: on its way, running, or stopped within the last hour.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
    """

    arn: str
    revision: str
    status: str
    health: str
    started_at: datetime | None
    stopped_at: datetime | None
    stop_code: str | None
    stopped_reason: str | None
    containers: tuple[Container, ...]

    @classmethod
    def described(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            arn=document["taskArn"],
            revision=document["taskDefinitionArn"],
            status=document.get("lastStatus", ""),
            health=document.get("healthStatus", "UNKNOWN"),
            started_at=document.get("startedAt"),
            stopped_at=document.get("stoppedAt"),
            stop_code=document.get("stopCode"),
            stopped_reason=document.get("stoppedReason"),
            containers=tuple(
                Container(each["name"], each.get("exitCode"), each.get("reason")) for each in document["containers"]
            ),
        )

    @property
    def has_failed(self) -> bool:
        """Whether it stopped by itself: what the scheduler or a person stops has not failed."""
        return self.status == "STOPPED" and self.stop_code not in {"ServiceSchedulerInitiated", "UserInitiated"}


class Service(NamedTuple):
    """A service as DescribeServices and UpdateService answer it.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html
    """

    name: str
    cluster: str
    status: str
    controller: str
    strategy: str
    bake_time: timedelta
    desired: int
    revision: str
    service_deployment: str
    has_circuit_breaker: bool
    rolls_back_itself: bool
    deployments: tuple[Deployment, ...]
    events: tuple[Event, ...]

    @classmethod
    def described(cls, document: Mapping[str, Any]) -> Self:
        configuration = document.get("deploymentConfiguration", {})
        breaker = configuration.get("deploymentCircuitBreaker", {})
        alarms = configuration.get("alarms", {})
        return cls(
            name=document["serviceName"],
            cluster=document["clusterArn"].rpartition("/")[2],
            status=document["status"],
            controller=document.get("deploymentController", {}).get("type", "ECS"),
            strategy=configuration.get("strategy", ROLLING),
            bake_time=_bake_time(configuration),
            desired=document.get("desiredCount", 0),
            revision=document.get("taskDefinition", ""),
            service_deployment=document.get("currentServiceDeployment", ""),
            has_circuit_breaker=breaker.get("enable", False),
            rolls_back_itself=any(each.get("enable") and each.get("rollback") for each in (breaker, alarms)),
            deployments=tuple(Deployment.described(each) for each in document.get("deployments", ())),
            events=tuple(Event(each["createdAt"], each["message"]) for each in document.get("events", ())),
        )

    @property
    def is_active(self) -> bool:
        """Whether it is neither deleted nor about to be."""
        return self.status == "ACTIVE"

    @property
    def is_rolling(self) -> bool:
        """Whether deployments replace tasks in place; otherwise ECS shifts traffic, in a service deployment."""
        return self.strategy == ROLLING

    @property
    def is_rolling_out(self) -> bool:
        """Whether what is in use was not stable yet, while there is one to return to."""
        return self.is_rolling and self.proven != self.in_use

    @property
    def in_use(self) -> str:
        """The revision that new tasks are started from."""
        return self.primary.revision if self.is_rolling else self.revision

    @property
    def deployment(self) -> str:
        """The id of the deployment that brings in, or brought in, what is in use; empty where ECS does not tell."""
        name = self.primary.id if self.is_rolling else self.service_deployment
        return name.rpartition("/")[2]

    @property
    def primary(self) -> Deployment:
        """The deployment that new tasks are started from; every active service that rolls has one."""
        return next(each for each in self.deployments if each.status == "PRIMARY")

    @property
    def stage(self) -> Stage:
        """How far the rollout is that is under way; where ECS shifts traffic, the tasks do not tell."""
        if not self.is_rolling or not self.deployments:
            return Stage.ENDING
        others = [each for each in self.deployments if each.status != "PRIMARY"]
        if self.primary.running < self.primary.desired:
            return Stage.STARTING if any(each.running for each in others) else Stage.ENDING
        return Stage.ENDING if others else Stage.ALONE

    @property
    def displaced(self) -> str | None:
        """The revision that was in use until the one that is took its place, while any of its deployment is left."""
        active = [(each.created_at, each.revision) for each in self.deployments if each.status == "ACTIVE"]
        dated = [(created_at, revision) for created_at, revision in active if created_at]
        # The first of two made in the same moment: ECS lists the newest first.
        return max(dated, key=lambda pair: pair[0])[1] if dated else None

    @property
    def interrupted(self) -> str:
        """The displaced revision, if its rollout was not complete: whoever follows it may still undo it."""
        states = {each.revision: each.rollout_state for each in self.deployments if each.status == "ACTIVE"}
        return self.displaced if self.displaced and states[self.displaced] != "COMPLETED" else ""

    @property
    def proven(self) -> str:
        """The revision to return to: the newest that reached a steady state, else the one in use.

        While a rollout is under way or has failed, the deployment it replaces is still listed as ACTIVE.
        """
        complete = (each.revision for each in self.deployments if each.rollout_state in {"COMPLETED", None})
        return next(complete, self.in_use)


def _bake_time(configuration: Mapping[str, Any]) -> timedelta:
    """How long ECS lets both revisions run while it watches, over all the steps of the traffic shift.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
    """
    linear, canary = configuration.get("linearConfiguration", {}), configuration.get("canaryConfiguration", {})
    steps = 100 / linear.get("stepPercent", 100)
    minutes = (
        configuration.get("bakeTimeInMinutes", 0)
        + steps * linear.get("stepBakeTimeInMinutes", 0)
        + canary.get("canaryBakeTimeInMinutes", 0)
    )
    return timedelta(minutes=minutes)


class ServiceDeployment(NamedTuple):
    """A deployment that shifts traffic (BLUE_GREEN, LINEAR, CANARY), and the revision it brings in.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html
    """

    arn: str
    status: str
    stage: str
    reason: str | None
    created_at: datetime
    revision: str


class Proof(StrEnum):
    """What a deployment of a revision showed."""

    STABLE = "stable"
    FAILED = "failed"


_PROOF_TAG = "ecs-deploy:proof"
_SECONDS_TAG = "ecs-deploy:seconds"
_DEPLOYMENT_TAG = "ecs-deploy:deployment"
TAGS_OF_AN_END = (_PROOF_TAG, _SECONDS_TAG, _DEPLOYMENT_TAG)
"""The tags that a revision may earn when its rollout has ended."""


def proof_tag(proof: Proof, revision: str) -> dict[str, str]:
    """The tag that says of a revision that it was stable, or failed.

    Its value names the revision, because tags can be copied to another, as the console's "create new revision" does.
    """
    return {_PROOF_TAG: f"{short(revision)} {proof}"}


def is_proven(proof: Proof, revision: str, tags: Mapping[str, str]) -> bool:
    """Whether this is what `revision` itself showed, and not one that its tags were copied from."""
    return proof_tag(proof, revision).items() <= tags.items()


def seconds_tag(rhythm: Rhythm, elapsed: float) -> dict[str, str]:
    """The tag that says how long a rollout took which was seen complete after `elapsed` seconds."""
    return {_SECONDS_TAG: rhythm.memory(elapsed)}


def rhythm_of(revision: str, tags: Mapping[str, str]) -> Rhythm:
    """What `revision` tells about how long its service's rollouts take; nothing unless it was stable itself."""
    return Rhythm.remembered(tags.get(_SECONDS_TAG, "")) if is_proven(Proof.STABLE, revision, tags) else Rhythm()


def deployment_tag(service: Service) -> dict[str, str]:
    """The tag that says of the revision in use which deployment brought it in, the last time that the deployer did.

    Where ECS tells of another one, somebody else has decided what the service runs.
    """
    return {_DEPLOYMENT_TAG: service.deployment} if service.deployment else {}


def brought_in(service: Service, tags: Mapping[str, str]) -> bool:
    """Whether the deployer brought in what is in use, by what the tags of that revision tell."""
    tag = deployment_tag(service)
    return bool(tag) and tag.items() <= tags.items()


def short(revision: str) -> str:
    """``family:number`` of a revision's ARN."""
    return revision.rpartition("/")[2]


def family(revision: str) -> str:
    """The family in a revision's ARN."""
    return short(revision).rpartition(":")[0]


def number(revision: str) -> int:
    """The number in a revision's ARN; ECS counts each family up by one."""
    return int(revision.rpartition(":")[2])


EVERY_CONTAINER = ("*",)
SWEEP = "sweep-"
"""What the request of a sweep begins with; the id of an event does not."""
_CONTAINERS_TAG = "ecs-deploy:containers"
_DIGEST_TAG = "ecs-deploy:digest"
_LONGEST_TAG_VALUE = 256


@dataclass(frozen=True, slots=True)
class Marks:
    """What the deployer remembers, as tags on the revision it registered.

    `containers` are those that the request changed; whoever deploys a whole revision changes `EVERY_CONTAINER`.
    `digest` is that of the image which was pushed, where a push asked for it.
    """

    service: str
    request: str
    execution: str
    requested_at: datetime
    started_at: datetime
    replaces: str
    containers: tuple[str, ...] = EVERY_CONTAINER
    digest: str = ""

    def as_tags(self) -> dict[str, str]:
        return {
            "ecs-deploy:service": self.service,
            "ecs-deploy:request": self.request,
            "ecs-deploy:execution": self.execution,
            "ecs-deploy:requested-at": instant(self.requested_at),
            "ecs-deploy:started-at": instant(self.started_at),
            "ecs-deploy:replaces": self.replaces,
            _CONTAINERS_TAG: self._containers_tag,
            **({_DIGEST_TAG: self.digest} if self.digest else {}),
        }

    @property
    def is_of_a_sweep(self) -> bool:
        """Whether a sweep has asked, for a push whose event was missed."""
        return self.request.startswith(SWEEP)

    @property
    def _containers_tag(self) -> str:
        text = " ".join(self.containers)
        return text if len(text) <= _LONGEST_TAG_VALUE else EVERY_CONTAINER[0]

    @classmethod
    def read(cls, revision: str, tags: Mapping[str, str]) -> Self | None:
        """The marks among a revision's tags, or None where the deployer did not write them, or not to this revision.

        A copy of a revision that has shown what it is, as the console's "create new revision" makes, is a person's.
        """
        if tags.get(_PROOF_TAG, short(revision)).partition(" ")[0] != short(revision):
            return None
        try:
            return cls(
                tags["ecs-deploy:service"],
                tags["ecs-deploy:request"],
                tags["ecs-deploy:execution"],
                datetime.fromisoformat(tags["ecs-deploy:requested-at"]),
                datetime.fromisoformat(tags["ecs-deploy:started-at"]),
                tags["ecs-deploy:replaces"],
                tuple(tags.get(_CONTAINERS_TAG, "").split()) or EVERY_CONTAINER,
                tags.get(_DIGEST_TAG, ""),
            )
        except (KeyError, ValueError):
            return None


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


def tag_value(text: str) -> str:
    """`text` in the letters that a tag on an ECS resource may have, different texts staying different.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tag.html
    """
    return quote(text, safe=" +-._:/@").replace("%", "=").replace("~", "=7E")[:256]


def instant(moment: datetime) -> str:
    """ISO 8601 in UTC to the millisecond, so that the text sorts as the time does."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
