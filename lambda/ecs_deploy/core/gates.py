"""What a request has to pass before its turn: somebody's approval, then a task that ends well.

Meanwhile it displaces nothing. What it has passed stands in the state until its turn, so that a retry asks nobody
again and starts no second task. Of several that ask for the same containers, only the newest goes on asking. The task
after an update is noted in the same way.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from ecs_deploy.core.formats import instant
from ecs_deploy.core.order import covers, goes_before, newer_than
from ecs_deploy.core.state import Answer, Candidate, Gate, GateTask, State


class Passed(NamedTuple):
    """Nothing is left to wait for but the turn."""


class Asking(NamedTuple):
    """Nobody has answered yet; until then there is time."""

    until: datetime


class Displaced(NamedTuple):
    """A newer request for the same containers asks instead."""

    by: Candidate


class Rejected(NamedTuple):
    """It must not be deployed."""

    why: str


class Blocked(NamedTuple):
    """These executions have tasks of which none is known to be over: there are never two at once for a service."""

    by: tuple[str, ...]


class Begin(NamedTuple):
    """Its task may be started: `noted` by an earlier try, which may have started it."""

    noted: GateTask | None


class Follow(NamedTuple):
    """Its task was started."""

    task: GateTask


class TaskFailed(NamedTuple):
    """Its task did not end well."""

    why: str


GateRuling = Passed | Asking | Displaced | Rejected
TaskRuling = Passed | Blocked | Begin | Follow | TaskFailed


def rule(state: State, execution: str, now: datetime, approval: int) -> GateRuling:
    """Whether a request is approved, for which there are so many seconds; 0 if nobody has to approve it."""
    gate = state.gates[execution]
    if gate.answer:
        return Passed() if gate.answer.is_yes else Rejected(f"{gate.answer.by} has rejected it: {gate.answer.why}")
    if not approval:
        return Passed()
    until = gate.since + timedelta(seconds=approval)
    if newer := _newer(state, gate):
        return Displaced(newer)
    return Asking(until) if now < until else Rejected(f"nobody has approved it until {instant(until)}")


def rule_of_task(state: State, execution: str, over: Collection[str] = ()) -> TaskRuling:
    """What to do about the task of an execution; `over` are others whose tasks have ended."""
    task = state.gates[execution].task
    if task and task.failure:
        return TaskFailed(task.failure)
    if task and task.is_passed:
        return Passed()
    if task and task.task:
        return Follow(task)
    unfinished = tuple(name for name in others(state, execution) if name not in over)
    return Blocked(unfinished) if unfinished else Begin(task)


def others(state: State, execution: str) -> dict[str, GateTask]:
    """The tasks of other executions of which nobody has noted that they are over."""
    return {
        name: each.task
        for name, each in state.gates.items()
        if name != execution and each.task and not each.task.is_over
    }


def is_running(state: State, execution: str) -> bool:
    """Whether an execution has a task that may be running."""
    gate = state.gates.get(execution)
    return gate is not None and gate.task is not None and not gate.task.is_over


def without(state: State, dead: Collection[str], now: datetime) -> State:
    """The executions of some gates are dead. A task that one has left running keeps others waiting until it is over."""
    gone = {
        name
        for name in dead
        if (gate := state.gates.get(name)) and (not is_running(state, name) or _is_forgotten(gate, now))
    }
    return state._replace(gates={name: each for name, each in state.gates.items() if name not in gone})


# Whoever has waited for it has stopped it.
_FORGOTTEN = timedelta(days=1)


def _is_forgotten(gate: Gate, now: datetime) -> bool:
    return gate.task is not None and now >= gate.task.deadline + _FORGOTTEN


def entered(
    state: State, candidate: Candidate, containers: tuple[str, ...], now: datetime, *, asks: bool
) -> State:  # fmt: skip
    """A request has come to its gate."""
    return _with(state, Gate(candidate, containers, now, is_asking=asks))


def answered(state: State, execution: str, answer: Answer) -> State | None:
    """Somebody has answered; None where the execution asks nothing, was answered, or something newer is there."""
    gate = state.gates.get(execution)
    if gate is None or not gate.is_asking or gate.answer is not None:
        return None
    if _newer(state, gate) or all(newer_than(gate.candidate, each, state) for each in gate.containers):
        return None
    return _with(state, gate._replace(answer=answer))


def with_task(state: State, execution: str, task: GateTask) -> State:
    """The task of a request, or what is known of it now."""
    return _with(state, state.gates[execution]._replace(task=task))


def left(state: State, execution: str) -> State:
    """A request has gone on to its turn, or has ended. A task of its that may be running keeps others waiting."""
    if is_running(state, execution):
        return state
    return state._replace(gates={name: each for name, each in state.gates.items() if name != execution})


def _with(state: State, gate: Gate) -> State:
    return state._replace(gates={**state.gates, gate.candidate.execution: gate})


def _newer(state: State, gate: Gate) -> Candidate | None:
    rivals = [each for each in state.gates.values() if covers(each.containers, gate.containers)]
    return next((each.candidate for each in rivals if goes_before(each.candidate, gate.candidate)), None)
