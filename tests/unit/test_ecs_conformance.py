"""The model of ECS is as AWS documents it."""

from collections.abc import Callable

import boto3
import pytest

from tests.support.clock import Clock
from tests.support.ecs_conformance import CASES, Stage
from tests.support.ecs_model import CRASHES, EcsModel


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_ecs(model: EcsModel, clock: Clock, case: Callable[[Stage], None]) -> None:
    containers = [{"name": "app", "image": "doorman:1", "memory": 64, "essential": True}]
    model.add_service("doorman", model.add_revision({"family": "doorman", "containerDefinitions": containers}))
    model.behaviours["doorman:crashes"] = CRASHES

    def wait(is_so: Callable[[], object]) -> None:
        for _ in range(600):
            if is_so():
                return
            clock.advance(1)
        raise AssertionError("it is never so")

    case(Stage(boto3.client("ecs"), "production1", "doorman", "doorman:2", "doorman:crashes", wait))
