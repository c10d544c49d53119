"""The workflow: its states as Amazon States Language, and nothing that knows CDK.

Each of the three functions answers with what comes `next`, and one Choice state reads it: the order of a deployment is
decided in tested Python, the states only carry it out. Lambda never sleeps; waiting is a Wait state.

The definition is data, so the picture and the lint are made from the same object that is deployed. Its
`${placeholders}` are filled by CloudFormation (`DefinitionSubstitutions`).

Before it ends, an execution sends an event that says how; before it touches a service, one that it starts to. The
optimized integration adds the ARNs of the execution and of the state machine to an event, and fails with
EventBridge.FailedEntry when EventBridge does not take it. Then the execution goes on as if it had, by way of `NotTold`,
which an alarm watches: https://docs.aws.amazon.com/step-functions/latest/dg/connect-eventbridge.html

The input of an execution is handed to the first function as it is. JSONata never evaluates data, only the expressions
written here: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra import broken

if TYPE_CHECKING:
    from collections.abc import Mapping

FUNCTION_TIMEOUT = 60
"""Seconds a function may run. A task waits a little longer, so that Lambda's own account of it arrives."""

RETRY: dict[str, Any] = {
    "ErrorEquals": [
        "AwsUnavailable",
        "Lambda.TooManyRequestsException",
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.Unknown",
        "Sandbox.Timedout",
        "States.Timeout",
    ],
    "IntervalSeconds": 1,
    "BackoffRate": 2,
    "MaxDelaySeconds": 60,
    "JitterStrategy": "FULL",
    "MaxAttempts": 75,
}
"""Outlast an outage: full jitter halves the delays 1, 2, 4, 8, 16, 32 and 69 times 60 s, so waiting alone lasts 2,101 s
(35 minutes) on average, and practically always more than 20 minutes. https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"""

RETRY_NOTICE: dict[str, Any] = {**RETRY, "ErrorEquals": ["States.ALL"], "MaxAttempts": 10}
"""An end waits for its notice, 151 s on average, and not as long as a step may: the error's name does not tell whether
EventBridge is away or refuses."""

NOTICE_TIMEOUT = 30
"""Seconds that EventBridge may take to accept an event."""

LONGEST_EXECUTION = 4 * 86_400
"""Seconds: a day for the longest rollout and a day for the return, and as long again for bake time and for bringing a
revision in again. The 25,000 events of an execution's history end it at about the same time."""

SOURCE = "ecs-deploy"
STARTED, OUTCOME = "ECS Deploy Started", "ECS Deploy Outcome"


@dataclass(frozen=True, eq=False)
class Step:
    """One Task state and the function behind it."""

    state: str
    module: str
    doing: str
    payload: Mapping[str, str | Mapping[str, str]]

    @property
    def handler(self) -> str:
        """The handler string of the function."""
        return f"ecs_deploy.{self.module}.handler"

    @property
    def placeholder(self) -> str:
        """What stands for the function's ARN in the definition."""
        return f"{self.state}Function"


_PROGRESS = {
    "progress": "{% $states.input.progress %}",
    "attempt": "{% $states.context.State.RetryCount %}",
    "enteredAt": "{% $states.context.State.EnteredTime %}",
}
REGISTER = Step(
    "RegisterTaskDefinition",
    "register_task_definition",
    "registering the new revision",
    {
        # The state is also entered anew, on top of a revision that another execution has brought in meanwhile.
        "request": "{% $states.context.Execution.Input %}",
        "anew": "{% $exists($states.input.onto) %}",
        "onto": "{% $exists($states.input.onto) ? $states.input.onto : null %}",
        "execution": {
            "id": "{% $states.context.Execution.Id %}",
            "name": "{% $states.context.Execution.Name %}",
            "startedAt": "{% $states.context.Execution.StartTime %}",
        },
        "attempt": "{% $states.context.State.RetryCount %}",
    },
)
UPDATE = Step("UpdateService", "update_service", "updating the service", _PROGRESS)
POLL = Step("PollStability", "poll_stability", "following the rollout", _PROGRESS)
STEPS = (REGISTER, UPDATE, POLL)

PARTITION = "Partition"
"""The placeholder for the AWS partition in the definition."""

NOT_TOLD = "NotTold"
"""The state that an execution enters only where EventBridge did not take its event."""

_IS_UPDATE, _IS_SUCCESS = "{% $states.input.next = 'update' %}", "{% $states.input.next = 'succeed' %}"
_AS_IT_IS, _THE_OUTCOME = "{% $states.input %}", "{% $states.input.outcome %}"


def definition() -> dict[str, Any]:
    """The state machine, Standard, in JSONata."""
    return {
        "Comment": "Deploys an image to an ECS service, and tells why when it cannot.",
        "QueryLanguage": "JSONata",
        "TimeoutSeconds": LONGEST_EXECUTION,
        "StartAt": REGISTER.state,
        "States": {
            REGISTER.state: _task(REGISTER),
            "WhatNext": {
                "Type": "Choice",
                "Choices": [
                    {"Condition": "{% $states.input.next = 'register' %}", "Next": REGISTER.state},
                    {
                        "Condition": "{% $states.input.next = 'update' and $exists($states.input.notice) %}",
                        "Next": "TellStart",
                    },
                    {"Condition": _IS_UPDATE, "Next": UPDATE.state},
                    {"Condition": "{% $states.input.next = 'wait' %}", "Next": "WaitForRollout"},
                    {"Condition": _IS_SUCCESS, "Next": "TellSuccess"},
                ],
                "Default": "TellFailure",
            },
            "TellStart": _tell(STARTED, UPDATE.state, _AS_IT_IS),
            UPDATE.state: _task(UPDATE),
            "WaitForRollout": {"Type": "Wait", "Seconds": "{% $states.input.wait %}", "Next": POLL.state},
            POLL.state: _task(POLL),
            **broken.states(f"${{{PARTITION}}}", "TellFailure"),
            "TellSuccess": _tell(OUTCOME, "Succeeded", _THE_OUTCOME),
            "TellFailure": _tell(OUTCOME, "Failed", _AS_IT_IS),
            NOT_TOLD: {
                "Type": "Choice",
                "Choices": [
                    {"Condition": _IS_UPDATE, "Next": UPDATE.state},
                    {"Condition": _IS_SUCCESS, "Output": _THE_OUTCOME, "Next": "Succeeded"},
                ],
                "Default": "Failed",
            },
            "Succeeded": {"Type": "Succeed"},
            "Failed": {
                "Type": "Fail",
                "Error": "{% $states.input.failure.error %}",
                "Cause": "{% $string($states.input.failure.cause) %}",
            },
        },
    }


def _task(step: Step) -> dict[str, Any]:
    caught = broken.caught(step.doing, step.state, is_checked=step is not REGISTER)
    return {
        "Type": "Task",
        "Resource": f"arn:${{{PARTITION}}}:states:::lambda:invoke",
        "Arguments": {"FunctionName": f"${{{step.placeholder}}}", "Payload": step.payload},
        "Output": "{% $states.result.Payload %}",
        "TimeoutSeconds": FUNCTION_TIMEOUT + 5,
        "Retry": [RETRY],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": broken.WHERE, "Output": caught}],
        "Next": "WhatNext",
    }


def _tell(detail_type: str, following: str, output: str) -> dict[str, Any]:
    """A state that sends the notice of its input, and goes on whether that succeeds or not."""
    entry = {"Source": SOURCE, "DetailType": detail_type, "Detail": "{% $states.input.notice %}"}
    return {
        "Type": "Task",
        "Resource": f"arn:${{{PARTITION}}}:states:::events:putEvents",
        "Arguments": {"Entries": [entry]},
        "Output": output,
        "TimeoutSeconds": NOTICE_TIMEOUT,
        "Retry": [RETRY_NOTICE],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": NOT_TOLD, "Output": _AS_IT_IS}],
        "Next": following,
    }
