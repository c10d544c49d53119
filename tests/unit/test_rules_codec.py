"""Named tuples as JSON and back."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, NamedTuple

import pytest

from ecs_deploy.core.codec import decode, encode
from ecs_deploy.core.decision import Turn
from ecs_deploy.core.plan import Plan, Rollout
from ecs_deploy.core.policy import Target
from ecs_deploy.core.state import Entry, Hold, Owner, Phase, State
from tests.support.rules import (
    asked,
    at,
    base,
    deploying,
    entry,
    intent,
    owned,
    plan,
    pushed,
    returning,
    stable,
    state,
    table,
)


class Colour(StrEnum):
    """A member of an enumeration."""

    RED = "RED"


class Part(NamedTuple):
    """A part of a whole."""

    name: str
    since: datetime | None = None


class Whole(NamedTuple):
    """A member of each type that the deployer hands on."""

    text: str
    number: int
    share: float
    flag: bool
    colour: Colour
    parts: tuple[Part, ...]
    by_name: Mapping[str, Part]
    anything: Any
    part: Part | None = None
    names: tuple[str, ...] = ("none",)
    made: Mapping[str, str] = {}


WHOLE = Whole(
    text="a",
    number=1,
    share=1.5,
    flag=True,
    colour=Colour.RED,
    parts=(Part("one"), Part("two", datetime(2026, 1, 31, 12, tzinfo=UTC))),
    by_name={"three": Part("three")},
    anything={"list": [1, "two", None]},
    part=Part("four"),
    names=("x", "y"),
    made={"k": "v"},
)
JSON: dict[str, Any] = {
    "text": "a",
    "number": 1,
    "share": 1.5,
    "flag": True,
    "colour": "RED",
    "parts": [{"name": "one", "since": None}, {"name": "two", "since": "2026-01-31T12:00:00.000Z"}],
    "by_name": {"three": {"name": "three", "since": None}},
    "anything": {"list": [1, "two", None]},
    "part": {"name": "four", "since": None},
    "names": ["x", "y"],
    "made": {"k": "v"},
}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in JSON.items() if name not in names}


def test_as_json_and_back() -> None:
    encoded = encode(WHOLE)
    assert encoded == JSON
    assert type(encoded["parts"]) is list
    assert decode(Whole, json.loads(json.dumps(encoded))) == WHOLE


def test_a_moment_is_told_in_utc() -> None:
    there = datetime(2026, 1, 31, 13, 30, tzinfo=timezone(timedelta(hours=1)))
    assert encode({"at": there}) == {"at": "2026-01-31T12:30:00.000Z"}


def test_what_comes_back_has_its_types() -> None:
    back = decode(Whole, JSON)
    assert type(back.colour) is Colour
    assert type(back.parts) is tuple
    assert type(back.share) is float
    assert type(decode(Whole, {**JSON, "share": 2}).share) is float


@table(
    "document, expected",
    {
        "a member that is missing has its default": (without("part", "names"), (None, ("none",), {"k": "v"})),
        "the default of many": (without("made"), (Part("four"), ("x", "y"), {})),
        "a member that is unknown is passed over": ({**JSON, "new": 1}, (Part("four"), ("x", "y"), {"k": "v"})),
        "none is none": ({**JSON, "part": None}, (None, ("x", "y"), {"k": "v"})),
    },
)
def test_another_release(document: dict[str, Any], expected: tuple[Any, ...]) -> None:
    found = decode(Whole, document)
    assert (found.part, found.names, found.made) == expected


@table(
    "document, error, message",
    {
        "a member is missing": (without("text"), KeyError, "^'text'$"),
        "a number is no text": ({**JSON, "text": 1}, TypeError, "^1 is not of the type str$"),
        "a text is no number": ({**JSON, "number": "1"}, TypeError, "^'1' is not of the type int$"),
        "a broken number is no whole one": ({**JSON, "number": 1.5}, TypeError, "^1.5 is not of the type int$"),
        "a text is no share": ({**JSON, "share": "1"}, TypeError, "^'1' is not of the type float$"),
        "a number is no flag": ({**JSON, "flag": 1}, TypeError, "^1 is not of the type bool$"),
        "nothing is no text": ({**JSON, "text": None}, TypeError, "^None is not of the type str$"),
        "no such colour": ({**JSON, "colour": "BLUE"}, ValueError, "BLUE"),
        "no moment": ({**JSON, "parts": [{"name": "one", "since": "soon"}]}, ValueError, "soon"),
        "a number is no moment": ({**JSON, "parts": [{"name": "one", "since": 1}]}, TypeError, "argument"),
        "nothing where there is a whole": (None, AttributeError, "NoneType"),
        "a text where there is a part": ({**JSON, "part": "four"}, AttributeError, "str"),
        "a part is of another kind": ({**JSON, "part": {"names": "x"}}, KeyError, "name"),
    },
)
def test_what_is_something_else(document: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        decode(Whole, document)


PUSH = pushed("a", 1, failed=3)
FULL = state(
    newest={"app": PUSH, "*": asked("b", 2)},
    deployed={"app": PUSH},
    owner=owned("a", "app", "proxy", phase=Phase.RETURNING),
    intents=(intent("a", 2), intent("b", 3, noted=4, displaced=9)),
    stable=stable(1, digests={"app": "sha256:1"}),
    hold=Hold("why", "who", at(1)),
    broken_since=at(2),
)


@table(
    "value",
    {
        "a state": FULL,
        "a new state": state(),
        "an entry of the history": entry(PUSH, again={"image": "doorman:2", "push": {"id": "1"}}),
        "an entry without an end": entry(asked("b"), None, number=None, replaced=None),
        "a plan": plan(on=base(1, None), broken_since=at(1)),
        "a rollout": deploying(reason="it failed", extra=1.5, polls=3),
        "a return": returning(),
        "a turn": Turn(("app", "proxy"), "sha256:1", at(1)),
        "a target": Target("production1", "doorman-service", tags=("v*",), reconcile_minutes=60),
    },
)
def test_what_the_deployer_hands_on_comes_back(value: Any) -> None:
    assert decode(type(value), json.loads(json.dumps(encode(value)))) == value


@table("kind", {"a state": State, "an entry": Entry, "a plan": Plan, "a rollout": Rollout, "an owner": Owner})
def test_an_empty_object_is_none_of_them(kind: type) -> None:
    with pytest.raises(KeyError):
        decode(kind, {})
