"""Three services as one on the emulator, by a push: the second fails, and all run what they ran before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.workflow.conftest import SHOP, Service, created, eventually
from tests.workflow.deployer import Deployer

if TYPE_CHECKING:
    from local.cloud import Cloud


@pytest.fixture
def shop(cloud: Cloud) -> list[Service]:
    return [created(cloud, each["cluster"], each["service"], 1, repository="shop") for each in SHOP]


def test_one_fails_and_all_return(cloud: Cloud, shop: list[Service]) -> None:
    deployer = Deployer(cloud)
    before, ran = deployer.all(), [digests(each) for each in shop]
    shop[0].push("v2")
    group = eventually(lambda: next((arn for arn in deployer.all() - before if _is_group(deployer, arn)), None)) or ""
    ended = deployer.ended(group)
    assert ended["error"] == "DeploymentFailed", ended
    message = ended["cause"]["message"]
    assert "production1/shop-2: " in message
    assert "after: the task that ran exit 3 failed" in message
    assert "Returned to what ran before: production1/shop-1." in message
    assert "production1/shop-3: not deployed" in message
    assert [digests(each) for each in shop] == ran
    names = sorted(each["outcome"] for each in _outcomes(deployer, before, group))
    # Three were checked, one was deployed, and returned.
    assert names == ["DEPLOYED", "DEPLOYED", "REHEARSED", "REHEARSED", "REHEARSED"]


def digests(service: Service) -> set[str]:
    """What the tasks of a service run."""
    service.wait_stable()
    arns = service.ecs.list_tasks(cluster=service.cluster, serviceName=service.name)["taskArns"]
    tasks = service.ecs.describe_tasks(cluster=service.cluster, tasks=arns)["tasks"]
    return {each["imageDigest"] for task in tasks for each in task["containers"] if each["name"] == "web"}


def _is_group(deployer: Deployer, arn: str) -> bool:
    request = deployer.states.describe_execution(executionArn=arn)["input"]
    return '"together"' in request and '"service"' not in request


def _outcomes(deployer: Deployer, before: set[str], group: str) -> list[dict[str, str]]:
    ends = [deployer.ended(arn) for arn in deployer.all() - before - {group}]
    return [each["output"] for each in ends if each["status"] == "SUCCEEDED" and "shop" in each["output"]["service"]]
