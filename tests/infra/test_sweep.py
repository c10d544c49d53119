"""The schedules of the sweep: each target at its rate, with the request that a push would have made."""

from __future__ import annotations

import json
from typing import Any

from ecs_deploy.home import Home
from ecs_deploy.request import parse
from infra.sweep import GRACE, TARGETS_OF_A_SCHEDULE
from infra.targets import GREATEST_NUMBER
from tests.infra.synthesis import of_type, resolve, synthesize

HOME = Home("123456789012", "us-east-1")
DOORMAN: dict[str, Any] = {"repository": "doorman", "cluster": "production1", "service": "doorman-service"}
GATE: dict[str, Any] = {"repository": "gate", "cluster": "production1", "service": "gate", "tags": ["v*", "main"]}


def schedules(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [resolve(each) for each in of_type(template, "AWS::Scheduler::Schedule").values()]


def rates(template: dict[str, Any]) -> dict[str, list[str]]:
    """The services of each rate."""
    found: dict[str, list[str]] = {}
    for each in schedules(template):
        services = [target["request"]["service"] for target in json.loads(each["Target"]["Input"])["targets"]]
        found.setdefault(each["ScheduleExpression"], []).extend(services)
    return found


def test_a_schedule() -> None:
    made = synthesize([{**GATE, "container": "web", "timeout": 60, "rollback": False}])
    (schedule,) = schedules(made)
    assert schedule["ScheduleExpression"] == "rate(60 minutes)"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5}
    assert schedule["GroupName"] == "{SweepGroup}"
    assert (schedule["Target"]["Arn"], schedule["Target"]["RoleArn"]) == ("{SweepLookFunction.Arn}", "{SweepRole.Arn}")
    event = json.loads(schedule["Target"]["Input"])
    request = {
        "cluster": "production1",
        "service": "gate",
        "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/gate",
        "timeout": 60,
        "rollback": False,
        "container": "web",
    }
    assert event == {"grace": GRACE, "targets": [{"request": request, "tags": ["v*", "main"]}]}
    parse(request, HOME)


def test_only_schedules_of_this_stack_may_invoke_it(template: dict[str, Any]) -> None:
    (trusted,) = resolve(of_type(template, "AWS::IAM::Role")["SweepRole"]["AssumeRolePolicyDocument"])["Statement"]
    assert trusted["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012", "aws:SourceArn": "{SweepGroup.Arn}"}
    }


def test_each_at_its_rate() -> None:
    targets = [
        DOORMAN | {"sweep": "1 day"},
        GATE,
        GATE | {"service": "often", "sweep": "5 minutes"},
        GATE | {"service": "never", "sweep": None},
        {"cluster": "production1", "service": "by-hand"},
        GATE | {"service": "hourly", "sweep": "60 minutes"},
    ]
    assert rates(synthesize(targets)) == {
        "rate(5 minutes)": ["often"],
        "rate(60 minutes)": ["gate", "hourly"],
        "rate(1440 minutes)": ["doorman-service"],
    }


def test_where_nobody_looks_nothing_is_made() -> None:
    made = synthesize([DOORMAN | {"sweep": None}])
    assert schedules(made) == []
    assert [name for name in made["Resources"] if "Sweep" in name] == []
    assert "SweepFunction" not in made["Outputs"]


def test_many_targets_are_looked_at_in_parts() -> None:
    targets = [
        DOORMAN | {"repository": f"r-{number % 7}", "service": f"s-{number}"} for number in range(GREATEST_NUMBER)
    ]
    made = schedules(synthesize(targets))
    parts = [json.loads(each["Target"]["Input"])["targets"] for each in made]
    assert max(len(part) for part in parts) <= TARGETS_OF_A_SCHEDULE
    assert {target["request"]["service"] for part in parts for target in part} == {each["service"] for each in targets}
