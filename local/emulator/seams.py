"""The places where the emulator is changed, and the check that they are still what they were.

What is private in the emulator may change with every release. A wrapper that silently no longer takes part is worse
than none: every function is therefore compared with the signature it was written for, and every other name is looked
for, all of them before the first is replaced; the ones that differ are named together.
"""

from __future__ import annotations

import importlib
import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Function = Callable[..., Any]
Wrap = Callable[[Function], Function]


class SeamError(Exception):
    """The installed emulator is not the one these changes were written for."""


@dataclass(frozen=True, slots=True)
class Seam:
    """A private function of the emulator, by module and name, with the parameters it is expected to take."""

    module: str
    name: str
    parameters: tuple[str, ...]

    def problem(self) -> str | None:
        """Say what is wrong with the seam in the installed emulator; None when nothing is."""
        try:
            function = getattr(importlib.import_module(self.module), self.name)
        except (ImportError, AttributeError):
            return f"{self.module}.{self.name} does not exist"
        found = tuple(inspect.signature(function).parameters)
        if found != self.parameters:
            return f"{self.module}.{self.name} takes ({', '.join(found)}), expected ({', '.join(self.parameters)})"
        return None


@dataclass(frozen=True, slots=True)
class Attribute:
    """A name of the emulator that is read or set as it is: a store, a flag, a class; with dots for a part of one."""

    module: str
    name: str

    def problem(self) -> str | None:
        """Say when the installed emulator has no such name."""
        try:
            operator.attrgetter(self.name)(importlib.import_module(self.module))
        except (ImportError, AttributeError):
            return f"{self.module}.{self.name} does not exist"
        return None


@dataclass(slots=True)
class Seams:
    """What is used, called and replaced. Nothing happens before `install`."""

    used: list[Attribute] = field(default_factory=list)
    called: list[Seam] = field(default_factory=list)
    replaced: list[tuple[Seam, Wrap]] = field(default_factory=list)

    def attributes(self, module: str, *names: str) -> None:
        """Declare names that are read or set."""
        self.used += [Attribute(module, name) for name in names]

    def call(self, module: str, name: str, *parameters: str) -> None:
        """Declare a function that is called as it is."""
        self.called.append(Seam(module, name, parameters))

    def replace(self, wrap: Wrap, module: str, name: str, *parameters: str) -> None:
        """Declare a function that is replaced by what `wrap` makes of it."""
        self.replaced.append((Seam(module, name, parameters), wrap))

    def install(self) -> None:
        """Check every seam, then replace the functions, also where a dispatch table of their module holds them.

        Raises SeamError, naming every seam that differs, with nothing replaced.
        """
        seams: list[Attribute | Seam] = [*self.used, *self.called, *(seam for seam, _ in self.replaced)]
        problems = [problem for seam in seams if (problem := seam.problem())]
        if problems:
            raise SeamError(
                "the installed ministack is not the one local/emulator was written for "
                f"(requirements/emulator.in pins it): {'; '.join(problems)}"
            )
        for seam, wrap in self.replaced:
            module = importlib.import_module(seam.module)
            original = getattr(module, seam.name)
            replacement = wrap(original)
            setattr(module, seam.name, replacement)
            for table in [value for value in vars(module).values() if isinstance(value, dict)]:
                for key in [key for key, value in table.items() if value is original]:
                    table[key] = replacement
