"""The rules of others: cdk-nag is part of every synthesis; cfn-lint reads the template here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, assertions
from aws_cdk import aws_sqs as sqs

from infra import checks, package
from infra.context import Discovery, notify
from tests.infra.synthesis import CDK_JSON, synthesize


def test_a_finding_fails_the_synthesis() -> None:
    app = App()
    stack = Stack(app, "Stack")
    sqs.Queue(stack, "WithoutSsl")
    checks.enforce(app)
    with pytest.raises(RuntimeError, match="AwsSolutions-SQS4"):
        assertions.Template.from_stack(stack)


def test_cfn_lint(tmp_path: Path) -> None:
    channel = "arn:aws:chatbot::123456789012:chat-configuration/slack-channel/deployments"
    everybody = notify(["ops@example.com", "https://hooks.example.com/x", channel])
    lint(synthesize(CDK_JSON["context"]["targets"], notify=everybody), tmp_path)
    everything = {"window": "office", "alarm": "errors", "parameter": "/image"}
    targets = [{**CDK_JSON["context"]["targets"][0], **everything}]
    lint(synthesize(targets, discovery=Discovery(("*-task",)), registries=["999999999999"]), tmp_path)


def test_cfn_lint_of_the_package(tmp_path: Path) -> None:
    _, template = package.write(tmp_path / "dist")
    lint(json.loads(template.read_text()), tmp_path)


def lint(template: dict[str, Any], tmp_path: Path) -> None:
    """Fail where cfn-lint finds what AWS would not take."""
    # cfn-lint reads a definition, but knows ARNs of the first partition only.
    text = json.dumps(template).replace("arn:${Partition}:states", "arn:aws:states")
    file = tmp_path / "template.json"
    file.write_text(text)
    # W3005: CDK spells out dependencies that a reference implies.
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--ignore-checks", "W3005", "--", str(file)]
    linted = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line for line in linted.stdout.splitlines() if line.startswith(("E", "W", "I"))]
    # An expression gives a number: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
    expression = "E3601 '{% $states.input.wait %}' is not of type 'number' at 'States/WaitFor"
    assert [line for line in found if not line.startswith(expression)] == [], linted.stderr
    assert len(found) == 2
