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


def gate(execution: str, minutes: float = 0, *containers: str, **more: Any) -> Gate:
    return Gate(pushed(execution, minutes), containers or ("app",), at(minutes), **more)


def gated(*others: Gate, **mine: Any) -> State:
    return state(gates={each.candidate.execution: each for each in (gate("mine", **mine), *others)})


@table(
    "before, approval, expected",
    {
        "nobody has to approve it": (gated(), 0, Passed()),
        "nobody has answered yet": (gated(), 600, Asking(at(10))),
        "nobody has answered in time": (
            gated(),
            180,
            Rejected("nobody has approved it until 2026-01-31T12:03:00.000Z"),
        ),
        "approved": (gated(answer=YES), 600, Passed()),
        "approved, and the time has passed": (gated(answer=YES), 60, Passed()),
        "rejected": (gated(answer=NO), 600, Rejected("Ann has rejected it: not on a Friday")),
        "a newer request asks": (gated(gate("newer", 1)), 600, Displaced(pushed("newer", 1))),
        "a newer one asks, and the time has passed": (gated(gate("newer", 1)), 60, Displaced(pushed("newer", 1))),
        "an older request asks": (gated(gate("older", -1)), 600, Asking(at(10))),
        "a newer one asks for another container": (gated(gate("newer", 1, "proxy")), 600, Asking(at(10))),
        "a newer one asks for all of its containers and more": (
            gated(gate("newer", 1, "app", "proxy")),
            600,
            Displaced(pushed("newer", 1)),
        ),
        "approved, though a newer one asks": (gated(gate("newer", 1), answer=YES), 600, Passed()),
    },
)
def test_whether_it_is_approved(before: State, approval: int, expected: gates.GateRuling) -> None:
    assert typed(gates.rule(before, "mine", at(3), approval)) == typed(expected)


@table(
    "before, over, expected",
    {
        "it may be started": (gated(), (), Begin(None)),
        "it may have been started": (gated(task=NOTED), (), Begin(NOTED)),
        "it runs": (gated(task=RUNS), (), Follow(RUNS)),
        "it has ended well": (gated(task=ENDED), (), Passed()),
        "it has failed": (gated(task=FAILED), (), TaskFailed("it ended with 1")),
        "another one's runs": (gated(gate("other", task=RUNS)), (), Blocked(("other",))),
        "another one's may run": (gated(gate("other", task=NOTED)), (), Blocked(("other",))),
        "another one's, of another container": (gated(gate("other", 0, "proxy", task=RUNS)), (), Blocked(("other",))),
        "another one's has ended well": (gated(gate("other", task=ENDED)), (), Begin(None)),
        "another one's has failed": (gated(gate("other", task=FAILED)), (), Begin(None)),
        "another one's is over, though nobody has noted it": (
            gated(gate("other", task=RUNS)),
            ("other",),
            Begin(None),
        ),
        "it is noted, and another one's runs": (gated(gate("other", task=RUNS), task=NOTED), (), Blocked(("other",))),
        "both run: each is followed to its end": (gated(gate("other", task=RUNS), task=RUNS), (), Follow(RUNS)),
    },
)
def test_whose_task_may_run(before: State, over: tuple[str, ...], expected: gates.TaskRuling) -> None:
    assert typed(gates.rule_of_task(before, "mine", over)) == typed(expected)


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
