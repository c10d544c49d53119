"""The functions change under an execution that runs: what it carries, and the table, are of another release."""

import json
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, get_args, get_origin

import pytest

from ecs_deploy.core.plan import Plan, Rollout
from ecs_deploy.core.state import Entry, State
from tests.support.clock import Clock
from tests.support.ecs_model import REGISTRY, EcsModel
from tests.support.workflow import Context, End, Task, execute, first_task, following

CONTEXT: Any = Context()
IMAGE = f"{REGISTRY}/doorman:1.1.0"
REQUEST: dict[str, Any] = {"cluster": "production1", "service": "doorman-service", "image": IMAGE}


Members = dict[str, Any]
Release = Callable[[Any, Members], Members]


def older(kind: Any, members: Members) -> Members:
    """What a release wrote that knew none of the members that have a default now."""
    return {name: members[name] for name in kind._fields if name not in kind._field_defaults}


def newer(kind: Any, members: Members) -> Members:
    """What a release writes that knows more."""
    return {**members, "invented": {"tomorrow": True}}


def by(release: Release, kind: Any, value: Any) -> Any:
    """The JSON value of a named tuple as another release writes it, on every level."""
    kinds = get_args(kind)
    if isinstance(kind, UnionType):
        return value if value is None else by(release, kinds[0], value)
    if get_origin(kind) is tuple:
        return [by(release, kinds[0], each) for each in value]
    if get_origin(kind) is Mapping:
        return {key: by(release, kinds[1], each) for key, each in value.items()}
    if not hasattr(kind, "_fields"):
        return value
    return release(kind, {name: by(release, kind.__annotations__[name], each) for name, each in value.items()})


@pytest.fixture
def first(model: EcsModel, clock: Clock) -> Task:
    model.images.add(("doorman", "1.1.0"))
    containers = [{"name": "app", "image": f"{REGISTRY}/doorman:1.0.0"}]
    model.add_service("doorman-service", model.add_revision({"family": "doorman", "containerDefinitions": containers}))
    return first_task("upgraded", REQUEST, clock.now())


def step(task: Task, clock: Clock) -> dict[str, Any]:
    clock.advance(task.wait)
    answer: dict[str, Any] = task.module.handler(
        {**task.event, "attempt": 0, "enteredAt": clock.now().isoformat()}, CONTEXT
    )
    return answer


# After the update an older release has handed on when that was, which has a default before.
@pytest.mark.parametrize(("release", "answers"), [(older, {"announce"}), (newer, {"announce", "wait_for_rollout"})])
def test_each_step_goes_on_with_what_another_release_has_handed_on(
    model: EcsModel, clock: Clock, first: Task, release: Release, answers: set[str]
) -> None:
    task: Task | End = first
    while isinstance(task, Task):
        answer = step(task, clock)
        if answer["next"] in answers:
            plan, rollout = by(release, Plan, answer["plan"]), by(release, Rollout, answer["rollout"])
            assert (plan, rollout) != (answer["plan"], answer["rollout"])
            answer |= {"plan": plan, "rollout": rollout}
        task = following(first, answer)
    assert task.output
    assert task.output["outcome"] == "DEPLOYED"


@pytest.mark.parametrize("release", [older, newer])
def test_the_table_of_another_release_is_read(model: EcsModel, clock: Clock, first: Task, release: Release) -> None:
    before = execute(REQUEST, clock, "before").output
    assert before
    values = {place: item for (_, place), item in model.table.items.items() if "value" in item}
    assert len(values) == 2
    for place, item in values.items():
        written = json.loads(item["value"]["S"])
        other = by(release, State if place == "STATE" else Entry, written)
        assert other != written
        item["value"]["S"] = json.dumps(other)
    clock.advance(60)
    after = execute(REQUEST, clock, "after").output
    assert after
    assert (after["outcome"], after["replaced"]) == ("DEPLOYED", before["revision"])
