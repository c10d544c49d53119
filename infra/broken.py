"""What an execution ends with when the deployer itself broke: a function crashed for good, never answered, was refused.

A last look at the service says what it was left in. It is a call of the workflow's own, because a function may be what
broke. Its arguments and its answer are in PascalCase, and its errors are named `Ecs.…`:
https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html

An error in an expression here would hide the first one, so each has a value whatever the input is.
"""

from __future__ import annotations

from typing import Any

LOOK = "SeeWhatIsLeft"
"""The state that looks at the service."""

WHERE = "WhereToLook"
"""The state that is entered when something broke: of a request that was not checked, the service may not be known."""

LOOK_TIMEOUT = 30
"""Seconds that ECS may take to describe the service."""

RETRY_LOOK: dict[str, Any] = {
    "ErrorEquals": ["States.ALL"],
    "IntervalSeconds": 1,
    "BackoffRate": 2,
    "JitterStrategy": "FULL",
    "MaxAttempts": 3,
}
"""Whoever reads the end waits 3.5 s longer on average, and no more: what broke has been tried often enough."""

# Not parsed as JSON: the cause may be cut off or be no JSON at all.
_REASON = r"""(
  $cause := $exists($states.errorOutput.Cause) ? $string($states.errorOutput.Cause) : "";
  $found := $match($cause, /"errorMessage"\s*:\s*"((?:[^\\"]|\\.){0,500})/);
  $message := $exists($found) ? $found[0].groups[0] : $substring($cause, 0, 500);
  $substring($states.errorOutput.Error & ($message = "" ? "" : ": " & $message), 0, 600)
)"""

_NOT_SEEN = f'$substring("the service could not be seen: " & {_REASON}, 0, 600)'

# A title is put into templates, so of names that were not checked only the letters of names are kept.
_TITLE = r"""(
  $name := function($of) { $type($of) = "string" ? $replace($substring($of, 0, 100), /[^A-Za-z0-9_:\/-]/, "?") : "?" };
  "DeploymentFailed: " & $name(SOURCE.service) & " in " & $name(SOURCE.cluster)
)"""

_READABLE = r"""(
  $read := function($key) {(
    $value := $lookup(SOURCE, $key);
    $type($value) = "string" ? {$key: $substring($value, 0, 256)} : {}
  )};
  $keys := ["cluster", "service", "image", "tag", "container", "revision"];
  $type(SOURCE) = "object" ? $merge($map($keys, $read)) : {}
)"""

_TEXT = "$type(SOURCE) = 'object' and $type(SOURCE.KEY) = 'string' ? $substring(SOURCE.KEY, 0, 256) : null"

_IS_KNOWN = "$states.input.notice.cluster != null and $states.input.notice.service != null"

# Where ECS shifts traffic, it may tell of no deployment, but of what the service is to run.
_SEEN = r"""(
  $service := $states.result.Services[0];
  $primary := $service.Deployments[Status = "PRIMARY"][0];
  $on := $exists($primary) ? $primary : $service;
  $short := function($arn) { $substringAfter($string($arn), "task-definition/") };
  $count := function($of) { $type($of) = "number" ? $string($of) : "?" };
  $mine := $states.input.failure.cause.revision;
  $which := $type($mine) != "string" ? ""
    : $mine = $on.TaskDefinition ? ", the revision of this execution"
    : ", and not on " & $short($mine) & ", the revision of this execution";
  $rollout := $type($on.RolloutState) = "string" ? "its rollout is " & $on.RolloutState : "ECS tells no rollout state";
  $states.input.broke & ". " & (
    $exists($service)
      ? "The service is " & ($service.Status = "ACTIVE" ? "" : $service.Status & ", ") & "on "
        & $short($on.TaskDefinition) & $which & ": " & $rollout & ", "
        & $count($on.RunningCount) & " of " & $count($on.DesiredCount) & " tasks run. Nobody watches it any more"
      : "There is no such service"
  ) & ". " & $states.input.look
)"""


def caught(doing: str, function: str, *, is_checked: bool) -> dict[str, Any]:
    """The output of a step that broke: of the shapes that the functions answer with, and what the look needs.

    `is_checked` if the step's input has the progress. If not, all that is known is the request of the execution, which
    anybody may have written.
    """
    look = f"Look at the service's deployments in ECS, and at the log of the function {function}."
    broke = f"The deployer broke while {doing}"
    cause = {
        "message": f"{broke}, and the state of the service was not determined after that. {look}",
        "reasons": ["{% " + _REASON + " %}"],
        "revision": _known("revision", is_checked=is_checked),
        "replaced": _known("replaced", is_checked=is_checked),
        "rolledBack": None,
    }
    # The first step is also entered anew: its own input is not the request then.
    source = "$states.input.progress" if is_checked else "$states.context.Execution.Input"
    asked = "$states.input.progress.asked"
    request = f"$exists({asked}) ? {asked} : {{}}" if is_checked else _READABLE.replace("SOURCE", source)
    started_at = "$fromMillis($toMillis($states.context.Execution.StartTime))"
    pushed_at = "$states.input.progress.requested_at"
    requested_at = f"$exists({pushed_at}) ? {pushed_at} : {started_at}" if is_checked else started_at
    notice = {
        "outcome": "DeploymentFailed",
        "status": "FAILED",
        "title": "{% " + _TITLE.replace("SOURCE", source) + " %}",
        **cause,
        "execution": "{% $states.context.Execution.Id %}",
        "request": "{% " + request + " %}",
        **{
            key: "{% " + _TEXT.replace("SOURCE", source).replace("KEY", key) + " %}"
            for key in ("cluster", "service", "image")
        },
        "deployment": None,
        "requestedAt": f"{{% {requested_at} %}}",
        "startedAt": f"{{% {started_at} %}}",
        "seconds": "{% $max([0, $millis() - $toMillis($states.context.Execution.StartTime)]) / 1000 %}",
        "leadTime": None,
    }
    failure = {"error": "DeploymentFailed", "cause": cause}
    return {"failure": failure, "notice": notice, "broke": broke, "look": look}


def states(partition: str, following: str) -> dict[str, dict[str, Any]]:
    """The states between a step that broke and `following`, the one that tells of it."""
    return {
        WHERE: {
            "Type": "Choice",
            "Choices": [{"Condition": f"{{% {_IS_KNOWN} %}}", "Next": LOOK}],
            "Default": following,
        },
        LOOK: {
            "Type": "Task",
            "Resource": f"arn:{partition}:states:::aws-sdk:ecs:describeServices",
            "Arguments": {
                "Cluster": "{% $states.input.notice.cluster %}",
                "Services": ["{% $states.input.notice.service %}"],
            },
            "Output": _with({"message": _SEEN}),
            "TimeoutSeconds": LOOK_TIMEOUT,
            "Retry": [RETRY_LOOK],
            "Catch": [
                {
                    "ErrorEquals": ["States.ALL"],
                    "Next": following,
                    # Not part of the message, which is put into templates.
                    "Output": _with({"reasons": f"$append($states.input.failure.cause.reasons, {_NOT_SEEN})"}),
                }
            ],
            "Next": following,
        },
    }


def _with(said: dict[str, str]) -> dict[str, Any]:
    """The input with what is `said` in its cause and in its notice, by expressions."""
    members = ", ".join(f'"{key}": {value}' for key, value in said.items())
    cause, notice = (
        f"{{% $merge([$states.input.{document}, {{{members}}}]) %}}" for document in ("failure.cause", "notice")
    )
    return {"failure": {"error": "{% $states.input.failure.error %}", "cause": cause}, "notice": notice}


def _known(key: str, *, is_checked: bool) -> str | None:
    """What the input says of a revision. JSONata drops a key without a value, so null is spelled out."""
    path = f"$states.input.progress.{key}"
    return f"{{% $exists({path}) ? {path} : null %}}" if is_checked else None
