"""What happened in an execution, when, and in what order: read from its history, and from tasks where they are known.

Nothing here calls AWS; all times are seconds after the push, or after the start where nothing was pushed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

WORK = {"RegisterTaskDefinition": "register", "UpdateService": "update"}
RETURNING = "RETURNING"
PARTS = {
    "pull": "pulls the image",
    "start": "starts the new tasks",
    "health": "checks their health",
    "shift": "shifts traffic and bakes",
    "drain": "drains the old tasks",
}
"""The parts of a rollout, as the outcome names them, in their order."""
MOST_TASKS = 24


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of a row, or a moment if it ends when it starts; `kind` says what it looks like."""

    kind: str
    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the timeline."""

    label: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """One execution, as it is shown."""

    name: str
    status: str
    end: str
    where: str
    image: str
    message: str
    reasons: tuple[str, ...]
    before: str
    after: str
    seconds: float
    rows: tuple[Row, ...]
    origin: str
    slow: tuple[str, ...] = ()


def story(execution: dict[str, Any], history: Sequence[dict[str, Any]], tasks: Iterable[dict[str, Any]]) -> Story:
    """Give the story of an execution, of what DescribeExecution, GetExecutionHistory and DescribeTasks answer."""
    request = _document(execution["input"])
    outcome, cause = _document(execution.get("output")), _document(execution.get("cause"))
    began = execution["startDate"]
    pushed = _pushed_at(request)
    zero = min(began, pushed) if pushed else began
    ended = execution.get("stopDate") or history[-1]["timestamp"]
    length = max((ended - zero).total_seconds(), 0.1)
    steps = tuple(_with_parts(_steps(history, zero, length), outcome.get("times")))
    rows = [Row("push", (Bar("moment", 0, 0, "push"),))] if pushed else []
    rows += [Row(label, tuple(bar for bar in steps if _row_of(bar) == label)) for label in _labels(steps)]
    rows += _task_rows(tasks, {outcome.get("revision") or cause.get("revision")}, zero, length)
    failed = execution["status"] != "SUCCEEDED"
    return Story(
        name=execution["name"],
        status=execution["status"],
        end=str((execution.get("error") if failed else outcome.get("outcome")) or execution["status"]),
        where=" in ".join(str(request.get(key, "?")) for key in ("service", "cluster")),
        image=str(outcome.get("image") or request.get("image") or request.get("revision") or "the revision before"),
        message=str(cause.get("message", "")),
        reasons=tuple(cause.get("reasons", ())),
        before=short(outcome.get("replaced") or cause.get("replaced")),
        after=_after(outcome, cause, next((bar.text for bar in steps if bar.kind == "return"), "")),
        seconds=length,
        rows=tuple(row for row in rows if row.bars),
        origin="push" if pushed else "start",
        slow=tuple(outcome.get("slow", ())),
    )


def short(revision: str | None) -> str:
    """``family:number`` of a revision's ARN."""
    return (revision or "").rpartition("/")[2]


def _pushed_at(request: dict[str, Any]) -> datetime | None:
    push = request.get("push")
    try:
        return datetime.fromisoformat(push["time"]) if isinstance(push, dict) else None
    except (KeyError, TypeError, ValueError):
        return None


def _after(outcome: dict[str, Any], cause: dict[str, Any], returned: str) -> str:
    """The revision that the service was left with, as far as the end says, or the return if there was one."""
    if outcome:
        return short(outcome.get("revision")) if outcome["outcome"] == "DEPLOYED" else ""
    if cause.get("revision") and cause.get("rolledBack") is None:
        return "not known"
    if cause.get("rolledBack"):
        return short(returned or cause.get("replaced"))
    return short(cause.get("revision"))


def _labels(bars: Iterable[Bar]) -> list[str]:
    return list(dict.fromkeys(_row_of(bar) for bar in bars))


def _row_of(bar: Bar) -> str:
    return "rollout" if bar.kind in PARTS else bar.kind


def _with_parts(bars: Iterable[Bar], times: dict[str, float] | None) -> Iterator[Bar]:
    """The bars, with the parts of the last rollout instead of the whole, where the outcome tells how long each took."""
    found = list(bars)
    last = max((number for number, bar in enumerate(found) if bar.kind == "rollout"), default=-1)
    for number, bar in enumerate(found):
        parts = [*_parts_of(bar, times)] if number == last and times else []
        # One that was over as soon as it was looked at has no parts.
        yield from parts or [bar]


def _parts_of(bar: Bar, times: dict[str, float]) -> Iterator[Bar]:
    start = bar.start
    for name, text in PARTS.items():
        end = min(start + times[name], bar.end)
        if end > start:
            yield Bar(name, start, end, f"{bar.text} {text}, {times[name]:.1f} s")
        start = end


def _steps(history: Sequence[dict[str, Any]], zero: datetime, length: float) -> Iterator[Bar]:
    """A bar for each call of a step, for each wait for the turn, for each poll, and for each rollout in between."""
    rollout: Bar | None = None
    for name, given, answer, start, end in _visits(history, zero):
        if name in WORK:
            phase = given.get("rollout", {}).get("phase")
            kind = "roll back" if name == "UpdateService" and phase == RETURNING else WORK[name]
            if rollout:
                yield _until(rollout, start)
                rollout = None
            yield Bar(kind, start, end, kind)
            if answer.get("next") == "wait_for_rollout":
                rollout = Bar("rollout" if kind == "update" else "return", end, end, short(answer["rollout"]["target"]))
        elif name == "WaitForTurn":
            yield _wait(given.get("turn") or {}, start, end)
        elif name == "PollStability":
            yield Bar("poll", end, end, "poll")
            if rollout and rollout.kind == "rollout" and (answer.get("rollout") or {}).get("stable_at"):
                yield _until(rollout, end)
                rollout = Bar("watch", end, end, "tests and watches what is stable")
            if answer.get("next") != "wait_for_rollout":
                yield Bar("verdict", end, end, _verdict(answer))
    if rollout:
        yield _until(rollout, length)


def _wait(turn: dict[str, Any], start: float, end: float) -> Bar:
    """What an execution waits for before it deploys: a person or a task, the members of its group, or its turn."""
    if "members" in turn:
        return Bar("members", start, end, "waits for the members of the group")
    if turn.get("has_asked"):
        return Bar("gate", start, end, "waits for approval, or for its task before the update")
    return Bar("turn", start, end, "waits for its turn")


def _visits(
    history: Sequence[dict[str, Any]], zero: datetime
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any], float, float]]:
    """The states that were entered and left: name, input, output, and when."""
    entered: dict[str, Any] = {}
    start = 0.0
    for event in history:
        at = (event["timestamp"] - zero).total_seconds()
        if "stateEnteredEventDetails" in event:
            entered, start = event["stateEnteredEventDetails"], at
        left = event.get("stateExitedEventDetails", {})
        if left and left["name"] == entered.get("name"):
            yield left["name"], _document(entered.get("input")), _document(left.get("output")), start, at


def _verdict(answer: dict[str, Any]) -> str:
    """What a poll has decided: an end, or that the deployment failed, or that the service is updated once more."""
    failure = answer.get("failure") or answer.get("rollout", {}).get("failure") or {}
    return str(answer.get("outcome", {}).get("outcome") or failure.get("error") or "once more")


def _document(text: str | None) -> dict[str, Any]:
    """Read an object; the cause that a person gives who stops an execution may be any text."""
    try:
        document = json.loads(text or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _until(bar: Bar, end: float) -> Bar:
    return Bar(bar.kind, bar.start, end, bar.text)


def _task_rows(
    tasks: Iterable[dict[str, Any]], revisions: set[str | None], zero: datetime, length: float
) -> Iterator[Row]:
    """A row for each task of the new revision, and for each other one that ran meanwhile."""
    shown = [task for task in tasks if _overlaps(task, zero, length)]
    for task in sorted(shown, key=lambda task: (task["taskDefinitionArn"] not in revisions, task["createdAt"]))[
        :MOST_TASKS
    ]:
        created, started, stopped = (_seconds(task.get(key), zero) for key in ("createdAt", "startedAt", "stoppedAt"))
        end = min(stopped if stopped is not None else length, length)
        running = min(started, end) if started is not None else end
        bars = [Bar("pending", max(created or 0, 0), max(running, 0), "pending")]
        if started is not None:
            bars.append(Bar("running", max(running, 0), end, "running"))
        if stopped is not None and stopped <= length and task.get("stopCode") != "ServiceSchedulerInitiated":
            bars.append(Bar("died", end, end, str(task.get("stoppedReason") or task.get("stopCode") or "stopped")))
        yield Row(f"task of {short(task['taskDefinitionArn'])}", tuple(bar for bar in bars if bar.end >= 0))


def _overlaps(task: dict[str, Any], zero: datetime, length: float) -> bool:
    created, stopped = _seconds(task.get("createdAt"), zero), _seconds(task.get("stoppedAt"), zero)
    return created is not None and created <= length and (stopped is None or stopped >= 0)


def _seconds(moment: datetime | None, zero: datetime) -> float | None:
    return None if moment is None else (moment - zero).total_seconds()
