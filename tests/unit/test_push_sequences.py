"""Pushes under each policy, in random order, doubled, with images that do not work: what each leads to, and the end.

The rules themselves decide; what happens to a service is no more than which image it runs.
"""

from random import Random
from typing import Any

import pytest

from ecs_deploy.core import policy, reconciliation, transitions
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.formats import instant
from ecs_deploy.core.order import leads_back
from ecs_deploy.core.policy import Start, Target
from ecs_deploy.core.request import parse
from ecs_deploy.core.state import Candidate, Entry, Result, Stable, State
from ecs_deploy.core.transitions import Granted, Shown, Skipped
from ecs_deploy.core.versions import version_of
from tests.support.rules import at, td

SEQUENCES = 10_000
HERE = Environment("123456789012", "us-east-1")


class World:
    """A service of one container, and the executions of pushes to it."""

    def __init__(self, random: Random, tags: tuple[str, ...], broken: set[str], first: str) -> None:
        self.random, self.broken, self.runs = random, broken, first
        self.target = Target("production1", "doorman", "doorman", tags)
        self.state = State(rev=1, since=at(-60), stable=Stable(td(1), at(-60)))
        self.history: dict[str, Entry] = {}
        self.stable, self.minute, self.names = first, 0, set[str]()

    def push(self, event: dict[str, Any]) -> None:
        for start in policy.starts_for_push(event, [self.target], HERE):
            self.start(start)

    def start(self, start: Start) -> None:
        if start.name in self.names:
            return
        self.names.add(start.name)
        self.minute += 1
        asked = parse(dict(start.request), HERE)
        image, push = asked.wanted.image, asked.push  # type: ignore[union-attr]
        assert push
        candidate = Candidate(
            start.name, push.id, push.time, at(self.minute), True, push.digest, tag=image.tag or "", policy=push.policy
        )
        ruling = transitions.take_turn(self.state, candidate, ("app",), shown={"app": Shown(tags={self.runs})})
        self.state = transitions.after_turn(self.state, candidate, ruling, self.state.stable, at(self.minute))
        result = transitions.RESULTS[ruling.outcome] if isinstance(ruling, Skipped) else None
        self.history[start.name] = Entry(candidate, ("app",), asked.as_json(), str(image), result=result)
        if isinstance(ruling, Granted):
            higher = leads_back(candidate, [self.runs])
            assert higher is None, f"a push of {image.tag} displaces {self.runs}"
            for name, each in self.history.items():
                if each.result is None and name != start.name:
                    self.history[name] = each._replace(result=Result.SUPERSEDED, ended_at=at(self.minute))
            self.runs = image.tag or ""

    def finish(self) -> None:
        """The rollout ends, if there is one."""
        if self.state.owner is None:
            return
        self.minute += 1
        entry = self.history[self.state.owner.execution]
        now, candidate = at(self.minute), entry.candidate
        if candidate.tag in self.broken:
            failed = transitions.failed(self.state, candidate, now)
            self.state = transitions.ended(failed, candidate.execution, restored=True)
            self.runs, result = self.stable, Result.FAILED
        else:
            kept = Stable(td(self.minute), now, {"app": candidate.digest})
            self.state = transitions.deployed(self.state, candidate, ("app",), kept)
            self.stable, result = candidate.tag, Result.DEPLOYED
        self.history[candidate.execution] = entry._replace(result=result, ended_at=now)
        for start in reconciliation.restarts(self.history.values(), self.state):
            self.start(start)


def push_of(tag: str, number: int) -> dict[str, Any]:
    """The event of a push in that minute."""
    detail = {
        "result": "SUCCESS",
        "repository-name": "doorman",
        "image-digest": f"sha256:{number:064x}",
        "action-type": "PUSH",
        "image-tag": tag,
    }
    whole = {"id": f"event-{number}", "time": instant(at(number)), "source": "aws.ecr", "detail": detail}
    return {**whole, "detail-type": "ECR Image Action", "account": HERE.account, "region": HERE.region}


POLICIES = {
    "semver:>=1.0.0": [f"v1.{minor}.{patch}" for minor in (2, 9, 10) for patch in (0, 1)] + ["v0.9.0", "latest"],
    "main-{n}-*": [f"main-{number}-{letter}" for number in (8, 9, 10, 11) for letter in "ab"] + ["dev-12-a"],
    "v*": [f"v{number}" for number in range(8)] + ["main"],
}


@pytest.mark.parametrize("pattern", POLICIES)
def test_random_pushes(pattern: str) -> None:
    for seed in range(SEQUENCES):
        random = Random(seed)
        tags = random.sample(POLICIES[pattern], random.randint(1, 6))
        events = [push_of(tag, number) for number, tag in enumerate(tags)]
        broken = {tag for tag in tags if random.random() < 0.25}
        world = World(random, (pattern,), broken, "of another kind")
        shuffled = [*events, *random.choices(events, k=2)]
        random.shuffle(shuffled)
        for event in shuffled:
            world.push(event)
            if random.random() < 0.5:
                world.finish()
        while world.state.owner:
            world.finish()
        # The tags are in the order of their pushes, which decides among those of one version.
        works = [tag for tag in tags if tag not in broken and world.target.policy_of(tag) is not None]
        highest = sorted(works, key=lambda tag: version_of(world.target.policy_of(tag) or "", tag) or 0)
        assert world.runs == (highest or ["of another kind"])[-1], (seed, tags, broken)
