"""Executions of Step Functions, and their names as claims: of two that ask for the same name, one gets it.

EventBridge delivers an event at least once, so two executions may be asked for the same push at the same moment. No
reading and writing of tags can tell for sure which was first. The name of an execution can: StartExecution gives it to
one caller, and to no other one within 90 days.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
"""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError, HTTPClientError

from ecs_deploy.aws import ONE_TRY, code_of, translated
from ecs_deploy.errors import AwsUnavailable

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


def claim(machine: str, name: str, execution: str) -> str:
    """Claim `name` for `execution`, and answer the ARN of the execution that has it, this one or an earlier one.

    `machine` is the ARN of a state machine that ends at once. Raises `AccessDenied`, `AwsUnavailable`,
    `DeploymentFailed`.
    """
    try:
        connect().start_execution(stateMachineArn=machine, name=name, input=json.dumps({"execution": execution}))
    except (ClientError, HTTPClientError) as error:
        if code_of(error) == "ExecutionAlreadyExists":
            return _owner(f"{machine.replace(':stateMachine:', ':execution:')}:{name}")
        raise translated(error) from error
    return execution


def start(machine: str, name: str, request: Mapping[str, Any]) -> str | None:
    """Start an execution of the state machine `machine` with a request, and answer its ARN; None if the name is taken.

    Raises `AccessDenied`, `AwsUnavailable`, `DeploymentFailed`.
    """
    try:
        started = connect().start_execution(stateMachineArn=machine, name=name, input=json.dumps(request))
    except (ClientError, HTTPClientError) as error:
        if code_of(error) == "ExecutionAlreadyExists":
            return None
        raise translated(error) from error
    return started["executionArn"]


def created_at(machine: str) -> datetime:
    """When the state machine was created. Raises `AccessDenied`, `AwsUnavailable`, `DeploymentFailed`.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeStateMachine.html
    """
    try:
        return connect().describe_state_machine(stateMachineArn=machine)["creationDate"]
    except (ClientError, HTTPClientError) as error:
        raise translated(error) from error


def _owner(arn: str) -> str:
    try:
        claimed = connect().describe_execution(executionArn=arn)
    except (ClientError, HTTPClientError) as error:
        # What was written may not be there to read yet:
        # https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
        if code_of(error) == "ExecutionDoesNotExist":
            raise AwsUnavailable(f"{arn} cannot be read yet") from error
        raise translated(error) from error
    owner: str = json.loads(claimed["input"])["execution"]
    return owner


@cache
def connect() -> "SFNClient":
    """The client for Step Functions, made when there is something to claim."""
    return boto3.client("stepfunctions", config=ONE_TRY)
