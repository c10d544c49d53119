"""One emulator with real containers, and services on it whose images came by `docker push`."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.docker import Container, containers, docker, missing, push_image
from tests.workflow.conftest import eventually, local_up, ready
from tests.workflow.deployer import Deployer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cloud import Cloud

CLUSTER = "production1"
REPOSITORIES = [f"doorman-{number}" for number in range(1, 7)]
TARGETS = [{"repository": name, "tags": ["v*"], "cluster": CLUSTER, "service": name} for name in REPOSITORIES]
LOG_GROUP = "/ecs/doorman"

# A shell as the first process of a container ignores SIGTERM unless it is told what to do.
RUNS = "trap 'exit 0' TERM; echo started {version}; while :; do sleep 0.2; done"
CRASHES = "echo fatal: no database; exit 3"


def pytest_sessionstart() -> None:
    """Refuse to start without what is needed: tests that were skipped look like tests that passed."""
    if problem := missing():
        pytest.exit(problem, returncode=1)


@dataclass(frozen=True)
class RealService:
    """A service of the emulator's ECS whose tasks are containers of the engine."""

    cloud: Cloud
    ecs: Any
    name: str
    instance: str

    def push(self, tag: str, script: str = RUNS) -> str:
        """Push an image with `docker push`; gives its id in the engine."""
        return push_image(f"{self.registry}/{self.name}:{tag}", script.format(version=tag))

    @property
    def registry(self) -> str:
        """The address of the emulator's ECR for the engine."""
        return self.cloud.endpoint.partition("://")[2]

    def image(self, tag: str) -> str:
        """Name an image as ECR does."""
        return f"{self.cloud.registry}/{self.name}:{tag}"

    def create(self, tag: str, desired: int = 2) -> str:
        """Create the service, wait until it is stable, and give its revision."""
        options = {"awslogs-group": LOG_GROUP, "awslogs-stream-prefix": "ecs", "awslogs-create-group": "true"}
        container: dict[str, Any] = {
            "name": "web",
            "image": self.image(tag),
            "essential": True,
            "memory": 64,
            "logConfiguration": {"logDriver": "awslogs", "options": options},
        }
        made = self.ecs.register_task_definition(family=self.name, containerDefinitions=[container])["taskDefinition"]
        self.ecs.create_cluster(clusterName=CLUSTER)
        self.ecs.create_service(cluster=CLUSTER, serviceName=self.name, taskDefinition=self.name, desiredCount=desired)
        eventually(lambda: self.primary()["rolloutState"] == "COMPLETED")
        revision: str = made["taskDefinitionArn"]
        return revision

    def primary(self) -> dict[str, Any]:
        """The primary deployment."""
        service = self.ecs.describe_services(cluster=CLUSTER, services=[self.name])["services"][0]
        return next(one for one in service["deployments"] if one["status"] == "PRIMARY")

    def containers(self) -> list[Container]:
        """The containers of the service's tasks in the engine."""
        family = {"com_amazonaws_ecs_task-definition-family": self.name}
        return containers(ministack="ecs", ministack_instance=self.instance, **family)

    def running(self) -> list[str]:
        """The images of the containers that run, an image once for each."""
        return [each.image for each in self.containers() if each.status == "running"]


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The emulator with the stack and the engine; afterwards nothing of it is left in the engine."""
    directory = tmp_path_factory.mktemp("cloud")
    targets = directory / "targets.json"
    targets.write_text(json.dumps(TARGETS))
    log = directory / "up.log"
    with local_up(log, "--targets", str(targets), "--wait-scale", "0.2", "--enforce", "--docker") as process:
        cloud = ready(process, log)
        yield cloud
    registry = cloud.endpoint.partition("://")[2]
    if names := docker("image", "ls", "--quiet", f"--filter=reference={registry}/*").split():
        docker("image", "rm", "--force", *sorted(set(names)))
    assert containers(ministack="ecs", ministack_instance=instance_of(cloud)) == []


def instance_of(cloud: Cloud) -> str:
    """The name by which an emulator labels its containers: others may use the same engine."""
    return f"{socket.gethostname()}:{cloud.endpoint.rpartition(':')[2]}"


@pytest.fixture
def deployer(cloud: Cloud) -> Deployer:
    return Deployer(cloud)


@pytest.fixture(scope="session")
def unused() -> Iterator[str]:
    """The repositories that no test has used."""
    return iter(REPOSITORIES)


@pytest.fixture
def service(cloud: Cloud, unused: Iterator[str]) -> RealService:
    """A target's service, not created yet, whose repository is empty."""
    name = next(unused)
    cloud.client("ecr").create_repository(repositoryName=name)
    return RealService(cloud, cloud.client("ecs"), name, instance_of(cloud))
