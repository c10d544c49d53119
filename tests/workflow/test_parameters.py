"""The parameter of a target on the emulator: written after a success, and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.workflow.conftest import WRITTEN, eventually
from tests.workflow.deployer import Deployer

if TYPE_CHECKING:
    from local.cloud import Cloud
    from tests.workflow.conftest import Service


def test_a_success_is_written(cloud: Cloud, written: Service) -> None:
    service = written
    parameters, deployer = cloud.client("ssm"), Deployer(cloud)

    def value() -> str:
        found = parameters.get_parameters(Names=[WRITTEN["parameter"]])["Parameters"]
        return str(found[0]["Value"]) if found else ""

    with deployer.new(service.name) as executions:
        image = service.push("v2")
    assert executions[0]["output"]["outcome"] == "DEPLOYED"
    eventually(lambda: service.by_tag(value()) == image)
    with deployer.new(service.name) as executions:
        service.push("v3", "crash")
    assert executions[0]["error"] == "DeploymentFailed"
    with deployer.new(service.name) as executions:
        newest = service.push("v4")
    assert executions[0]["output"]["outcome"] == "DEPLOYED"
    eventually(lambda: service.by_tag(value()) == newest)
