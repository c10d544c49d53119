"""What the bench does with the stack on the emulator: services, pushes, and the executions that these start."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from local import images
from local.cloud import Cloud

CLUSTER = "production1"
_POLL_EVERY = 0.5
_LONGEST = 900


class DeploymentFailedError(Exception):
    """An execution did not end as it must."""


def targets(names: Sequence[str]) -> list[dict[str, Any]]:
    """A target for each service, of a repository of its own."""
    return [{"repository": name, "tags": ["v*"], "cluster": CLUSTER, "service": name} for name in names]


def create_services(cloud: Cloud, names: Sequence[str], *, desired: int) -> None:
    """Make services that run the image `:1` of their repositories, and wait until they are stable."""
    ecs = cloud.client("ecs")
    ecs.create_cluster(clusterName=CLUSTER)
    for name in names:
        image = images.push(cloud.client("ecr"), name, "1").image
        container = {"name": "app", "image": image, "memory": 64, "essential": True}
        ecs.register_task_definition(family=name, containerDefinitions=[container])
        ecs.create_service(cluster=CLUSTER, serviceName=name, taskDefinition=name, desiredCount=desired)

    def are_stable() -> bool:
        services = ecs.describe_services(cluster=CLUSTER, services=list(names))["services"]
        return all(each["deployments"][0]["rolloutState"] == "COMPLETED" for each in services)

    wait_until(are_stable)


def push(cloud: Cloud, name: str, tag: str) -> float:
    """Push an image; answers when that began."""
    began = time.time()
    images.push(cloud.client("ecr"), name, tag)
    return began


def make_cold(cloud: Cloud) -> None:
    """Let the next invocation of every function start it anew."""
    wait_until_dispatched(cloud)
    functions = cloud.client("lambda")
    for function in cloud.functions.values():
        timeout = functions.get_function_configuration(FunctionName=function)["Timeout"]
        # A new configuration, though the same: no process of the one before is used any more.
        functions.update_function_configuration(FunctionName=function, Timeout=timeout)


def outcome_of(cloud: Cloud, name: str, tag: str) -> tuple[str, dict[str, Any]]:
    """The execution that a push has started, and its outcome, once it has ended. Raises `DeploymentFailedError`."""
    states = cloud.client("stepfunctions")
    found: list[str] = []

    def has_started() -> bool:
        for each in states.list_executions(stateMachineArn=cloud.state_machine)["executions"]:
            request = json.loads(states.describe_execution(executionArn=each["executionArn"])["input"])
            if (request["service"], request["push"]["tag"]) == (name, tag):
                found.append(each["executionArn"])
        return bool(found)

    wait_until(has_started)
    (arn,) = found
    wait_until(lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING")
    end = states.describe_execution(executionArn=arn)
    outcome: dict[str, Any] = json.loads(end.get("output") or "{}")
    if outcome.get("outcome") != "DEPLOYED":
        raise DeploymentFailedError(f"{name}: {end['status']} {end.get('cause')}")
    return arn, outcome


def history_of(cloud: Cloud, execution: str) -> list[dict[str, Any]]:
    """The events of an execution."""
    pages = cloud.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=execution)
    return [event for page in pages for event in page["events"]]


def wait_until_dispatched(cloud: Cloud) -> None:
    """Wait until the dispatcher has handled all messages."""
    queues, counts = cloud.client("sqs"), ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")

    def is_empty() -> bool:
        found = queues.get_queue_attributes(QueueUrl=cloud.outputs["QueueUrl"], AttributeNames=counts)["Attributes"]
        return all(found[each] == "0" for each in counts)

    wait_until(is_empty)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for a state of the emulator. Raises `DeploymentFailedError`."""
    deadline = time.monotonic() + _LONGEST
    while not is_so():
        if time.monotonic() > deadline:
            raise DeploymentFailedError(f"nothing happened within {_LONGEST} seconds")
        time.sleep(_POLL_EVERY)
