"""The emulator's ECS, as AWS documents it.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTaskDefinition.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTaskDefinitions.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterTaskDefinition.html
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.workflow.conftest import Service


def states(service: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["status"], one["rolloutState"]) for one in service["deployments"]]


def test_a_rollout_takes_its_time_and_replaces_the_tasks(create_service: Callable[..., Service]) -> None:
    service = create_service()
    (before,) = service.describe()["deployments"]
    revision = service.register(service.push("v2"))

    answer = service.update(revision)
    assert states(answer) == [("PRIMARY", "IN_PROGRESS"), ("ACTIVE", "COMPLETED")]
    mine, displaced = answer["deployments"]
    assert displaced["id"] == before["id"]
    assert mine["taskDefinition"] == revision == answer["taskDefinition"]
    assert mine["rolloutStateReason"] == f"ECS deployment {mine['id']} in progress."
    assert mine["runningCount"] == 0
    assert displaced["runningCount"] == 2

    (after,) = service.wait_stable()["deployments"]
    assert after["id"] == mine["id"]
    assert after["rolloutStateReason"] == f"ECS deployment {mine['id']} completed."
    assert (after["runningCount"], after["failedTasks"]) == (2, 0)
    assert {task["stopCode"] for task in service.stopped_tasks()} == {"ServiceSchedulerInitiated"}
    assert {task["startedBy"] for task in service.stopped_tasks()} == {before["id"]}


def test_a_broken_image_opens_the_circuit_breaker(create_service: Callable[..., Service]) -> None:
    service = create_service(breaker=True)
    before = service.primary()
    broken = service.update(service.register(service.push("v2", "crash")))["deployments"][0]

    failing = service.wait(lambda seen: any(one["rolloutState"] == "FAILED" for one in seen["deployments"]))
    rollback, failed = failing["deployments"]
    assert failed["id"] == broken["id"]
    assert failed["failedTasks"] >= 3
    assert failed["rolloutStateReason"] == "ECS deployment circuit breaker: tasks failed to start."
    assert rollback["status"] == "PRIMARY"
    assert rollback["taskDefinition"] == before["taskDefinition"]
    assert rollback["id"] not in {before["id"], broken["id"]}
    assert before["id"] in rollback["rolloutStateReason"]

    (left,) = service.wait_stable()["deployments"]
    assert left["id"] == rollback["id"]
    reasons = {(task["stopCode"], task["stoppedReason"]) for task in service.stopped_tasks()}
    assert ("EssentialContainerExited", "Essential container in task exited") in reasons
    messages = " ".join(event["message"] for event in service.describe()["events"])
    assert f"(deployment {broken['id']}) deployment failed: tasks failed to start." in messages
    assert f"rolling back to deployment {before['id']}." in messages


def test_without_circuit_breaker_failures_are_counted_and_go_on(create_service: Callable[..., Service]) -> None:
    service = create_service(desired=1)
    service.update(service.register(service.push("v2", "crash")))
    seen = service.wait(lambda seen: seen["deployments"][0]["failedTasks"] >= 4)
    assert states(seen) == [("PRIMARY", "IN_PROGRESS"), ("ACTIVE", "COMPLETED")]
    assert seen["deployments"][1]["runningCount"] == 1


def test_an_image_that_is_not_there_cannot_be_pulled(create_service: Callable[..., Service]) -> None:
    service = create_service(desired=1)
    image = service.push("v1").replace(":v1", ":gone")
    service.update(service.register(image))
    service.wait(lambda seen: seen["deployments"][0]["failedTasks"])
    failed = [task for task in service.stopped_tasks() if task["stopCode"] == "TaskFailedToStart"]
    assert failed
    assert failed[0]["stoppedReason"].startswith("CannotPullContainerError: pull image manifest has been retried")
    assert failed[0]["stoppedReason"].endswith(f"{image}: not found")


def test_a_rollout_that_hangs_makes_way_for_the_next(create_service: Callable[..., Service]) -> None:
    service = create_service()
    hanging = service.update(service.register(service.push("v2", "hang")))["deployments"][0]
    service.wait(lambda seen: seen["deployments"][0]["pendingCount"])
    good = service.update(service.register(service.push("v3")))["deployments"][0]
    (left,) = service.wait_stable()["deployments"]
    assert left["id"] == good["id"] != hanging["id"]


def test_updates_at_the_same_time_form_one_chain(create_service: Callable[..., Service]) -> None:
    service = create_service(desired=1)
    first = service.primary()["id"]
    revisions = [service.register(service.push(f"v{number}")) for number in range(2, 8)]
    with ThreadPoolExecutor(len(revisions)) as pool:
        answers = list(pool.map(service.update, revisions))
    displaced_by = {answer["deployments"][1]["id"]: answer["deployments"][0]["id"] for answer in answers}
    assert len(displaced_by) == len(revisions)
    last = first
    while last in displaced_by:
        last = displaced_by.pop(last)
    assert not displaced_by
    assert service.wait_stable()["deployments"][0]["id"] == last


def test_a_revision_must_exist_and_be_active(create_service: Callable[..., Service]) -> None:
    service = create_service(desired=0)
    with pytest.raises(ClientError, match=r"\(ClientException\).*TaskDefinition not found"):
        service.update(f"{service.name}:99")
    with pytest.raises(ClientError, match=r"\(ClientException\).*Unable to describe task definition"):
        service.ecs.describe_task_definition(taskDefinition=f"{service.name}:99")
    inactive = service.register("nginx:1")
    service.ecs.deregister_task_definition(taskDefinition=inactive)
    with pytest.raises(ClientError, match=r"\(ClientException\).*TaskDefinition is inactive"):
        service.update(inactive)


def test_a_family_is_its_newest_active_revision(create_service: Callable[..., Service]) -> None:
    service = create_service(desired=0)
    second, third = service.register("nginx:2"), service.register("nginx:3")
    service.ecs.deregister_task_definition(taskDefinition=third)

    def described(reference: str) -> str:
        arn: str = service.ecs.describe_task_definition(taskDefinition=reference)["taskDefinition"]["taskDefinitionArn"]
        return arn

    assert described(service.name) == second
    assert described(third) == third
    assert service.update(service.name)["taskDefinition"] == second


def test_the_revisions_of_a_family_are_not_those_of_another(create_service: Callable[..., Service]) -> None:
    service = create_service(desired=0)
    containers = [{"name": "web", "image": "nginx:1", "memory": 64}]
    service.ecs.register_task_definition(family=f"{service.name}0", containerDefinitions=containers)
    newest = service.register("nginx:2")
    listed = service.ecs.list_task_definitions(familyPrefix=service.name, sort="DESC")["taskDefinitionArns"]
    assert [arn.rpartition("/")[2] for arn in listed] == [f"{service.name}:2", f"{service.name}:1"]
    assert listed[0] == newest


def test_a_service_runs_on_with_an_inactive_revision(create_service: Callable[..., Service]) -> None:
    service = create_service(desired=1)
    revision = service.primary()["taskDefinition"]
    service.ecs.deregister_task_definition(taskDefinition=revision)
    service.ecs.update_service(cluster=service.cluster, service=service.name, desiredCount=2)
    service.wait(lambda seen: seen["runningCount"] == 2)
    (task, _) = service.ecs.list_tasks(cluster=service.cluster, serviceName=service.name)["taskArns"]
    service.ecs.stop_task(cluster=service.cluster, task=task)
    service.wait(lambda seen: seen["runningCount"] == 2)
    assert service.primary()["taskDefinition"] == revision


def test_a_deleted_service_is_not_updated(create_service: Callable[..., Service]) -> None:
    service = create_service(desired=0)
    service.ecs.delete_service(cluster=service.cluster, service=service.name)
    with pytest.raises(service.ecs.exceptions.ServiceNotActiveException):
        service.update(service.register("nginx:1"))


def test_a_task_definition_comes_back_as_it_was_registered(create_service: Callable[..., Service]) -> None:
    service = create_service(desired=0)
    raw: list[dict[str, Any]] = []

    def invent(params: dict[str, Any], **_event: object) -> None:
        params["body"] = json.dumps(json.loads(params["body"]) | {"inventedNextYear": {"on": True}}).encode()

    def keep(response_dict: dict[str, Any], **_event: object) -> None:
        raw.append(json.loads(response_dict["body"]))

    service.ecs.meta.events.register("before-call.ecs.RegisterTaskDefinition", invent)
    service.ecs.meta.events.register("before-parse.ecs.DescribeTaskDefinition", keep)
    arn = service.register("nginx:1", tags=[{"key": "team", "value": "doors"}], networkMode="bridge")
    service.ecs.describe_task_definition(taskDefinition=arn)
    service.ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
    without, with_tags = raw
    assert without["taskDefinition"]["inventedNextYear"] == {"on": True}
    assert "taskRoleArn" not in without["taskDefinition"]
    assert "tags" not in without
    assert with_tags["tags"] == [{"key": "team", "value": "doors"}]


def test_an_empty_role_is_refused(create_service: Callable[..., Service]) -> None:
    with pytest.raises(ClientError, match="Role is not valid"):
        create_service(desired=0).register("nginx:1", taskRoleArn="")


def test_a_pause_holds_the_new_tasks_until_somebody_continues(create_service: Callable[..., Service]) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pause-lifecycle-hooks.html."""
    hook = {
        "targetType": "PAUSE",
        "lifecycleStages": ["PRE_SCALE_UP"],
        "timeoutConfiguration": {"timeoutInMinutes": 60, "action": "CONTINUE"},
    }
    service = create_service()
    service.ecs.update_service(
        cluster=service.cluster, service=service.name, deploymentConfiguration={"lifecycleHooks": [hook]}
    )
    revision = service.register(service.push("v2"))
    made = service.update(revision)["deployments"][0]
    paused = service_deployment(service)
    assert paused["status"] == "IN_PROGRESS"
    (waits,) = paused["lifecycleHookDetails"]
    assert (waits["status"], waits["timeoutAction"]) == ("AWAITING_ACTION", "CONTINUE")
    assert service.primary()["runningCount"] == service.primary()["pendingCount"] == 0
    (brought_in,) = service.ecs.describe_service_revisions(
        serviceRevisionArns=[paused["targetServiceRevision"]["arn"]]
    )["serviceRevisions"]
    assert brought_in["taskDefinition"] == revision

    go_on = {"serviceDeploymentArn": paused["serviceDeploymentArn"], "hookId": waits["hookId"]}
    service.ecs.continue_service_deployment(**go_on, action="CONTINUE")
    (after,) = service.wait_stable()["deployments"]
    assert after["id"] == made["id"]
    assert service_deployment(service)["status"] == "SUCCESSFUL"
    with pytest.raises(ClientError):
        service.ecs.continue_service_deployment(**go_on)


def test_a_service_deployment_that_rolled_back_says_so(create_service: Callable[..., Service]) -> None:
    service = create_service(breaker=True)
    service.update(service.register(service.push("v2", "crash")))
    service.wait(lambda seen: any(one["rolloutState"] == "FAILED" for one in seen["deployments"]))
    service.wait_stable()
    assert service_deployment(service)["status"] == "ROLLBACK_SUCCESSFUL"


def service_deployment(service: Service) -> dict[str, Any]:
    """The newest service deployment."""
    listed = service.ecs.list_service_deployments(cluster=service.cluster, service=service.name)["serviceDeployments"]
    arn = listed[0]["serviceDeploymentArn"]
    (found,) = service.ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
    described: dict[str, Any] = found
    return described
