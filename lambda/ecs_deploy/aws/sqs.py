"""The call to SQS."""

import boto3

from ecs_deploy.aws.client import ONE_TRY, translating

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_MOST_REASON = 1_000


def send(queue: str, body: str, reason: str) -> None:
    """Send a message to a queue, by its URL, with a reason. Raises `DeployError`, `AwsUnavailable`."""
    attributes = {"reason": {"DataType": "String", "StringValue": reason[:_MOST_REASON]}}
    with translating():
        boto3.client("sqs", config=ONE_TRY).send_message(QueueUrl=queue, MessageBody=body, MessageAttributes=attributes)
