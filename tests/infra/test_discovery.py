"""Opting in by tags, and registries elsewhere: what the stack makes of them, and what stays out of reach."""

from __future__ import annotations

import json
import tempfile
from typing import Any

import pytest
from aws_cdk import App, assertions

from infra import checks
from infra.context import Discovery, InvalidContext, discovery, registries
from infra.forwarder import ForwarderStack, bus
from infra.targets import parse
from tests.infra.eventbridge import matches
from tests.infra.synthesis import CDK_JSON, of_type, resolve, synthesize
from tests.infra.test_dispatch import EVENTS, rule, schedules
from tests.infra.test_permissions import role

TAGGED_ONLY = json.dumps({"Null": {"aws:ResourceTag/ecs-deploy:repository": "false"}})
ANY_SERVICE = "arn:aws:ecs:us-east-1:123456789012:service/*"
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/default"
PUSHED: dict[str, Any] = {"repository": "doorman", "cluster": "production1", "service": "doorman-service"}
ELSEWHERE = "210987654321.dkr.ecr.us-east-1.amazonaws.com/doorman"


@pytest.fixture(scope="module")
def open_to_tags() -> dict[str, Any]:
    return synthesize([], discovery=Discovery(("*-task", "ecs/*")))


def test_an_untagged_service_is_out_of_reach(open_to_tags: dict[str, Any]) -> None:
    changes = {"ecs:UpdateService", "ecs:StopServiceDeployment"}
    found = 0
    for name in of_type(open_to_tags, "AWS::IAM::Role"):
        for actions, resources, condition in role(open_to_tags, name):
            if changes & {*actions} and any(":service/" in each for each in resources):
                assert (resources, condition) == ((ANY_SERVICE,), TAGGED_ONLY)
                found += 1
    assert found == 2


def test_listed_services_need_no_tag() -> None:
    made = synthesize([PUSHED | {"roles": ["task"]}], discovery=Discovery(("*-task",)))
    update = [each for each in role(made, "UpdateServiceRole") if "ecs:UpdateService" in each[0]]
    listed = "arn:aws:ecs:us-east-1:123456789012:service/production1/doorman-service"
    assert [(resources, condition) for _, resources, condition in update] == [
        ((listed,), None),
        ((ANY_SERVICE,), TAGGED_ONLY),
    ]
    (passed,) = [each for each in role(made, "UpdateServiceRole") if each[0] == ("iam:PassRole",)]
    assert passed[1] == ("arn:aws:iam::123456789012:role/task", "arn:aws:iam::123456789012:role/*-task")


def test_only_the_roles_that_are_named_are_passed(open_to_tags: dict[str, Any]) -> None:
    for name in ("RegisterTaskDefinitionRole", "UpdateServiceRole"):
        (passed,) = [each for each in role(open_to_tags, name) if each[0] == ("iam:PassRole",)]
        assert passed[1] == ("arn:aws:iam::123456789012:role/*-task", "arn:aws:iam::123456789012:role/ecs/*")


def test_tasks_are_read_in_any_cluster(open_to_tags: dict[str, Any]) -> None:
    (tasks,) = [each for each in role(open_to_tags, "PollStabilityRole") if "ecs:ListTasks" in each[0]]
    assert tasks[2] == json.dumps({"ArnLike": {"ecs:cluster": ["arn:aws:ecs:us-east-1:123456789012:cluster/*"]}})


def test_without_discovery_nothing_of_it_is_there(template: dict[str, Any]) -> None:
    text = json.dumps(template)
    assert "DISCOVERY" not in text
    assert "ResourceTag" not in text
    assert "tag:GetResources" not in text


def test_the_functions_know(open_to_tags: dict[str, Any]) -> None:
    functions = of_type(open_to_tags, "AWS::Lambda::Function")
    assert {each["Environment"]["Variables"]["DISCOVERY"] for each in functions.values()} == {"true"}
    assert [each["Target"]["Input"] for each in schedules(open_to_tags)] == ['{"discover": true}']


def test_a_change_of_tags_is_taken(open_to_tags: dict[str, Any]) -> None:
    # https://docs.aws.amazon.com/tag-editor/latest/userguide/monitor-tag-changes.html
    event = {
        "source": "aws.tag",
        "detail-type": "Tag Change on Resource",
        "account": "123456789012",
        "region": "us-east-1",
        "resources": ["arn:aws:ecs:us-east-1:123456789012:service/production1/doorman-service"],
        "detail": {
            "changed-tag-keys": ["ecs-deploy:repository", "team"],
            "service": "ecs",
            "resource-type": "service",
            "tags": {"ecs-deploy:repository": "doorman", "team": "door"},
        },
    }
    pattern = rule(open_to_tags, "Tagged")["EventPattern"]
    assert matches(pattern, event)
    assert not matches(pattern, event | {"account": "999999999999"})
    for key, other in (("changed-tag-keys", ["team"]), ("service", "ec2"), ("resource-type", "cluster")):
        assert not matches(pattern, event | {"detail": {**event["detail"], key: other}})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"roles": []},
        {"roles": "*"},
        {"roles": ["*"], "on": True},
        True,
        "{",
        "[]",
        {"roles": ["arn:aws:iam::1:role/x"]},
    ],
)
def test_what_discovery_may_not_be(value: object) -> None:
    with pytest.raises(InvalidContext, match=r"cdk\.json, discovery"):
        discovery(value)


def test_discovery() -> None:
    assert discovery(None) is None
    assert discovery({"roles": ["*-task"]}) == discovery('{"roles": ["*-task"]}') == Discovery(("*-task",))


@pytest.mark.parametrize("value", ["999999999999", [1], ["999"], ["999999999999/"], ["999999999999/Paris"], {}])
def test_what_registries_may_not_be(value: object) -> None:
    with pytest.raises(InvalidContext, match=r"cdk\.json, registries"):
        registries(value)


def test_registries() -> None:
    listed = ["999999999999", "210987654321/eu-west-1", "999999999999"]
    assert registries(None) == ()
    assert registries(listed) == registries(json.dumps(listed)) == ("999999999999", "210987654321/eu-west-1")


def test_a_repository_elsewhere_has_its_registry_listed() -> None:
    with pytest.raises(InvalidContext, match=r"targets\[0\]\.repository: its registry is not listed in registries"):
        parse([PUSHED | {"repository": ELSEWHERE}], ["210987654321/eu-west-1"])
    (target,) = parse([PUSHED | {"repository": ELSEWHERE}], ["210987654321/us-east-1"])
    assert (target.registry, target.repository) == ("210987654321.dkr.ecr.us-east-1.amazonaws.com", "doorman")
    with pytest.raises(InvalidContext, match=r"targets\[0\]\.repository: must be the name"):
        parse([PUSHED | {"repository": f"{ELSEWHERE}:v1"}], ["210987654321"])


@pytest.fixture(scope="module")
def with_registries() -> dict[str, Any]:
    targets = [PUSHED, PUSHED | {"repository": ELSEWHERE}]
    return synthesize(targets, registries=("210987654321/us-east-1", "210987654321/eu-west-1"))


def test_pushes_of_listed_accounts_are_taken(with_registries: dict[str, Any]) -> None:
    pattern = rule(with_registries, "Push")["EventPattern"]
    elsewhere = EVENTS["push_in_another_account"]
    assert matches(pattern, EVENTS["push"])
    assert matches(pattern, elsewhere)
    assert not matches(pattern, elsewhere | {"account": "999999999999"})
    variables = of_type(with_registries, "AWS::Lambda::Function")["DispatcherFunction"]["Environment"]["Variables"]
    assert variables["REGISTRIES"] == "210987654321/us-east-1,210987654321/eu-west-1"


def test_listed_accounts_may_send_to_the_bus(with_registries: dict[str, Any], template: dict[str, Any]) -> None:
    (policy,) = of_type(with_registries, "AWS::Events::EventBusPolicy").values()
    assert resolve(policy)["Statement"] == {
        "Sid": "Registries",
        "Effect": "Allow",
        "Principal": {"AWS": ["210987654321"]},
        "Action": "events:PutEvents",
        "Resource": BUS,
    }
    assert of_type(template, "AWS::Events::EventBusPolicy") == {}


def test_repositories_elsewhere_may_be_read_by_the_dispatcher(with_registries: dict[str, Any]) -> None:
    (images,) = [each for each in role(with_registries, "DispatcherRole") if "ecr:DescribeImages" in each[0]]
    assert images[1] == (
        "arn:aws:ecr:us-east-1:123456789012:repository/doorman",
        "arn:aws:ecr:us-east-1:210987654321:repository/doorman",
    )


def test_the_forwarder() -> None:
    with tempfile.TemporaryDirectory() as output:
        app = App(context=CDK_JSON["context"], outdir=output)
        stack = ForwarderStack(app, to=BUS)
        checks.enforce(app)
        made = dict(assertions.Template.from_stack(stack).to_json())
    (push,) = (resolve(each) for each in of_type(made, "AWS::Events::Rule").values())
    assert matches(push["EventPattern"], EVENTS["push"])
    assert not matches(push["EventPattern"], EVENTS["push_in_another_account"])
    (target,) = push["Targets"]
    assert target == {"Id": "Bus", "Arn": BUS, "RoleArn": "{Role.Arn}"}
    assert role(made, "Role") == [(("events:PutEvents",), (BUS,), None)]


@pytest.mark.parametrize("value", [True, "", "default", BUS.replace("default", "mine"), f"{BUS}\n"])
def test_where_a_forwarder_may_not_send(value: object) -> None:
    with pytest.raises(InvalidContext, match="forwardTo: must be the ARN"):
        bus(value)
