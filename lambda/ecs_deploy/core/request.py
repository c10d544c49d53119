"""The request: what an execution was asked to do, checked whole before anything else happens."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from ecs_deploy.core import gate_keys
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.formats import instant
from ecs_deploy.core.gate_keys import GateKeys
from ecs_deploy.core.image import ImageReference, InvalidImageReference, check_tag
from ecs_deploy.core.tag_policy import is_policy

T = TypeVar("T")

DEFAULT_TIMEOUT = 600
SHORTEST_TIMEOUT = 10
LONGEST_TIMEOUT = 86_400

# Compiled when they are used, which is rarely: a start does not wait for them.
_NAME = r"[A-Za-z0-9_-]{1,255}"
_CLUSTER_ARN = rf"arn:[a-z-]+:ecs:([a-z0-9-]+):([0-9]{{12}}):cluster/({_NAME})"
_SERVICE_ARN = rf"arn:[a-z-]+:ecs:([a-z0-9-]+):([0-9]{{12}}):service/(?:({_NAME})/)?({_NAME})"
# What a tag on an ECS resource may hold:
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tag.html
_TAG_VALUE = r"[A-Za-z0-9 +=._:/@-]{1,256}"
_DIGEST = r"sha[0-9]{3}:[A-Za-z0-9]{1,128}"
_REVISION = rf"(?:arn:[a-z-]+:ecs:([a-z0-9-]+):([0-9]{{12}}):task-definition/)?({_NAME}:[1-9][0-9]{{0,9}})"
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
_EXECUTION = (
    r"(?:arn:[a-z-]+:states:([a-z0-9-]+):([0-9]{12}):execution:[A-Za-z0-9_-]{1,80}:)?"
    r"([A-Za-z0-9._+=()@'!-]{1,80})"
)
_PUSH_NEEDS = ("id", "time")
_PUSH_KEYS = (*_PUSH_NEEDS, "digest", "repository", "tag", "policy")
_RESTART_NEEDS = ("request", "time")
_RESTART_KEYS = (*_RESTART_NEEDS, "digest")
_LONGEST_WHY = 500
_LONGEST_QUOTE = 80
_MOST_UNKNOWN_KEYS = 20


class Push(NamedTuple):
    """The image push that asked for the deployment: EventBridge's event id, its time in UTC, the image's digest.

    `policy` is what the versions of such pushes are read by, if they go by these.
    """

    id: str
    time: datetime
    digest: str = ""
    policy: str = ""


class NewImage(NamedTuple):
    """Deploy an image, which carries its tag, in the containers of its repository or in the one that is named."""

    image: ImageReference
    container: str | None


class OldRevision(NamedTuple):
    """Deploy a revision that is registered already: ``family:number``."""

    revision: str


@dataclass(frozen=True)
class Revert:
    """Deploy the newest earlier revision that was stable."""


class Hold(NamedTuple):
    """Let pushes wait, for a reason that people are told."""

    why: str


@dataclass(frozen=True)
class Release:
    """Let pushes go on."""


@dataclass(frozen=True)
class ShowStatus:
    """Show what runs, what is newest, what is held and what rolls out."""


@dataclass(frozen=True)
class ShowHistory:
    """Show what ran when, by whose request, and how it ended."""


class Answer(NamedTuple):
    """Answer an execution, by its name, that asks for approval or waits at a hook that pauses it."""

    execution: str
    is_yes: bool
    why: str = ""


Wanted = NewImage | OldRevision | Revert
"""What to deploy."""
Shown = ShowStatus | ShowHistory
"""What to show."""


class Restart(NamedTuple):
    """The request that an execution is started again for: its identity, its time in UTC, and the image's digest."""

    request: str
    time: datetime
    digest: str = ""


class Request(NamedTuple):
    """A checked request; `cluster` and `service` are names, timeout is seconds.

    With `pin`, the new revision has the image's digest. With `require_rollback`, nothing is deployed that could not be
    returned from; with `retain`, the image to return to is kept in ECR. With `dry_run`, nothing is written. `gates` are
    what it has to pass. It is a member of the group `together`. What it asks for is run by the
    service `promoted_from`, by its name in the table.
    """

    cluster: str
    service: str
    wanted: Wanted | Hold | Release | Shown | Answer
    timeout: int = DEFAULT_TIMEOUT
    rollback: bool = True
    pin: bool = True
    require_rollback: bool = False
    retain: bool = False
    push: Push | None = None
    restart: Restart | None = None
    dry_run: bool = False
    gates: GateKeys = GateKeys()
    together: str = ""
    promoted_from: str = ""

    @property
    def key(self) -> str:
        """The service's name in the table."""
        return f"{self.cluster}/{self.service}"

    def as_json(self) -> dict[str, Any]:
        """The request as it was understood, in its own keys."""
        match self.wanted:
            case NewImage(image, container):
                wanted: dict[str, Any] = {"image": str(image), **({"container": container} if container else {})}
            case OldRevision(revision):
                wanted = {"revision": revision}
            case Revert():
                wanted = {"revert": True}
            case Hold(why):
                return {"cluster": self.cluster, "service": self.service, "hold": why}
            case Release():
                return {"cluster": self.cluster, "service": self.service, "release": True}
            case ShowStatus():
                return {"cluster": self.cluster, "service": self.service, "status": True}
            case ShowHistory():
                return {"cluster": self.cluster, "service": self.service, "history": True}
            case Answer(execution, is_yes, why):
                said = {"approve": execution} if is_yes else {"reject": execution, "why": why}
                return {"cluster": self.cluster, "service": self.service, **said}
        push = {"push": {"id": self.push.id, "time": instant(self.push.time)}} if self.push else {}
        if self.push:
            push["push"] |= {key: getattr(self.push, key) for key in ("digest", "policy") if getattr(self.push, key)}
        whole = {"cluster": self.cluster, "service": self.service, **wanted}
        flags = {
            **({} if self.pin else {"pin": False}),
            **({"requireRollback": True} if self.require_rollback else {}),
            **({"retain": True} if self.retain else {}),
            **({"dryRun": True} if self.dry_run else {}),
            **self.gates.as_json(),
            **({"together": self.together} if self.together else {}),
            **({"promotedFrom": self.promoted_from} if self.promoted_from else {}),
        }
        return {**whole, "timeout": self.timeout, "rollback": self.rollback, **flags, **push}


def parse(document: object, environment: Environment) -> Request:
    """Check the input of an execution; raises `DeployError`, which names every wrong key at once."""
    if not isinstance(document, dict):
        raise DeployError(
            Error.INVALID_REQUEST,
            f"The request must be a JSON object with cluster, service and image, not {_quote(document)}.",
        )
    reader = _Reader(document, environment)
    reader.problems += _unknown(set(document) - reader.KEYS, "", "is not a key of a request")
    cluster = reader.cluster()
    service = reader.service(cluster)
    if "serviceTags" in document:
        raise DeployError(Error.INVALID_REQUEST, _about_tags(cluster, service, document["serviceTags"]))
    wanted = reader.wanted()
    request = (
        reader.integer("timeout", DEFAULT_TIMEOUT, SHORTEST_TIMEOUT, LONGEST_TIMEOUT),
        reader.boolean("rollback", default=True),
        reader.boolean("pin", default=True),
        reader.boolean("requireRollback", default=False),
        reader.boolean("retain", default=False),
        reader.push(),
        reader.restart(),
        reader.boolean("dryRun", default=False),
    )
    together, stage = reader.text("together"), reader.stage()
    reader.problems += gate_keys.problems(document)
    if reader.problems or wanted is None:
        raise DeployError(Error.INVALID_REQUEST, "The request is not valid. " + "; ".join(reader.problems) + ".")
    return Request(
        cluster, service, wanted, *request, gates=gate_keys.read(document), together=together, promoted_from=stage
    )


def _about_tags(cluster: str, service: str, tags: object) -> str:
    """What is wrong with the tags of a service, which the dispatcher has found so."""
    # Nothing else needs it, and each start would wait for it.
    from ecs_deploy.core.discovery import InvalidTags, target_of  # noqa: PLC0415

    try:
        target_of(cluster, service, {str(key): str(value) for key, value in dict(tags).items()})  # type: ignore[call-overload]
    except InvalidTags as error:
        return (
            f"Pushes do not deploy to {service} in {cluster}: the tags of the service are wrong. {error}. Correct them."
        )
    except (TypeError, ValueError):
        return f"serviceTags: must be an object of texts, not {_quote(tags)}."
    return "serviceTags: says nothing that is wrong. Leave it out."


class _Reader:
    """Reads a value for each key and gathers what is wrong instead of stopping at the first."""

    WANTED = ("image", "revision", "revert", "hold", "release", "status", "history", "approve", "reject")
    FLAGS = ("revert", "release", "status", "history")
    OF_AN_IMAGE = ("tag", "container", "pin", "requireRollback", "retain")
    OF_A_DEPLOYMENT = (
        *("timeout", "rollback", "push", "restart", "dryRun"),
        *("approval", "before", "after", "watch", "together", "promotedFrom"),
    )
    KEYS = frozenset({"cluster", "service", "serviceTags", "why", *WANTED, *OF_AN_IMAGE, *OF_A_DEPLOYMENT})

    def __init__(self, document: Mapping[str, Any], environment: Environment) -> None:
        self.document = document
        self.environment = environment
        self.problems: list[str] = []

    def wrong(self, key: str, why: str) -> None:
        self.problems.append(f"{key}: {why}")

    def text(self, key: str, *, required: bool = False) -> str:
        value = self.document.get(key)
        if value is None and key not in self.document:
            if required:
                self.wrong(key, "is missing")
            return ""
        if not isinstance(value, str):
            self.wrong(key, f"must be a string, not {_quote(value)}")
            return ""
        if not value:
            self.wrong(key, "must not be empty")
        return value

    def stage(self) -> str:
        """The service that runs what is promoted: a cluster and a service with / between."""
        text = self.text("promotedFrom")
        if text and not re.fullmatch(f"{_NAME}/{_NAME}", text):
            self.wrong("promotedFrom", f"{_quote(text)} is not a cluster and a service with / between")
        return text

    def boolean(self, key: str, *, default: bool) -> bool:
        value = self.document.get(key, default)
        if not isinstance(value, bool):
            self.wrong(key, f"must be true or false, not {_quote(value)}")
            return default
        return value

    def integer(self, key: str, default: int, least: int, most: int) -> int:
        value = self.document.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.wrong(key, f"must be a whole number of seconds from {least} to {most}, not {_quote(value)}")
            return default
        return value

    def cluster(self) -> str:
        text = self.text("cluster", required=True)
        if text.startswith("arn:"):
            if not (arn := re.fullmatch(_CLUSTER_ARN, text)):
                self.wrong("cluster", f"{_quote(text)} is not the ARN of a cluster")
                return ""
            self.must_be_served("cluster", *arn.groups()[:2])
            return arn[3]
        self.must_be_name("cluster", text)
        return text

    def service(self, cluster: str) -> str:
        text = self.text("service", required=True)
        if text.startswith("arn:"):
            if not (arn := re.fullmatch(_SERVICE_ARN, text)):
                self.wrong("service", f"{_quote(text)} is not the ARN of a service")
                return ""
            self.must_be_served("service", *arn.groups()[:2])
            if arn[3] and cluster and arn[3] != cluster:
                self.wrong("service", f"its ARN is of the cluster {arn[3]}, not of {cluster}")
            return arn[4]
        self.must_be_name("service", text)
        return text

    def must_be_served(self, key: str, region: str, account: str) -> None:
        if (region, account) != (self.environment.region, self.environment.account):
            self.wrong(
                key,
                f"is in account {account}, region {region}; "
                f"this deployer serves account {self.environment.account}, region {self.environment.region}",
            )

    def must_be_name(self, key: str, text: str) -> None:
        if text and not re.fullmatch(_NAME, text):
            self.wrong(key, f"{_quote(text)} is not a name (1 to 255 letters, digits, _ and -) or an ARN")

    def wanted(self) -> Wanted | Hold | Release | Shown | Answer | None:
        """What is asked for: exactly one of the ways to say it."""
        unsaid = [key for key in self.FLAGS if self.document.get(key) is False]
        said = [key for key in self.WANTED if key in self.document and key not in unsaid]
        if len(said) > 1:
            self.wrong(" and ".join(said), "exclude one another")
            for key in said:
                self.boolean(key, default=True) if key in self.FLAGS else self.text(key)
            return None
        verb = said[0] if said else "image"
        meaningless = {"image": (), "revision": self.OF_AN_IMAGE, "revert": self.OF_AN_IMAGE}.get(
            verb, (*self.OF_AN_IMAGE, *self.OF_A_DEPLOYMENT)
        )
        meaningless += () if verb == "reject" else ("why",)
        for key in meaningless:
            if key in self.document:
                self.wrong(key, f"does not go with {verb}")
        return {
            "image": self.new_image,
            "revision": self.old_revision,
            "revert": self.revert,
            "hold": self.hold,
            "release": self.release,
            "status": self.status,
            "history": self.history,
            "approve": self.approve,
            "reject": self.reject,
        }[verb]()

    def new_image(self) -> NewImage | None:
        image, container = self.image(), self.container()
        return NewImage(image, container) if image else None

    def old_revision(self) -> OldRevision | None:
        text = self.text("revision")
        if not text:
            return None
        if not (found := re.fullmatch(_REVISION, text)):
            self.wrong("revision", f"{_quote(text)} is not family:number or the ARN of a revision")
            return None
        if found[1]:
            self.must_be_served("revision", found[1], found[2])
        return OldRevision(found[3])

    def revert(self) -> Revert:
        return self.flag("revert", Revert())

    def hold(self) -> Hold:
        why = self.text("hold")
        if len(why) > _LONGEST_WHY:
            self.wrong("hold", f"must have at most {_LONGEST_WHY} characters")
        return Hold(why)

    def release(self) -> Release:
        return self.flag("release", Release())

    def status(self) -> ShowStatus:
        return self.flag("status", ShowStatus())

    def history(self) -> ShowHistory:
        return self.flag("history", ShowHistory())

    def approve(self) -> Answer:
        return Answer(self.execution("approve"), is_yes=True)

    def reject(self) -> Answer:
        why = self.text("why", required=True)
        if len(why) > _LONGEST_WHY:
            self.wrong("why", f"must have at most {_LONGEST_WHY} characters")
        return Answer(self.execution("reject"), is_yes=False, why=why)

    def execution(self, key: str) -> str:
        """The name of an execution, which may be given by its ARN."""
        text = self.text(key)
        found = re.fullmatch(_EXECUTION, text)
        if text and not found:
            self.wrong(key, f"{_quote(text)} is not the name or the ARN of an execution")
        if found and found[1]:
            self.must_be_served(key, found[1], found[2])
        return found[3] if found else ""

    def flag(self, key: str, wanted: T) -> T:
        self.boolean(key, default=True)
        return wanted

    def image(self) -> ImageReference | None:
        text, tag = self.text("image", required=True), self.text("tag")
        image = None
        if text:
            try:
                image = ImageReference.parse(text)
            except InvalidImageReference as error:
                self.wrong("image", f"{_quote(text)} is not an image reference: {_shorten(str(error))}")
        if tag:
            try:
                check_tag(tag)
            except InvalidImageReference as error:
                self.wrong("tag", _shorten(str(error)))
        if image is None:
            return None
        return image.with_tag(tag) if tag else image.with_default_tag()

    def container(self) -> str | None:
        text = self.text("container")
        if text and not re.fullmatch(_NAME, text):
            self.wrong("container", f"{_quote(text)} is not a container name (1 to 255 letters, digits, _ and -)")
        return text or None

    def push(self) -> Push | None:
        push = self.member("push", _PUSH_NEEDS, _PUSH_KEYS)
        if push is None:
            return None
        return Push(push["id"], _utc(push["time"]), push.get("digest", ""), push.get("policy", ""))

    def restart(self) -> Restart | None:
        restart = self.member("restart", _RESTART_NEEDS, _RESTART_KEYS)
        if restart is None:
            return None
        return Restart(restart["request"], _utc(restart["time"]), restart.get("digest", ""))

    def member(self, key: str, needs: Sequence[str], keys: Sequence[str]) -> dict[str, str] | None:
        """Read an object of texts, of which one may be a `time`; None where it is missing or wrong."""
        if key not in self.document:
            return None
        value = self.document[key]
        if not isinstance(value, dict):
            self.wrong(key, f"must be an object, not {_quote(value)}")
            return None
        wrong = list(_wrong_in(key, value, needs, keys))
        self.problems += wrong
        return None if wrong else value


def _unknown(keys: set[str], prefix: str, what: str) -> Iterator[str]:
    """A problem for each key; of very many, only their number: an answer must fit into the workflow's state."""
    for key in sorted(keys)[:_MOST_UNKNOWN_KEYS]:
        yield f"{prefix}{_shorten(key)}: {what}"
    if len(keys) > _MOST_UNKNOWN_KEYS:
        yield f"{len(keys) - _MOST_UNKNOWN_KEYS} more: each {what}"


def _wrong_in(name: str, value: Mapping[str, Any], needs: Sequence[str], keys: Sequence[str]) -> Iterator[str]:
    yield from _unknown(set(value) - set(keys), f"{name}.", f"is not a key of a {name}")
    for key in keys:
        if key in value and not isinstance(value[key], str):
            yield f"{name}.{key}: must be a string, not {_quote(value[key])}"
        elif key in needs and not value.get(key):
            yield f"{name}.{key}: is missing"
    if isinstance(text := value.get("digest"), str) and text and not re.fullmatch(_DIGEST, text):
        yield f"{name}.digest: {_quote(text)} is not a digest, such as sha256:…"
    if isinstance(text := value.get("policy"), str) and not is_policy(text):
        yield f"{name}.policy: {_quote(text)} is not a policy (semver:, or a pattern with {{n}})"
    for key in ("id", "request"):
        if isinstance(text := value.get(key), str) and text and not re.fullmatch(_TAG_VALUE, text):
            yield f"{name}.{key}: {_quote(text)} is not an id (letters, digits and + - = . _ : / @, at most 256)"
    if isinstance(text := value.get("time"), str) and text and not _is_instant(text):
        yield f"{name}.time: {_quote(text)} is not a time in ISO 8601 with its zone, such as 2026-01-31T12:00:00Z"


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _is_instant(text: str) -> bool:
    try:
        instant = datetime.fromisoformat(text)
        instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return False
    return instant.tzinfo is not None


def _quote(value: object) -> str:
    """The value as its JSON reads; a list or an object may be of any size and depth, so only its kind."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return _shorten(json.dumps(value, ensure_ascii=False))


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
