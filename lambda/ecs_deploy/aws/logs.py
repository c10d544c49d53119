"""The call to CloudWatch Logs."""

import boto3

from ecs_deploy.aws.client import ONE_TRY, translating
from ecs_deploy.core.diagnosis import LogStream


def last_lines(stream: LogStream, most: int) -> tuple[str, ...]:
    """Read the last lines of a log stream, oldest first; none where there is no such stream.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
    """
    client = boto3.client("logs", region_name=stream.region, config=ONE_TRY)
    with translating():
        try:
            events = client.get_log_events(
                logGroupName=stream.group, logStreamName=stream.stream, limit=most, startFromHead=False
            )["events"]
        except client.exceptions.ResourceNotFoundException:
            return ()
    return tuple(each["message"].strip() for each in events)
