"""What watches the deployer: who may publish, which event becomes which, the alarms, the dashboard."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from ecs_deploy.core import dora_metrics
from ecs_deploy.core.errors import Error
from ecs_deploy.core.notifications import plain
from infra.context import notify
from infra.workflow import NOT_NOTIFIED, definition
from tests.infra.eventbridge import matches, render
from tests.infra.synthesis import CDK_JSON, ROOT, of_type, resolve, synthesize
from tests.support.events import APPROVAL, OUTCOME, STARTED, as_event

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGETS = CDK_JSON["context"]["targets"]
CHANNEL = "arn:aws:chatbot::123456789012:chat-configuration/slack-channel/deployments"
MACHINE = "{WorkflowMachine}"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:Machine:one"


@pytest.fixture(scope="module")
def notified() -> dict[str, Any]:
    targets = [target | {"parameter": "/doorman/image"} for target in TARGETS]
    return synthesize(targets, notify=notify(["ops@example.com", "https://hooks.example.com/x", CHANNEL]))


def policy(template: dict[str, Any], name: str) -> list[dict[str, Any]]:
    statements: list[dict[str, Any]] = resolve(of_type(template, "AWS::SNS::TopicPolicy")[name])["PolicyDocument"][
        "Statement"
    ]
    return statements


ALARMS = {
    "StringEquals": {"aws:SourceAccount": "123456789012"},
    "ArnLike": {"aws:SourceArn": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:EcsDeploy-*"},
}


@pytest.mark.parametrize("name", ["Topic", "Chat"])
def test_who_may_publish(notified: dict[str, Any], name: str) -> None:
    deny, events, alarms = policy(notified, f"Notifications{name}Policy")
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    # A condition would drop every notification.
    assert {key: value for key, value in events.items() if key != "Sid"} == {
        "Effect": "Allow",
        "Action": "sns:Publish",
        "Principal": {"Service": "events.amazonaws.com"},
        "Resource": f"{{Notifications{name}}}",
    }
    assert {key: value for key, value in alarms.items() if key != "Sid"} == {
        "Effect": "Allow",
        "Action": "sns:Publish",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Resource": f"{{Notifications{name}}}",
        "Condition": ALARMS,
    }
    assert resolve(of_type(notified, "AWS::SNS::Topic"))[f"Notifications{name}"] == {
        "DisplayName": "ecs-deploy",
        "KmsMasterKeyId": "{NotificationsKey.Arn}",
    }


def test_who_may_use_the_key(notified: dict[str, Any]) -> None:
    (key,) = resolve(of_type(notified, "AWS::KMS::Key")).values()
    assert key["EnableKeyRotation"] is True
    account, events, alarms = key["KeyPolicy"]["Statement"]
    assert account["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    for statement, service in ((events, "events"), (alarms, "cloudwatch")):
        assert statement["Effect"] == "Allow"
        assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
        assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}
    assert "Condition" not in events
    assert alarms["Condition"] == ALARMS


def test_subscriptions(notified: dict[str, Any]) -> None:
    common = {
        "TopicArn": "{NotificationsTopic}",
        "RedrivePolicy": {"deadLetterTargetArn": "{NotificationsDeadLetters.Arn}"},
    }
    assert list(resolve(of_type(notified, "AWS::SNS::Subscription")).values()) == [
        {"Protocol": "email", "Endpoint": "ops@example.com", **common},
        {"Protocol": "https", "Endpoint": "https://hooks.example.com/x", **common},
    ]


def test_what_is_not_delivered_is_kept(notified: dict[str, Any]) -> None:
    document = resolve(of_type(notified, "AWS::SQS::QueuePolicy")["NotificationsDeadLettersPolicy"])["PolicyDocument"]
    _, rules, topic = document["Statement"]
    assert rules["Principal"] == {"Service": "events.amazonaws.com"}
    arns = [f"{{Notifications{name}.Arn}}" for name in ("Outcome", "Approval", "Silent")]
    assert rules["Condition"] == {"ArnEquals": {"aws:SourceArn": arns}}
    assert topic["Principal"] == {"Service": "sns.amazonaws.com"}
    assert topic["Condition"] == {"ArnEquals": {"aws:SourceArn": ["{NotificationsTopic}"]}}
    for rule in rules_of(notified):
        for target in rule["Targets"]:
            assert target["DeadLetterConfig"] == {"Arn": "{NotificationsDeadLetters.Arn}"}
            assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}


def rules_of(template: dict[str, Any]) -> list[dict[str, Any]]:
    found = of_type(template, "AWS::Events::Rule")
    return [resolve(rule) for name, rule in found.items() if name.startswith("Notifications")]


def published(template: dict[str, Any], event: dict[str, Any]) -> dict[str, str]:
    """What each topic gets of an event."""
    return {
        target["Arn"]: render(target["InputTransformer"], event)
        for rule in rules_of(template)
        if matches(rule["EventPattern"], event)
        for target in rule["Targets"]
    }


def outcome(title: str, message: str, *, repeated: bool = False) -> dict[str, Any]:
    event = as_event(OUTCOME, {"title": title, "message": message, "execution": EXECUTION, "repeated": repeated})
    return {**event, "resources": [EXECUTION, MACHINE]}


def ended(status: str, error: str | None = None, machine: str = MACHINE) -> dict[str, Any]:
    detail = {"executionArn": EXECUTION, "stateMachineArn": machine, "status": status, "error": error}
    return {"source": "aws.states", "detail-type": "Step Functions Execution Status Change", "detail": detail}


def test_an_outcome_becomes_a_text_and_a_chat_message(notified: dict[str, Any]) -> None:
    hostile = 'a "quote", a \\ and\na line'
    got = published(notified, outcome("DEPLOYED: doorman in production1", plain(hostile, 2_000)))
    assert got["{NotificationsTopic}"].splitlines() == [
        '"DEPLOYED: doorman in production1"',
        "\"a 'quote', a / and a line\"",
        f'"Execution: {EXECUTION}"',
    ]
    assert json.loads(got["{NotificationsChat}"]) == {
        "version": "1.0",
        "source": "custom",
        "content": {
            "textType": "client-markdown",
            "title": "DEPLOYED: doorman in production1",
            "description": f"a 'quote', a / and a line\n{EXECUTION}",
        },
    }


def test_a_chat_gets_what_a_button_has_to_know(notified: dict[str, Any]) -> None:
    approve = {"cluster": "production1", "service": "doorman", "approve": "push-1"}
    about = {"cluster": "production1", "service": "doorman", "approve": approve}
    event = as_event(APPROVAL, {"title": "APPROVAL", "message": "it waits", "execution": EXECUTION, **about})
    got = published(notified, {**event, "resources": [EXECUTION, MACHINE]})
    assert got["{NotificationsTopic}"].splitlines()[:2] == ['"APPROVAL"', '"it waits"']
    assert json.loads(got["{NotificationsChat}"])["metadata"] == {
        "additionalContext": {"cluster": "production1", "service": "doorman", "name": "push-1"}
    }


def test_what_people_know_already_is_not_published(notified: dict[str, Any]) -> None:
    assert published(notified, outcome("title", "message", repeated=True)) == {}
    assert published(notified, outcome("title", "message"))


def test_no_other_event_is_ours(notified: dict[str, Any]) -> None:
    event = outcome("title", "message")
    assert published(notified, {**event, "resources": [EXECUTION, "another machine"]}) == {}
    assert published(notified, {**event, "detail-type": STARTED}) == {}
    assert published(notified, {**event, "source": "aws.ecr"}) == {}


@pytest.mark.parametrize(
    ("status", "error"),
    [("ABORTED", None), ("ABORTED", "Mine"), ("TIMED_OUT", None), ("FAILED", "States.Runtime")],
)
def test_an_end_that_sends_nothing_is_notified(notified: dict[str, Any], status: str, error: str | None) -> None:
    got = published(notified, ended(status, error))
    first, second, third = got["{NotificationsTopic}"].splitlines()
    assert first.startswith(f'"{status}: ')
    assert "Look at the service in ECS" in second
    assert EXECUTION in third
    assert json.loads(got["{NotificationsChat}"])["content"]["title"].startswith(status)


def test_an_end_that_sends_its_outcome_is_not_notified_twice(notified: dict[str, Any]) -> None:
    for error in Error:
        assert published(notified, ended("FAILED", error)) == {}
    for status in ("RUNNING", "SUCCEEDED"):
        assert published(notified, ended(status)) == {}
    assert published(notified, ended("ABORTED", machine="another")) == {}


def test_without_a_channel_there_is_one_topic(template: dict[str, Any]) -> None:
    assert list(of_type(template, "AWS::SNS::Topic")) == ["NotificationsTopic"]
    assert not of_type(template, "AWS::SNS::Subscription")
    assert set(published(template, outcome("title", "message"))) == {"{NotificationsTopic}"}


def test_without_notify_nothing_is_paid_for() -> None:
    silent = synthesize(TARGETS, notify=None)
    for kind in ("AWS::SNS::Topic", "AWS::KMS::Key"):
        assert not of_type(silent, kind)
    assert not rules_of(silent)
    assert sorted(of_type(silent, "AWS::SQS::Queue")) == ["DispatchDeadLetters", "DispatchQueue"]
    assert all("AlarmActions" not in alarm for alarm in of_type(silent, "AWS::CloudWatch::Alarm").values())


def test_the_channels_topic_is_an_output(notified: dict[str, Any]) -> None:
    assert resolve(notified["Outputs"]["ChatTopicArn"]["Value"]) == "{NotificationsChat}"


def alarms_of(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        alarm["AlarmName"].removeprefix("EcsDeploy-"): alarm
        for alarm in map(resolve, of_type(template, "AWS::CloudWatch::Alarm").values())
    }


def test_alarms(notified: dict[str, Any]) -> None:
    def by(name: str, value: str) -> list[dict[str, str]]:
        return [{"Name": name, "Value": value}]

    machine, own = by("StateMachineArn", MACHINE), by("service", "ecs-deploy")
    wanted: dict[str, tuple[str, str, list[dict[str, str]] | None, int]] = {
        "ExecutionsFailed": ("AWS/States", "ExecutionsFailed", machine, 1),
        "ExecutionsTimedOut": ("AWS/States", "ExecutionsTimedOut", machine, 1),
        "ExecutionsAborted": ("AWS/States", "ExecutionsAborted", machine, 1),
        "Overdue": ("ecs-deploy", "Overdue", own, 1),
        "NotNotified": ("ecs-deploy", "NotNotified", None, 1),
    }
    for name, queue in (("DeadLetters", "Dispatch"), ("NotificationsDeadLetters", "Notifications")):
        dimension = by("QueueName", f"{{{queue}DeadLetters.QueueName}}")
        wanted[name] = ("AWS/SQS", "ApproximateNumberOfMessagesVisible", dimension, 1)
    written = by("FunctionName", "{ParametersWriteFunction}")
    wanted["ParameterFailed"] = ("AWS/Lambda", "AsyncEventsDropped", written, 1)
    for function in ("RegisterTaskDefinition", "UpdateService", "PollStability", "Dispatcher", "Waits"):
        for kind in ("Errors", "Throttles"):
            construct = "WaitsEnd" if function == "Waits" else function
            dimension = by("FunctionName", f"{{{construct}Function}}")
            wanted[f"{function}{kind}"] = ("AWS/Lambda", kind, dimension, 5)
    alarms = alarms_of(notified)
    assert {
        name: (alarm["Namespace"], alarm["MetricName"], alarm.get("Dimensions"), alarm["Threshold"])
        for name, alarm in alarms.items()
    } == wanted
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"] == ["{NotificationsTopic}", "{NotificationsChat}"]
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert alarm["TreatMissingData"] == "notBreaching"
        assert (alarm["EvaluationPeriods"], alarm["Period"]) == (1, 300)
        assert alarm["Statistic"] == ("Maximum" if name.endswith("DeadLetters") else "Sum")


def test_an_event_that_was_not_taken_is_counted_in_the_log_of_the_workflow(template: dict[str, Any]) -> None:
    (counted,) = resolve(of_type(template, "AWS::Logs::MetricFilter")).values()
    assert counted["LogGroupName"] == "{WorkflowLogs}"
    assert counted["MetricTransformations"] == [
        {"MetricName": "NotNotified", "MetricNamespace": "ecs-deploy", "MetricValue": "1"}
    ]
    kind, *states = re.findall(r'"(\w+)"', counted["FilterPattern"])
    passing = {name for name, state in definition()["States"].items() if state["Type"] == "Pass"}
    assert kind == "PassStateEntered"
    assert set(states) == set(NOT_NOTIFIED) == passing


def test_every_alarm_is_in_the_operating_guide(notified: dict[str, Any]) -> None:
    guide = (ROOT / "docs/operating.md").read_text()
    listed = set(re.findall(r"^\| `EcsDeploy-([\w…]+)` ", guide, re.MULTILINE))
    names = {
        re.sub(r"^(Register|Update|Poll|Dispatcher|Waits)[a-zA-Z]*(?=Errors|Throttles)", "…", name)
        for name in alarms_of(notified)
    }
    assert listed == names
    for name, alarm in alarms_of(notified).items():
        assert f"docs/operating.md, under {name}" in alarm["AlarmDescription"]


def dashboard(template: dict[str, Any]) -> dict[str, Any]:
    (found,) = resolve(of_type(template, "AWS::CloudWatch::Dashboard")).values()
    assert found["DashboardName"] == "EcsDeploy"
    body: dict[str, Any] = json.loads(found["DashboardBody"])
    return body


def expressions(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for widget in body["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], dict):
                yield widget["properties"]["title"], metric[0]["expression"]


def test_the_dashboard_shows_the_delivery_of_each_service(template: dict[str, Any]) -> None:
    shown = [
        (title, *re.findall(r"""SEARCH\('\{"ecs-deploy",service\} MetricName="(\w+)"', '(\w+)', 86400\)""", expression))
        for title, expression in expressions(dashboard(template))
    ]
    assert [found for _, found in shown] == [
        ("LeadTime", "SampleCount"),
        ("LeadTime", "p50"),
        ("LeadTime", "p90"),
        ("ChangeFailure", "Average"),
        ("TimeToRestore", "Average"),
    ]
    emitted = {dora_metrics.LEAD_TIME, dora_metrics.CHANGE_FAILURE, dora_metrics.TIME_TO_RESTORE}
    assert {metric for _, (metric, _) in shown} == emitted


def test_the_dashboard_does_not_grow_with_the_targets(template: dict[str, Any]) -> None:
    many = [{"repository": f"r{n}aa", "cluster": "production1", "service": f"s{n}"} for n in range(100)]
    assert dashboard(synthesize(many)) == dashboard(template)


def test_the_dashboard_shows_all_alarms_and_every_widget_has_a_place(notified: dict[str, Any]) -> None:
    body = dashboard(notified)
    (status,) = [widget for widget in body["widgets"] if widget["type"] == "alarm"]
    assert len(status["properties"]["alarms"]) == len(alarms_of(notified))
    places = [(each["x"], each["y"], each["width"], each["height"]) for each in body["widgets"]]
    assert all(x + width <= 24 for x, _, width, _ in places)
    assert len({(x, y) for x, y, _, _ in places}) == len(places)
    assert body["start"] == "-P28D"
