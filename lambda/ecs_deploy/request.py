"""The request: what an execution was asked to do, checked whole before anything else happens."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ecs_deploy.errors import InvalidRequest
from ecs_deploy.home import Home
from ecs_deploy.image import ImageReference, InvalidImageReference, check_tag
from ecs_deploy.notation import instant

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
_REVISION = rf"(?:arn:[a-z-]+:ecs:([a-z0-9-]+):([0-9]{{12}}):task-definition/)?({_NAME}:[1-9][0-9]{{0,9}})"
_PUSH_NEEDS = ("id", "time")
_PUSH_KEYS = (*_PUSH_NEEDS, "digest", "repository", "tag")
_LONGEST_QUOTE = 80
_MOST_UNKNOWN_KEYS = 20


class Push(NamedTuple):
    """The image push that asked for the deployment: EventBridge's event id, its time in UTC, the image's digest."""

    id: str
    time: datetime
    digest: str = ""


class NewImage(NamedTuple):
    """Deploy an image, which carries its tag, in the containers of its repository or in the one that is named."""

    image: ImageReference
    container: str | None


class OldRevision(NamedTuple):
    """Deploy a revision that is registered already: ``family:number``."""

    revision: str


@dataclass(frozen=True, slots=True)
class Revert:
    """Deploy the newest earlier revision that was stable."""


Wanted = NewImage | OldRevision | Revert


class Request(NamedTuple):
    """A checked request; `cluster` and `service` are names, timeout is seconds."""

    cluster: str
    service: str
    wanted: Wanted
    timeout: int
    rollback: bool
    push: Push | None

    def as_json(self) -> dict[str, Any]:
        """The request as it was understood, in its own keys."""
        match self.wanted:
            case NewImage(image, container):
                wanted: dict[str, Any] = {"image": str(image), **({"container": container} if container else {})}
            case OldRevision(revision):
                wanted = {"revision": revision}
            case Revert():
                wanted = {"revert": True}
        push = {"push": {"id": self.push.id, "time": instant(self.push.time)}} if self.push else {}
        whole = {"cluster": self.cluster, "service": self.service, **wanted}
        return {**whole, "timeout": self.timeout, "rollback": self.rollback, **push}


def parse(document: object, home: Home) -> Request:
    """Check the input of an execution; raises `InvalidRequest`, which names every wrong key at once."""
    if not isinstance(document, dict):
        raise InvalidRequest(
            f"The request must be a JSON object with cluster, service and image, not {_quote(document)}."
        )
    reader = _Reader(document, home)
    reader.problems += _unknown(set(document) - reader.KEYS, "", "is not a key of a request")
    cluster = reader.cluster()
    service = reader.service(cluster)
    wanted = reader.wanted()
    request = (
        reader.integer("timeout", DEFAULT_TIMEOUT, SHORTEST_TIMEOUT, LONGEST_TIMEOUT),
        reader.boolean("rollback", default=True),
        reader.push(),
    )
    if reader.problems or wanted is None:
        raise InvalidRequest("The request is not valid. " + "; ".join(reader.problems) + ".")
    return Request(cluster, service, wanted, *request)


class _Reader:
    """Reads a value for each key and gathers what is wrong instead of stopping at the first."""

    WANTED = ("image", "revision", "revert")
    OF_AN_IMAGE = ("tag", "container")
    KEYS = frozenset({"cluster", "service", *WANTED, *OF_AN_IMAGE, "timeout", "rollback", "push"})

    def __init__(self, document: Mapping[str, Any], home: Home) -> None:
        self.document = document
        self.home = home
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
            self.must_be_home("cluster", *arn.groups()[:2])
            return arn[3]
        self.must_be_name("cluster", text)
        return text

    def service(self, cluster: str) -> str:
        text = self.text("service", required=True)
        if text.startswith("arn:"):
            if not (arn := re.fullmatch(_SERVICE_ARN, text)):
                self.wrong("service", f"{_quote(text)} is not the ARN of a service")
                return ""
            self.must_be_home("service", *arn.groups()[:2])
            if arn[3] and cluster and arn[3] != cluster:
                self.wrong("service", f"its ARN is of the cluster {arn[3]}, not of {cluster}")
            return arn[4]
        self.must_be_name("service", text)
        return text

    def must_be_home(self, key: str, region: str, account: str) -> None:
        if (region, account) != (self.home.region, self.home.account):
            self.wrong(
                key,
                f"is in account {account}, region {region}; "
                f"this deployer serves account {self.home.account}, region {self.home.region}",
            )

    def must_be_name(self, key: str, text: str) -> None:
        if text and not re.fullmatch(_NAME, text):
            self.wrong(key, f"{_quote(text)} is not a name (1 to 255 letters, digits, _ and -) or an ARN")

    def wanted(self) -> Wanted | None:
        """What to deploy: exactly one of the three ways to say it."""
        said = [key for key in self.WANTED if key in self.document and self.document[key] is not False]
        if len(said) > 1:
            self.wrong(" and ".join(said), "exclude one another")
            return None
        if said in (["revision"], ["revert"]):
            for key in self.OF_AN_IMAGE:
                if key in self.document:
                    self.wrong(key, "goes with image only")
            return self.old_revision() if said == ["revision"] else self.revert()
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
            self.must_be_home("revision", found[1], found[2])
        return OldRevision(found[3])

    def revert(self) -> Revert:
        self.boolean("revert", default=True)
        return Revert()

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
        if "push" not in self.document:
            return None
        push = self.document["push"]
        if not isinstance(push, dict):
            self.wrong("push", f"must be an object, not {_quote(push)}")
            return None
        wrong = list(_wrong_in_push(push))
        self.problems += wrong
        return (
            None
            if wrong
            else Push(push["id"], datetime.fromisoformat(push["time"]).astimezone(UTC), push.get("digest", ""))
        )


def _unknown(keys: set[str], prefix: str, what: str) -> Iterator[str]:
    """A problem for each key; of very many, only their number: an answer must fit into the workflow's state."""
    for key in sorted(keys)[:_MOST_UNKNOWN_KEYS]:
        yield f"{prefix}{_shorten(key)}: {what}"
    if len(keys) > _MOST_UNKNOWN_KEYS:
        yield f"{len(keys) - _MOST_UNKNOWN_KEYS} more: each {what}"


def _wrong_in_push(push: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown(set(push) - set(_PUSH_KEYS), "push.", "is not a key of a push")
    for key in _PUSH_KEYS:
        if key in push and not isinstance(push[key], str):
            yield f"push.{key}: must be a string, not {_quote(push[key])}"
        elif key in _PUSH_NEEDS and not push.get(key):
            yield f"push.{key}: is missing"
    if isinstance(text := push.get("id"), str) and text and not re.fullmatch(_TAG_VALUE, text):
        yield f"push.id: {_quote(text)} is not an event id (letters, digits and + - = . _ : / @, at most 256)"
    if isinstance(text := push.get("time"), str) and text and not _is_instant(text):
        yield f"push.time: {_quote(text)} is not a time in ISO 8601 with its zone, such as 2026-01-31T12:00:00Z"


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
