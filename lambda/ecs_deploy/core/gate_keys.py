"""The keys of a request that say what it has to pass: `approval`, `before`, `after`, `watch`.

What is wrong with them is said by `problems`, all at once, and what is not wrong is read.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

DEFAULT_TIMEOUT = 600
_TIMES = range(10, 86_401)
APPROVAL_TIMES = range(60, 14 * 86_400 + 1)
"""Seconds: an execution may last longer, and a person who does not answer for two weeks will not."""
_MOST_ALARMS = 10
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html (overrides have a size limit)
_LONGEST_COMMAND = 4_096
_NAME = r"[A-Za-z0-9_-]{1,255}"
_LONGEST_ALARM = 255


class TaskKeys(NamedTuple):
    """A task of the new revision to run: its command, the container that gets it, and the seconds that it may take."""

    command: tuple[str, ...]
    container: str = ""
    timeout: int = DEFAULT_TIMEOUT

    def as_json(self) -> dict[str, Any]:
        named = {"container": self.container} if self.container else {}
        return {"command": list(self.command), **named, "timeout": self.timeout}


class WatchKeys(NamedTuple):
    """How many seconds to watch what was deployed, and the alarms of CloudWatch that must not go off meanwhile."""

    seconds: int
    alarms: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {"seconds": self.seconds, **({"alarms": list(self.alarms)} if self.alarms else {})}


class GateKeys(NamedTuple):
    """What a request has to pass. For an `approval` there are so many seconds, 0 for none.

    `before` the service is updated a task has to end well, and one `after` it is stable; then it is watched.
    """

    approval: int = 0
    before: TaskKeys | None = None
    after: TaskKeys | None = None
    watch: WatchKeys | None = None

    @property
    def come_first(self) -> bool:
        """Whether there is anything to pass before the turn."""
        return bool(self.approval or self.before)

    @property
    def come_after(self) -> bool:
        """Whether anything follows a stable deployment."""
        return bool(self.after or self.watch)

    def as_json(self) -> dict[str, Any]:
        """The keys as a request has them."""
        approval = {"approval": self.approval} if self.approval else {}
        return {
            **approval,
            **{key: keys.as_json() for key in ("before", "after", "watch") if (keys := getattr(self, key))},
        }


def read(document: Mapping[str, Any]) -> GateKeys:
    """Read the keys of a document that has no problems."""
    before, after = (_task(document[key]) if key in document else None for key in ("before", "after"))
    watch = document.get("watch")
    watched = WatchKeys(watch["seconds"], tuple(watch.get("alarms", ()))) if watch else None
    return GateKeys(document.get("approval", 0), before, after, watched)


def problems(document: Mapping[str, Any]) -> list[str]:
    """What is wrong with the keys of a document, each with its name."""
    return [f"{key}{problem}" for key, check in _CHECKS.items() if key in document for problem in check(document[key])]


def _task(value: Mapping[str, Any]) -> TaskKeys:
    return TaskKeys(tuple(value["command"]), value.get("container", ""), value.get("timeout", DEFAULT_TIMEOUT))


def _check_approval(value: object) -> Iterator[str]:
    if not _is_within(value, APPROVAL_TIMES):
        yield f": must be a whole number of seconds from {APPROVAL_TIMES.start} to {APPROVAL_TIMES.stop - 1}"


def _check_task(value: object) -> Iterator[str]:
    if not isinstance(value, dict):
        yield ': must be an object with a command, such as {"command": ["bin/migrate"]}'
        return
    yield from _unknown(value, ("command", "container", "timeout"))
    command = value.get("command")
    if not isinstance(command, list) or not command or not all(isinstance(each, str) for each in command):
        yield ".command: must be a list of texts, with at least one"
    elif sum(map(len, command)) > _LONGEST_COMMAND:
        yield f".command: must have at most {_LONGEST_COMMAND} characters"
    container = value.get("container", "app")
    if not isinstance(container, str) or not re.fullmatch(_NAME, container):
        yield ".container: is not a container name (1 to 255 letters, digits, _ and -)"
    if not _is_within(value.get("timeout", DEFAULT_TIMEOUT), _TIMES):
        yield f".timeout: must be a whole number of seconds from {_TIMES.start} to {_TIMES.stop - 1}"


def _check_watch(value: object) -> Iterator[str]:
    if not isinstance(value, dict):
        yield ': must be an object with seconds, such as {"seconds": 600}'
        return
    yield from _unknown(value, ("seconds", "alarms"))
    if not _is_within(value.get("seconds"), _TIMES):
        yield f".seconds: must be a whole number of seconds from {_TIMES.start} to {_TIMES.stop - 1}"
    alarms = value.get("alarms", [])
    if not isinstance(alarms, list) or len(alarms) > _MOST_ALARMS or not all(map(_is_alarm, alarms)):
        yield f".alarms: must be a list of at most {_MOST_ALARMS} names of alarms"


def _unknown(value: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[str]:
    if others := set(value) - set(keys):
        yield f": the keys are {', '.join(keys)}, and it has {len(others)} more"


def _is_within(value: object, numbers: range) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in numbers


def _is_alarm(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_ALARM


_CHECKS: Mapping[str, Callable[[object], Iterator[str]]] = {
    "approval": _check_approval,
    "before": _check_task,
    "after": _check_task,
    "watch": _check_watch,
}
