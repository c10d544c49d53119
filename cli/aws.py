"""The calls to AWS: find the state machine, start an execution, read it. What goes wrong is said with what to do."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .ends import NO_AWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"}
_SESSION = {"SSOTokenLoadError", "TokenRetrievalError", "UnauthorizedSSOTokenError", "LoginRefreshRequired"}


class CliError(Exception):
    """What ends the command: a sentence that says what to do, and the exit status."""

    def __init__(self, message: str, code: int = NO_AWS) -> None:
        super().__init__(message)
        self.code = code


class NoExecutionError(CliError):
    """There is no such execution, or none any more."""


class ConnectionLostError(Exception):
    """AWS could not be reached; the execution goes on."""


class Machine:
    """The state machine of a stack, in a region of the caller's configuration."""

    def __init__(self, stack: str, region: str | None, profile: str | None) -> None:
        self.stack = stack
        with explained():
            # The SDK takes a while to load, and `--help` needs none of it.
            import boto3  # noqa: PLC0415
            from botocore.config import Config  # noqa: PLC0415

            self._session = boto3.Session(region_name=region, profile_name=profile)
            self._config = Config(retries={"mode": "standard", "total_max_attempts": 5})
            self._states: Any = self._session.client("stepfunctions", config=self._config)
        self._arn = ""

    @property
    def arn(self) -> str:
        """The ARN of the machine, which the stack's outputs have. Raises `CliError`, `ConnectionLostError`."""
        if not self._arn:
            with explained(self.stack, self._session.region_name):
                stacks = self._session.client("cloudformation", config=self._config).describe_stacks(
                    StackName=self.stack
                )
            outputs = {each["OutputKey"]: each["OutputValue"] for each in stacks["Stacks"][0].get("Outputs", ())}
            if "StateMachineArn" not in outputs:
                raise CliError(
                    f"The stack {self.stack} has no output StateMachineArn: is it a stack of ecs-deploy? Use --stack."
                )
            self._arn = outputs["StateMachineArn"]
        return self._arn

    def start(self, request: Mapping[str, Any]) -> str:
        """Start an execution; answer its ARN. Raises `CliError`, `ConnectionLostError`."""
        arn = self.arn
        with explained():
            started = self._states.start_execution(stateMachineArn=arn, input=json.dumps(request))
        return str(started["executionArn"])

    def execution(self, name: str) -> str:
        """The ARN of an execution, which may be given by its name. Raises `CliError`, `ConnectionLostError`."""
        return name if name.startswith("arn:") else f"{self.arn.replace(':stateMachine:', ':execution:')}:{name}"

    def describe(self, execution: str) -> dict[str, Any]:
        """DescribeExecution. Raises `CliError`, `ConnectionLostError`."""
        with explained():
            found: dict[str, Any] = self._states.describe_execution(executionArn=execution)
        return found

    def events(self, execution: str) -> list[dict[str, Any]]:
        """The whole history of an execution. Raises `CliError`, `ConnectionLostError`."""
        with explained():
            pages = self._states.get_paginator("get_execution_history").paginate(executionArn=execution)
            return [event for page in pages for event in page["events"]]

    def newest_events(self, execution: str) -> list[dict[str, Any]]:
        """The newest events of the history, the newest first. Raises `CliError`, `ConnectionLostError`."""
        with explained():
            answer = self._states.get_execution_history(executionArn=execution, reverseOrder=True, maxResults=30)
        found: list[dict[str, Any]] = answer["events"]
        return found

    def newest_executions(self) -> list[dict[str, Any]]:
        """The executions that were started last, the newest first. Raises `CliError`, `ConnectionLostError`."""
        arn = self.arn
        with explained():
            answer = self._states.list_executions(stateMachineArn=arn, maxResults=50)
        found: list[dict[str, Any]] = answer["executions"]
        return found


@contextmanager
def explained(stack: str = "", region: str | None = None) -> Iterator[None]:
    """Raise `CliError` with what to do for what AWS refuses, `ConnectionLostError` where it cannot be reached."""
    try:
        yield
    except Exception as error:
        kind = type(error).__name__
        if kind in {
            "ConnectTimeoutError",
            "EndpointConnectionError",
            "ReadTimeoutError",
            "ConnectionClosedError",
            "SSLError",
        }:
            raise ConnectionLostError(str(error)) from error
        if said := _said(kind, error, stack, region):
            ends = NoExecutionError if _code(error) == "ExecutionDoesNotExist" else CliError
            raise ends(said) from error
        raise


def _said(kind: str, error: Exception, stack: str, region: str | None) -> str | None:
    code, message = _code(error), _answer(error).get("Message", str(error))
    if kind == "NoRegionError":
        return "No region is known. Name the one of the stack with -r, or set AWS_REGION."
    if kind == "NoCredentialsError":
        return "No credentials are found. Set AWS_PROFILE, or sign in: aws configure, aws sso login."
    if kind == "ProfileNotFound":
        return f"{error}. Name one that `aws configure list-profiles` lists."
    if kind in _SESSION or code in _EXPIRED:
        return f"The session has expired, or its credentials are not valid ({message}). Sign in again: aws sso login."
    if code == "ValidationError" and stack and "does not exist" in message:
        return (
            f"There is no stack {stack} in {region} of this account. Name it with --stack, its region with -r, its "
            "account with -p; or deploy it: make deploy."
        )
    if code in {"AccessDenied", "AccessDeniedException"}:
        return f"AWS does not allow it: {message}. Who may start executions may deploy: docs/permissions.md."
    if code in {"ExecutionDoesNotExist", "InvalidArn", "InvalidName"}:
        return f"There is no such execution ({message}). Name one that `aws stepfunctions list-executions` lists."
    return f"AWS refuses it: {code}: {message}." if code else None


def _code(error: Exception) -> str:
    return str(_answer(error).get("Code", ""))


def _answer(error: Exception) -> dict[str, Any]:
    """What AWS has said, where it was AWS that refused."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    found: dict[str, Any] = response.get("Error", {})
    return found
