"""The notifications, as EventBridge and SNS deliver them: each end once, each start once, to whoever subscribes."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.events import OUTCOME, STARTED, hold
from tests.workflow.deployer import CAUSE, Deployer, elsewhere, request_for
from tests.workflow.mailbox import Mailbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cloud import Cloud
    from tests.workflow.conftest import Service


@pytest.fixture(scope="module")
def events(cloud: Cloud) -> Mailbox:
    """Every event of the deployer, as a rule of anybody's catches it."""
    mailbox = Mailbox(cloud, "events")
    mailbox.listen(cloud, "events", "ecs-deploy")
    return mailbox


@pytest.fixture(scope="module")
def notifications(cloud: Cloud) -> Mailbox:
    """Every notification, as a subscriber of the stack's topic gets it."""
    mailbox = Mailbox(cloud, "notifications", "sns.amazonaws.com")
    cloud.client("sns").subscribe(
        TopicArn=cloud.outputs["NotificationsTopicArn"],
        Protocol="sqs",
        Endpoint=mailbox.arn,
        Attributes={"RawMessageDelivery": "true"},
    )
    return mailbox


@pytest.fixture
def deployer(cloud: Cloud) -> Deployer:
    return Deployer(cloud)


def details_of(events: Mailbox, execution: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The details of an execution's events, by kind; each is as its schema says, and there is one of a kind."""
    found = [json.loads(message) for message in events.about(execution["executionArn"])]
    for event in found:
        hold(event)
        assert set(event["resources"]) == {execution["executionArn"], execution["stateMachineArn"]}
    assert max(Counter(event["detail-type"] for event in found).values()) == 1
    return {event["detail-type"]: event["detail"] for event in found}


def test_a_push_is_notified_of_when_it_is_rolled_out_and_when_it_is_stable(
    service: Service, deployer: Deployer, events: Mailbox, notifications: Mailbox
) -> None:
    with deployer.new(service.name) as executions:
        image = service.push("v2")
    (execution,) = executions
    details = details_of(events, execution)
    assert set(details) == {STARTED, OUTCOME}
    outcome, output = details[OUTCOME], execution["output"]
    assert output["times"]
    told = output.keys() - {"polls", "times", "slow"}
    assert {key: outcome[key] for key in told} == {key: output[key] for key in told}
    assert outcome["request"]["push"]["id"] == execution["input"]["push"]["id"]
    assert outcome["leadTime"] >= outcome["seconds"]
    for key in ("revision", "image", "digest"):
        assert details[STARTED][key] == output[key]
    # Each state that is entered is paid for: two more than it takes to deploy.
    assert len(deployer.entered(execution["executionArn"])) == 3 * output["polls"] + 7
    (notification,) = notifications.about(execution["executionArn"])
    name = image.rpartition("/")[2]
    assert notification.splitlines() == [
        f'"DEPLOYED: {service.name} in {service.cluster}"',
        f'"{outcome["message"]}"',
        f'"Execution: {execution["executionArn"]}"',
    ]
    runs = f"{service.name} in {service.cluster} runs {name} ({service.name}:2, before {service.name}:1)"
    assert runs in notification


def test_a_failure_is_notified_of_with_its_reason(
    service: Service, deployer: Deployer, events: Mailbox, notifications: Mailbox
) -> None:
    with deployer.new(service.name) as executions:
        service.push("v2", "crash")
    (execution,) = executions
    details = details_of(events, execution)
    assert set(details) == {STARTED, OUTCOME}
    outcome, cause = details[OUTCOME], execution["cause"]
    assert outcome["outcome"] == execution["error"] == "DeploymentFailed"
    for key in ("image", "digest", "revision", "replaced", "rolledBack", "reasons"):
        assert outcome[key] == cause[key]
    (notification,) = notifications.about(execution["executionArn"])
    assert "exit code 1" in notification
    assert "was returned to" in notification


def test_what_starts_nothing_has_an_outcome_only(service: Service, deployer: Deployer, events: Mailbox) -> None:
    held = deployer.start(request_for(service, hold="the fair is open"))
    assert set(details_of(events, held)) == {OUTCOME}
    assert details_of(events, held)[OUTCOME]["outcome"] == held["output"]["outcome"] == "HELD"
    with deployer.new(service.name) as executions:
        service.push("v2")
    (execution,) = executions
    details = details_of(events, execution)
    assert set(details) == {OUTCOME}
    assert details[OUTCOME]["outcome"] == execution["output"]["outcome"] == "HELD"
    assert "the fair is open" in details[OUTCOME]["message"]


@pytest.mark.parametrize(
    "request_",
    [
        {"cluster": "production1", "service": "app-1", "image": "app-1:1", "timeout": "soon"},
        {f"key-{number}": '"\\\n' for number in range(12_000)},
        {"cluster": "production1", "service": "not-a-target", "image": "x:1"},
        None,
    ],
    ids=["wrong", "huge", "denied", "nothing"],
)
def test_a_refusal_is_notified_of_and_starts_nothing(
    deployer: Deployer, events: Mailbox, notifications: Mailbox, request_: object
) -> None:
    execution = deployer.start(request_)
    details = details_of(events, execution)
    assert set(details) == {OUTCOME}
    assert details[OUTCOME]["outcome"] == execution["error"]
    (notification,) = notifications.about(execution["executionArn"])
    assert execution["error"] in notification.splitlines()[0]
    assert len(notification.splitlines()) == 3


def test_a_fault_of_the_deployer_is_notified_of(deployer: Deployer, events: Mailbox, notifications: Mailbox) -> None:
    request = {"cluster": "production1", "service": "doorman-service", "image": "doorman:2"}
    with elsewhere(deployer.cloud, ECS="no endpoint at all"):
        execution = deployer.start(request)
    outcome = details_of(events, execution)[OUTCOME]
    assert outcome["title"] == "DeploymentFailed: doorman-service in production1"
    assert outcome["message"] == execution["cause"]["message"]
    assert "Invalid endpoint" in outcome["reasons"][0]
    assert outcome["request"] == request
    (notification,) = notifications.about(execution["executionArn"])
    assert "The deployer broke" in notification


def test_an_execution_that_was_stopped_is_notified_of_though_it_sends_nothing(
    service: Service, deployer: Deployer, events: Mailbox, notifications: Mailbox
) -> None:
    service.push("2", "hang")
    arn = deployer.begin(request_for(service, image=f"{service.repository}:2"))
    events.about(arn)
    deployer.states.stop_execution(executionArn=arn)
    (notification,) = notifications.about(arn)
    assert notification.splitlines()[0] == '"ABORTED: an execution that sent no event of its own"'
    assert set(details_of(events, deployer.ended(arn))) == {STARTED}


@pytest.fixture
def refused(deployer: Deployer) -> Iterator[Deployer]:
    """The same workflow, whose events EventBridge refuses: only AWS may call itself aws."""
    states = deployer.states
    machine = states.describe_state_machine(stateMachineArn=deployer.cloud.state_machine)
    definition = json.loads(machine["definition"])
    for state in definition["States"].values():
        for entry in state.get("Arguments", {}).get("Entries", []):
            entry["Source"] = "aws.nobody"
            state["Retry"][0]["MaxAttempts"] = 1
    made = states.create_state_machine(
        name="refused", roleArn=machine["roleArn"], definition=json.dumps(definition), type=machine["type"]
    )["stateMachineArn"]

    class Refused(Deployer):
        def begin(self, request: object, **more: str) -> str:
            started = self.states.start_execution(stateMachineArn=made, input=json.dumps(request), **more)
            arn: str = started["executionArn"]
            return arn

    yield Refused(deployer.cloud)
    states.delete_state_machine(stateMachineArn=made)


def test_an_event_that_is_refused_changes_no_outcome(service: Service, refused: Deployer, events: Mailbox) -> None:
    service.push("2")
    good = refused.start(request_for(service, image=f"{service.repository}:2"))
    assert good["output"]["outcome"] == "DEPLOYED"
    assert good["output"]["revision"] == service.primary()["taskDefinition"]
    # The alarm counts the entries into these states.
    assert [each for each in refused.entered(good["executionArn"]) if "NotNotified" in each] == [
        "StartNotNotified",
        "SuccessNotNotified",
    ]
    bad = refused.start(request_for(service, image="another:1"))
    assert bad["error"] == "NoMatchingContainer"
    assert set(bad["cause"]) == CAUSE
    assert refused.entered(bad["executionArn"])[-2:] == ["FailureNotNotified", "Failed"]
    both = (good["executionArn"], bad["executionArn"])
    assert not [event for event in events.receive() if any(arn in event for arn in both)]


def test_a_notification_that_cannot_be_delivered_is_kept(deployer: Deployer) -> None:
    sns, sqs = deployer.cloud.client("sns"), deployer.cloud.client("sqs")
    names = ("NotificationsTopicArn", "NotificationsDeadLetterQueueUrl")
    topic, queue = (deployer.cloud.outputs[name] for name in names)
    policy = sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    # What the documentation warns of: EventBridge does not say which rule it publishes for.
    conditional = json.loads(policy)
    for statement in conditional["Statement"]:
        if statement.get("Principal") == {"Service": "events.amazonaws.com"}:
            statement["Condition"] = {"ArnLike": {"aws:SourceArn": "arn:aws:events:*:*:rule/*"}}
    assert conditional != json.loads(policy)
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(conditional))
    try:
        execution = deployer.start(None)
    finally:
        sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    assert execution["error"] == "InvalidRequest"
    (kept,) = sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["All"])["Messages"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=kept["ReceiptHandle"])
    event = json.loads(kept["Body"])
    hold(event)
    assert event["detail"]["execution"] == execution["executionArn"]
    assert kept["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"


def test_the_alarms_and_the_dashboard_are_there(cloud: Cloud) -> None:
    watch = cloud.client("cloudwatch")
    alarms = watch.describe_alarms(AlarmNamePrefix="EcsDeploy-")["MetricAlarms"]
    names = {alarm["AlarmName"].removeprefix("EcsDeploy-") for alarm in alarms}
    assert {
        "ExecutionsFailed",
        "ExecutionsTimedOut",
        "ExecutionsAborted",
        "Overdue",
        "NotNotified",
        "DeadLetters",
        "NotificationsDeadLetters",
        "ParameterFailed",
        "DispatcherErrors",
        "DispatcherThrottles",
    } <= names
    assert {tuple(alarm["AlarmActions"]) for alarm in alarms} == {(cloud.outputs["NotificationsTopicArn"],)}
    body = json.loads(watch.get_dashboard(DashboardName=cloud.outputs["DashboardName"])["DashboardBody"])
    assert len(body["widgets"]) >= 8
