"""The keys of a request that say what it has to pass: what they may be, and what is said of the others."""

from typing import Any

from ecs_deploy.core import gate_keys
from ecs_deploy.core.gate_keys import GateKeys, TaskKeys, WatchKeys
from tests.support.rules import table

MIGRATE = {"command": ["bin/migrate", "--all"]}
MIGRATES = TaskKeys(("bin/migrate", "--all"))


@table(
    "document, expected",
    {
        "nothing": ({}, GateKeys()),
        "an approval within a minute": ({"approval": 60}, GateKeys(60)),
        "an approval within two weeks": ({"approval": 1_209_600}, GateKeys(1_209_600)),
        "a task before": ({"before": MIGRATE}, GateKeys(before=MIGRATES)),
        "of another container, and quick": (
            {"before": {**MIGRATE, "container": "worker", "timeout": 10}},
            GateKeys(before=MIGRATES._replace(container="worker", timeout=10)),
        ),
        "a task after": ({"after": MIGRATE}, GateKeys(after=MIGRATES)),
        "a watch": ({"watch": {"seconds": 60}}, GateKeys(watch=WatchKeys(60))),
        "a watch over alarms": (
            {"watch": {"seconds": 60, "alarms": ["5xx of doorman", "load"]}},
            GateKeys(watch=WatchKeys(60, ("5xx of doorman", "load"))),
        ),
    },
)
def test_what_is_read(document: dict[str, Any], expected: GateKeys) -> None:
    assert gate_keys.problems(document) == []
    assert gate_keys.read(document) == expected
    assert gate_keys.read(expected.as_json()) == expected
    assert expected.come_first is bool(document.keys() & {"approval", "before"})
    assert expected.come_after is bool(document.keys() & {"after", "watch"})


@table(
    "document, said",
    {
        "too short": ({"approval": 59}, "approval: must be a whole number of seconds from 60 to 1209600"),
        "too long": ({"approval": 1_209_601}, "approval: must be a whole number of seconds from 60 to 1209600"),
        "no number": ({"approval": True}, "approval: must be a whole number of seconds from 60 to 1209600"),
        "a text for a task": (
            {"before": "bin/migrate"},
            'before: must be an object with a command, such as {"command": ["bin/migrate"]}',
        ),
        "no command": ({"before": {}}, "before.command: must be a list of texts, with at least one"),
        "an empty command": ({"before": {"command": []}}, "before.command: must be a list of texts, with at least one"),
        "a shell's line": (
            {"before": {"command": "a b"}},
            "before.command: must be a list of texts, with at least one",
        ),
        "a number in it": ({"before": {"command": [1]}}, "before.command: must be a list of texts, with at least one"),
        "too long a command": (
            {"before": {"command": ["a" * 4097]}},
            "before.command: must have at most 4096 characters",
        ),
        "another key": (
            {"before": {**MIGRATE, "image": "a"}},
            "before: the keys are command, container, timeout, and it has 1 more",
        ),
        "no container's name": (
            {"before": {**MIGRATE, "container": "a b"}},
            "before.container: is not a container name (1 to 255 letters, digits, _ and -)",
        ),
        "no task after": (
            {"after": 1},
            'after: must be an object with a command, such as {"command": ["bin/migrate"]}',
        ),
        "no watch": ({"watch": 600}, 'watch: must be an object with seconds, such as {"seconds": 600}'),
        "a watch without end": ({"watch": {}}, "watch.seconds: must be a whole number of seconds from 10 to 86400"),
        "too short a watch": (
            {"watch": {"seconds": 9}},
            "watch.seconds: must be a whole number of seconds from 10 to 86400",
        ),
        "alarms of no list": (
            {"watch": {"seconds": 60, "alarms": "load"}},
            "watch.alarms: must be a list of at most 10 names of alarms",
        ),
        "too many alarms": (
            {"watch": {"seconds": 60, "alarms": ["a"] * 11}},
            "watch.alarms: must be a list of at most 10 names of alarms",
        ),
        "an alarm without a name": (
            {"watch": {"seconds": 60, "alarms": [""]}},
            "watch.alarms: must be a list of at most 10 names of alarms",
        ),
        "another key of a watch": (
            {"watch": {"seconds": 60, "minutes": 1}},
            "watch: the keys are seconds, alarms, and it has 1 more",
        ),
        "too short a time": (
            {"before": {**MIGRATE, "timeout": 9}},
            "before.timeout: must be a whole number of seconds from 10 to 86400",
        ),
    },
)
def test_what_is_wrong(document: dict[str, Any], said: str) -> None:
    assert gate_keys.problems(document) == [said]


def test_all_is_said_at_once() -> None:
    assert len(gate_keys.problems({"approval": 1, "before": {"container": "", "timeout": 1}})) == 4
