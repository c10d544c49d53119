"""The keys of a target that say what a push has to pass, as a request has them: lambda/ecs_deploy/core/gate_keys.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = ("approval", "before", "after", "watch")
_CONTAINER = re.compile(r"[A-Za-z0-9_-]{1,255}")
_APPROVAL_TIMES, _TASK_TIMES = range(60, 14 * 86_400 + 1), range(10, 86_401)
_LONGEST_COMMAND = 4_096


def approval(value: object) -> str | None:
    """What is wrong with the time that people have to approve."""
    valid = type(value) is int and value in _APPROVAL_TIMES
    return None if valid else "must be a whole number of seconds from 60 to 1209600, two weeks"


def task(value: object) -> str | None:
    """What is wrong with a task that a push has to pass."""
    if not isinstance(value, dict):
        return 'must be an object with a command, such as {"command": ["bin/migrate"]}'
    if "service" in value or "soak" in value:
        return "is a task to run once the service is stable; what it takes over from another service is promotedFrom"
    command, timeout = value.get("command"), value.get("timeout", 600)
    problems = [f"has {key}, and the keys are command, container and timeout" for key in value if key not in _OF_TASKS]
    if not isinstance(command, list) or not command or not all(isinstance(each, str) for each in command):
        problems.append("must have a command that is a list of texts, with at least one")
    elif sum(map(len, command)) > _LONGEST_COMMAND:
        problems.append(f"must have a command of at most {_LONGEST_COMMAND} characters")
    container = value.get("container", "app")
    if not isinstance(container, str) or not _CONTAINER.fullmatch(container):
        problems.append("must have the name of a container as container")
    if type(timeout) is not int or timeout not in _TASK_TIMES:
        problems.append("must have a whole number of seconds from 10 to 86400 as timeout")
    return "; ".join(problems) or None


def watch(value: object) -> str | None:
    """What is wrong with a watch over what was deployed."""
    if not isinstance(value, dict) or value.keys() - {"seconds", "alarms"}:
        return 'must be an object with seconds, and alarms if you like, such as {"seconds": 600}'
    seconds, alarms = value.get("seconds"), value.get("alarms", [])
    if type(seconds) is not int or seconds not in _TASK_TIMES:
        return "must have a whole number of seconds from 10 to 86400"
    names = isinstance(alarms, list) and len(alarms) <= _MOST_ALARMS
    if not names or not all(isinstance(each, str) and 0 < len(each) <= _LONGEST_ALARM for each in alarms):
        return f"must have a list of at most {_MOST_ALARMS} names of alarms of CloudWatch as alarms"
    return None


_MOST_ALARMS, _LONGEST_ALARM = 10, 255
_OF_TASKS = ("command", "container", "timeout")
RULES: dict[str, Callable[[object], str | None]] = {
    "approval": approval,
    "before": task,
    "after": task,
    "watch": watch,
}
"""What is wrong with a value, by the key that it has; None if nothing is."""
