"""Another CDK app can place the deployer into a stack of its own."""

from __future__ import annotations

import json
import tempfile
from typing import Any

import pytest
from aws_cdk import App, CfnOutput, Stack, assertions

from infra import checks
from infra.context import InvalidContext, notify
from infra.deployer import EcsDeploy
from infra.targets import parse
from tests.infra.synthesis import CDK_JSON, of_type

TARGETS = [{"repository": "doorman", "cluster": "production1", "service": "doorman-service", "parameter": "/doorman"}]


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as output:
        app = App(context=CDK_JSON["context"], outdir=output)
        stack = Stack(app, "Platform")
        made = EcsDeploy(stack, "Deployer", targets=parse(TARGETS), notify=notify(["ops@example.com"]))
        CfnOutput(stack, "Machine", value=made.machine.state_machine_arn)
        checks.enforce(app)
        return dict(assertions.Template.from_stack(stack).to_json())


def test_it_is_whole_and_nothing_of_it_is_named_after_another_stack(template: dict[str, Any]) -> None:
    assert len(of_type(template, "AWS::StepFunctions::StateMachine")) == 1
    assert len(of_type(template, "AWS::Lambda::Function")) == 6
    assert all(name.startswith("Deployer") for name in template["Resources"] if not name.startswith("CDK"))
    assert "EcsDeploy" not in json.dumps(template)
    alarms = of_type(template, "AWS::CloudWatch::Alarm").values()
    assert {alarm["AlarmName"].partition("-")[0] for alarm in alarms} == {"Platform"}


def test_its_outputs_are_left_to_the_stack(template: dict[str, Any]) -> None:
    assert list(template["Outputs"]) == ["Machine"]


def test_wrong_targets_are_told_before_anything_is_made() -> None:
    with pytest.raises(InvalidContext, match=r"targets\[0\]\.service"):
        parse([{"cluster": "production1"}])
