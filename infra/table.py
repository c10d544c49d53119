"""The table: what ECS does not remember of a service, its state and its history.

It stays when the stack goes, because nothing else knows what was stable and what is held; and what was written by
mistake can be undone to any second of the last 35 days:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/PointInTimeRecovery_Howitworks.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb

if TYPE_CHECKING:
    from constructs import Construct


class Table(dynamodb.Table):
    """The table, which nobody has to size."""

    def __init__(self, scope: Construct) -> None:
        super().__init__(
            scope,
            "Table",
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=RemovalPolicy.RETAIN,
        )

    @property
    def environment(self) -> dict[str, str]:
        """How a function finds the table."""
        return {"TABLE": self.table_name}
