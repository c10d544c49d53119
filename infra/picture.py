"""A picture of the workflow, drawn from the definition that is deployed: `python -m infra.picture`.

Mermaid, which GitHub draws: https://mermaid.js.org/syntax/stateDiagram.html
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from infra.workflow import definition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def mermaid(workflow: Mapping[str, Any]) -> str:
    """Draw a workflow; the same definition always gives the same text."""
    lines = ["stateDiagram-v2", f"    [*] --> {workflow['StartAt']}"]
    for name, state in workflow["States"].items():
        lines += [f"    {name} --> {end}{said}" for end, said in _ways(state)]
    return "\n".join(lines) + "\n"


def _ways(state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for choice in state.get("Choices", []):
        condition = choice["Condition"].removeprefix("{% $states.input.").removesuffix(" %}")
        yield choice["Next"], f" : {condition}"
    if "Default" in state:
        yield state["Default"], " : otherwise"
    if "Next" in state:
        yield state["Next"], ""
    for catch in state.get("Catch", []):
        yield catch["Next"], " : it broke"
    if state["Type"] in {"Succeed", "Fail"}:
        yield "[*]", ""


if __name__ == "__main__":
    sys.stdout.write(mermaid(definition()))
