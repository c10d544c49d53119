"""Many executions at once on virtual time, under AWS's quotas.

Each execution runs the real handlers in a thread of its own, one thread at a time: whoever waits, for a call to AWS, a
function to start, a Wait state or the next try, sleeps on the agenda, and time moves to the one that wakes first. Calls
of different executions so fall between one another as their times say. Nothing here takes longer on a slow machine.

A call that finds its bucket empty is throttled, the step ends with it, and the next try comes when the workflow's own
Retry says so, with its jitter.
"""

import heapq
import itertools
import os
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

from botocore.exceptions import ConnectionClosedError

from ecs_deploy import ecs, executions, shell
from infra.workflow import STEPS, definition
from tests.support.chaos import ERRORS, LOST, UNDONE, Chaos
from tests.support.client import Client
from tests.support.clock import Clock
from tests.support.ecs_model import CLAIMS, AwsError, EcsModel
from tests.support.execution import Context, End, execute
from tests.support.quotas import Quotas

CALL_SECONDS = 0.05
# Of a function that is warm: those that start cold would come spread, which is kinder to AWS.
START_SECONDS = 0.05

STATES = {f"ecs_deploy.{step.module}": step.state for step in STEPS}
RETRIES: dict[str, list[dict[str, Any]]] = {
    name: state["Retry"] for name, state in definition()["States"].items() if "Retry" in state
}


@dataclass
class Execution:
    """An execution, from the moment that its event arrives; `tries` are the most that each state needed."""

    name: str
    request: dict[str, Any]
    arrives_at: datetime
    tries: dict[str, int] = field(default_factory=dict)
    state: str = ""
    end: End | None = None
    broke: BaseException | None = None


@dataclass(frozen=True)
class Asked:
    """A call to AWS, as a state made it."""

    at: datetime
    state: str
    action: str
    throttled: bool


class Throng:
    """The executions, the model of AWS that they share, and its quotas.

    `seed` decides what is random: the jitter of the retries. `chaos` decides which calls fail for other reasons than
    quotas; without it none does.
    """

    def __init__(self, model: EcsModel, clock: Clock, seed: int, chaos: Chaos | None = None) -> None:
        self.model = model
        self.clock = clock
        self.executions: list[Execution] = []
        self.asked: list[Asked] = []
        self.transitions: list[datetime] = []
        self.ends: list[datetime] = []
        self.most_at_once = 0
        self._at_once = 0
        self._random = random.Random(seed)
        self._chaos = chaos or Chaos(seed, faults=0, longest_delay=0)
        self._quotas = Quotas(clock.now())
        self._agenda: list[tuple[datetime, int, threading.Semaphore]] = []
        self._ties = itertools.count()
        self._turn = threading.Semaphore(0)
        self._local = threading.local()

    def add(self, name: str, request: dict[str, Any], after: float) -> None:
        """Let an execution start some seconds from now."""
        self.executions.append(Execution(name, request, self.clock.now() + timedelta(seconds=after)))

    def run(self) -> None:
        """Let all executions come to their ends."""
        client = Client(self._call)
        with ExitStack() as stack:
            stack.enter_context(patch.object(shell, "now", self.clock.now))
            stack.enter_context(patch.object(ecs, "connect", lambda: client))
            stack.enter_context(patch.object(ecs, "connect_ecr", lambda: client))
            stack.enter_context(patch.object(executions, "connect", lambda: client))
            stack.enter_context(patch.dict(os.environ, CLAIMS=CLAIMS))
            for execution in self.executions:
                alarm = self._alarm(execution.arrives_at)
                threading.Thread(target=self._live, args=(execution, alarm), daemon=True).start()
            while self._agenda:
                self.clock.time, _, alarm = heapq.heappop(self._agenda)
                alarm.release()
                self._turn.acquire()

    def advance(self, seconds: float) -> None:
        """Let time pass for the execution that asks; the workflow waits so."""
        self.transitions.append(self.clock.now())
        self._sleep(seconds)

    def now(self) -> datetime:
        return self.clock.now()

    def _alarm(self, at: datetime) -> threading.Semaphore:
        alarm = threading.Semaphore(0)
        heapq.heappush(self._agenda, (at, next(self._ties), alarm))
        return alarm

    def _sleep(self, seconds: float) -> None:
        alarm = self._alarm(self.clock.now() + timedelta(seconds=seconds))
        self._turn.release()
        alarm.acquire()

    def _live(self, execution: Execution, alarm: threading.Semaphore) -> None:
        self._local.execution = execution
        alarm.acquire()
        try:
            execution.end = execute(execution.request, self, execution.name, self._step)
        except BaseException as error:  # noqa: BLE001 - whoever looks at the execution sees it
            execution.broke = error
        finally:
            self.ends.append(self.clock.now())
            self._turn.release()

    def _step(self, module: Any, event: dict[str, Any], _clock: object) -> dict[str, Any]:
        """Run a step as its state does, with the state's Retry."""
        execution: Execution = self._local.execution
        execution.state = STATES[module.__name__]
        delays = self._delays(RETRIES[execution.state])
        entered_at = self.clock.now().isoformat()
        for attempt in itertools.count():
            execution.tries[execution.state] = max(execution.tries.get(execution.state, 0), attempt + 1)
            try:
                answer = self._invoke(module, {**event, "attempt": attempt, "enteredAt": entered_at})
            except Exception as error:
                delay = delays.get(type(error).__name__)
                seconds = next(delay, None) if delay else None
                if seconds is None:
                    raise
                self._sleep(seconds)
            else:
                # The choice that reads the answer is a state as well.
                self.transitions.append(self.clock.now())
                return answer
        raise AssertionError("a count has no end")

    def _invoke(self, module: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        self.transitions.append(self.clock.now())
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self._sleep(START_SECONDS)
            answer: dict[str, Any] = module.handler(event, Context())
        finally:
            self._at_once -= 1
        return answer

    def _delays(self, retriers: list[dict[str, Any]]) -> dict[str, Iterator[float]]:
        """The delays that are left for each error: an error counts against its retrier, in all tries of the state."""
        delays: dict[str, Iterator[float]] = {}
        for retrier in retriers:
            left = self._delays_of(retrier)
            delays |= {error: left for error in retrier["ErrorEquals"] if error not in delays}
        return delays

    def _delays_of(self, retrier: Mapping[str, Any]) -> Iterator[float]:
        """https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html."""
        for retry in range(retrier["MaxAttempts"]):
            longest = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** retry
            yield self._random.uniform(0, min(longest, retrier["MaxDelaySeconds"]))

    def _call(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        """Call the model, a moment later, if fate and the quotas let it through."""
        fate, delay = self._chaos.draw(action, body)
        self._sleep(CALL_SECONDS + delay)
        answer = {} if fate in UNDONE else self._admitted(action, body)
        if fate in LOST:
            raise ConnectionClosedError(endpoint_url="AWS")
        if fate in ERRORS:
            status, error = ERRORS[fate]
            raise AwsError(error["__type"], error["message"], status)
        return answer

    def _admitted(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        now, throttled = self.clock.now(), True
        try:
            self._quotas.admit(action, now)
            throttled = False
            return self.model.call(action, body)
        finally:
            self.asked.append(Asked(now, self._local.execution.state, action, throttled))
