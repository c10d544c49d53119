"""A queue that listens to a rule or to a topic."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.workflow.conftest import eventually

if TYPE_CHECKING:
    from local.cloud import Cloud


class Mailbox:
    """A queue, and all that ever arrived in it."""

    def __init__(self, cloud: Cloud, name: str, sender: str = "events.amazonaws.com") -> None:
        self._sqs = cloud.client("sqs")
        self.arn = f"arn:aws:sqs:{cloud.region}:{cloud.account}:{name}"
        self.messages: list[str] = []
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": sender},
            "Action": "sqs:SendMessage",
            "Resource": self.arn,
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        self._url = self._sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]

    def listen(self, cloud: Cloud, name: str, source: str) -> None:
        """Receive every event of a source, as a rule of anybody's catches it."""
        client = cloud.client("events")
        client.put_rule(Name=name, EventPattern=json.dumps({"source": [source]}))
        client.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": self.arn}])

    def receive(self) -> list[str]:
        """Take what has arrived; gives all that ever did."""
        while found := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                self.messages.append(message["Body"])
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return self.messages

    def about(self, execution: str) -> list[str]:
        """All that names this execution's ARN, when something does."""
        return eventually(lambda: [message for message in self.receive() if execution in message])
