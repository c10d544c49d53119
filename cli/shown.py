"""What an execution has to show, as lines: a status, a history, what a deployment would change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Line(NamedTuple):
    """A line, and the style that it has in colour."""

    text: str
    style: str = ""


def lines_of(document: Mapping[str, Any]) -> list[Line]:
    """The lines of what an outcome has in `shown`; none where it has nothing."""
    shown = document.get("shown")
    if not isinstance(shown, dict):
        return []
    kinds = {"STATUS": _status, "HISTORY": _history, "REHEARSED": _rehearsed}
    show = kinds.get(str(document.get("outcome")))
    return list(show(shown)) if show else []


def _status(shown: Mapping[str, Any]) -> Iterator[Line]:
    for name, each in shown["containers"].items():
        yield Line(f"{name}: {each['image']}:{each['tag'] or '?'}  {each['digest'] or 'digest not known'}", "bold")
    for each in shown["deployments"]:
        counts = f"{each['running']} of {each['desired']} running, {each['pending']} pending, {each['failed']} failed"
        yield Line(f"{each['status']} {each['revision']} {each['rolloutState'] or ''}: {counts}")
    for name, each in shown["newest"].items():
        failed = ", which failed" if each["failed"] else ""
        what = each["tag"] or each["digest"] or "a revision"
        yield Line(f"newest of {name}: {what}, by {each['by']} at {each['requestedAt']}{failed}")
    if shown["owner"]:
        what = "watches what it has deployed" if shown.get("watches") else "deploys now"
        yield Line(f"{what}: {shown['owner']}", "yellow")
    for each in shown.get("waiting", []):
        yield Line(f"waits for {each['for']} since {each['since']}: {each['execution']}", "yellow")
    for why in shown["held"]:
        yield Line(f"pushes are held: {why}", "yellow")


def _history(shown: Mapping[str, Any]) -> Iterator[Line]:
    for each in shown["executions"]:
        result = each["result"] or "RUNNING"
        seconds = f"{each['seconds']:.0f} s" if each["seconds"] else ""
        times = ", ".join(f"{name} {value:.0f} s" for name, value in (each["times"] or {}).items() if value)
        style = {"DEPLOYED": "green", "FAILED": "red"}.get(result, "")
        what = each["image"].rpartition("/")[2] or each["revision"] or ""
        parts = [
            each["startedAt"][:19],
            f"{result:<10}",
            what,
            each["revision"] or "",
            f"by {each['by']}",
            seconds,
            times,
        ]
        yield Line("  ".join(part for part in parts if part), style)


def _rehearsed(shown: Mapping[str, Any]) -> Iterator[Line]:
    made = shown["revision"] or "a new revision"
    yield Line(f"{made}, from {shown['base']}, in {', '.join(shown['containers'])}")
    for name, value in shown.get("gates", {}).items():
        yield Line(f"{name}: {json.dumps(value)}")
    for each in shown["differences"]:
        if "before" not in each:
            yield Line(f"~ {each['member']} (not shown: it may hold a secret)", "yellow")
            continue
        if each["before"] is not None:
            yield Line(f"- {each['member']}: {each['before']}", "red")
        if each["after"] is not None:
            yield Line(f"+ {each['member']}: {each['after']}", "green")
    for warning in shown["warnings"]:
        yield Line(f"! {warning}", "yellow")
