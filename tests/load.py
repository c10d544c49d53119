"""`make load`: many deployments at once under AWS's quotas, on virtual time, and how long they take.

Two leasts stand beside the time. Nobody can beat the first: registrations come from a bucket of 20 that is refilled by
one a second, and whoever knew all rollouts beforehand would let the longest begin first. The second is for the order in
which they did begin, had each begun as soon as there was a token for it.
"""

import contextlib
import io
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ecs_deploy.handlers import runtime
from tests.support.clock import Clock
from tests.support.contention import CALL_SECONDS, START_SECONDS, Contention, Execution, push_event
from tests.support.ecs_model import REGISTRY, Behaviour, EcsModel, Service, digest_of
from tests.support.quotas import (
    CATEGORIES,
    CONCURRENCY,
    DEFINITION_WRITES,
    SERVICE_READS,
    STATE_TRANSITIONS,
    TABLE_READS,
    TABLE_WRITES,
    Quota,
)

SEED = 20260131
MINUTE = 60
SHORTEST_ROLLOUT, LONGEST_ROLLOUT = 20.0, 180.0
DRAIN_SECONDS = 15
# To the second least. The last tries to register are up to a minute apart, while the bucket fills in vain.
MOST_RATIO = 1.25
# The dispatcher starts an execution. Its first step reads the state, the service, the revision and the image, takes its
# turn and registers; the second reads the state and the service, writes its intent and updates.
LEAST_SECONDS_TO_UPDATE = 3 * START_SECONDS + 11 * CALL_SECONDS


@dataclass(frozen=True)
class Push:
    """What a push of an image means to one service, so many seconds `after` the begin; higher numbers are newer."""

    service: int
    repository: str
    number: int
    after: float

    @property
    def image(self) -> str:
        return f"{REGISTRY}/{self.repository}:{self.number}"

    @property
    def event(self) -> str:
        return f"{self.repository}-{self.number}"

    @property
    def digest(self) -> str:
        return digest_of(self.image.rpartition(":")[2])


@dataclass(frozen=True)
class Scenario:
    """What happens at once, and the share of the polls that may be throttled meanwhile.

    The services are targets, or have opted in `by_tags`.
    """

    name: str
    pushes: Callable[[random.Random], Iterable[Push]]
    most_throttled: float
    by_tags: bool = False


def one_push_of_many_services(_random: random.Random) -> Iterator[Push]:
    """One event, which many targets wait for."""
    return (Push(service, "everything", 1, 0) for service in range(200))


def a_push_of_each_service(random_: random.Random) -> Iterator[Push]:
    """As when a build of everything ends."""
    return (Push(service, f"app-{service}", 1, random_.uniform(0, MINUTE)) for service in range(100))


def four_pushes_of_each_service(random_: random.Random) -> Iterator[Push]:
    """Pushes that overtake one another: most of the registrations are for nothing, and all of them need a token."""
    for service in range(20):
        moments = sorted(random_.uniform(0, MINUTE) for _ in range(4))
        yield from (Push(service, f"app-{service}", number, after) for number, after in enumerate(moments, start=1))


def twenty_pushes_of_many_services(_random: random.Random) -> Iterator[Push]:
    """Twenty repositories at once, each with the services of a team."""
    return (Push(service, f"team-{service % 20}", 1, 0) for service in range(500))


SCENARIOS = (
    Scenario("200 services, one push", one_push_of_many_services, most_throttled=0.25),
    Scenario("100 services, a push each within a minute", a_push_of_each_service, most_throttled=0.1),
    Scenario("20 services, four pushes each within a minute", four_pushes_of_each_service, most_throttled=0),
    Scenario(
        "500 services by tags, 20 pushes at once", twenty_pushes_of_many_services, most_throttled=0.25, by_tags=True
    ),
)


@dataclass(frozen=True)
class Played:
    """A scenario that was played to its end, and what was observed."""

    scenario: Scenario
    pushes: list[Push]
    contention: Contention
    services: dict[int, Service]
    rollouts: dict[int, float]
    began: datetime

    @property
    def executions(self) -> list[Execution]:
        return self.contention.executions

    @property
    def newest(self) -> dict[int, Push]:
        """The last push of each service."""
        return {push.service: push for push in sorted(self.pushes, key=lambda push: push.number)}

    @property
    def registered(self) -> list[tuple[str, str]]:
        """The service and the event of every revision that the deployer registered, in that order."""
        revisions = [each for family in self.contention.model.families.values() for each in family[1:]]
        revisions.sort(key=lambda each: float(each.document["registeredAt"]))
        tags = ({tag["key"]: tag["value"] for tag in each.tags} for each in revisions)
        requests = (each["ecs-deploy:request"].split("/") for each in tags)
        return [(service, event) for _, service, event in requests]

    @property
    def stable_after(self) -> float:
        """Seconds until the last service was stable on what it runs in the end."""
        return max(self._since(each.primary.completed) for each in self.services.values() if each.primary.completed)

    @property
    def ended_after(self) -> float:
        """Seconds until the last execution ended."""
        return max(self._since(each.ended_at) for each in self.executions if each.ended_at)

    @property
    def least(self) -> float:
        """Seconds until the last service could have been stable, had only the last push of each been deployed."""
        rollouts = sorted(self.rollouts.values(), reverse=True)
        by_quota = (DEFINITION_WRITES.seconds_until(place) + each for place, each in enumerate(rollouts, start=1))
        by_arrival = (push.after + self.rollouts[service] for service, push in self.newest.items())
        return LEAST_SECONDS_TO_UPDATE + max(*by_quota, *by_arrival)

    @property
    def least_in_order(self) -> float:
        """The same for the order in which they were registered, those that were overtaken too."""
        last = {(self.services[service].name, push.event): push for service, push in self.newest.items()}
        return LEAST_SECONDS_TO_UPDATE + max(
            max(DEFINITION_WRITES.seconds_until(place), last[each].after) + self.rollouts[last[each].service]
            for place, each in enumerate(self.registered, start=1)
            if each in last
        )

    @property
    def ends(self) -> Counter[str]:
        """How many executions ended how: by outcome, by error, or broken by a defect."""
        return Counter(_end(each) for each in self.executions)

    @property
    def most_tries(self) -> dict[str, int]:
        """The most tries that an execution needed, by state."""
        states = {state: None for each in self.executions for state in each.tries}
        return {state: max(each.tries.get(state, 0) for each in self.executions) for state in states}

    def calls(self, *, throttled: bool | None = None, state: str | None = None) -> Counter[str]:
        """How often each action was called: by all or one of the states, throttled or not."""
        return Counter(
            each.action
            for each in self.contention.calls
            if throttled in {None, each.throttled} and state in {None, each.state}
        )

    def moments(self, *actions: str, state: str | None = None) -> list[datetime]:
        """When these actions were called."""
        return [each.at for each in self.contention.calls if each.action in actions and state in {None, each.state}]

    def _since(self, moment: datetime) -> float:
        return (moment - self.began).total_seconds()


def play(scenario: Scenario, seed: int = SEED) -> Played:
    """Let it happen, from the first push to the end of the last execution and of the last rollout."""
    random_ = random.Random(seed)
    clock = Clock()
    model = EcsModel(clock)
    pushes = list(scenario.pushes(random_))
    rollouts = {push.service: random_.uniform(SHORTEST_ROLLOUT, LONGEST_ROLLOUT) for push in pushes}
    services = {number: add_service(model, number, seconds) for number, seconds in rollouts.items()}
    served = {push.service: target(services[push.service], push.repository) for push in pushes}
    listed = [] if scenario.by_tags else list(served.values())
    contention = Contention(model, clock, listed, seed, discovers=scenario.by_tags)
    if scenario.by_tags:
        for number, service in services.items():
            tags = {"repository": served[number]["repository"], "container": "app"}
            service.tags = {f"ecs-deploy:{key}": value for key, value in tags.items()}
        contention.deliver({"discover": True})
        contention.run()
        # What this has used up is there again.
        clock.advance(MINUTE)
        contention.calls.clear()
    began = clock.now()
    for push in {push.event: push for push in pushes}.values():
        model.push_image(push.repository, push.digest, str(push.number))
        event = push_event(
            push.event, push.repository, str(push.number), push.digest, began + timedelta(seconds=push.after)
        )
        contention.deliver(event, push.after)
    contention.run()
    # What was superseded rolls on, and nobody waits for it.
    clock.advance(LONGEST_ROLLOUT)
    model.call("DescribeServices", {"cluster": "production1", "services": []})
    return Played(scenario, pushes, contention, services, rollouts, began)


def most_within(seconds: float, moments: Iterable[datetime]) -> int:
    """The most of the moments within so many seconds."""
    ordered, first, most = sorted(moments), 0, 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= timedelta(seconds=seconds):
            first += 1
        most = max(most, last - first + 1)
    return most


def target(service: Service, repository: str) -> dict[str, Any]:
    """The target that deploys pushes to a repository to a service of `add_service`."""
    return {"cluster": service.cluster, "service": service.name, "repository": repository, "container": "app"}


def add_service(model: EcsModel, number: int, seconds: float) -> Service:
    """A service that rolls out for so many seconds; every third one spends some of them on what it replaces."""
    drain = 0 if number % 3 else min(DRAIN_SECONDS, seconds / 2)
    pace = f"pace-{number}"
    model.behaviours[pace] = Behaviour(start=seconds - drain)
    containers = [{"name": "app", "image": "app:0"}, {"name": "sidecar", "image": pace}]
    revision = model.add_revision({"family": f"app-{number}", "containerDefinitions": containers})
    return model.add_service(f"app-{number}", revision, drain=drain)


def _end(execution: Execution) -> str:
    if execution.end is None:
        return f"broke: {execution.broke!r}"
    return str(execution.end.output["outcome"] if execution.end.output else execution.end.error)


def main() -> int:
    """Print what each scenario took; answers 1 where one of them is over its bound."""
    runtime.logger.setLevel("CRITICAL")
    over = False
    for scenario in SCENARIOS:
        # The steps print what they count.
        with contextlib.redirect_stdout(io.StringIO()):
            played = play(scenario)
        print("\n".join(report(played)), end="\n\n")
        over |= played.stable_after > MOST_RATIO * played.least_in_order
        over |= not set(played.ends) <= {"DEPLOYED", "SUPERSEDED"}
    return int(over)


def report(played: Played) -> Iterator[str]:
    """The lines of a report."""
    reads, polls = played.moments("DescribeServices"), played.moments("DescribeServices", state="PollStability")
    yield played.scenario.name
    for name, text in {
        "executions": ", ".join(f"{count} {end}" for end, count in played.ends.most_common()),
        "all stable": f"after {played.stable_after:.0f} s; the last execution ended after {played.ended_after:.0f} s",
        "least by the quotas": f"{played.least:.0f} s, ratio {played.stable_after / played.least:.2f}",
        "least in this order": (
            f"{played.least_in_order:.0f} s, ratio {played.stable_after / played.least_in_order:.2f}"
        ),
        "most tries of a step": ", ".join(f"{state} {count}" for state, count in played.most_tries.items()),
        "DescribeServices": f"{_rates(reads)}; quota {SERVICE_READS.burst} and {SERVICE_READS.rate}",
        "of them polls": _rates(polls),
        "reads of the table": _rate(played.moments("GetItem", "Query"), TABLE_READS),
        "writes": _rate(played.moments("TransactWriteItems"), TABLE_WRITES),
        "functions at once": f"{played.contention.most_at_once}; quota {CONCURRENCY:,}",
        "state transitions": _rate(played.contention.transitions, STATE_TRANSITIONS),
    }.items():
        yield f"  {name:<22} {text}"
    calls, throttled = played.calls(), played.calls(throttled=True)
    polled, in_vain = (played.calls(throttled=each, state="PollStability")["DescribeServices"] for each in (None, True))
    for action in CATEGORIES:
        if calls[action]:
            by_polls = f", of them {polled} and {in_vain} by polls" if action == "DescribeServices" else ""
            yield f"  {action:<22} {calls[action]:>5} calls, {throttled[action]:>4} throttled{by_polls}"


def _rate(moments: list[datetime], quota: Quota) -> str:
    return f"{most_within(1, moments)} in a second; quota {quota.rate:,}"


def _rates(moments: list[datetime]) -> str:
    return f"{most_within(1, moments)} in a second, {most_within(MINUTE, moments) / MINUTE:.1f} a second over a minute"


if __name__ == "__main__":
    sys.exit(main())
