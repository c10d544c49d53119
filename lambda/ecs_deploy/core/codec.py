"""Named tuples as JSON and back: moments as text, tuples as lists.

What is read may be of another release: a member that is missing has its default, and one that is unknown is passed
over.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

from ecs_deploy.core.formats import instant

T = TypeVar("T")
Read = Callable[[Any], Any]


def encode(value: Any) -> Any:
    """Give the JSON value of a named tuple or of a part of one."""
    if isinstance(value, str | int | float | NoneType):
        return value
    if hasattr(value, "_fields"):
        return {name: encode(each) for name, each in zip(value._fields, value, strict=True)}
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, Mapping):
        return {key: encode(each) for key, each in value.items()}
    return [encode(each) for each in value]


def decode(kind: type[T], value: Any) -> T:
    """Read what `encode` gave; raises `ValueError`, `TypeError` or `KeyError` for anything else."""
    hashable: Any = kind
    read: T = _reader(hashable)(value)
    return read


@cache
def _reader(kind: Any) -> Read:
    """What reads a value of a type."""
    if hasattr(kind, "_fields"):
        return _members(kind)
    if kind in {Any, datetime}:
        return datetime.fromisoformat if kind is datetime else _as_it_is
    if isinstance(kind, UnionType):
        some = _reader(next(each for each in get_args(kind) if each is not NoneType))
        return lambda value: None if value is None else some(value)
    if get_origin(kind) is tuple:
        item = _reader(get_args(kind)[0])
        return lambda value: tuple(map(item, value))
    if get_origin(kind) is Mapping:
        member = _reader(get_args(kind)[1])
        return lambda value: {key: member(each) for key, each in value.items()}
    return _scalar(kind)


def _members(kind: Any) -> Read:
    readers = [(name, _reader(kind.__annotations__[name])) for name in kind._fields]
    required = set(kind._fields) - kind._field_defaults.keys()

    def read(value: Any) -> Any:
        if missing := required - value.keys():
            raise KeyError(*missing)
        return kind(**{name: reader(value[name]) for name, reader in readers if name in value})

    return read


def _scalar(kind: Any) -> Read:
    """Read a text, a number, or the value of an enumeration."""
    allowed: Any = {str: str, bool: bool, int: int, float: (int, float)}.get(kind, str)

    def read(value: Any) -> Any:
        if not isinstance(value, allowed):
            raise TypeError(f"{value!r} is not of the type {kind.__name__}")
        return kind(value)

    return read


def _as_it_is(value: Any) -> Any:
    return value
