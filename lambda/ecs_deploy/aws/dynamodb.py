"""The table: the state of each service, and its history.

A state is written only if nobody else has written it since it was read; then the caller reads and decides again. So a
write that is applied late, or twice, changes nothing. An entry of the history is written with it, in one transaction.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.exceptions import ClientError

from ecs_deploy.aws.client import ONE_TRY, translating
from ecs_deploy.core.codec import decode, encode
from ecs_deploy.core.errors import AwsUnavailable, DeployError, Error
from ecs_deploy.core.formats import instant
from ecs_deploy.core.state import Candidate, Entry, State

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")

_STATE = "STATE"
_HISTORY = "HISTORY#"
_CONFLICTS = frozenset({"ConditionalCheckFailed", "TransactionConflict"})


class Conflict(Exception):
    """Somebody else has written the state since it was read."""


def read_state(key: str, now: datetime) -> State:
    """Read the state of a service: a new one, as of `now`, where there is none. Raises `DeployError`, `AwsUnavailable`.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.ReadConsistency.html
    """
    item = read_item(key, _STATE)
    return _read(State, item) if item else State(rev=0, since=now)


def is_known(key: str) -> bool:
    """Whether there is a state of a service. Raises `DeployError`, `AwsUnavailable`."""
    return read_item(key, _STATE) is not None


def read_entry(key: str, candidate: Candidate) -> Entry | None:
    """Read the entry of an execution in the history of a service. Raises `DeployError`, `AwsUnavailable`."""
    item = read_item(key, _place(candidate))
    return _read(Entry, item) if item else None


def read_history(key: str, most: int = 100) -> tuple[Entry, ...]:
    """Read the executions of a service that started last, the newest first. Raises `DeployError`, `AwsUnavailable`."""
    with translating_table():
        answer = connect().query(
            TableName=table(),
            KeyConditionExpression="pk = :pk AND begins_with(sk, :history)",
            ExpressionAttributeValues={":pk": {"S": key}, ":history": {"S": _HISTORY}},
            ConsistentRead=True,
            ScanIndexForward=False,
            Limit=most,
        )
    return tuple(_read(Entry, item) for item in answer["Items"])


def write(key: str, *, before: State, state: State | None = None, entry: Entry | None = None) -> None:
    """Write a state over the one that was read `before`, and an entry of the history.

    Raises `Conflict`, `DeployError`, `AwsUnavailable`.
    """
    puts: list[dict[str, Any]] = []
    if state is not None:
        new = state._replace(rev=before.rev + 1)
        condition: dict[str, Any] = (
            {"ConditionExpression": "rev = :rev", "ExpressionAttributeValues": {":rev": {"N": str(before.rev)}}}
            if before.rev
            else {"ConditionExpression": "attribute_not_exists(pk)"}
        )
        item = {**_item(key, _STATE, new), "rev": {"N": str(new.rev)}}
        puts.append({"TableName": table(), "Item": item, **condition})
    if entry is not None:
        puts.append({"TableName": table(), "Item": _item(key, _place(entry.candidate), entry)})
    with translating_table():
        try:
            connect().transact_write_items(TransactItems=[{"Put": put} for put in puts])  # type: ignore[typeddict-item]
        except ClientError as error:
            reasons = {each.get("Code") for each in error.response.get("CancellationReasons", ())}
            if reasons & _CONFLICTS and state is not None:
                raise Conflict from error
            if error.response["Error"]["Code"] == "TransactionCanceledException":
                raise AwsUnavailable(str(error)) from error
            raise


def read_item(key: str, place: str) -> Mapping[str, Any] | None:
    """Read an item of a service by its sort key; None if there is none. Raises `DeployError`, `AwsUnavailable`."""
    with translating_table():
        answer = connect().get_item(TableName=table(), Key=place_of(key, place), ConsistentRead=True)
    return answer.get("Item")


def place_of(key: str, place: str) -> dict[str, Any]:
    """The keys of an item of a service."""
    return {"pk": {"S": key}, "sk": {"S": place}}


def _place(candidate: Candidate) -> str:
    return f"{_HISTORY}{instant(candidate.started_at)}#{candidate.execution}"


def _item(key: str, place: str, value: State | Entry) -> dict[str, Any]:
    return {**place_of(key, place), "value": {"S": json.dumps(encode(value))}}


def _read(kind: type[T], item: Mapping[str, Any]) -> T:
    try:
        return decode(kind, json.loads(item["value"]["S"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DeployError(
            Error.STATE_UNREADABLE,
            f"The item {item['pk']['S']}, {item['sk']['S']} of the table {table()} is not the deployer's: {error!r}. "
            "docs/operating.md says what to do.",
        ) from error


@contextmanager
def translating_table() -> Iterator[None]:
    """Errors of the table by name: what is wrong with it is not wrong with the request."""
    try:
        with translating():
            yield
    except DeployError as problem:
        if problem.error is Error.DEPLOYMENT_FAILED:
            raise DeployError(
                Error.STATE_UNREADABLE,
                f"The table {table()} cannot be used: {problem.__cause__}. docs/operating.md says what to do.",
            ) from problem
        raise


def table() -> str:
    """The name of the table."""
    return os.environ["TABLE"]


@cache
def connect() -> "DynamoDBClient":
    """The client for DynamoDB, made once."""
    return boto3.client("dynamodb", config=ONE_TRY)
