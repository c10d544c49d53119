"""The newest push that works runs in the end, in whatever order the calls of several executions fall.

What is promised stands in docs/promises.md. Here it is held with crashes, lost answers, a person's change, reads that
show the time before, calls that are applied late and executions that die: in every schedule of one execution; in those
of two in which so many times, at most, one is kept waiting in the middle of a step; and in a sample of those of three.
`make explore` goes further than `make test`.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from ecs_deploy.core.versions import version_of
from tests.support.exploration import Message, Person, World, explore, walk
from tests.support.worlds import Push, a_world, service_of, set_the_stage

SWITCHES = int(os.environ.get("SWITCHES", "0"))
EXPECTED_ENDS = {"DEPLOYED", "SUPERSEDED", "UNCHANGED", "DeploymentFailed", "States.Runtime"}


@pytest.fixture(autouse=True)
def on_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    set_the_stage(monkeypatch)


def newest_that_works(pushes: Sequence[Push]) -> dict[str, str]:
    """What each container has to run in the end."""
    images = {each.repository: f"{each.repository}:0" for each in pushes}
    by_age = sorted(pushes, key=lambda each: (version_of(each.policy, each.tag) or 0, each.number))
    return images | {each.repository: each.image for each in by_age if each.works}


def check(*pushes: Push) -> Callable[[World], None]:
    """Hold a world in which all is over to the promises."""

    def hold(world: World) -> None:
        # What ECS applies after all ends is found by the schedule.
        world.clock.advance(600)
        world.actors.append(Message({"reconcile": ["production1/doorman-service"]}))
        walk(world, iter(()))
        ends = [each.end for each in world.executions if each.end]
        names = [end.error or (end.output or {})["outcome"] for end in ends]
        assert set(names) <= EXPECTED_ENDS, [end.cause for end in ends]
        world.clock.advance(600)
        world.model.call("DescribeServices", {"cluster": "production1", "services": ["doorman-service"]})
        service = service_of(world)
        running = world.model.revision(service.primary.revision).document
        images = {each["name"]: world.model.named(each["image"]) for each in running["containerDefinitions"]}
        person = next((each for each in world.actors if isinstance(each, Person)), None)
        if person:
            assert running["cpu"] == "512", "a person's change was undone"
            # What they have brought in stays as it is, unless a deployment that began later carries it on.
            assert images == newest_that_works(pushes) or service.primary.revision == person.revision, names
        else:
            assert images == newest_that_works(pushes), names
            # One for each push, and another one where the service has changed under it.
            assert max(registered(world).values(), default=0) <= 2, registered(world)
        assert service.primary.rollout_state == "COMPLETED"

    return hold


def registered(world: World) -> Counter[str]:
    """How many revisions were registered for each request."""
    revisions = world.model.families["doorman"]
    return Counter(tag["value"] for each in revisions for tag in each.tags if tag["key"] == "ecs-deploy:request")


SCENARIOS: dict[str, tuple[tuple[Push, ...], dict[str, bool]]] = {
    "both work": ((Push(1), Push(2)), {}),
    "both work, the older one crashes": ((Push(1, crashes=1), Push(2)), {}),
    "both work, the newer one crashes": ((Push(1), Push(2, crashes=1)), {}),
    "the older one fails": ((Push(1, works=False), Push(2)), {}),
    "the older one fails and crashes": ((Push(1, works=False, crashes=1), Push(2)), {}),
    "the newer one fails": ((Push(1), Push(2, works=False)), {}),
    "the newer one fails and crashes": ((Push(1), Push(2, works=False, crashes=1)), {}),
    "both fail": ((Push(1, works=False), Push(2, works=False)), {}),
    "one is alone, and crashes twice": ((Push(1, crashes=2),), {}),
    "one fails alone, and crashes": ((Push(1, works=False, crashes=2),), {}),
    "two images of one service": ((Push(1), Push(2, repository="guard")), {}),
    "two images of one service, one fails": ((Push(1, works=False), Push(2, repository="guard")), {}),
    "ECS returns by itself": ((Push(1), Push(2, works=False)), {"returns": True}),
    "a person changes the service": ((Push(1),), {"person": True}),
    "a person changes the service, and the function crashes": ((Push(1, crashes=1),), {"person": True}),
    "the older one's update is applied late": ((Push(1, late_calls=1), Push(2)), {}),
    "a read of the newer one shows the time before": ((Push(1), Push(2, stale_reads=1)), {}),
    "the older one dies": ((Push(1, deaths=1), Push(2)), {}),
    "the only one dies": ((Push(1, deaths=1),), {}),
    "the older one is of a higher version": ((Push(1, tag="30", policy="{n}"), Push(2, tag="20", policy="{n}")), {}),
    "the higher version fails": (
        (Push(1, tag="30", policy="{n}", works=False), Push(2, tag="20", policy="{n}", crashes=1)),
        {},
    ),
    "the higher version dies": ((Push(1, tag="30", policy="{n}", deaths=1), Push(2, tag="20", policy="{n}")), {}),
    "the newer one fails and dies": ((Push(1), Push(2, works=False, deaths=1)), {}),
}


QUICK = (
    "both work",
    "two images of one service",
    "a person changes the service",
    "the older one's update is applied late",
    "a read of the newer one shows the time before",
    "the only one dies",
    "the older one is of a higher version",
)


@pytest.mark.parametrize("name", SCENARIOS if "SWITCHES" in os.environ else QUICK)
def test_the_schedules_of_two(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pushes, options = SCENARIOS[name]
    explored = explore(a_world(*pushes, **options), check(*pushes), None if len(pushes) == 1 else SWITCHES)
    with capsys.disabled():
        print(f"\n  {name}: {explored.schedules:,} schedules through {explored.worlds:,} worlds")  # noqa: T201


SAMPLES = 10
"""Of 30 schedules each; `make explore` takes more."""


@pytest.mark.parametrize("seed", range(int(os.environ.get("SAMPLES", SAMPLES))))
def test_a_sample_of_the_schedules_of_three(seed: int) -> None:
    random_ = random.Random(seed)
    for _ in range(30):
        pushes = tuple(_at_random(number, random_) for number in (1, 2, 3))
        world = a_world(*pushes)
        try:
            walk(world, _lingering(random_))
            check(*pushes)(world)
        except Exception as error:
            error.add_note(repr(pushes))
            raise


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_of_the_schedules_of_three_versions(seed: int) -> None:
    """Pushes of one container that go by versions, in any order, of which none dies or is applied late."""
    random_ = random.Random(f"versions {seed}")
    for _ in range(20):
        tags = random_.sample(["10", "20", "30"], 3)
        drawn = (_at_random(number, random_) for number in (1, 2, 3))
        alike: dict[str, Any] = {"repository": "doorman", "policy": "{n}", "late_calls": 0, "deaths": 0}
        pushes = tuple(replace(each, tag=tag, **alike) for each, tag in zip(drawn, tags, strict=True))
        world = a_world(*pushes)
        try:
            walk(world, _lingering(random_))
            check(*pushes)(world)
        except Exception as error:
            error.add_note(repr(pushes))
            raise


def _at_random(number: int, random_: random.Random) -> Push:
    return Push(
        number,
        works=random_.random() < 0.6,
        repository=random_.choice(["doorman", "doorman", "guard"]),
        crashes=random_.choice([0, 0, 1, 2]),
        stale_reads=random_.choice([0, 0, 1]),
        late_calls=random_.choice([0, 0, 1]),
        deaths=random_.choice([0, 0, 0, 1]),
    )


def _lingering(random_: random.Random) -> Iterator[int]:
    """Choices that stay with one actor for a while: most of what goes wrong needs many calls of one in a row."""
    chosen = 0
    while True:
        if random_.random() < 0.3:
            chosen = random_.randrange(40)
        yield chosen
