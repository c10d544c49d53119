"""Evaluates fields of a state as Step Functions does, with the JSONata of the emulator's environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

PYTHON = Path(__file__).parents[2] / ".venv-emulator" / "bin" / "python"
# In Step Functions an expression without a value is an error: States.QueryEvaluationError.
SCRIPT = """
import json, sys
from jsonata import Jsonata

def expression(text, states):
    values = []
    for query in (f"$exists({text})", text):
        compiled = Jsonata(query)
        compiled.assign("states", states)
        values.append(compiled.evaluate({}))
    exists, value = values
    if not exists:
        raise ValueError(f"{text} has no value")
    return value

def field(template, states):
    if isinstance(template, dict):
        return {key: field(value, states) for key, value in template.items()}
    if isinstance(template, list):
        return [field(value, states) for value in template]
    if isinstance(template, str) and template.startswith("{%") and template.endswith("%}"):
        return expression(template[2:-2].strip(), states)
    return template

json.dump([field(template, states) for template, states in json.load(sys.stdin)], sys.stdout)
"""


def evaluate(*cases: tuple[Any, dict[str, Any]]) -> list[Any]:
    """The values of fields, each given as what stands in the state and the `$states` of that moment."""
    ran = subprocess.run(
        [str(PYTHON), "-I", "-c", SCRIPT], input=json.dumps(cases), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return list(json.loads(ran.stdout))
