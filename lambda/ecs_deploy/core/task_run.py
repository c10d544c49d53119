"""The verdict on a task that a request has run: by the exit code of its container, and nothing else.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from math import ceil
from typing import Any, NamedTuple

from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.gate_keys import TaskKeys
from ecs_deploy.core.service import Task
from ecs_deploy.core.verdict import NOT_SHOWN_YET

_OFTEN, _SELDOM, _SHARE = 2, 60, 0.1


class TaskEnd(Enum):
    """What is known of a task."""

    RUNS = auto()
    OVERDUE = auto()
    """It has not ended in its time: it has to be stopped, and counts as running until it is."""
    PASSED = auto()
    FAILED = auto()


class TaskVerdict(NamedTuple):
    """What is known of a task, and why it failed if it did."""

    end: TaskEnd
    reason: str = ""


def judge(task: Task | None, container: str, began: datetime, timeout: int, now: datetime) -> TaskVerdict:
    """Judge a task, None if ECS does not show it; it `began` then and has `timeout` seconds."""
    if task is None:
        # What was just started may not be shown, and what has ended is forgotten after an hour.
        young = now - began < NOT_SHOWN_YET
        return TaskVerdict(TaskEnd.RUNS) if young else TaskVerdict(TaskEnd.FAILED, "ECS does not know the task now")
    if task.status != "STOPPED":
        return TaskVerdict(TaskEnd.OVERDUE if now >= began + timedelta(seconds=timeout) else TaskEnd.RUNS)
    code = next((each.exit_code for each in task.containers if each.name == container), None)
    # Whoever is told to stop may end with 0.
    if code == 0 and task.stop_code in {None, "EssentialContainerExited"}:
        return TaskVerdict(TaskEnd.PASSED)
    said = [each.reason for each in task.containers if each.name == container and each.reason]
    ended = f"container {container} ended with exit code {code}" if code is not None else "it did not run"
    return TaskVerdict(TaskEnd.FAILED, "; ".join((ended, *said, task.stopped_reason or "no reason given")))


def next_look(began: datetime, now: datetime, deadline: datetime | None = None) -> int:
    """Whole seconds until the next look at a task, and not after its deadline: a tenth of its time, up to a minute.

    After an hour it is a sixtieth: an execution has 25,000 events, and a look takes 13 of them. Events of ECS end the
    wait before.
    """
    elapsed = (now - began).total_seconds()
    seconds = max(_OFTEN, min(_SHARE * elapsed, max(_SELDOM, elapsed / _SELDOM)))
    left = (deadline - now).total_seconds() if deadline else 0
    return ceil(min(seconds, left) if left > 0 else seconds)


def container_of(keys: TaskKeys, what: str, document: Mapping[str, Any], changed: Sequence[str]) -> str:
    """The container whose command a task replaces: the named one, or the first that the request changes.

    Its end has to end the task. Raises `DeployError`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html (essential)
    """
    by_name = {each["name"]: each for each in document["containerDefinitions"]}
    name = keys.container or next((each for each in changed if each in by_name), next(iter(by_name)))
    if name not in by_name:
        raise DeployError(
            Error.NO_MATCHING_CONTAINER, f"{what}: there is no container {name}, only {', '.join(sorted(by_name))}."
        )
    if not by_name[name].get("essential", True):
        raise DeployError(
            Error.INVALID_REQUEST, f"{what}: the container {name} is not essential, so its end would not be the task's."
        )
    return str(name)
