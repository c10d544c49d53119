"""What is told of an execution: that it started to deploy, and how it ended. Each is the detail of an event.

docs/started-event.schema.json and docs/outcome-event.schema.json say what is in them; the tests hold them to it. An
event of EventBridge has a size limit, and an execution must not fail over a notice of it, so all texts are cut.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html

`title` and `message` are for people, and plain: EventBridge puts them into templates and escapes nothing, so they hold
no character that JSON would escape, and none that a chat would take for markup.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Self

from ecs_deploy.course import Answer, Outcome
from ecs_deploy.errors import InvalidRequest
from ecs_deploy.home import Home
from ecs_deploy.notation import instant, short
from ecs_deploy.progress import Progress

Detail = dict[str, Any]

MOST_TITLE, MOST_MESSAGE, MOST_REASON, MOST_REASONS, MOST_IMAGE = 250, 2_000, 600, 20, 1_024
_MOST_READABLE = 256
# What can be repeated of a request that was refused.
_READABLE = ("cluster", "service", "image", "tag", "container", "revision")
_PLAIN = str.maketrans({'"': "'", "\\": "/", "<": "(", ">": ")", "`": "'"})


class Case(NamedTuple):
    """The execution that is told about. `asked` is the checked request, or what is readable of one that was refused."""

    execution: str
    asked: Mapping[str, Any]
    requested_at: str
    started_at: str

    @classmethod
    def opened(cls, document: object, execution: Mapping[str, str], home: Home) -> Self:
        """The case of an execution that has done nothing yet."""
        # The other steps never need it, and each start would wait for it.
        from ecs_deploy.request import parse  # noqa: PLC0415

        started_at = instant(datetime.fromisoformat(execution["startedAt"]))
        try:
            asked = parse(document, home).as_json()
        except InvalidRequest:
            asked = _readable(document)
        return cls(execution["id"], asked, asked["push"]["time"] if "push" in asked else started_at, started_at)

    @classmethod
    def of(cls, progress: Progress) -> Self:
        return cls(progress.execution, progress.asked, progress.requested_at, progress.started_at)

    @property
    def where(self) -> str:
        """The service, as a person says it."""
        if "service" not in self.asked or "cluster" not in self.asked:
            return "a request that names no service"
        return f"{self.asked['service']} in {self.asked['cluster']}"

    def seconds(self, now: datetime) -> float:
        """Since the execution started, by another machine's clock than the function's."""
        return _between(self.started_at, now)

    def lead_time(self, now: datetime) -> float:
        """Since the push, or since the start where nothing was pushed."""
        return _between(self.requested_at, now)


def started(progress: Progress) -> Detail:
    """What is told when a deployment begins, before the service is touched."""
    case = Case.of(progress)
    image = _name(progress.image)
    message = f"{case.where}: {image} is rolled out as {short(progress.revision)}, in place of {short(progress.base)}."
    return {
        "title": plain(f"STARTED: {case.where}", MOST_TITLE),
        "message": plain(message, MOST_MESSAGE),
        "execution": case.execution,
        "request": dict(case.asked),
        "cluster": progress.cluster,
        "service": progress.service,
        "image": _cut(progress.image, MOST_IMAGE),
        "revision": progress.revision,
        "replaced": progress.replaced,
        "requestedAt": case.requested_at,
        "startedAt": case.started_at,
    }


def outcome(case: Case, answer: Answer, now: datetime) -> Detail:
    """What is told of an end, which `answer` is: refusals included."""
    succeeded = answer["next"] == "succeed"
    end, cause = (answer["outcome"], {}) if succeeded else ({}, answer["failure"]["cause"])
    name = str(end["outcome"] if succeeded else answer["failure"]["error"])
    reasons = answer["reasons"] if succeeded else cause["reasons"]
    said = _sentence(case, end, reasons, now) if succeeded else cause["message"]
    return {
        "outcome": name,
        "status": "SUCCEEDED" if succeeded else "FAILED",
        "title": plain(f"{name}: {case.where}", MOST_TITLE),
        "message": plain(said, MOST_MESSAGE),
        "reasons": [_cut(reason, MOST_REASON) for reason in reasons[:MOST_REASONS]],
        "execution": case.execution,
        "request": dict(case.asked),
        "cluster": case.asked.get("cluster"),
        "service": case.asked.get("service"),
        "image": _cut(end.get("image") or case.asked.get("image") or "", MOST_IMAGE) or None,
        "revision": (end or cause)["revision"],
        "replaced": (end or cause)["replaced"],
        "deployment": end.get("deployment"),
        "rolledBack": cause.get("rolledBack"),
        "requestedAt": case.requested_at,
        "startedAt": case.started_at,
        # What the output says: it was made a moment before.
        "seconds": answer.get("outcome", {}).get("seconds", case.seconds(now)),
        "leadTime": case.lead_time(now) if name == Outcome.DEPLOYED else None,
    }


def plain(text: str, most: int) -> str:
    """`text` in one line that means the same in JSON, in a template of EventBridge and in a chat."""
    return _cut(" ".join("".join(_printable(text.translate(_PLAIN))).split()), most)


def _sentence(case: Case, end: Mapping[str, Any], reasons: Iterable[str], now: datetime) -> str:
    image = _name(end["image"] or "the revision that was asked for")
    if end["outcome"] == Outcome.DEPLOYED:
        since = "after the push" if "push" in case.asked else "after it was asked for"
        revisions = f"{short(end['revision'])}, before {short(end['replaced'])}"
        return f"{case.where} runs {image} ({revisions}), {case.lead_time(now):.0f} s {since}."
    why = "; ".join(reasons)
    if end["outcome"] == Outcome.DUPLICATE:
        return f"{image} was not deployed again to {case.where}: {why}. Nothing was changed."
    undone = "Nothing was undone" if end["revision"] else "Nothing was changed"
    return f"{image} is not what {case.where} shall run any more: {why}. {undone}."


def _name(image: str) -> str:
    """An image without its registry, which everybody knows."""
    return image.rpartition("/")[2]


def _between(then: str, now: datetime) -> float:
    return round(max((now - datetime.fromisoformat(then)).total_seconds(), 0.0), 1)


def _readable(document: object) -> dict[str, Any]:
    """The texts of a refused request, which may hold anything of any size."""
    request = document if isinstance(document, dict) else {}
    return {key: _cut(request[key], _MOST_READABLE) for key in _READABLE if isinstance(request.get(key), str)}


def _cut(text: str, most: int) -> str:
    # Half of a surrogate pair is JSON, and no text.
    whole = text.encode(errors="replace").decode()
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"


def _printable(text: str) -> Iterable[str]:
    return (each if each.isprintable() else " " for each in text)
