"""What an execution ends with when the deployer itself breaks: a function crashes for good, never answers, is refused.

The state `Diagnose` describes the service, to say what it was left in. It is a call of the workflow's own, because a
function may be what broke. Its arguments and its answer are in PascalCase, and its errors are named `Ecs.…`:
https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html

An error in an expression here would hide the first one, so each has a value whatever the input is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

STATE, NEXT = "Diagnose", "diagnose"
"""The state that describes the service, and the `next` that leads to it."""

DESCRIBE_TIMEOUT = 30
"""Seconds that ECS may take to describe the service."""

RETRY_DESCRIBE: dict[str, Any] = {
    "ErrorEquals": ["States.ALL"],
    "IntervalSeconds": 1,
    "BackoffRate": 2,
    "JitterStrategy": "FULL",
    "MaxAttempts": 3,
}
"""Whoever reads the end waits 3.5 s longer on average, and no more: what broke has been tried often enough."""


def program(name: str) -> str:
    """A program of infra/jsonata, without its comment."""
    text = (Path(__file__).with_name("jsonata") / f"{name}.jsonata").read_text()
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).strip()


_REASON = program("reason")

_NOT_DESCRIBED = f'$substring("the service could not be described: " & {_REASON}, 0, 600)'

_TITLE = program("title")

_READABLE = program("readable")

_TEXT = "$type(SOURCE) = 'object' and $type(SOURCE.KEY) = 'string' ? $substring(SOURCE.KEY, 0, 256) : null"

# Of a request that was not checked, the service may not be known.
_NEXT = (
    "$type(SOURCE) = 'object' and $type(SOURCE.cluster) = 'string' and $type(SOURCE.service) = 'string' "
    f"? '{NEXT}' : 'fail'"
)

_DESCRIBED = program("described")


def caught(doing: str, function: str, *, has_plan: bool) -> dict[str, Any]:
    """The output of a step that broke: of the shapes that the functions answer with, and what `Diagnose` needs.

    `has_plan` if the step's input has the plan. If not, all that is known is the request of the execution, which
    anybody may have written; the first step's own input is not the request where it is resumed.
    """
    source = "$states.input.plan" if has_plan else "$states.context.Execution.Input"

    def read(expression: str, key: str = "") -> str:
        return "{% " + expression.replace("SOURCE", source).replace("KEY", key) + " %}"

    advice = f"Look at the service's deployments in ECS, and at the log of the function {function}."
    fault = f"The deployer broke while {doing}"
    cause = {
        "message": f"{fault}, and the state of the service was not determined after that. {advice}",
        "reasons": ["{% " + _REASON + " %}"],
        "image": read(_TEXT, "image"),
        # JSONata drops a key without a value, so null is spelled out. Only a plan is to be believed.
        **{
            key: read("SOURCE.KEY ? SOURCE.KEY : null", path) if has_plan else None
            for key, path in (("digest", "candidate.digest"), ("revision", "revision"), ("replaced", "replaced"))
        },
        "rolledBack": None,
    }
    started_at = "$fromMillis($toMillis($states.context.Execution.StartTime))"
    notification = {
        "outcome": "DeploymentFailed",
        "status": "FAILED",
        "title": read(_TITLE),
        **cause,
        "execution": "{% $states.context.Execution.Id %}",
        "request": read("SOURCE.request ? SOURCE.request : {}" if has_plan else _READABLE),
        "cluster": read(_TEXT, "cluster"),
        "service": read(_TEXT, "service"),
        "deployment": None,
        "requestedAt": read(
            f"SOURCE.KEY ? SOURCE.KEY : {started_at}" if has_plan else started_at, "candidate.requested_at"
        ),
        "startedAt": read(started_at),
        "seconds": "{% $max([0, $millis() - $toMillis($states.context.Execution.StartTime)]) / 1000 %}",
        "repeated": False,
        "leadTime": None,
    }
    failure = {"error": "DeploymentFailed", "cause": cause}
    return {"next": read(_NEXT), "failure": failure, "notification": notification, "fault": fault, "advice": advice}


def state(partition: str, following: str) -> dict[str, Any]:
    """The state between a step that broke and `following`, the one that notifies of it."""
    return {
        "Type": "Task",
        "Resource": f"arn:{partition}:states:::aws-sdk:ecs:describeServices",
        "Arguments": {
            "Cluster": "{% $states.input.notification.cluster %}",
            "Services": ["{% $states.input.notification.service %}"],
        },
        "Output": _with("message", _DESCRIBED),
        "TimeoutSeconds": DESCRIBE_TIMEOUT,
        "Retry": [RETRY_DESCRIBE],
        "Catch": [
            {
                "ErrorEquals": ["States.ALL"],
                "Next": following,
                # Not part of the message, which is put into templates.
                "Output": _with("reasons", f"$append($states.input.failure.cause.reasons, {_NOT_DESCRIBED})"),
            }
        ],
        "Next": following,
    }


def _with(key: str, value: str) -> dict[str, Any]:
    """The input with the value of an expression in its cause and in its notification."""
    cause, notification = (
        f'{{% $merge([$states.input.{document}, {{"{key}": {value}}}]) %}}'
        for document in ("failure.cause", "notification")
    )
    return {"failure": {"error": "{% $states.input.failure.error %}", "cause": cause}, "notification": notification}
