"""The emulator's ECR and EventBridge, as AWS documents them.

https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local import images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cloud import Cloud

    Listen = Callable[..., Callable[[], list[dict[str, Any]]]]


@pytest.fixture
def repository(numbers: Iterator[int]) -> str:
    return f"team/app-{next(numbers)}"


def create_queue(cloud: Cloud, name: str) -> tuple[str, str]:
    """Make a queue that EventBridge may send to; gives its URL and its ARN."""
    arn = f"arn:aws:sqs:{cloud.region}:{cloud.account}:{name}"
    allowed = {"Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **allowed}]})
    return cloud.client("sqs").create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"], arn


@pytest.fixture
def listen(cloud: Cloud, numbers: Iterator[int]) -> Listen:
    """Make a rule with a queue as its target; gives what reads the queue."""

    def listen_to(detail: dict[str, Any], **target: object) -> Callable[[], list[dict[str, Any]]]:
        name = f"listener-{next(numbers)}"
        sqs, events = cloud.client("sqs"), cloud.client("events")
        url, arn = create_queue(cloud, name)
        pattern = {"source": ["aws.ecr"], "detail-type": ["ECR Image Action"], "detail": detail}
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn, **target}])

        def read() -> list[dict[str, Any]]:
            messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
            return [json.loads(message["Body"]) for message in messages]

        return read

    return listen_to


def test_a_push_makes_the_documented_event(cloud: Cloud, listen: Listen, repository: str) -> None:
    read = listen({"repository-name": [repository]})
    pushed = images.push(cloud.client("ecr"), repository, "v1")
    (event,) = read()
    assert event.pop("id")
    assert event.pop("time").endswith("Z")
    assert event == {
        "version": "0",
        "source": "aws.ecr",
        "detail-type": "ECR Image Action",
        "account": cloud.account,
        "region": cloud.region,
        "resources": [],
        "detail": {
            "action-type": "PUSH",
            "result": "SUCCESS",
            "repository-name": repository,
            "image-digest": pushed.digest,
            "image-tag": "v1",
            "manifest-media-type": "application/vnd.oci.image.manifest.v1+json",
            "artifact-media-type": "application/vnd.oci.image.config.v1+json",
        },
    }


def test_every_push_has_a_digest_of_its_own(cloud: Cloud, repository: str) -> None:
    ecr = cloud.client("ecr")
    first, second = (images.push(ecr, repository, "v1") for _ in range(2))
    assert first.image == second.image == f"{cloud.registry}/{repository}:v1"
    assert first.digest != second.digest
    (found,) = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "v1"}])["imageDetails"]
    assert found["imageDigest"] == second.digest


def test_patterns_choose_by_wildcard_and_by_existence(cloud: Cloud, listen: Listen, repository: str) -> None:
    releases = listen({"repository-name": [repository], "image-tag": [{"wildcard": "v*"}]})
    tagged = listen({"repository-name": [repository], "image-tag": [{"exists": True}]})
    untagged = listen({"repository-name": [repository], "image-tag": [{"exists": False}]})
    ecr = cloud.client("ecr")
    images.push(ecr, repository, "v1")
    images.push(ecr, repository, "nightly")
    ecr.put_image(repositoryName=repository, imageManifest=json.dumps(images.manifest("run")))
    assert [event["detail"]["image-tag"] for event in releases()] == ["v1"]
    assert {event["detail"]["image-tag"] for event in tagged()} == {"v1", "nightly"}
    assert ["image-tag" in event["detail"] for event in untagged()] == [False]


def test_an_input_transformer_forms_the_input(cloud: Cloud, listen: Listen, repository: str) -> None:
    read = listen(
        {"repository-name": [repository]},
        InputTransformer={
            "InputPathsMap": {"account": "$.account", "tag": "$.detail.image-tag", "id": "$.id"},
            "InputTemplate": '{"image": "<account>.dkr/app:<tag>", "push": {"id": <id>}}',
        },
    )
    images.push(cloud.client("ecr"), repository, "v1")
    (formed,) = read()
    assert formed["image"] == f"{cloud.account}.dkr/app:v1"
    assert formed["push"]["id"]


def test_a_deletion_makes_an_event_for_the_tag(cloud: Cloud, listen: Listen, repository: str) -> None:
    ecr = cloud.client("ecr")
    pushed = images.push(ecr, repository, "v1")
    manifest = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}])["images"][0]
    ecr.put_image(repositoryName=repository, imageManifest=manifest["imageManifest"], imageTag="v2")
    read = listen({"repository-name": [repository], "action-type": ["DELETE"]})
    ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}])
    (event,) = read()
    assert event["detail"]["image-tag"] == "v1"
    assert event["detail"]["image-digest"] == pushed.digest
    (left,) = ecr.describe_images(repositoryName=repository)["imageDetails"]
    assert left["imageTags"] == ["v2"]


def test_a_missing_image_is_an_error(cloud: Cloud, repository: str) -> None:
    ecr = cloud.client("ecr")
    images.push(ecr, repository, "v1")
    with pytest.raises(ecr.exceptions.ImageNotFoundException, match="imageTag:'v2'"):
        ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "v2"}])
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.describe_images(repositoryName=f"{repository}-other", imageIds=[{"imageTag": "v1"}])


def test_nobody_else_speaks_for_ecr(cloud: Cloud) -> None:
    entry = {"Source": "aws.ecr", "DetailType": "ECR Image Action", "Detail": "{}"}
    answer = cloud.client("events").put_events(Entries=[entry])
    assert answer["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"


def test_what_a_target_does_not_take_goes_to_its_dead_letter_queue(cloud: Cloud, repository: str) -> None:
    sqs, events = cloud.client("sqs"), cloud.client("events")
    name = repository.replace("/", "-")
    url, arn = create_queue(cloud, name)
    machine = f"{cloud.state_machine}-gone"
    events.put_rule(Name=name, EventPattern=json.dumps({"detail": {"repository-name": [repository]}}))
    events.put_targets(Rule=name, Targets=[{"Id": "gone", "Arn": machine, "DeadLetterConfig": {"Arn": arn}}])
    images.push(cloud.client("ecr"), repository, "v1")
    (message,) = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    assert json.loads(message["Body"])["detail"]["repository-name"] == repository
    attributes = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert attributes["TARGET_ARN"] == machine
    assert attributes["ERROR_CODE"] == "StateMachineDoesNotExist"


def test_what_a_topic_does_not_take_goes_to_the_dead_letter_queue(cloud: Cloud, repository: str) -> None:
    sqs, events = cloud.client("sqs"), cloud.client("events")
    name = repository.replace("/", "-")
    url, arn = create_queue(cloud, name)
    gone = f"arn:aws:sns:{cloud.region}:{cloud.account}:gone"
    events.put_rule(Name=name, EventPattern=json.dumps({"detail": {"repository-name": [repository]}}))
    events.put_targets(Rule=name, Targets=[{"Id": "gone", "Arn": gone, "DeadLetterConfig": {"Arn": arn}}])
    images.push(cloud.client("ecr"), repository, "v1")
    (message,) = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "RESOURCE_NOT_FOUND"


def test_a_repository_is_made_once(cloud: Cloud, repository: str) -> None:
    ecr = cloud.client("ecr")
    images.push(ecr, repository, "v1")
    with pytest.raises(ClientError, match="RepositoryAlreadyExists"):
        ecr.create_repository(repositoryName=repository)
