"""A state that waits for a callback, by the SDK integration of DynamoDB, as AWS documents it.

https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token
https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.dynamodb_conformance import TABLE, item
from tests.workflow.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cloud import Cloud

NAME = "callbacks"
ABSENT = "attribute_not_exists(closed)"


@pytest.fixture(scope="module")
def table(cloud: Cloud) -> Iterator[Any]:
    dynamodb = cloud.client("dynamodb")
    dynamodb.create_table(TableName=NAME, **TABLE)
    yield dynamodb
    dynamodb.delete_table(TableName=NAME)


@pytest.fixture(scope="module")
def machine(cloud: Cloud) -> str:
    """Stores its token unless the item is closed, and waits as long as its input says."""
    store = {
        "TableName": NAME,
        "Key": {"pk": {"S": "{% $states.input.key %}"}, "sk": {"S": "WAIT"}},
        "UpdateExpression": "SET #me = :token",
        "ConditionExpression": ABSENT,
        "ExpressionAttributeNames": {"#me": "token"},
        "ExpressionAttributeValues": {":token": {"S": "{% $states.context.Task.Token %}"}},
    }
    caught = {"ErrorEquals": ["States.ALL"], "Output": "{% $states.errorOutput.Error %}", "Next": "Caught"}
    states = {
        "Wait": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken",
            "Arguments": store,
            "TimeoutSeconds": "{% $states.input.seconds %}",
            "Retry": [{"ErrorEquals": ["Again"], "IntervalSeconds": 1, "MaxAttempts": 2}],
            "Catch": [caught],
            "End": True,
        },
        "Caught": {"Type": "Pass", "End": True},
    }
    definition = {"QueryLanguage": "JSONata", "StartAt": "Wait", "States": states}
    statement = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = cloud.client("iam").create_role(RoleName=NAME, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    made = cloud.client("stepfunctions").create_state_machine(
        name=NAME, definition=json.dumps(definition), roleArn=role
    )
    arn: str = made["stateMachineArn"]
    return arn


def begin(cloud: Cloud, machine: str, key: str, seconds: int) -> str:
    started = cloud.client("stepfunctions").start_execution(
        stateMachineArn=machine, input=json.dumps({"key": key, "seconds": seconds})
    )
    arn: str = started["executionArn"]
    return arn


def output(cloud: Cloud, execution: str) -> Any:
    states = cloud.client("stepfunctions")

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = states.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    return json.loads((eventually(ended) or {})["output"])


def token(table: Any, key: str, but: str = "") -> str:
    def stored() -> str | None:
        found = table.get_item(TableName=NAME, Key=item(key, "WAIT"), ConsistentRead=True).get("Item", {})
        there: str = found.get("token", {}).get("S", "")
        return there if there != but else None

    return eventually(stored) or ""


def test_whoever_has_the_token_ends_the_wait(cloud: Cloud, table: Any, machine: str) -> None:
    execution = begin(cloud, machine, "ended", 86_400)
    cloud.client("stepfunctions").send_task_success(taskToken=token(table, "ended"), output='{"by": "an event"}')
    assert output(cloud, execution) == {"by": "an event"}


def test_a_wait_ends_by_the_time_that_an_expression_gives(cloud: Cloud, table: Any, machine: str) -> None:
    execution = begin(cloud, machine, "late", 1)
    assert output(cloud, execution) == "States.Timeout"
    states = cloud.client("stepfunctions")
    with pytest.raises((states.exceptions.TaskTimedOut, states.exceptions.TaskDoesNotExist)):
        states.send_task_success(taskToken=token(table, "late"), output="{}")


def test_a_token_that_is_not_stored_is_not_waited_for(cloud: Cloud, table: Any, machine: str) -> None:
    closed = item("closed", "WAIT", closed={"BOOL": True})
    table.put_item(TableName=NAME, Item=closed)
    error = output(cloud, begin(cloud, machine, "closed", 86_400))
    assert error.endswith("ConditionalCheckFailedException")
    assert error.lower().startswith("dynamodb.")


def test_each_try_has_a_token_of_its_own(cloud: Cloud, table: Any, machine: str) -> None:
    states = cloud.client("stepfunctions")
    execution = begin(cloud, machine, "again", 86_400)
    first = token(table, "again")
    states.send_task_failure(taskToken=first, error="Again", cause="once more")
    second = token(table, "again", but=first)
    states.send_task_success(taskToken=second, output='"at last"')
    assert output(cloud, execution) == "at last"
