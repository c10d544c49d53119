"""Reading and changing the answers of the emulator's handlers: (HTTP status, headers, JSON body)."""

from __future__ import annotations

import json
from typing import Any

Answer = tuple[int, dict[str, str], bytes]

OK = 200


def read(answer: Answer) -> Any:
    """Give the document of an answer."""
    return json.loads(answer[2])


def document(value: object) -> Answer:
    """Answer with a document."""
    return OK, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(value).encode()


def error(code: str, message: str) -> Answer:
    """Answer with an error, as the AWS JSON protocols word it."""
    body = json.dumps({"__type": code, "message": message}).encode()
    return 400, {"Content-Type": "application/x-amz-json-1.1", "x-amzn-errortype": code}, body
