"""An AWS that nobody can rely on: it answers late, refuses, and loses requests and answers on the way.

What happens to a call is drawn from the seed, from what is called about what, and from how often that was called
before: not from the order in which calls of different executions arrive, which on the emulator no seed decides. There
it stands between the functions and ECS, as a proxy.
"""

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any

from tests.support.endpoint import Answer, Call, answering

# Beside the body's own length, what concerns one connection only.
_HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding"}
# By what a call is about, the first of them that it names.
_SUBJECTS = (
    "family",
    "taskDefinition",
    "resourceArn",
    "service",
    "services",
    "serviceName",
    "familyPrefix",
    "tasks",
    "repositoryName",
    "name",
    "executionArn",
)


class Fate(Enum):
    """What happens to a call."""

    ANSWERED = auto()
    THROTTLED = auto()
    FAILED = auto()
    FAILED_THOUGH_DONE = auto()
    REQUEST_LOST = auto()
    ANSWER_LOST = auto()


UNDONE = {Fate.THROTTLED, Fate.FAILED, Fate.REQUEST_LOST}
LOST = {Fate.REQUEST_LOST, Fate.ANSWER_LOST}
ERRORS: dict[Fate, tuple[int, dict[str, str]]] = {
    Fate.THROTTLED: (400, {"__type": "ThrottlingException", "message": "Rate exceeded"}),
    Fate.FAILED: (500, {"__type": "ServerException", "message": "Service Unavailable"}),
    Fate.FAILED_THOUGH_DONE: (500, {"__type": "ServerException", "message": "Service Unavailable"}),
}


class Chaos:
    """Draws the fate of each call; `faults` is the share of the calls that have another than to be answered."""

    def __init__(self, seed: int, faults: float, longest_delay: float) -> None:
        self.upstream = ""
        self.seen = Counter[tuple[str, Fate]]()
        self._seed = seed
        self._faults = faults
        self._longest_delay = longest_delay
        self._asked = Counter[str]()
        self._lock = threading.Lock()

    def draw(self, action: str, body: Mapping[str, Any]) -> tuple[Fate, float]:
        """The fate of a call and the seconds by which it is late."""
        subject = next((body[key] for key in _SUBJECTS if key in body), "")
        # The account in an ARN is another one on each emulator.
        what = f"{action} {str(subject).rpartition('/')[2]}"
        with self._lock:
            self._asked[what] += 1
            draw = random.Random(f"{self._seed} {what} {self._asked[what]}")
            faults = [fate for fate in Fate if fate != Fate.ANSWERED]
            fate = draw.choice(faults) if draw.random() < self._faults else Fate.ANSWERED
            self.seen[action, fate] += 1
        return fate, draw.uniform(0, self._longest_delay)


@contextmanager
def proxy(chaos: Chaos) -> Iterator[str]:
    """Serve what `chaos` makes of its upstream; yields the endpoint's URL."""

    def answer(call: Call) -> Answer | None:
        fate, delay = chaos.draw(call.action, json.loads(call.body))
        time.sleep(delay)
        answered = None if fate in UNDONE else forward(call, chaos.upstream)
        if fate in ERRORS:
            status, error = ERRORS[fate]
            return status, json.dumps(error).encode()
        return None if fate in LOST else answered

    with answering(answer) as url:
        yield url


def forward(call: Call, upstream: str) -> Answer:
    """Pass a call on to where it was meant to go."""
    connection = http.client.HTTPConnection(upstream.partition("://")[2], timeout=60)
    try:
        headers = {name: value for name, value in call.headers.items() if name.lower() not in _HOP_BY_HOP}
        connection.request("POST", "/", call.body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
