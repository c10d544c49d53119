"""Running a task of the new revision: once, however often its step is tried, until it has ended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ecs_deploy.aws import ecs, ecs_tasks, logs
from ecs_deploy.core import task_run
from ecs_deploy.core.diagnosis import private_values, redacted, stream_of
from ecs_deploy.core.errors import AwsUnavailable, DeployError
from ecs_deploy.core.gate_keys import TaskKeys
from ecs_deploy.core.service import Service, Task
from ecs_deploy.core.task_run import TaskEnd, TaskVerdict
from ecs_deploy.handlers import runtime

_LINES = 5


def start(service: Service, revision: str, container: str, keys: TaskKeys, token: str, *, may_run: bool) -> str:
    """Start the task of a token, or find it where it `may_run` already; answer its ARN.

    Raises `DeployError`, `AwsUnavailable`.
    """
    found = ecs_tasks.find(service.cluster, token) if may_run else None
    task = found or ecs_tasks.run(service, revision, container, keys.command, token)
    runtime.logger.info("A task was started", task=task, revision=revision, container=container)
    return task


def observe(
    service: Service, document: Mapping[str, Any], task: str, container: str, keys: TaskKeys, began: datetime
) -> TaskVerdict:  # fmt: skip
    """Read a task that `began` then, and stop it where its time has passed. Raises `DeployError`, `AwsUnavailable`."""
    now = runtime.now()
    described = ecs_tasks.describe(service.cluster, task)
    found = task_run.judge(described, container, began, keys.timeout, now)
    if found.end is TaskEnd.OVERDUE:
        ecs_tasks.stop(service.cluster, task, f"ecs-deploy: not ended after {keys.timeout} seconds")
    if found.end is not TaskEnd.FAILED:
        return found
    lines = _last_lines(document, container, described)
    return found._replace(reason=f"{found.reason}{lines}")


def failure(what: str, keys: TaskKeys, found: TaskVerdict) -> str:
    """Why a request fails by its task, for people."""
    return f"{what}: the task that ran {' '.join(keys.command)} failed: {found.reason}"


def document_of(revision: str) -> Mapping[str, Any]:
    """The task definition of a revision. Raises `DeployError`, `AwsUnavailable`."""
    return ecs.describe_task_definition(revision).document


def _last_lines(document: Mapping[str, Any], container: str, task: Task | None) -> str:
    """The last lines of a container's log, as far as they can be read."""
    stream = stream_of(document, container, task) if task else None
    if stream is None:
        return ""
    try:
        lines = logs.last_lines(stream, _LINES)
    except (DeployError, AwsUnavailable) as error:
        return f" (its log {stream.group} could not be read: {error})"
    private = private_values(document)
    return f". The last lines of its log: {' | '.join(redacted(each, private) for each in lines)}" if lines else ""
