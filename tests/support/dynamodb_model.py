"""A DynamoDB with one table, of just the calls that the deployer makes; dynamodb_conformance.py holds it."""

from typing import Any

from tests.support.aws_error import AwsError

Document = dict[str, Any]
TABLE = "state"
ACTIONS = frozenset({"GetItem", "Query", "TransactWriteItems"})


class Table:
    """Items by their keys."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Document] = {}
        self.exists = True

    def call(self, action: str, body: Document) -> Document:
        """Answer a request; raises `AwsError`."""
        if not self.exists:
            raise AwsError("ResourceNotFoundException", "Requested resource not found")
        answers = {"GetItem": self._get, "Query": self._query, "TransactWriteItems": self._transact}
        return answers[action](body)

    def _get(self, body: Document) -> Document:
        assert body["ConsistentRead"] is True
        item = self.items.get(_key(body["Key"]))
        return {"Item": item} if item else {}

    def _query(self, body: Document) -> Document:
        assert body["KeyConditionExpression"] == "pk = :pk AND begins_with(sk, :history)"
        assert (body["ConsistentRead"], body["ScanIndexForward"]) == (True, False)
        pk, prefix = (body["ExpressionAttributeValues"][name]["S"] for name in (":pk", ":history"))
        found = [key for key in self.items if key[0] == pk and key[1].startswith(prefix)]
        return {"Items": [self.items[key] for key in sorted(found, reverse=True)[: body["Limit"]]]}

    def _transact(self, body: Document) -> Document:
        puts = [item["Put"] for item in body["TransactItems"]]
        reasons = [{"Code": "None" if self._holds(put) else "ConditionalCheckFailed"} for put in puts]
        if any(reason["Code"] != "None" for reason in reasons):
            message = f"Transaction cancelled, please refer cancellation reasons for specific reasons {reasons}"
            raise AwsError("TransactionCanceledException", message, more={"CancellationReasons": reasons})
        for put in puts:
            self.items[_key(put["Item"])] = put["Item"]
        return {}

    def _holds(self, put: Document) -> bool:
        there = self.items.get(_key(put["Item"]))
        match put.get("ConditionExpression"):
            case None:
                return True
            case "attribute_not_exists(pk)":
                return there is None
            case "rev = :rev":
                return there is not None and there["rev"] == put["ExpressionAttributeValues"][":rev"]
        raise AwsError("ValidationException", f"Invalid ConditionExpression: {put['ConditionExpression']}")


def _key(item: Document) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]
