"""The waits of executions, in the table: an item of each service counts signals and keeps the tokens of who waits.

A wait of the workflow stores its token there itself, unless a signal has come since it was read how many there are. So
no signal falls between a poll and the wait after it: infra/workflow.py. Beside `signals` and `heard`, when the latest
event was sent, the item has a token by the ARN of each execution that waits, and a number by the id of each deployment
of which tasks have failed.
https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ecs_deploy.aws import dynamodb, stepfunctions
from ecs_deploy.core.errors import AwsUnavailable, DeployError
from ecs_deploy.core.formats import instant
from ecs_deploy.core.signals import Signals

PLACE = "WAIT"
"""The sort key of the item: infra/workflow.py writes tokens there."""

_COUNT, _HEARD = "signals", "heard"
_EACH_HAS = {"pk", "sk", _COUNT, _HEARD}
_ONE = {"N": "1"}


def read(key: str) -> Signals:
    """Read what has come for a service. Raises `DeployError`, `AwsUnavailable`."""
    item = dynamodb.read_item(key, PLACE) or {}
    heard = item.get(_HEARD, {}).get("S")
    return Signals(
        number=int(item.get(_COUNT, {}).get("N", "0")),
        heard_at=datetime.fromisoformat(heard) if heard else None,
        failures=max((int(number) for number in _others(item, "N").values()), default=0),
    )


def hear(key: str, at: datetime, failed: str = "") -> int:
    """Note that an event has come, and count a failed task of the deployment `failed`; answer how many have.

    Raises `DeployError`, `AwsUnavailable`.
    """
    if not failed:
        _update(key, f"SET {_HEARD} = :at", {":at": {"S": instant(at)}})
        return 0
    counted = {":at": {"S": instant(at)}, ":one": _ONE}
    return int(_update(key, f"SET {_HEARD} = :at ADD #1 :one", counted, [failed])[failed]["N"])


def end(key: str, *, anew: bool = False) -> None:
    """Count a signal and end the waits for a service; `anew` to count failures from none again.

    Raises `DeployError`, `AwsUnavailable`, once all were tried to end: one that was not ends by its time.
    """
    item = _update(key, f"ADD {_COUNT} :one", {":one": _ONE})
    tokens = _others(item, "S")
    if over := [*tokens, *(_others(item, "N") if anew else ())]:
        # Before they are sent: who is woken may store another one.
        _update(key, f"REMOVE {', '.join(f'#{number}' for number in range(1, len(over) + 1))}", {}, over)
    problem: DeployError | AwsUnavailable | None = None
    for token in tokens.values():
        try:
            stepfunctions.end_wait(token)
        except (DeployError, AwsUnavailable) as error:
            problem = error
    if problem:
        raise problem


def _update(key: str, update: str, values: Mapping[str, Any], names: Sequence[str] = ()) -> Mapping[str, Any]:
    """Update the item, in which #1, #2 … stand for `names`; answer the new one."""
    more: dict[str, Any] = {"ExpressionAttributeValues": values} if values else {}
    if names:
        more["ExpressionAttributeNames"] = {f"#{number}": name for number, name in enumerate(names, start=1)}
    with dynamodb.translating_table():
        answer = dynamodb.connect().update_item(
            TableName=dynamodb.table(),
            Key=dynamodb.place_of(key, PLACE),
            UpdateExpression=update,
            ReturnValues="ALL_NEW",
            **more,
        )
    return answer.get("Attributes", {})


def _others(item: Mapping[str, Any], kind: str) -> dict[str, str]:
    """What an item has of a type, beside what each has."""
    return {name: value[kind] for name, value in item.items() if kind in value and name not in _EACH_HAS}
