"""Which account's ECR a registry host is, if it is ECR's at all."""

import re
from typing import NamedTuple

from ecs_deploy.core.environment import Environment

# Of the other partitions, by the beginning of their regions' names: botocore's endpoints.
_SUFFIXES = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "eu-isoe-": "cloud.adc-e.uk",
    "us-isof-": "csp.hci.ic.gov",
}
# Plain, FIPS and dual-stack endpoints: https://docs.aws.amazon.com/general/latest/gr/ecr.html
_ENDS = "|".join(map(re.escape, ("amazonaws.com", *_SUFFIXES.values(), "on.aws", "on.amazonwebservices.com.cn")))
_ECR_HOST = rf"(?P<account>[0-9]{{12}})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:{_ENDS})"


class Ecr(NamedTuple):
    """The private registry of an account in a region."""

    account: str
    region: str


def ecr(domain: str | None) -> Ecr | None:
    """The ECR registry behind a host name, or None for any other host."""
    host = re.fullmatch(_ECR_HOST, domain or "")
    return Ecr(host["account"], host["region"]) if host else None


def host_of(environment: Environment) -> str:
    """The host of an account's registry in a region."""
    suffix = next((each for start, each in _SUFFIXES.items() if environment.region.startswith(start)), "amazonaws.com")
    return f"{environment.account}.dkr.ecr.{environment.region}.{suffix}"
