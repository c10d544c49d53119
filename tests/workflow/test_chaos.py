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

from ecs_deploy.core.formats import family
from tests.support.chaos import Chaos, proxy
from tests.workflow.conftest import Service, created, eventually, local_up, ready, target_of
from tests.workflow.deployer import Deployer, losing_events
from tests.workflow.mailbox import Mailbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cloud import Cloud

SEED = 1
SERVICES, PUSHES, COPIES = 20, 3, 2
FAULTS, LONGEST_DELAY = 0.25, 0.2
TARGETS = [target_of(f"app-{number}", f"app-{number}") for number in range(1, SERVICES + 1)]
QUICK = ("--wait-scale", "0.05", "--start-seconds", "0.2", "--enforce")
# Functions that run at a time, of each: more would only wait for this machine. Lambda throttles the others, which come
# again as the workflow says.
CONCURRENCY = 16


@dataclass(frozen=True)
class Aftermath:
    """What is left when it is over."""

    services: list[Service]
    executions: list[dict[str, Any]]
    chaos: Chaos


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    directory = tmp_path_factory.mktemp("chaos")
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
        deployer, services = Deployer(cloud), create_services(cloud)
        deliveries = pushed(cloud, services) * COPIES
        random.Random(SEED).shuffle(deliveries)
        for event in deliveries:
            deployer.send(event)
        yield Aftermath(services, ended(deployer), chaos)


def create_services(cloud: Cloud) -> list[Service]:
    """Make the services of the targets, and let Lambda run only so many functions at once."""
    for name in cloud.functions.values():
        cloud.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=CONCURRENCY)
    with ThreadPoolExecutor(SERVICES) as pool:
        made = pool.map(lambda each: created(cloud, each["cluster"], each["service"], 2), TARGETS)
        return list(made)


def pushed(cloud: Cloud, services: list[Service]) -> list[str]:
    """Push to each service, and to each again and again; gives the events, which start nothing yet."""
    mailbox = Mailbox(cloud, "pushes")
    mailbox.listen(cloud, "pushes", "aws.ecr")
    with losing_events(cloud, "Push"):
        for number in range(1, PUSHES + 1):
            # The time of an event has no more than whole seconds.
            time.sleep(1.1)
            for service in services:
                service.push(f"v{number}")
    return eventually(lambda: found if len(found := mailbox.receive()) == len(services) * PUSHES else [])


def ended(deployer: Deployer) -> list[dict[str, Any]]:
    """The executions, when all have ended and nothing is left to be dispatched."""

    def is_over() -> bool:
        is_begun = len(deployer.all()) >= SERVICES * PUSHES
        return is_begun and not deployer.all(statusFilter="RUNNING") and deployer.dispatched()

    eventually(is_over, seconds=300)
    return [deployer.ended(arn) for arn in deployer.all()]


def revisions(service: Service) -> list[dict[str, str]]:
    """The tags of the revisions that the deployer registered for a service."""
    arns = service.ecs.list_task_definitions(familyPrefix=service.name)["taskDefinitionArns"]
    ours = [arn for arn in arns if family(arn) == service.name]
    tags = (service.ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"]).get("tags", ()) for arn in ours)
    read = [{tag["key"]: tag["value"] for tag in each} for each in tags]
    return [each for each in read if each]


def test_every_service_runs_the_newest_push(aftermath: Aftermath) -> None:
    for service in aftermath.services:
        service.wait_stable()
    newest = [f"/{service.repository}:v{PUSHES}" for service in aftermath.services]
    runs = [service.images()[0] for service in aftermath.services]
    assert [image for image, wanted in zip(runs, newest, strict=True) if not image.endswith(wanted)] == []


def test_every_execution_ends_well_and_no_event_starts_two(aftermath: Aftermath) -> None:
    assert len(aftermath.executions) == SERVICES * PUSHES
    assert [each.get("cause") for each in aftermath.executions if each["status"] != "SUCCEEDED"] == []
    assert {each["output"]["outcome"] for each in aftermath.executions} <= {"DEPLOYED", "SUPERSEDED"}


def test_no_push_has_two_revisions(aftermath: Aftermath) -> None:
    for service in aftermath.services:
        registered = Counter(tags["ecs-deploy:request"] for tags in revisions(service))
        assert max(registered.values()) == 1, f"{service.name}: {registered}"


def test_there_was_chaos(aftermath: Aftermath) -> None:
    for action in ("DescribeServices", "DescribeTaskDefinition", "RegisterTaskDefinition", "UpdateService"):
        fates = {fate for each, fate in aftermath.chaos.seen if each == action}
        assert len(fates) >= 4, f"{action}: {aftermath.chaos.seen}"
