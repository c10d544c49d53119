"""How far an execution is, from its history: the state, the tasks of its rollout, and whether an event ended its wait.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WAITS = ("WaitForRollout", "WaitForTurn")


class Moment(NamedTuple):
    """An execution at one moment; the counts are of tasks, and None where nothing rolls out or ECS does not tell."""

    state: str = "starting"
    revision: str = ""
    counts: Mapping[str, int] | None = None
    event: bool = False
    reason: str = ""

    def line(self) -> str:
        """The moment in one line, without the time."""
        parts = [self.state]
        if self.revision:
            parts.append(self.revision)
        if self.counts:
            parts.append("{running} of {desired} running, {pending} pending, {failed} failed".format(**self.counts))
        if self.event:
            parts.append("an event of ECS")
        return "  ".join(parts)


def moment_of(newest_first: Sequence[Mapping[str, Any]]) -> Moment:
    """Read the newest events of a history, the newest first."""
    state, entered = "starting", {}
    for event in newest_first:
        if details := event.get("stateEnteredEventDetails"):
            state, entered = details["name"], _document(details.get("input"))
            break
    rollout: dict[str, Any] = entered.get("rollout") or {}
    return Moment(
        state=state,
        revision=str(rollout.get("target") or "").rpartition("/")[2],
        counts=rollout.get("progress"),
        event=state == "PollStability" and _was_woken(newest_first),
        reason=str(rollout.get("reason") or ""),
    )


def _was_woken(newest_first: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last wait was ended by a signal, not by its time."""
    for event in newest_first:
        if event.get("stateExitedEventDetails", {}).get("name") in WAITS:
            continue
        if event["type"] == "TaskSucceeded" and event.get("taskSucceededEventDetails", {}).get("resource", "").endswith(
            ".waitForTaskToken"
        ):
            return True
        if event["type"] in {"TaskTimedOut", "WaitStateEntered"}:
            return False
    return False


def _document(text: str | None) -> dict[str, Any]:
    try:
        read = json.loads(text or "{}")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
