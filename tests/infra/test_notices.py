"""What watches the deployer: who may publish a notice, which event becomes which, the alarms, the dashboard."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from ecs_deploy import figures
from ecs_deploy.errors import DeployError
from ecs_deploy.notice import plain
from infra.context import notify
from infra.workflow import NOT_TOLD, STEPS, definition
from tests.infra.eventbridge import matches, render
from tests.infra.synthesis import CDK_JSON, ROOT, of_type, resolve, synthesize
from tests.support.events import OUTCOME, STARTED, as_event

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGETS = CDK_JSON["context"]["targets"]
CHANNEL = "arn:aws:chatbot::123456789012:chat-configuration/slack-channel/deployments"
MACHINE = "{WorkflowMachine}"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:Machine:one"


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
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
def test_who_may_publish(told: dict[str, Any], name: str) -> None:
    deny, events, alarms = policy(told, f"Notices{name}Policy")
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    # A condition would drop every notice.
    assert {key: value for key, value in events.items() if key != "Sid"} == {
        "Effect": "Allow",
        "Action": "sns:Publish",
        "Principal": {"Service": "events.amazonaws.com"},
        "Resource": f"{{Notices{name}}}",
    }
    assert {key: value for key, value in alarms.items() if key != "Sid"} == {
        "Effect": "Allow",
        "Action": "sns:Publish",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Resource": f"{{Notices{name}}}",
        "Condition": ALARMS,
    }
    assert resolve(of_type(told, "AWS::SNS::Topic"))[f"Notices{name}"] == {
        "DisplayName": "ecs-deploy",
        "KmsMasterKeyId": "{NoticesKey.Arn}",
    }


def test_who_may_use_the_key(told: dict[str, Any]) -> None:
    (key,) = resolve(of_type(told, "AWS::KMS::Key")).values()
    assert key["EnableKeyRotation"] is True
    account, events, alarms = key["KeyPolicy"]["Statement"]
    assert account["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    for statement, service in ((events, "events"), (alarms, "cloudwatch")):
        assert statement["Effect"] == "Allow"
        assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
        assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}
    assert "Condition" not in events
    assert alarms["Condition"] == ALARMS


def test_subscriptions(told: dict[str, Any]) -> None:
    common = {"TopicArn": "{NoticesTopic}", "RedrivePolicy": {"deadLetterTargetArn": "{NoticesDeadLetters.Arn}"}}
    assert list(resolve(of_type(told, "AWS::SNS::Subscription")).values()) == [
        {"Protocol": "email", "Endpoint": "ops@example.com", **common},
        {"Protocol": "https", "Endpoint": "https://hooks.example.com/x", **common},
    ]


def test_what_is_not_delivered_is_kept(told: dict[str, Any]) -> None:
    document = resolve(of_type(told, "AWS::SQS::QueuePolicy")["NoticesDeadLettersPolicy"])["PolicyDocument"]
    _, rules, topic = document["Statement"]
    assert rules["Principal"] == {"Service": "events.amazonaws.com"}
    assert rules["Condition"] == {
        "ArnLike": {"aws:SourceArn": ["arn:aws:events:us-east-1:123456789012:rule/EcsDeploy-*"]}
    }
    assert topic["Principal"] == {"Service": "sns.amazonaws.com"}
    assert topic["Condition"] == {"ArnLike": {"aws:SourceArn": ["{NoticesTopic}"]}}
    for rule in rules_of(told):
        for target in rule["Targets"]:
            assert target["DeadLetterConfig"] == {"Arn": "{NoticesDeadLetters.Arn}"}
            assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}


def rules_of(template: dict[str, Any]) -> list[dict[str, Any]]:
    found = of_type(template, "AWS::Events::Rule")
    return [resolve(rule) for name, rule in found.items() if name.startswith("Notices")]


def published(template: dict[str, Any], event: dict[str, Any]) -> dict[str, str]:
    """What each topic gets of an event."""
    return {
        target["Arn"]: render(target["InputTransformer"], event)
        for rule in rules_of(template)
        if matches(rule["EventPattern"], event)
        for target in rule["Targets"]
    }


def outcome(title: str, message: str) -> dict[str, Any]:
    event = as_event(OUTCOME, {"title": title, "message": message, "execution": EXECUTION})
    return {**event, "resources": [EXECUTION, MACHINE]}


def ended(status: str, error: str | None = None, machine: str = MACHINE) -> dict[str, Any]:
    detail = {"executionArn": EXECUTION, "stateMachineArn": machine, "status": status, "error": error}
    return {"source": "aws.states", "detail-type": "Step Functions Execution Status Change", "detail": detail}


def test_an_outcome_becomes_a_letter_and_a_card(told: dict[str, Any]) -> None:
    hostile = 'a "quote", a \\ and\na line'
    got = published(told, outcome("DEPLOYED: doorman in production1", plain(hostile, 2_000)))
    assert got["{NoticesTopic}"].splitlines() == [
        '"DEPLOYED: doorman in production1"',
        "\"a 'quote', a / and a line\"",
        f'"Execution: {EXECUTION}"',
    ]
    card = json.loads(got["{NoticesChat}"])
    assert card == {
        "version": "1.0",
        "source": "custom",
        "content": {
            "textType": "client-markdown",
            "title": "DEPLOYED: doorman in production1",
            "description": f"a 'quote', a / and a line\n{EXECUTION}",
        },
    }


def test_no_other_event_is_ours(told: dict[str, Any]) -> None:
    event = outcome("title", "message")
    assert published(told, {**event, "resources": [EXECUTION, "another machine"]}) == {}
    assert published(told, {**event, "detail-type": STARTED}) == {}
    assert published(told, {**event, "source": "aws.ecr"}) == {}


@pytest.mark.parametrize(
    ("status", "error"),
    [("ABORTED", None), ("ABORTED", "Mine"), ("TIMED_OUT", None), ("FAILED", "States.Runtime")],
)
def test_an_end_that_sends_nothing_is_told(told: dict[str, Any], status: str, error: str | None) -> None:
    got = published(told, ended(status, error))
    first, second, third = got["{NoticesTopic}"].splitlines()
    assert first.startswith(f'"{status}: ')
    assert "Look at the service in ECS" in second
    assert EXECUTION in third
    assert json.loads(got["{NoticesChat}"])["content"]["title"].startswith(status)


def test_an_end_that_tells_itself_is_not_told_twice(told: dict[str, Any]) -> None:
    for error in DeployError.__subclasses__():
        assert published(told, ended("FAILED", error.__name__)) == {}
    for status in ("RUNNING", "SUCCEEDED"):
        assert published(told, ended(status)) == {}
    assert published(told, ended("ABORTED", machine="another")) == {}


def test_without_a_channel_there_is_one_topic(template: dict[str, Any]) -> None:
    assert list(of_type(template, "AWS::SNS::Topic")) == ["NoticesTopic"]
    assert not of_type(template, "AWS::SNS::Subscription")
    assert set(published(template, outcome("title", "message"))) == {"{NoticesTopic}"}


def test_without_notify_nothing_is_paid_for() -> None:
    silent = synthesize(TARGETS, notify=None)
    for kind in ("AWS::SNS::Topic", "AWS::KMS::Key"):
        assert not of_type(silent, kind)
    assert not rules_of(silent)
    assert list(of_type(silent, "AWS::SQS::Queue")) == ["TriggersDeadLetters"]
    assert all("AlarmActions" not in alarm for alarm in of_type(silent, "AWS::CloudWatch::Alarm").values())


def test_the_channels_topic_is_an_output(told: dict[str, Any]) -> None:
    assert resolve(told["Outputs"]["ChatTopicArn"]["Value"]) == "{NoticesChat}"


def alarms_of(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        alarm["AlarmName"].removeprefix("EcsDeploy-"): alarm
        for alarm in map(resolve, of_type(template, "AWS::CloudWatch::Alarm").values())
    }


def test_alarms(told: dict[str, Any]) -> None:
    def by(name: str, value: str) -> list[dict[str, str]]:
        return [{"Name": name, "Value": value}]

    machine, own = by("StateMachineArn", MACHINE), by("service", "ecs-deploy")
    wanted: dict[str, tuple[str, str, list[dict[str, str]] | None, int]] = {
        "ExecutionsFailed": ("AWS/States", "ExecutionsFailed", machine, 1),
        "ExecutionsTimedOut": ("AWS/States", "ExecutionsTimedOut", machine, 1),
        "ExecutionsAborted": ("AWS/States", "ExecutionsAborted", machine, 1),
        "Overdue": ("ecs-deploy", "Overdue", own, 1),
        "NotTold": ("ecs-deploy", "NotTold", None, 1),
    }
    for queue in ("Triggers", "Notices"):
        dimension = by("QueueName", f"{{{queue}DeadLetters.QueueName}}")
        wanted[f"{queue}DeadLetters"] = ("AWS/SQS", "ApproximateNumberOfMessagesVisible", dimension, 1)
    swept = by("FunctionName", "{SweepLookFunction}")
    wanted["SweepFailed"] = ("AWS/Lambda", "AsyncEventsDropped", swept, 1)
    written = by("FunctionName", "{ParametersWriteFunction}")
    wanted["ParameterFailed"] = ("AWS/Lambda", "AsyncEventsDropped", written, 1)
    for step in STEPS:
        for kind in ("Errors", "Throttles"):
            dimension = by("FunctionName", f"{{{step.state}Function}}")
            wanted[f"{step.state}{kind}"] = ("AWS/Lambda", kind, dimension, 5)
    alarms = alarms_of(told)
    assert {
        name: (alarm["Namespace"], alarm["MetricName"], alarm.get("Dimensions"), alarm["Threshold"])
        for name, alarm in alarms.items()
    } == wanted
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"] == ["{NoticesTopic}", "{NoticesChat}"]
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert alarm["TreatMissingData"] == "notBreaching"
        assert (alarm["EvaluationPeriods"], alarm["Period"]) == (1, 300)
        assert alarm["Statistic"] == ("Maximum" if name.endswith("DeadLetters") else "Sum")


def test_an_event_that_was_not_taken_is_counted_in_the_log_of_the_workflow(template: dict[str, Any]) -> None:
    (counted,) = resolve(of_type(template, "AWS::Logs::MetricFilter")).values()
    assert counted["LogGroupName"] == "{WorkflowLogs}"
    assert counted["MetricTransformations"] == [
        {"MetricName": "NotTold", "MetricNamespace": "ecs-deploy", "MetricValue": "1"}
    ]
    kind, state = re.findall(r'"(\w+)"', counted["FilterPattern"])
    assert definition()["States"][state]["Type"] == "Choice"
    assert (kind, state) == ("ChoiceStateEntered", NOT_TOLD)


def test_every_alarm_is_in_the_operating_guide(told: dict[str, Any]) -> None:
    guide = (ROOT / "docs/operating.md").read_text()
    listed = set(re.findall(r"^\| `EcsDeploy-([\w…]+)` ", guide, re.MULTILINE))
    names = {re.sub(r"^(Register|Update|Poll)[a-zA-Z]+(?=Errors|Throttles)", "…", name) for name in alarms_of(told)}
    assert listed == names
    for name, alarm in alarms_of(told).items():
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
    emitted = {figures.LEAD_TIME, figures.CHANGE_FAILURE, figures.TIME_TO_RESTORE}
    assert {metric for _, (metric, _) in shown} == emitted


def test_the_dashboard_does_not_grow_with_the_targets(template: dict[str, Any]) -> None:
    many = [{"repository": f"r{n}aa", "cluster": "production1", "service": f"s{n}"} for n in range(100)]
    assert dashboard(synthesize(many)) == dashboard(template)


def test_the_dashboard_shows_all_alarms_and_every_widget_has_a_place(told: dict[str, Any]) -> None:
    body = dashboard(told)
    (status,) = [widget for widget in body["widgets"] if widget["type"] == "alarm"]
    assert len(status["properties"]["alarms"]) == len(alarms_of(told))
    places = [(each["x"], each["y"], each["width"], each["height"]) for each in body["widgets"]]
    assert all(x + width <= 24 for x, _, width, _ in places)
    assert len({(x, y) for x, y, _, _ in places}) == len(places)
    assert body["start"] == "-P28D"
