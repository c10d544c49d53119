"""What comes to a function by a queue on the emulator, and what does not, as AWS documents it.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sqs-permissions
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from local import images
from tests.workflow.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cloud import Cloud

# It says what it got and when, and takes none of what asks to come again.
HANDLER = """
import json, time

def main(event, context):
    print(json.dumps({"at": time.time(), "records": event["Records"]}))
    again = [each["messageId"] for each in event["Records"] if each["body"] == "again"]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in again]}
"""
CONSUME = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
TLS_ONLY = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "sqs:*",
    "Resource": "*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@dataclass
class Queue:
    """A queue that a function reads, and its dead-letter queue."""

    cloud: Cloud
    name: str
    url: str
    arn: str
    dead: str

    def send(self, body: str) -> None:
        self.cloud.client("sqs").send_message(QueueUrl=self.url, MessageBody=body)

    def may_read(self, *actions: str) -> None:
        """Let the role of the function do this to the queue, and nothing else."""
        allowed = {"Effect": "Allow", "Action": list(actions), "Resource": self.arn}
        policy = document(allowed) if actions else document({**allowed, "Action": "sqs:ListQueues"})
        self.cloud.client("iam").put_role_policy(RoleName=self.name, PolicyName="own", PolicyDocument=policy)

    def calls(self) -> list[dict[str, Any]]:
        """The calls of the function: when each came, and with what records."""
        group = f"/aws/lambda/{self.name}"
        logs = self.cloud.client("logs")
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return []
        events = logs.filter_log_events(logGroupName=group)["events"]
        return [json.loads(each["message"]) for each in events if each["message"].startswith("{")]

    def bodies(self) -> list[str]:
        return [record["body"] for call in self.calls() for record in call["records"]]

    def dead_bodies(self) -> list[str]:
        found = self.cloud.client("sqs").receive_message(QueueUrl=self.dead, MaxNumberOfMessages=10)
        return [message["Body"] for message in found.get("Messages", ())]


def arn_of(sqs: Any, url: str) -> str:
    arn: str = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return arn


@pytest.fixture
def queue(cloud: Cloud, numbers: Iterator[int]) -> Queue:
    name = f"queue-{next(numbers)}"
    sqs, functions, code = cloud.client("sqs"), cloud.client("lambda"), io.BytesIO()
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    redrive = {"deadLetterTargetArn": arn_of(sqs, dead), "maxReceiveCount": 2}
    attributes = {"VisibilityTimeout": "1", "RedrivePolicy": json.dumps(redrive), "Policy": document(TLS_ONLY)}
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    trusted = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document(trusted))["Role"]["Arn"]
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", HANDLER)
    functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="handler.main",
        Role=role,
        Code={"ZipFile": code.getvalue()},
        Timeout=60,
    )
    made = Queue(cloud, name, url, arn_of(sqs, url), dead)
    made.may_read(*CONSUME)
    functions.create_event_source_mapping(
        EventSourceArn=made.arn,
        FunctionName=name,
        BatchSize=10,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        ScalingConfig={"MaximumConcurrency": 10},
    )
    return made


@pytest.fixture
def rule(cloud: Cloud, queue: Queue) -> Callable[..., str]:
    """Make a rule that sends the pushes of a repository to the queue; gives its ARN."""

    def create(**target: object) -> str:
        events = cloud.client("events")
        pattern = {
            "source": ["aws.ecr"],
            "account": [cloud.account],
            "region": [cloud.region],
            "detail": {
                "action-type": ["PUSH", "REPLICATE"],
                "result": ["SUCCESS"],
                "image-tag": [{"anything-but": [""]}],
                "repository-name": [queue.name],
            },
        }
        arn: str = events.put_rule(Name=queue.name, EventPattern=json.dumps(pattern))["RuleArn"]
        events.put_targets(Rule=queue.name, Targets=[{"Id": "queue", "Arn": queue.arn, **target}])
        return arn

    return create


def let_send(queue: Queue, url: str, rule: str) -> None:
    """Let EventBridge send to a queue for a rule, over TLS only."""
    sqs = queue.cloud.client("sqs")
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn_of(sqs, url),
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document(allowed, TLS_ONLY)})


def test_a_push_comes_to_the_function_at_once(cloud: Cloud, queue: Queue, rule: Callable[..., str]) -> None:
    let_send(queue, queue.url, rule())
    ecr = cloud.client("ecr")
    delays = []
    for count in range(1, 5):
        pushed_at = time.time()
        images.push(ecr, queue.name, f"v{count}")
        call = eventually(lambda count=count: queue.calls()[count - 1 :])[0]  # type: ignore[misc]
        delays.append(call["at"] - pushed_at)
        (record,) = call["records"]
        event = json.loads(record["body"])
        assert (event["source"], event["detail"]["image-tag"]) == ("aws.ecr", f"v{count}")
        assert record["attributes"]["ApproximateReceiveCount"] == "1"
    # The first time, a process starts too.
    assert max(delays[1:]) < 1
    ecr.put_image(repositoryName=queue.name, imageManifest=json.dumps(images.manifest("run")))
    images.push(ecr, queue.name, "v5")
    eventually(lambda: len(queue.calls()) == 5)
    assert [json.loads(body)["detail"]["image-tag"] for body in queue.bodies()] == [f"v{n}" for n in range(1, 6)]


def test_what_is_not_taken_comes_again_and_goes_to_the_dead_letter_queue(queue: Queue) -> None:
    for body in ("done", "again"):
        queue.send(body)
    dead = eventually(queue.dead_bodies)
    assert dead == ["again"]
    assert sorted(queue.bodies()) == ["again", "again", "done"]
    records = [each for call in queue.calls() for each in call["records"] if each["body"] == "again"]
    assert [each["attributes"]["ApproximateReceiveCount"] for each in records] == ["1", "2"]


@pytest.mark.parametrize("missing", CONSUME)
def test_a_function_whose_role_may_not_read_the_queue_gets_nothing(queue: Queue, missing: str) -> None:
    queue.may_read(*[action for action in CONSUME if action != missing])
    queue.send("one")
    sqs = queue.cloud.client("sqs")
    assert sqs.receive_message(QueueUrl=queue.url, WaitTimeSeconds=1)["Messages"]
    assert queue.calls() == []
    queue.may_read(*CONSUME)
    eventually(queue.bodies)


def test_a_queue_takes_events_of_the_rule_that_its_policy_names(
    cloud: Cloud, queue: Queue, rule: Callable[..., str]
) -> None:
    sqs = cloud.client("sqs")
    mine = rule(DeadLetterConfig={"Arn": arn_of(sqs, queue.dead)})
    let_send(queue, queue.url, f"{mine}-other")
    images.push(cloud.client("ecr"), queue.name, "lost")
    let_send(queue, queue.dead, mine)
    images.push(cloud.client("ecr"), queue.name, "refused")
    (message,) = sqs.receive_message(
        QueueUrl=queue.dead, MessageAttributeNames=["All"], MaxNumberOfMessages=10, WaitTimeSeconds=1
    )["Messages"]
    assert json.loads(message["Body"])["detail"]["image-tag"] == "refused"
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    let_send(queue, queue.url, mine)
    images.push(cloud.client("ecr"), queue.name, "taken")
    eventually(queue.bodies)
    assert [json.loads(body)["detail"]["image-tag"] for body in queue.bodies()] == ["taken"]


def test_a_schedule_sends_its_input_to_a_queue(cloud: Cloud, queue: Queue) -> None:
    role = f"arn:aws:iam::{cloud.account}:role/{queue.name}"
    cloud.client("scheduler").create_schedule(
        Name=queue.name,
        ScheduleExpression="at(2026-01-01T00:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": queue.arn, "RoleArn": role, "Input": json.dumps({"reconcile": 60})},
    )
    eventually(queue.bodies)
    assert [json.loads(body) for body in queue.bodies()] == [{"reconcile": 60}]
