"""ECR's private registries are known by their host names; all others are not ECR."""

import pytest

from ecs_deploy.registry import Ecr, ecr


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com",
        "123456789012.dkr-ecr.eu-west-1.on.aws",
    ],
)
def test_private_registries(host: str) -> None:
    assert ecr(host) == Ecr("123456789012", "eu-west-1")


def test_china() -> None:
    assert ecr("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn") == Ecr("123456789012", "cn-north-1")


@pytest.mark.parametrize(
    "host",
    [
        None,
        "docker.io",
        "public.ecr.aws",
        "12345.dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
    ],
)
def test_all_others(host: str | None) -> None:
    assert ecr(host) is None
