"""As much of EventBridge as the rules use: patterns and input transformers.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

from __future__ import annotations

import re
from functools import reduce
from typing import Any


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """Whether every field of the pattern has one alternative that the event fulfils."""
    for key, wanted in pattern.items():
        if key == "$or":
            if not any(matches(alternative, event) for alternative in wanted):
                return False
        elif isinstance(wanted, dict):
            if not matches(wanted, event.get(key, {})):
                return False
        elif not any(_fulfils(alternative, key, event) for alternative in wanted):
            return False
    return True


def _fulfils(alternative: object, key: str, event: dict[str, Any]) -> bool:
    match alternative:
        case {"exists": bool(there)}:
            return (key in event) is there
        case {"anything-but": {"prefix": str(text)}}:
            return key in event and not event[key].startswith(text)
        case {"anything-but": list(unwanted)}:
            return key in event and event[key] not in unwanted
        case {"wildcard": str(text)}:
            return re.fullmatch(".*".join(map(re.escape, text.split("*"))), event.get(key, "")) is not None
        case {"prefix": str(text)}:
            value = event.get(key, "")
            return any(str(each).startswith(text) for each in (value if isinstance(value, list) else [value]))
        case bool():
            return event.get(key) is alternative
        case str():
            value = event.get(key)
            return alternative in value if isinstance(value, list) else bool(value == alternative)
    raise AssertionError(f"{alternative!r} is not an operator known here")


def render(transformer: dict[str, Any], event: dict[str, Any]) -> str:
    """What a target gets: strings are quoted where they stand for a value, and never escaped."""
    template: str = transformer["InputTemplate"]
    for name, path in transformer["InputPathsMap"].items():
        value: str = reduce(lambda inner, key: inner[key], path.removeprefix("$.").split("."), event)  # type: ignore[assignment]
        template = re.sub(rf"(?<=: )<{name}>(?=[,}}])", f'"{value}"', template).replace(f"<{name}>", value)
    return template
