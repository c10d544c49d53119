"""How long it takes from a push to the end of UpdateService, on the emulator, if every function on the way starts cold.

These are three: the dispatcher and the first two steps. Each push is one to a service of its own, when the execution of
the one before has ended.
"""

from typing import Any

from local.cloud import Cloud, LocalCloud
from tests.bench import emulator

PUSHES = 5
MOST_SECONDS = 2.5
_NAMES = [f"app-{number}" for number in range(1, PUSHES + 1)]


def measure() -> list[float]:
    """The seconds of each push."""
    with LocalCloud(emulator.targets(_NAMES), start_seconds=0.2, enforce=True) as cloud:
        emulator.create_services(cloud, _NAMES, desired=1)
        return [_push(cloud, name) for name in _NAMES]


def _push(cloud: Cloud, name: str) -> float:
    emulator.make_cold(cloud)
    began = emulator.push(cloud, name, "v2")
    execution, _ = emulator.outcome_of(cloud, name, "v2")
    return updated_at(emulator.history_of(cloud, execution)) - began


def updated_at(events: list[dict[str, Any]]) -> float:
    """When the step was over that has called UpdateService."""
    exits = (event for event in events if event["type"] == "TaskStateExited")
    update = next(event for event in exits if event["stateExitedEventDetails"]["name"] == "UpdateService")
    return float(update["timestamp"].timestamp())
