"""The emulator is changed where it is what it was, and nowhere else."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from local.emulator.seams import SeamError, Seams

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    def greet(name: str) -> str:
        return f"hello {name}"

    made: Any = ModuleType("emulated")
    made.greet = greet
    made.HANDLERS = {"Greet": greet}
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
    with pytest.raises(SeamError) as raised:
        seams.install()
    assert "emulated.greet takes (name), expected (name, mood)" in str(raised.value)
    assert "emulated.leave does not exist" in str(raised.value)
    assert module.greet("ada") == "hello ada"
