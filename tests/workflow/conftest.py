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
from concurrent.futures import ThreadPoolExecutor
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


def target_of(service: str, repository: str, **more: str) -> dict[str, Any]:
    """A target, as cdk.json has it."""
    return {"repository": repository, "tags": ["v*"], "cluster": "production1", "service": service, **more}


# One for each test that deploys, since a service remembers what was deployed to it. With all of them, the policy of a
# function is a single document, which test_permissions.py changes.
UNUSED = [target_of(f"app-{number}", f"app-{number}") for number in range(1, 26)]
MADE_TOGETHER = 7
# Three that are deployed as one. The second of them fails its test.
SHOP: list[dict[str, Any]] = [
    {**target_of(f"shop-{number}", "shop"), "together": "shop", "order": number} for number in (1, 2, 3)
]
SHOP[1]["after"] = {"command": ["exit", "3"]}
NOT_THERE = target_of("not-there", "not-there")
# Services whose sidecar is of a repository that deploys them as well.
PAIRS = [f"pair-{number}" for number in range(1, 4)]
# More than one test deploys to this one.
WRITTEN = target_of("written", "written", parameter="/written/image")
TARGETS = [
    *UNUSED,
    *(target_of(name, repository) for name in PAIRS for repository in (name, f"{name}-proxy")),
    WRITTEN,
    *SHOP,
    NOT_THERE,
]

QUICK = ("--wait-scale", "0.1", "--start-seconds", "0.2", "--enforce")


def eventually(read: Callable[[], T], *, seconds: float = DEADLINE_SECONDS) -> T:
    """Read until there is something; gives what was read."""
    deadline = time.monotonic() + seconds
    while not (found := read()):
        assert time.monotonic() < deadline, f"not there within {seconds} seconds"
        time.sleep(0.05)
    return found


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
    """The emulator with the stack, which serves `TARGETS`. Waits take a tenth of their time."""
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

    @property
    def key(self) -> str:
        """The service's name in the table."""
        return f"{self.cluster}/{self.name}"

    def push(self, tag: str, behaviour: Behaviour = "run", repository: str = "") -> str:
        """Push an image, of the service's own repository if no other is named; gives its reference."""
        return images.push(self.cloud.client("ecr"), repository or self.repository, tag, behaviour).image

    def register(self, image: str, sidecar: str = "envoyproxy/envoy:v1.30", **members: object) -> str:
        """Register a revision; gives its ARN."""
        containers = [
            {"name": "web", "image": image, "essential": True, "memory": 128},
            {"name": "sidecar", "image": sidecar, "essential": False, "memory": 64},
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

    def images(self) -> list[str]:
        """The images of the containers that the service is to run, by their tags where ECR has one."""
        revision = self.primary()["taskDefinition"]
        definition = self.ecs.describe_task_definition(taskDefinition=revision)["taskDefinition"]
        return [self.by_tag(container["image"]) for container in definition["containerDefinitions"]]

    def by_tag(self, image: str) -> str:
        """An image by its tag, where it has a digest and ECR has a tag for it."""
        name, _, digest = image.partition("@")
        if not digest or not name.startswith(self.cloud.registry):
            return image
        (found,) = self.cloud.client("ecr").describe_images(
            repositoryName=name.partition("/")[2], imageIds=[{"imageDigest": digest}]
        )["imageDetails"]
        return f"{name}:{found['imageTags'][0]}" if found.get("imageTags") else image

    def wait(self, is_there: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until the service is as it has to be; gives it."""
        return eventually(lambda: found if is_there(found := self.describe()) else None) or {}

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
def unused_services(cloud: Cloud) -> Iterator[Service]:
    """The services of targets that no test has deployed to; they are made some at a time, which mostly waits."""

    def make() -> Iterator[Service]:
        for start in range(0, len(UNUSED), MADE_TOGETHER):
            with ThreadPoolExecutor(MADE_TOGETHER) as pool:
                targets = UNUSED[start : start + MADE_TOGETHER]
                yield from list(pool.map(lambda each: created(cloud, each["cluster"], each["service"], 2), targets))

    return make()


@pytest.fixture
def service(unused_services: Iterator[Service]) -> Service:
    """The service of a target."""
    return next(unused_services)


@pytest.fixture(scope="session")
def written(cloud: Cloud) -> Service:
    """The service whose image is written to a parameter; more than one test deploys to it."""
    return created(cloud, WRITTEN["cluster"], WRITTEN["service"], 2)


@pytest.fixture(scope="session")
def unused_pairs() -> Iterator[str]:
    """The pairs that no test has deployed to."""
    return iter(PAIRS)


@pytest.fixture
def pair(cloud: Cloud, unused_pairs: Iterator[str]) -> Service:
    """The service of two targets, with a container for each."""
    return created(cloud, "production1", next(unused_pairs), 2, sidecar=True)


def created(
    cloud: Cloud, cluster: str, name: str, desired: int, *, breaker: bool = False, sidecar: bool = False,
    repository: str = "",
) -> Service:  # fmt: skip
    """Make a service that runs the image `:1` of a repository, of its own unless it is named, once it is stable.

    With `sidecar` that container has a repository of its own, too.
    """
    ecs = cloud.client("ecs")
    service = Service(cloud, ecs, cluster, name, repository or name)
    ecs.create_cluster(clusterName=cluster)
    beside = {"sidecar": service.push("1", repository=f"{name}-proxy")} if sidecar else {}
    ecs.create_service(
        cluster=cluster,
        serviceName=name,
        taskDefinition=service.register(service.push("1"), **beside),
        desiredCount=desired,
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": breaker, "rollback": breaker}},
    )
    service.wait_stable()
    return service
