"""Pushes that come all at once, twice, and in any order, while AWS delays, refuses, and loses requests and answers.

Retries take their time here, up to a minute, in which others begin and end: what one execution did may be replaced when
it looks next. The same on the emulator: tests/workflow/test_chaos.py.
"""

import random
from collections import Counter
from datetime import timedelta
from hashlib import sha256

import pytest

from tests.load import add_service, target
from tests.support.chaos import Chaos
from tests.support.clock import Clock
from tests.support.contention import Contention, push_event
from tests.support.ecs_model import EcsModel, Service

SERVICES, PUSHES, COPIES = 20, 3, 2
FAULTS, LONGEST_DELAY = 0.25, 0.2
# All come within this time.
SECONDS = 20.0
# In each a push has two revisions if a step that is tried again does not look for the first one.
SEEDS = (3, 4, 9)


class Played:
    """Chaos that is over."""

    def __init__(self, seed: int) -> None:
        random_, clock = random.Random(seed), Clock()
        self.model = EcsModel(clock)
        self.chaos = Chaos(seed, FAULTS, LONGEST_DELAY)
        self.services = [add_service(self.model, number, random_.uniform(2, 20)) for number in range(SERVICES)]
        targets = [target(each, each.name) for each in self.services]
        self.contention = Contention(self.model, clock, targets, seed, self.chaos)
        for service in self.services:
            for number in range(1, PUSHES + 1):
                digest = f"sha256:{sha256(f'{service.name}:{number}'.encode()).hexdigest()}"
                self.model.push_image(service.name, digest, str(number))
                at = clock.now() - timedelta(minutes=1, seconds=-number)
                event = push_event(f"{service.name}-{number}", service.name, str(number), digest, at)
                for _ in range(COPIES):
                    self.contention.deliver(event, random_.uniform(0, SECONDS))
        self.contention.run()
        clock.advance(600)
        self.model.call("DescribeServices", {"cluster": "production1", "services": []})

    def image(self, service: Service) -> str:
        document = self.model.revision(service.primary.revision).document
        return self.model.named(document["containerDefinitions"][0]["image"])

    def registered(self, service: Service) -> Counter[str]:
        """How many revisions were registered for each push."""
        tags = (self.model.tags(each.document["taskDefinitionArn"]) for each in self.model.families[service.name][1:])
        return Counter(each["ecs-deploy:request"] for each in tags)


@pytest.fixture(scope="module", params=SEEDS, ids=lambda seed: f"seed {seed}")
def played(request: pytest.FixtureRequest) -> Played:
    return Played(request.param)


def test_every_service_runs_the_newest_push(played: Played) -> None:
    assert [each.name for each in played.services if not played.image(each).endswith(f":{PUSHES}")] == []
    assert {each.rollout_state for service in played.services for each in service.deployments} == {"COMPLETED"}


def test_every_push_starts_one_execution_which_ends_well(played: Played) -> None:
    executions = played.contention.executions
    assert [each.broke for each in executions if each.broke] == []
    assert [each.end.cause for each in executions if each.end and each.end.error] == []
    pushes = Counter(each.request["push"]["id"] for each in executions)
    assert pushes == {f"{service.name}-{number}": 1 for service in played.services for number in range(1, PUSHES + 1)}
    assert played.contention.dead_letters == []


def test_no_push_has_two_revisions(played: Played) -> None:
    registered = sum((played.registered(service) for service in played.services), Counter[str]())
    assert [push for push, count in registered.items() if count > 1] == []


def test_it_was_chaos(played: Played) -> None:
    for action in (
        "DescribeServices",
        "GetItem",
        "RegisterTaskDefinition",
        "StartExecution",
        "TransactWriteItems",
        "UpdateService",
    ):
        fates = {fate for each, fate in played.chaos.seen if each == action}
        assert len(fates) >= 4, f"{action}: {played.chaos.seen}"
