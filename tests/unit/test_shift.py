"""Services whose deployments shift traffic (BLUE_GREEN, LINEAR, CANARY) end as those that roll do."""

from datetime import timedelta
from typing import Any

import pytest

from ecs_deploy.marks import Marks
from ecs_deploy.service import Service as Described
from tests.support.clock import Clock
from tests.support.ecs_model import CRASHES, HANGS, EcsModel, Service
from tests.support.execution import execute

REQUEST: dict[str, Any] = {
    "cluster": "production1",
    "service": "doorman-service",
    "image": "doorman:2",
    "timeout": 60,
}


@pytest.fixture(params=["BLUE_GREEN", "LINEAR", "CANARY"])
def service(model: EcsModel, request: pytest.FixtureRequest) -> Service:
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": "doorman:1"}]}
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


def test_a_second_deployment_is_not_taken_for_the_first(model: EcsModel, service: Service, clock: Clock) -> None:
    ends = [execute({**REQUEST, "image": f"doorman:{tag}"}, clock, name=f"e{tag}") for tag in (2, 3)]
    deployments = [end.output["deployment"] for end in ends if end.output]
    assert len(set(deployments)) == 2


def test_the_return_of_ecs_is_awaited_and_not_called_a_success(model: EcsModel, service: Service, clock: Clock) -> None:
    service.breaker = service.breaker_rolls_back = True
    before, model.behaviours["doorman:2"] = service.primary.revision, CRASHES
    end = execute(REQUEST, clock)
    assert end.error == "DeploymentFailed"
    assert end.cause
    assert end.cause["rolledBack"] is True
    assert service.primary.revision == before
    assert model.called("UpdateService") == ["UpdateService"]


def test_a_deployment_that_ecs_stopped_is_undone(model: EcsModel, service: Service, clock: Clock) -> None:
    service.breaker = True
    before, model.behaviours["doorman:2"] = service.primary.revision, CRASHES
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


def test_somebody_elses_deployment_is_respected(model: EcsModel, service: Service, clock: Clock) -> None:
    theirs = model.add_revision({"family": "doorman", "containerDefinitions": [{"name": "app", "image": "x"}]})

    def change(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService":
            service.shifts.append(model.start_deployment(service, theirs))

    model.after_call = change
    end = execute(REQUEST, clock)
    assert end.output
    assert end.output["outcome"] == "SUPERSEDED"
    assert service.primary.revision == theirs


def test_a_push_that_comes_late_does_not_stay(model: EcsModel, service: Service, clock: Clock) -> None:
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": "doorman:1.5"}]}
    an_hour_ago = clock.now() - timedelta(hours=1)
    marks = Marks("production1/doorman-service", "late", "late", an_hour_ago, an_hour_ago, service.primary.revision)
    late = model.add_revision(document, marks.as_tags())

    def change(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService" and late not in {each.revision for each in service.shifts}:
            service.shifts.append(model.start_deployment(service, late))

    model.after_call = change
    end = execute(REQUEST, clock)
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert service.primary.revision == end.output["revision"]
    assert model.called("UpdateService") == ["UpdateService"] * 2


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
    assert Described.described(described).bake_time.total_seconds() == minutes * 60
