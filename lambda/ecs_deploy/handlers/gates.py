"""What a request waits for before its turn: people are asked, its task runs, and whoever answers is heard."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple, assert_never

from ecs_deploy.aws import dynamodb, ecs, ecs_tasks
from ecs_deploy.core import gates, task_run
from ecs_deploy.core.decision import Ask, Decision, Outcome, Succeed, Turn, WaitForTurn, decision_from, skip
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.formats import instant
from ecs_deploy.core.gate_keys import GateKeys
from ecs_deploy.core.poll_schedule import AFTER_SIGNAL, next_pause
from ecs_deploy.core.request import Answer, Request
from ecs_deploy.core.service import Service
from ecs_deploy.core.state import Answer as Answered
from ecs_deploy.core.state import Candidate, Entry, Result, State
from ecs_deploy.core.task_definition import differences
from ecs_deploy.handlers import ending, runtime, table, tasks

# Longer than the function that starts it may run.
_STARTS_WITHIN = timedelta(seconds=90)


class Gated(NamedTuple):
    """A request at its gate: what it would deploy, and the state as it was read.

    It `registers` a revision, unless it is for one that is there.
    """

    key: str
    keys: GateKeys
    service: Service
    state: State
    candidate: Candidate
    containers: tuple[str, ...]
    image: str
    base: Mapping[str, Any]
    document: Mapping[str, Any]
    entry: Entry
    signals: int
    has_asked: bool
    registers: bool

    @property
    def execution(self) -> str:
        return self.candidate.execution


def check(keys: GateKeys, document: Mapping[str, Any], containers: tuple[str, ...]) -> None:
    """Refuse what could never be passed. Raises `DeployError`, `AwsUnavailable`."""
    for what, task in ((tasks.BEFORE, keys.before), (tasks.AFTER, keys.after)):
        if task:
            task_run.container_of(task, what, document, containers)
    if keys.watch and keys.watch.alarms:
        # Few requests have any, and each start would wait for the SDK's client.
        from ecs_deploy.aws import cloudwatch  # noqa: PLC0415

        there = {each.name for each in cloudwatch.describe_alarms(keys.watch.alarms)}
        if unknown := [each for each in keys.watch.alarms if each not in there]:
            raise DeployError(Error.INVALID_REQUEST, f"watch.alarms: there is no alarm {', '.join(unknown)}.")


def wait(gated: Gated, register: Callable[[], str], *, is_skipped: bool) -> Decision | State:
    """What it waits for or how it ends, or the state once it has passed; `register` answers the new revision.

    One that `is_skipped` asks for nothing any more, and only waits for the task that it has started.

    Raises `dynamodb.Conflict`, `DeployError` where it must not be deployed, and `AwsUnavailable`.
    """
    now = runtime.now()
    if is_skipped and not gates.is_running(gated.state, gated.execution):
        return gated.state
    if gated.execution not in gated.state.gates:
        entry = dynamodb.read_entry(gated.key, gated.candidate)
        if entry and entry.result is Result.FAILED and entry.answer:
            # Its answer was lost.
            return decision_from(entry.answer)
        asks = bool(gated.keys.approval)
        after = gates.entered(gated.state, gated.candidate, gated.containers, now, asks=asks)
        gated = gated._replace(state=table.written(gated.key, gated.state, after, gated.entry))
    ruling = gates.rule(gated.state, gated.execution, now, gated.keys.approval)
    match ruling:
        case gates.Passed():
            return _run(gated, register)
        case gates.Asking(until):
            return _ask(gated, instant(until), (until - now).total_seconds())
        case gates.Displaced(by):
            return _displaced(gated, by)
        case gates.Rejected(why):
            raise DeployError(Error.NOT_APPROVED, f"{gated.image} was not deployed: {why}.")
    assert_never(ruling)


def _run(gated: Gated, register: Callable[[], str]) -> Decision | State:
    """Run the task before, if there is one."""
    keys = gated.keys.before
    if keys is None:
        return gated.state
    container = task_run.container_of(keys, tasks.BEFORE, gated.document, gated.containers)
    run = tasks.Run(gated.key, gated.execution, tasks.BEFORE, keys, gated.service, gated.document, container)
    progress = tasks.advance(run, gated.state, register)
    if progress.failure:
        task = progress.state.gates[gated.execution].task
        if task and gated.registers:
            ending.deregister(task.revision)
        raise DeployError(Error.DEPLOYMENT_FAILED, f"{gated.image} was not deployed. {progress.failure}.")
    return _later(gated, progress.seconds) if progress.seconds else progress.state


def answer(requested: Request, wanted: Answer, candidate: Candidate) -> Decision:
    """Bring an answer to an execution that asks for approval, or that waits at a hook of ECS.

    Raises `DeployError` where it does neither, and `AwsUnavailable`.
    """
    now = runtime.now()
    service = ecs.describe_service(requested.cluster, requested.service)
    asking = f"{candidate.execution.rpartition(':')[0]}:{wanted.execution}"
    said = Answered(wanted.is_yes, candidate.execution, now, wanted.why)

    def rule(state: State) -> table.Change:
        after = gates.answered(state, asking, said)
        gate = state.gates.get(asking)
        # An earlier try may have brought the answer.
        is_heard = after is not None or bool(gate and gate.answer and gate.answer.by == candidate.execution)
        return table.Change((is_heard, state.owner), after)

    is_heard, owner = table.change(requested.key, now, rule)
    if not is_heard:
        paused = ecs_tasks.pausing(service.cluster, service.name) if owner and owner.execution == asking else None
        if paused is None:
            raise DeployError(
                Error.INVALID_REQUEST,
                f"{wanted.execution} does not wait for an answer. It was answered, was taken over by a newer request, "
                "or has ended.",
            )
        ecs_tasks.decide(*paused, goes_on=wanted.is_yes)
    outcome = Outcome.APPROVED if wanted.is_yes else Outcome.REJECTED
    why = f"{wanted.execution} goes on" if wanted.is_yes else f"{wanted.execution} ends: {wanted.why}"
    return skip(outcome, requested.cluster, requested.service, candidate, None, now, why)


def _ask(gated: Gated, until: str, left: float) -> Decision:
    since = gated.state.gates[gated.execution].since
    seconds = next_pause((runtime.now() - since).total_seconds(), looks=len(AFTER_SIGNAL), hears=True)
    waits = _later(gated, max(1, round(min(seconds, left))))
    if gated.has_asked:
        return waits
    asked = {
        "image": gated.image,
        "digest": gated.candidate.digest or None,
        "expiresAt": until,
        "differences": differences(gated.base, gated.document),
    }
    return Ask(waits, asked)


def _later(gated: Gated, seconds: int) -> WaitForTurn:
    turn = Turn(gated.containers, gated.candidate.digest, gated.state.gates[gated.execution].since, has_asked=True)
    return WaitForTurn(turn, seconds, gated.key, gated.signals)


def _displaced(gated: Gated, by: Candidate) -> Succeed:
    cluster, _, service = gated.key.partition("/")
    why = f"{by.execution} is newer, and asks for approval instead"
    end = skip(Outcome.SUPERSEDED, cluster, service, gated.candidate, gated.image, runtime.now(), why)
    entry = gated.entry._replace(result=Result.SUPERSEDED, ended_at=runtime.now())
    table.write(gated.key, before=gated.state, state=gates.left(gated.state, gated.execution), entry=entry)
    return end
