"""What `cdk.json` asks for, besides the targets. A value that cannot be meant is an error before anything is made."""

from __future__ import annotations

from enum import StrEnum


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
