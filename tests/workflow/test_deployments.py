"""The stack on the emulator, from what starts an execution to its outcome and the revision that runs then."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.clock import RealClock
from tests.support.ecs_model import EcsModel
from tests.support.endpoint import serve
from tests.workflow.conftest import Service, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cloud import Cloud

ENDED = {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}


class Deployer:
    """Starts and follows executions of the stack's state machine."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.states = cloud.client("stepfunctions")

    def start(self, request: object, **more: str) -> dict[str, Any]:
        """Start an execution by hand; gives it when it has ended."""
        started = self.states.start_execution(
            stateMachineArn=self.cloud.state_machine, input=json.dumps(request), **more
        )
        return self.ended(started["executionArn"])

    def ended(self, arn: str) -> dict[str, Any]:
        """Give an execution when it has ended, its output and cause read."""

        def look() -> dict[str, Any] | None:
            execution: dict[str, Any] = self.states.describe_execution(executionArn=arn)
            return execution if execution["status"] in ENDED else None

        execution = eventually(look) or {}
        for key in ("output", "cause", "input"):
            if execution.get(key):
                execution[key] = json.loads(execution[key])
        return execution

    def all(self) -> set[str]:
        listed = self.states.list_executions(stateMachineArn=self.cloud.state_machine)["executions"]
        return {each["executionArn"] for each in listed}

    @contextmanager
    def new(self) -> Iterator[list[dict[str, Any]]]:
        """Gives the executions that were started within the block, when one has, and all have ended."""
        before, found = self.all(), list[dict[str, Any]]()
        yield found
        eventually(lambda: self.all() - before)
        found += [self.ended(arn) for arn in self.all() - before]


@pytest.fixture
def deployer(cloud: Cloud) -> Deployer:
    return Deployer(cloud)


def image_of(service: Service) -> str:
    revision = service.primary()["taskDefinition"]
    definition = service.ecs.describe_task_definition(taskDefinition=revision)["taskDefinition"]
    image: str = definition["containerDefinitions"][0]["image"]
    return image


def revisions(service: Service) -> int:
    return len(service.ecs.list_task_definitions(familyPrefix=service.name)["taskDefinitionArns"])


def request_for(service: Service, **more: object) -> dict[str, Any]:
    return {"cluster": service.cluster, "service": service.name, **more}


def test_a_push_becomes_a_deployment(create_target: Callable[..., Service], deployer: Deployer) -> None:
    service = create_target()
    before = service.primary()["taskDefinition"]
    with deployer.new() as executions:
        image = service.push("v2")
    (execution,) = executions
    assert "output" in execution, execution.get("cause")
    assert execution["output"] == {
        "outcome": "DEPLOYED",
        "cluster": service.cluster,
        "service": service.name,
        "image": image,
        "revision": service.primary()["taskDefinition"],
        "replaced": before,
        "deployment": service.primary()["id"],
        "seconds": execution["output"]["seconds"],
        "polls": execution["output"]["polls"],
    }
    assert image_of(service) == image
    assert service.primary()["rolloutState"] == "COMPLETED"
    assert revisions(service) == 2
    push = execution["input"]["push"]
    assert (push["repository"], push["tag"]) == (service.repository, "v2")
    assert push["digest"].startswith("sha256:")


def test_a_push_of_another_tag_is_none_of_ours(create_target: Callable[..., Service], deployer: Deployer) -> None:
    service = create_target()
    before = deployer.all()
    service.push("latest")
    # A push that is deployed, so that the other would have been by then.
    with deployer.new():
        service.push("v2")
    (execution,) = deployer.all() - before
    assert deployer.ended(execution)["input"]["push"]["tag"] == "v2"


def test_only_ecr_itself_starts_a_deployment(create_target: Callable[..., Service], deployer: Deployer) -> None:
    service, events = create_target(), deployer.cloud.client("events")
    detail = {"action-type": "PUSH", "result": "SUCCESS", "repository-name": service.repository, "image-tag": "v1"}
    event = {"DetailType": "ECR Image Action", "Detail": json.dumps({**detail, "image-digest": "sha256:0"})}
    events.create_event_bus(Name="somebody-elses")
    elsewhere = {**event, "Source": "ecr", "EventBusName": "somebody-elses"}
    with deployer.new() as executions:
        assert events.put_events(Entries=[{**event, "Source": "aws.ecr"}])["FailedEntryCount"] == 1
        assert events.put_events(Entries=[{**event, "Source": "ecr"}, elsewhere])["FailedEntryCount"] == 0
        # A push that is deployed, so that the others would have been by then.
        service.push("v2")
    (execution,) = executions
    assert execution["input"]["push"]["tag"] == "v2"


def test_the_same_event_again_is_a_duplicate(create_target: Callable[..., Service], deployer: Deployer) -> None:
    service = create_target()
    with deployer.new() as executions:
        service.push("v2")
    again = deployer.start(executions[0]["input"])
    assert again["output"]["outcome"] == "DUPLICATE"
    assert revisions(service) == 2


def test_an_older_push_that_comes_late_is_superseded(create_target: Callable[..., Service], deployer: Deployer) -> None:
    service = create_target()
    with deployer.new() as executions:
        newest = service.push("v3")
    late = {**executions[0]["input"], "push": {"id": "late", "time": "2026-01-01T00:00:00Z"}}
    assert deployer.start(late)["output"]["outcome"] == "SUPERSEDED"
    assert image_of(service) == newest


def test_by_hand_with_a_separate_tag(create_target: Callable[..., Service], deployer: Deployer) -> None:
    service = create_target()
    service.push("2")
    execution = deployer.start(request_for(service, image=service.repository, tag="2"))
    assert execution["output"]["outcome"] == "DEPLOYED"
    assert image_of(service).endswith(f"/{service.repository}:2")


def test_another_state_machine_waits_for_the_outcome(create_target: Callable[..., Service], deployer: Deployer) -> None:
    service = create_target()
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


def test_a_broken_push_is_undone_and_explained(create_target: Callable[..., Service], deployer: Deployer) -> None:
    service = create_target()
    running = image_of(service)
    with deployer.new() as executions:
        service.push("v2", "crash")
    (execution,) = executions
    assert (execution["status"], execution["error"]) == ("FAILED", "DeploymentFailed")
    assert execution["cause"]["rolledBack"] is True
    assert "exit code 1" in execution["cause"]["message"]
    assert image_of(service) == running
    tags = service.ecs.list_tags_for_resource(resourceArn=execution["cause"]["revision"])["tags"]
    assert {"key": "ecs-deploy:proof", "value": f"{service.name}:2 failed"} in tags


def test_what_hangs_is_undone_at_its_deadline(create_target: Callable[..., Service], deployer: Deployer) -> None:
    service = create_target()
    running = image_of(service)
    service.push("2", "hang")
    execution = deployer.start(request_for(service, image=f"{service.repository}:2", timeout=10))
    assert execution["error"] == "DeploymentTimedOut"
    assert execution["cause"]["rolledBack"] is True
    assert image_of(service) == running


def test_a_revert(create_target: Callable[..., Service], deployer: Deployer) -> None:
    service = create_target()
    running = image_of(service)
    with deployer.new():
        service.push("v2")
    execution = deployer.start(request_for(service, revert=True))
    assert execution["output"]["outcome"] == "DEPLOYED"
    assert image_of(service) == running
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
    create_target: Callable[..., Service], deployer: Deployer, change: dict[str, str], error: str
) -> None:
    service = create_target()
    before = service.primary()
    asked = {key: value.format(repository=service.repository) for key, value in change.items()}
    execution = deployer.start({**request_for(service, image=f"{service.repository}:v1"), **asked})
    assert (execution["status"], execution["error"]) == ("FAILED", error)
    assert set(execution["cause"]) == {"message", "reasons", "revision", "replaced", "rolledBack"}
    assert execution["cause"]["message"]
    assert service.primary() == before
    assert revisions(service) == 1


@pytest.mark.parametrize("document", [[], [1], None, "text", 5, {}])
def test_any_json_is_a_request_or_refused(deployer: Deployer, document: object) -> None:
    execution = deployer.start(document)
    assert execution["error"] == "InvalidRequest"
    assert "cluster" in execution["cause"]["message"]


@contextmanager
def ecs_elsewhere(cloud: Cloud, endpoint: str, *modules: str) -> Iterator[None]:
    """Make the functions, or those of these modules, reach ECS at another endpoint, by the SDK's own environment."""
    functions = cloud.client("lambda")
    before = {
        name: functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        for module, name in cloud.functions.items()
        if module in modules or not modules
    }
    try:
        for name, variables in before.items():
            elsewhere = {**variables, "AWS_ENDPOINT_URL_ECS": endpoint}
            functions.update_function_configuration(FunctionName=name, Environment={"Variables": elsewhere})
        yield
    finally:
        for name, variables in before.items():
            functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


def test_the_calls_of_a_deployment_are_few(deployer: Deployer) -> None:
    model = EcsModel(RealClock())
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": "doorman:1"}]}
    service = model.add_service("doorman-service", model.add_revision(document), drain=0.2)
    push = {"id": "event", "time": datetime.now(UTC).isoformat()}
    request = {"cluster": "production1", "service": "doorman-service", "image": "doorman:2", "push": push}
    with serve(model) as endpoint, ecs_elsewhere(deployer.cloud, endpoint):
        execution = deployer.start(request)
    assert execution["output"]["outcome"] == "DEPLOYED"
    assert service.primary.revision == execution["output"]["revision"]
    assert model.called().count("RegisterTaskDefinition") == 1
    assert model.called().count("UpdateService") == 1
    assert len(model.calls) - execution["output"]["polls"] <= 5


@pytest.mark.parametrize(
    ("function", "doing", "left"),
    [
        ("register_task_definition", "registering the new revision", "on {name}:1: its rollout is COMPLETED"),
        (
            "update_service",
            "updating the service",
            "on {name}:1, and not on {name}:2, the revision of this execution: its rollout is COMPLETED",
        ),
        ("poll_stability", "following the rollout", "on {name}:2, the revision of this execution: its rollout is "),
    ],
)
def test_what_breaks_in_the_deployer_is_told_and_what_the_service_was_left_in(
    create_target: Callable[..., Service], deployer: Deployer, function: str, doing: str, left: str
) -> None:
    service = create_target()
    service.push("2")
    with ecs_elsewhere(deployer.cloud, "no endpoint at all", function):
        execution = deployer.start(request_for(service, image=f"{service.repository}:2"))
    assert (execution["status"], execution["error"]) == ("FAILED", "DeploymentFailed")
    message = execution["cause"]["message"]
    assert f"The deployer broke while {doing}. The service is {left.format(name=service.name)}" in message
    assert " of 2 tasks run. Nobody watches it any more." in message
    (reason,) = execution["cause"]["reasons"]
    assert "Invalid endpoint" in reason


def test_a_look_that_fails_is_told_as_well(deployer: Deployer) -> None:
    with ecs_elsewhere(deployer.cloud, "no endpoint at all"):
        execution = deployer.start({"cluster": "nowhere", "service": "doorman-service", "image": "doorman:2"})
    assert "the state of the service was not determined" in execution["cause"]["message"]
    broke, look = execution["cause"]["reasons"]
    assert "Invalid endpoint" in broke
    assert look.startswith("the service could not be seen: Ecs.ClusterNotFoundException: ")
