"""Pushes that come all at once, twice, and in any order, while ECS delays, refuses, and loses requests and answers.

The push events are real ones. EventBridge promises to deliver an event at least once, and no order; here it holds all
of them back, and then delivers each of them twice, shuffled: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-troubleshooting.html
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from ecs_deploy.notation import family
from tests.infra.eventbridge import matches, render
from tests.support.chaos import Chaos, proxy
from tests.workflow.conftest import Service, created, eventually, local_up, ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cloud import Cloud

SEED = 1
SERVICES, PUSHES, COPIES = 20, 3, 2
FAULTS, LONGEST_DELAY = 0.15, 0.2
TARGETS: list[dict[str, Any]] = [
    {"repository": f"app-{number}", "tags": ["v*"], "cluster": "production1", "service": f"app-{number}"}
    for number in range(1, SERVICES + 1)
]
QUICK = ("--wait-scale", "0.05", "--start-seconds", "0.2", "--enforce")
# Functions that run at a time, of each: more would only wait for this machine. Lambda throttles the others, which come
# again as the workflow says.
CONCURRENCY = 16


@dataclass(frozen=True)
class Storm:
    """What is left when it is over."""

    services: list[Service]
    executions: list[dict[str, Any]]
    chaos: Chaos


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    directory = tmp_path_factory.mktemp("storm")
    targets = directory / "targets.json"
    targets.write_text(json.dumps(TARGETS))
    log = directory / "up.log"
    chaos = Chaos(SEED, FAULTS, LONGEST_DELAY)
    with (
        proxy(chaos) as endpoint,
        local_up(log, "--targets", str(targets), *QUICK, AWS_ENDPOINT_URL_ECS=endpoint) as process,
    ):
        cloud = ready(process, log)
        chaos.upstream = cloud.endpoint
        services = create_services(cloud)
        deliveries = [each for event in pushed(cloud, services) for each in started_by(cloud, event)] * COPIES
        random.Random(SEED).shuffle(deliveries)
        deliver(cloud, deliveries)
        yield Storm(services, ended(cloud), chaos)


def create_services(cloud: Cloud) -> list[Service]:
    """Make the services of the targets, and let Lambda run only so many functions at once."""
    for name in cloud.functions.values():
        cloud.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=CONCURRENCY)
    with ThreadPoolExecutor(SERVICES) as pool:
        made = pool.map(lambda each: created(cloud, each["cluster"], each["service"], 2, breaker=False), TARGETS)
        return list(made)


def pushed(cloud: Cloud, services: list[Service]) -> list[dict[str, Any]]:
    """Push to each service, and to each again and again; gives the events, which start nothing yet."""
    events, queues = cloud.client("events"), cloud.client("sqs")
    for rule in events.list_rules()["Rules"]:
        events.disable_rule(Name=rule["Name"])
    queue = queues.create_queue(QueueName="pushes")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="pushes", EventPattern=json.dumps({"source": ["aws.ecr"]}))
    events.put_targets(Rule="pushes", Targets=[{"Id": "queue", "Arn": arn}])
    for number in range(1, PUSHES + 1):
        # The time of an event has no more than whole seconds.
        time.sleep(1.1)
        for service in services:
            service.push(f"v{number}")
    found: list[dict[str, Any]] = []
    while len(found) < len(services) * PUSHES:
        messages = queues.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=5)["Messages"]
        for message in messages:
            found.append(json.loads(message["Body"]))
            queues.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return found


def started_by(cloud: Cloud, event: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The executions that the stack's rules start for an event."""
    events = cloud.client("events")
    for rule in events.list_rules()["Rules"]:
        if rule["State"] == "DISABLED" and matches(json.loads(rule["EventPattern"]), event):
            for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                yield {"stateMachineArn": target["Arn"], "input": render(target["InputTransformer"], event)}


def deliver(cloud: Cloud, deliveries: list[dict[str, str]]) -> None:
    """Start all of them, as many at once as this machine can."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: cloud.client("stepfunctions").start_execution(**each), deliveries))


def ended(cloud: Cloud) -> list[dict[str, Any]]:
    """The executions, when all have ended."""
    states = cloud.client("stepfunctions")

    def look() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = states.list_executions(stateMachineArn=cloud.state_machine)["executions"]
        return [] if any(each["status"] == "RUNNING" for each in found) else found

    return [states.describe_execution(executionArn=each["executionArn"]) for each in eventually(look, seconds=300)]


def revisions(service: Service) -> list[dict[str, str]]:
    """The tags of the revisions that the deployer registered for a service."""
    arns = service.ecs.list_task_definitions(familyPrefix=service.name)["taskDefinitionArns"]
    ours = [arn for arn in arns if family(arn) == service.name]
    tags = (service.ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"]).get("tags", ()) for arn in ours)
    read = [{tag["key"]: tag["value"] for tag in each} for each in tags]
    return [each for each in read if each]


def test_every_service_runs_the_newest_push(storm: Storm) -> None:
    for service in storm.services:
        primary = service.wait_stable()["deployments"][0]
        definition = service.ecs.describe_task_definition(taskDefinition=primary["taskDefinition"])["taskDefinition"]
        assert definition["containerDefinitions"][0]["image"].endswith(f"/{service.repository}:v{PUSHES}")


def test_every_execution_ends_well(storm: Storm) -> None:
    assert len(storm.executions) == SERVICES * PUSHES * COPIES
    assert [each.get("cause") for each in storm.executions if each["status"] != "SUCCEEDED"] == []
    outcomes = Counter(json.loads(each["output"])["outcome"] for each in storm.executions)
    assert set(outcomes) <= {"DEPLOYED", "SUPERSEDED", "DUPLICATE"}


def test_no_push_has_two_revisions(storm: Storm) -> None:
    for service in storm.services:
        registered = Counter(tags["ecs-deploy:request"] for tags in revisions(service))
        assert max(registered.values()) == 1, f"{service.name}: {registered}"


def test_it_was_a_storm(storm: Storm) -> None:
    for action in ("DescribeServices", "DescribeTaskDefinition", "RegisterTaskDefinition", "UpdateService"):
        fates = {fate for each, fate in storm.chaos.seen if each == action}
        assert len(fates) >= 4, f"{action}: {storm.chaos.seen}"
