"""The call to CloudWatch."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import boto3

from ecs_deploy.aws.client import ONE_TRY, translating
from ecs_deploy.core.watching import Alarm

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient


def state_of(alarm: str) -> str | None:
    """The state of an alarm of this account and region: OK, ALARM or INSUFFICIENT_DATA; None where there is none.

    Raises `DeployError`, `AwsUnavailable`.
    """
    found = describe_alarms([alarm])
    return found[0].state if found else None


def describe_alarms(names: Sequence[str]) -> list[Alarm]:
    """Read the alarms with these names, a hundred at most; those that are not there are left out.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
    """
    with translating():
        answer = connect().describe_alarms(AlarmNames=[*names], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    found = [*answer.get("MetricAlarms", ()), *answer.get("CompositeAlarms", ())]
    return [Alarm(each["AlarmName"], each["StateValue"], each.get("StateTransitionedTimestamp")) for each in found]


@cache
def connect() -> "CloudWatchClient":
    """The client for CloudWatch."""
    return boto3.client("cloudwatch", config=ONE_TRY)
