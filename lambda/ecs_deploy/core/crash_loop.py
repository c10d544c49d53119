"""Whether the tasks of a deployment die again and again: read from the tasks themselves.

What ECS counts in `failedTasks` leaves out containers that exit after they ran, and starts anew once a task runs:
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html and aws/containers-roadmap#1206.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from ecs_deploy.core.plan import Rollout
from ecs_deploy.core.service import Deployment, Service, Task
from ecs_deploy.core.signals import FAILURES


def may_loop(service: Service, rollout: Rollout, *, is_counted: bool) -> bool:
    """Whether to read the tasks: not where ECS's circuit breaker counts their failures itself, as `is_counted` says.

    It takes calls of its own, so there has to be a reason: many failures that ECS counts or has sent events of, or many
    tasks that were started in place of others.
    """
    if service.has_circuit_breaker and is_counted:
        return False
    counted = service.primary.failed_tasks if service.is_rolling else 0
    replaced = service.started_since(rollout.since) - service.desired
    return max(counted, rollout.signals.failures, replaced) >= FAILURES


def own_tasks(tasks: Iterable[Task], deployment: Deployment | None, revision: str) -> list[Task]:
    """The tasks of a deployment; where ECS shifts traffic and lists none, those of its revision.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html (startedBy)
    """
    if deployment is None:
        return [task for task in tasks if task.revision == revision]
    return [task for task in tasks if task.started_by == deployment.id]


def crash_loop(tasks: Sequence[Task], counted: int, now: datetime) -> str | None:
    """Why the tasks of a deployment will never run, if they will not: three have failed and none outlives them.

    `counted` is what ECS counts: a task that could not be placed is not among `tasks`. A task that is older than any
    that failed became, even if it is still on its way, shows that they need not fail; and so do more that run.
    """
    failed = [task for task in tasks if task.has_failed]
    excused = sum(task.status == "STOPPED" for task in tasks) - len(failed)
    failures = max(len(failed), counted - excused)
    others = [task for task in tasks if task.status != "STOPPED"]
    running = [task for task in others if task.status == "RUNNING"]
    if failures < FAILURES or len(running) > failures:
        return None
    longest = max((_age(task, now) for task in failed), default=timedelta())
    # What could not be placed tells no age: only what runs is proof against it.
    proofs = others if failed else running
    if any(_age(task, now) > longest for task in proofs):
        return None
    return f"{failures} tasks failed and " + ("no other outlives them" if running else "none is running")


def _age(task: Task, now: datetime) -> timedelta:
    return (task.stopped_at or now) - task.created_at if task.created_at else timedelta()
