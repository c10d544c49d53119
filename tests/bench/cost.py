"""What a deployment of five minutes costs, from executions on the emulator that take five minutes.

The rollouts take as long as they say, and the workflow waits as long as it does on AWS. Counted is what is billed:
states that were entered and steps that were retried, that of the claim among them; requests of the functions and their
seconds times their memory; and the events that tell of it.
"""

import itertools
import json
import math
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from local import images
from local.cloud import Cloud, LocalCloud
from tests.bench.startup import MEGABYTES_OF_A_CPU

# The execution that claims the event enters one.
STATES_OF_A_CLAIM = 1
# The emulator starts the first of two tasks alone, and then the other.
START_SECONDS = 147
ROLLOUT_SECONDS = 2 * START_SECONDS
CLUSTER = "production1"
NEW, KNOWN = "first", "next"
MOST_DOLLARS = 0.002
_LOOK_EVERY = 2.0
_LONGEST = 3 * ROLLOUT_SECONDS


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for one unit, in us-east-1 where the region matters, and where it is written."""

    of: str
    dollars: float
    page: str


TRANSITION = Price("state transition", 0.025 / 1000, "https://aws.amazon.com/step-functions/pricing/")
REQUEST = Price("request", 0.20 / 1e6, "https://aws.amazon.com/lambda/pricing/")
GB_SECOND = Price("GB-second on arm64", 0.0000133334, "https://aws.amazon.com/lambda/pricing/")
EVENT = Price("event", 1.00 / 1e6, "https://aws.amazon.com/eventbridge/pricing/")
RUNNER_MINUTE = Price(
    "minute of a Linux runner",
    0.006,
    "https://docs.github.com/en/billing/reference/actions-runner-pricing",
)
PIPELINE_MINUTE = Price("minute of an action (V2)", 0.002, "https://aws.amazon.com/codepipeline/pricing/")
LOG_GIGABYTE = Price("GB of logs", 0.50, "https://aws.amazon.com/cloudwatch/pricing/")
PRICES = (TRANSITION, REQUEST, GB_SECOND, EVENT, LOG_GIGABYTE, RUNNER_MINUTE, PIPELINE_MINUTE)
PRICES_NOTED = "November 2026"


@dataclass(frozen=True, slots=True)
class Bill:
    """What one execution is billed by, and how long it took; `acted` is from the push to the update, in seconds."""

    name: str
    transitions: int
    requests: int
    events: int
    gb_seconds: float
    polls: int
    seconds: float
    acted: float
    history_bytes: int

    @property
    def dollars(self) -> float:
        return (
            self.transitions * TRANSITION.dollars
            + self.requests * REQUEST.dollars
            + self.events * EVENT.dollars
            + self.gb_seconds * GB_SECOND.dollars
        )

    @property
    def dollars_of_logs(self) -> float:
        """What the state machine's own log adds, which tells every event with its data."""
        return self.history_bytes / 1e9 * LOG_GIGABYTE.dollars

    @property
    def minutes(self) -> int:
        """What a runner or an action that waits as long is billed."""
        return math.ceil(self.seconds / 60)


class DeploymentFailedError(Exception):
    """An execution did not end as it must."""


def measure(is_up: threading.Event) -> list[Bill]:
    """Deploy to a service of which nothing is known, and to one whose last rollout is known; both at once.

    Sets `is_up` when the emulator is, or will never be.
    """
    targets = [{"repository": name, "tags": ["v*"], "cluster": CLUSTER, "service": name} for name in (NEW, KNOWN)]
    with ExitStack() as running:
        running.callback(is_up.set)
        cloud = running.enter_context(LocalCloud(targets, start_seconds=START_SECONDS, enforce=True))
        is_up.set()
        _create_services(cloud)
        pushed = {name: _push(cloud, name, "v2") for name in (NEW, KNOWN)}
        return [_bill(cloud, name, pushed[name]) for name in (NEW, KNOWN)]


def _push(cloud: Cloud, name: str, tag: str) -> float:
    images.push(cloud.client("ecr"), name, tag)
    return time.time()


def _create_services(cloud: Cloud) -> None:
    ecs = cloud.client("ecs")
    ecs.create_cluster(clusterName=CLUSTER)
    for name in (NEW, KNOWN):
        image = images.push(cloud.client("ecr"), name, "1").image
        tags = {"ecs-deploy:proof": f"{name}:1 stable", "ecs-deploy:seconds": f"{ROLLOUT_SECONDS}+2"}
        ecs.register_task_definition(
            family=name,
            containerDefinitions=[{"name": "app", "image": image, "memory": 64, "essential": True}],
            tags=[{"key": key, "value": value} for key, value in tags.items() if name == KNOWN],
        )
        ecs.create_service(cluster=CLUSTER, serviceName=name, taskDefinition=name, desiredCount=2)

    def are_stable() -> bool:
        services = ecs.describe_services(cluster=CLUSTER, services=[NEW, KNOWN])["services"]
        return all(each["deployments"][0]["rolloutState"] == "COMPLETED" for each in services)

    _wait_until(are_stable)


def _bill(cloud: Cloud, name: str, pushed: float) -> Bill:
    states = cloud.client("stepfunctions")
    listed = states.list_executions(stateMachineArn=cloud.state_machine)["executions"]
    described = (states.describe_execution(executionArn=each["executionArn"]) for each in listed)
    arn = next(each["executionArn"] for each in described if json.loads(each["input"])["service"] == name)
    _wait_until(lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING")
    end = states.describe_execution(executionArn=arn)
    outcome = json.loads(end.get("output") or "{}")
    if outcome.get("outcome") != "DEPLOYED":
        raise DeploymentFailedError(f"{name}: {end['status']} {end.get('cause')}")
    pages = states.get_paginator("get_execution_history").paginate(executionArn=arn)
    return billed(name, [event for page in pages for event in page["events"]], pushed, outcome["polls"])


def billed(name: str, events: list[dict[str, Any]], pushed: float, polls: int) -> Bill:
    """Read the bill of an execution from its history."""
    entered = [event for event in events if event["type"].endswith("StateEntered")]
    tried = [event for event in events if event["type"] == "TaskScheduled"]
    retries = len(tried) - sum(event["type"] == "TaskStateEntered" for event in entered)
    requests = [event for event in tried if event["taskScheduledEventDetails"]["resourceType"] == "lambda"]
    ran = sum(
        (after["timestamp"] - before["timestamp"]).total_seconds()
        for before, after in itertools.pairwise(events)
        if before in requests
    )
    updated = next(
        event["timestamp"].timestamp()
        for event in events
        if event["type"] == "TaskStateExited" and event["stateExitedEventDetails"]["name"] == "UpdateService"
    )
    return Bill(
        name=name,
        transitions=len(entered) + retries + STATES_OF_A_CLAIM,
        requests=len(requests),
        events=len(tried) - len(requests),
        gb_seconds=ran * MEGABYTES_OF_A_CPU / 1024,
        polls=polls,
        seconds=(events[-1]["timestamp"] - events[0]["timestamp"]).total_seconds(),
        acted=updated - pushed,
        history_bytes=len(json.dumps(events, default=str)),
    )


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LONGEST
    while not is_so():
        if time.monotonic() > deadline:
            raise DeploymentFailedError(f"nothing happened within {_LONGEST} seconds")
        time.sleep(_LOOK_EVERY)
