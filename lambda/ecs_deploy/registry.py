"""Which account's ECR a registry host is, if it is ECR's at all."""

import re
from typing import NamedTuple

# Plain, FIPS and dual-stack endpoints: https://docs.aws.amazon.com/general/latest/gr/ecr.html
_ECR_HOST = re.compile(
    r"(?P<account>[0-9]{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.(?:aws|amazonwebservices\.com\.cn))"
)


class Ecr(NamedTuple):
    """The private registry of an account in a region."""

    account: str
    region: str


def ecr(domain: str | None) -> Ecr | None:
    """The ECR registry behind a host name, or None for any other host."""
    host = _ECR_HOST.fullmatch(domain or "")
    return Ecr(host["account"], host["region"]) if host else None
