"""What DynamoDB promises of the calls that the deployer makes, as cases for whatever stands in for it.

A case takes a client, or what looks like boto3's, and the name of a table with the keys of `TABLE`. Each works in
partitions of its own, so that all of them may share a table. Those of `PROTOCOL` make the calls that the deployer makes
and no others, as it makes them; a model may leave out the rest.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetItem.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Item = dict[str, dict[str, Any]]
    Case = Callable[[Any, str], None]

TABLE: dict[str, Any] = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
    "BillingMode": "PAY_PER_REQUEST",
}
UNCHANGED = {"ConditionExpression": "rev = :rev"}
ABSENT = {"ConditionExpression": "attribute_not_exists(pk)"}


def partition() -> str:
    """Name a partition that nobody has."""
    return f"production1/{uuid.uuid4()}"


def item(pk: str, sk: str = "STATE", /, **more: dict[str, Any]) -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}, **more}


def number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def read(client: Any, table: str, pk: str, sk: str = "STATE") -> Item | None:
    found: Item | None = client.get_item(TableName=table, Key=item(pk, sk), ConsistentRead=True).get("Item")
    return found


def put(client: Any, table: str, new: Item, **more: Any) -> None:
    """Write one item, as the deployer does."""
    client.transact_write_items(TransactItems=[write(table, new, **more)])


def unchanged(rev: int) -> dict[str, Any]:
    """The condition that the item is still what was read."""
    return {**UNCHANGED, "ExpressionAttributeValues": {":rev": number(rev)}}


def write(table: str, new: Item, **more: Any) -> dict[str, Any]:
    """One put of a transaction."""
    return {"Put": {"TableName": table, "Item": new, **more}}


def query(client: Any, table: str, pk: str, prefix: str, **more: Any) -> Iterator[dict[str, Any]]:
    """The pages of a query for the sort keys of a partition that begin so."""
    start: dict[str, Any] = {}
    while True:
        page = client.query(
            TableName=table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :history)",
            ExpressionAttributeValues={":pk": {"S": pk}, ":history": {"S": prefix}},
            ConsistentRead=True,
            **more,
            **start,
        )
        yield page
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def sort_keys(pages: Iterator[dict[str, Any]]) -> list[str]:
    return [each["sk"]["S"] for page in pages for each in page["Items"]]


def refusal(call: Callable[..., object], *arguments: Any, **named: Any) -> dict[str, Any]:
    """The response of a call that is refused; its code is in `Error`."""
    with pytest.raises(ClientError) as raised:
        call(*arguments, **named)
    response: dict[str, Any] = dict(raised.value.response)
    return response


def code(response: dict[str, Any]) -> str:
    found: str = response["Error"]["Code"]
    return found


def reasons(response: dict[str, Any]) -> list[str]:
    """Why a transaction was cancelled: a code for each of its writes."""
    assert code(response) == "TransactionCanceledException"
    return [each["Code"] for each in response["CancellationReasons"]]


def an_item_that_is_not_there_is_no_error(client: Any, table: str) -> None:
    assert read(client, table, partition()) is None


def an_item_comes_back_as_it_was_put(client: Any, table: str) -> None:
    pk = partition()
    values: Item = {
        "rev": number(7),
        "text": {"S": ""},
        "flag": {"BOOL": False},
        "nothing": {"NULL": True},
        "map": {"M": {"app": {"M": {"at": {"S": "2026-11-26T01:02:03Z"}}}}},
        "list": {"L": [{"S": "a"}, number(-3), {"L": []}, {"M": {}}]},
    }
    put(client, table, item(pk, **values))
    assert read(client, table, pk) == item(pk, **values)


def a_put_replaces_the_whole_item(client: Any, table: str) -> None:
    pk = partition()
    put(client, table, item(pk, rev=number(1), owner={"S": "a"}))
    put(client, table, item(pk, rev=number(2)))
    assert read(client, table, pk) == item(pk, rev=number(2))


def a_write_goes_by_its_condition(client: Any, table: str) -> None:
    pk = partition()
    none = refusal(put, client, table, item(pk, rev=number(2)), **unchanged(1))
    assert reasons(none) == ["ConditionalCheckFailed"]
    assert read(client, table, pk) is None
    put(client, table, item(pk, rev=number(1)), **ABSENT)
    again = refusal(put, client, table, item(pk, rev=number(9)), **ABSENT)
    assert reasons(again) == ["ConditionalCheckFailed"]
    put(client, table, item(pk, rev=number(2)), **unchanged(1))
    late = refusal(put, client, table, item(pk, rev=number(2), late={"S": ""}), **unchanged(1))
    assert reasons(late) == ["ConditionalCheckFailed"]
    assert read(client, table, pk) == item(pk, rev=number(2))


def an_absent_item_is_one_with_this_sort_key(client: Any, table: str) -> None:
    pk = partition()
    put(client, table, item(pk, "HISTORY#1"), **ABSENT)
    put(client, table, item(pk, "HISTORY#2"), **ABSENT)
    assert reasons(refusal(put, client, table, item(pk, "HISTORY#1"), **ABSENT)) == ["ConditionalCheckFailed"]


def of_writers_at_the_same_time_one_wins(client: Any, table: str) -> None:
    pk, writers, turns = partition(), 6, 4
    put(client, table, item(pk, rev=number(0)))

    def count_up(_writer: int) -> None:
        written = 0
        while written < turns:
            found = read(client, table, pk)
            assert found
            rev = int(found["rev"]["N"])
            try:
                put(client, table, item(pk, rev=number(rev + 1)), **unchanged(rev))
                written += 1
            except ClientError as lost:
                # A conflict is another writer's transaction that is under way.
                if not {"ConditionalCheckFailed", "TransactionConflict"} & set(reasons(dict(lost.response))):
                    raise

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(count_up, range(writers)))
    assert read(client, table, pk) == item(pk, rev=number(writers * turns))


def a_query_gives_the_newest_of_a_partition(client: Any, table: str) -> None:
    pk = partition()
    # By the bytes of UTF-8, so capitals come first.
    ordered = ["HISTORY#", "HISTORY#2", "HISTORY#B", "HISTORY#a", "HISTORY#é"]
    for sk in [*ordered, "STATE", "HISTORX"]:
        put(client, table, item(pk, sk))
    put(client, table, item(f"{pk}-other", "HISTORY#0"))
    newest_first = {"ScanIndexForward": False}
    assert sort_keys(query(client, table, pk, "HISTORY#", **newest_first, Limit=100)) == ordered[::-1]
    first = next(query(client, table, pk, "HISTORY#", **newest_first, Limit=2))
    assert sort_keys(iter([first])) == ordered[:2:-1]
    assert sort_keys(query(client, table, partition(), "HISTORY#", **newest_first, Limit=100)) == []


def a_query_goes_on_where_a_page_ended(client: Any, table: str) -> None:
    pk = partition()
    ordered = [f"HISTORY#{count}" for count in range(5)]
    for sk in ordered:
        put(client, table, item(pk, sk))
    pages = list(query(client, table, pk, "HISTORY#", Limit=2))
    assert [len(page["Items"]) for page in pages[:3]] == [2, 2, 1]
    assert pages[0]["LastEvaluatedKey"] == item(pk, ordered[1])
    assert sort_keys(iter(pages)) == ordered
    backwards = query(client, table, pk, "HISTORY#", Limit=2, ScanIndexForward=False)
    assert sort_keys(backwards) == ordered[::-1]


def a_page_of_a_query_has_no_more_than_a_megabyte(client: Any, table: str) -> None:
    pk = partition()
    ordered = [f"HISTORY#{count}" for count in range(4)]
    for sk in ordered:
        put(client, table, item(pk, sk, text={"S": "x" * 350_000}))
    pages = list(query(client, table, pk, "HISTORY#"))
    assert len(pages) > 1
    assert sort_keys(iter(pages)) == ordered


def a_transaction_writes_all(client: Any, table: str) -> None:
    pk = partition()
    put(client, table, item(pk, rev=number(1)))
    client.transact_write_items(
        TransactItems=[
            write(table, item(pk, rev=number(2)), **unchanged(1)),
            write(table, item(pk, "HISTORY#1"), **ABSENT),
        ]
    )
    assert read(client, table, pk) == item(pk, rev=number(2))
    assert read(client, table, pk, "HISTORY#1") == item(pk, "HISTORY#1")


def a_transaction_writes_nothing_where_one_condition_fails(client: Any, table: str) -> None:
    pk = partition()
    put(client, table, item(pk, rev=number(1)))
    state, entry = item(pk, rev=number(2)), item(pk, "HISTORY#1")
    cases: Sequence[tuple[list[dict[str, Any]], list[str]]] = (
        ([write(table, state, **unchanged(0)), write(table, entry)], ["ConditionalCheckFailed", "None"]),
        ([write(table, entry, **ABSENT), write(table, state, **ABSENT)], ["None", "ConditionalCheckFailed"]),
    )
    for writes, expected in cases:
        assert reasons(refusal(client.transact_write_items, TransactItems=writes)) == expected
        assert read(client, table, pk) == item(pk, rev=number(1))
        assert read(client, table, pk, "HISTORY#1") is None


def a_transaction_that_comes_again_succeeds_and_writes_nothing(client: Any, table: str) -> None:
    pk, token = partition(), str(uuid.uuid4())
    put(client, table, item(pk, rev=number(1)))
    request = {"TransactItems": [write(table, item(pk, rev=number(2)), **unchanged(1))], "ClientRequestToken": token}
    client.transact_write_items(**request)
    put(client, table, item(pk, rev=number(3)), **unchanged(2))
    client.transact_write_items(**request)
    assert read(client, table, pk) == item(pk, rev=number(3))
    without = {"TransactItems": request["TransactItems"], "ClientRequestToken": str(uuid.uuid4())}
    assert reasons(refusal(client.transact_write_items, **without)) == ["ConditionalCheckFailed"]


def a_token_is_for_one_transaction(client: Any, table: str) -> None:
    pk, token = partition(), str(uuid.uuid4())
    client.transact_write_items(TransactItems=[write(table, item(pk))], ClientRequestToken=token)
    other = [write(table, item(pk, "HISTORY#1"))]
    refused = refusal(client.transact_write_items, TransactItems=other, ClientRequestToken=token)
    assert code(refused) == "IdempotentParameterMismatchException"
    assert read(client, table, pk, "HISTORY#1") is None


def a_transaction_writes_an_item_once(client: Any, table: str) -> None:
    pk = partition()
    twice = [write(table, item(pk, rev=number(1))), write(table, item(pk, rev=number(2)))]
    assert code(refusal(client.transact_write_items, TransactItems=twice)) == "ValidationException"
    assert read(client, table, pk) is None


def an_item_has_no_more_than_400_kilobytes(client: Any, table: str) -> None:
    pk = partition()
    large = item(pk, text={"S": "x" * 410_000})
    assert code(refusal(client.put_item, TableName=table, Item=large)) == "ValidationException"
    assert read(client, table, pk) is None


def a_put_alone_goes_by_its_condition(client: Any, table: str) -> None:
    pk = partition()
    client.put_item(TableName=table, Item=item(pk, rev=number(1)), **ABSENT)
    for condition in (ABSENT, unchanged(0)):
        late = refusal(client.put_item, TableName=table, Item=item(pk, rev=number(9)), **condition)
        assert code(late) == "ConditionalCheckFailedException"
    client.put_item(TableName=table, Item=item(pk, rev=number(2)), **unchanged(1))
    assert read(client, table, pk) == item(pk, rev=number(2))


def a_condition_may_name_its_attribute(client: Any, table: str) -> None:
    pk = partition()
    put(client, table, item(pk, rev=number(1)))
    named = {"ConditionExpression": "#rev = :rev", "ExpressionAttributeNames": {"#rev": "rev"}}
    put(client, table, item(pk, rev=number(2)), **named, ExpressionAttributeValues={":rev": number(1)})
    assert read(client, table, pk) == item(pk, rev=number(2))


def update(client: Any, table: str, pk: str, expression: str, **more: Any) -> Item:
    """Update the item of the waits, as the deployer does; gives the new one."""
    key, answered = item(pk, "WAIT"), {"ReturnValues": "ALL_NEW"}
    found: Item = client.update_item(TableName=table, Key=key, UpdateExpression=expression, **answered, **more).get(
        "Attributes", {}
    )
    return found


def an_update_makes_an_item_counts_and_names_its_attributes(client: Any, table: str) -> None:
    pk, one = partition(), {":one": number(1)}
    assert update(client, table, pk, "ADD signals :one", ExpressionAttributeValues=one) == item(
        pk, "WAIT", signals=number(1)
    )
    heard = {":at": {"S": "now"}, **one}
    names = {"#1": "ecs-svc/1"}
    counted = update(
        client,
        table,
        pk,
        "SET heard = :at ADD #1 :one",
        ExpressionAttributeValues=heard,
        ExpressionAttributeNames=names,
    )
    assert counted == item(pk, "WAIT", **{"signals": number(1), "heard": {"S": "now"}, "ecs-svc/1": number(1)})
    left = update(client, table, pk, "REMOVE #1, #2", ExpressionAttributeNames={**names, "#2": "not there"})
    assert left == item(pk, "WAIT", signals=number(1), heard={"S": "now"})


def a_token_is_stored_if_no_signal_has_come_since(client: Any, table: str) -> None:
    pk = partition()
    condition = "attribute_not_exists(signals) OR signals = :signals"

    def store(signals: int) -> Item:
        values = {":token": {"S": f"token {signals}"}, ":signals": number(signals)}
        names = {"#me": "arn:aws:states:eu-west-1:123456789012:execution:EcsDeploy:one"}
        return update(
            client,
            table,
            pk,
            "SET #me = :token",
            ConditionExpression=condition,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
        )

    assert {"S": "token 0"} in store(0).values()
    assert update(client, table, pk, "ADD signals :one", ExpressionAttributeValues={":one": number(1)})
    assert code(refusal(store, 0)) == "ConditionalCheckFailedException"
    assert {"S": "token 1"} in store(1).values()


def an_item_alone_is_put_and_deleted(client: Any, table: str) -> None:
    pk = partition()
    for _ in range(2):
        client.put_item(TableName=table, Item=item(pk, "doorman#1", tags={"S": "{}"}))
    assert read(client, table, pk, "doorman#1") == item(pk, "doorman#1", tags={"S": "{}"})
    for _ in range(2):
        client.delete_item(TableName=table, Key=item(pk, "doorman#1"))
    assert read(client, table, pk, "doorman#1") is None


def a_whole_partition_is_queried(client: Any, table: str) -> None:
    pk = partition()
    ordered = ["doorman#1", "doorman#2", "porter#1"]
    for sk in reversed(ordered):
        client.put_item(TableName=table, Item=item(pk, sk))
    pages = client.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": pk}},
        ConsistentRead=True,
    )
    assert sort_keys(iter(pages)) == ordered


def a_table_that_is_not_there_is_an_error(client: Any, table: str) -> None:
    gone, pk = f"{table}-gone", partition()
    refused = [
        refusal(read, client, gone, pk),
        refusal(client.put_item, TableName=gone, Item=item(pk)),
        refusal(list, query(client, gone, pk, "HISTORY#")),
        refusal(client.transact_write_items, TransactItems=[write(gone, item(pk))]),
    ]
    assert {code(each) for each in refused} == {"ResourceNotFoundException"}


PROTOCOL: tuple[Case, ...] = (
    an_item_that_is_not_there_is_no_error,
    an_item_comes_back_as_it_was_put,
    a_put_replaces_the_whole_item,
    a_write_goes_by_its_condition,
    an_absent_item_is_one_with_this_sort_key,
    of_writers_at_the_same_time_one_wins,
    a_query_gives_the_newest_of_a_partition,
    a_query_goes_on_where_a_page_ended,
    a_whole_partition_is_queried,
    an_item_alone_is_put_and_deleted,
    a_transaction_writes_all,
    a_transaction_writes_nothing_where_one_condition_fails,
    an_update_makes_an_item_counts_and_names_its_attributes,
    a_token_is_stored_if_no_signal_has_come_since,
)
CASES: tuple[Case, ...] = (
    *PROTOCOL,
    a_page_of_a_query_has_no_more_than_a_megabyte,
    a_transaction_that_comes_again_succeeds_and_writes_nothing,
    a_token_is_for_one_transaction,
    a_transaction_writes_an_item_once,
    a_put_alone_goes_by_its_condition,
    a_condition_may_name_its_attribute,
    an_item_has_no_more_than_400_kilobytes,
    a_table_that_is_not_there_is_an_error,
)
