"""The last push wins, in whatever order the calls of several executions fall, with crashes and doubled events.

The invariants, which `docs/the-last-push-wins.md` explains:

1. The newest push that works runs in the end, and its rollout is complete.
2. A change that somebody makes during a deployment is not undone.
3. Every execution ends, and none as a defect of the deployer.
4. There is at most one revision for a request.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ecs_deploy import ecs, executions, shell
from tests.support import exploration
from tests.support.client import Client
from tests.support.clock import Clock
from tests.support.ecs_model import CLAIMS, Behaviour, EcsModel, Service
from tests.support.exploration import Execution, Person, World, explore, walk

REQUEST: dict[str, Any] = {"cluster": "production1", "service": "doorman-service"}
WORKS, BREAKS = Behaviour(start=0), Behaviour(start=0, life=0)
EXPECTED_ENDS = {"DEPLOYED", "SUPERSEDED", "DUPLICATE", "DeploymentFailed"}


@dataclass(frozen=True)
class Push:
    """A push of an image, the later the higher its number; `copies` of its event come."""

    number: int
    works: bool = True
    repository: str = "doorman"
    copies: int = 1
    crashes: int = 0

    @property
    def image(self) -> str:
        return f"{self.repository}:{self.number}"


class _Quiet:
    """Metrics that nobody reads."""

    def add_metric(self, *_: object) -> None:
        """Count nothing."""

    def add_dimension(self, *_: object) -> None:
        """Count for nobody."""

    def flush_metrics(self) -> None:
        """Print nothing."""


@pytest.fixture(autouse=True)
def on_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handlers hear the script of the execution whose move it is."""
    client = Client(exploration.call)
    monkeypatch.setenv("CLAIMS", CLAIMS)
    monkeypatch.setattr(ecs, "connect", lambda: client)
    monkeypatch.setattr(executions, "connect", lambda: client)
    monkeypatch.setattr(shell, "now", exploration.now)
    monkeypatch.setattr(shell, "metrics", _Quiet())
    shell.logger.setLevel("CRITICAL")


def a_world(*pushes: Push, person: bool = False, returns: bool = False) -> World:
    clock = Clock()
    model = EcsModel(clock)
    model.records_calls = False
    containers = [{"name": name, "image": f"{name}:0"} for name in dict.fromkeys(each.repository for each in pushes)]
    first = model.add_revision({"family": "doorman", "containerDefinitions": containers})
    model.behaviours = {each.image: WORKS if each.works else BREAKS for each in pushes}
    model.behaviours["doorman:0"] = WORKS
    # Why tasks failed is not what this is about, and makes many calls.
    model.refused.add("ListTasks")
    model.add_service("doorman-service", first, desired=1, drain=0, breaker=True, breaker_rolls_back=returns)
    clock.advance(60)
    world = World(model, [_execution(each, copy, clock) for each in pushes for copy in range(each.copies)])
    if person:
        theirs = [{"name": each["name"], "image": f"{each['name']}:theirs"} for each in containers]
        model.behaviours["doorman:theirs"] = WORKS
        revision = model.add_revision({"family": "doorman", "containerDefinitions": theirs})
        world.actors.append(Person(revision, world.executions[0]))
        clock.advance(1)
    return world


def _execution(push: Push, copy: int, clock: Clock) -> Execution:
    time = clock.now() - timedelta(seconds=30 - push.number)
    request = {**REQUEST, "image": push.image, "push": {"id": f"push-{push.number}", "time": time.isoformat()}}
    return Execution(f"e{push.number}-{copy}", request, push.crashes)


def service_of(world: World) -> Service:
    (service,) = world.model.services.values()
    return service


def images_of(world: World, revision: str) -> dict[str, str]:
    containers = world.model.revision(revision).document["containerDefinitions"]
    return {each["name"]: each["image"] for each in containers}


def newest_that_works(pushes: Sequence[Push]) -> dict[str, str]:
    """What each container has to run in the end."""
    images = {each.repository: f"{each.repository}:0" for each in pushes}
    return images | {each.repository: each.image for each in sorted(pushes, key=lambda each: each.number) if each.works}


def check(*pushes: Push) -> Callable[[World], None]:
    """Hold a world in which all is over to the invariants."""

    def hold(world: World) -> None:
        ends = [each.end for each in world.executions if each.end]
        names = [end.error or (end.output or {})["outcome"] for end in ends]
        assert set(names) <= EXPECTED_ENDS, [end.cause for end in ends]
        world.clock.advance(600)
        world.model.call("DescribeServices", {"cluster": "production1", "services": ["doorman-service"]})
        service = service_of(world)
        running = images_of(world, service.primary.revision)
        person = next((each for each in world.actors if isinstance(each, Person)), None)
        if not person:
            assert running == newest_that_works(pushes)
        elif person.came_during_a_deployment:
            assert running == {"doorman": "doorman:theirs"}
        assert service.primary.rollout_state == "COMPLETED"
        revisions = world.model.families["doorman"]
        requests = Counter(
            tag["value"] for each in revisions for tag in each.tags if tag["key"] == "ecs-deploy:request"
        )
        images = {each.repository for each in pushes}
        assert len(images) > 1 or max(requests.values(), default=0) <= 1, requests

    return hold


SCENARIOS: dict[str, tuple[tuple[Push, ...], dict[str, bool]]] = {
    "both work, the older one crashes": ((Push(1, crashes=1), Push(2)), {}),
    "both work, the newer one crashes": ((Push(1), Push(2, crashes=1)), {}),
    "the older one fails": ((Push(1, works=False), Push(2)), {}),
    "the older one fails and crashes": ((Push(1, works=False, crashes=1), Push(2)), {}),
    "the newer one fails": ((Push(1), Push(2, works=False)), {}),
    "an event comes twice": ((Push(1, copies=2, crashes=1),), {}),
    "an event comes twice, and the image fails": ((Push(1, copies=2, works=False),), {}),
    "two images of one service": ((Push(1), Push(2, repository="guard")), {}),
    "ECS returns by itself, both work": ((Push(1), Push(2)), {"returns": True}),
    "a person changes the service": ((Push(1),), {"person": True}),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_schedule_of_two(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pushes, settings = SCENARIOS[name]
    explored = explore(a_world(*pushes, **settings), check(*pushes))
    with capsys.disabled():
        print(f"\n  {name}: {explored.schedules:,} schedules through {explored.worlds:,} worlds")  # noqa: T201


schedules = st.lists(st.integers(0, 40), max_size=120)
pushes_at_random = st.tuples(
    *(
        st.builds(
            Push,
            st.just(number),
            works=st.booleans(),
            copies=st.sampled_from([1, 1, 1, 2]),
            crashes=st.integers(0, 2),
        )
        for number in (1, 2, 3)
    )
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pushes=pushes_at_random, schedule=schedules)
def test_a_sample_of_the_schedules_of_three(pushes: tuple[Push, ...], schedule: list[int]) -> None:
    world = a_world(*pushes)
    walk(world, iter(schedule))
    event(str(sorted(each.end.error or "ends well" for each in world.executions if each.end)))
    check(*pushes)(world)
