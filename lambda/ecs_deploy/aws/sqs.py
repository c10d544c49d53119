"""The call to SQS."""

from typing import Any

import boto3

from ecs_deploy.aws.client import ONE_TRY, translating

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_MOST_REASON = 1_000


LONGEST_DELAY = 900
"""Seconds: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html"""


def send(queue: str, body: str, *, reason: str = "", delay: int = 0) -> None:
    """Send a message to a queue, by its URL, with a reason, or to be delivered after `delay` seconds.

    Raises `DeployError`, `AwsUnavailable`.
    """
    more: dict[str, Any] = {"DelaySeconds": delay} if delay else {}
    if reason:
        more["MessageAttributes"] = {"reason": {"DataType": "String", "StringValue": reason[:_MOST_REASON]}}
    with translating():
        boto3.client("sqs", config=ONE_TRY).send_message(QueueUrl=queue, MessageBody=body, **more)
