"""Beside Terraform, by the calls that its AWS provider makes: docs/terraform.md, each way that it names.

A changed `aws_ecs_task_definition` is replaced: DeregisterTaskDefinition of the revision that it made before, then
RegisterTaskDefinition. A changed `aws_ecs_service` is one UpdateService with what differs from what DescribeServices
shows, and TagResource for its tags:
https://github.com/hashicorp/terraform-provider-aws/tree/main/internal/service/ecs (task_definition.go, service.go)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.workflow.conftest import WRITTEN, Service, eventually
from tests.workflow.deployer import Deployer

if TYPE_CHECKING:
    from local.cloud import Cloud


class Terraform:
    """A configuration of a service, and what was applied of it."""

    def __init__(self, service: Service, image: str) -> None:
        self.service = service
        self.revision = service.primary()["taskDefinition"]
        self.config: dict[str, Any] = {"image": image, "memory": runs(service)[1]}
        self.applied = dict(self.config)

    def apply(self, *, ignored: bool = False, desired: int = 0, **changes: Any) -> None:
        """Apply changes; with `ignored` the service does not follow its task definition."""
        self.config |= changes
        ecs = self.service.ecs
        if self.config != self.applied:
            ecs.deregister_task_definition(taskDefinition=self.revision)
            container = {"name": "web", "essential": True, **self.config}
            sidecar = {"name": "sidecar", "image": "envoyproxy/envoy:v1.30", "essential": False, "memory": 64}
            made = ecs.register_task_definition(family=self.service.name, containerDefinitions=[container, sidecar])
            self.revision, self.applied = made["taskDefinition"]["taskDefinitionArn"], dict(self.config)
        runs = self.service.describe()
        more: dict[str, Any] = {}
        if not ignored and runs["taskDefinition"] != self.revision:
            more["taskDefinition"] = self.revision
        if desired and runs["desiredCount"] != desired:
            more["desiredCount"] = desired
        if more:
            ecs.update_service(cluster=self.service.cluster, service=self.service.name, **more)
            self.service.wait_stable()


@pytest.fixture
def deployer(cloud: Cloud) -> Deployer:
    return Deployer(cloud)


def runs(service: Service) -> tuple[str, int]:
    """The image of the container that is pushed, by its tag, and its memory."""
    revision = service.ecs.describe_task_definition(taskDefinition=service.primary()["taskDefinition"])
    web = revision["taskDefinition"]["containerDefinitions"][0]
    return service.by_tag(web["image"]), web["memory"]


def push(deployer: Deployer, service: Service, tag: str) -> str:
    """Push, and wait until it is deployed; gives the image."""
    with deployer.new(service.name) as executions:
        image = service.push(tag)
    assert executions[0]["output"]["outcome"] == "DEPLOYED"
    return image


def test_the_image_is_read_from_the_parameter(cloud: Cloud, written: Service, deployer: Deployer) -> None:
    def parameter() -> str:
        found = cloud.client("ssm").get_parameters(Names=[WRITTEN["parameter"]])["Parameters"]
        return str(found[0]["Value"]) if found else ""

    image = push(deployer, written, "v10")
    eventually(lambda: written.by_tag(parameter()) == image)
    terraform = Terraform(written, parameter())
    # Their change, and our image.
    terraform.apply(image=parameter(), memory=256)
    assert runs(written) == (image, 256)
    # Our image, and their change.
    newer = push(deployer, written, "v11")
    assert runs(written) == (newer, 256)
    # A run with nothing new in it brings nothing back.
    eventually(lambda: written.by_tag(parameter()) == newer)
    terraform.apply(image=parameter())
    assert runs(written) == (newer, 256)


def test_the_service_ignores_its_task_definition(written: Service, deployer: Deployer) -> None:
    terraform = Terraform(written, f"{written.cloud.registry}/{written.repository}:1")
    image, memory = push(deployer, written, "v20"), terraform.config["memory"]
    terraform.apply(ignored=True, desired=1)
    assert runs(written) == (image, memory)
    # Their newer definition waits for whoever deploys it; the revision in use before is INACTIVE by then.
    terraform.apply(ignored=True, memory=300)
    assert runs(written) == (image, memory)
    newer = push(deployer, written, "v21")
    assert runs(written) == (newer, memory)
    revision = terraform.revision.rpartition("/")[2]
    where = {"cluster": written.cluster, "service": written.name}
    assert deployer.start({**where, "revision": revision})["output"]["outcome"] == "DEPLOYED"
    # It has the image that Terraform knows; the next deployment has both.
    assert deployer.start({**where, "image": newer})["output"]["outcome"] == "DEPLOYED"
    assert runs(written) == (newer, 300)


def test_a_newer_definition_of_theirs_becomes_the_base(written: Service, deployer: Deployer) -> None:
    terraform = Terraform(written, f"{written.cloud.registry}/{written.repository}:1")
    push(deployer, written, "v22")
    # Without any of these ways, a run brings back the image that it knows ...
    terraform.apply(memory=400)
    assert runs(written) == (f"{written.cloud.registry}/{written.repository}:1", 400)
    # ... until the next push, which keeps what else it has changed.
    image = push(deployer, written, "v23")
    assert runs(written) == (image, 400)
