"""From `docker push` to the containers that run, or that run again."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.e2e.conftest import CLUSTER, CRASHES, RealService
from tests.workflow.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.workflow.deployer import Deployer


def assert_undone(service: RealService, execution: dict[str, Any], replaced: str, image: str) -> None:
    """The execution rolled back, and the containers that run are those of before and no others."""
    assert execution["status"] == "FAILED"
    assert execution["cause"]["rolledBack"] is True
    assert execution["cause"]["replaced"] == replaced
    # What ran comes back by its digest, in a revision of its own.
    runs = service.ecs.describe_task_definition(taskDefinition=service.primary()["taskDefinition"])["taskDefinition"]
    assert "@sha256:" in runs["containerDefinitions"][0]["image"]
    assert runs["taskDefinitionArn"] not in {replaced, execution["cause"]["revision"]}
    eventually(lambda: service.running() == [image, image])


def test_a_pushed_image_runs(service: RealService, deployer: Deployer) -> None:
    first = service.push("1")
    replaced = service.create("1")
    eventually(lambda: service.running() == [first, first])
    with deployer.new(service.name) as executions:
        second = service.push("v2")
    (execution,) = executions
    assert execution["output"]["outcome"] == "DEPLOYED", execution
    assert (execution["output"]["image"], execution["output"]["replaced"]) == (service.image("v2"), replaced)
    assert execution["output"]["digest"] == execution["input"]["push"]["digest"]
    assert second != first
    eventually(lambda: service.running() == [second, second])
    # The tasks that run are those of the revision that the execution names.
    revision = execution["output"]["revision"].rpartition(":")[2]
    versions = {
        each.labels["com.amazonaws.ecs.task-definition-version"]
        for each in service.containers()
        if each.status == "running"
    }
    assert versions == {revision}


def test_a_pushed_image_that_crashes_is_undone_and_explained_by_its_last_lines(
    service: RealService, deployer: Deployer
) -> None:
    first = service.push("1")
    replaced = service.create("1")
    with deployer.new(service.name) as executions:
        service.push("v2", CRASHES)
    (execution,) = executions
    assert execution["error"] == "DeploymentFailed", execution
    assert_undone(service, execution, replaced, first)
    assert "container web ended with exit code 3" in execution["cause"]["reasons"][0]
    assert "last line of the log: fatal: no database" in execution["cause"]["reasons"]


def test_an_image_that_cannot_be_pulled_is_undone(service: RealService, deployer: Deployer) -> None:
    first = service.push("1")
    replaced = service.create("1")
    # Not by the name that ECR has on AWS: the deployer would miss it there, and deploy nothing.
    image = f"{service.registry}/{service.name}:missing"
    execution = deployer.start(request_for(service, image, timeout=60))
    assert execution["error"] == "DeploymentFailed", execution
    assert_undone(service, execution, replaced, first)
    assert "the image cannot be pulled: it is not there" in execution["cause"]["message"]
    assert "CannotPullContainerError" in execution["cause"]["reasons"][0]


def test_tasks_that_never_start_are_undone_at_the_deadline(service: RealService, deployer: Deployer) -> None:
    first = service.push("1")
    replaced = service.create("1")
    with mute_registry() as registry:
        execution = deployer.start(request_for(service, f"{registry}/{service.name}:2", timeout=10))
    assert execution["error"] == "DeploymentTimedOut", execution
    assert_undone(service, execution, replaced, first)
    assert "does not get further" in json.dumps(execution["cause"]["reasons"])


def request_for(service: RealService, image: str, **more: object) -> dict[str, Any]:
    """Ask for an image of another registry, which only a named container takes."""
    return {"cluster": CLUSTER, "service": service.name, "container": "web", "image": image, **more}


@contextmanager
def mute_registry() -> Iterator[str]:
    """Gives the address of a registry that takes every call and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
