"""What is shown while an execution runs, and of its end: on a terminal, in a pipe, or as one JSON object."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Protocol

from .shown import lines_of

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from .ends import End
    from .progress import Moment


class View(Protocol):
    """Shows an execution; used as a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def began(self, execution: str) -> None:
        """An execution is followed from now on."""

    def moves(self, moment: Moment, seconds: float) -> None:
        """It is so far after so many seconds."""

    def warns(self, text: str) -> None:
        """Something else is to be known."""

    def ended(self, end: End) -> None:
        """It has ended."""


class Plain:
    """A line whenever something has changed, for pipes and logs."""

    def __init__(self) -> None:
        self._shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing has to be put back."""

    def began(self, execution: str) -> None:
        self._say(f"Execution: {execution}")

    def moves(self, moment: Moment, seconds: float) -> None:
        if moment.line() != self._shown:
            self._shown = moment.line()
            self._say(f"{seconds:6.1f} s  {self._shown}")

    def warns(self, text: str) -> None:
        self._say(text)

    def ended(self, end: End) -> None:
        self._say(f"{end.name}: {end.text}")
        for reason in end.reasons:
            self._say(f"  - {reason}")
        for line in lines_of(end.document):
            self._say(f"  {line.text}")

    def _say(self, text: str) -> None:
        print(text, flush=True)  # noqa: T201


class OneObject:
    """Nothing until the end, and then one JSON object; what else is to be known goes to standard error."""

    def __init__(self) -> None:
        self._execution = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing has to be put back."""

    def began(self, execution: str) -> None:
        self._execution = execution

    def moves(self, moment: Moment, seconds: float) -> None:
        """Nobody reads it."""

    def warns(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def ended(self, end: End) -> None:
        document: dict[str, Any] = {"execution": self._execution, "end": end.name, "message": end.text, **end.document}
        print(json.dumps(document), flush=True)  # noqa: T201


class Terminal:
    """One line that changes, with a spinner, and the end in colour."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - --help does not wait for it

        self._console = Console(highlight=False, soft_wrap=True)
        self._status = self._console.status("starting")

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def began(self, execution: str) -> None:
        self._print(f"Execution: {execution}")

    def moves(self, moment: Moment, seconds: float) -> None:
        from rich.markup import escape  # noqa: PLC0415

        self._status.update(escape(f"{seconds:5.0f} s  {moment.line()}"))

    def warns(self, text: str) -> None:
        self._print(text)

    def ended(self, end: End) -> None:
        self._status.stop()
        self._console.print(end.name, style="bold green" if end.code == 0 else "bold red", markup=False)
        self._print(end.text)
        for reason in end.reasons:
            self._print(f"  - {reason}")
        for line in lines_of(end.document):
            self._console.print(f"  {line.text}", style=line.style or None, markup=False)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False)


def view(*, as_json: bool) -> View:
    """What fits standard output."""
    if as_json:
        return OneObject()
    return Terminal() if sys.stdout.isatty() else Plain()
