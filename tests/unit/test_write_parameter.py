"""What is written to a parameter: the image that the service runs, whatever the event was about."""

from typing import Any

import pytest

from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.handlers import write_parameter
from tests.support.clock import Clock
from tests.support.ecs_model import HANGS, REGISTRY, EcsModel, Service
from tests.support.workflow import Context, execute

CONTEXT: Any = Context()
PARAMETER = "/doorman/image"
EVENT = {
    "execution": "arn:aws:states:eu-west-1:123456789012:execution:EcsDeploy:one",
    "cluster": "production1",
    "service": "doorman-service",
    "parameter": PARAMETER,
}


@pytest.fixture
def service(model: EcsModel) -> Service:
    containers = [
        {"name": "proxy", "image": "docker.io/team/doorman:v9"},
        {"name": "app", "image": f"{REGISTRY}/team/doorman:1.0.0"},
        {"name": "worker", "image": f"{REGISTRY}/team/worker:1.0.0"},
    ]
    revision = model.add_revision({"family": "doorman", "containerDefinitions": containers})
    model.images |= {("team/doorman", "1.1.0"), ("team/doorman", "1.2.0")}
    return model.add_service("doorman-service", revision)


def deploy(clock: Clock, tag: str) -> None:
    image = f"{REGISTRY}/team/doorman:{tag}"
    execute({"cluster": "production1", "service": "doorman-service", "image": image, "timeout": 60}, clock, tag)


@pytest.mark.parametrize(
    ("whose", "image"),
    [
        ({"repository": "team/doorman"}, f"{REGISTRY}/team/doorman:1.1.0"),
        ({"container": "worker"}, f"{REGISTRY}/team/worker:1.0.0"),
        ({"container": "proxy"}, "docker.io/team/doorman:v9"),
    ],
)
def test_the_image_that_runs(
    model: EcsModel, service: Service, clock: Clock, whose: dict[str, str], image: str
) -> None:
    deploy(clock, "1.1.0")
    written = write_parameter.handler(EVENT | whose, CONTEXT)
    assert model.named(str(written)) == image
    assert model.parameters == {PARAMETER: written}


@pytest.mark.parametrize("whose", [{"repository": "doorman"}, {"container": "other"}])
def test_nothing_where_nobody_runs_it(model: EcsModel, service: Service, whose: dict[str, str]) -> None:
    assert write_parameter.handler(EVENT | whose, CONTEXT) is None
    assert model.parameters == {}


def test_what_still_rolls_out_is_not_written(model: EcsModel, service: Service, clock: Clock) -> None:
    deploy(clock, "1.1.0")
    model.behaviours[f"{REGISTRY}/team/doorman:1.2.0"] = HANGS
    document = model.revision(service.primary.revision).document
    containers = [{**document["containerDefinitions"][1], "image": f"{REGISTRY}/team/doorman:1.2.0"}]
    model.start_deployment(service, model.add_revision({"family": "doorman", "containerDefinitions": containers}))
    write_parameter.handler(EVENT | {"repository": "team/doorman"}, CONTEXT)
    assert model.named(model.parameters[PARAMETER]) == f"{REGISTRY}/team/doorman:1.1.0"


def test_an_event_that_comes_late_writes_what_runs_now(model: EcsModel, service: Service, clock: Clock) -> None:
    for tag in ("1.1.0", "1.2.0"):
        deploy(clock, tag)
    for _ in range(2):
        write_parameter.handler(EVENT | {"repository": "team/doorman"}, CONTEXT)
        assert model.named(model.parameters[PARAMETER]) == f"{REGISTRY}/team/doorman:1.2.0"


def test_who_may_not_write_it_fails_by_name(model: EcsModel, service: Service) -> None:
    model.refused.add("PutParameter")
    with pytest.raises(DeployError, match="x:PutParameter") as caught:
        write_parameter.handler(EVENT | {"container": "app"}, CONTEXT)
    assert caught.value.error is Error.ACCESS_DENIED


def test_a_service_of_which_nothing_is_steady_yet_writes_what_rolls_out(model: EcsModel, service: Service) -> None:
    service.primary.rollout_state = "IN_PROGRESS"
    image = f"{REGISTRY}/team/doorman:1.0.0"
    assert write_parameter.handler(EVENT | {"repository": "team/doorman"}, CONTEXT) == image
