"""What a task definition holds stays in the function: a canary in every member, looked for in all that leaves it."""

from __future__ import annotations

import itertools
import json
from io import StringIO
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StringShape, StructureShape

from ecs_deploy.handlers import runtime
from tests.support.ecs_model import REGISTRY, Behaviour, EcsModel, Service
from tests.support.workflow import End, execute

if TYPE_CHECKING:
    from collections.abc import Iterator
    from logging import StreamHandler

    from tests.support.clock import Clock

CANARY = "canary"
NEW_IMAGE = f"{REGISTRY}/doorman:1.1.0"
REQUEST: dict[str, Any] = {"cluster": "production1", "service": "doorman-service", "image": NEW_IMAGE}
# A person has to see which family, container and image is meant, and which log could not be read.
PUBLIC = {
    "RegisterTaskDefinitionRequest": {"family": "doorman"},
    "ContainerDefinition": {"name": "app", "image": f"{REGISTRY}/doorman:1.0.0"},
}
LOG = {"awslogs-group": "doorman-log", "awslogs-stream-prefix": f"{CANARY}-prefix"}
CRASHES = Behaviour(life=1, exit_code=3, log=("starting", f"cannot log in as root with {CANARY}-0"))
_numbers = itertools.count(1)


def full(shape: Shape) -> Any:
    """A document with every member of a shape, and a canary in every text and every key of a map."""
    match shape:
        case StructureShape():
            public = PUBLIC.get(shape.name, {})
            return {key: full(member) for key, member in shape.members.items()} | public
        case ListShape():
            return [full(shape.member)]
        case MapShape():
            return {f"{CANARY}-{next(_numbers)}": full(shape.value)}
        case StringShape():
            return shape.enum[0] if shape.enum else f"{CANARY}-{next(_numbers)}"
    return {"integer": 1, "long": 1, "boolean": True, "double": 1.0}[shape.type_name]


@pytest.fixture
def service(model: EcsModel) -> Service:
    operation = ServiceModel(Loader().load_service_model("ecs", "service-2"), "ecs").operation_model(
        "RegisterTaskDefinition"
    )
    assert operation.input_shape
    document = full(operation.input_shape)
    del document["tags"]
    container = document["containerDefinitions"][0]
    container["environment"] = [{"name": f"{CANARY}-name", "value": f"{CANARY}-0"}]
    container["logConfiguration"] |= {"logDriver": "awslogs", "options": LOG}
    container["inventedTomorrow"] = {"secret": f"{CANARY}-future"}
    assert json.dumps(document).count(CANARY) > 50
    model.images.add(("doorman", "1.1.0"))
    return model.add_service("doorman-service", model.add_revision(document, {"team": f"{CANARY}-tag"}))


@pytest.fixture
def log() -> Iterator[StringIO]:
    """What the functions log, at the level that logs most."""
    level, log = runtime.logger.log_level, StringIO()
    runtime.logger.setLevel("DEBUG")
    handler = cast("StreamHandler[Any]", runtime.logger.registered_handler)
    before = handler.setStream(log)
    yield log
    handler.setStream(before)
    runtime.logger.setLevel(level)


def hold(end: End, log: StringIO, model: EcsModel) -> None:
    """Hold that neither the log, nor what the steps hand on, with the notifications, nor the end, nor the table has it.

    What the steps hand on is in the execution's history, for whoever may read that.
    """
    assert "The execution" in log.getvalue()
    assert "notification" in end.answers[-1]
    table = json.dumps(list(model.table.items.values()))
    for text in (log.getvalue(), json.dumps(end.answers), json.dumps(end.cause), json.dumps(end.output), table):
        assert CANARY not in text


def test_a_deployment(model: EcsModel, service: Service, clock: Clock, log: StringIO) -> None:
    end = execute(REQUEST, clock)
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert {place.partition("#")[0] for _, place in model.table.items} == {"STATE", "HISTORY", "WAIT"}
    hold(end, log, model)


def test_one_that_fails(model: EcsModel, service: Service, clock: Clock, log: StringIO) -> None:
    model.behaviours[NEW_IMAGE] = CRASHES
    end = execute(REQUEST, clock)
    assert end.cause
    assert end.cause["rolledBack"] is True
    assert "cannot log in as root with ***" in json.dumps(end.cause)
    hold(end, log, model)


@pytest.mark.parametrize(
    "action", ["GetLogEvents", "DescribeTasks", "RegisterTaskDefinition", "DeregisterTaskDefinition"]
)
def test_one_that_is_refused(model: EcsModel, service: Service, clock: Clock, log: StringIO, action: str) -> None:
    model.behaviours[NEW_IMAGE] = CRASHES
    model.refused.add(action)
    end = execute(REQUEST, clock)
    assert end.cause
    hold(end, log, model)


def test_a_revert(model: EcsModel, service: Service, clock: Clock, log: StringIO) -> None:
    assert execute(REQUEST, clock).output
    clock.advance(60)
    back = {"cluster": "production1", "service": "doorman-service", "revert": True}
    end = execute(back, clock, name="back")
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    hold(end, log, model)


@pytest.mark.parametrize(
    "change", [{"image": "nothing-like-it:1"}, {"container": "other"}, {"image": f"{REGISTRY}/doorman:9"}]
)
def test_a_request_that_is_refused(
    model: EcsModel, service: Service, clock: Clock, log: StringIO, change: dict[str, Any]
) -> None:
    end = execute({**REQUEST, **change}, clock)
    assert end.error in {"NoMatchingContainer", "ImageNotFound"}
    hold(end, log, model)
