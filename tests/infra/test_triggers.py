"""The rules, held against events of ECR: what starts a deployment, and with what request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ecs_deploy.home import Home
from ecs_deploy.request import NewImage
from ecs_deploy.request import parse as parse_request
from infra.targets import parse
from infra.triggers import groups
from tests.infra.eventbridge import matches, render
from tests.infra.synthesis import of_type, resolve, synthesize

EVENTS = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "events").glob("*.json")}
PUSH = EVENTS["push"]
HOME = Home(account="123456789012", region="us-east-1")
PRODUCTION = {"repository": "doorman", "tags": ["v*", "stable"], "cluster": "production1", "service": "doorman-service"}
TARGETS: list[dict[str, Any]] = [
    PRODUCTION,
    {"repository": "doorman", "cluster": "staging", "service": "doorman", "timeout": 60, "rollback": False},
    {**PRODUCTION, "cluster": "production2", "container": "web"},
    {"cluster": "production1", "service": "by-hand"},
    *({**PRODUCTION, "service": f"worker-{number}"} for number in range(4)),
]


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    return [resolve(rule) for rule in of_type(synthesize(TARGETS, notify=None), "AWS::Events::Rule").values()]


def started(rules: list[dict[str, Any]], event: dict[str, Any]) -> list[dict[str, Any]]:
    """The requests that an event starts executions with."""
    return [
        json.loads(render(target["InputTransformer"], event))
        for rule in rules
        if matches(rule["EventPattern"], event)
        for target in rule["Targets"]
    ]


def pushed(**detail: str) -> dict[str, Any]:
    return {**PUSH, "detail": PUSH["detail"] | detail}


def services(requests: list[dict[str, Any]]) -> list[str]:
    return [f"{request['cluster']}/{request['service']}" for request in requests]


def test_a_push_starts_each_target_of_its_tag_once(rules: list[dict[str, Any]]) -> None:
    assert sorted(services(started(rules, PUSH))) == [
        "production1/doorman-service",
        "production1/worker-0",
        "production1/worker-1",
        "production1/worker-2",
        "production1/worker-3",
        "production2/doorman-service",
        "staging/doorman",
    ]


@pytest.mark.parametrize("tag", ["latest", "1.2-v", "stable2", "unstable", "V1"])
def test_another_tag_starts_the_targets_of_every_tag_only(rules: list[dict[str, Any]], tag: str) -> None:
    assert services(started(rules, pushed(**{"image-tag": tag}))) == ["staging/doorman"]


@pytest.mark.parametrize("tag", ["v", "v1", "v1.2-3_4", "stable"])
def test_a_tag_that_a_target_names(rules: list[dict[str, Any]], tag: str) -> None:
    assert "production1/doorman-service" in services(started(rules, pushed(**{"image-tag": tag})))


@pytest.mark.parametrize("name", sorted(EVENTS.keys() - {"push", "push_of_another_tag"}))
def test_nothing_else_starts_anything(rules: list[dict[str, Any]], name: str) -> None:
    assert started(rules, EVENTS[name]) == []


def test_every_field_of_the_pattern_decides(rules: list[dict[str, Any]]) -> None:
    for event in (PUSH | {"source": "mine"}, PUSH | {"detail-type": "Other"}, pushed(**{"action-type": "PULL"})):
        assert started(rules, event) == []


def test_the_request(rules: list[dict[str, Any]]) -> None:
    (request,) = started(rules, EVENTS["push_of_another_tag"])
    assert request == {
        "cluster": "staging",
        "service": "doorman",
        "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/doorman:latest",
        "timeout": 60,
        "rollback": False,
        "push": {
            "id": "5a0f7b1e-0d0e-4f0c-8f3b-0b1d3a1c2e01",
            "time": "2026-11-16T01:54:34Z",
            "digest": "sha256:7f5b2640fe6fb4f46592dfd3410c4a79dac4f89e4782432e0378abcd12345678",
            "repository": "doorman",
            "tag": "latest",
        },
    }


def test_a_container_is_named_where_the_target_names_it(rules: list[dict[str, Any]]) -> None:
    named = {request["cluster"]: request.get("container") for request in started(rules, PUSH)}
    assert named == {"production1": None, "production2": "web", "staging": None}


@pytest.mark.parametrize("tag", ["null", "true", "0", "1e5", "007", "_", "-.-", "v" * 128, "image-tag", "__proto__"])
def test_every_tag_gives_a_request_that_the_first_step_accepts(rules: list[dict[str, Any]], tag: str) -> None:
    event = pushed(**{"image-tag": tag})
    for request in started(rules, event):
        assert request["push"]["tag"] == tag
        if tag != "-.-":
            wanted = parse_request(request, HOME).wanted
            assert isinstance(wanted, NewImage)
            assert wanted.image.tag == tag


def test_the_template_has_the_values_where_eventbridge_quotes_them(rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        for target in rule["Targets"]:
            template = target["InputTransformer"]["InputTemplate"]
            assert (
                '"push": {"id": <id>, "time": <time>, "digest": <digest>, "repository": "doorman", "tag": <tag>}'
                in template
            )


def test_a_rule_holds_five_targets() -> None:
    sizes = [len(group) for group in groups(parse(TARGETS))]
    assert sizes == [5, 1, 1]


def test_without_a_repository_there_is_no_rule() -> None:
    assert groups(parse([{"cluster": "production1", "service": "by-hand"}])) == []


def test_a_rule_starts_the_machine_and_keeps_what_failed(rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        assert "State" not in rule
        for target in rule["Targets"]:
            assert target["Arn"] == "{WorkflowMachine}"
            assert target["RoleArn"] == "{TriggersRole.Arn}"
            assert target["DeadLetterConfig"] == {"Arn": "{TriggersDeadLetters.Arn}"}
            assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}


def test_the_longest_pattern_fits(rules: list[dict[str, Any]]) -> None:
    tags = ["*" + "t" * 125 + f"{number:02}" for number in range(9)]
    longest = synthesize([{**PRODUCTION, "repository": "r" * 256, "tags": tags}], notify=None)
    (rule,) = of_type(longest, "AWS::Events::Rule").values()
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
    assert len(json.dumps(resolve(rule["EventPattern"]))) <= 2_048
    assert rules
