"""ECS deploys as AWS documents it.

The emulator has the scheduler: first tasks, drains, the circuit breaker. What is changed here is what a deployer sees
of it. UpdateService swaps deployments in one step, and no call sees a service between two states; every failed task is
counted; a rollback is a deployment of its own; deployments, tasks and events speak as those of ECS.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
"""

from __future__ import annotations

import contextvars
import importlib
import threading
import uuid
from typing import TYPE_CHECKING, Any

from local.emulator import answers, ecs_events, service_deployments, task_definitions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.emulator.answers import Answer
    from local.emulator.seams import Function, Seams

ECS = "ministack.services.ecs"

# ECS counts every task that does not run yet.
PENDING = ("PROVISIONING", "PENDING", "ACTIVATING")

# What the emulator's scheduler gives as reason to stop a task where ECS names the deployment.
SUPERSEDED = "Task definition updated"
SCHEDULER_REASONS = {SUPERSEDED, "Deployment completed", "Deployment capacity limit", "Service scaling down"}

# How the emulator names a rollback, and ends the event of a failed deployment.
ROLLBACK = "ECS deployment rollback in progress."
BREAKER = "deployment circuit breaker was triggered."

# How ECS words them, of a deployment and in its events.
TASKS_FAILED = "ECS deployment circuit breaker: tasks failed to start."
ROLLS_BACK = "ECS deployment circuit breaker: rolling back to deploymentId {}."

# The exit code of a container that was told to stop: 128 + SIGTERM.
TERMINATED = 143

Record = dict[str, Any]

# One scheduler, one lock. Reentrant, because the scheduler calls itself.
_scheduler = threading.RLock()


def declare(seams: Seams) -> None:
    """Change what deviates from the documentation."""
    completion = ("cluster_name", "svc_key", "account_id", "region", "healthy_task")
    failure = ("task", "digest_resolution_failed")
    seams.attributes(ECS, "_services", "_tasks")
    seams.call(ECS, "_iso")
    seams.call(ECS, "_schedule_service_deployment_completion", *completion)
    seams.call(ECS, "_stop_task", "data")
    seams.call(ECS, "_task_is_active", "task_arn", "task")
    seams.replace(create_service, ECS, "_create_service", "data")
    seams.replace(update_service, ECS, "_update_service", "data")
    seams.replace(alone, ECS, "_describe_services", "data")
    seams.replace(alone, ECS, "_delete_service", "data")
    seams.replace(alone, ECS, "_reconcile_service_tasks", "cluster_name", "svc_key")
    seams.replace(make_deployment, ECS, "_make_deployment", "task_definition", "desired_count", "status")
    seams.replace(complete, ECS, "_complete_service_deployment", "cluster_name", "svc_key", "expected_deployment_id")
    seams.replace(record_failure, ECS, "_record_service_task_failure", *failure)
    seams.replace(run_task, ECS, "_run_task", "data")
    seams.replace(stop_task, ECS, "_mark_task_stopped", "task_arn", "task", "reason", "stop_code", "exit_code")
    seams.replace(clean_up, ECS, "_cleanup_task_resources", "task", "docker_client", "extra_container")
    seams.replace(show, ECS, "_sanitize", "obj")


def alone(original: Function) -> Function:
    """Run a function while no other of the scheduler runs."""

    def run_alone(*arguments: object, **named: object) -> object:
        with _scheduler:
            return original(*arguments, **named)

    return run_alone


def create_service(original: Function) -> Function:
    """Refuse a revision that cannot be run."""

    def create(data: Record) -> Answer:
        with _scheduler:
            return task_definitions.problem_with(data.get("taskDefinition", "")) or original(data)

    return create


def update_service(original: Function) -> Function:
    """Swap the deployments, and give the places of tasks that never started to the new one."""

    def update(data: Record) -> Answer:
        with _scheduler:
            answer: Answer = update_problem(data) or original(data)
            if answer[0] != answers.OK:
                return answer
            service = answers.read(answer)["service"]
            abandon_superseded(service["clusterArn"].rpartition("/")[2], service["serviceName"])
            return answer

    return update


def update_problem(data: Record) -> Answer | None:
    """Refuse to update a service that was deleted, or to a revision that cannot be run."""
    cluster, name = (data.get(key, "default").rpartition("/")[2] for key in ("cluster", "service"))
    service = ecs()._services.get(f"{cluster}/{name}")
    if service and service["status"] != "ACTIVE":
        return answers.error("ServiceNotActiveException", "Service was not ACTIVE.")
    return task_definitions.problem_with(data["taskDefinition"]) if data.get("taskDefinition") else None


def make_deployment(original: Function) -> Function:
    """Begin every deployment in progress, the first of a service too."""
    return lambda *arguments, **named: {**original(*arguments, **named), "rolloutState": "IN_PROGRESS"}


def complete(original: Function) -> Function:
    """Report a completed deployment, and forget the ones it replaced."""

    def complete_deployment(cluster: str, key: str, expected_deployment_id: str | None = None) -> None:
        with _scheduler:
            service = ecs()._services.get(key)
            if service is None:
                return
            before = primary_of(service)["rolloutState"]
            original(cluster, key, expected_deployment_id)
            primary = primary_of(service)
            if primary["rolloutState"] != "COMPLETED":
                return
            service["deployments"] = [
                one for one in service["deployments"] if one is primary or has_live_tasks(service, one)
            ]
            if before != "COMPLETED":
                service_deployments.complete(service, primary)
                ecs_events.deployment(service, primary["id"], "COMPLETED")
                report(service, f"(deployment {primary['id']}) deployment completed.")
                report(service, "has reached a steady state.")

    return complete_deployment


def record_failure(original: Function) -> Function:
    """Count a failed task, and let the service take the consequences."""

    def record(task: Record, digest_resolution_failed: bool = False) -> None:
        # ECS goes on without the digest, and counts the tasks that then cannot pull their image.
        if digest_resolution_failed:
            return
        with _scheduler:
            cluster, key, service = service_of(task)
            if service is None or service["status"] != "ACTIVE":
                return
            count_failure(service, task)
            original(task)
            name_failure(service)
            name_rollback(service, cluster, key, task)
            # The place of a failed task may be free for another deployment.
            ecs()._reconcile_service_tasks(cluster, key)

    return record


def run_task(original: Function) -> Function:
    """Name the deployment as the starter of its tasks, and report them."""

    def run(data: Record) -> Answer:
        deployment = data.get("_deploymentId")
        answer: Answer = original({**data, "startedBy": deployment} if deployment else data)
        if deployment and answer[0] == answers.OK and (tasks := answers.read(answer).get("tasks")):
            _, _, service = service_of(tasks[0])
            if service:
                names = " ".join(f"(task {task['taskArn'].rpartition('/')[2]})" for task in tasks)
                report(service, f"has started {len(tasks)} tasks: {names}.")
        return answer

    return run


def stop_task(original: Function) -> Function:
    """Say why a task stopped in the words of ECS."""

    def mark_stopped(task_arn: str, task: Record, reason: str, stop_code: str, exit_code: int | None = None) -> bool:
        if stop_code == "EssentialContainerExited":
            # The other containers are told to stop.
            reason, exit_code = "Essential container in task exited", TERMINATED
        elif reason in SCHEDULER_REASONS:
            reason = f"Scaling activity initiated by (deployment {task['startedBy']})"
            stop_code = "ServiceSchedulerInitiated"
            if service := service_of(task)[2]:
                report(service, f"has stopped 1 running tasks: (task {task_arn.rpartition('/')[2]}).")
        return bool(original(task_arn, task, reason, stop_code, exit_code))

    return mark_stopped


def clean_up(original: Function) -> Function:
    """Let the containers of a stopped task end on their own time: a real one may take seconds."""

    def clean_up_later(*arguments: object) -> None:
        run_here = contextvars.copy_context().run
        threading.Thread(target=run_here, args=(original, *arguments), daemon=True).start()

    return clean_up_later


def show(original: Function) -> Function:
    """Show a service's deployments as DescribeServices does."""

    def wire_shape(obj: Any) -> Any:
        if isinstance(obj, dict) and "deployments" in obj:
            deployments = [{**one, **shown(obj, one)} for one in obj["deployments"]]
            pending = sum(one["pendingCount"] for one in deployments)
            obj = {**obj, "deployments": deployments, "pendingCount": pending}
        return original(obj)

    return wire_shape


def shown(service: Record, deployment: Record) -> Record:
    """Give the members of a deployment that the emulator words or counts otherwise."""
    name, state = deployment["id"], deployment["rolloutState"]
    if state == "COMPLETED":
        reason = f"ECS deployment {name} completed."
    elif state == "FAILED":
        reason = TASKS_FAILED
    elif "_rolls_back_to" in deployment:
        reason = ROLLS_BACK.format(deployment["_rolls_back_to"])
    else:
        reason = f"ECS deployment {name} in progress."
    pending = sum(task["lastStatus"] in PENDING for task in tasks_of(service, deployment))
    return {"rolloutStateReason": reason, "pendingCount": pending}


def abandon_superseded(cluster: str, name: str) -> None:
    """Stop the tasks that have not started of deployments that never completed and no longer will.

    The new deployment could otherwise wait for their places for ever.
    """
    key = f"{cluster}/{name}"
    service = ecs()._services[key]
    freed = False
    for deployment in list(service["deployments"]):
        if deployment["status"] == "PRIMARY" or deployment["rolloutState"] != "IN_PROGRESS":
            continue
        for task in tasks_of(service, deployment):
            if task["lastStatus"] in PENDING:
                ecs()._stop_task({"task": task["taskArn"], "cluster": cluster, "reason": SUPERSEDED})
                freed = True
        if not has_live_tasks(service, deployment):
            service["deployments"].remove(deployment)
    if freed:
        ecs()._reconcile_service_tasks(cluster, key)


def count_failure(service: Record, task: Record) -> None:
    """Count a failed task of a service without circuit breaker; the emulator counts with one only."""
    breaker = (service.get("deploymentConfiguration") or {}).get("deploymentCircuitBreaker") or {}
    primary = primary_of(service)
    current = task.get("_deployment_id") == primary["id"] and primary["rolloutState"] == "IN_PROGRESS"
    if current and not breaker.get("enable"):
        primary["failedTasks"] += 1


def name_failure(service: Record) -> None:
    """Word the event of an opened circuit breaker."""
    for event in service["events"]:
        if event["message"].endswith(BREAKER):
            failed = next(one["id"] for one in service["deployments"] if one["rolloutState"] == "FAILED")
            event["message"] = f"{mention(service)} (deployment {failed}) deployment failed: tasks failed to start."
            service_deployments.fail(service, failed)
            ecs_events.deployment(service, failed, "FAILED", TASKS_FAILED)


def name_rollback(service: Record, cluster: str, key: str, task: Record) -> None:
    """Give a rollback an id of its own: it is a new deployment, of the revision that completed last."""
    primary = primary_of(service)
    if primary["rolloutStateReason"] != ROLLBACK:
        return
    completed, own = primary["id"], list(tasks_of(service, primary))
    primary |= {
        "id": ecs()._make_deployment(primary["taskDefinition"], primary["desiredCount"])["id"],
        "createdAt": primary["updatedAt"],
        "failedTasks": 0,
        "rolloutStateReason": "",
        "_rolls_back_to": completed,
    }
    for one in own:
        one["_deployment_id"] = primary["id"]
    service["deployments"].sort(key=lambda one: one is not primary)
    service["events"][0]["message"] = f"{mention(service)} rolling back to deployment {completed}."
    ecs_events.deployment(service, primary["id"], "IN_PROGRESS", ROLLS_BACK.format(completed))
    _, _, _, region, account, _ = task["taskArn"].split(":", 5)
    ecs()._schedule_service_deployment_completion(cluster, key, account, region)


def report(service: Record, text: str) -> None:
    """Add an event to a service."""
    event = {"id": str(uuid.uuid4()), "createdAt": ecs()._iso(), "message": f"{mention(service)} {text}"}
    service["events"].insert(0, event)


def mention(service: Record) -> str:
    """Name a service as its events do."""
    return f"(service {service['serviceName']})"


def service_of(task: Record) -> tuple[str, str, Record | None]:
    """Give the cluster's name, the service's key and the service a task belongs to."""
    cluster = task["clusterArn"].rpartition("/")[2]
    key = f"{cluster}/{task.get('group', '').partition(':')[2]}"
    return cluster, key, ecs()._services.get(key)


def primary_of(service: Record) -> Record:
    """Give the deployment that the service is on, or on its way to."""
    found: Record = next(one for one in service["deployments"] if one["status"] == "PRIMARY")
    return found


def tasks_of(service: Record, deployment: Record) -> Iterator[Record]:
    """Give the tasks of a deployment."""
    for task in list(ecs()._tasks.values()):
        if task["clusterArn"] == service["clusterArn"] and task.get("_deployment_id") == deployment["id"]:
            yield task


def has_live_tasks(service: Record, deployment: Record) -> bool:
    """Tell whether a deployment still has tasks."""
    return any(task["lastStatus"] != "STOPPED" for task in tasks_of(service, deployment))


def is_wanted(task_arn: str) -> bool:
    """Tell whether a task is still to run."""
    task = ecs()._tasks.get(task_arn)
    return task is not None and bool(ecs()._task_is_active(task_arn, task))


def ecs() -> Any:
    """Give the emulator's ECS, whose private stores and functions are used here."""
    return importlib.import_module(ECS)
