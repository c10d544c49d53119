"""The workflow as a file, for Workflow Studio: `python -m infra.asl` writes `workflow.asl.json`."""

from __future__ import annotations

import json
from pathlib import Path

from infra.workflow import definition

FILE = Path(__file__).parents[1] / "workflow.asl.json"


def text() -> str:
    """The definition as it is written."""
    return json.dumps(definition(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
