"""The functions change under an execution that runs: what it carries was written by another release."""

from dataclasses import MISSING, fields
from typing import Any

import pytest

from ecs_deploy import poll_stability, update_service
from ecs_deploy.progress import Progress
from ecs_deploy.wait import Rhythm
from tests.support.clock import Clock
from tests.support.ecs_model import REGISTRY, EcsModel
from tests.support.execution import Context, execute

CONTEXT: Any = Context()
IMAGE = f"{REGISTRY}/doorman:1.1.0"
REQUEST: dict[str, Any] = {"cluster": "production1", "service": "doorman-service", "image": IMAGE}


def optional(of: type) -> set[str]:
    """The members that have come to a dataclass with a default."""
    return {each.name for each in fields(of) if each.default is not MISSING or each.default_factory is not MISSING}


@pytest.fixture
def progress(model: EcsModel, clock: Clock) -> dict[str, Any]:
    """What the first step hands on."""
    model.images.add(("doorman", "1.1.0"))
    containers = [{"name": "app", "image": f"{REGISTRY}/doorman:1.0.0"}]
    model.add_service("doorman-service", model.add_revision({"family": "doorman", "containerDefinitions": containers}))
    first, *_ = execute(REQUEST, clock, "before").answers
    handed: dict[str, Any] = first["progress"]
    return handed


def go_on(progress: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """The steps after the first one, to the end."""
    answer: dict[str, Any] = update_service.handler({"progress": progress, "attempt": 0, "enteredAt": ""}, CONTEXT)
    while answer["next"] == "wait":
        clock.advance(answer["wait"])
        answer = poll_stability.handler({"progress": answer["progress"], "attempt": 0, "enteredAt": ""}, CONTEXT)
    return answer


def test_what_an_older_release_has_not_written(model: EcsModel, clock: Clock, progress: dict[str, Any]) -> None:
    older = {key: value for key, value in progress.items() if key not in optional(Progress) - {"rhythm"}}
    older["rhythm"] = {key: value for key, value in older["rhythm"].items() if key not in optional(Rhythm)}
    assert len(older) < len(progress)
    assert go_on(older, clock)["outcome"]["outcome"] == "DEPLOYED"


def test_what_a_newer_release_has_written(model: EcsModel, clock: Clock, progress: dict[str, Any]) -> None:
    newer = {**progress, "rhythm": {**progress["rhythm"], "swing": 1}, "invented": {"tomorrow": True}}
    assert go_on(newer, clock)["outcome"]["outcome"] == "DEPLOYED"
