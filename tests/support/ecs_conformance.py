"""What ECS promises of the calls that the deployer makes, as cases for whatever stands in for it.

A case takes a stage: a boto3 client, a service that is stable, images that run and that crash, and a way to let time
pass until something is so. Each fact has AWS's page beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    Wait = Callable[[Callable[[], object]], Any]
    Case = Callable[["Stage"], None]


@dataclass
class Stage:
    """A stable service `name` of `cluster`, which runs the newest revision of its family, of the same name."""

    ecs: Any
    cluster: str
    name: str
    runs: str
    crashes: str
    wait: Wait

    def service(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ecs.describe_services(cluster=self.cluster, services=[self.name])["services"][0]
        return found

    def states(self) -> list[tuple[str, str]]:
        return [(each["status"], each["rolloutState"]) for each in self.service()["deployments"]]

    def document(self) -> dict[str, Any]:
        """What the service runs, as a registration takes it."""
        found = self.ecs.describe_task_definition(taskDefinition=self.service()["taskDefinition"])["taskDefinition"]
        return {"family": found["family"], "containerDefinitions": found["containerDefinitions"]}

    def register(self, image: str, **more: Any) -> str:
        document = self.document()
        document["containerDefinitions"][0]["image"] = image
        arn: str = self.ecs.register_task_definition(**document, **more)["taskDefinition"]["taskDefinitionArn"]
        return arn

    def update(self, revision: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.ecs.update_service(
            cluster=self.cluster, service=self.name, taskDefinition=revision
        )["service"]
        return answer

    def tasks(self, status: str) -> list[dict[str, Any]]:
        arns = self.ecs.list_tasks(cluster=self.cluster, serviceName=self.name, desiredStatus=status)["taskArns"]
        found: list[dict[str, Any]] = self.ecs.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"] if arns else []
        return found


def code_of(call: Callable[..., object], **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    error = raised.value.response["Error"]
    return error["Code"], error.get("Message", "")


def an_update_makes_a_deployment_and_the_other_stays_until_it_is_complete(stage: Stage) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html."""
    before = stage.service()["deployments"]
    revision = stage.register(stage.runs)
    answer = stage.update(revision)
    primary, other = answer["deployments"]
    assert (primary["status"], primary["taskDefinition"], other["status"]) == ("PRIMARY", revision, "ACTIVE")
    assert primary["id"] not in [each["id"] for each in before]
    assert other["id"] == before[0]["id"]
    assert primary["rolloutState"] == "IN_PROGRESS"
    stage.wait(lambda: stage.states() == [("PRIMARY", "COMPLETED")])
    assert stage.service()["deployments"][0]["id"] == primary["id"]


def the_revision_that_runs_makes_no_deployment(stage: Stage) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html (forceNewDeployment)."""
    before = stage.service()
    answer = stage.update(before["taskDefinition"])
    assert [each["id"] for each in answer["deployments"]] == [each["id"] for each in before["deployments"]]


def an_inactive_revision_is_refused(stage: Stage) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterTaskDefinition.html."""
    revision = stage.register(stage.runs)
    gone = stage.ecs.deregister_task_definition(taskDefinition=revision)["taskDefinition"]
    assert gone["status"] == "INACTIVE"
    assert stage.ecs.describe_task_definition(taskDefinition=revision)["taskDefinition"]["status"] == "INACTIVE"
    code, _ = code_of(stage.update, revision=revision)
    assert code == "ClientException"
    active = stage.ecs.list_task_definitions(familyPrefix=stage.document()["family"])["taskDefinitionArns"]
    assert revision not in active


def what_is_not_there_is_told_by_its_code(stage: Stage) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html (errors)."""
    revision = stage.service()["taskDefinition"]
    found = stage.ecs.describe_services(cluster=stage.cluster, services=["nobody"])
    assert found["services"] == []
    code, _ = code_of(stage.ecs.describe_services, cluster="nowhere", services=[stage.name])
    assert code == "ClusterNotFoundException"
    code, _ = code_of(stage.ecs.update_service, cluster=stage.cluster, service="nobody", taskDefinition=revision)
    assert code == "ServiceNotFoundException"
    code, message = code_of(stage.ecs.describe_task_definition, taskDefinition="nothing:1")
    assert (code, message) == ("ClientException", "Unable to describe task definition.")


def a_registration_counts_up_and_keeps_its_tags(stage: Stage) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html."""
    tags = [{"key": "ecs-deploy:request", "value": "a request"}]
    one, two = stage.register(stage.runs, tags=tags), stage.register(stage.runs)
    numbers = [int(each.rpartition(":")[2]) for each in (one, two)]
    assert numbers[1] == numbers[0] + 1
    assert stage.ecs.describe_task_definition(taskDefinition=one, include=["TAGS"])["tags"] == tags
    newest, *_ = stage.ecs.list_task_definitions(familyPrefix=stage.document()["family"], sort="DESC")[
        "taskDefinitionArns"
    ]
    assert newest == two


def a_task_that_ended_tells_whose_it_was_and_how(stage: Stage) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html."""
    made = stage.update(stage.register(stage.crashes))["deployments"][0]

    def stopped() -> list[dict[str, Any]]:
        return [task for task in stage.tasks("STOPPED") if task.get("startedBy") == made["id"]]

    stage.wait(lambda: len(stopped()) >= 3)
    for task in stopped():
        assert (task["lastStatus"], task["taskDefinitionArn"]) == ("STOPPED", made["taskDefinition"])
        assert task["stopCode"] == "EssentialContainerExited"
        assert task["stoppedReason"]
        assert task["createdAt"] <= task["stoppedAt"]
        assert any(container.get("exitCode") for container in task["containers"])


CASES: list[Case] = [
    an_update_makes_a_deployment_and_the_other_stays_until_it_is_complete,
    the_revision_that_runs_makes_no_deployment,
    an_inactive_revision_is_refused,
    what_is_not_there_is_told_by_its_code,
    a_registration_counts_up_and_keeps_its_tags,
    a_task_that_ended_tells_whose_it_was_and_how,
]
