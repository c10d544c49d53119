"""RunTask starts one task for a client token, however often it is called, and refuses another request with that token.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from local.emulator import answers

if TYPE_CHECKING:
    from local.emulator.answers import Answer
    from local.emulator.seams import Function, Seams

ECS = "ministack.services.ecs"

_requests: dict[str, tuple[dict[str, Any], Answer]] = {}
_one = threading.Lock()


def declare(seams: Seams) -> None:
    """Heed the token."""
    seams.replace(run_once, ECS, "_run_task", "data")


def run_once(original: Function) -> Function:
    """Answer with the task that a token has started."""

    def run(data: dict[str, Any]) -> Answer:
        token = data.get("clientToken")
        if not token:
            answer: Answer = original(data)
            return answer
        with _one:
            if token not in _requests:
                _requests[token] = data, original(data)
            before, answer = _requests[token]
        if before != data:
            return answers.error("ConflictException", "The clientToken was used with another request.")
        return answer

    return run
