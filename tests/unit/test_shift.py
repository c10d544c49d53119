"""Services whose deployments shift traffic (BLUE_GREEN, LINEAR, CANARY) end as those that roll do."""

import itertools
from typing import Any

import pytest

from ecs_deploy.core.service import Service as Described
from tests.support.clock import Clock
from tests.support.doorman import die_in_update
from tests.support.ecs_model import CANNOT_BE_PULLED, HANGS, EcsModel, Service
from tests.support.workflow import execute, execute_together

REQUEST: dict[str, Any] = {
    "cluster": "production1",
    "service": "doorman-service",
    "image": "doorman:2",
    "timeout": 60,
}


@pytest.fixture(params=["BLUE_GREEN", "LINEAR", "CANARY"])
def service(model: EcsModel, request: pytest.FixtureRequest) -> Service:
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": model.pinned("doorman:1")}]}
    revision = model.add_revision(document)
    return model.add_service("doorman-service", revision, strategy=request.param, bake_minutes=5)


def test_the_bake_time_is_awaited_and_comes_on_top_of_the_timeout(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    end = execute(REQUEST, clock)
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert end.output["seconds"] > 5 * 60
    assert ":service-deployment/production1/doorman-service/" in end.output["deployment"]
    assert service.primary.revision == end.output["revision"]
    assert end.output["polls"] < 40
    assert end.output["replaced"] != end.output["revision"]


def test_a_second_deployment_is_not_taken_for_the_first(model: EcsModel, service: Service, clock: Clock) -> None:
    ends = [execute({**REQUEST, "image": f"doorman:{tag}"}, clock, name=f"e{tag}") for tag in (2, 3)]
    deployments = [end.output["deployment"] for end in ends if end.output]
    assert len(set(deployments)) == 2


def test_the_return_of_ecs_is_awaited_and_not_called_a_success(model: EcsModel, service: Service, clock: Clock) -> None:
    service.breaker = service.breaker_rolls_back = True
    before, model.behaviours["doorman:2"] = service.primary.revision, CANNOT_BE_PULLED
    end = execute(REQUEST, clock)
    assert end.error == "DeploymentFailed"
    assert end.cause
    assert end.cause["rolledBack"] is True
    assert service.primary.revision == before
    assert model.called("UpdateService") == ["UpdateService"]


def test_a_deployment_that_ecs_stopped_is_undone(model: EcsModel, service: Service, clock: Clock) -> None:
    service.breaker = True
    before, model.behaviours["doorman:2"] = service.primary.revision, CANNOT_BE_PULLED
    end = execute(REQUEST, clock)
    assert end.error == "DeploymentFailed"
    assert end.cause
    assert end.cause["rolledBack"] is True
    assert service.primary.revision == before


def test_a_deployment_that_hangs_is_undone_at_its_deadline(model: EcsModel, service: Service, clock: Clock) -> None:
    before, model.behaviours["doorman:2"] = service.primary.revision, HANGS
    end = execute(REQUEST, clock)
    assert end.error == "DeploymentTimedOut"
    assert end.cause
    assert end.cause["rolledBack"] is True
    assert service.primary.revision == before


def test_a_circuit_breaker_that_does_not_trip_in_time_is_named(model: EcsModel, service: Service, clock: Clock) -> None:
    service.breaker = True
    model.behaviours["doorman:2"] = itertools.chain([CANNOT_BE_PULLED], itertools.repeat(HANGS))
    end = execute(REQUEST, clock)
    assert end.error == "DeploymentTimedOut"
    said = " ".join((end.cause or {})["reasons"])
    assert "the circuit breaker has counted 1 of 3 failures" in said
    assert "it could not trip within 60 seconds: raise the timeout, or lower its threshold" in said


def test_somebody_elses_deployment_is_respected(model: EcsModel, service: Service, clock: Clock) -> None:
    theirs = model.add_revision({"family": "doorman", "containerDefinitions": [{"name": "app", "image": "x"}]})

    def change(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService":
            model.start_deployment(service, theirs)

    model.after_call = change
    end = execute(REQUEST, clock)
    assert end.output
    assert end.output["outcome"] == "SUPERSEDED"
    assert service.primary.revision == theirs


def test_what_ran_before_is_somebodys_change_too_if_they_bring_it_back(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    before = service.primary.revision

    def bring_back(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService":
            clock.advance(1)
            model.start_deployment(service, before)

    model.after_call = bring_back
    end = execute(REQUEST, clock)
    assert end.output
    assert end.output["outcome"] == "SUPERSEDED"
    assert service.primary.revision == before
    assert model.called("UpdateService") == ["UpdateService"]


def test_somebody_elses_change_before_the_update_runs_with_ours(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    containers = [{"name": "app", "image": "doorman:1"}, {"name": "proxy", "image": "envoy:theirs"}]
    theirs = model.add_revision({"family": "doorman", "containerDefinitions": containers})

    def change_once(action: str, _body: dict[str, Any]) -> None:
        if action == "RegisterTaskDefinition" and len(service.shifts) == 1:
            model.start_deployment(service, theirs)

    model.before_call = change_once
    end = execute(REQUEST, clock)
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    runs = model.revision(service.primary.revision).document["containerDefinitions"]
    assert [each["image"] for each in runs] == ["doorman:2", "envoy:theirs"]


def test_a_newer_request_takes_over(model: EcsModel, service: Service, clock: Clock) -> None:
    before = service.primary.revision
    newer = {**REQUEST, "image": "doorman:3"}
    ends = execute_together({"older": (0, REQUEST), "newer": (60, newer)}, clock)
    assert ends["older"].output
    assert ends["older"].output["outcome"] == "SUPERSEDED"
    assert ends["newer"].output
    assert ends["newer"].output["outcome"] == "DEPLOYED"
    assert ends["newer"].output["replaced"] == before
    assert service.primary.revision == ends["newer"].output["revision"]


def test_a_call_of_an_execution_that_died_is_overtaken_if_it_is_applied_late(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    lost = die_in_update(model, clock, {**REQUEST, "image": "doorman:1.5"}, "older")

    def apply_late(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService" and lost not in {each.revision for each in service.shifts}:
            clock.advance(1)
            model.start_deployment(service, lost)

    model.after_call = apply_late
    clock.advance(60)
    end = execute(REQUEST, clock, name="newer")
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert service.primary.revision == end.output["revision"] != lost


def test_a_revert_goes_to_the_revision_before(model: EcsModel, service: Service, clock: Clock) -> None:
    before = service.primary.revision
    execute(REQUEST, clock, name="one")
    clock.advance(60)
    back = {"cluster": "production1", "service": "doorman-service", "revert": True}
    end = execute(back, clock, name="back")
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert service.primary.revision == before


@pytest.mark.parametrize(
    ("configuration", "minutes"),
    [
        ({}, 0),
        ({"bakeTimeInMinutes": 10}, 10),
        ({"linearConfiguration": {"stepPercent": 25.0, "stepBakeTimeInMinutes": 3}}, 12),
        ({"canaryConfiguration": {"canaryPercent": 5.0, "canaryBakeTimeInMinutes": 8}, "bakeTimeInMinutes": 2}, 10),
    ],
)
def test_the_bake_time_of_all_steps_counts(configuration: dict[str, Any], minutes: int) -> None:
    described = {"serviceName": "s", "clusterArn": "c/c", "status": "ACTIVE", "deploymentConfiguration": configuration}
    assert Described.described(described).own_time.total_seconds() == minutes * 60
