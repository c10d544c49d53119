"""The model of DynamoDB answers the deployer as DynamoDB does; test_local_dynamodb.py holds the emulator to it."""

from typing import TYPE_CHECKING

import pytest

from tests.support.client import Client
from tests.support.dynamodb_conformance import PROTOCOL
from tests.support.dynamodb_model import TABLE, Table

if TYPE_CHECKING:
    from tests.support.dynamodb_conformance import Case


@pytest.mark.parametrize("case", PROTOCOL, ids=lambda case: case.__name__)
def test_the_model(case: "Case") -> None:
    case(Client(Table().call), TABLE)
