"""A DynamoDB with one table, of just the calls that the deployer makes; dynamodb_conformance.py holds it."""

import re
from typing import Any

from tests.support.aws_error import AwsError

Document = dict[str, Any]
TABLE = "state"
ACTIONS = frozenset({"DeleteItem", "GetItem", "PutItem", "Query", "TransactWriteItems", "UpdateItem"})
# Items of a page; a page of a real table has a megabyte.
_PAGE = 100
_CLAUSE = re.compile(r"(SET|ADD|REMOVE) (.*?)(?= (?:SET|ADD|REMOVE) |$)")


class Table:
    """Items by their keys."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Document] = {}
        self.exists = True

    def call(self, action: str, body: Document) -> Document:
        """Answer a request; raises `AwsError`."""
        if not self.exists:
            raise AwsError("ResourceNotFoundException", "Requested resource not found")
        answers = {
            "DeleteItem": self._delete,
            "GetItem": self._get,
            "PutItem": self._put,
            "Query": self._query,
            "TransactWriteItems": self._transact,
            "UpdateItem": self._update,
        }
        return answers[action](body)

    def _get(self, body: Document) -> Document:
        assert body["ConsistentRead"] is True
        item = self.items.get(_key(body["Key"]))
        return {"Item": item} if item else {}

    def _put(self, body: Document) -> Document:
        self.items[_key(body["Item"])] = body["Item"]
        return {}

    def _delete(self, body: Document) -> Document:
        self.items.pop(_key(body["Key"]), None)
        return {}

    def _query(self, body: Document) -> Document:
        condition, values = body["KeyConditionExpression"], body["ExpressionAttributeValues"]
        prefix = ""
        if begins := re.fullmatch(r"pk = :pk AND begins_with\(sk, (:\w+)\)", condition):
            prefix = values[begins[1]]["S"]
            assert prefix, "a value of a key is not empty"
        else:
            assert condition == "pk = :pk"
        assert body["ConsistentRead"] is True
        found = sorted(key for key in self.items if key[0] == values[":pk"]["S"] and key[1].startswith(prefix))
        if not body.get("ScanIndexForward", True):
            found.reverse()
        if "ExclusiveStartKey" in body:
            found = found[found.index(_key(body["ExclusiveStartKey"])) + 1 :]
        page = found[: body.get("Limit", _PAGE)]
        answer: Document = {"Items": [self.items[key] for key in page]}
        if len(page) < len(found):
            pk, sk = page[-1]
            answer["LastEvaluatedKey"] = {"pk": {"S": pk}, "sk": {"S": sk}}
        return answer

    def _transact(self, body: Document) -> Document:
        puts = [item["Put"] for item in body["TransactItems"]]
        reasons = [{"Code": "None" if self._holds(put) else "ConditionalCheckFailed"} for put in puts]
        if any(reason["Code"] != "None" for reason in reasons):
            message = f"Transaction cancelled, please refer cancellation reasons for specific reasons {reasons}"
            raise AwsError("TransactionCanceledException", message, more={"CancellationReasons": reasons})
        for put in puts:
            self.items[_key(put["Item"])] = put["Item"]
        return {}

    def _update(self, body: Document) -> Document:
        """The clauses that the deployer uses: SET a = :a, ADD a :a, REMOVE a, b."""
        key = _key(body["Key"])
        before, names = self.items.get(key, {}), body.get("ExpressionAttributeNames", {})
        values = body.get("ExpressionAttributeValues", {})
        match body.get("ConditionExpression"):
            case None:
                pass
            case "attribute_not_exists(signals) OR signals = :signals":
                if before.get("signals", values[":signals"]) != values[":signals"]:
                    raise AwsError("ConditionalCheckFailedException", "The conditional request failed")
            case other:
                raise AwsError("ValidationException", f"Invalid ConditionExpression: {other}")
        item = {**before, **body["Key"]}
        for clause, rest in _CLAUSE.findall(body["UpdateExpression"]):
            for each in rest.split(", "):
                name, *more = each.replace(" = ", " ").split(" ")
                attribute = names.get(name, name)
                if clause == "REMOVE":
                    item.pop(attribute, None)
                elif clause == "SET":
                    item[attribute] = values[more[0]]
                else:
                    there = int(item.get(attribute, {"N": "0"})["N"])
                    item[attribute] = {"N": str(there + int(values[more[0]]["N"]))}
        self.items[key] = item
        return {"Attributes": item} if body.get("ReturnValues") == "ALL_NEW" else {}

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
