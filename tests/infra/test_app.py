"""The app as the CDK command starts it: a template without credentials, or a sentence about what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.infra.synthesis import CDK_JSON, ROOT

if TYPE_CHECKING:
    from pathlib import Path


def start(context: dict[str, Any], output: Path) -> subprocess.CompletedProcess[str]:
    """Run app.py with an environment that holds nothing of AWS."""
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(output.parent),
        "CDK_OUTDIR": str(output),
        "CDK_CONTEXT_JSON": json.dumps(context),
    }
    command = [sys.executable, "app.py"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_template_is_made(tmp_path: Path, template: dict[str, Any]) -> None:
    output = tmp_path / "cdk.out"
    ran = start(CDK_JSON["context"], output)
    assert ran.returncode == 0, ran.stderr
    made = json.loads((output / "EcsDeploy.template.json").read_text())
    assert made["Resources"].keys() >= template["Resources"].keys()


def test_a_bad_target_is_reported_without_a_traceback(tmp_path: Path) -> None:
    targets = [{"cluster": "production1", "service": "doorman", "timeuot": 60}, {"cluster": "?", "service": "gate"}]
    ran = start(CDK_JSON["context"] | {"targets": targets}, tmp_path / "cdk.out")
    assert ran.returncode == 1
    said = [line for line in ran.stderr.splitlines() if "targets[" in line]
    assert [line.partition(": ")[0] for line in said] == [
        "cdk.json, targets[0].timeuot",
        "cdk.json, targets[1].cluster",
    ]
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""


def test_cdk_json_starts_this_app() -> None:
    assert CDK_JSON["app"] == ".venv/bin/python app.py"
