"""The workflow: its states as Amazon States Language, and nothing that knows CDK.

Each of the three functions answers with what comes `next`, and one Choice state reads it: the order of a deployment is
decided in tested Python, the states only carry it out. Lambda never sleeps; waiting is a Wait state.

The definition is data, so the picture and the lint are made from the same object that is deployed. Its
`${placeholders}` are filled by CloudFormation (`DefinitionSubstitutions`).

The input of an execution is handed to the first function as it is. JSONata never evaluates data, only the expressions
written here: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

# Not parsed as JSON: the cause may be cut off or be no JSON at all, and an error here would hide the first one.
_REASON = r"""(
  $cause := $exists($states.errorOutput.Cause) ? $string($states.errorOutput.Cause) : "";
  $found := $match($cause, /"errorMessage"\s*:\s*"((?:[^\\"]|\\.){0,500})/);
  $message := $exists($found) ? $found[0].groups[0] : $substring($cause, 0, 500);
  $states.errorOutput.Error & ($message = "" ? "" : ": " & $message)
)"""


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


def definition() -> dict[str, Any]:
    """The state machine, Standard, in JSONata."""
    return {
        "Comment": "Deploys an image to an ECS service, and tells why when it cannot.",
        "QueryLanguage": "JSONata",
        "StartAt": REGISTER.state,
        "States": {
            REGISTER.state: _task(REGISTER),
            "WhatNext": {
                "Type": "Choice",
                "Choices": [
                    {"Condition": "{% $states.input.next = 'register' %}", "Next": REGISTER.state},
                    {"Condition": "{% $states.input.next = 'update' %}", "Next": UPDATE.state},
                    {"Condition": "{% $states.input.next = 'wait' %}", "Next": "WaitForRollout"},
                    {
                        "Condition": "{% $states.input.next = 'succeed' %}",
                        "Output": "{% $states.input.outcome %}",
                        "Next": "Succeeded",
                    },
                ],
                "Default": "Failed",
            },
            UPDATE.state: _task(UPDATE),
            "WaitForRollout": {"Type": "Wait", "Seconds": "{% $states.input.wait %}", "Next": POLL.state},
            POLL.state: _task(POLL),
            "Succeeded": {"Type": "Succeed"},
            "Failed": {
                "Type": "Fail",
                "Error": "{% $states.input.failure.error %}",
                "Cause": "{% $string($states.input.failure.cause) %}",
            },
        },
    }


def _task(step: Step) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": f"arn:${{{PARTITION}}}:states:::lambda:invoke",
        "Arguments": {"FunctionName": f"${{{step.placeholder}}}", "Payload": step.payload},
        "Output": "{% $states.result.Payload %}",
        "TimeoutSeconds": FUNCTION_TIMEOUT + 5,
        "Retry": [RETRY],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Failed", "Output": {"failure": _broken(step)}}],
        "Next": "WhatNext",
    }


def _broken(step: Step) -> dict[str, Any]:
    """What an execution fails with when the deployer itself broke: of the shape the functions fail with."""
    return {
        "error": "DeploymentFailed",
        "cause": {
            "message": (
                f"The deployer broke while {step.doing}, and the state of the service was not determined after that. "
                f"Look at the service's deployments in ECS, and at the log of the function {step.state}."
            ),
            "reasons": ["{% " + _REASON + " %}"],
            "revision": _known(step, "revision"),
            "replaced": _known(step, "replaced"),
            "rolledBack": None,
        },
    }


def _known(step: Step, key: str) -> str | None:
    """What the state's input says of a revision. JSONata drops a key without a value, so null is spelled out."""
    if step is REGISTER:
        # Its input is the request, which anybody may have written: nothing was registered yet.
        return None
    path = f"$states.input.progress.{key}"
    return f"{{% $exists({path}) ? {path} : null %}}"
