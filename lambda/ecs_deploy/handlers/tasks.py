"""Running a task of a revision, before or after an update: once, however often its step is tried, until it has ended.

What is known of it stands in the state of the service, at the gate of its execution, and is written there before the
task is started. So a retry finds it, and no two tasks of a service run at once.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any, NamedTuple, assert_never

from ecs_deploy.aws import ecs_tasks, logs
from ecs_deploy.core import gates, task_run
from ecs_deploy.core.diagnosis import private_values, redacted, stream_of
from ecs_deploy.core.errors import AwsUnavailable, DeployError, Error, RevisionNotFound
from ecs_deploy.core.gate_keys import TaskKeys
from ecs_deploy.core.service import Service, Task
from ecs_deploy.core.state import GateTask, State
from ecs_deploy.core.task_run import TaskEnd
from ecs_deploy.core.verdict import NOT_SHOWN_YET
from ecs_deploy.handlers import runtime, table

BEFORE, AFTER = "before", "after"
_LINES = 5
# Longer than the function that starts it may run.
_STARTS_WITHIN = timedelta(seconds=90)


class Run(NamedTuple):
    """A task that an execution runs at its gate; `what` is the key of the request that it stands for."""

    key: str
    execution: str
    what: str
    keys: TaskKeys
    service: Service
    document: Mapping[str, Any]
    container: str


class Progress(NamedTuple):
    """The state as it is now, and when to look again: in so many seconds, or not, as the task has ended well.

    Or it did not, for the reason `failure`.
    """

    state: State
    seconds: int = 0
    failure: str = ""


def advance(run: Run, state: State, register: Callable[[], str]) -> Progress:
    """Start the task of a revision that `register` answers, once no other task runs, or look at it.

    Raises `dynamodb.Conflict`, `DeployError`, `AwsUnavailable`.
    """
    now = runtime.now()
    ruling = gates.rule_of_task(state, run.execution, _over(run, state))
    match ruling:
        case gates.Passed():
            return Progress(state)
        case gates.TaskFailed(why):
            return Progress(state, failure=why)
        case gates.Blocked():
            return Progress(state, task_run.next_look(state.gates[run.execution].since, now))
        case gates.Begin(noted):
            return _begin(run, state, noted, register)
        case gates.Follow(task):
            return _follow(run, state, task)
    assert_never(ruling)


def is_over(cluster: str, task: GateTask) -> bool:
    """Whether the task of another execution has ended, or was never started. Raises `DeployError`, `AwsUnavailable`."""
    now = runtime.now()
    if task.task:
        described = ecs_tasks.describe(cluster, task.task)
        return now - task.at >= NOT_SHOWN_YET if described is None else described.status == "STOPPED"
    return now >= task.until and ecs_tasks.find(cluster, task.token) is None


def _over(run: Run, state: State) -> set[str]:
    """The other executions whose tasks have ended. What runs past its time is stopped: its execution may be dead."""
    unfinished = gates.others(state, run.execution)
    over = {name for name, each in unfinished.items() if is_over(run.service.cluster, each)}
    for name, each in unfinished.items():
        if name in over or runtime.now() < each.deadline:
            continue
        if task := each.task or ecs_tasks.find(run.service.cluster, each.token):
            ecs_tasks.stop(run.service.cluster, task, "ecs-deploy: not ended in its time")
    return over


def _begin(run: Run, state: State, noted: GateTask | None, register: Callable[[], str]) -> Progress:
    """Write down that the task is about to be started, then start it, or find it where an earlier try has."""
    now, cluster = runtime.now(), run.service.cluster
    token = sha256(f"{run.execution}/{run.what}".encode()).hexdigest()[:36]
    task = noted or GateTask(token, register(), now, now, now + timedelta(seconds=run.keys.timeout))
    state = _noted(run, state, task._replace(until=now + _STARTS_WITHIN))
    try:
        arn = ecs_tasks.find(cluster, task.token) if noted else None
        arn = arn or ecs_tasks.run(run.service, task.revision, run.container, run.keys.command, task.token)
    except RevisionNotFound:
        raise
    except DeployError as error:
        # Before the update nothing has to be returned, and the error may have a name of its own.
        if run.what == BEFORE and error.error is not Error.DEPLOYMENT_FAILED:
            raise
        return _failed(run, state, task, error.message)
    runtime.logger.info("A task was started", task=arn, revision=task.revision, container=run.container)
    return Progress(_noted(run, state, task._replace(task=arn)), task_run.next_look(task.at, now, task.deadline))


def _follow(run: Run, state: State, task: GateTask) -> Progress:
    now = runtime.now()
    described = ecs_tasks.describe(run.service.cluster, task.task)
    found = task_run.judge(described, run.container, task.at, run.keys.timeout, now)
    match found.end:
        case TaskEnd.RUNS:
            return Progress(state, task_run.next_look(task.at, now, task.deadline))
        case TaskEnd.OVERDUE:
            why = f"ecs-deploy: not ended after {run.keys.timeout} seconds"
            ecs_tasks.stop(run.service.cluster, task.task, why)
            return Progress(state, task_run.next_look(task.at, now, task.deadline))
        case TaskEnd.PASSED:
            return Progress(_noted(run, state, task._replace(is_passed=True)))
        case TaskEnd.FAILED:
            return _failed(run, state, task, f"{found.reason}{_last_lines(run, described)}")
    assert_never(found.end)


def _failed(run: Run, state: State, task: GateTask, reason: str) -> Progress:
    """Write down why the task failed, so that no retry starts it again."""
    why = f"{run.what}: the task that ran {' '.join(run.keys.command)} failed: {reason}"
    return Progress(_noted(run, state, task._replace(failure=why)), failure=why)


def _noted(run: Run, state: State, task: GateTask) -> State:
    return table.written(run.key, state, gates.with_task(state, run.execution, task))


def _last_lines(run: Run, task: Task | None) -> str:
    """The last lines of a container's log, as far as they can be read."""
    stream = stream_of(run.document, run.container, task) if task else None
    if stream is None:
        return ""
    try:
        lines = logs.last_lines(stream, _LINES)
    except (DeployError, AwsUnavailable) as error:
        return f" (its log {stream.group} could not be read: {error})"
    private = private_values(run.document)
    return f". The last lines of its log: {' | '.join(redacted(each, private) for each in lines)}" if lines else ""
