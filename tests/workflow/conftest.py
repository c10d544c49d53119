"""One emulator for all tests, started as a user starts it: by the command line.

Nothing here waits for a time to pass, only for a state to be reached; the deadlines are for what never comes.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from local import images
from local.cloud import Cloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.images import Behaviour

T = TypeVar("T")

ROOT = Path(__file__).parents[2]

DEADLINE_SECONDS = 120.0

# One for each test that deploys, since a service remembers what was deployed to it.
TARGETS: list[dict[str, Any]] = [
    {"repository": f"app-{number}", "tags": ["v*"], "cluster": "production1", "service": f"app-{number}"}
    for number in range(1, 31)
]

# One that nobody takes without meaning it.
WRITTEN: dict[str, Any] = {
    "repository": "written",
    "tags": ["v*"],
    "cluster": "production1",
    "service": "written",
    "parameter": "/written/image",
}
TARGETS.append(WRITTEN)

QUICK = ("--wait-scale", "0.2", "--start-seconds", "0.2", "--enforce")


def eventually(look: Callable[[], T], *, seconds: float = DEADLINE_SECONDS) -> T:
    """Look until there is something to see; gives what was seen."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not seen within {seconds} seconds"
        time.sleep(0.05)
    return seen


def run_local(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `python -m local` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def local_up(log: Path, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m local up` while the block runs; its standard error goes to a file."""
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "local", "up", *arguments],
            cwd=ROOT,
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def ready(process: subprocess.Popen[str], log: Path) -> Cloud:
    """Wait for the line that says how to reach an emulator."""
    assert process.stdout
    line = process.stdout.readline()
    assert line, log.read_text()[-4000:]
    return Cloud(**json.loads(line))


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The emulator with the stack, which serves `TARGETS`. Waits take a fifth of their time."""
    directory = tmp_path_factory.mktemp("cloud")
    targets = directory / "targets.json"
    targets.write_text(json.dumps(TARGETS))
    log = directory / "up.log"
    with local_up(log, "--targets", str(targets), *QUICK) as process:
        yield ready(process, log)


@dataclass(frozen=True)
class Service:
    """A service of the emulator's ECS, and what a test does with it."""

    cloud: Cloud
    ecs: Any
    cluster: str
    name: str
    repository: str

    def push(self, tag: str, behaviour: Behaviour = "run") -> str:
        """Push an image; gives its reference."""
        return images.push(self.cloud.client("ecr"), self.repository, tag, behaviour).image

    def register(self, image: str, **members: object) -> str:
        """Register a revision; gives its ARN."""
        containers = [
            {"name": "web", "image": image, "essential": True, "memory": 128},
            {"name": "sidecar", "image": "envoyproxy/envoy:v1.30", "essential": False, "memory": 64},
        ]
        answer = self.ecs.register_task_definition(family=self.name, containerDefinitions=containers, **members)
        arn: str = answer["taskDefinition"]["taskDefinitionArn"]
        return arn

    def describe(self) -> dict[str, Any]:
        """The service as DescribeServices shows it."""
        found: dict[str, Any] = self.ecs.describe_services(cluster=self.cluster, services=[self.name])["services"][0]
        return found

    def update(self, revision: str) -> dict[str, Any]:
        """Deploy a revision; gives the service as UpdateService answers."""
        answer: dict[str, Any] = self.ecs.update_service(
            cluster=self.cluster, service=self.name, taskDefinition=revision
        )["service"]
        return answer

    def primary(self) -> dict[str, Any]:
        """The primary deployment."""
        return next(one for one in self.describe()["deployments"] if one["status"] == "PRIMARY")

    def wait(self, look: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until the service is as asked for; gives it."""
        return eventually(lambda: service if look(service := self.describe()) else None) or {}

    def wait_stable(self) -> dict[str, Any]:
        """Wait until there is one deployment, completed."""
        return self.wait(lambda service: [one["rolloutState"] for one in service["deployments"]] == ["COMPLETED"])

    def stopped_tasks(self) -> list[dict[str, Any]]:
        """The tasks that have stopped."""
        arns = self.ecs.list_tasks(cluster=self.cluster, serviceName=self.name, desiredStatus="STOPPED")["taskArns"]
        found: list[dict[str, Any]] = self.ecs.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"] if arns else []
        return found


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """Numbers for names that no other test has."""
    return itertools.count(1)


@pytest.fixture
def create_service(cloud: Cloud, numbers: Iterator[int]) -> Callable[..., Service]:
    """Make a service that no target names."""

    def create(*, desired: int = 2, breaker: bool = False) -> Service:
        return created(cloud, "emulator", f"service-{next(numbers)}", desired, breaker=breaker)

    return create


@pytest.fixture(scope="session")
def unused_targets() -> Iterator[dict[str, Any]]:
    """The targets that no test has deployed to."""
    return iter(TARGETS)


@pytest.fixture(scope="session")
def written(cloud: Cloud) -> Service:
    """The service whose image is written to a parameter; more than one test deploys to it."""
    return created(cloud, WRITTEN["cluster"], WRITTEN["service"], 2, breaker=False)


@pytest.fixture
def create_target(cloud: Cloud, unused_targets: Iterator[dict[str, Any]]) -> Callable[..., Service]:
    """Make the service of a target."""

    def create(*, desired: int = 2, breaker: bool = False) -> Service:
        target = next(unused_targets)
        return created(cloud, target["cluster"], target["service"], desired, breaker=breaker)

    return create


def created(cloud: Cloud, cluster: str, name: str, desired: int, *, breaker: bool) -> Service:
    """Make a service that runs the image `:1` of a repository of its own, and wait until it is stable."""
    ecs = cloud.client("ecs")
    service = Service(cloud, ecs, cluster, name, name)
    ecs.create_cluster(clusterName=cluster)
    ecs.create_service(
        cluster=cluster,
        serviceName=name,
        taskDefinition=service.register(service.push("1")),
        desiredCount=desired,
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": breaker, "rollback": breaker}},
    )
    service.wait_stable()
    return service
