"""The dispatcher on the emulator: what it starts that no event asks for, and what it cannot start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.workflow.conftest import NOT_THERE, Service, eventually
from tests.workflow.deployer import Deployer, an_hour_later, losing_events, request_for, throttled

if TYPE_CHECKING:
    from local.cloud import Cloud


@pytest.fixture
def deployer(cloud: Cloud) -> Deployer:
    return Deployer(cloud)


def fire(cloud: Cloud, service: Service) -> None:
    """Let the schedule of a service fire at once, for this service only."""
    scheduler = cloud.client("scheduler")
    schedules = [
        scheduler.get_schedule(Name=each["Name"], GroupName=each["GroupName"])
        for each in scheduler.list_schedules()["Schedules"]
    ]
    (schedule,) = [each for each in schedules if f'"{service.key}"' in each["Target"]["Input"]]
    scheduler.create_schedule(
        Name=service.name,
        GroupName=schedule["GroupName"],
        ScheduleExpression="at(2026-01-01T00:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={**schedule["Target"], "Input": json.dumps({"reconcile": [service.key]})},
    )


def reconcile(deployer: Deployer, *keys: str) -> None:
    """Have services reconciled, and wait until they are."""
    deployer.send({"reconcile": keys})
    eventually(deployer.dispatched)


def names(deployer: Deployer, service: Service) -> list[str]:
    return [arn.rpartition(":")[2] for arn in deployer.of(service.name)]


def results(deployer: Deployer, service: Service) -> list[Any]:
    """How the executions of a service ended, by the table, in the order of their starts."""
    return [entry["result"] for place, entry in sorted(deployer.items(service.key).items()) if place != "STATE"]


def test_a_push_whose_event_was_lost_is_started_once(cloud: Cloud, service: Service, deployer: Deployer) -> None:
    with losing_events(cloud, "Push"):
        service.push("v2")
    # What was pushed before the deployer knows of a service is not rolled forward.
    fire(cloud, service)
    assert eventually(lambda: deployer.state(service.key))["newest"] == {}
    eventually(deployer.dispatched)
    assert deployer.of(service.name) == []
    with deployer.new(service.name):
        service.push("v3")
    with losing_events(cloud, "Push"):
        image = service.push("v4")
    # Its event may still come.
    reconcile(deployer, service.key)
    assert len(deployer.of(service.name)) == 1
    with an_hour_later(deployer, service.key):
        with deployer.new(service.name) as executions:
            reconcile(deployer, service.key)
        (execution,) = executions
        assert execution["name"].startswith("missed-")
        outcome = execution["output"]
        assert (outcome["outcome"], outcome["image"]) == ("DEPLOYED", image)
        assert outcome["digest"] == execution["input"]["push"]["digest"]
        assert service.primary()["taskDefinition"] == outcome["revision"]
        reconcile(deployer, service.key)
    assert len(deployer.of(service.name)) == 2


def test_a_superseded_push_is_started_again_after_the_newer_one_failed(
    cloud: Cloud, service: Service, deployer: Deployer
) -> None:
    with deployer.new(service.name, count=3) as executions, throttled(cloud, "poll_stability"):
        good = service.push("v2")
        first = eventually(lambda: deployer.owner(service.key))
        eventually(lambda: "PollStability" in deployer.entered(str(first)))
        service.push("v3", "crash")
        eventually(lambda: deployer.owner(service.key) not in {first, None})
    assert [each.get("error") or each["output"]["outcome"] for each in executions] == [
        "SUPERSEDED",
        "DeploymentFailed",
        "DEPLOYED",
    ]
    assert executions[2]["name"].startswith("again-")
    assert executions[2]["output"]["image"] == good
    assert service.images()[0] == good
    eventually(lambda: deployer.settled(service.key))
    assert results(deployer, service) == ["SUPERSEDED", "FAILED", "DEPLOYED"]


def test_a_held_push_is_started_when_the_hold_is_released(service: Service, deployer: Deployer) -> None:
    before = service.primary()["taskDefinition"]
    assert deployer.start(request_for(service, hold="the fair is open"))["output"]["outcome"] == "HELD"
    with deployer.new(service.name, count=2) as executions:
        service.push("v2")
        eventually(lambda: results(deployer, service) == ["HELD"])
        newest = service.push("v3")
    assert [each["output"]["outcome"] for each in executions] == ["HELD", "HELD"]
    assert service.primary()["taskDefinition"] == before
    with deployer.new(service.name, count=2) as executions:
        assert deployer.start(request_for(service, release=True))["output"]["outcome"] == "RELEASED"
    _, started = executions
    assert started["name"].startswith("again-")
    assert (started["output"]["outcome"], started["output"]["image"]) == ("DEPLOYED", newest)
    eventually(lambda: deployer.settled(service.key))
    assert len(deployer.of(service.name)) == 5


def test_an_execution_that_was_stopped_and_whose_event_was_lost_is_found(
    cloud: Cloud, service: Service, deployer: Deployer
) -> None:
    service.push("2", "hang")
    arn = deployer.begin(request_for(service, image=f"{service.repository}:2"))
    eventually(lambda: "WaitForRollout" in deployer.entered(arn))
    with losing_events(cloud, "Ended"):
        deployer.states.stop_execution(executionArn=arn)
    assert deployer.ended(arn)["status"] == "ABORTED"
    assert deployer.owner(service.key) == arn
    reconcile(deployer, service.key)
    assert deployer.owner(service.key) is None
    assert results(deployer, service) == ["STOPPED"]
    assert deployer.of(service.name) == [arn]


def test_a_service_that_is_not_there_misses_nothing(deployer: Deployer) -> None:
    for _ in range(2):
        reconcile(deployer, f"{NOT_THERE['cluster']}/{NOT_THERE['service']}")
    assert deployer.of(NOT_THERE["service"]) == []
    assert "Nothing to deploy to" in deployer.log("dispatcher")


def test_what_cannot_be_handled_is_in_the_dead_letters_with_its_reason(deployer: Deployer) -> None:
    messages = ["no JSON", "5", '{"source": "somebody"}']
    for message in messages:
        deployer.send(message)
    found = dict[str, str]()

    def receive() -> bool:
        found.update(deployer.dead_letters())
        return set(messages) <= set(found)

    eventually(receive)
    assert set(found) == set(messages)
    assert found["no JSON"].startswith("JSONDecodeError: Expecting value")
    assert found["5"].startswith("TypeError: ")
    assert found['{"source": "somebody"}'].startswith("KeyError: ")
    eventually(deployer.dispatched)
