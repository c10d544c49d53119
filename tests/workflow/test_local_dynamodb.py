"""The emulator's DynamoDB, as AWS documents it.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-attribute-deletionpolicy.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.dynamodb_conformance import CASES, TABLE, item
from tests.workflow.conftest import eventually

if TYPE_CHECKING:
    from local.cloud import Cloud
    from tests.support.dynamodb_conformance import Case


@pytest.fixture(scope="module")
def table(cloud: Cloud) -> str:
    name = "conformance"
    cloud.client("dynamodb").create_table(TableName=name, **TABLE)
    return name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_dynamodb(cloud: Cloud, table: str, case: Case) -> None:
    case(cloud.client("dynamodb"), table)


def test_a_table_that_is_retained_outlives_its_stack(cloud: Cloud) -> None:
    cloudformation, dynamodb = cloud.client("cloudformation"), cloud.client("dynamodb")
    table = {"Type": "AWS::DynamoDB::Table", "Properties": {**TABLE, "TableName": "retained"}}
    stack = {"Resources": {"Table": {**table, "DeletionPolicy": "Retain"}}}
    cloudformation.create_stack(StackName="retaining", TemplateBody=json.dumps(stack))

    def status() -> Any:
        return cloudformation.describe_stacks(StackName="retaining")["Stacks"][0]["StackStatus"]

    eventually(lambda: status() == "CREATE_COMPLETE")
    dynamodb.put_item(TableName="retained", Item=item("a"))
    identity = cloudformation.describe_stacks(StackName="retaining")["Stacks"][0]["StackId"]
    cloudformation.delete_stack(StackName="retaining")
    eventually(
        lambda: cloudformation.describe_stacks(StackName=identity)["Stacks"][0]["StackStatus"] == "DELETE_COMPLETE"
    )
    assert dynamodb.get_item(TableName="retained", Key=item("a"))["Item"] == item("a")
