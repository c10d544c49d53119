"""The calls to Step Functions."""

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from ecs_deploy.aws.client import ONE_TRY, translating
from ecs_deploy.core import together
from ecs_deploy.core.together import End

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


def start(machine: str, name: str, request: Mapping[str, Any]) -> str | None:
    """Start an execution of the state machine `machine` with a request, and answer its ARN; None if the name is taken.

    A name is given once in 90 days. Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    with translating():
        try:
            started = connect().start_execution(stateMachineArn=machine, name=name, input=json.dumps(request))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionAlreadyExists":
                return None
            raise
    return started["executionArn"]


def status_of(execution: str) -> str | None:
    """The status of an execution: RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED …; None where there is none.

    It is eventually consistent: an execution that has just started may not be there. Raises `DeployError`,
    `AwsUnavailable`. https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
    """
    with translating():
        try:
            return connect().describe_execution(executionArn=execution)["status"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return None
            raise


def end_of(execution: str) -> End | None:
    """How an execution has ended; None while it runs, or is not shown yet. Raises `DeployError`, `AwsUnavailable`."""
    with translating():
        try:
            found = connect().describe_execution(executionArn=execution)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return None
            raise
    output, cause = _read(found.get("output")), _read(found.get("cause"))
    return together.end_of(found["status"], output, found.get("error", ""), cause)


def _read(text: str | None) -> dict[str, Any]:
    try:
        read = json.loads(text or "{}")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def end_wait(token: str) -> None:
    """End the wait that a token is of; one that is over, or was ended before, stays as it is.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html
    """
    with translating():
        try:
            connect().send_task_success(taskToken=token, output="{}")
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"InvalidToken", "TaskDoesNotExist", "TaskTimedOut"}:
                raise


@cache
def connect() -> "SFNClient":
    """The client for Step Functions."""
    return boto3.client("stepfunctions", config=ONE_TRY)
