"""The last push wins, in whatever order the calls of several executions fall, with crashes and doubled events.

The invariants: the newest push runs in the end; every execution ends; nothing breaks.
"""

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from ecs_deploy import ecs
from tests.support.clock import Clock
from tests.support.ecs_model import EcsModel, Service
from tests.support.execution import End
from tests.support.interleaving import Client, World

REQUEST: dict[str, Any] = {"cluster": "production1", "service": "doorman-service"}
schedules = st.lists(st.integers(0, 11), max_size=80)


class Races:
    """Makes worlds over a fresh model each."""

    def __init__(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = clock
        self.monkeypatch = monkeypatch

    def world(self) -> tuple[World, Service]:
        model = EcsModel(self.clock)
        world = World(model, self.clock)
        client = Client(world)
        self.monkeypatch.setattr(ecs, "connect", lambda: client)
        document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": "doorman:0"}]}
        return world, model.add_service("doorman-service", model.add_revision(document))

    def push(self, world: World, number: int, *, started: float = 0, copy: str = "") -> None:
        """A push of `doorman:<number>`, the later the higher the number; its event may come in any order."""
        time = self.clock.now() - timedelta(seconds=60 - number)
        request = {**REQUEST, "image": f"doorman:{number}", "push": {"id": f"push-{number}", "time": time.isoformat()}}
        world.add(f"e{number}{copy}", request, after=started)


@pytest.fixture
def races(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Races:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    return Races(clock, monkeypatch)


def settle(world: World) -> None:
    world.clock.advance(600)
    world.model.call("DescribeServices", {"cluster": "production1", "services": ["doorman-service"]})


def image(world: World, service: Service) -> str:
    document = world.model.revision(service.primary.revision).document
    text: str = document["containerDefinitions"][0]["image"]
    return text


def ends(world: World) -> Counter[str]:
    seen = [each.end or End() for each in world.executions]
    return Counter(end.error or str(end.output and end.output["outcome"]) for end in seen)


quick = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(schedule=schedules, order=st.permutations([1, 2, 3]), count=st.integers(2, 3))
@example(schedule=[1, 1, 2, 2], order=[3, 2, 1], count=3)
def test_the_newest_push_runs_in_the_end(races: Races, schedule: list[int], order: list[int], count: int) -> None:
    world, service = races.world()
    pushed = order[:count]
    for number in pushed:
        races.push(world, number)
    world.run(iter(schedule))
    settle(world)
    event(str(sorted(ends(world).items())))
    assert image(world, service) == f"doorman:{max(pushed)}"
    assert service.primary.rollout_state == "COMPLETED"
    assert set(ends(world)) <= {"DEPLOYED", "SUPERSEDED"}


@quick
@given(schedule=schedules, count=st.integers(1, 2))
def test_a_doubled_event_is_deployed_once(races: Races, schedule: list[int], count: int) -> None:
    world, service = races.world()
    for number in range(1, count + 1):
        for copy in "ab":
            races.push(world, number, copy=copy)
    updated = Counter[str]()
    world.model.before_call = lambda action, body: updated.update(
        [body["taskDefinition"]] if action == "UpdateService" else []
    )
    world.run(iter(schedule))
    settle(world)
    event(str(sorted(ends(world).items())))
    assert image(world, service) == f"doorman:{count}"
    images = Counter(world.model.revision(arn).document["containerDefinitions"][0]["image"] for arn in updated)
    assert max(images.values()) == 1, "two revisions of one push were brought in"


@quick
@given(schedule=schedules, at=st.integers(0, 30))
def test_a_persons_change_during_a_deployment_is_respected(races: Races, schedule: list[int], at: int) -> None:
    world, service = races.world()
    theirs = world.model.add_revision(
        {"family": "doorman", "containerDefinitions": [{"name": "app", "image": "theirs"}]}
    )
    calls = 0
    changed = threading.Event()

    def meanwhile(_action: str, _body: dict[str, Any]) -> None:
        nonlocal calls
        calls += 1
        if calls == at + 2 and not all(each.is_over for each in world.executions):
            world.model.start_deployment(service, theirs)
            changed.set()

    world.model.before_call = meanwhile
    races.push(world, 1)
    world.run(iter(schedule))
    world.model.before_call = lambda _action, _body: None
    settle(world)
    event(f"changed: {changed.is_set()}")
    # Before the first read of the service a change is the one to be replaced.
    assert image(world, service) == ("theirs" if changed.is_set() else "doorman:1")
