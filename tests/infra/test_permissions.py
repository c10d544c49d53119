"""Every statement of every role, listed: a permission that is added or widened has to be added here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.context import InvalidContext
from tests.infra.synthesis import of_type, resolve, synthesize

ECS = "arn:aws:ecs:us-east-1:123456789012"
ECR = "arn:aws:ecr:us-east-1:123456789012"
DOORMAN = f"{ECS}:service/production1/doorman-service"
END_WAITS = (("states:SendTaskSuccess",), ("*",), None)
XRAY = (("xray:PutTraceSegments", "xray:PutTelemetryRecords"), ("*",), None)
DESCRIBE = (("ecs:DescribeTaskDefinition",), ("*",), None)
PASS_ANY = (
    ("iam:PassRole",),
    ("arn:aws:iam::123456789012:role/*",),
    '{"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}',
)
TO_ECS = '{"StringEquals": {"iam:PassedToService": ["ecs-tasks.amazonaws.com", "ecs.amazonaws.com"]}}'
PASS_ANY_OR_INFRASTRUCTURE = (*PASS_ANY[:2], TO_ECS)
TO_TASKS = '{"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}'

Statement = tuple[tuple[str, ...], tuple[str, ...], str | None]


def statements(document: dict[str, Any]) -> list[Statement]:
    """Actions, resources and condition of each statement."""
    found = []
    for statement in resolve(document)["Statement"]:
        assert statement.pop("Effect") == "Allow"
        action, resource = statement.pop("Action"), statement.pop("Resource")
        condition = statement.pop("Condition", None)
        assert not statement
        found.append(
            (
                (action,) if isinstance(action, str) else tuple(action),
                (resource,) if isinstance(resource, str) else tuple(resource),
                condition and json.dumps(condition),
            )
        )
    return found


def role(template: dict[str, Any], name: str) -> list[Statement]:
    """The statements of a role; of its inline policy, for it has no other."""
    properties = of_type(template, "AWS::IAM::Role")[name]
    assert "ManagedPolicyArns" not in properties
    return [said for policy in properties["Policies"] for said in statements(policy["PolicyDocument"])]


def logs(state: str) -> Statement:
    return (("logs:CreateLogStream", "logs:PutLogEvents"), (f"{{{state}Logs.Arn}}",), None)


def table(*actions: str) -> Statement:
    return (tuple(f"dynamodb:{action}" for action in actions), ("{Table.Arn}",), None)


ECR_READS = ("ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetLifecyclePolicy")
ANSWER = (
    *("ecs:DescribeServices", "ecs:ListServiceDeployments"),
    *("ecs:DescribeServiceDeployments", "ecs:ContinueServiceDeployment"),
)
LOGS = (("logs:GetLogEvents",), ("arn:aws:logs:*:123456789012:log-group:*:log-stream:*",), None)
TASKS = (
    ("ecs:ListTasks", "ecs:DescribeTasks"),
    ("*",),
    json.dumps({"ArnEquals": {"ecs:cluster": [f"{ECS}:cluster/production1"]}}),
)


RUN_TASKS = ((*TASKS[0], "ecs:RunTask", "ecs:StopTask"), *TASKS[1:])


def test_only_a_target_that_retains_images_lets_them_be_tagged() -> None:
    doorman: dict[str, Any] = {"repository": "doorman", "cluster": "production1", "service": "doorman"}
    gate: dict[str, Any] = {"repository": "gate", "cluster": "production1", "service": "gate", "retain": True}
    grants = role(synthesize([doorman, gate]), "RegisterTaskDefinitionRole")
    assert [each for each in grants if "ecr:PutImage" in each[0]] == [
        (("ecr:PutImage",), (f"{ECR}:repository/gate",), None)
    ]


def test_alarms_of_a_watch_may_be_read() -> None:
    watched: dict[str, Any] = {"repository": "doorman", "cluster": "production1", "service": "doorman"}
    made = synthesize([watched | {"watch": {"seconds": 60, "alarms": ["5xx"]}}])
    for name in ("RegisterTaskDefinitionRole", "PollStabilityRole"):
        assert (("cloudwatch:DescribeAlarms",), ("*",), None) in role(made, name)


def test_only_groups_let_the_first_step_start_executions() -> None:
    doorman: dict[str, Any] = {"repository": "doorman", "cluster": "production1", "service": "doorman"}
    policies = of_type(synthesize([doorman]), "AWS::IAM::Policy")
    made = synthesize([doorman | {"together": "shop"}])
    (name,) = of_type(made, "AWS::IAM::Policy").keys() - policies.keys()
    policy = of_type(made, "AWS::IAM::Policy")[name]
    assert [each.strip("{}") for each in resolve(policy["Roles"])] == ["RegisterTaskDefinitionRole"]
    executions = "arn:aws:states:us-east-1:123456789012:execution:{WorkflowMachine.Name}:*"
    assert statements(policy["PolicyDocument"]) == [
        (("states:StartExecution",), ("{WorkflowMachine}",), None),
        (("states:DescribeExecution",), (executions,), None),
    ]


@pytest.mark.parametrize("name", ["RegisterTaskDefinitionRole", "DispatcherRole"])
def test_calendars_and_alarms_that_pushes_wait_for_may_be_read(name: str) -> None:
    doorman: dict[str, Any] = {"repository": "doorman", "cluster": "production1", "service": "doorman"}
    elsewhere = "arn:aws:ssm:us-east-1:210987654321:document/holidays"
    held = [doorman | {"window": "office", "alarm": "5xx of doorman"}, doorman | {"window": elsewhere}]
    grants = [each for each in role(synthesize(held), name) if each[0][0].partition(":")[0] in {"ssm", "cloudwatch"}]
    assert grants == [
        (("cloudwatch:DescribeAlarms",), ("*",), None),
        (("ssm:GetCalendarState",), ("arn:aws:ssm:us-east-1:123456789012:document/office", elsewhere), None),
    ]


def test_register(template: dict[str, Any]) -> None:
    assert role(template, "RegisterTaskDefinitionRole") == [
        (("ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions", "ecs:RegisterTaskDefinition"), ("*",), None),
        (("ecs:DeregisterTaskDefinition",), ("*",), None),
        (("ecr:DescribePullThroughCacheRules",), ("*",), None),
        (
            ("ecs:TagResource",),
            (f"{ECS}:task-definition/*",),
            '{"StringEquals": {"ecs:CreateAction": "RegisterTaskDefinition"}}',
        ),
        LOGS,
        table("GetItem", "PutItem", "Query", "UpdateItem"),
        END_WAITS,
        PASS_ANY,
        (ECR_READS, (f"{ECR}:repository/doorman",), None),
        RUN_TASKS,
        (ANSWER[2:], (f"{ECS}:service-deployment/production1/*",), None),
        (ANSWER, (DOORMAN,), None),
        logs("RegisterTaskDefinition"),
        XRAY,
    ]


def test_update(template: dict[str, Any]) -> None:
    assert role(template, "UpdateServiceRole") == [
        table("GetItem", "PutItem", "UpdateItem"),
        END_WAITS,
        PASS_ANY_OR_INFRASTRUCTURE,
        (("ecs:DescribeServices", "ecs:UpdateService"), (DOORMAN,), None),
        logs("UpdateService"),
        XRAY,
    ]


def test_poll(template: dict[str, Any]) -> None:
    assert role(template, "PollStabilityRole") == [
        (("ecs:DescribeTaskDefinition", "ecs:DeregisterTaskDefinition"), ("*",), None),
        LOGS,
        table("GetItem", "PutItem", "UpdateItem"),
        END_WAITS,
        PASS_ANY,
        RUN_TASKS,
        (
            ("ecs:DescribeServiceDeployments", "ecs:StopServiceDeployment"),
            (f"{ECS}:service-deployment/production1/*",),
            None,
        ),
        (("ecs:DescribeServiceRevisions",), (f"{ECS}:service-revision/production1/*",), None),
        (
            (
                "ecs:DescribeServices",
                "ecs:ListServiceDeployments",
                "ecs:DescribeServiceDeployments",
                "ecs:DescribeServiceRevisions",
                "ecs:StopServiceDeployment",
            ),
            (DOORMAN,),
            None,
        ),
        logs("PollStability"),
        XRAY,
    ]


def test_dispatcher(template: dict[str, Any]) -> None:
    assert role(template, "DispatcherRole") == [
        DESCRIBE,
        (("states:StartExecution",), ("{WorkflowMachine}",), None),
        (
            ("states:DescribeExecution",),
            ("arn:aws:states:us-east-1:123456789012:execution:{WorkflowMachine.Name}:*",),
            None,
        ),
        (
            ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:SendMessage"),
            ("{DispatchQueue.Arn}",),
            None,
        ),
        (("sqs:SendMessage",), ("{DispatchDeadLetters.Arn}",), None),
        table("GetItem", "PutItem", "Query", "UpdateItem"),
        END_WAITS,
        (("ecr:DescribeImages", "ecr:BatchGetImage"), (f"{ECR}:repository/doorman",), None),
        (("ecs:DescribeServices",), (DOORMAN,), None),
        logs("Dispatcher"),
        XRAY,
    ]


def test_waits(template: dict[str, Any]) -> None:
    assert role(template, "WaitsEndRole") == [table("UpdateItem"), END_WAITS, logs("WaitsEnd"), XRAY]


def test_schedules(template: dict[str, Any]) -> None:
    assert role(template, "DispatchRole") == [(("sqs:SendMessage",), ("{DispatchQueue.Arn}",), None)]


def test_workflow(template: dict[str, Any]) -> None:
    (actions, functions, _), notify, wait, diagnose = role(template, "WorkflowRole")
    assert wait == table("UpdateItem")
    assert diagnose == (("ecs:DescribeServices",), (DOORMAN,), None)
    assert notify == (
        ("events:PutEvents",),
        ("arn:aws:events:us-east-1:123456789012:event-bus/default",),
        '{"StringEquals": {"events:source": "ecs-deploy"}}',
    )
    assert actions == ("lambda:InvokeFunction",)
    assert sorted(functions) == [
        "{PollStabilityFunction.Arn}",
        "{RegisterTaskDefinitionFunction.Arn}",
        "{UpdateServiceFunction.Arn}",
    ]
    (policy,) = of_type(template, "AWS::IAM::Policy").values()
    assert resolve(policy["Roles"]) == ["{WorkflowRole}"]
    ((actions, resources, _),) = statements(policy["PolicyDocument"])
    assert {action.partition(":")[0] for action in actions} == {"logs", "xray"}
    assert resources == ("*",)


def test_nobody_else_has_a_role(template: dict[str, Any]) -> None:
    roles = of_type(template, "AWS::IAM::Role")
    trusted = {
        name: resolve(properties["AssumeRolePolicyDocument"])["Statement"][0]["Principal"]["Service"]
        for name, properties in roles.items()
    }
    assert trusted == {
        "RegisterTaskDefinitionRole": "lambda.amazonaws.com",
        "UpdateServiceRole": "lambda.amazonaws.com",
        "PollStabilityRole": "lambda.amazonaws.com",
        "WorkflowRole": "states.amazonaws.com",
        "DispatcherRole": "lambda.amazonaws.com",
        "DispatchRole": "scheduler.amazonaws.com",
        "WaitsEndRole": "lambda.amazonaws.com",
    }
    assert not of_type(template, "AWS::IAM::ManagedPolicy")


# Everything that is not named, and why it cannot be.
WILDCARDS = {
    "ecs:DescribeTaskDefinition": {"*"},
    "ecs:ListTaskDefinitions": {"*"},
    "ecs:RegisterTaskDefinition": {"*"},
    "ecs:DeregisterTaskDefinition": {"*"},
    "xray:PutTraceSegments": {"*"},
    "xray:PutTelemetryRecords": {"*"},
    "states:SendTaskSuccess": {"*"},
    # By a condition on the cluster.
    "ecs:ListTasks": {"*"},
    "ecs:DescribeTasks": {"*"},
    "ecs:RunTask": {"*"},
    "ecs:StopTask": {"*"},
    # By a condition: only while it is registered.
    "ecs:TagResource": {f"{ECS}:task-definition/*"},
    "ecr:DescribePullThroughCacheRules": {"*"},
    # Each deployment and each execution makes a name of its own.
    "ecs:DescribeServiceDeployments": {f"{ECS}:service-deployment/production1/*"},
    "ecs:ContinueServiceDeployment": {f"{ECS}:service-deployment/production1/*"},
    "ecs:StopServiceDeployment": {f"{ECS}:service-deployment/production1/*"},
    "ecs:DescribeServiceRevisions": {f"{ECS}:service-revision/production1/*"},
    "states:DescribeExecution": {"arn:aws:states:us-east-1:123456789012:execution:{WorkflowMachine.Name}:*"},
    # The task definition of whoever died names its log group.
    "logs:GetLogEvents": {"arn:aws:logs:*:123456789012:log-group:*:log-stream:*"},
}
# Where a target does not say more.
WILDCARDS_OF_BARE_TARGETS = {
    "iam:PassRole": {"arn:aws:iam::123456789012:role/*"},
    **{action: {f"{ECR}:repository/*"} for action in ECR_READS},
}


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ({"repository": "doorman", "roles": ["doorman"], "parameter": "/doorman/image"}, WILDCARDS),
        ({}, WILDCARDS | WILDCARDS_OF_BARE_TARGETS),
    ],
)
def test_nothing_is_a_wildcard_where_a_name_is_known(target: dict[str, Any], allowed: dict[str, set[str]]) -> None:
    made = synthesize([{"cluster": "production1", "service": "doorman-service", **target}])
    found: dict[str, set[str]] = {}
    for name in of_type(made, "AWS::IAM::Role"):
        for actions, resources, _ in role(made, name):
            for action in actions:
                assert "*" not in action
                found.setdefault(action, set()).update(each for each in resources if "*" in each)
    assert {action: resources for action, resources in found.items() if resources} == allowed


def test_each_name_is_listed_once() -> None:
    made = synthesize(
        [
            {"repository": "doorman", "cluster": "production1", "service": "doorman-service"},
            {"repository": "doorman", "tags": ["v*"], "cluster": "production1", "service": "doorman-service"},
            {"repository": "gate", "cluster": "production1", "service": "gate"},
        ]
    )
    register = {actions: resources for actions, resources, _ in role(made, "RegisterTaskDefinitionRole")}
    assert register[ANSWER] == (DOORMAN, f"{ECS}:service/production1/gate")
    assert register[ECR_READS] == (f"{ECR}:repository/doorman", f"{ECR}:repository/gate")


def test_the_image_of_a_target_without_repository_may_come_from_any() -> None:
    made = synthesize(
        [
            {"repository": "doorman", "cluster": "production1", "service": "doorman-service"},
            {"cluster": "production1", "service": "by-hand"},
        ]
    )
    register = {actions: resources for actions, resources, _ in role(made, "RegisterTaskDefinitionRole")}
    assert register[ECR_READS] == (f"{ECR}:repository/*",)


def passed(targets: list[dict[str, Any]]) -> list[Statement]:
    made = synthesize(targets)
    register, update = (
        [each for each in role(made, name) if each[0] == ("iam:PassRole",)]
        for name in ("RegisterTaskDefinitionRole", "UpdateServiceRole")
    )
    # The infrastructure role of a service is passed to ECS itself.
    assert [(*each[:2], TO_TASKS) for each in update] == register
    assert {each[2] for each in update} <= {TO_ECS}
    return register


def test_only_roles_that_targets_name_are_passed() -> None:
    gate: dict[str, Any] = {"repository": "gate", "cluster": "production1", "service": "gate"}
    named: list[dict[str, Any]] = [
        gate | {"roles": ["gate-task", "ecs/execution"]},
        gate | {"service": "other", "roles": ["gate-task"]},
    ]
    iam = "arn:aws:iam::123456789012:role"
    assert passed(named) == [(("iam:PassRole",), (f"{iam}/gate-task", f"{iam}/ecs/execution"), TO_TASKS)]
    assert passed([*named, gate | {"service": "third"}]) == [(("iam:PassRole",), (f"{iam}/*",), TO_TASKS)]
    assert passed([gate | {"roles": []}]) == []


MANY = 200


@pytest.fixture(scope="module")
def big() -> dict[str, Any]:
    """Many targets, each with a repository and a service of its own, and half of them with a cluster, too."""
    return synthesize(
        [
            {
                "repository": f"team/repository-{number}",
                "cluster": f"production-{min(number, MANY // 2)}",
                "service": f"some-service-{number}",
            }
            for number in range(MANY)
        ]
    )


def test_many_targets_are_all_listed(big: dict[str, Any]) -> None:
    managed = {
        name: properties["PolicyDocument"] for name, properties in of_type(big, "AWS::IAM::ManagedPolicy").items()
    }
    for state, action in (
        ("RegisterTaskDefinition", "ecs:DescribeServices"),
        ("UpdateService", "ecs:UpdateService"),
        ("PollStability", "ecs:DescribeServices"),
        ("RegisterTaskDefinition", "ecr:DescribeImages"),
        ("Dispatcher", "ecs:DescribeServices"),
        ("Dispatcher", "ecr:DescribeImages"),
        ("Dispatcher", "ecr:BatchGetImage"),
        ("Workflow", "ecs:DescribeServices"),
    ):
        properties = of_type(big, "AWS::IAM::Role")[f"{state}Role"]
        attached = [resolve(arn).strip("{}") for arn in properties["ManagedPolicyArns"]]
        documents = [policy["PolicyDocument"] for policy in properties["Policies"]]
        documents += [managed[name] for name in attached]
        listed = [
            resource
            for document in documents
            for actions, resources, _ in statements(document)
            if action in actions
            for resource in resources
        ]
        assert len(listed) == len(set(listed)) == MANY


def test_many_targets_stay_within_the_limits_of_aws(big: dict[str, Any]) -> None:
    """Quotas of IAM (without white space, as it counts), of SQS and of CloudFormation."""

    def size(document: object) -> int:
        longest = json.dumps(resolve(document)).replace("arn:aws:", "arn:aws-us-gov:").replace("us-east-1", "r" * 15)
        return len("".join(longest.split()))

    for properties in of_type(big, "AWS::IAM::Role").values():
        assert sum(size(policy["PolicyDocument"]) for policy in properties.get("Policies", [])) <= 10_240
        assert len(properties.get("ManagedPolicyArns", [])) <= 10
    for properties in of_type(big, "AWS::IAM::ManagedPolicy").values():
        assert size(properties["PolicyDocument"]) <= 6_144
    for properties in of_type(big, "AWS::SQS::QueuePolicy").values():
        assert size(properties["PolicyDocument"]) <= 8_192
    assert len(of_type(big, "AWS::Events::Rule")) == 6
    assert len(big["Resources"]) <= 500
    assert len(json.dumps(big)) <= 1_000_000


@pytest.mark.parametrize("number", [500, 1_000])
def test_a_thousand_targets_fit_or_are_a_clear_error(number: int) -> None:
    """By what IAM holds, and not by their number."""
    targets = [
        {"repository": f"repository-{index % 20}", "cluster": "production1", "service": f"service-{index}", "roles": []}
        for index in range(number)
    ]
    if number == 500:
        assert len(synthesize(targets)["Resources"]) <= 500
    else:
        with pytest.raises(InvalidContext, match=r"targets: .* need \d+ IAM policies, but a role holds 11"):
            synthesize(targets)


def test_names_too_long_for_the_policies_are_a_clear_error() -> None:
    long = [
        {"repository": "r" * 200 + str(number), "cluster": "c" * 255, "service": "s" * 200 + str(number)}
        for number in range(100)
    ]
    with pytest.raises(InvalidContext, match=r"targets: .* need \d+ IAM policies, but a role holds 11"):
        synthesize(long)
