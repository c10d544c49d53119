"""What all calls to AWS have in common: one try each, and what an error means here."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 - botocore's name

from ecs_deploy.core.errors import AwsUnavailable, DeployError, Error, RevisionNotFound

READ_TIMEOUT, CONNECT_TIMEOUT = 20, 5
"""Seconds."""

# The workflow retries, not the SDK: RegisterTaskDefinition is not idempotent, and a retried step first reads whether
# an answer was lost on the way. It also waits outside the function.
ONE_TRY = Config(
    retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT
)

_DENIED = frozenset({"AccessDeniedException", "AccessDenied", "UnauthorizedOperation"})
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
_TRANSIENT = frozenset(
    {
        # Of RunTask: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
        "ConflictException",
        "InternalFailure",
        "InternalServerError",
        "ExecutionLimitExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServerException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
# What is gone a moment later, though ECS words it as a mistake of the caller. Old deployments drain:
# aws/containers-roadmap#2836.
_GOES_BY = ("Too many concurrent attempts to create a new revision", "deployments exist")
# hashicorp/terraform-provider-aws#45553, bugcrowd/ecs-deployment-monitor#2.
_NO_SUCH_REVISION = ("TaskDefinition not found", "Unable to describe task definition")


@contextmanager
def translating(cluster: str = "", service: str = "") -> Iterator[None]:
    """Raise what an error of the SDK means here: `DeployError`, or `AwsUnavailable` for what may go by."""
    try:
        yield
    except (HTTPClientError, ConnectionError) as error:
        raise AwsUnavailable(str(error)) from error
    except ClientError as error:
        raise _translated(error, cluster, service) from error


def _translated(error: ClientError, cluster: str, service: str) -> DeployError | AwsUnavailable:
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    call = f"{error.operation_name} was refused ({code}: {message})"
    if code in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR or any(each in message for each in _GOES_BY):
        return AwsUnavailable(call)
    if code == "LimitExceededException":
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
        return DeployError(
            Error.DEPLOYMENT_FAILED, f"{call}. A quota is used up: raise it in Service Quotas, or free what it counts."
        )
    if any(each in message for each in _NO_SUCH_REVISION):
        return RevisionNotFound(
            Error.DEPLOYMENT_FAILED, f"{call}. There is no such revision; correct the family and the number."
        )
    if code in _DENIED:
        return DeployError(Error.ACCESS_DENIED, _denied(error.operation_name, message))
    if code in {"ClusterNotFoundException", "ServiceNotFoundException"}:
        return service_not_found(cluster, service)
    if code == "ServiceNotActiveException":
        return DeployError(
            Error.UNSUPPORTED_SERVICE, f"The service {service} of the cluster {cluster} is not active. {call}."
        )
    return DeployError(
        Error.DEPLOYMENT_FAILED,
        f"{call}. What the request asks for cannot be done; correct it or the task definition.",
    )


def service_not_found(cluster: str, service: str) -> DeployError:
    """The end of an execution that asks for a service which is not there."""
    return DeployError(
        Error.SERVICE_NOT_FOUND,
        f"There is no service {service} in the cluster {cluster} of this account and region. "
        "Correct cluster and service in the request.",
    )


# What lets the role do it, by the service of the action. AWS's messages name the resource.
_ADVICE = {
    "ecr": "Name the repository in a target of cdk.json, or a target without a repository, and deploy the stack again.",
    "iam": "Name the role in roles of the service's target or of discovery in cdk.json, and deploy the stack again.",
    "ecs": "Add the service to the targets in cdk.json, and deploy the stack again; with discovery, give it the tag "
    "ecs-deploy:repository.",
}


def _denied(operation: str, message: str) -> str:
    """Name the action, the role and the resource, which AWS tells in the message of the error, and what to change."""
    action = re.search(r"perform: ([\w-]+:\w+)", message)
    role = re.search(r"assumed-role/([\w+=,.@-]+)/", message)
    resource = re.search(r"on resource: (\S+)", message)
    name = action[1] if action else operation
    return (
        f"The role {role[1] if role else 'of the Lambda function'} may not call {name}"
        f"{f' on {resource[1]}' if resource else ''}. "
        f"{_ADVICE.get(name.partition(':')[0], 'Allow it to the role.')} AWS said: {message}"
    )
