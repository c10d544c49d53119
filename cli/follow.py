"""Follow an execution to its end, whatever becomes of the connection meanwhile."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .aws import CliError, ConnectionLostError, Machine
from .ends import FAILURE, End, end_of
from .progress import moment_of

if TYPE_CHECKING:
    from .view import View

EVERY = 1.5
"""Seconds between two reads."""
_PATIENCE = 600
# A push that was there before the command counts, if it is not older.
_RECENT = timedelta(minutes=10)


def follow(machine: Machine, execution: str, shown: View) -> End:
    """Show an execution until it ends; answer its end. Raises `CliError`."""
    is_lost = False
    while True:
        try:
            described = machine.describe(execution)
            if described["status"] != "RUNNING":
                return end_of(described)
            seconds = (datetime.now(UTC) - described["startDate"]).total_seconds()
            shown.moves(moment_of(machine.newest_events(execution)), max(seconds, 0))
            is_lost = False
        except ConnectionLostError as error:
            if not is_lost:
                shown.warns(f"The connection to AWS is lost, and the execution goes on: {error}. Trying again.")
            is_lost = True
        time.sleep(EVERY)


def started_by_push(machine: Machine, cluster: str | None, service: str, image: str, shown: View) -> str:
    """Wait for the execution that a push of an image has started for a service. Raises `CliError`."""
    shown.warns(f"Waiting for the execution that a push of {image} starts for {service}.")
    since = datetime.now(UTC) - _RECENT
    deadline = time.monotonic() + _PATIENCE
    known: dict[str, Any] = {}
    while time.monotonic() < deadline:
        try:
            for each in machine.newest_executions():
                arn = each["executionArn"]
                if arn not in known and each["startDate"] >= since:
                    known[arn] = _request(machine.describe(arn))
                if _is_of(known.get(arn), cluster, service, image):
                    return str(arn)
        except ConnectionLostError:
            # The next read may get through.
            pass
        time.sleep(EVERY)
    raise CliError(
        f"No push of {image} has started an execution for {service} within {_PATIENCE} s. Is the service a target of "
        "this repository, and the tag one that it waits for?",
        FAILURE,
    )


def _request(execution: dict[str, Any]) -> Any:
    try:
        return json.loads(execution.get("input") or "null")
    except ValueError:
        return None


def _is_of(request: Any, cluster: str | None, service: str, image: str) -> bool:
    if not isinstance(request, dict) or "push" not in request:
        return False
    wanted, _, digest = image.partition("@")
    found = str(request.get("image", ""))
    if digest:
        # A tag may have been pushed before; what was just pushed has this digest.
        wanted, found = _untagged(wanted), _untagged(found)
    elif ":" not in wanted.rpartition("/")[2]:
        wanted = f"{wanted}:latest"
    is_image = (found == wanted or found.endswith(f"/{wanted}")) and digest in {"", request["push"].get("digest")}
    return is_image and request.get("service") == service and cluster in {None, request.get("cluster")}


def _untagged(image: str) -> str:
    path, slash, name = image.rpartition("/")
    return f"{path}{slash}{name.partition(':')[0]}"
