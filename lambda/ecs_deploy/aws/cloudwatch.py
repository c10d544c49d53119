"""The call to CloudWatch."""

from functools import cache
from typing import TYPE_CHECKING

import boto3

from ecs_deploy.aws.client import ONE_TRY, translating

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient


def state_of(alarm: str) -> str | None:
    """The state of an alarm of this account and region: OK, ALARM or INSUFFICIENT_DATA; None where there is none.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
    """
    with translating():
        answer = connect().describe_alarms(AlarmNames=[alarm], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    found = [*answer.get("MetricAlarms", ()), *answer.get("CompositeAlarms", ())]
    return found[0]["StateValue"] if found else None


@cache
def connect() -> "CloudWatchClient":
    """The client for CloudWatch."""
    return boto3.client("cloudwatch", config=ONE_TRY)
