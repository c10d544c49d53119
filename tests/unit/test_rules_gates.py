"""The rules of gates: what a request has to wait for before its turn, and whose task may run."""

from typing import Any

from ecs_deploy.core import gates
from ecs_deploy.core.gates import Asking, Begin, Blocked, Displaced, Follow, Passed, Rejected, TaskFailed
from ecs_deploy.core.state import Answer, Gate, GateTask, State
from tests.support.rules import at, pushed, state, table, td, typed

YES = Answer(is_yes=True, by="Ann", at=at(2))
NO = Answer(is_yes=False, by="Ann", at=at(2), why="not on a Friday")
NOTED = GateTask("token", td(2), at(1), at(2), at(11))
RUNS = NOTED._replace(task="arn:task")
ENDED = RUNS._replace(is_passed=True)
FAILED = RUNS._replace(failure="it ended with 1")
APPROVAL, TASK = {"approval": 600, "has_task": False}, {"approval": 0, "has_task": True}
BOTH = {"approval": 600, "has_task": True}


def gate(execution: str, minutes: float = 0, *containers: str, **more: Any) -> Gate:
    return Gate(pushed(execution, minutes), containers or ("app",), at(minutes), **more)


def gated(*others: Gate, **mine: Any) -> State:
    return state(gates={each.candidate.execution: each for each in (gate("mine", **mine), *others)})


@table(
    "before, keys, over, expected",
    {
        "nobody has answered yet": (gated(), APPROVAL, (), Asking(at(10))),
        "nobody has answered in time": (
            gated(),
            {"approval": 60, "has_task": False},
            (),
            Rejected("nobody has approved it until 2026-01-31T12:01:00.000Z"),
        ),
        "approved": (gated(answer=YES), APPROVAL, (), Passed()),
        "rejected": (gated(answer=NO), APPROVAL, (), Rejected("Ann has rejected it: not on a Friday")),
        "a newer request asks": (gated(gate("newer", 1)), APPROVAL, (), Displaced(pushed("newer", 1))),
        "an older request asks": (gated(gate("older", -1)), APPROVAL, (), Asking(at(10))),
        "a newer one asks for another container": (gated(gate("newer", 1, "proxy")), APPROVAL, (), Asking(at(10))),
        "a newer one asks for all of its containers and more": (
            gated(gate("newer", 1, "app", "proxy")),
            APPROVAL,
            (),
            Displaced(pushed("newer", 1)),
        ),
        "approved, though a newer one asks": (gated(gate("newer", 1), answer=YES), APPROVAL, (), Passed()),
        "not approved, so no task": (gated(), BOTH, (), Asking(at(10))),
        "rejected, so no task": (gated(answer=NO), BOTH, (), Rejected("Ann has rejected it: not on a Friday")),
        "approved, so its task": (gated(answer=YES), BOTH, (), Begin(None)),
        "its task may be started": (gated(), TASK, (), Begin(None)),
        "its task may have been started": (gated(task=NOTED), TASK, (), Begin(NOTED)),
        "its task runs": (gated(task=RUNS), TASK, (), Follow(RUNS)),
        "its task has ended well": (gated(task=ENDED), TASK, (), Passed()),
        "its task has failed": (gated(task=FAILED), TASK, (), TaskFailed("it ended with 1")),
        "another one's task runs": (gated(gate("other", task=RUNS)), TASK, (), Blocked(("other",))),
        "another one's task may run": (gated(gate("other", task=NOTED)), TASK, (), Blocked(("other",))),
        "another one's, of another container": (
            gated(gate("other", 0, "proxy", task=RUNS)),
            TASK,
            (),
            Blocked(("other",)),
        ),
        "another one's has ended well": (gated(gate("other", task=ENDED)), TASK, (), Begin(None)),
        "another one's has failed": (gated(gate("other", task=FAILED)), TASK, (), Begin(None)),
        "another one's is over, though nobody has noted it": (
            gated(gate("other", task=RUNS)),
            TASK,
            ("other",),
            Begin(None),
        ),
        "both are noted, and another one's runs": (
            gated(gate("other", task=RUNS), task=NOTED),
            TASK,
            (),
            Blocked(("other",)),
        ),
        "both run: each is followed to its end": (gated(gate("other", task=RUNS), task=RUNS), TASK, (), Follow(RUNS)),
    },
)
def test_what_a_request_waits_for(before: State, keys: Any, over: tuple[str, ...], expected: gates.GateRuling) -> None:
    assert typed(gates.rule(before, "mine", at(3), over=over, **keys)) == typed(expected)


@table(
    "before, expected",
    {
        "who asks is answered": (gated(is_asking=True), gated(is_asking=True, answer=YES)),
        "who asks for nothing is not": (gated(), None),
        "the first answer counts": (gated(is_asking=True, answer=NO), None),
        "nobody asks": (state(), None),
        "what a newer request asks instead of is not": (
            gated(gate("newer", 1, is_asking=True), is_asking=True),
            None,
        ),
        "what is older than what was accepted is not": (
            gated(is_asking=True)._replace(newest={"app": pushed("newer", 1)}),
            None,
        ),
    },
)
def test_an_answer(before: State, expected: State | None) -> None:
    assert gates.answered(before, "mine", YES) == expected


@table(
    "before, left",
    {
        "its gate goes": (gated(), state()),
        "with what its task was": (gated(task=ENDED), state()),
        "and what failed": (gated(task=FAILED), state()),
        "a task that may run keeps others waiting": (gated(task=NOTED), gated(task=NOTED)),
        "a task that runs, too": (gated(task=RUNS), gated(task=RUNS)),
        "others keep theirs": (gated(gate("other")), state(gates={"other": gate("other")})),
    },
)
def test_whoever_is_through_leaves_its_gate(before: State, left: State) -> None:
    assert gates.left(before, "mine") == left


@table(
    "before, minutes, after",
    {
        "one that asked": (gated(is_asking=True), 1, state()),
        "one whose task is over": (gated(task=ENDED), 1, state()),
        "one whose task may run": (gated(task=RUNS), 60, gated(task=RUNS)),
        "one whose task has run for a day too long": (gated(task=RUNS), 1451, state()),
        "no other": (gated(gate("other")), 1, state(gates={"other": gate("other")})),
    },
)
def test_the_gate_of_a_dead_execution(before: State, minutes: float, after: State) -> None:
    assert gates.without(before, {"mine", "gone"}, at(minutes)) == after


def test_who_comes_to_its_gate_stands_there_until_it_leaves() -> None:
    after = gates.entered(state(), pushed("mine"), ("app",), at(0), asks=True)
    assert after == gated(is_asking=True)
    assert gates.with_task(after, "mine", RUNS).gates["mine"].task == RUNS
