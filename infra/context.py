"""What `cdk.json` asks for, besides the targets. A value that cannot be meant is an error before anything is made."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable


class InvalidContext(ValueError):
    """The context of the CDK app cannot be used; `problems` are sentences for the person who wrote it."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class LogLevel(StrEnum):
    """The levels that Lambda's JSON logging and Powertools share."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def log_level(value: object) -> LogLevel:
    """Read the context key `logLevel`; raises `InvalidContext` when it is missing or not one of the levels."""
    try:
        return LogLevel(value)  # type: ignore[arg-type]  # anything else is the error below
    except ValueError:
        allowed = ", ".join(LogLevel)
        raise InvalidContext(f"cdk.json, logLevel: must be one of {allowed}, but is {value!r}.") from None


@dataclass(frozen=True)
class Notify:
    """Who is notified of how executions end: email addresses, https URLs, and ARNs of chat channels."""

    emails: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


def notify(value: object) -> Notify | None:
    """Read the context key `notify`: a list, or the JSON text of one; None where there is none, to notify nobody.

    Raises `InvalidContext` with every problem of every entry.
    """
    if value is None:
        return None
    entries = _list("notify", value, "email addresses, https URLs and ARNs of chat channels")
    problems = []
    found: dict[str, list[str]] = {"emails": [], "urls": [], "channels": []}
    for index, entry in enumerate(entries):
        kind = next((kind for kind, fits in _KINDS.items() if isinstance(entry, str) and fits(entry)), None)
        if entry in entries[:index]:
            problems.append(f"cdk.json, notify[{index}]: says the same as notify[{entries.index(entry)}].")
        elif kind is None:
            problems.append(
                f"cdk.json, notify[{index}]: must be an email address, an https URL or the ARN of a chat channel "
                f"(arn:aws:chatbot::<account>:chat-configuration/slack-channel/<name>), but is {entry!r}."
            )
        else:
            found[kind].append(str(entry))
    if problems:
        raise InvalidContext(*problems)
    return Notify(**{kind: tuple(entries) for kind, entries in found.items()})


@dataclass(frozen=True)
class Discovery:
    """Services may opt in by tags; `roles` are those that their task definitions may carry, `*` for any characters."""

    roles: tuple[str, ...]


def discovery(value: object) -> Discovery | None:
    """Read the context key `discovery`: an object with `roles`, or its JSON text; None where there is none.

    Raises `InvalidContext`.
    """
    if value is None:
        return None
    value = _read("discovery", value)
    roles = value.get("roles") if isinstance(value, dict) else None
    if not isinstance(value, dict) or value.keys() != {"roles"} or not isinstance(roles, list) or not roles:
        raise InvalidContext('cdk.json, discovery: must be an object with a list of roles, as {"roles": ["*-task"]}.')
    problems = [
        f"cdk.json, discovery.roles[{index}]: must be the name of a role, with its path and with '*' for any "
        f"characters, but is {role!r}."
        for index, role in enumerate(roles)
        if not isinstance(role, str) or not _ROLES.fullmatch(role)
    ]
    if problems:
        raise InvalidContext(*problems)
    return Discovery(tuple(roles))


def registries(value: object) -> tuple[str, ...]:
    """Read the context key `registries`: a list of accounts, with `/` and a region or without, or its JSON text.

    Raises `InvalidContext` with every problem of every entry.
    """
    entries = [] if value is None else _list("registries", value, "accounts, as 123456789012 or 123456789012/eu-west-1")
    problems = [
        f"cdk.json, registries[{index}]: must be an account, or an account, a slash and a region, but is {entry!r}."
        for index, entry in enumerate(entries)
        if not isinstance(entry, str) or not _REGISTRY.fullmatch(entry)
    ]
    if problems:
        raise InvalidContext(*problems)
    return tuple(dict.fromkeys(map(str, entries)))


def _list(key: str, value: object, what: str) -> list[object]:
    value = _read(key, value)
    if not isinstance(value, list):
        raise InvalidContext(f"cdk.json, {key}: must be a list of {what}.")
    return value


def _read(key: str, value: object) -> object:
    """A value, which may be the JSON text of one, as `cdk -c` gives it."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise InvalidContext(f"cdk.json, {key}: is text that is not JSON ({error}).") from None


def _is_https(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and re.fullmatch(r"[!-~]{1,2000}", text) is not None


# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_ROLES = re.compile(r"(?=.{1,576}\Z)(?:[\w+=,.@*-]+/)*[\w+=,.@*-]{1,64}", re.ASCII)
_REGISTRY = re.compile(r"[0-9]{12}(?:/[a-z]{2,}(?:-[a-z]+)+-[0-9]+)?")
_EMAIL = re.compile(r"(?=.{3,254}\Z)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awschatbot.html
_CHANNEL = re.compile(
    r"arn:aws[a-z-]*:chatbot::[0-9]{12}:chat-configuration/(?:slack-channel|microsoft-teams-channel|chime-webhook)/"
    r"[A-Za-z0-9_-]{1,128}"
)
_KINDS: dict[str, Callable[[str], bool]] = {
    "channels": lambda text: _CHANNEL.fullmatch(text) is not None,
    "urls": _is_https,
    "emails": lambda text: _EMAIL.fullmatch(text) is not None,
}
