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

from infra import checks


def test_a_finding_fails_the_synthesis() -> None:
    app = App()
    stack = Stack(app, "Stack")
    sqs.Queue(stack, "WithoutSsl")
    checks.enforce(app)
    with pytest.raises(RuntimeError, match="AwsSolutions-SQS4"):
        assertions.Template.from_stack(stack)


def test_cfn_lint(template: dict[str, Any], tmp_path: Path) -> None:
    # cfn-lint reads a definition, but knows ARNs of the first partition only.
    text = json.dumps(template).replace("arn:${Partition}:states", "arn:aws:states")
    file = tmp_path / "template.json"
    file.write_text(text)
    # W3005: CDK spells out dependencies that a reference implies.
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--ignore-checks", "W3005", "--", str(file)]
    linted = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (linted.stdout, linted.returncode) == ("", 0), linted.stderr
