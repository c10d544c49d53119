"""Worlds for tests/support/exploration.py: services, the pushes to them, and what may be asked of a world.

What moves first is for the test to say: `until` lets one actor go on alone, `finish` all of them by turns.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Self

import pytest

from ecs_deploy.aws import dynamodb, ecr, ecs, stepfunctions
from ecs_deploy.core.codec import decode
from ecs_deploy.core.state import State
from ecs_deploy.handlers import runtime, targets
from tests.support import exploration
from tests.support.client import Client
from tests.support.clock import Clock
from tests.support.dynamodb_model import TABLE
from tests.support.ecs_model import MACHINE, Behaviour, EcsModel, Service, digest_of
from tests.support.exploration import Actor, Budget, Execution, Fate, LateCall, Message, Person, World, walk
from tests.support.workflow import End, arn_of

CLUSTER, SERVICE = "production1", "doorman-service"
REQUEST: dict[str, Any] = {"cluster": CLUSTER, "service": SERVICE}
WORKS, BREAKS = Behaviour(start=0), Behaviour(start=0, life=0, stop_code="TaskFailedToStart")
_MOST_MOVES = 1_000


@dataclass(frozen=True)
class Push:
    """A push of an image, the later the higher its number, and what may go wrong for its execution.

    With a `policy`, pushes go by the versions in their tags. `gates` are the keys of its request that it has to pass.
    """

    number: int
    works: bool = True
    repository: str = "doorman"
    tag: str = ""
    crashes: int = 0
    stale_reads: int = 0
    late_calls: int = 0
    deaths: int = 0
    policy: str = ""
    gates: Mapping[str, Any] = field(default_factory=dict)

    @property
    def image(self) -> str:
        return f"{self.repository}:{self.tag or self.number}"

    @property
    def container(self) -> str:
        return self.repository.rpartition("/")[2]

    @property
    def budget(self) -> Budget:
        return Budget(self.crashes, self.stale_reads, self.late_calls, self.deaths)


class _Quiet:
    """Metrics that nobody reads."""

    def add_metric(self, *_: object) -> None:
        """Count nothing."""

    def add_dimension(self, *_: object) -> None:
        """Count for nobody."""

    def flush_metrics(self) -> None:
        """Print nothing."""


def set_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the handlers hear the script of the actor whose move it is."""
    client = Client(exploration.call)
    monkeypatch.setenv("TABLE", TABLE)
    monkeypatch.setenv("MACHINE", MACHINE)
    monkeypatch.setenv("DEAD_LETTERS", "none")
    for service in (dynamodb, ecr, ecs, stepfunctions):
        monkeypatch.setattr(service, "connect", lambda: client)
    monkeypatch.setattr(targets, "served", tuple)
    monkeypatch.setattr(runtime, "now", exploration.now)
    monkeypatch.setattr(runtime, "metrics", _Quiet())
    runtime.logger.setLevel("CRITICAL")


def a_world(*pushes: Push, person: bool = False, returns: bool = False) -> World:
    """A stable service with a container for each repository, an execution for each push, and a person on demand."""
    # What ECS lists no more when an answer was lost is past finding: docs/promises.md says so.
    world = a_world_of((SERVICE,), *pushes, returns=returns, drain=300 if person else 0)
    if person:
        runs = world.model.revision(service_of(world).primary.revision).document
        world.actors.append(Person(world.model.add_revision(_changed(runs, cpu="512"))))
        world.clock.advance(1)
    return world


def a_world_of(services: Sequence[str], *pushes: Push, returns: bool = False, drain: float = 0) -> World:
    """Stable services that share a task definition, and an execution for each push to each of them."""
    clock = Clock()
    model = EcsModel(clock)
    model.records_calls = False
    repositories = {each.container: each.repository for each in pushes}
    containers = [{"name": name, "image": f"{repository}:0"} for name, repository in repositories.items()]
    first = model.add_revision({"family": "doorman", "containerDefinitions": containers, "cpu": "256"})
    model.behaviours = {each.image: WORKS if each.works else BREAKS for each in pushes}
    model.behaviours |= {each["image"]: WORKS for each in containers}
    # Why tasks failed is not what this is about, and makes many calls.
    model.refused |= {"ListTasks", "ListServiceDeployments"}
    for name in services:
        model.add_service(name, first, desired=1, drain=drain, breaker=True, breaker_rolls_back=returns)
    clock.advance(60)
    world = World(model, [_execution(each, name, clock) for each in pushes for name in services])
    model.statuses |= {arn_of(each.name): "RUNNING" for each in world.executions}
    return world


def _changed(runs: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    """What somebody would register who changes a revision."""
    return {**{key: runs[key] for key in ("family", "containerDefinitions", "cpu")}, **members}


def _execution(push: Push, service: str, clock: Clock) -> Execution:
    time = clock.now() - timedelta(seconds=30 - push.number)
    digest = digest_of(push.tag or str(push.number))
    identity = {"id": f"push-{push.number}-{push.container}", "time": time.isoformat(), "digest": digest}
    identity |= {"policy": push.policy} if push.policy else {}
    name = f"e{push.number}-{push.container}{'' if service == SERVICE else f'-{service}'}"
    request = {**REQUEST, "service": service, "image": push.image, "push": identity, **push.gates}
    return Execution(name, request, push.budget)


def by_hand(world: World, name: str, **wanted: Any) -> Execution:
    """An execution that a person starts; it begins with its first move."""
    execution = Execution(name, {**REQUEST, **wanted})
    world.model.statuses[arn_of(name)] = "RUNNING"
    world.actors.append(execution)
    return execution


def until(world: World, execution: Execution, comes: str) -> None:
    """Let an execution go on alone until this comes next: a call, by its action, or a step, by its name."""
    for _ in range(_MOST_MOVES):
        if _is_next(execution, comes):
            return
        assert not execution.is_over, f"{execution.name} has ended before {comes}: {execution.end}"
        execution.move(world, Fate.ANSWERED)
    raise AssertionError(f"{execution.name} does not come to {comes}")


def _is_next(execution: Execution, comes: str) -> bool:
    step_begins = execution.task is not None and execution.task.name == comes and not execution.heard
    return execution.wants == comes or step_begins


def end(world: World, actor: Actor) -> None:
    """Let an actor go on alone to its end."""
    for _ in range(_MOST_MOVES):
        if actor.is_over:
            return
        actor.move(world, Fate.ANSWERED)
    raise AssertionError(f"{actor} does not end")


def go_on(world: World, execution: Execution, seconds: float) -> None:
    """Let an execution go on alone for so long."""
    then = world.clock.now() + timedelta(seconds=seconds)
    for _ in range(_MOST_MOVES):
        if execution.is_over or (execution.wakes_at or world.clock.now()) >= then:
            return
        execution.move(world, Fate.ANSWERED)
    raise AssertionError(f"{execution.name} goes on without time")


def suffer(world: World, execution: Execution, fate: Fate) -> None:
    """Let something happen to the next call of an execution, and never again."""
    budget = replace(execution.budget)
    execution.move(world, fate)
    execution.budget = budget


@dataclass
class Invocation(Execution):
    """An invocation that lives on, though the workflow has tried its step again: nobody hears its answer."""

    @classmethod
    def abandoned(cls, world: World, execution: Execution) -> Self:
        """The invocation that an execution is in; the execution itself tries again a second later."""
        lives_on = cls(**{**vars(execution), "heard": list(execution.heard)})
        execution._try_again(world.clock, timedelta(seconds=1))
        return lives_on

    def _try_again(self, _clock: Clock, _after: timedelta) -> None:
        self.end = End()

    def _take(self, _answer: dict[str, Any], _world: World) -> None:
        self.end = End()


def stop(world: World, execution: Execution) -> None:
    """Let a person stop an execution; its event is under way."""
    execution.end = End(error="States.Runtime", cause={})
    world.model.statuses[arn_of(execution.name)] = "ABORTED"
    world.actors.append(ended(world, execution))


def ended(world: World, execution: Execution) -> Message:
    """What Step Functions tells of the end of an execution."""
    assert execution.end
    arn = arn_of(execution.name)
    output = json.dumps(execution.end.output)
    detail = {"executionArn": arn, "status": world.model.statuses[arn], "input": json.dumps(execution.request)}
    return Message({"source": "aws.states", "detail": {**detail, "output": output}})


def change(world: World, **members: Any) -> None:
    """Let a person change the task definition of the service, from what it runs now."""
    runs = world.model.revision(service_of(world).primary.revision).document
    Person(world.model.add_revision(_changed(runs, **members))).move(world, Fate.ANSWERED)


def land(world: World) -> None:
    """Let ECS apply the calls that nobody waits for any more."""
    late = [each for each in world.actors if isinstance(each, LateCall) and not each.is_over]
    assert late, "no call is under way"
    for each in late:
        each.move(world, Fate.ANSWERED)


def reconcile(world: World) -> None:
    """Let the schedule ask for each service whether something was missed, and go on with what comes of it."""
    Message({"reconcile": [f"{CLUSTER}/{name}" for _, name in world.model.services]}).move(world, Fate.ANSWERED)
    finish(world)


def finish(world: World) -> None:
    """Let all actors go on by turns to their ends; each end has its event, and ECS the time that its rollouts take."""
    walk(world, iter(()))
    while unknown := [each for each in world.executions if not _is_known(world, each)]:
        world.actors += [ended(world, each) for each in unknown]
        walk(world, iter(()))
    world.clock.advance(600)
    for cluster, name in world.model.services:
        world.model.call("DescribeServices", {"cluster": cluster, "services": [name]})


def _is_known(world: World, execution: Execution) -> bool:
    """Whether the dispatcher has got the event of an execution's end."""
    messages = [each.body for each in world.actors if isinstance(each, Message)]
    return any(each.get("detail", {}).get("executionArn") == arn_of(execution.name) for each in messages)


def running(world: World, service: str = SERVICE) -> dict[str, Any]:
    """The task definition that a service runs, beside which nothing else runs any more."""
    primary = world.model.services[CLUSTER, service].primary
    assert primary.rollout_state == "COMPLETED", f"{service} is {primary.rollout_state}"
    return world.model.revision(primary.revision).document


def images(world: World, service: str = SERVICE) -> dict[str, str]:
    """The image of each container that a service runs."""
    containers = running(world, service)["containerDefinitions"]
    return {each["name"]: world.model.named(each["image"]) for each in containers}


def service_of(world: World) -> Service:
    (service,) = world.model.services.values()
    return service


def state_of(world: World, service: str = SERVICE) -> State:
    """What the table holds of a service."""
    return decode(State, json.loads(world.model.table.items[f"{CLUSTER}/{service}", "STATE"]["value"]["S"]))


def outcome(execution: Execution) -> str:
    """How an execution has ended: its error, or its outcome."""
    assert execution.end, f"{execution.name} has not ended"
    name: str = execution.end.error or (execution.end.output or {})["outcome"]
    return name
