"""How a call to AWS fails: with an error, or without an answer."""

from collections.abc import Mapping
from typing import Any


class AwsError(Exception):
    """The code, the message, the HTTP status, and what else is in the answer."""

    def __init__(self, code: str, message: str, status: int = 400, more: Mapping[str, Any] | None = None) -> None:
        super().__init__(code, message, status, more)
        self.code = code
        self.message = message
        self.status = status
        self.more = dict(more or {})


class AnswerLost(Exception):
    """Nothing is heard of a call any more, whether AWS does what it says or not."""
