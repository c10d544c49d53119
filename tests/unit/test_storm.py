"""Pushes that come all at once, twice, and in any order, while AWS delays, refuses, and loses requests and answers.

Retries take their time here, up to a minute, in which others begin and end: what one execution did may be undone, or
done again, when it looks next. The same on the emulator: tests/workflow/test_storm.py.
"""

import random
from collections import Counter
from datetime import timedelta

import pytest

from tests.support.chaos import Chaos
from tests.support.clock import Clock
from tests.support.ecs_model import REGISTRY, EcsModel, Service
from tests.support.throng import Throng
from tests.volume import add_service

SERVICES, PUSHES, COPIES = 20, 3, 2
FAULTS, LONGEST_DELAY = 0.2, 0.2
# All come within this time.
SECONDS = 2.0
# An older push stays in the place of the newest in 9 and 16 if a retried update does not look first what is in use, and
# in 14 if the newest does not insist.
SEEDS = (9, 14, 16)


class Storm:
    """A storm that is over."""

    def __init__(self, seed: int) -> None:
        random_, clock = random.Random(seed), Clock()
        self.model = EcsModel(clock)
        self.services: list[Service] = []
        self.chaos = Chaos(seed, FAULTS, LONGEST_DELAY)
        self.throng = Throng(self.model, clock, seed, self.chaos)
        for number in range(SERVICES):
            service = add_service(self.model, number, random_.uniform(2, 20))
            self.services.append(service)
            for push in range(1, PUSHES + 1):
                self.model.images.add((service.name, str(push)))
                time = clock.now() - timedelta(minutes=1, seconds=-push)
                request = {
                    "cluster": service.cluster,
                    "service": service.name,
                    "image": f"{REGISTRY}/{service.name}:{push}",
                    "container": "app",
                    "push": {"id": f"{service.name}-{push}", "time": time.isoformat()},
                }
                for copy in range(COPIES):
                    self.throng.add(f"{service.name}-{push}-{copy}", request, random_.uniform(0, SECONDS))
        self.throng.run()
        clock.advance(600)
        self.model.call("DescribeServices", {"cluster": "production1", "services": []})

    def image(self, service: Service) -> str:
        document = self.model.revision(service.primary.revision).document
        text: str = document["containerDefinitions"][0]["image"]
        return text

    def registered(self, service: Service) -> Counter[str]:
        """How many revisions were registered for each push."""
        tags = (self.model.tags(each.document["taskDefinitionArn"]) for each in self.model.families[service.name][1:])
        return Counter(each["ecs-deploy:request"] for each in tags)


@pytest.fixture(scope="module", params=SEEDS, ids=lambda seed: f"seed {seed}")
def storm(request: pytest.FixtureRequest) -> Storm:
    return Storm(request.param)


def test_every_service_runs_the_newest_push(storm: Storm) -> None:
    assert [each.name for each in storm.services if not storm.image(each).endswith(f":{PUSHES}")] == []
    assert {each.rollout_state for service in storm.services for each in service.deployments} == {"COMPLETED"}


def test_every_execution_ends_well(storm: Storm) -> None:
    assert [each.broke for each in storm.throng.executions if each.broke] == []
    ends = [each.end for each in storm.throng.executions if each.end]
    assert len(ends) == SERVICES * PUSHES * COPIES
    assert [end.cause for end in ends if end.error] == []


def test_no_push_has_two_revisions(storm: Storm) -> None:
    registered = sum((storm.registered(service) for service in storm.services), Counter[str]())
    assert [push for push, count in registered.items() if count > 1] == []


def test_it_was_a_storm(storm: Storm) -> None:
    for action in ("DescribeServices", "RegisterTaskDefinition", "UpdateService", "StartExecution", "TagResource"):
        fates = {fate for each, fate in storm.chaos.seen if each == action}
        assert len(fates) >= 3, f"{action}: {storm.chaos.seen}"
