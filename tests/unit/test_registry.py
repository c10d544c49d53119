"""ECR's private registries are known by their host names; all others are not ECR."""

from typing import Any

import pytest
from botocore.loaders import Loader

from ecs_deploy.core.environment import Environment
from ecs_deploy.core.registry import Ecr, ecr, host_of

ACCOUNT = "123456789012"
PARTITIONS: list[dict[str, Any]] = Loader().load_data("endpoints")["partitions"]


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com",
        "123456789012.dkr-ecr.eu-west-1.on.aws",
        "123456789012.dkr-ecr-fips.eu-west-1.on.aws",
    ],
)
def test_private_registries(host: str) -> None:
    assert ecr(host) == Ecr(ACCOUNT, "eu-west-1")


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
    ],
)
def test_china(host: str) -> None:
    assert ecr(host) == Ecr(ACCOUNT, "cn-north-1")


@pytest.mark.parametrize("partition", PARTITIONS, ids=[each["partition"] for each in PARTITIONS])
def test_the_registry_of_each_region_is_named_as_in_its_partition_and_known_by_that_name(
    partition: dict[str, Any],
) -> None:
    assert partition["regions"]
    for region in partition["regions"]:
        host = host_of(Environment(ACCOUNT, region))
        assert host == f"{ACCOUNT}.dkr.ecr.{region}.{partition['dnsSuffix']}"
        assert ecr(host) == Ecr(ACCOUNT, region)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "docker.io",
        "public.ecr.aws",
        "12345.dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
        "evil-123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012-dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-west-1.amazonawsXcom",
    ],
)
def test_all_others(host: str | None) -> None:
    assert ecr(host) is None
