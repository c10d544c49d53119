"""What all calls to AWS have in common: one try each, and what an error means here."""

import re
from http import HTTPStatus

from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from ecs_deploy.errors import (
    AccessDenied,
    AwsUnavailable,
    DeployError,
    DeploymentFailed,
    ServiceNotFound,
    UnsupportedService,
)

# The workflow retries, not the SDK: RegisterTaskDefinition is not idempotent, and a retried step first looks whether
# an answer was lost on the way. It also waits outside the function.
ONE_TRY = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=20)

_DENIED = frozenset({"AccessDeniedException", "AccessDenied", "UnauthorizedOperation"})
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html
_TRANSIENT = frozenset(
    {
        "InternalFailure",
        "LimitExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServerException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
# ECS words this one as a ClientException, though it is gone a moment later.
_CONCURRENT_REVISION = "Too many concurrent attempts to create a new revision"


def translated(
    error: ClientError | HTTPClientError, cluster: str = "", service: str = ""
) -> DeployError | AwsUnavailable:
    """What an error of the SDK means here."""
    if isinstance(error, HTTPClientError):
        return AwsUnavailable(str(error))
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    call = f"{error.operation_name} was refused ({code}: {message})"
    if code in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR or _CONCURRENT_REVISION in message:
        return AwsUnavailable(call)
    if code in _DENIED:
        return AccessDenied(_denied(error.operation_name, message))
    if code in {"ClusterNotFoundException", "ServiceNotFoundException"}:
        return service_not_found(cluster, service)
    if code == "ServiceNotActiveException":
        return UnsupportedService(f"The service {service} of the cluster {cluster} is not active. {call}.")
    return DeploymentFailed(f"{call}. What the request asks for cannot be done; correct it or the task definition.")


def code_of(error: ClientError | HTTPClientError) -> str | None:
    """The code that AWS answered, if it answered."""
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else None


def service_not_found(cluster: str, service: str) -> ServiceNotFound:
    """The end of an execution that asks for a service which is not there."""
    return ServiceNotFound(
        f"There is no service {service} in the cluster {cluster} of this account and region. "
        "Correct cluster and service in the request."
    )


def _denied(operation: str, message: str) -> str:
    """Name the action and the role, which AWS tells in the message of the error."""
    action = re.search(r"perform: ([\w-]+:\w+)", message)
    role = re.search(r"assumed-role/([\w+=,.@-]+)/", message)
    return (
        f"The role {role[1] if role else 'of the Lambda function'} may not call "
        f"{action[1] if action else operation}. Allow it, or add the service to the targets of the stack and deploy "
        f"the stack again. AWS said: {message}"
    )
