"""The events that the emulator's ECS sends, as AWS documents them.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pause-lifecycle-hooks.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.workflow.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cloud import Cloud
    from tests.workflow.conftest import Service

NAME = "ecs-events"


class Events:
    """What has come so far."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs, self._url = sqs, url
        self._found: list[dict[str, Any]] = []

    def of(self, kind: str, service: Service) -> list[dict[str, Any]]:
        """The events of a kind that a service has sent."""
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for each in messages:
                self._found.append(json.loads(each["Body"]))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=each["ReceiptHandle"])
        arn = service.describe()["serviceArn"]
        group = f"service:{service.name}"
        mine = [each for each in self._found if arn in each["resources"] or each["detail"].get("group") == group]
        return [each for each in mine if each["detail-type"] == kind]

    def deployments(self, service: Service) -> set[tuple[str, str, str]]:
        """What deployments have sent: name, deployment and type; events come in any order."""
        details = [each["detail"] for each in self.of("ECS Deployment State Change", service)]
        return {(each["eventName"], each["deploymentId"], each["eventType"]) for each in details}


@pytest.fixture(scope="module")
def events(cloud: Cloud) -> Iterator[Events]:
    sqs, rules = cloud.client("sqs"), cloud.client("events")
    url = sqs.create_queue(QueueName=NAME)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allowed = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [{**allowed, "Resource": arn}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    rules.put_rule(Name=NAME, EventPattern=json.dumps({"source": ["aws.ecs"]}))
    rules.put_targets(Rule=NAME, Targets=[{"Id": "queue", "Arn": arn}])
    yield Events(sqs, url)
    rules.remove_targets(Rule=NAME, Ids=["queue"])
    rules.delete_rule(Name=NAME)
    sqs.delete_queue(QueueUrl=url)


def test_a_deployment_begins_and_is_complete(create_service: Callable[..., Service], events: Events) -> None:
    service = create_service()
    made = service.update(service.register(service.push("v2")))["deployments"][0]["id"]
    eventually(lambda: ("SERVICE_DEPLOYMENT_IN_PROGRESS", made, "INFO") in events.deployments(service))
    eventually(lambda: ("SERVICE_DEPLOYMENT_COMPLETED", made, "INFO") in events.deployments(service))


def test_a_rollback_is_a_deployment_with_events_of_its_own(
    create_service: Callable[..., Service], events: Events
) -> None:
    service = create_service(breaker=True)
    broken = service.update(service.register(service.push("v2", "crash")))["deployments"][0]["id"]
    service.wait(lambda seen: any(one["rolloutState"] == "FAILED" for one in seen["deployments"]))
    (rollback,) = service.wait_stable()["deployments"]
    wanted = {
        ("SERVICE_DEPLOYMENT_FAILED", broken, "ERROR"),
        ("SERVICE_DEPLOYMENT_IN_PROGRESS", rollback["id"], "INFO"),
        ("SERVICE_DEPLOYMENT_COMPLETED", rollback["id"], "INFO"),
    }
    eventually(lambda: wanted <= events.deployments(service))


def test_a_task_tells_that_it_has_stopped_and_why(create_service: Callable[..., Service], events: Events) -> None:
    service = create_service(desired=1)
    made = service.update(service.register(service.push("v2", "crash")))["deployments"][0]["id"]

    def stopped() -> list[dict[str, Any]]:
        details = [each["detail"] for each in events.of("ECS Task State Change", service)]
        return [each for each in details if each["lastStatus"] == "STOPPED" and each["startedBy"] == made]

    (first, *_) = eventually(stopped)
    assert (first["stopCode"], first["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert first["clusterArn"].endswith(f":cluster/{service.cluster}")
    assert any(container.get("exitCode") for container in first["containers"])


def test_a_hook_tells_that_it_waits(create_service: Callable[..., Service], events: Events) -> None:
    service = create_service(desired=1)
    hook = {"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP"]}
    service.ecs.update_service(
        cluster=service.cluster, service=service.name, deploymentConfiguration={"lifecycleHooks": [hook]}
    )
    service.update(service.register(service.push("v2")))
    (event,) = eventually(lambda: events.of("ECS Hook State Change", service))
    assert event["detail"]["eventName"] == "HOOK_AWAITING_ACTION"
    assert event["detail"]["serviceDeploymentArn"]
