"""The emulator is changed where it is what it was, and nowhere else."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from local.emulator import launcher
from local.emulator.seams import SeamError, Seams

if TYPE_CHECKING:
    from collections.abc import Callable

EMULATOR = Path(launcher.__file__).parent


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    def greet(name: str) -> str:
        return f"hello {name}"

    made: Any = ModuleType("emulated")
    made.greet = greet
    made.HANDLERS = {"Greet": greet}
    made.Greeter = type("Greeter", (), {"greet": greet})
    monkeypatch.setitem(sys.modules, "emulated", made)
    return made


def louder(original: Callable[..., str]) -> Callable[..., str]:
    return lambda name: original(name).upper()


def test_a_function_is_replaced_where_its_module_holds_it(module: Any) -> None:
    seams = Seams()
    seams.replace(louder, "emulated", "greet", "name")
    seams.install()
    assert module.greet("ada") == "HELLO ADA"
    assert module.HANDLERS["Greet"]("ada") == "HELLO ADA"


def test_every_difference_is_named_and_nothing_is_replaced(module: Any) -> None:
    seams = Seams()
    seams.replace(louder, "emulated", "greet", "name")
    seams.replace(louder, "emulated", "greet", "name", "mood")
    seams.call("emulated", "leave")
    seams.attributes("emulated", "HANDLERS", "_names", "Greeter.greet", "Greeter.leave")
    with pytest.raises(SeamError) as raised:
        seams.install()
    assert "emulated.greet takes (name), expected (name, mood)" in str(raised.value)
    for name in ("leave", "_names", "Greeter.leave"):
        assert f"emulated.{name} does not exist" in str(raised.value)
    assert "HANDLERS" not in str(raised.value)
    assert module.greet("ada") == "hello ada"


def private_names(file: Path) -> set[str]:
    """The private names of others that a module uses: none of its own objects, whose names begin with `self.`."""
    return {
        node.attr
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id in {"self", "os"})
    }


def test_every_private_name_that_is_used_is_declared(tmp_path: Path) -> None:
    seams = launcher.declare(tmp_path)
    declared = {part for each in seams.used for part in each.name.split(".")}
    declared |= {each.name for each in [*seams.called, *(seam for seam, _ in seams.replaced)]}
    used = {name for file in EMULATOR.glob("*.py") for name in private_names(file)}
    assert len(used) > 20
    assert used <= declared
