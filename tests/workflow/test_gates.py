"""Gates on the emulator: an approval, and a task before the update, with the roles enforced."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.workflow.conftest import Service, eventually
from tests.workflow.deployer import Deployer, request_for
from tests.workflow.mailbox import Mailbox

if TYPE_CHECKING:
    from local.cloud import Cloud


@pytest.fixture
def deployer(cloud: Cloud) -> Deployer:
    return Deployer(cloud)


def gate_tasks(service: Service) -> list[dict[str, Any]]:
    """The tasks that the deployer has run for a service, which are none of the service's."""
    arns = service.ecs.list_tasks(cluster=service.cluster, desiredStatus="STOPPED")["taskArns"]
    found: list[dict[str, Any]] = (
        service.ecs.describe_tasks(cluster=service.cluster, tasks=arns)["tasks"] if arns else []
    )
    return [each for each in found if each["group"] == f"ecs-deploy:{service.name}"]


def test_a_push_waits_for_a_yes_and_then_for_its_task(cloud: Cloud, deployer: Deployer, written: Service) -> None:
    service, mailbox = written, Mailbox(cloud, "gates")
    mailbox.listen(cloud, "gates", "ecs-deploy")
    service.push("gated")
    before = service.primary()["taskDefinition"]
    request = request_for(service, image=f"{service.repository}:gated")
    gates = {"approval": 600, "before": {"command": ["exit", "0"], "timeout": 60}}
    execution = deployer.begin({**request, **gates})
    (event,) = [json.loads(each) for each in mailbox.about(execution)]
    assert event["detail-type"] == "ECS Deploy Approval"
    asked = event["detail"]
    assert service.primary()["taskDefinition"] == before
    assert gate_tasks(service) == []
    status = deployer.start({"cluster": service.cluster, "service": service.name, "status": True})["output"]["shown"]
    assert [each["for"] for each in status["waiting"]] == ["approval"]
    assert deployer.start(asked["approve"])["output"]["outcome"] == "APPROVED"
    ended = deployer.ended(execution)
    assert ended["status"] == "SUCCEEDED", ended
    assert service.images()[0].endswith(":gated")
    (task,) = gate_tasks(service)
    assert task["taskDefinitionArn"] == ended["output"]["revision"]
    assert next(each["exitCode"] for each in task["containers"] if each["name"] == "web") == 0
    entered = deployer.entered(execution)
    assert entered.count("UpdateService") == entered.count("NotifyApproval") == 1
    assert deployer.state(service.key)["gates"] == {}


def test_a_task_that_fails_and_a_no_leave_the_service_alone(deployer: Deployer, written: Service) -> None:
    service = written
    service.push("refused")
    before = service.primary()["taskDefinition"]
    request = request_for(service, image=f"{service.repository}:refused")
    failed = deployer.start({**request, "before": {"command": ["exit", "3"], "timeout": 60}})
    assert failed["error"] == "DeploymentFailed"
    assert "before: the task that ran exit 3 failed: container web ended with exit code 3" in failed["cause"]["message"]
    waits = deployer.begin({**request, "approval": 600})
    name = waits.rpartition(":")[2]
    eventually(lambda: waits in deployer.state(service.key)["gates"])
    about = {"cluster": service.cluster, "service": service.name}
    assert deployer.start({**about, "reject": name, "why": "not today"})["output"]["outcome"] == "REJECTED"
    rejected = deployer.ended(waits)
    assert (rejected["error"], "not today" in rejected["cause"]["message"]) == ("NotApproved", True)
    assert service.primary()["taskDefinition"] == before
