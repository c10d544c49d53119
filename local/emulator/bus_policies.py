"""CloudFormation makes policies of event buses, which the emulator's does not know.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-events-eventbuspolicy.html
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.emulator.seams import Seams

EVENTS = "ministack.services.eventbridge"
CLOUDFORMATION = "ministack.services.cloudformation.provisioners"


def declare(seams: Seams) -> None:
    """Name what is used for it."""
    seams.attributes(CLOUDFORMATION, "_RESOURCE_HANDLERS")
    seams.call(EVENTS, "_put_permission", "data")
    seams.call(EVENTS, "_remove_permission", "data")


def add() -> None:
    """Let CloudFormation make them, and remove them."""
    handlers = importlib.import_module(CLOUDFORMATION)._RESOURCE_HANDLERS
    handlers["AWS::Events::EventBusPolicy"] = {"create": create, "delete": delete}


def create(_logical_id: str, props: dict[str, Any], _stack: str) -> tuple[str, dict[str, Any]]:
    """Put the statement into the policy of the bus."""
    statement = props["Statement"]
    said = {"StatementId": props["StatementId"], "Principal": statement["Principal"], "Action": statement["Action"]}
    importlib.import_module(EVENTS)._put_permission(said)
    return props["StatementId"], {}


def delete(physical_id: str, _props: dict[str, Any]) -> None:
    """Take the statement out of the policy of the bus."""
    importlib.import_module(EVENTS)._remove_permission({"StatementId": physical_id})
