"""The calls to ECS.

botocore drops the members of a document that its model does not know, on the way in and on the way out. Task
definitions therefore pass as raw JSON, taken and given through botocore's own events:
https://docs.aws.amazon.com/boto3/latest/guide/events.html
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3

from ecs_deploy.aws.client import ONE_TRY, service_not_found, translating
from ecs_deploy.core.formats import family, number
from ecs_deploy.core.service import Service, Task
from ecs_deploy.core.service_deployment import ServiceDeployment, ServiceRevision

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_ecs.literals import DesiredStatusType


class TaskDefinition(NamedTuple):
    """A revision as ECS keeps it: the raw document, every member in it, and its tags."""

    arn: str
    document: dict[str, Any]
    tags: dict[str, str]


def describe_service(cluster: str, service: str) -> Service:
    """Read a service with its deployments.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html
    """
    with translating(cluster, service):
        answer = connect().describe_services(cluster=cluster, services=[service], include=["TAGS"])
    if not answer["services"]:
        raise service_not_found(cluster, service)
    return Service.described(answer["services"][0])


def tags_of(cluster: str, services: Sequence[str]) -> dict[str, dict[str, str]]:
    """The tags of the services of a cluster that are there and active, by their names.

    Raises `DeployError`, `AwsUnavailable`.
    """
    found: dict[str, dict[str, str]] = {}
    for first in range(0, len(services), _MOST_SERVICES):
        names = [*services[first : first + _MOST_SERVICES]]
        with translating(cluster, names[0]):
            answer = connect().describe_services(cluster=cluster, services=names, include=["TAGS"])
        described = map(Service.described, answer["services"])
        found |= {each.name: dict(each.tags) for each in described if each.is_active}
    return found


def describe_task_definition(revision: str) -> TaskDefinition:
    """Read a revision by its ARN, or the newest active one of a family by the family's name.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTaskDefinition.html
    """
    with translating():
        answer: Mapping[str, Any] = connect().describe_task_definition(taskDefinition=revision, include=["TAGS"])
    raw = answer["Raw"]
    tags = {tag["key"]: tag.get("value", "") for tag in raw.get("tags") or ()}
    return TaskDefinition(raw["taskDefinition"]["taskDefinitionArn"], raw["taskDefinition"], tags)


def register_task_definition(document: Mapping[str, Any], tags: Mapping[str, str]) -> str:
    """Register a raw document and answer the new revision's ARN.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html
    """
    whole = {**document, "tags": [{"key": key, "value": value} for key, value in tags.items()]}
    client = connect()

    def put_raw(params: dict[str, Any], **_: object) -> None:
        params["body"] = json.dumps(whole).encode()

    client.meta.events.register("before-call.ecs.RegisterTaskDefinition", put_raw)
    try:
        with translating():
            answer: Mapping[str, Any] = client.register_task_definition(family=whole["family"], containerDefinitions=[])
    finally:
        client.meta.events.unregister("before-call.ecs.RegisterTaskDefinition", put_raw)
    arn: str = answer["Raw"]["taskDefinition"]["taskDefinitionArn"]
    return arn


def update_service(cluster: str, service: str, revision: str) -> Service:
    """Make the service run `revision`; the answer lists the deployment just made and those it displaced.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html
    """
    with translating(cluster, service):
        answer = connect().update_service(cluster=cluster, service=service, taskDefinition=revision)
    return Service.described(answer["service"])


def describe_service_deployment(arn: str) -> ServiceDeployment:
    """Read a service deployment.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceDeployments.html
    """
    with translating():
        found = connect().describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
    return ServiceDeployment.described(found[0])


def find_service_deployment(service: Service, revision: str, since: datetime) -> ServiceDeployment | None:
    """Read the newest service deployment that brings in `revision`, made `since` then; UpdateService names none.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServiceDeployments.html
    """
    with translating(service.cluster, service.name):
        listed = connect().list_service_deployments(
            cluster=service.cluster, service=service.name, createdAt={"after": since}, maxResults=_MOST_DESCRIBED
        )["serviceDeployments"]
        if not listed:
            return None
        arns = [each["serviceDeploymentArn"] for each in listed]
        made = connect().describe_service_deployments(serviceDeploymentArns=arns)["serviceDeployments"]
        targets = [each["targetServiceRevision"]["arn"] for each in made]
        described = connect().describe_service_revisions(serviceRevisionArns=targets)["serviceRevisions"]
    wanted = {each["serviceRevisionArn"] for each in described if each["taskDefinition"] == revision}
    found = [ServiceDeployment.described(each) for each in made if each["targetServiceRevision"]["arn"] in wanted]
    return max(found, key=lambda each: each.created_at, default=None)


def last_successful(cluster: str, service: str) -> ServiceRevision | None:
    """Read what a service's newest successful service deployment has brought in: ECS rolls back to that.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceRevisions.html
    """
    with translating(cluster, service):
        listed = connect().list_service_deployments(
            cluster=cluster, service=service, status=["SUCCESSFUL"], maxResults=_MOST_LISTED
        )["serviceDeployments"]
        newest = sorted(listed, key=lambda each: each["createdAt"], reverse=True)[:1]
        arns = [each["targetServiceRevisionArn"] for each in newest]
        found = connect().describe_service_revisions(serviceRevisionArns=arns)["serviceRevisions"] if arns else []
    return ServiceRevision.described(found[0]) if found else None


def roll_back(service_deployment: str) -> None:
    """Let ECS stop a service deployment that is under way, and return from it. Raises `DeployError`, `AwsUnavailable`.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopServiceDeployment.html
    """
    with translating():
        connect().stop_service_deployment(serviceDeploymentArn=service_deployment, stopType="ROLLBACK")


_MOST_SERVICES, _MOST_DESCRIBED, _MOST_LISTED = 10, 20, 100


def describe_tasks(cluster: str, service: str) -> tuple[Task, ...]:
    """Read the tasks of a service: those that run or are on their way, and those that stopped within the last hour.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
    """
    return (*describe_stopped_tasks(cluster, service), *describe_running_tasks(cluster, service))


def describe_stopped_tasks(cluster: str, service: str) -> tuple[Task, ...]:
    """Read the tasks of a service that stopped within the last hour. Raises `DeployError`, `AwsUnavailable`."""
    return _tasks(cluster, service, "STOPPED")


def describe_running_tasks(cluster: str, service: str) -> tuple[Task, ...]:
    """Read the tasks of a service that run or are on their way. Raises `DeployError`, `AwsUnavailable`."""
    return _tasks(cluster, service, "RUNNING")


def describe_tasks_of(cluster: str, service: str, revision: str) -> list[Task]:
    """Read running tasks of a revision: those on the first page of the service's tasks that has any.

    Raises `DeployError`, `AwsUnavailable`.
    """
    pages = _pages(cluster, service, "RUNNING")
    found = ([each for each in page if (each.revision, each.status) == (revision, "RUNNING")] for page in pages)
    return next((each for each in found if each), [])


def _tasks(cluster: str, service: str, status: "DesiredStatusType") -> tuple[Task, ...]:
    return tuple(task for page in _pages(cluster, service, status) for task in page)


def _pages(cluster: str, service: str, status: "DesiredStatusType") -> Iterator[list[Task]]:
    """Each page of the tasks with a desired status; DescribeTasks takes a hundred, as many as a page has.

    To filter by `startedBy` as well is not allowed:
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
    """
    pages = connect().get_paginator("list_tasks")
    with translating(cluster, service):
        for page in pages.paginate(cluster=cluster, serviceName=service, desiredStatus=status):
            if arns := page["taskArns"]:
                answer = connect().describe_tasks(cluster=cluster, tasks=arns)
                yield [Task.described(each) for each in answer["tasks"]]


def revisions_after(revision: str) -> list[str]:
    """The ARNs of the active revisions of the same family with a higher number, the newest first.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTaskDefinitions.html
    """
    pages = connect().get_paginator("list_task_definitions")
    later: list[str] = []
    with translating():
        for page in pages.paginate(familyPrefix=family(revision), status="ACTIVE", sort="DESC"):
            # A prefix fits other families too.
            found = [arn for arn in page["taskDefinitionArns"] if family(arn) == family(revision)]
            later += [arn for arn in found if number(arn) > number(revision)]
            if any(number(arn) <= number(revision) for arn in found):
                break
    return later


def deregister_task_definition(revision: str) -> None:
    """Make a revision INACTIVE: nobody's "latest" is it any more. Raises `DeployError`, `AwsUnavailable`.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterTaskDefinition.html
    """
    with translating():
        connect().deregister_task_definition(taskDefinition=revision)


@cache
def connect() -> "ECSClient":
    """The client for ECS, made once; the SDK's own environment tells where AWS is."""
    client = boto3.client("ecs", config=ONE_TRY)
    for operation in ("DescribeTaskDefinition", "RegisterTaskDefinition"):
        client.meta.events.register(f"before-parse.ecs.{operation}", _take_raw)
    return client


def _take_raw(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Put the whole answer beside what the SDK reads of it, which is nothing: its model may know members otherwise."""
    if response_dict["status_code"] == HTTPStatus.OK:
        customized_response_dict["Raw"] = json.loads(response_dict["body"])
        response_dict["body"] = b"{}"
