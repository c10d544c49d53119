"""All deployers in virtual time, many times over, so that the median lag and the worst one are known.

This deployer is its real handlers over HTTP. The others are replayed: the calls they make and the intervals they are
published with, to the same model, and their own rule for what a success is.

- the bash script: https://github.com/silinternational/ecs-deploy/blob/develop/ecs-deploy
- fabfuel/ecs-deploy: https://github.com/fabfuel/ecs-deploy/blob/develop/ecs_deploy/cli.py
- AWS CLI: https://docs.aws.amazon.com/cli/latest/reference/ecs/wait/services-stable.html
- the GitHub action 2.6.3, which waits by the SDK for JavaScript: 15 s at first, then any time up to twice as long as
  before, up to 120 s; then it looks whether its deployment was rolled back:
  https://github.com/aws-actions/amazon-ecs-deploy-task-definition/blob/v2.6.3/index.js
- ecspresso, which waits by the SDK for Go, every 15 s, and shows the status every 10 s:
  https://github.com/kayac/ecspresso/blob/v2/wait.go
"""

import io
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import NamedTuple
from unittest import mock

from ecs_deploy.aws import dynamodb, ecr, ecs, stepfunctions
from ecs_deploy.handlers import runtime, targets
from tests.bench.peers import AWS_CLI, FABFUEL, OURS
from tests.bench.scenarios import (
    CLUSTER,
    FAMILY,
    NEW_IMAGE,
    SCENARIOS,
    SERVICE,
    Measured,
    Scenario,
    World,
    calls_to_ecs,
    judged,
)
from tests.support.clock import Clock
from tests.support.dynamodb_model import ACTIONS, TABLE
from tests.support.ecs_model import REGION, Document
from tests.support.endpoint import serve
from tests.support.waits import Delivery, Waits
from tests.support.workflow import execute

LOST = "ecs-deploy (this), events lost"
SCRIPT, ACTION, ECSPRESSO = "bash script", "GitHub action", "ecspresso"
TIMES = 40
# Half of the longest fixed interval: a rollout may end anywhere between two polls.
MOVED_BY = 7.5
_MOST_POLLS_OF_THE_CLI = 40
_MINUTES_OF_THE_ACTION, _MINUTES_OF_ECSPRESSO = 30, 10
_SERVICE: Document = {"cluster": CLUSTER, "serviceName": SERVICE}


class Caller:
    """A deployer that calls the model and waits on its clock."""

    def __init__(self, world: World, clock: Clock) -> None:
        self.world = world
        self.clock = clock
        self.began = clock.now()

    def bring_in(self, *, reads: bool) -> None:
        """Register a revision with the new image and update the service; `reads` what is there before, or not."""
        if reads:
            self.service()
            self.call("DescribeTaskDefinition", {"taskDefinition": FAMILY})
        container = {"name": "app", "image": NEW_IMAGE}
        self.call("RegisterTaskDefinition", {"family": FAMILY, "containerDefinitions": [container]})
        self.call("UpdateService", {"cluster": CLUSTER, "service": SERVICE, "taskDefinition": FAMILY})
        self.began = self.clock.now()

    def call(self, action: str, body: Document) -> Document:
        return self.world.model.call(action, body)

    def service(self) -> Document:
        answer: Document = self.call("DescribeServices", {"cluster": CLUSTER, "services": [SERVICE]})["services"][0]
        return answer

    def running(self) -> list[str]:
        """The revisions of the tasks that run."""
        arns = self.call("ListTasks", {**_SERVICE, "desiredStatus": "RUNNING"})["taskArns"]
        tasks = self.call("DescribeTasks", {"cluster": CLUSTER, "tasks": arns})["tasks"] if arns else []
        return [each["taskDefinitionArn"] for each in tasks if each["lastStatus"] == "RUNNING"]

    def elapsed(self) -> float:
        return (self.clock.now() - self.began).total_seconds()


def script(caller: Caller, _dice: random.Random) -> bool:
    """The bash script: any new task runs, every 10 s; then one deployment is left, every 2 s."""
    timeout = caller.world.scenario.timeout
    caller.bring_in(reads=True)
    new = caller.world.service.primary.revision
    if caller.service()["desiredCount"]:
        for _ in range(0, timeout, 10):
            if new in caller.running():
                break
            caller.clock.advance(10)
        else:
            return False
    for _ in range(0, timeout, 2):
        if len(caller.service()["deployments"]) == 1:
            return True
        caller.clock.advance(2)
    return False


def fabfuel(caller: Caller, _dice: random.Random) -> bool:
    """The command line in Python: a second after each poll."""
    caller.bring_in(reads=True)
    caller.service()
    while caller.elapsed() < caller.world.scenario.timeout:
        service = caller.service()
        if service["deployments"][0]["rolloutState"] == "FAILED":
            return False
        if len(service["deployments"]) == 1 and len(caller.running()) == service["desiredCount"]:
            caller.call("DeregisterTaskDefinition", {"taskDefinition": f"{FAMILY}:1"})
            return True
        caller.clock.advance(1)
    return False


def aws_cli(caller: Caller, _dice: random.Random) -> bool:
    """AWS's command line: every 15 s, 40 times."""
    caller.bring_in(reads=False)
    for _ in range(_MOST_POLLS_OF_THE_CLI):
        if _is_stable(caller.service()):
            return True
        caller.clock.advance(15)
    return False


def action(caller: Caller, dice: random.Random) -> bool:
    """The GitHub action: 15 s at first, then up to 120."""
    caller.call("DescribeServices", {"cluster": CLUSTER, "services": [SERVICE]})
    caller.bring_in(reads=False)
    made, longest = caller.world.service.primary.id, 15
    while caller.elapsed() < _MINUTES_OF_THE_ACTION * 60:
        if _is_stable(caller.service()):
            states = {each["id"]: each["rolloutState"] for each in caller.service()["deployments"]}
            return bool(states.get(made, "FAILED") != "FAILED")
        caller.clock.advance(dice.uniform(15, longest) if longest <= 120 else 120)
        longest *= 2
    return False


def ecspresso(caller: Caller, _dice: random.Random) -> bool:
    """ecspresso: every 15 s for ten minutes, and the status to show every 10 s."""
    caller.service()
    caller.bring_in(reads=False)
    caller.clock.advance(3)
    since = caller.elapsed()
    while (waited := caller.elapsed() - since) < _MINUTES_OF_ECSPRESSO * 60:
        if waited % 15 == 0 and _is_stable(caller.service()):
            caller.clock.advance(3)
            caller.service()
            return True
        if waited and waited % 10 == 0:
            caller.service()
        caller.clock.advance(5)
    return False


def _is_stable(service: Document) -> bool:
    """What AWS's waiters call stable, whichever revision it is."""
    return len(service["deployments"]) == 1 and service["runningCount"] == service["desiredCount"]


PEERS: dict[str, Callable[[Caller, random.Random], bool]] = {
    SCRIPT: script,
    FABFUEL: fabfuel,
    AWS_CLI: aws_cli,
    ACTION: action,
    ECSPRESSO: ecspresso,
}


def measure() -> list[Measured]:
    """Run every deployer in every scenario, `TIMES` times, each a little sooner or later."""
    dice = random.Random(1)
    measured = []
    for scenario in SCENARIOS:
        for number in range(TIMES):
            moved = scenario.moved(dice.uniform(-MOVED_BY, MOVED_BY) if scenario.ends_well else dice.uniform(0, 5))
            measured += [_replay(moved, name, dice) for name in PEERS]
            measured += _ours(moved, number)
    return measured


def _replay(scenario: Scenario, deployer: str, dice: random.Random) -> Measured:
    clock = Clock()
    world, started = scenario.world(clock), clock.now()
    succeeded = PEERS[deployer](Caller(world, clock), dice)
    return judged(world, deployer, started=started, ended=clock.now(), succeeded=succeeded)


def _ours(scenario: Scenario, number: int) -> Iterator[Measured]:
    """This deployer, with events and without."""
    for name, lost in ((OURS, 0), (LOST, 1)):
        clock = Clock()
        world, started = scenario.world(clock), clock.now()
        with _connected(world, clock):
            waits = Waits(world.model, clock, Delivery(lost=lost), seed=number)
            end = execute(_request(scenario), clock, name=f"{number}", wait=waits)
        yield judged(world, name, started=started, ended=clock.now(), succeeded=end.output is not None)


class Calls(NamedTuple):
    """The calls of one deployment without incident, but for one of each kind in each poll."""

    to_ecs: int
    to_table: int


MOST_CALLS = Calls(to_ecs=9, to_table=14)


def count_calls() -> Calls:
    """Deploy once to a service that was never deployed to, and count."""
    clock = Clock()
    world = next(each for each in SCENARIOS if each.ends_well).world(clock)
    with _connected(world, clock):
        end = execute(_request(world.scenario), clock)
    polls = (end.output or {})["polls"]
    to_table = len(world.model.called(*ACTIONS))
    return Calls(len(calls_to_ecs(world.model)) - polls, to_table - 2 * polls)


def _request(scenario: Scenario) -> Document:
    return {"cluster": CLUSTER, "service": SERVICE, "image": NEW_IMAGE, "timeout": scenario.timeout}


@contextmanager
def _connected(world: World, clock: Clock) -> Iterator[None]:
    """Let the handlers in this process call this world, on its clock, and say nothing."""
    settings = {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": REGION,
        "TABLE": TABLE,
    }
    runtime.logger.setLevel("CRITICAL")
    with (
        serve(world.model) as endpoint,
        mock.patch.dict(os.environ, settings | {"AWS_ENDPOINT_URL": endpoint}),
        mock.patch.object(runtime, "now", clock.now),
        mock.patch.object(targets, "served", tuple),
        redirect_stdout(io.StringIO()),
    ):
        for service in (dynamodb, ecr, ecs, stepfunctions):
            service.connect.cache_clear()
        yield
