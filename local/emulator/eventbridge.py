"""An event that a state machine, a topic or a queue does not take goes to the dead-letter queue of the rule's target.

A topic takes it only where its policy lets EventBridge publish without a condition on where the event came from. A
queue takes it where its policy lets EventBridge send for the rule, and so does the dead-letter queue: where that is
not there or does not, the event is lost. A schedule sends in the name of its role instead.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sns-permissions
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sqs-permissions
https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html#setting-up-execution-role
"""

from __future__ import annotations

import contextvars
import importlib
import json
import logging
from typing import TYPE_CHECKING, Any

from local.emulator import answers

if TYPE_CHECKING:
    from local.emulator.seams import Function, Seams

logger = logging.getLogger("events")

EVENTS = "ministack.services.eventbridge"
STATES = "ministack.services.stepfunctions"
QUEUES = "ministack.services.sqs"
TOPICS = "ministack.services.sns"
EVALUATOR = "ministack.core.iam_evaluator"

# The rule, or the schedule, of the event that is delivered, and how its delivery failed: error code and message.
_rule: contextvars.ContextVar[str] = contextvars.ContextVar("rule")
_failure: contextvars.ContextVar[tuple[str, str] | None] = contextvars.ContextVar("failure", default=None)


def declare(seams: Seams) -> None:
    """Deliver what failed to the dead-letter queue."""
    seams.call(STATES, "_start_execution", "data")
    seams.attributes(EVENTS, "_EventView.event_with_detail")
    seams.call(EVENTS, "_pattern_event_view", "event")
    seams.call(TOPICS, "_topic_by_arn_any_scope", "topic_arn")
    seams.call(TOPICS, "topic_policy_allows", "topic_arn", "service", "source_arn", "source_account")
    seams.call(EVALUATOR, "pin_request_origin", "source_ip", "secure_transport")
    seams.call(QUEUES, "_queue_by_arn", "arn")
    seams.call(QUEUES, "queue_policy_allows", "queue_arn", "service", "source_arn", "source_account")
    seams.call(QUEUES, "_act_send_message", "data", "qurl")
    seams.replace(start_execution, EVENTS, "_dispatch_to_stepfunctions", "arn", "payload")
    seams.replace(publish, EVENTS, "_dispatch_to_sns", "arn", "payload")
    seams.replace(send, EVENTS, "_dispatch_to_sqs", "spec", "payload", "sqs_parameters")
    seams.replace(invoke_target, EVENTS, "_invoke_target", "target", "event", "rule", "view")


def start_execution(_original: Function) -> Function:
    """Start an execution and keep the answer, which the original loses."""

    def start(arn: str, payload: str) -> None:
        answer = importlib.import_module(STATES)._start_execution({"stateMachineArn": arn, "input": payload})
        if answer[0] != answers.OK:
            problem = answers.read(answer)
            _failure.set((problem["__type"], problem["message"]))

    return start


def publish(original: Function) -> Function:
    """Publish to a topic that is there and may be published to."""
    topics = importlib.import_module(TOPICS)

    def publish_to_topic(arn: str, payload: str) -> None:
        if topics._topic_by_arn_any_scope(arn) is None:
            _failure.set(("RESOURCE_NOT_FOUND", f"Topic does not exist: {arn}"))
        elif not topics.topic_policy_allows(arn, "events.amazonaws.com", "", ""):
            _failure.set(("NO_PERMISSIONS", f"events.amazonaws.com is not authorized to perform: SNS:Publish on {arn}"))
        else:
            original(arn, payload)

    return publish_to_topic


def send(original: Function) -> Function:
    """Send to a queue that is there and may be sent to."""

    def send_to_queue(spec: object, payload: str, sqs_parameters: object = None) -> None:
        if failure := refusal(str(spec)):
            _failure.set(failure)
        else:
            original(spec, payload, sqs_parameters)

    return send_to_queue


def refusal(queue: str) -> tuple[str, str] | None:
    """Say why a queue does not take what is delivered now; None when it does."""
    queues, rule = importlib.import_module(QUEUES), _rule.get()
    if queues._queue_by_arn(queue) is None:
        return "RESOURCE_NOT_FOUND", f"Queue does not exist: {queue}"
    account = rule.split(":")[4]
    if ":scheduler:" in rule or queues.queue_policy_allows(queue, "events.amazonaws.com", rule, account):
        return None
    return "NO_PERMISSIONS", f"events.amazonaws.com is not authorized to perform: sqs:SendMessage on {queue}"


def invoke_target(original: Function) -> Function:
    """Deliver an event, if not to its target then to the target's dead-letter queue, as AWS does: over TLS."""
    evaluator = importlib.import_module(EVALUATOR)

    def deliver(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: object) -> None:
        evaluator.pin_request_origin("events.amazonaws.com", secure_transport=True)
        _rule.set(rule["Arn"])
        _failure.set(None)
        original(target, event, rule, view)
        if failure := _failure.get():
            logger.warning("%s did not take an event: %s: %s", target["Arn"], *failure)
            bury(target, event, rule, failure)

    def invoke(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: object = None) -> None:
        contextvars.copy_context().run(deliver, target, event, rule, view)

    return invoke


def bury(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], failure: tuple[str, str]) -> None:
    """Send an event to the target's dead-letter queue, if it has one, with what AWS says about the failure."""
    arn = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not arn or refusal(arn):
        return
    queues = importlib.import_module(QUEUES)
    view = importlib.import_module(EVENTS)._pattern_event_view(event)
    code, message = failure
    attributes = {
        "RULE_ARN": rule["Arn"],
        "TARGET_ARN": target["Arn"],
        "ERROR_CODE": code,
        "ERROR_MESSAGE": message,
    }
    request = {
        "QueueUrl": queues._queue_by_arn(arn)["url"],
        "MessageBody": json.dumps(view.event_with_detail()),
        "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    }
    queues._act_send_message(request, "")
