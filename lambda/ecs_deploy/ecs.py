"""The calls to ECS, and to what is beside it: the registry, the logs.

botocore drops the members of a document that its model does not know, on the way in and on the way out. Task
definitions therefore pass as raw JSON, taken and given through botocore's own events:
https://docs.aws.amazon.com/boto3/latest/guide/events.html
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from botocore.exceptions import ClientError, HTTPClientError

from ecs_deploy.aws import ONE_TRY, code_of, service_not_found, translated
from ecs_deploy.errors import ImageNotFound
from ecs_deploy.marks import Marks, Proof, is_proven
from ecs_deploy.missed import Image
from ecs_deploy.notation import family, number
from ecs_deploy.service import Service, ServiceDeployment, Task

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_ecs.literals import DesiredStatusType
    from mypy_boto3_ecs.type_defs import TagTypeDef

    from ecs_deploy.diagnosis import LogStream
    from ecs_deploy.image import ImageReference

_NO_SUCH_IMAGE = frozenset({"ImageNotFoundException", "RepositoryNotFoundException"})


class TaskDefinition(NamedTuple):
    """A revision as ECS keeps it: the raw document, every member in it, and its tags."""

    arn: str
    document: dict[str, Any]
    tags: dict[str, str]

    @property
    def marks(self) -> Marks | None:
        """What the deployer noted on it, if it is the deployer's."""
        return Marks.read(self.arn, self.tags)

    @property
    def has_failed(self) -> bool:
        """Whether its own deployment failed."""
        return is_proven(Proof.FAILED, self.arn, self.tags)

    @property
    def registered_at(self) -> datetime:
        """When ECS registered it, by ECS's clock."""
        return datetime.fromtimestamp(self.document["registeredAt"], UTC)


def describe_service(cluster: str, service: str) -> Service:
    """Read a service with its deployments.

    Raises `ServiceNotFound`, `AccessDenied`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html
    """
    try:
        answer = connect().describe_services(cluster=cluster, services=[service])
    except (ClientError, HTTPClientError) as error:
        raise translated(error, cluster, service) from error
    if not answer["services"]:
        raise service_not_found(cluster, service)
    return Service.described(answer["services"][0])


def describe_task_definition(revision: str) -> TaskDefinition:
    """Read a revision by its ARN, or the newest active one of a family by the family's name.

    Raises `AccessDenied`, `AwsUnavailable`, `DeploymentFailed`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTaskDefinition.html
    """
    try:
        answer: Mapping[str, Any] = connect().describe_task_definition(taskDefinition=revision, include=["TAGS"])
    except (ClientError, HTTPClientError) as error:
        raise translated(error) from error
    raw = answer["Raw"]
    tags = {tag["key"]: tag.get("value", "") for tag in raw.get("tags") or ()}
    return TaskDefinition(raw["taskDefinition"]["taskDefinitionArn"], raw["taskDefinition"], tags)


def register_task_definition(document: Mapping[str, Any], tags: Mapping[str, str]) -> str:
    """Register a raw document and answer the new revision's ARN.

    Raises `AccessDenied`, `AwsUnavailable`, `DeploymentFailed`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html
    """
    whole = {**document, "tags": [{"key": key, "value": value} for key, value in tags.items()]}
    client = connect()

    def put_raw(params: dict[str, Any], **_: object) -> None:
        params["body"] = json.dumps(whole).encode()

    client.meta.events.register("before-call.ecs.RegisterTaskDefinition", put_raw)
    try:
        answer: Mapping[str, Any] = client.register_task_definition(family=whole["family"], containerDefinitions=[])
    except (ClientError, HTTPClientError) as error:
        raise translated(error) from error
    finally:
        client.meta.events.unregister("before-call.ecs.RegisterTaskDefinition", put_raw)
    arn: str = answer["Raw"]["taskDefinition"]["taskDefinitionArn"]
    return arn


def update_service(cluster: str, service: str, revision: str) -> Service:
    """Make the service run `revision`; the answer lists the deployment just made and those it displaced.

    Raises `ServiceNotFound`, `UnsupportedService`, `AccessDenied`, `AwsUnavailable`, `DeploymentFailed`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html
    """
    try:
        answer = connect().update_service(cluster=cluster, service=service, taskDefinition=revision)
    except (ClientError, HTTPClientError) as error:
        raise translated(error, cluster, service) from error
    return Service.described(answer["service"])


def describe_service_deployment(arn: str) -> ServiceDeployment:
    """Read a service deployment and the revision it brings in.

    Raises `AccessDenied`, `AwsUnavailable`, `DeploymentFailed`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceDeployments.html
    """
    try:
        found = connect().describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]
        target = found["targetServiceRevision"]["arn"]
        revisions = connect().describe_service_revisions(serviceRevisionArns=[target])["serviceRevisions"]
    except (ClientError, HTTPClientError) as error:
        raise translated(error) from error
    return ServiceDeployment(
        arn=found["serviceDeploymentArn"],
        status=found["status"],
        stage=found.get("lifecycleStage", ""),
        reason=found.get("statusReason"),
        created_at=found["createdAt"],
        revision=revisions[0]["taskDefinition"],
    )


def describe_tasks(cluster: str, service: str) -> tuple[Task, ...]:
    """Read the tasks of a service: those that run or are on their way, and those that stopped within the last hour.

    At most a hundred of each. Raises `AccessDenied`, `AwsUnavailable`, `DeploymentFailed`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
    """
    statuses: tuple[DesiredStatusType, ...] = ("STOPPED", "RUNNING")
    tasks: list[Task] = []
    try:
        for status in statuses:
            arns = connect().list_tasks(cluster=cluster, serviceName=service, desiredStatus=status)["taskArns"]
            if arns:
                answer = connect().describe_tasks(cluster=cluster, tasks=arns)
                tasks += [Task.described(each) for each in answer["tasks"]]
    except (ClientError, HTTPClientError) as error:
        raise translated(error, cluster, service) from error
    return tuple(tasks)


def revisions_before(revision: str, most: int) -> list[str]:
    """The ARNs of at most `most` active revisions of the same family with a lower number, the newest first.

    Raises `AccessDenied`, `AwsUnavailable`, `DeploymentFailed`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTaskDefinitions.html
    """
    pages = connect().get_paginator("list_task_definitions")
    earlier: list[str] = []
    try:
        for page in pages.paginate(familyPrefix=family(revision), status="ACTIVE", sort="DESC"):
            same_family = (arn for arn in page["taskDefinitionArns"] if family(arn) == family(revision))
            earlier += [arn for arn in same_family if number(arn) < number(revision)]
            if len(earlier) >= most:
                break
    except (ClientError, HTTPClientError) as error:
        raise translated(error) from error
    return earlier[:most]


def tag(revision: str, tags: Mapping[str, str]) -> None:
    """Put tags on a revision, in place of those with the same keys.

    Raises `AccessDenied`, `AwsUnavailable`, `DeploymentFailed`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TagResource.html
    """
    pairs: list[TagTypeDef] = [{"key": key, "value": value} for key, value in tags.items()]
    try:
        connect().tag_resource(resourceArn=revision, tags=pairs)
    except (ClientError, HTTPClientError) as error:
        raise translated(error) from error


def last_log_lines(stream: "LogStream", most: int) -> tuple[str, ...]:
    """Read the last lines of a log stream, oldest first; none where there is no such stream.

    Raises `AccessDenied`, `AwsUnavailable`, `DeploymentFailed`.
    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
    """
    client = boto3.client("logs", region_name=stream.region, config=ONE_TRY)
    try:
        events = client.get_log_events(
            logGroupName=stream.group, logStreamName=stream.stream, limit=most, startFromHead=False
        )["events"]
    except client.exceptions.ResourceNotFoundException:
        return ()
    except (ClientError, HTTPClientError) as error:
        raise translated(error) from error
    return tuple(each["message"].strip() for each in events)


def require_image(image: "ImageReference") -> None:
    """Raise `ImageNotFound` unless this account's ECR has the image; also `AccessDenied`, `AwsUnavailable`.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
    """
    try:
        found = connect_ecr().describe_images(
            repositoryName=image.path,
            imageIds=[{"imageDigest": image.digest} if image.digest else {"imageTag": image.tag or ""}],
        )["imageDetails"]
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NO_SUCH_IMAGE:
            raise translated(error) from error
        found = []
    except HTTPClientError as error:
        raise translated(error) from error
    if not found:
        raise ImageNotFound(f"There is no image {image} in ECR. Push it, or correct the repository and the tag.")


def tagged_images(repository: str) -> list[Image]:
    """The images of a repository of this account that have a tag; none where there is no such repository.

    Raises `AccessDenied`, `AwsUnavailable`, `DeploymentFailed`.
    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
    """
    pages = connect_ecr().get_paginator("describe_images")
    try:
        found = [
            each
            for page in pages.paginate(
                repositoryName=repository, filter={"tagStatus": "TAGGED"}, PaginationConfig={"PageSize": 1000}
            )
            for each in page["imageDetails"]
        ]
    except (ClientError, HTTPClientError) as error:
        if code_of(error) in _NO_SUCH_IMAGE:
            return []
        raise translated(error) from error
    return [Image(each["imageDigest"], tuple(each.get("imageTags", ())), each["imagePushedAt"]) for each in found]


@cache
def connect() -> "ECSClient":
    """The client for ECS, made once; the SDK's own environment tells where AWS is."""
    client = boto3.client("ecs", config=ONE_TRY)
    for operation in ("DescribeTaskDefinition", "RegisterTaskDefinition"):
        client.meta.events.register(f"before-parse.ecs.{operation}", _take_raw)
    return client


@cache
def connect_ecr() -> "ECRClient":
    """The client for ECR, made when an image is there to be looked for."""
    return boto3.client("ecr", config=ONE_TRY)


def _take_raw(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Put the whole answer beside what the SDK reads of it, which is nothing: its model may know members otherwise."""
    if response_dict["status_code"] == HTTPStatus.OK:
        customized_response_dict["Raw"] = json.loads(response_dict["body"])
        response_dict["body"] = b"{}"
