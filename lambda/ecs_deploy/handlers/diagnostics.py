"""Reading what explains a failed rollout, as far as it can be read: an explanation never stands in the way."""

from typing import Any

from ecs_deploy.aws import ecs, logs
from ecs_deploy.core.diagnosis import Observed, diagnose, log_stream, own_tasks, private_values
from ecs_deploy.core.errors import AwsUnavailable, DeployError
from ecs_deploy.core.plan import CLOCKS_DIFFER, Explanation, Rollout
from ecs_deploy.core.service import Service, Task

_LINES = 5


def explain(rollout: Rollout, service: Service, said: str) -> Explanation:
    """Explain why the target of `rollout` failed; `said` is what the deployment itself tells."""
    target = rollout.target
    events = tuple(
        event for event in service.events if rollout.updated_at and event.at >= rollout.updated_at - CLOCKS_DIFFER
    )
    observed = Observed(said, (), events)
    private: tuple[str, ...] = ()
    # Where ECS shifts traffic, what started the tasks is not the deployment that is followed.
    deployment = rollout.deployment if service.is_rolling else ""
    try:
        document = ecs.describe_task_definition(target).document
        private = private_values(document)
        tasks = ecs.describe_tasks(service.cluster, service.name)
    except (DeployError, AwsUnavailable) as error:
        return diagnose(observed._replace(unseen=f"the tasks could not be read: {error}"), target, private)
    observed = observed._replace(tasks=tasks, document=document, deployment=deployment)
    lines, unseen = _last_lines(document, own_tasks(observed, target))
    return diagnose(observed._replace(lines=lines, unseen=unseen), target, private)


def _last_lines(document: dict[str, Any], tasks: list[Task]) -> tuple[tuple[str, ...], str | None]:
    """The last log lines of the container that failed last, or why they cannot be seen."""
    ended = sorted((task for task in tasks if task.has_failed), key=lambda task: str(task.stopped_at), reverse=True)
    stream = next((found for task in ended if (found := log_stream(document, task))), None)
    if stream is None:
        return (), None
    try:
        return logs.last_lines(stream, _LINES), None
    except (DeployError, AwsUnavailable) as error:
        return (), f"the log {stream.group} could not be read: {error}"
