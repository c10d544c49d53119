"""Where the deployer is at home."""

from typing import NamedTuple


class Home(NamedTuple):
    """The account and region that the deployer serves; a request cannot reach out of it."""

    account: str
    region: str
