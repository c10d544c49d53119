"""What is told of executions, as EventBridge and SNS deliver it: each end once, each start once, to whoever listens."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.events import OUTCOME, STARTED, hold
from tests.workflow.conftest import Service, eventually
from tests.workflow.test_deployments import Deployer, ecs_elsewhere, request_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cloud import Cloud


class Mailbox:
    """A queue, and all that ever arrived in it."""

    def __init__(self, cloud: Cloud, name: str, sender: str) -> None:
        self._sqs = cloud.client("sqs")
        self.arn = f"arn:aws:sqs:{cloud.region}:{cloud.account}:{name}"
        self.letters: list[str] = []
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": sender},
            "Action": "sqs:SendMessage",
            "Resource": self.arn,
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        self._url = self._sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]

    def look(self) -> list[str]:
        """Take what has arrived; gives all that ever did."""
        while found := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                self.letters.append(message["Body"])
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return self.letters

    def about(self, execution: str) -> list[str]:
        """All that says this execution's ARN, when something does."""
        return eventually(lambda: [letter for letter in self.look() if execution in letter])


@pytest.fixture(scope="module")
def events(cloud: Cloud) -> Mailbox:
    """Every event of the deployer, as a rule of anybody's catches it."""
    mailbox = Mailbox(cloud, "events", "events.amazonaws.com")
    client = cloud.client("events")
    client.put_rule(Name="everything", EventPattern=json.dumps({"source": ["ecs-deploy"]}))
    client.put_targets(Rule="everything", Targets=[{"Id": "queue", "Arn": mailbox.arn}])
    return mailbox


@pytest.fixture(scope="module")
def letters(cloud: Cloud) -> Mailbox:
    """Every notice, as a subscriber of the stack's topic gets it."""
    mailbox = Mailbox(cloud, "letters", "sns.amazonaws.com")
    cloud.client("sns").subscribe(
        TopicArn=cloud.outputs["NoticesTopicArn"],
        Protocol="sqs",
        Endpoint=mailbox.arn,
        Attributes={"RawMessageDelivery": "true"},
    )
    return mailbox


@pytest.fixture
def deployer(cloud: Cloud) -> Deployer:
    return Deployer(cloud)


def told(events: Mailbox, execution: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The details of an execution's events, by kind; each is as its schema says, and there is one of a kind."""
    found = [json.loads(letter) for letter in events.about(execution["executionArn"])]
    for event in found:
        hold(event)
        assert set(event["resources"]) == {execution["executionArn"], execution["stateMachineArn"]}
    assert max(Counter(event["detail-type"] for event in found).values()) == 1
    return {event["detail-type"]: event["detail"] for event in found}


def test_a_push_is_told_when_it_is_rolled_out_and_when_it_is_stable(
    create_target: Callable[..., Service], deployer: Deployer, events: Mailbox, letters: Mailbox
) -> None:
    service = create_target()
    with deployer.new() as executions:
        image = service.push("v2")
    (execution,) = executions
    details = told(events, execution)
    assert set(details) == {STARTED, OUTCOME}
    outcome, output = details[OUTCOME], execution["output"]
    assert {key: outcome[key] for key in output if key != "polls"} == {
        key: value for key, value in output.items() if key != "polls"
    }
    assert outcome["request"]["push"]["id"] == execution["input"]["push"]["id"]
    assert outcome["leadTime"] >= outcome["seconds"]
    assert details[STARTED]["revision"] == output["revision"]
    # Each state that is entered is paid for: two more than it takes to deploy.
    assert len(entered(deployer, execution)) == 3 * output["polls"] + 7
    (letter,) = letters.about(execution["executionArn"])
    name = image.rpartition("/")[2]
    assert letter.splitlines() == [
        f'"DEPLOYED: {service.name} in {service.cluster}"',
        f'"{outcome["message"]}"',
        f'"Execution: {execution["executionArn"]}"',
    ]
    assert f"{service.name} in {service.cluster} runs {name} ({service.name}:2, before {service.name}:1)" in letter


def test_a_failure_is_told_with_its_reason(
    create_target: Callable[..., Service], deployer: Deployer, events: Mailbox, letters: Mailbox
) -> None:
    service = create_target()
    with deployer.new() as executions:
        service.push("v2", "crash")
    (execution,) = executions
    details = told(events, execution)
    assert set(details) == {STARTED, OUTCOME}
    outcome, cause = details[OUTCOME], execution["cause"]
    assert outcome["outcome"] == execution["error"] == "DeploymentFailed"
    assert {key: outcome[key] for key in ("revision", "replaced", "rolledBack")} == {
        key: cause[key] for key in ("revision", "replaced", "rolledBack")
    }
    assert outcome["reasons"] == cause["reasons"]
    (letter,) = letters.about(execution["executionArn"])
    assert "exit code 1" in letter
    assert "was returned to" in letter
    again = deployer.start(execution["input"])
    assert told(events, again)[OUTCOME]["outcome"] == "DUPLICATE"
    assert set(told(events, again)) == {OUTCOME}


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
def test_a_refusal_is_told_and_starts_nothing(
    deployer: Deployer, events: Mailbox, letters: Mailbox, request_: object
) -> None:
    execution = deployer.start(request_)
    details = told(events, execution)
    assert set(details) == {OUTCOME}
    assert details[OUTCOME]["outcome"] == execution["error"]
    (letter,) = letters.about(execution["executionArn"])
    assert execution["error"] in letter.splitlines()[0]
    assert len(letter.splitlines()) == 3


def test_a_broken_deployer_is_told(deployer: Deployer, events: Mailbox, letters: Mailbox) -> None:
    request = {"cluster": "production1", "service": "doorman-service", "image": "doorman:2"}
    with ecs_elsewhere(deployer.cloud, "no endpoint at all"):
        execution = deployer.start(request)
    outcome = told(events, execution)[OUTCOME]
    assert outcome["title"] == "DeploymentFailed: doorman-service in production1"
    assert outcome["message"] == execution["cause"]["message"]
    assert "Invalid endpoint" in outcome["reasons"][0]
    assert outcome["request"] == request
    (letter,) = letters.about(execution["executionArn"])
    assert "The deployer broke" in letter


def test_an_execution_that_was_stopped_is_told_though_it_sends_nothing(
    create_target: Callable[..., Service], deployer: Deployer, events: Mailbox, letters: Mailbox
) -> None:
    service = create_target()
    service.push("2", "hang")
    request = json.dumps(request_for(service, image=f"{service.repository}:2", timeout=600))
    arn = deployer.states.start_execution(stateMachineArn=deployer.cloud.state_machine, input=request)["executionArn"]
    events.about(arn)
    deployer.states.stop_execution(executionArn=arn)
    (letter,) = letters.about(arn)
    assert letter.splitlines()[0] == '"ABORTED: an execution that sent no event of its own"'
    assert set(told(events, deployer.ended(arn))) == {STARTED}


@pytest.fixture
def unheard(deployer: Deployer) -> Iterator[Deployer]:
    """The same workflow, whose events EventBridge refuses: only AWS may call itself aws."""
    states = deployer.states
    machine = states.describe_state_machine(stateMachineArn=deployer.cloud.state_machine)
    definition = json.loads(machine["definition"])
    for state in definition["States"].values():
        for entry in state.get("Arguments", {}).get("Entries", []):
            entry["Source"] = "aws.nobody"
            state["Retry"][0]["MaxAttempts"] = 1
    made = states.create_state_machine(
        name="unheard", roleArn=machine["roleArn"], definition=json.dumps(definition), type=machine["type"]
    )["stateMachineArn"]

    class Unheard(Deployer):
        def start(self, request: object, **more: str) -> dict[str, Any]:
            started = self.states.start_execution(stateMachineArn=made, input=json.dumps(request), **more)
            return self.ended(started["executionArn"])

    yield Unheard(deployer.cloud)
    states.delete_state_machine(stateMachineArn=made)


def entered(deployer: Deployer, execution: dict[str, Any]) -> list[str]:
    history = deployer.states.get_execution_history(executionArn=execution["executionArn"], maxResults=1000)["events"]
    return [each["stateEnteredEventDetails"]["name"] for each in history if "stateEnteredEventDetails" in each]


def test_an_event_that_is_refused_changes_no_outcome(
    create_target: Callable[..., Service], unheard: Deployer, events: Mailbox
) -> None:
    service = create_target()
    service.push("2")
    good = unheard.start(request_for(service, image=f"{service.repository}:2"))
    assert good["output"]["outcome"] == "DEPLOYED"
    assert good["output"]["revision"] == service.primary()["taskDefinition"]
    # The alarm counts the entries into this state: one for the start, one for the end.
    assert entered(unheard, good).count("NotTold") == 2
    bad = unheard.start(request_for(service, image="another:1"))
    assert bad["error"] == "NoMatchingContainer"
    assert set(bad["cause"]) == {"message", "reasons", "revision", "replaced", "rolledBack"}
    assert entered(unheard, bad)[-2:] == ["NotTold", "Failed"]
    assert not [letter for letter in events.look() if good["executionArn"] in letter or bad["executionArn"] in letter]


@contextmanager
def over_tls(client: Any) -> Iterator[Any]:
    """A client of which the emulator believes that a proxy spoke TLS with it: the stack's queues want that."""

    def forward(request: Any, **_: object) -> None:
        request.headers["X-Forwarded-Proto"] = "https"

    client.meta.events.register("before-sign.*.*", forward)
    try:
        yield client
    finally:
        client.meta.events.unregister("before-sign.*.*", forward)


def test_a_notice_that_cannot_be_delivered_is_kept(deployer: Deployer, events: Mailbox) -> None:
    sns, sqs = deployer.cloud.client("sns"), deployer.cloud.client("sqs")
    topic, queue = (deployer.cloud.outputs[name] for name in ("NoticesTopicArn", "NoticesDeadLetterQueueUrl"))
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
    with over_tls(sqs):
        (kept,) = sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["All"])["Messages"]
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=kept["ReceiptHandle"])
    event = json.loads(kept["Body"])
    hold(event)
    assert event["detail"]["execution"] == execution["executionArn"]
    assert kept["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"


def test_the_alarms_and_the_dashboard_are_there(cloud: Cloud) -> None:
    watch = cloud.client("cloudwatch")
    alarms = watch.describe_alarms(AlarmNamePrefix="EcsDeploy-")["MetricAlarms"]
    assert {"EcsDeploy-ExecutionsFailed", "EcsDeploy-Overdue", "EcsDeploy-NotTold"} <= {
        alarm["AlarmName"] for alarm in alarms
    }
    assert {tuple(alarm["AlarmActions"]) for alarm in alarms} == {(cloud.outputs["NoticesTopicArn"],)}
    body = json.loads(watch.get_dashboard(DashboardName=cloud.outputs["DashboardName"])["DashboardBody"])
    assert len(body["widgets"]) >= 8
