"""The index of services that opt in by tags, in the table: an item for each, under the repository that they name.

It says whom to look at. What counts is the tags that ECS shows, so an item that is there too long does no harm.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ecs_deploy.aws import dynamodb

_INDEX = "DISCOVERED"


class Indexed(NamedTuple):
    """A service by its key, the repository that it has named, and its tags as they were seen last."""

    repository: str
    key: str
    tags: Mapping[str, str]


def put(found: Indexed) -> None:
    """Note a service. Raises `DeployError`, `AwsUnavailable`."""
    item = {**_place(found), "tags": {"S": json.dumps(dict(found.tags))}}
    with dynamodb.translating_table():
        dynamodb.connect().put_item(TableName=dynamodb.table(), Item=item)


def remove(found: Indexed) -> None:
    """Forget a service. Raises `DeployError`, `AwsUnavailable`."""
    with dynamodb.translating_table():
        dynamodb.connect().delete_item(TableName=dynamodb.table(), Key=_place(found))


def read(repository: str = "") -> list[Indexed]:
    """The services of a repository, or all of them. Raises `DeployError`, `AwsUnavailable`.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html
    """
    values: dict[str, Any] = {":pk": {"S": _INDEX}}
    condition = "pk = :pk"
    if repository:
        values[":repository"] = {"S": f"{repository}#"}
        condition += " AND begins_with(sk, :repository)"
    pages = dynamodb.connect().get_paginator("query")
    with dynamodb.translating_table():
        return [
            _indexed(item)
            for page in pages.paginate(
                TableName=dynamodb.table(),
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                ConsistentRead=True,
            )
            for item in page["Items"]
        ]


def _indexed(item: Mapping[str, Any]) -> Indexed:
    repository, _, key = item["sk"]["S"].partition("#")
    return Indexed(repository, key, json.loads(item["tags"]["S"]))


def _place(found: Indexed) -> dict[str, Any]:
    return dynamodb.place_of(_INDEX, f"{found.repository}#{found.key}")
