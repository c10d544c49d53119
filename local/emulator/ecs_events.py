"""ECS sends events of its deployments, its tasks and its hooks to the default bus.

The emulator sends none. Here a deployment sends its begin, its completion and its failure, the rollback too; a task
when it runs and when it has stopped; a PAUSE hook when it waits.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pause-lifecycle-hooks.html
"""

from __future__ import annotations

import contextvars
import importlib
import json
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.emulator.seams import Function, Seams

ECS = "ministack.services.ecs"
EVENTS = "ministack.services.eventbridge"

Record = dict[str, Any]


def declare(seams: Seams) -> None:
    """Send what a task does; the deployments and the hooks send their events themselves."""
    seams.call(EVENTS, "_put_events", "data", "allow_aws_source")
    seams.call(ECS, "_sanitize", "obj")
    seams.call(ECS, "_iso")
    seams.replace(report_running, ECS, "_mark_task_running", "task_arn", "task")
    seams.replace(report_stopped, ECS, "_mark_task_stopped", "task_arn", "task", "reason", "stop_code", "exit_code")


def report_running(original: Function) -> Function:
    """Tell that a task runs."""

    def mark_running(task_arn: str, task: Record) -> object:
        result = original(task_arn, task)
        if task["lastStatus"] == "RUNNING":
            send("ECS Task State Change", task_arn, importlib.import_module(ECS)._sanitize(task))
        return result

    return mark_running


def report_stopped(original: Function) -> Function:
    """Tell that a task has stopped, and why."""

    def mark_stopped(task_arn: str, task: Record, reason: str, stop_code: str, exit_code: int | None = None) -> object:
        result = original(task_arn, task, reason, stop_code, exit_code)
        if result:
            send("ECS Task State Change", task_arn, importlib.import_module(ECS)._sanitize(task))
        return result

    return mark_stopped


def deployment(service: Record, deployment_id: str, state: str, reason: str = "") -> None:
    """Tell that a deployment of a service is IN_PROGRESS, COMPLETED or FAILED."""
    detail = {
        "eventType": "ERROR" if state == "FAILED" else "INFO",
        "eventName": f"SERVICE_DEPLOYMENT_{state}",
        "clusterArn": service["clusterArn"],
        "deploymentId": deployment_id,
        "updatedAt": importlib.import_module(ECS)._iso(),
        "reason": reason or f"ECS deployment {deployment_id} {state.lower().replace('_', ' ')}.",
    }
    send("ECS Deployment State Change", service["serviceArn"], detail)


def hook(service_arn: str, service_deployment: str, hook_id: str) -> None:
    """Tell that a hook waits for somebody. AWS documents the name of the event, and no other member of it."""
    detail = {
        "eventType": "INFO",
        "eventName": "HOOK_AWAITING_ACTION",
        "serviceDeploymentArn": service_deployment,
        "hookId": hook_id,
    }
    send("ECS Hook State Change", service_arn, detail)


def send(detail_type: str, resource: str, detail: Record, source: str = "aws.ecs") -> None:
    """Send an event, on time of its own: whoever changes a service holds the scheduler's lock."""
    entry = {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail), "Resources": [resource]}
    put = importlib.import_module(EVENTS)._put_events
    arguments = (put, {"Entries": [entry]}, True)
    threading.Thread(target=contextvars.copy_context().run, args=arguments, daemon=True).start()
