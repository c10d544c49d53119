"""Gathering the evidence of a failed rollout, as far as it can be read: an explanation never stands in the way."""

from datetime import timedelta
from typing import Any

from ecs_deploy import ecs
from ecs_deploy.diagnosis import Evidence, diagnose, log_stream, private_values
from ecs_deploy.errors import AwsUnavailable, DeployError
from ecs_deploy.progress import Explanation, Progress
from ecs_deploy.service import Service, Task

_LINES = 5
# The events of a rollout are by ECS's clock, its start is by the function's.
_CLOCKS_DIFFER = timedelta(seconds=5)


def explain(progress: Progress, service: Service, said: str) -> Explanation:
    """Explain why the target of `progress` failed; `said` is what the deployment itself tells."""
    since = progress.updated_at_time - _CLOCKS_DIFFER
    events = tuple(event for event in service.events if event.at >= since)
    try:
        tasks = ecs.describe_tasks(progress.cluster, progress.service)
        document = ecs.describe_task_definition(progress.target).document
    except (DeployError, AwsUnavailable) as error:
        return diagnose(Evidence(said, (), events, unseen=f"the tasks could not be read: {error}"), progress.target, ())
    lines, unseen = _last_lines(document, [task for task in tasks if task.revision == progress.target])
    return diagnose(Evidence(said, tasks, events, lines, unseen), progress.target, private_values(document))


def _last_lines(document: dict[str, Any], tasks: list[Task]) -> tuple[tuple[str, ...], str | None]:
    """The last log lines of the container that died last, or why they cannot be seen."""
    ended = sorted((task for task in tasks if task.stopped_at), key=lambda task: str(task.stopped_at), reverse=True)
    stream = next((found for task in ended if (found := log_stream(document, task))), None)
    if stream is None:
        return (), None
    try:
        return ecs.last_log_lines(stream, _LINES), None
    except (DeployError, AwsUnavailable) as error:
        return (), f"the log {stream.group} could not be read: {error}"
