"""A bad target is one clear error, which names the entry and the key; a good one is read as it was meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ecs_deploy.core.tag_policy import problem_with
from infra.context import InvalidContext, LogLevel, log_level
from infra.targets import Stage, Target, parse

GOOD: dict[str, Any] = {"cluster": "production1", "service": "doorman-service"}
PUSHED: dict[str, Any] = {**GOOD, "repository": "doorman"}


def test_defaults() -> None:
    assert parse([GOOD]) == (
        Target("production1", "doorman-service", None, ("*",), timeout=600, rollback=True, container=None),
    )


def test_everything() -> None:
    said = {"tags": ["v*", "latest"], "timeout": 10, "rollback": False, "container": "web", "reconcile": "2 days"}
    (read,) = parse([{**PUSHED, **said}])
    assert read == Target(
        "production1",
        "doorman-service",
        "doorman",
        ("v*", "latest"),
        10,
        rollback=False,
        container="web",
        reconcile=2880,
    )


@pytest.mark.parametrize(
    ("said", "minutes"),
    [
        ({}, 60),
        ({"reconcile": "1 hour"}, 60),
        ({"reconcile": "5 minutes"}, 5),
        ({"reconcile": "90 minutes"}, 90),
        ({"reconcile": "1 day"}, 1440),
        ({"reconcile": None}, None),
    ],
)
def test_the_rate_of_reconciling(said: dict[str, Any], minutes: int | None) -> None:
    assert [target.reconcile for target in parse([PUSHED | said])] == [minutes]


def test_what_no_push_deploys_is_not_reconciled() -> None:
    targets = parse([GOOD, GOOD | {"service": "other", "reconcile": None}])
    assert [target.reconcile for target in targets] == [None, None]


@pytest.mark.parametrize(
    "pattern",
    [
        "v*",
        "!v1",
        "!",
        "semver:^1",
        "semver:newest",
        "semver:",
        "{n}",
        "a{n}b*c*",
        "*a*b*{n}",
        "{n}{n}",
        "v 1",
        "",
        "x" * 129,
    ],
)
def test_the_dispatcher_reads_the_same_patterns(pattern: str) -> None:
    try:
        parse([PUSHED | {"tags": [pattern]}])
    except InvalidContext:
        assert problem_with(pattern)
    else:
        assert problem_with(pattern) is None


def test_the_text_of_a_list_is_a_list() -> None:
    assert parse(json.dumps([PUSHED])) == parse([PUSHED])


@pytest.mark.parametrize(
    "good",
    [
        {"repository": "ab"},
        {"repository": "team/doorman"},
        {"repository": "a.b/c__d/e-f--g_h"},
        {"repository": "a" * 256},
        {"repository": "d", "tags": ["*"]} | {"repository": "do"},
        {"repository": "doorman", "tags": ["v*.*", "_x", "A-b.c"]},
        {"repository": "doorman", "tags": ["semver:>=1.2 <2", "!*-debug", "main-{n}-*"]},
        {"repository": "doorman", "minAge": "30 minutes"},
        {"repository": "doorman", "minAge": "14 days"},
        {"repository": "doorman", "window": "office-hours"},
        {"repository": "doorman", "window": "arn:aws:ssm:us-east-1:210987654321:document/office-hours"},
        {"repository": "doorman", "alarm": "Errors of doorman: 5xx, per minute"},
        {"repository": "doorman", "stickyRevert": True},
        {"repository": "doorman", "approval": 60},
        {"repository": "doorman", "approval": 1_209_600},
        {"repository": "doorman", "before": {"command": ["bin/migrate", "up"]}},
        {"repository": "doorman", "after": {"command": ["bin/test"]}},
        {"repository": "doorman", "watch": {"seconds": 600, "alarms": ["5xx of doorman"]}},
        {"repository": "doorman", "before": {"command": ["a"], "container": "web", "timeout": 86_400}},
        {"container": "web", "parameter": "/doorman/image"},
        {"repository": "doorman", "parameter": "doorman-image_1.0"},
        {"roles": []},
        {"roles": ["task", "service-role/a+b=c,d.e@f-1_", "p" * 64]},
        {"cluster": "c" * 255},
        {"service": "A_b-1"},
        {"timeout": 10},
        {"timeout": 86_400},
    ],
)
def test_possible_values(good: dict[str, Any]) -> None:
    assert len(parse([GOOD | good])) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cluster", ""),
        ("cluster", None),
        ("cluster", 1),
        ("cluster", "arn:aws:ecs:us-east-1:123456789012:cluster/production1"),
        ("cluster", "production*"),
        ("cluster", "c" * 256),
        ("cluster", "production1\n"),
        ("service", "dörman"),
        ("service", ["doorman"]),
        ("repository", ""),
        ("repository", "d"),
        ("repository", "Doorman"),
        ("repository", "doorman:latest"),
        ("repository", "-doorman"),
        ("repository", "doorman-"),
        ("repository", "team//doorman"),
        ("repository", "a" * 257),
        ("repository", "123456789012.dkr.ecr.us-east-1.amazonaws.com/doorman:v1"),
        ("repository", 7),
        ("parameter", ""),
        ("parameter", "/"),
        ("parameter", "doorman/image"),
        ("parameter", "/aws/image"),
        ("parameter", "SSM-image"),
        ("parameter", "arn:aws:ssm:us-east-1:123456789012:parameter/doorman"),
        ("parameter", "/door man"),
        ("parameter", "/a" * 16),
        ("parameter", 7),
        ("roles", "task"),
        ("roles", None),
        ("roles", ["task*"]),
        ("roles", ["arn:aws:iam::123456789012:role/task"]),
        ("roles", ["/task"]),
        ("roles", ["r" * 65]),
        ("roles", ["task", "task"]),
        ("roles", [1]),
        ("reconcile", "4 minutes"),
        ("reconcile", "0 hours"),
        ("reconcile", "1"),
        ("reconcile", "1 week"),
        ("reconcile", "1000 minutes"),
        ("reconcile", "rate(1 hour)"),
        ("reconcile", 60),
        ("reconcile", True),
        ("tags", []),
        ("tags", "v*"),
        ("tags", None),
        ("tags", [""]),
        ("tags", ["v 1"]),
        ("tags", ['v"1']),
        ("tags", ["v[12]"]),
        ("tags", ["v" * 129]),
        ("tags", [1]),
        ("tags", ["v1", "v1"]),
        ("tags", ["semver:newest"]),
        ("tags", ["semver:"]),
        ("tags", ["!"]),
        ("tags", ["!!v1"]),
        ("tags", ["{n}-{n}"]),
        ("tags", ["*-*-*-{n}"]),
        ("minAge", "15 days"),
        ("minAge", "0 minutes"),
        ("minAge", 60),
        ("minAge", None),
        ("window", "no"),
        ("window", "arn:aws:ssm:us-east-1:210987654321:parameter/office"),
        ("window", 1),
        ("alarm", ""),
        ("alarm", "errors*"),
        ("alarm", "a" * 256),
        ("alarm", 1),
        ("stickyRevert", "true"),
        ("approval", 59),
        ("approval", 1_209_601),
        ("approval", True),
        ("approval", "1 hour"),
        ("before", "bin/migrate"),
        ("before", {}),
        ("before", {"command": []}),
        ("before", {"command": "bin/migrate"}),
        ("before", {"command": [1]}),
        ("before", {"command": ["a" * 4_097]}),
        ("before", {"command": ["a"], "image": "b"}),
        ("before", {"command": ["a"], "container": "we b"}),
        ("before", {"command": ["a"], "timeout": 9}),
        ("before", {"command": ["a"], "timeout": True}),
        ("after", {"command": []}),
        ("watch", 600),
        ("watch", {}),
        ("watch", {"seconds": 9}),
        ("watch", {"seconds": 60, "minutes": 1}),
        ("watch", {"seconds": 60, "alarms": "load"}),
        ("watch", {"seconds": 60, "alarms": [""]}),
        ("watch", {"seconds": 60, "alarms": ["a"] * 11}),
        ("timeout", 9),
        ("timeout", 86_401),
        ("timeout", True),
        ("timeout", "600"),
        ("timeout", 600.0),
        ("timeout", None),
        ("rollback", "true"),
        ("rollback", 1),
        ("rollback", None),
        ("container", ""),
        ("container", "we b"),
        ("container", None),
        ("Cluster", "production1"),
        ("region", "us-east-1"),
    ],
)
def test_an_impossible_value_names_entry_and_key(key: str, value: object) -> None:
    with pytest.raises(InvalidContext) as caught:
        parse([{**GOOD, "cluster": "other"}, PUSHED | {key: value}])
    (problem,) = caught.value.problems
    assert problem.startswith(f"cdk.json, targets[1].{key}: ")
    assert problem.endswith(".")


@pytest.mark.parametrize("key", ["cluster", "service"])
def test_a_missing_key(key: str) -> None:
    with pytest.raises(InvalidContext, match=rf"^cdk\.json, targets\[0\]\.{key}: is missing\.$"):
        parse([{other: value for other, value in GOOD.items() if other != key}])


@pytest.mark.parametrize(
    "key",
    [
        {"tags": ["v*"]},
        {"reconcile": "1 day"},
        {"minAge": "1 day"},
        {"window": "office"},
        {"alarm": "errors"},
        {"stickyRevert": True},
        {"approval": 60},
        {"before": {"command": ["a"]}},
        {"after": {"command": ["a"]}},
        {"watch": {"seconds": 60}},
        {"promotedFrom": {"cluster": "production1", "service": "other", "soak": "1 day"}},
    ],
)
def test_what_needs_a_repository(key: dict[str, Any]) -> None:
    with pytest.raises(InvalidContext, match=rf"targets\[0\]\.{next(iter(key))}: has no meaning without repository"):
        parse([GOOD | key])


@pytest.mark.parametrize(
    ("key", "value"), [("together", ""), ("together", "a b"), ("order", -1), ("order", 100), ("order", True)]
)
def test_a_group_that_cannot_be_meant(key: str, value: object) -> None:
    with pytest.raises(InvalidContext, match=rf"targets\[0\]\.{key}: must be "):
        parse([PUSHED | {"together": "shop", key: value}])


def test_a_group() -> None:
    assert [(each.together, each.order) for each in parse([PUSHED | {"together": "shop", "order": 2}])] == [("shop", 2)]
    with pytest.raises(InvalidContext, match="order: has no meaning without together"):
        parse([PUSHED | {"order": 2}])


STAGE = {"cluster": "production1", "service": "doorman-service", "soak": "30 minutes"}
PROMOTED = {"repository": "doorman", "cluster": "production1", "service": "other", "promotedFrom": STAGE}


def test_a_target_takes_over_from_another_one() -> None:
    assert parse([GOOD, PROMOTED])[1].promotedFrom == Stage("production1", "doorman-service", 1800)
    # A stage may opt in by its tags.
    assert parse([PROMOTED], may_be_empty=True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"promotedFrom": "doorman-service"}, r"promotedFrom: must have cluster, service and soak"),
        ({"promotedFrom": {**STAGE, "soak": "soon"}}, r"promotedFrom: must have cluster, service and soak"),
        ({"promotedFrom": {**STAGE, "soak": "15 days"}}, r"promotedFrom: must have cluster, service and soak"),
        ({"promotedFrom": {**STAGE, "service": "a b"}}, r"promotedFrom: must have cluster, service and soak"),
        ({"promotedFrom": {**STAGE, "more": 1}}, r"promotedFrom: must have cluster, service and soak"),
        ({"promotedFrom": {**STAGE, "service": "nobody"}}, r"promotedFrom: production1/nobody is no target"),
        ({"promotedFrom": {**STAGE, "service": "other"}}, r"promotedFrom: leads back to production1/other"),
        ({"tags": ["v*"]}, r"tags: has no meaning with promotedFrom"),
        ({"together": "shop"}, r"together: has no meaning with promotedFrom"),
        ({"pin": False}, r"pin: has no meaning with promotedFrom"),
        ({"minAge": "1 hour"}, r"minAge: has no meaning with promotedFrom"),
        ({"after": STAGE}, r"after: is a task to run once the service is stable; .* is promotedFrom"),
    ],
)
def test_a_stage_that_cannot_be_meant(more: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidContext, match=said):
        parse([GOOD, PROMOTED | more])


def test_stages_that_lead_in_a_circle() -> None:
    back = {"promotedFrom": {"cluster": "production1", "service": "other", "soak": "1 day"}}
    with pytest.raises(InvalidContext, match="leads back to production1/doorman-service"):
        parse([PUSHED | back, PROMOTED])


def test_there_is_no_limit_to_their_number() -> None:
    assert len(parse([GOOD | {"service": f"service-{number}"} for number in range(2_000)])) == 2_000


def test_all_problems_at_once() -> None:
    with pytest.raises(InvalidContext) as caught:
        parse([{"cluster": "?", "extra": 1}, "doorman", GOOD, GOOD])
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "cdk.json, targets[0].service",
        "cdk.json, targets[0].cluster",
        "cdk.json, targets[0].extra",
        "cdk.json, targets[1]",
        "cdk.json, targets[3]",
    ]


@pytest.mark.parametrize("again", [PUSHED, PUSHED | {"tags": ["*"]}, PUSHED | {"timeout": 600}])
def test_a_target_is_listed_once(again: dict[str, Any]) -> None:
    with pytest.raises(InvalidContext, match=r"targets\[1\]: says the same as targets\[0\]"):
        parse([PUSHED, again])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "must be a list"),
        ({}, "must be a list"),
        ('{"cluster": "c"}', "must be a list"),
        ("doorman", "not JSON"),
        ("", "not JSON"),
        ([], "is empty, so nothing could be deployed"),
        ("[]", "is empty, so nothing could be deployed"),
    ],
)
def test_what_is_no_list_of_targets(value: object, said: str) -> None:
    with pytest.raises(InvalidContext, match=rf"^cdk\.json, targets: .*{said}"):
        parse(value)


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_log_levels(level: str) -> None:
    assert log_level(level) is LogLevel[level]


@pytest.mark.parametrize("level", [None, "", "debug", "TRACE", 10, ["INFO"]])
def test_what_is_no_log_level(level: object) -> None:
    with pytest.raises(InvalidContext, match=r"^cdk\.json, logLevel: must be one of DEBUG, INFO, WARNING, ERROR"):
        log_level(level)


def test_whose_image_a_parameter_has() -> None:
    with pytest.raises(InvalidContext, match=r"targets\[0\].parameter: needs repository or container"):
        parse([GOOD | {"parameter": "/doorman/image"}])


def test_a_parameter_has_one_image() -> None:
    first = PUSHED | {"parameter": "/doorman/image"}
    assert len(parse([first, first | {"tags": ["v*"]}])) == 2
    with pytest.raises(InvalidContext, match=r"targets\[1\].parameter: is that of targets\[0\]"):
        parse([first, first | {"service": "other"}])
