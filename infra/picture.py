"""A picture of the workflow, drawn from the definition that is deployed: `python -m infra.picture`.

With the name of a Markdown file it draws the picture there, between `BEGIN` and `END`: `python -m infra.picture
docs/how-it-works.md`. Mermaid, which GitHub draws: https://mermaid.js.org/syntax/stateDiagram.html
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.workflow import definition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BEGIN, END = "<!-- the workflow, drawn by `make picture` -->", "<!-- end of the workflow -->"


class NoPlaceForPicture(ValueError):
    """The text has no place for the picture, or more than one."""


def mermaid(workflow: Mapping[str, Any]) -> str:
    """Draw a workflow; the same definition always gives the same text."""
    lines = ["stateDiagram-v2", f"    [*] --> {workflow['StartAt']}"]
    for name, state in workflow["States"].items():
        lines += [f"    {name} --> {end}{said}" for end, said in _ways(state)]
    return "\n".join(lines) + "\n"


def drawn_into(text: str, picture: str) -> str:
    """The text with the picture between `BEGIN` and `END`; raises `NoPlaceForPicture`."""
    before, begin, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + old + after:
        raise NoPlaceForPicture(f"must hold {BEGIN} once, and {END} once after it")
    return f"{before}{begin}\n```mermaid\n{picture}```\n{end}{after}"


def _ways(state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for choice in state.get("Choices", []):
        condition = choice["Condition"].removeprefix("{% ").removesuffix(" %}").replace("$states.input.", "")
        yield choice["Next"], f" : {condition}"
    if "Default" in state:
        yield state["Default"], " : otherwise"
    if "Next" in state:
        yield state["Next"], ""
    for catch in state.get("Catch", []):
        if catch["Next"] != state["Next"]:
            yield catch["Next"], " : error"
    if state["Type"] in {"Succeed", "Fail"}:
        yield "[*]", ""


def main(files: list[str]) -> None:
    """Draw the workflow into the files, or print it where none is named."""
    picture = mermaid(definition())
    if not files:
        sys.stdout.write(picture)
    for file in map(Path, files):
        try:
            file.write_text(drawn_into(file.read_text(), picture))
        except NoPlaceForPicture as problem:
            sys.exit(f"{file} {problem}.")


if __name__ == "__main__":
    main(sys.argv[1:])
