"""The rollouts that every deployer is put to, on the tests' model of ECS."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tests.support.clock import Clock, RealClock
from tests.support.dynamodb_model import ACTIONS
from tests.support.ecs_model import Behaviour, EcsModel, Service

CLUSTER, SERVICE, FAMILY, CONTAINER = "production1", "doorman-service", "doorman", "app"
OLD_IMAGE, NEW_IMAGE = "doorman:1.0.0", "doorman:1.1.0"
# More than any of them takes; a deployer that has no such option keeps its own.
TIMEOUT = 900
TIMEOUT_OF_FAILURES = 300
# An old task that is told to stop takes a moment, with a load balancer or without.
_STOP = 5.0
_FAILURES_OF_A_CRASH_LOOP = 3


@dataclass(frozen=True, slots=True)
class Scenario:
    """A rollout: how new tasks behave, how long old ones take to go, and whether it ends well."""

    name: str
    behaviour: Behaviour
    drain: float = _STOP
    desired: int = 2
    breaker: bool = False
    ends_well: bool = True

    @property
    def timeout(self) -> int:
        return TIMEOUT if self.ends_well else TIMEOUT_OF_FAILURES

    def world(self, clock: Clock | RealClock) -> "World":
        """An ECS in which this is about to happen."""
        model = EcsModel(clock)
        container = {"name": CONTAINER, "image": OLD_IMAGE, "essential": True, "memory": 64}
        revision = model.add_revision({"family": FAMILY, "containerDefinitions": [container], "volumes": []})
        service = model.add_service(
            SERVICE,
            revision,
            desired=self.desired,
            drain=self.drain,
            breaker=self.breaker,
            breaker_rolls_back=self.breaker,
        )
        model.behaviours[NEW_IMAGE] = self.behaviour
        return World(self, model, service)

    def moved(self, seconds: float) -> "Scenario":
        """The same, with tasks that start so much later."""
        return replace(self, behaviour=replace(self.behaviour, start=max(self.behaviour.start + seconds, 1)))

    def slower(self, factor: float) -> "Scenario":
        """The same, with tasks that take so much longer to start."""
        return replace(self, behaviour=replace(self.behaviour, start=self.behaviour.start * factor))


class World:
    """A model of ECS with one service, and what happened when."""

    def __init__(self, scenario: Scenario, model: EcsModel, service: Service) -> None:
        self.scenario = scenario
        self.model = model
        self.service = service
        self.updated: datetime | None = None
        model.after_call = self._note

    def _note(self, action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService" and self.updated is None:
            self.updated = self.model.clock.now()

    def settled(self) -> datetime | None:
        """When it was decided: complete, returned by ECS, or the third task of a crash loop failed."""
        if self.scenario.ends_well or self.scenario.breaker:
            return self.service.primary.completed
        failed = sorted(task.stopped for task in self.service.stopped if task.stop_code and task.stopped)
        return failed[_FAILURES_OF_A_CRASH_LOOP - 1] if len(failed) >= _FAILURES_OF_A_CRASH_LOOP else None


def _rollout(seconds: int, *, drains: bool) -> Scenario:
    drain = 0.6 * seconds if drains else _STOP
    name = f"{seconds} s, {'of which the old tasks drain for ' + f'{drain:.0f}' if drains else 'no draining'}"
    return Scenario(name, Behaviour(start=seconds - drain), drain)


SCENARIOS = [
    Scenario("stable at once", Behaviour(), drain=0, desired=0),
    *(_rollout(seconds, drains=drains) for seconds in (20, 60, 180, 600) for drains in (False, True)),
    Scenario(
        "ECS rolls back", Behaviour(start=5, life=2, stop_code="TaskFailedToStart"), breaker=True, ends_well=False
    ),
    Scenario("crash loop", Behaviour(start=5, life=2, exit_code=1), ends_well=False),
]


def calls_to_ecs(model: EcsModel) -> list[str]:
    """The actions that ECS was called for."""
    return [action for action in model.called() if action not in {*ACTIONS, "SendTaskSuccess"}]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a deployer did in a scenario, `calls` to ECS; seconds, and None for what did not happen."""

    deployer: str
    scenario: str
    calls: int
    lag: float | None
    succeeded: bool
    is_right: bool
    seconds: float
    to_update: float | None = None
    cpu: float | None = None


def judged(
    world: World, deployer: str, *, started: datetime, ended: datetime, succeeded: bool, cpu: float | None = None
) -> Measured:
    """Measure what a deployer said by what happened in its world."""
    settled = world.settled()
    return Measured(
        deployer=deployer,
        scenario=world.scenario.name,
        calls=len(calls_to_ecs(world.model)),
        lag=(ended - settled) / timedelta(seconds=1) if settled else None,
        succeeded=succeeded,
        is_right=succeeded == world.scenario.ends_well,
        seconds=(ended - started) / timedelta(seconds=1),
        to_update=(world.updated - started) / timedelta(seconds=1) if world.updated else None,
        cpu=cpu,
    )
