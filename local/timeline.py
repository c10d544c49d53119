"""What happened in an execution, when, and in what order: read from its history and from the tasks of its service.

Nothing here asks anybody; all times are seconds after the push, or after the start where nothing was pushed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

WORK = {"RegisterTaskDefinition": "register", "UpdateService": "update"}
PHASES = {"DEPLOYING": "update", "ROLLING_BACK": "roll back", "GIVING_BACK": "give back"}
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
    """One execution, told."""

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


def story(execution: dict[str, Any], history: Sequence[dict[str, Any]], tasks: Iterable[dict[str, Any]]) -> Story:
    """Tell an execution, as DescribeExecution, GetExecutionHistory and DescribeTasks answer it."""
    request = json.loads(execution["input"])
    asked = request if isinstance(request, dict) else {}
    outcome = json.loads(execution.get("output") or "{}")
    cause = json.loads(execution.get("cause") or "{}")
    began = execution["startDate"]
    pushed = _pushed_at(asked)
    zero = min(began, pushed) if pushed else began
    ended = execution.get("stopDate") or history[-1]["timestamp"]
    length = max((ended - zero).total_seconds(), 0.1)
    steps = tuple(_steps(history, zero, length))
    rows = [Row("push", (Bar("moment", 0, 0, "push"),))] if pushed else []
    rows += [Row(label, tuple(bar for bar in steps if bar.kind == label)) for label in _labels(steps)]
    rows += _task_rows(tasks, {outcome.get("revision") or cause.get("revision")}, zero, length)
    failed = execution["status"] != "SUCCEEDED"
    return Story(
        name=execution["name"],
        status=execution["status"],
        end=str(execution.get("error") if failed else outcome.get("outcome")) or execution["status"],
        where=" in ".join(str(asked.get(key, "?")) for key in ("service", "cluster")),
        image=str(outcome.get("image") or asked.get("image") or asked.get("revision") or "the revision before"),
        message=str(cause.get("message", "")),
        reasons=tuple(cause.get("reasons", ())),
        before=short(outcome.get("replaced") or cause.get("replaced")),
        after=_after(outcome, cause),
        seconds=length,
        rows=tuple(row for row in rows if row.bars),
        origin="push" if pushed else "start",
    )


def short(revision: str | None) -> str:
    """``family:number`` of a revision's ARN."""
    return (revision or "").rpartition("/")[2]


def _pushed_at(asked: dict[str, Any]) -> datetime | None:
    push = asked.get("push")
    try:
        return datetime.fromisoformat(push["time"]) if isinstance(push, dict) else None
    except (KeyError, TypeError, ValueError):
        return None


def _after(outcome: dict[str, Any], cause: dict[str, Any]) -> str:
    """The revision that the service was left with, as far as the end tells."""
    if outcome:
        return short(outcome.get("revision")) if outcome["outcome"] == "DEPLOYED" else ""
    return short(cause.get("replaced") if cause.get("rolledBack") else cause.get("revision"))


def _labels(bars: Iterable[Bar]) -> list[str]:
    return list(dict.fromkeys(bar.kind for bar in bars))


def _steps(history: Sequence[dict[str, Any]], zero: datetime, length: float) -> Iterator[Bar]:
    """A bar for each call of a step, for each look at the service, and for each rollout in between."""
    entered: dict[str, Any] = {}
    rollout: Bar | None = None
    for event in history:
        at = (event["timestamp"] - zero).total_seconds()
        if event["type"] == "TaskStateEntered":
            entered = event["stateEnteredEventDetails"] | {"at": at}
        if event["type"] != "TaskStateExited" or event["stateExitedEventDetails"]["name"] != entered.get("name"):
            continue
        name = entered["name"]
        given, answer = json.loads(entered.get("input") or "{}"), _answer(event)
        if name in WORK:
            progress = given.get("progress", {}) if name == "UpdateService" else {}
            kind = PHASES.get(progress.get("phase", ""), WORK[name])
            if rollout:
                yield _until(rollout, entered["at"])
                rollout = None
            yield Bar(kind, entered["at"], at, kind)
            if answer.get("next") == "wait":
                target = progress.get("returns_to") if kind == "roll back" else progress.get("revision")
                rollout = Bar("rollout" if kind == "update" else "return", at, at, short(target))
        elif name == "PollStability":
            yield Bar("look", at, at, "look")
            if answer.get("next") != "wait":
                yield Bar("verdict", at, at, _verdict(answer))
    if rollout:
        yield _until(rollout, length)


def _verdict(answer: dict[str, Any]) -> str:
    """What a look has decided: an end, or that the deployment failed and something else is brought in."""
    failure = answer.get("failure") or answer.get("progress", {}).get("failure") or {}
    return str(answer.get("outcome", {}).get("outcome") or failure.get("error") or "once more")


def _answer(event: dict[str, Any]) -> dict[str, Any]:
    answer = json.loads(event["stateExitedEventDetails"].get("output") or "{}")
    return answer if isinstance(answer, dict) else {}


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
