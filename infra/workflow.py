"""The workflow: its states as Amazon States Language, and nothing that knows CDK.

Each of the three functions answers with what comes `next`, and one Choice state reads it, and nothing else: the order
of a deployment is decided in tested Python, the states only carry it out. Lambda never sleeps.

A wait leaves its task token in the table, for whoever has something to tell, and ends by that or by its time. It stores
nothing, and ends at once, if a signal has come since the function before it has read their number. A wait by time alone
takes its place where the table cannot be written to:
https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token

The definition is data, so the picture and the lint are made from the same object that is deployed. Its
`${placeholders}` are filled by CloudFormation (`DefinitionSubstitutions`).

Before it ends, an execution sends an event that says how; before it touches a service, one that it starts to, and
where somebody has to approve that, one that asks. The
optimized integration adds the ARNs of the execution and of the state machine to an event, and fails with
EventBridge.FailedEntry when EventBridge does not take it. Then the execution goes on as if it had, by way of a state of
its own, which an alarm watches: https://docs.aws.amazon.com/step-functions/latest/dg/connect-eventbridge.html

The input of an execution is handed to the first function as it is. JSONata never evaluates data, only the expressions
written here: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra import fault

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

RETRY_NOTIFICATION: dict[str, Any] = {**RETRY, "ErrorEquals": ["States.ALL"], "MaxAttempts": 10}
"""An end waits for its notification, 151 s on average, and not as long as a step may: the error's name does not tell
whether EventBridge is away or refuses."""

NOTIFICATION_TIMEOUT = 30
"""Seconds that EventBridge may take to accept an event."""

LONGEST_EXECUTION = 35 * 86_400
"""Seconds: a rollout and its return may last a day each, and two lifecycle hooks of ECS may pause one for 14 days each:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pause-lifecycle-hooks.html
The polls grow seldom in a pause, so that they fit into the 25,000 events of an execution's history."""

SOURCE = "ecs-deploy"
STARTED, PAUSED, OUTCOME = "ECS Deploy Started", "ECS Deploy Paused", "ECS Deploy Outcome"
APPROVAL = "ECS Deploy Approval"


@dataclass(frozen=True, eq=False)
class Step:
    """One Task state and the function behind it."""

    state: str
    module: str
    doing: str
    payload: Mapping[str, str | Mapping[str, str]]

    @property
    def placeholder(self) -> str:
        """What stands for the function's ARN in the definition."""
        return f"{self.state}Function"


_ATTEMPT = {
    "attempt": "{% $states.context.State.RetryCount %}",
    "enteredAt": "{% $states.context.State.EnteredTime %}",
}
_DEPLOYMENT = {"plan": "{% $states.input.plan %}", "rollout": "{% $states.input.rollout %}", **_ATTEMPT}
REGISTER = Step(
    "RegisterTaskDefinition",
    "register_task_definition",
    "registering the new revision",
    {
        "request": "{% $states.context.Execution.Input %}",
        # Of the first entry, the state's input is the request, which the function refuses when it has such a key.
        "resumed": "{% $exists($states.input.resumed) ? $states.input.resumed : null %}",
        "execution": {
            "id": "{% $states.context.Execution.Id %}",
            "name": "{% $states.context.Execution.Name %}",
            "startedAt": "{% $states.context.Execution.StartTime %}",
        },
        **_ATTEMPT,
    },
)
UPDATE = Step("UpdateService", "update_service", "updating the service", _DEPLOYMENT)
POLL = Step("PollStability", "poll_stability", "following the rollout", _DEPLOYMENT)
STEPS = (REGISTER, UPDATE, POLL)

PARTITION, TABLE = "Partition", "Table"
"""The placeholders for the AWS partition and the table in the definition."""

ROUTES: Mapping[str, str] = {
    "announce": "NotifyStart",
    "update": UPDATE.state,
    "register": REGISTER.state,
    "notify_approval": "NotifyApproval",
    "wait_for_turn": "WaitForTurn",
    "wait_for_rollout": "WaitForRollout",
    "notify_pause": "NotifyPause",
    "succeed": "NotifySuccess",
    fault.NEXT: fault.STATE,
}
"""The state for each `next`; for any other it is the failure."""

NOT_NOTIFIED = (
    *("ApprovalNotNotified", "StartNotNotified", "PauseNotNotified"),
    *("SuccessNotNotified", "FailureNotNotified"),
)
"""The states that an execution enters only where EventBridge did not take its event."""

_INPUT = "{% $states.input %}"
# What has no value is left out.
_RESUMED = '{"turn": $states.input.turn, "plan": $states.input.plan, "rollout": $states.input.rollout}'
_RESUME = {"Output": {"resumed": f"{{% {_RESUMED} %}}"}, "Next": REGISTER.state}
_POLL = {"Output": _INPUT, "Next": POLL.state}
# https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html says that an error is named after
# the service, and not how this one is spelled.
_SIGNALLED = ("DynamoDb.ConditionalCheckFailedException", "DynamoDB.ConditionalCheckFailedException")


def definition() -> dict[str, Any]:
    """The state machine, Standard, in JSONata."""
    approval_not_sent, start_not_sent, pause_not_sent, success_not_sent, failure_not_sent = NOT_NOTIFIED
    return {
        "Comment": "Deploys an image to an ECS service, and says why when it cannot.",
        "QueryLanguage": "JSONata",
        "TimeoutSeconds": LONGEST_EXECUTION,
        "StartAt": REGISTER.state,
        "States": {
            REGISTER.state: _task(REGISTER),
            "WhatNext": {
                "Type": "Choice",
                "Choices": [
                    {
                        "Condition": f"{{% $states.input.next = '{following}' %}}",
                        **(_RESUME if state == REGISTER.state else {"Next": state}),
                    }
                    for following, state in ROUTES.items()
                ],
                "Default": "NotifyFailure",
            },
            "NotifyApproval": _notify(APPROVAL, "WaitForTurn", _INPUT, otherwise=approval_not_sent),
            approval_not_sent: {"Type": "Pass", "Next": "WaitForTurn"},
            "WaitForTurn": _wait(_RESUME, otherwise="WaitForTurnByTime"),
            "WaitForTurnByTime": _wait_by_time(_RESUME),
            "NotifyStart": _notify(STARTED, UPDATE.state, _INPUT, otherwise=start_not_sent),
            start_not_sent: {"Type": "Pass", "Next": UPDATE.state},
            UPDATE.state: _task(UPDATE),
            "NotifyPause": _notify(PAUSED, "WaitForRollout", _INPUT, otherwise=pause_not_sent),
            pause_not_sent: {"Type": "Pass", "Next": "WaitForRollout"},
            "WaitForRollout": _wait(_POLL, otherwise="WaitForRolloutByTime"),
            "WaitForRolloutByTime": _wait_by_time(_POLL),
            POLL.state: _task(POLL),
            fault.STATE: fault.state(f"${{{PARTITION}}}", "NotifyFailure"),
            "NotifySuccess": _notify(OUTCOME, "Succeeded", "{% $states.input.outcome %}", otherwise=success_not_sent),
            success_not_sent: {"Type": "Pass", "Next": "Succeeded"},
            "NotifyFailure": _notify(OUTCOME, "Failed", _INPUT, otherwise=failure_not_sent),
            failure_not_sent: {"Type": "Pass", "Next": "Failed"},
            "Succeeded": {"Type": "Succeed"},
            "Failed": {
                "Type": "Fail",
                "Error": "{% $states.input.failure.error %}",
                "Cause": "{% $string($states.input.failure.cause) %}",
            },
        },
    }


def _wait(following: Mapping[str, Any], *, otherwise: str) -> dict[str, Any]:
    """A wait for an event or for its time, whichever comes first; `otherwise` is the state in place of it.

    All services that are called by the SDK can be called back, and `TimeoutSeconds` may be an expression:
    https://docs.aws.amazon.com/step-functions/latest/dg/integrate-optimized.html
    https://docs.aws.amazon.com/step-functions/latest/dg/state-task.html
    """
    store = {
        "TableName": f"${{{TABLE}}}",
        "Key": {"pk": {"S": "{% $states.input.key %}"}, "sk": {"S": "WAIT"}},
        "UpdateExpression": "SET #me = :token",
        "ConditionExpression": "attribute_not_exists(signals) OR signals = :signals",
        "ExpressionAttributeNames": {"#me": "{% $states.context.Execution.Id %}"},
        "ExpressionAttributeValues": {
            ":token": {"S": "{% $states.context.Task.Token %}"},
            ":signals": {"N": "{% $states.input.signals %}"},
        },
    }
    return {
        "Type": "Task",
        "Resource": f"arn:${{{PARTITION}}}:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken",
        "Arguments": store,
        "TimeoutSeconds": "{% $states.input.wait %}",
        "Catch": [
            {"ErrorEquals": ["States.Timeout", *_SIGNALLED], **following},
            {"ErrorEquals": ["States.ALL"], "Output": _INPUT, "Next": otherwise},
        ],
        **following,
    }


def _wait_by_time(following: Mapping[str, Any]) -> dict[str, Any]:
    return {"Type": "Wait", "Seconds": "{% $states.input.wait %}", **following}


def _task(step: Step) -> dict[str, Any]:
    caught = fault.caught(step.doing, step.state, has_plan=step is not REGISTER)
    return {
        "Type": "Task",
        "Resource": f"arn:${{{PARTITION}}}:states:::lambda:invoke",
        "Arguments": {"FunctionName": f"${{{step.placeholder}}}", "Payload": step.payload},
        "Output": "{% $states.result.Payload %}",
        "TimeoutSeconds": FUNCTION_TIMEOUT + 5,
        "Retry": [RETRY],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "WhatNext", "Output": caught}],
        "Next": "WhatNext",
    }


def _notify(detail_type: str, following: str, output: str, *, otherwise: str) -> dict[str, Any]:
    """A state that sends the notification of its input, and goes on whether that succeeds or not."""
    entry = {"Source": SOURCE, "DetailType": detail_type, "Detail": "{% $states.input.notification %}"}
    return {
        "Type": "Task",
        "Resource": f"arn:${{{PARTITION}}}:states:::events:putEvents",
        "Arguments": {"Entries": [entry]},
        "Output": output,
        "TimeoutSeconds": NOTIFICATION_TIMEOUT,
        "Retry": [RETRY_NOTIFICATION],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": otherwise, "Output": output}],
        "Next": following,
    }
