"""The emulators that run on this machine, each with a file in its state directory that says how to reach it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

PREFIX = "ecs-deploy-local-"
FILE = "running.json"


class NotRunningError(Exception):
    """There is no emulator, or more than one and none was chosen."""


def announce(state: Path, description: dict[str, Any]) -> None:
    """Write down how to reach an emulator."""
    (state / FILE).write_text(json.dumps(description))


def find(endpoint: str | None) -> dict[str, Any]:
    """Give the description of the emulator at an endpoint, or of the only one that runs. Raises NotRunningError."""
    found = [one for one in everyone() if endpoint in (None, one["endpoint"])]
    if not found:
        where = f" at {endpoint}" if endpoint else ""
        raise NotRunningError(f"no emulator runs{where}: start one with `python -m local up`")
    if len(found) > 1:
        endpoints = ", ".join(sorted(one["endpoint"] for one in found))
        raise NotRunningError(f"several emulators run, choose one with --endpoint: {endpoints}")
    return found[0]


def everyone() -> list[dict[str, Any]]:
    """Give the descriptions of all emulators of this user whose process lives."""
    descriptions = []
    for file in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{FILE}"):
        try:
            # Another user's file could send a push anywhere.
            if file.stat().st_uid != os.getuid():
                continue
            description = json.loads(file.read_text())
            os.kill(description["pid"], 0)
        except (OSError, ValueError):
            continue
        descriptions.append(description)
    return descriptions
