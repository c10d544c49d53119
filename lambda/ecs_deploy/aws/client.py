"""What all calls to AWS have in common: one try each, and what an error means here."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 - botocore's name

from ecs_deploy.core.errors import AwsUnavailable, DeployError, Error

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
        "InternalFailure",
        "InternalServerError",
        "LimitExceededException",
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
# ECS words this one as a ClientException, though it is gone a moment later.
_CONCURRENT_REVISION = "Too many concurrent attempts to create a new revision"


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
    if code in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR or _CONCURRENT_REVISION in message:
        return AwsUnavailable(call)
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


def _denied(operation: str, message: str) -> str:
    """Name the action and the role, which AWS tells in the message of the error."""
    action = re.search(r"perform: ([\w-]+:\w+)", message)
    role = re.search(r"assumed-role/([\w+=,.@-]+)/", message)
    return (
        f"The role {role[1] if role else 'of the Lambda function'} may not call "
        f"{action[1] if action else operation}. Allow it, or add the service to the targets of the stack and deploy "
        f"the stack again. AWS said: {message}"
    )
