"""Where the deployer runs."""

from typing import NamedTuple


class Environment(NamedTuple):
    """The account and region that the deployer serves; a request cannot reach out of it."""

    account: str
    region: str
