"""The service that unit tests deploy to, and requests for it."""

from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from ecs_deploy.aws import dynamodb
from ecs_deploy.core.errors import AwsUnavailable
from ecs_deploy.core.state import State
from tests.support.clock import Clock
from tests.support.ecs_model import REGISTRY, EcsModel, Service
from tests.support.workflow import Context, Time, execute

SERVICE: dict[str, Any] = {"cluster": "production1", "service": "doorman-service"}
KEY = "production1/doorman-service"
OLD_IMAGE, NEW_IMAGE, NEWER_IMAGE = (f"{REGISTRY}/doorman:1.{minor}.0" for minor in range(3))
OLD_PROXY, NEW_PROXY = "envoyproxy/envoy:v1", "envoyproxy/envoy:v2"
REQUEST: dict[str, Any] = {**SERVICE, "image": NEW_IMAGE}
NEWER_REQUEST: dict[str, Any] = {**SERVICE, "image": NEWER_IMAGE}
# The proxy is of a registry that is not ECR: nobody knows the digest before its tasks do.
PROXY_REQUEST: dict[str, Any] = {**SERVICE, "image": NEW_PROXY}
CONTAINERS: list[dict[str, Any]] = [
    {"name": "app", "image": OLD_IMAGE, "environment": [{"name": "MODE", "value": "door"}]},
    {"name": "worker", "image": OLD_IMAGE},
    {"name": "proxy", "image": OLD_PROXY},
]


def add_doorman(model: EcsModel, *, pinned: bool = True, **settings: Any) -> Service:
    """A stable service: two containers that run the image of one repository, and a proxy beside them."""
    model.images |= {("doorman", f"1.{minor}.0") for minor in range(3)}
    containers = [{**each, "image": model.pinned(each["image"])} for each in CONTAINERS] if pinned else CONTAINERS
    revision = model.add_revision({"family": "doorman", "containerDefinitions": containers}, {"team": "door"})
    service = model.add_service("doorman-service", revision, **settings)
    service.primary.created -= timedelta(hours=1)
    return service


def images(model: EcsModel, revision: str) -> list[str]:
    """The images of the app, the worker and the proxy in a revision, by their tags."""
    return [model.named(each["image"]) for each in model.revision(revision).document["containerDefinitions"]]


def add_theirs(model: EcsModel, *, proxy: str = "envoyproxy/envoy:theirs") -> str:
    """A revision that a person has registered: what the service runs, but for another proxy."""
    current = model.services["production1", "doorman-service"].primary.revision
    before = model.revision(current).document["containerDefinitions"]
    containers = [{**each, "image": proxy} if each["name"] == "proxy" else each for each in before]
    return model.add_revision({"family": "doorman", "containerDefinitions": containers})


def push(name: str, time: str, digest: str = "") -> dict[str, Any]:
    """What a request carries of the event of a push, at a time of the day."""
    event = {"id": name, "time": f"2026-01-31T{time}Z", "repository": "doorman", "tag": "1.1.0"}
    return {"push": {**event, **({"digest": f"sha256:{digest:0>64}"} if digest else {})}}


def state(clock: Clock) -> State:
    """What the table knows of the service."""
    return dynamodb.read_state(KEY, clock.now())


def die_in_update(model: EcsModel, clock: Clock, request: object, name: str) -> str:
    """Let an execution die in its call of UpdateService, which ECS may apply later; answers the revision."""

    def lose(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService":
            raise ConnectionAbortedError

    def once(module: ModuleType, event: dict[str, Any], _clock: Time) -> dict[str, Any]:
        answer: dict[str, Any] = module.handler({**event, "attempt": 0, "enteredAt": ""}, Context())
        return answer

    before, model.before_call = model.before_call, lose
    with pytest.raises(AwsUnavailable):
        execute(request, clock, name, once)
    model.before_call = before
    revision: str = model.families["doorman"][-1].document["taskDefinitionArn"]
    return revision
