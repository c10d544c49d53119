"""Hostile requests through the first step: refused by the contract's name, with nothing written and nothing executed.

Ten thousand of them, half by changing a good request and half from nothing.
"""

import json
import re
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecs_deploy.aws import dynamodb, ecr, ecs
from ecs_deploy.handlers import register_task_definition, runtime, targets
from tests.support.client import Client
from tests.support.clock import Clock
from tests.support.dynamodb_model import TABLE
from tests.support.ecs_model import REGISTRY, EcsModel
from tests.support.workflow import Context, first_task

MANY = settings(max_examples=5_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
# What a step may answer: the payload of a state is at most 256 KiB.
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
LARGEST_ANSWER = 256 * 1024
GOOD: dict[str, Any] = {
    "cluster": "production1",
    "service": "doorman-service",
    "image": f"{REGISTRY}/doorman:1.1.0",
    "timeout": 60,
    "rollback": True,
    "push": {"id": "6a7e8feb", "time": "2026-01-31T12:00:00Z", "digest": "", "repository": "doorman", "tag": "1.1.0"},
}
# None of these can be the value of any key of a request.
HOSTILE_TEXTS = [
    '"',
    "'; DROP TABLE services; --",
    '", "service": "other',
    "{% $eval('1') %}",
    "{% $states.context.Execution.Input %}",
    "$.plan",
    "$$.Execution.Id",
    "States.Format('{}', $.x)",
    "${RegisterTaskDefinitionFunction}",
    "$(reboot)",
    "`reboot`",
    "a|b;c&d",
    "../../etc/passwd",
    "%s%n{0}{{7*7}}",
    "\x00",
    "line\nbreak",
    "\u202egnp",
    "\uff21\uff22",
    "💣" * 50,
    "\ud800",
    "arn:aws:ecs:eu-west-1:999999999999:cluster/production1",
    "arn:aws:ecs:us-east-1:123456789012:service/production1/doorman-service",
    "arn:aws:iam::123456789012:role/admin",
    "arn:aws:ecs:eu-west-1:999999999999:task-definition/doorman:1",
    "a" * 5_000 + "/",
    "(" * 2_000,
]
texts = st.sampled_from(HOSTILE_TEXTS) | st.text(alphabet="\"'`${}%[]()<>|&;\\ \t\n", min_size=1, max_size=40)
wrong_types = st.none() | st.floats() | st.lists(texts, max_size=3) | st.dictionaries(texts, texts, max_size=3)
anything = st.recursive(
    texts | st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | st.text(max_size=9), inner, max_size=4),
    max_leaves=20,
)
KEYS = [
    *("cluster", "service", "image", "tag", "container", "revision", "revert", "hold", "release"),
    *("timeout", "rollback", "push", "restart"),
]
deep = st.integers(50, 900).map(lambda depth: json.loads("[" * depth + "]" * depth))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> EcsModel:
    """A service that a good request would deploy to, without a network between."""
    clock = Clock()
    model = EcsModel(clock)
    client = Client(model.call)
    for module in (dynamodb, ecr, ecs):
        monkeypatch.setattr(module, "connect", lambda: client)
    monkeypatch.setattr(runtime, "now", clock.now)
    monkeypatch.setenv("TABLE", TABLE)
    monkeypatch.setattr(targets, "served", tuple)
    model.images.add(("doorman", "1.1.0"))
    containers = [{"name": "app", "image": f"{REGISTRY}/doorman:1.0.0"}]
    model.add_service("doorman-service", model.add_revision({"family": "doorman", "containerDefinitions": containers}))
    model.calls.clear()
    return model


def first_step(request: object) -> dict[str, Any]:
    """What the first step answers, as the workflow gets it."""
    context: Any = Context()
    first = first_task("hostile", request, datetime(2026, 1, 31, 12, tzinfo=UTC))
    # As Lambda gives it to the function, and takes it from there.
    event = json.loads(json.dumps({**first.event, "attempt": 0, "enteredAt": "2026-01-31T12:00:00Z"}))
    answer = json.dumps(register_task_definition.handler(event, context))
    assert len(answer.encode()) < LARGEST_ANSWER
    read: dict[str, Any] = json.loads(answer)
    return read


def test_the_request_they_are_made_from_is_good(model: EcsModel) -> None:
    assert first_step(GOOD)["next"] == "announce"


@MANY
@given(data=st.data())
def test_a_good_request_with_a_hostile_value(model: EcsModel, data: st.DataObject) -> None:
    model.calls.clear()
    request = deepcopy(GOOD)
    where = data.draw(st.sampled_from(["a value", "a value of the push", "a key"]))
    match where:
        case "a value":
            request[data.draw(st.sampled_from(KEYS))] = data.draw(texts | wrong_types | deep)
        case "a value of the push":
            # An id may be any text that a tag can hold: nothing is done by it.
            value = texts.filter(lambda text: not re.fullmatch(r"[A-Za-z0-9 +=._:/@-]{1,256}", text))
            request["push"][data.draw(st.sampled_from(["id", "time", "digest"]))] = data.draw(
                value | wrong_types | deep
            )
        case _:
            request[data.draw(texts)] = data.draw(anything)
    answer = first_step(request)
    assert answer["failure"]["error"] == "InvalidRequest", request
    assert model.calls == []


@MANY
@given(request=anything | deep | st.dictionaries(st.sampled_from(KEYS) | texts, anything | deep, max_size=12))
def test_any_request(model: EcsModel, request: object) -> None:
    model.calls.clear()
    answer = first_step(request)
    assert answer["failure"]["error"] == "InvalidRequest"
    assert model.calls == []
