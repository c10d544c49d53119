"""The page of executions as timelines: one HTML file, with nothing to load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .aws import NoExecutionError
from .timeline import story

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from .aws import Machine
    from .timeline import Story


def render(stories: Sequence[Story], of: str, written_at: datetime) -> str:
    """Draw the page of executions `of` something. All texts are escaped: requests may hold anything."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        stories=stories, of=of, written_at=written_at.strftime("%Y-%m-%d %H:%M UTC")
    )


def stories(machine: Machine, executions: Iterable[str]) -> Iterator[Story]:
    """Give the stories of executions, by their ARNs. Raises `CliError`, `ConnectionLostError`.

    Step Functions forgets an execution 90 days after its end; those have none:
    https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    """
    for each in executions:
        try:
            yield story(machine.describe(each), machine.events(each), ())
        except NoExecutionError:
            continue
