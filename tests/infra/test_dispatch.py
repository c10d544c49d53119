"""What starts the workflow: the rules held against real events, the queue, the schedules, the dispatcher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.workflow import FUNCTION_TIMEOUT
from tests.infra.eventbridge import matches
from tests.infra.synthesis import of_type, resolve, synthesize

EVENTS = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "events").glob("*.json")}
PUSH = EVENTS["push"]
PUSHES = {"push", "push_of_another_repository", "push_of_another_tag", "replication"}
DOORMAN: dict[str, Any] = {"repository": "doorman", "cluster": "production1", "service": "doorman-service"}
DAY = 24 * 3600


def rule(template: dict[str, Any], name: str) -> dict[str, Any]:
    return dict(resolve(of_type(template, "AWS::Events::Rule")[f"Dispatch{name}"]))


def pushed(**detail: str) -> dict[str, Any]:
    return {**PUSH, "detail": PUSH["detail"] | detail}


def ended(status: str, machine: str = "{WorkflowMachine}") -> dict[str, Any]:
    """As Step Functions sends it.

    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """
    execution = "arn:aws:states:us-east-1:123456789012:execution:Machine:one"
    return {
        "version": "0",
        "id": "315c1398-40ff-a850-213b-158f73e60175",
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": "123456789012",
        "time": "2026-11-16T19:42:21Z",
        "region": "us-east-1",
        "resources": [execution],
        "detail": {
            "executionArn": execution,
            "stateMachineArn": machine,
            "name": "one",
            "status": status,
            "startDate": 1794857946847,
            "stopDate": 1794857951881,
            "input": "{}",
            "output": None,
        },
    }


@pytest.mark.parametrize("name", EVENTS)
def test_every_finished_push_is_taken_and_nothing_else(template: dict[str, Any], name: str) -> None:
    assert matches(rule(template, "Push")["EventPattern"], EVENTS[name]) == (name in PUSHES)
    assert not matches(rule(template, "Ended")["EventPattern"], EVENTS[name])


@pytest.mark.parametrize("tag", ["v1", "latest", "sha256-ab.sig", "null", "0", "_", "-.-", "v" * 128])
def test_every_tag_is_taken(template: dict[str, Any], tag: str) -> None:
    assert matches(rule(template, "Push")["EventPattern"], pushed(**{"image-tag": tag}))


def test_every_field_of_the_pattern_decides(template: dict[str, Any]) -> None:
    pattern = rule(template, "Push")["EventPattern"]
    for event in (
        PUSH | {"source": "mine"},
        PUSH | {"detail-type": "Other"},
        PUSH | {"account": "999999999999"},
        PUSH | {"region": "eu-central-1"},
        pushed(**{"action-type": "PULL"}),
        pushed(result="FAILURE"),
    ):
        assert not matches(pattern, event)


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "RUNNING", "PENDING_REDRIVE"])
def test_every_end_of_this_machine_is_taken(template: dict[str, Any], status: str) -> None:
    pattern = rule(template, "Ended")["EventPattern"]
    assert matches(pattern, ended(status)) == (status not in {"RUNNING", "PENDING_REDRIVE"})
    assert not matches(pattern, ended(status, machine="another"))
    assert not matches(pattern, ended(status) | {"source": "mine"})
    assert not matches(rule(template, "Push")["EventPattern"], ended(status))


def test_there_are_three_rules_whatever_the_targets() -> None:
    targets = [DOORMAN | {"repository": f"r-{number}", "tags": [f"v{number}.*"]} for number in range(20)]
    made = synthesize(targets, notify=None)
    assert sorted(of_type(made, "AWS::Events::Rule")) == ["DispatchEnded", "DispatchPush", "WaitsRule"]
    assert "r-7" not in json.dumps(of_type(made, "AWS::Events::Rule"))


OPENS = {
    "source": "aws.ssm",
    "detail-type": "Calendar State Change",
    "account": "123456789012",
    "region": "us-east-1",
    "resources": ["arn:aws:ssm:us-east-1:123456789012:document/office"],
    "detail": {"state": "OPEN", "atTime": "2026-02-02T08:00:00Z"},
}
IS_FINE = {
    "source": "aws.cloudwatch",
    "detail-type": "CloudWatch Alarm State Change",
    "account": "123456789012",
    "region": "us-east-1",
    "resources": ["arn:aws:cloudwatch:us-east-1:123456789012:alarm:errors"],
    "detail": {"alarmName": "errors", "state": {"value": "OK"}, "previousState": {"value": "ALARM"}},
}


def test_a_calendar_that_opens_and_an_alarm_that_is_ok_are_taken_where_pushes_wait_for_them() -> None:
    made = synthesize([DOORMAN | {"window": "office", "alarm": "errors"}], notify=None)
    opened, fine = (rule(made, name)["EventPattern"] for name in ("Opened", "Fine"))
    assert matches(opened, OPENS)
    assert not matches(opened, OPENS | {"detail": {"state": "CLOSED"}})
    assert not matches(opened, IS_FINE)
    assert matches(fine, IS_FINE)
    assert not matches(fine, IS_FINE | {"account": "999999999999"})
    assert not matches(fine, IS_FINE | {"detail": {"alarmName": "errors", "state": {"value": "INSUFFICIENT_DATA"}}})
    for name in ("Opened", "Fine"):
        assert rule(made, name)["Targets"] == rule(made, "Push")["Targets"]
    sources = resolve(of_type(made, "AWS::SQS::QueuePolicy")["DispatchQueuePolicy"])["PolicyDocument"]["Statement"][1]
    assert "{DispatchOpened.Arn}" in sources["Condition"]["ArnEquals"]["aws:SourceArn"]


@pytest.mark.parametrize("name", ["Push", "Ended"])
def test_a_rule_hands_the_event_to_the_queue_as_it_is(template: dict[str, Any], name: str) -> None:
    assert "State" not in rule(template, name)
    assert rule(template, name)["Targets"] == [
        {
            "Id": "Queue",
            "Arn": "{DispatchQueue.Arn}",
            "DeadLetterConfig": {"Arn": "{DispatchDeadLetters.Arn}"},
            "RetryPolicy": {"MaximumEventAgeInSeconds": DAY, "MaximumRetryAttempts": 185},
        }
    ]


def test_the_queue(template: dict[str, Any]) -> None:
    queues = resolve(of_type(template, "AWS::SQS::Queue"))
    assert queues["DispatchQueue"] == {
        "MessageRetentionPeriod": 4 * DAY,
        "RedrivePolicy": {"deadLetterTargetArn": "{DispatchDeadLetters.Arn}", "maxReceiveCount": 20},
        "SqsManagedSseEnabled": True,
        "VisibilityTimeout": 6 * FUNCTION_TIMEOUT,
    }
    assert queues["DispatchDeadLetters"] == {"MessageRetentionPeriod": 14 * DAY, "SqsManagedSseEnabled": True}


@pytest.mark.parametrize("name", ["Queue", "DeadLetters"])
def test_who_may_send(template: dict[str, Any], name: str) -> None:
    policy = resolve(of_type(template, "AWS::SQS::QueuePolicy")[f"Dispatch{name}Policy"])
    deny, allow = policy["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert allow == {
        "Effect": "Allow",
        "Action": "sqs:SendMessage",
        "Principal": {"Service": "events.amazonaws.com"},
        "Resource": f"{{Dispatch{name}.Arn}}",
        "Condition": {"ArnEquals": {"aws:SourceArn": ["{DispatchPush.Arn}", "{DispatchEnded.Arn}"]}},
    }


def test_the_dispatcher_takes_messages_and_gives_back_those_that_fail(template: dict[str, Any]) -> None:
    (mapping,) = resolve(of_type(template, "AWS::Lambda::EventSourceMapping")).values()
    assert mapping == {
        "BatchSize": 10,
        "EventSourceArn": "{DispatchQueue.Arn}",
        "FunctionName": "{DispatcherFunction}",
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 10},
    }


def schedules(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [resolve(each) for each in of_type(template, "AWS::Scheduler::Schedule").values()]


def test_each_service_at_its_rate() -> None:
    targets = [
        DOORMAN | {"reconcile": "1 day"},
        DOORMAN | {"service": "gate"},
        DOORMAN | {"service": "often", "reconcile": "5 minutes"},
        DOORMAN | {"service": "never", "reconcile": None},
        DOORMAN | {"service": "hourly", "reconcile": "60 minutes"},
        DOORMAN | {"service": "gate", "repository": "proxy", "reconcile": "30 minutes"},
        {"cluster": "production1", "service": "by-hand"},
    ]
    made = schedules(synthesize(targets))
    assert {each["ScheduleExpression"]: json.loads(each["Target"]["Input"]) for each in made} == {
        "rate(5 minutes)": {"reconcile": ["production1/often"]},
        "rate(30 minutes)": {"reconcile": ["production1/gate"]},
        "rate(60 minutes)": {"reconcile": ["production1/hourly"]},
        "rate(1440 minutes)": {"reconcile": ["production1/doorman-service"]},
    }
    for each in made:
        assert each["GroupName"] == "{DispatchGroup}"
        assert each["FlexibleTimeWindow"] == {"Mode": "OFF"}
        assert (each["Target"]["Arn"], each["Target"]["RoleArn"]) == ("{DispatchQueue.Arn}", "{DispatchRole.Arn}")


def test_many_services_are_reconciled_in_parts() -> None:
    targets = [DOORMAN | {"service": f"s-{number}", "tags": [tag]} for number in range(45) for tag in ("v*", "main")]
    parts = [json.loads(each["Target"]["Input"])["reconcile"] for each in schedules(synthesize(targets))]
    assert sorted(map(len, parts)) == [5, 20, 20]
    assert sorted(key for part in parts for key in part) == sorted(f"production1/s-{number}" for number in range(45))


def test_only_schedules_of_this_stack_may_send(template: dict[str, Any]) -> None:
    (trusted,) = resolve(of_type(template, "AWS::IAM::Role")["DispatchRole"]["AssumeRolePolicyDocument"])["Statement"]
    assert trusted["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012", "aws:SourceArn": "{DispatchGroup.Arn}"}
    }


def test_where_nothing_is_reconciled_there_is_no_schedule() -> None:
    made = synthesize([DOORMAN | {"reconcile": None}, {"cluster": "production1", "service": "by-hand"}])
    assert schedules(made) == []
    assert "DispatchRole" not in of_type(made, "AWS::IAM::Role")
    assert not of_type(made, "AWS::Scheduler::ScheduleGroup")
