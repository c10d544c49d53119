"""The stack on the emulator, from what starts an execution to its outcome and the revision that runs then."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.chaos import forward
from tests.support.clock import RealClock
from tests.support.ecs_model import EcsModel
from tests.support.endpoint import Answer, Call, answering, serve
from tests.workflow.conftest import Service, eventually
from tests.workflow.deployer import CAUSE, Deployer, elsewhere, request_for, throttled
from tests.workflow.mailbox import Mailbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cloud import Cloud


@pytest.fixture
def deployer(cloud: Cloud) -> Deployer:
    return Deployer(cloud)


@dataclass(frozen=True)
class Pushed:
    """A service to which a push was deployed, that push's event, and its execution."""

    service: Service
    event: dict[str, Any]
    execution: dict[str, Any]


@pytest.fixture(scope="module")
def pushed(cloud: Cloud, unused_services: Iterator[Service]) -> Pushed:
    service, deployer, mailbox = next(unused_services), Deployer(cloud), Mailbox(cloud, "pushes")
    mailbox.listen(cloud, "pushes", "aws.ecr")
    with deployer.new(service.name) as executions:
        service.push("v2")
    (event,) = mailbox.receive()
    assert executions[0]["output"]["outcome"] == "DEPLOYED"
    return Pushed(service, json.loads(event), executions[0])


@pytest.fixture(scope="module")
def untouched(unused_services: Iterator[Service]) -> Service:
    """A service that nothing is deployed to."""
    return next(unused_services)


def revisions(service: Service) -> int:
    return len(service.ecs.list_task_definitions(familyPrefix=service.name)["taskDefinitionArns"])


def test_a_push_becomes_a_deployment(service: Service, deployer: Deployer) -> None:
    before = service.primary()["taskDefinition"]
    with deployer.new(service.name) as executions:
        image = service.push("v2")
    (execution,) = executions
    assert "output" in execution, execution.get("cause")
    push = execution["input"]["push"]
    assert execution["output"] == {
        "outcome": "DEPLOYED",
        "cluster": service.cluster,
        "service": service.name,
        "image": image,
        "digest": push["digest"],
        "revision": service.primary()["taskDefinition"],
        "replaced": before,
        "deployment": service.primary()["id"],
        "seconds": execution["output"]["seconds"],
        "polls": execution["output"]["polls"],
        "times": execution["output"]["times"],
        "slow": [],
        "reasons": [],
    }
    # Tasks take two tenths of a second to start, one after the other.
    assert execution["output"]["times"]["start"] > 0
    assert service.images()[0] == image
    assert service.primary()["rolloutState"] == "COMPLETED"
    assert revisions(service) == 2
    assert (push["repository"], push["tag"]) == (service.repository, "v2")
    assert push["digest"].startswith("sha256:")
    tags = service.ecs.list_tags_for_resource(resourceArn=execution["output"]["revision"])["tags"]
    assert {"key": "ecs-deploy:execution", "value": execution["executionArn"]} in tags
    assert {"key": "ecs-deploy:image", "value": image} in tags
    state = deployer.state(service.key)
    assert (state["stable"]["revision"], state["owner"]) == (execution["output"]["revision"], None)


def test_a_push_of_another_tag_starts_nothing(service: Service, deployer: Deployer) -> None:
    with deployer.new(service.name) as executions:
        service.push("latest")
        # A push that is deployed, so that the other would have been by then.
        service.push("v2")
    eventually(deployer.dispatched)
    assert deployer.of(service.name) == [executions[0]["executionArn"]]
    assert executions[0]["input"]["push"]["tag"] == "v2"


def test_only_ecr_itself_starts_a_deployment(service: Service, deployer: Deployer) -> None:
    events = deployer.cloud.client("events")
    detail = {"action-type": "PUSH", "result": "SUCCESS", "repository-name": service.repository, "image-tag": "v1"}
    event = {"DetailType": "ECR Image Action", "Detail": json.dumps({**detail, "image-digest": "sha256:0"})}
    events.create_event_bus(Name="somebody-elses")
    other = {**event, "Source": "ecr", "EventBusName": "somebody-elses"}
    with deployer.new(service.name) as executions:
        assert events.put_events(Entries=[{**event, "Source": "aws.ecr"}])["FailedEntryCount"] == 1
        assert events.put_events(Entries=[{**event, "Source": "ecr"}, other])["FailedEntryCount"] == 0
        # A push that is deployed, so that the others would have been by then.
        service.push("v2")
    eventually(deployer.dispatched)
    assert deployer.of(service.name) == [executions[0]["executionArn"]]
    assert executions[0]["input"]["push"]["tag"] == "v2"


def test_an_event_that_comes_twice_starts_one_execution(deployer: Deployer, pushed: Pushed) -> None:
    before, name = deployer.of(pushed.service.name), pushed.execution["name"]
    deployer.send(pushed.event)
    eventually(
        lambda: [line for line in deployer.log("dispatcher").splitlines() if name in line and "started before" in line]
    )
    assert deployer.of(pushed.service.name) == before


def test_an_older_push_that_comes_late_is_superseded(deployer: Deployer, pushed: Pushed) -> None:
    with deployer.new(pushed.service.name) as executions:
        deployer.send({**pushed.event, "id": "late", "time": "2026-01-01T00:00:00Z"})
    assert executions[0]["output"]["outcome"] == "SUPERSEDED"
    assert pushed.service.primary()["taskDefinition"] == pushed.execution["output"]["revision"]
    assert revisions(pushed.service) == 2


def test_an_image_that_runs_already_is_not_deployed_again(deployer: Deployer, pushed: Pushed) -> None:
    ecr, name = deployer.cloud.client("ecr"), pushed.service.repository
    image = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "v2"}])["images"][0]
    with deployer.new(pushed.service.name) as executions:
        ecr.put_image(repositoryName=name, imageManifest=image["imageManifest"], imageTag="v3")
    output = executions[0]["output"]
    assert (output["outcome"], output["revision"]) == ("UNCHANGED", None)
    assert output["digest"] == image["imageId"]["imageDigest"]
    assert pushed.service.primary()["taskDefinition"] == pushed.execution["output"]["revision"]
    assert revisions(pushed.service) == 2


def test_a_newer_push_takes_over(service: Service, deployer: Deployer) -> None:
    with deployer.new(service.name, count=2) as executions:
        service.push("v2", "hang")
        eventually(lambda: deployer.owner(service.key))
        newest = service.push("v3")
    assert [each["output"]["outcome"] for each in executions] == ["SUPERSEDED", "DEPLOYED"]
    assert service.images()[0] == newest
    # What is older than what works is not started again.
    eventually(lambda: deployer.settled(service.key))
    assert len(deployer.of(service.name)) == 2


def test_a_push_for_another_container_waits_for_its_turn(pair: Service, deployer: Deployer) -> None:
    with throttled(deployer.cloud, "poll_stability"):
        image = pair.push("v2")
        (first,) = eventually(lambda: deployer.of(pair.name))
        eventually(lambda: "PollStability" in deployer.entered(first))
        sidecar = pair.push("v2", repository=f"{pair.name}-proxy")
        (second,) = eventually(lambda: deployer.of(pair.name, {first}))
        eventually(lambda: "WaitForTurn" in deployer.entered(second))
        assert pair.images() == [image, sidecar.replace(":v2", ":1")]
    ends = [deployer.ended(each)["output"] for each in (first, second)]
    assert [each["outcome"] for each in ends] == ["DEPLOYED", "DEPLOYED"]
    assert ends[1]["replaced"] == ends[0]["revision"]
    assert pair.images() == [image, sidecar]
    # The second is rolled out, and people are notified of it, when the first is through.
    states = deployer.entered(second)
    assert states.index("WaitForTurn") < states.index("NotifyStart")
    assert states.count("NotifyStart") == 1


def test_an_execution_that_a_person_stops_makes_way_for_the_next(pair: Service, deployer: Deployer) -> None:
    before = pair.images()[0]
    pair.push("2", "hang")
    stopped = deployer.begin(request_for(pair, image=f"{pair.repository}:2"))
    eventually(lambda: "WaitForRollout" in deployer.entered(stopped))
    with deployer.new(pair.name) as executions:
        sidecar = pair.push("v2", repository=f"{pair.name}-proxy")
        (waiting,) = eventually(lambda: deployer.of(pair.name, {stopped}))
        eventually(lambda: "WaitForTurn" in deployer.entered(waiting))
        deployer.states.stop_execution(executionArn=stopped)
    (execution,) = executions
    assert execution["output"]["outcome"] == "DEPLOYED"
    # What was stopped has no verdict, so it is not carried on, and it is not tried again.
    assert pair.images() == [before, sidecar]
    eventually(lambda: deployer.settled(pair.key))
    assert deployer.of(pair.name) == [stopped, waiting]
    results = [entry["result"] for place, entry in sorted(deployer.items(pair.key).items()) if place != "STATE"]
    assert results == ["STOPPED", "DEPLOYED"]


def test_by_hand_with_a_separate_tag(service: Service, deployer: Deployer) -> None:
    service.push("2")
    execution = deployer.start(request_for(service, image=service.repository, tag="2"))
    assert execution["output"]["outcome"] == "DEPLOYED"
    assert service.images()[0].endswith(f"/{service.repository}:2")


def test_another_state_machine_waits_for_the_outcome(service: Service, deployer: Deployer) -> None:
    service.push("2")
    request = request_for(service, image=f"{service.repository}:2")
    trusted = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = deployer.cloud.client("iam").create_role(
        RoleName="caller", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trusted]})
    )["Role"]
    nested = deployer.states.create_state_machine(
        name=f"caller-of-{service.name}",
        roleArn=role["Arn"],
        definition=json.dumps(
            {
                "StartAt": "Deploy",
                "States": {
                    "Deploy": {
                        "Type": "Task",
                        "Resource": "arn:aws:states:::states:startExecution.sync:2",
                        "Parameters": {"StateMachineArn": deployer.cloud.state_machine, "Input": request},
                        "OutputPath": "$.Output",
                        "End": True,
                    }
                },
            }
        ),
    )
    started = deployer.states.start_execution(stateMachineArn=nested["stateMachineArn"], input="{}")
    execution = deployer.ended(started["executionArn"])
    assert execution["output"]["outcome"] == "DEPLOYED"
    assert execution["output"]["revision"] == service.primary()["taskDefinition"]


def test_a_broken_push_is_undone_and_explained(service: Service, deployer: Deployer) -> None:
    running = service.images()[0]
    with deployer.new(service.name) as executions:
        image = service.push("v2", "crash")
    (execution,) = executions
    cause = execution["cause"]
    assert (execution["status"], execution["error"]) == ("FAILED", "DeploymentFailed")
    assert set(cause) == CAUSE
    assert (cause["rolledBack"], cause["image"], cause["digest"]) == (
        True,
        image,
        execution["input"]["push"]["digest"],
    )
    assert "exit code 1" in cause["message"]
    assert service.images()[0] == running
    # Nobody's "latest active revision" is the one that failed.
    failed = service.ecs.describe_task_definition(taskDefinition=cause["revision"])["taskDefinition"]
    assert failed["status"] == "INACTIVE"
    eventually(lambda: deployer.settled(service.key))
    assert deployer.of(service.name) == [execution["executionArn"]]


def test_what_hangs_is_undone_at_its_deadline(service: Service, deployer: Deployer) -> None:
    running = service.images()[0]
    service.push("2", "hang")
    execution = deployer.start(request_for(service, image=f"{service.repository}:2", timeout=10))
    assert execution["error"] == "DeploymentTimedOut"
    assert execution["cause"]["rolledBack"] is True
    assert service.images()[0] == running


def test_a_revert(service: Service, deployer: Deployer) -> None:
    running = service.images()[0]
    with deployer.new(service.name):
        service.push("v2")
    execution = deployer.start(request_for(service, revert=True))
    assert execution["output"]["outcome"] == "DEPLOYED"
    assert service.images()[0] == running
    assert deployer.start(request_for(service, revert=True))["error"] == "NothingToRevertTo"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"timeout": "soon", "color": "red"}, "InvalidRequest"),
        ({"image": "{repository}:missing"}, "ImageNotFound"),
        ({"image": "another:1"}, "NoMatchingContainer"),
        ({"container": "another"}, "NoMatchingContainer"),
        # The functions are held to their roles, and this service is not among the targets.
        ({"service": "another"}, "AccessDenied"),
    ],
)
def test_a_refused_request_changes_nothing(
    untouched: Service, deployer: Deployer, change: dict[str, str], error: str
) -> None:
    before = untouched.primary()
    changed = {key: value.format(repository=untouched.repository) for key, value in change.items()}
    execution = deployer.start({**request_for(untouched, image=f"{untouched.repository}:v1"), **changed})
    assert (execution["status"], execution["error"]) == ("FAILED", error)
    assert set(execution["cause"]) == CAUSE
    assert execution["cause"]["message"]
    assert untouched.primary() == before
    assert revisions(untouched) == 1
    assert deployer.items(untouched.key) == {}


@pytest.mark.parametrize("document", [[], [1], None, "text", 5, {}])
def test_any_json_is_a_request_or_refused(deployer: Deployer, document: object) -> None:
    execution = deployer.start(document)
    assert execution["error"] == "InvalidRequest"
    assert "cluster" in execution["cause"]["message"]


def test_the_calls_of_a_deployment_are_few(deployer: Deployer) -> None:
    model, table = EcsModel(RealClock()), Counter[str]()
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": "doorman:1"}]}
    service = model.add_service("doorman-service", model.add_revision(document), drain=0.2)
    push = {"id": "event", "time": datetime.now(UTC).isoformat()}
    request = {"cluster": "production1", "service": "doorman-service", "image": "doorman:2", "push": push}

    def count(call: Call) -> Answer:
        table[call.action] += 1
        return forward(call, deployer.cloud.endpoint)

    with serve(model) as ecs, answering(count) as dynamodb, elsewhere(deployer.cloud, ECS=ecs, DYNAMODB=dynamodb):
        execution = deployer.start(request)
    assert execution["output"]["outcome"] == "DEPLOYED"
    assert service.primary.revision == execution["output"]["revision"]
    assert model.called().count("RegisterTaskDefinition") == 1
    assert model.called().count("UpdateService") == 1
    # A look at the tasks belongs to a poll.
    looks = len(model.called("ListTasks", "DescribeTasks"))
    assert len(model.calls) - looks - execution["output"]["polls"] <= 6
    assert table.total() - execution["output"]["polls"] <= 12


@pytest.mark.parametrize(
    ("function", "doing", "left", "again"),
    [
        ("register_task_definition", "registering the new revision", "on {name}:1: its rollout is COMPLETED", False),
        (
            "update_service",
            "updating the service",
            "on {name}:1, and not on {name}:2, the revision of this execution: its rollout is COMPLETED",
            True,
        ),
        (
            "poll_stability",
            "following the rollout",
            "on {name}:2, the revision of this execution: its rollout is ",
            True,
        ),
    ],
)
def test_a_fault_of_the_deployer_says_what_the_service_was_left_on(
    service: Service, deployer: Deployer, function: str, doing: str, left: str, again: bool
) -> None:
    old, new = service.images()[0], service.push("2")
    with elsewhere(deployer.cloud, function, ECS="no endpoint at all"):
        execution = deployer.start(request_for(service, image=f"{service.repository}:2"))
    assert (execution["status"], execution["error"]) == ("FAILED", "DeploymentFailed")
    message = execution["cause"]["message"]
    assert f"The deployer broke while {doing}. The service is {left.format(name=service.name)}" in message
    assert " of 2 tasks run. Nobody watches it any more." in message
    (reason,) = execution["cause"]["reasons"]
    assert "Invalid endpoint" in reason
    # What was begun is begun again once the deployer works, as an execution of its own.
    eventually(lambda: deployer.settled(service.key))
    assert service.images()[0] == (new if again else old)
    assert (len(deployer.of(service.name)) > 1) is again


def test_a_description_that_fails_is_a_reason_too(deployer: Deployer) -> None:
    with elsewhere(deployer.cloud, ECS="no endpoint at all"):
        execution = deployer.start({"cluster": "nowhere", "service": "doorman-service", "image": "doorman:2"})
    assert "the state of the service was not determined" in execution["cause"]["message"]
    broke, described = execution["cause"]["reasons"]
    assert "Invalid endpoint" in broke
    assert described.startswith("the service could not be described: Ecs.ClusterNotFoundException: ")
