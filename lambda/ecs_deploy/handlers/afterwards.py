"""What a request asks for once its deployment is stable: a task after it, then a watch.

Each poll brings both on. The execution owns the service meanwhile. From the beginning of the watch on, the history says
that it was deployed, so that whoever takes over, or the death of the execution, leaves it deployed.
"""

from typing import NamedTuple, assert_never

from ecs_deploy.aws import ecs, ecs_tasks
from ecs_deploy.core import crash_loop, gate_keys, gates, task_run, transitions, watching
from ecs_deploy.core.decision import End, Wait
from ecs_deploy.core.errors import AwsUnavailable, DeployError
from ecs_deploy.core.gate_keys import TaskKeys, WatchKeys
from ecs_deploy.core.plan import Explanation, Plan, Rollout
from ecs_deploy.core.service import Service, Task
from ecs_deploy.core.state import Stable, State, Watched
from ecs_deploy.core.watching import Alarm
from ecs_deploy.handlers import ending, runtime, table, tasks


class Passed(NamedTuple):
    """Nothing is left to wait for; the state as it is now, and what was not to be seen."""

    state: State
    unseen: tuple[str, ...] = ()


class Failed(NamedTuple):
    """The service has to be returned; `explanation` where the reason says it all."""

    state: State
    reason: str
    explanation: Explanation | None = None


def carry_on(
    plan: Plan, rollout: Rollout, state: State, service: Service, stable: Stable, success: End
) -> Wait | Passed | Failed:  # fmt: skip
    """Bring on what follows a deployment that is `stable`, and ends by `success` unless something goes wrong.

    Raises `dynamodb.Conflict`, `DeployError`, `AwsUnavailable`.
    """
    keys = gate_keys.read(plan.request)
    rollout = rollout._replace(stable_at=rollout.stable_at or runtime.now())
    if state.owner is None or state.owner.watched is None:
        if keys.after:
            progress = _test(plan, keys.after, state, service)
            if progress.failure:
                return Failed(progress.state, progress.failure, _whole(progress.failure))
            if progress.seconds:
                return Wait(plan, rollout, progress.seconds)
            state = progress.state
        if keys.watch is None:
            return Passed(state)
        after = transitions.watched(state, plan.candidate, stable)
        state = table.written(plan.key, state, after, ending.deployed_entry(plan, state.stable, stable, success))
    watched = state.owner.watched if state.owner else None
    if keys.watch is None or watched is None:
        return Passed(state)
    return _watch(plan, rollout, keys.watch, state, service, watched)


def abandon(plan: Plan, state: State) -> None:
    """Stop the task of an execution that has ended before it: what it tests is not what the service runs any more.

    Its gate stays, so that no other task runs before this one has stopped.
    """
    gate = state.gates.get(plan.execution)
    if gate is None or gate.task is None or gate.task.is_over:
        return
    now, noted = runtime.now(), gate.task
    try:
        # It may have been started, though its answer was lost.
        task = noted.task or ecs_tasks.find(plan.cluster, noted.token)
        if task:
            ecs_tasks.stop(plan.cluster, task, "ecs-deploy: what it tests was displaced")
        over = noted._replace(task=task or "", deadline=now)

        def rule(current: State) -> table.Change:
            known = plan.execution in current.gates
            return table.Change(None, gates.with_task(current, plan.execution, over) if known else None)

        table.change(plan.key, now, rule)
    except (DeployError, AwsUnavailable) as error:
        # Whoever runs the next one waits for it, and stops it in its time.
        runtime.logger.warning("A task could not be stopped", task=noted.task, reason=str(error))


def _test(plan: Plan, keys: TaskKeys, state: State, service: Service) -> tasks.Progress:
    """Run the task after. What keeps it from being run speaks against the deployment too: nothing has tested it."""
    now = runtime.now()
    if plan.execution not in state.gates:
        entered = gates.entered(state, plan.candidate, plan.containers, now, asks=False)
        state = table.written(plan.key, state, entered)
    document = ecs.describe_task_definition(plan.revision).document
    try:
        container = task_run.container_of(keys, tasks.AFTER, document, plan.containers)
        run = tasks.Run(plan.key, plan.execution, tasks.AFTER, keys, service, document, container)
        return tasks.advance(run, state, lambda: plan.revision)
    except DeployError as error:
        return tasks.Progress(state, failure=f"after: {error.message}")


def _watch(
    plan: Plan, rollout: Rollout, keys: WatchKeys, state: State, service: Service, watched: Watched
) -> Wait | Passed | Failed:  # fmt: skip
    stopped, unseen = _stopped_tasks(plan, service)
    alarms, not_read = _alarms(keys)
    unseen = tuple(dict.fromkeys((*rollout.unseen, *unseen, *not_read)))
    found = watching.watch(
        keys,
        watched.stable.at,
        rollout.since,
        runtime.now(),
        alarms=alarms,
        tasks=stopped,
        desired=service.desired,
        looks=rollout.looks,
    )
    match found:
        case watching.Goes(seconds):
            return Wait(plan, rollout._replace(unseen=unseen), seconds)
        case watching.Over():
            return Passed(state, unseen)
        case watching.Alarmed(why, is_of_tasks):
            return Failed(state, why, None if is_of_tasks else _whole(why))
    assert_never(found)


def _whole(why: str) -> Explanation:
    """The explanation of what explains itself."""
    return Explanation(f"{why}.", (why,))


def _stopped_tasks(plan: Plan, service: Service) -> tuple[list[Task], tuple[str, ...]]:
    mine = service.primary if service.is_rolling else None
    try:
        stopped = ecs.describe_stopped_tasks(service.cluster, service.name)
    except (DeployError, AwsUnavailable) as error:
        runtime.logger.warning("The tasks could not be read", reason=str(error))
        return [], (f"the tasks could not be read all the time that it was watched: {error}",)
    return crash_loop.own_tasks(stopped, mine, plan.revision), ()


def _alarms(keys: WatchKeys) -> tuple[list[Alarm], tuple[str, ...]]:
    if not keys.alarms:
        return [], ()
    # Few requests have any, and each start would wait for the SDK's client.
    from ecs_deploy.aws import cloudwatch  # noqa: PLC0415

    try:
        found = cloudwatch.describe_alarms(keys.alarms)
    except (DeployError, AwsUnavailable) as error:
        runtime.logger.warning("The alarms could not be read", reason=str(error))
        return [], (f"the alarms could not be read all the time that it was watched: {error}",)
    there = {each.name for each in found}
    gone = [each for each in keys.alarms if each not in there]
    return found, tuple(f"there is no alarm {each} any more" for each in gone)
