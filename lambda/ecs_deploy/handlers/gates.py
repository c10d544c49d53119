"""What a request waits for before its turn: people are asked, its task runs, and whoever answers is heard."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple, assert_never

from ecs_deploy.aws import ecs, ecs_tasks
from ecs_deploy.core import gates, task_run
from ecs_deploy.core.decision import Ask, Decision, Outcome, Succeed, Turn, WaitForTurn, skip
from ecs_deploy.core.errors import DeployError, Error, RevisionNotFound
from ecs_deploy.core.formats import instant
from ecs_deploy.core.gate_keys import GateKeys, TaskKeys
from ecs_deploy.core.poll_schedule import AFTER_SIGNAL, next_pause
from ecs_deploy.core.request import Answer, Request
from ecs_deploy.core.service import Service
from ecs_deploy.core.state import Answer as Answered
from ecs_deploy.core.state import Candidate, Entry, GateTask, Result, State
from ecs_deploy.core.task_definition import differences
from ecs_deploy.core.task_run import TaskEnd, TaskVerdict
from ecs_deploy.core.verdict import NOT_SHOWN_YET
from ecs_deploy.handlers import runtime, table, tasks

# Longer than the function that starts it may run.
_STARTS_WITHIN = timedelta(seconds=90)


class Gated(NamedTuple):
    """A request at its gate: what it would deploy, and the state as it was read."""

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

    @property
    def execution(self) -> str:
        return self.candidate.execution


def wait(gated: Gated, register: Callable[[], str], *, is_skipped: bool) -> Decision | State:
    """What it waits for or how it ends, or the state once it has passed; `register` answers the new revision.

    One that `is_skipped` asks for nothing any more, and only waits for the task that it has started.

    Raises `dynamodb.Conflict`, `DeployError` where it must not be deployed, and `AwsUnavailable`.
    """
    now = runtime.now()
    if is_skipped and not gates.is_running(gated.state, gated.execution):
        return gated.state
    if gated.execution not in gated.state.gates:
        asks = bool(gated.keys.approval)
        after = gates.entered(gated.state, gated.candidate, gated.containers, now, asks=asks)
        gated = _written(gated, after, gated.entry)
    return _after(gated, _ruling(gated, now), now, register)


def _ruling(gated: Gated, now: datetime) -> gates.GateRuling:
    unfinished = gates.others(gated.state, gated.execution)
    over = {name for name, each in unfinished.items() if is_over(gated.service.cluster, each)}
    for name, each in unfinished.items():
        if name not in over and each.task and now >= each.deadline:
            # Its own execution may be dead.
            ecs_tasks.stop(gated.service.cluster, each.task, "ecs-deploy: not ended in its time")
    return gates.rule(
        gated.state,
        gated.execution,
        now,
        approval=gated.keys.approval,
        has_task=gated.keys.before is not None,
        over=over,
    )


def _after(gated: Gated, ruling: gates.GateRuling, now: datetime, register: Callable[[], str]) -> Decision | State:
    match ruling:
        case gates.Passed():
            return gated.state
        case gates.Asking(until):
            return _ask(gated, instant(until), (until - now).total_seconds())
        case gates.Displaced(by):
            return _displaced(gated, by)
        case gates.Rejected(why):
            raise DeployError(Error.NOT_APPROVED, f"{gated.image} was not deployed: {why}.")
        case gates.TaskFailed(why):
            raise DeployError(Error.DEPLOYMENT_FAILED, why)
        case gates.Blocked():
            return _later(gated, task_run.next_look(gated.state.gates[gated.execution].since, now))
        case gates.Begin(noted):
            return _begin(gated, noted, register)
        case gates.Follow(task):
            return _follow(gated, task)
    assert_never(ruling)


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
    _written(gated, gates.left(gated.state, gated.execution), entry)
    return end


def _begin(gated: Gated, noted: GateTask | None, register: Callable[[], str]) -> Decision:
    """Write down that the task is about to be started, then start it, or find it where an earlier try has."""
    now, keys = runtime.now(), _keys(gated)
    container = _container(gated)
    token = sha256(f"{gated.execution}/before".encode()).hexdigest()[:36]
    task = noted or GateTask(token, register(), now, now, now + timedelta(seconds=keys.timeout))
    gated = _written(gated, gates.with_task(gated.state, gated.execution, task._replace(until=now + _STARTS_WITHIN)))
    try:
        arn = tasks.start(gated.service, task.revision, container, keys, task.token, may_run=noted is not None)
    except DeployError as error:
        if isinstance(error, RevisionNotFound):
            raise
        return _failed(gated, task, TaskVerdict(TaskEnd.FAILED, error.message))
    gated = _written(gated, gates.with_task(gated.state, gated.execution, task._replace(task=arn)))
    return _later(gated, task_run.next_look(task.at, now))


def _follow(gated: Gated, task: GateTask) -> Decision | State:
    found = tasks.observe(gated.service, gated.document, task.task, _container(gated), _keys(gated), task.at)
    match found.end:
        case TaskEnd.RUNS | TaskEnd.OVERDUE:
            return _later(gated, task_run.next_look(task.at, runtime.now()))
        case TaskEnd.PASSED:
            passed = gates.with_task(gated.state, gated.execution, task._replace(is_passed=True))
            return _written(gated, passed).state
        case TaskEnd.FAILED:
            return _failed(gated, task, found)
    assert_never(found.end)


def _failed(gated: Gated, task: GateTask, found: TaskVerdict) -> Decision:
    """Write down that the task failed, so that no retry starts it again, and end by it."""
    why = f"{gated.image} was not deployed: {tasks.failure('before', _keys(gated), found)}"
    _written(gated, gates.with_task(gated.state, gated.execution, task._replace(failure=why)))
    ecs.deregister_task_definition(task.revision)
    raise DeployError(Error.DEPLOYMENT_FAILED, why)


def _keys(gated: Gated) -> TaskKeys:
    if gated.keys.before is None:
        raise ValueError("only a request with a task comes here")
    return gated.keys.before


def _container(gated: Gated) -> str:
    return task_run.container_of(_keys(gated), "before", gated.document, gated.containers)


def is_over(cluster: str, task: GateTask) -> bool:
    """Whether the task of another execution has ended, or was never started. Raises `DeployError`, `AwsUnavailable`."""
    now = runtime.now()
    if task.task:
        described = ecs_tasks.describe(cluster, task.task)
        return now - task.at >= NOT_SHOWN_YET if described is None else described.status == "STOPPED"
    return now >= task.until and ecs_tasks.find(cluster, task.token, stopped=False) is None


def _written(gated: Gated, state: State, entry: Entry | None = None) -> Gated:
    """Write the state, and an entry; answer with the state as it is now. Raises `dynamodb.Conflict`."""
    table.write(gated.key, before=gated.state, state=state, entry=entry)
    return gated._replace(state=state._replace(rev=gated.state.rev + 1))
