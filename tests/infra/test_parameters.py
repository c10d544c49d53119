"""The parameters: which success writes which, and what the function may do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.context import InvalidContext
from tests.infra.eventbridge import matches, render
from tests.infra.synthesis import of_type, resolve, synthesize
from tests.infra.test_permissions import DESCRIBE, ECS, XRAY, logs, role

DOORMAN: dict[str, Any] = {
    "repository": "team/doorman",
    "cluster": "production1",
    "service": "doorman-service",
    "parameter": "/doorman/image",
}
PROXY = {"cluster": "production1", "service": "doorman-service", "container": "proxy", "parameter": "proxy-image"}
TARGETS = [DOORMAN, DOORMAN | {"tags": ["v*"]}, PROXY, {"cluster": "production1", "service": "gate"}]
MACHINE = "{WorkflowMachine}"


def event(**detail: str) -> dict[str, Any]:
    outcome = {"outcome": "DEPLOYED", "cluster": "production1", "service": "doorman-service", "execution": "arn:one"}
    return {
        "source": "ecs-deploy",
        "detail-type": "ECS Deploy Outcome",
        "account": "123456789012",
        "resources": ["arn:one", MACHINE],
        "detail": outcome | detail,
    }


def written(template: dict[str, Any], event: dict[str, Any]) -> list[dict[str, Any]]:
    """The events that the function gets."""
    rules = {
        name: resolve(rule)
        for name, rule in of_type(template, "AWS::Events::Rule").items()
        if name.startswith("Parameters")
    }
    targets = [target for rule in rules.values() if matches(rule["EventPattern"], event) for target in rule["Targets"]]
    assert {target["Arn"] for target in targets} <= {"{ParametersWriteFunction.Arn}"}
    return [json.loads(render(target["InputTransformer"], event)) for target in targets]


def test_a_success_writes_the_parameters_of_its_service() -> None:
    made = synthesize(TARGETS)
    common = {"execution": "arn:one", "cluster": "production1", "service": "doorman-service"}
    assert written(made, event()) == [
        {**common, "parameter": "/doorman/image", "repository": "team/doorman"},
        {**common, "parameter": "proxy-image", "container": "proxy"},
    ]
    for other in (event(outcome="SUPERSEDED"), event(service="gate"), event(cluster="staging")):
        assert written(made, other) == []
    assert written(made, event() | {"resources": ["arn:one", "another machine"]}) == []
    assert written(made, event() | {"account": "999999999999"}) == []


def test_what_the_function_may_do() -> None:
    made = synthesize(TARGETS)
    ssm = "arn:aws:ssm:us-east-1:123456789012:parameter"
    assert role(made, "ParametersWriteRole") == [
        DESCRIBE,
        (("ssm:PutParameter",), (f"{ssm}/doorman/image", f"{ssm}/proxy-image"), None),
        (("ecs:DescribeServices",), (f"{ECS}:service/production1/doorman-service",), None),
        logs("ParametersWrite"),
        XRAY,
    ]
    permission = resolve(of_type(made, "AWS::Lambda::Permission")["ParametersPermission"])
    assert permission["Principal"] == "events.amazonaws.com"
    assert permission["SourceArn"] == "arn:aws:events:us-east-1:123456789012:rule/EcsDeploy-*"


def test_who_gives_up_is_seen() -> None:
    alarms = of_type(synthesize(TARGETS), "AWS::CloudWatch::Alarm")
    (alarm,) = (resolve(each) for name, each in alarms.items() if "ParameterFailed" in name)
    assert (alarm["MetricName"], alarm["Threshold"]) == ("AsyncEventsDropped", 1)
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": "{ParametersWriteFunction}"}]


def test_more_than_a_bus_has_rules_for_are_a_clear_error() -> None:
    targets = [DOORMAN | {"service": f"s-{number}", "parameter": f"/s-{number}"} for number in range(251)]
    with pytest.raises(InvalidContext, match=r"targets: 251 name a parameter, but the stack writes 250 at most"):
        synthesize(targets)


def test_where_no_target_names_one_nothing_is_made(template: dict[str, Any]) -> None:
    assert [name for name in template["Resources"] if "Parameter" in name] == []
