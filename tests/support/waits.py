"""The waits of executions on virtual time, and the events of ECS that end them: late, twice, in any order, or never.

What the model tells goes to the real function that ends waits. A wait stores its token as the workflow's definition
says, so both are held to each other.
"""

import heapq
import itertools
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from unittest import mock

from ecs_deploy.core.errors import AwsUnavailable
from ecs_deploy.core.policy import Target
from ecs_deploy.handlers import end_waits, targets
from infra.workflow import definition
from tests.support.aws_error import AwsError
from tests.support.ecs_model import Document, EcsModel
from tests.support.workflow import Context, Task, Time

if TYPE_CHECKING:
    from collections.abc import Callable

ENDED_BY_EVENT = "by an event"
_STORE: Document = definition()["States"]["WaitForRollout"]["Arguments"]
_STEP = 1.0


@dataclass
class Delivery:
    """How events arrive: seconds that they take, and the shares that are lost and that come twice."""

    delay: tuple[float, float] = (0.5, 1.5)
    lost: float = 0
    doubled: float = 0


class Waits:
    """Waits for a task's time, or for an event; `log` has how each wait ended, and how long it took."""

    def __init__(self, model: EcsModel, clock: Time, delivery: Delivery | None = None, seed: int = 1) -> None:
        self.model, self.clock, self.delivery = model, clock, delivery or Delivery()
        self.invoke: Callable[[Document], object] = self._invoke
        self.dice = random.Random(seed)
        self.due: list[tuple[datetime, int, Document]] = []
        self.log: list[tuple[str, timedelta]] = []
        self._numbers = itertools.count()
        model.tell = self._take

    def __call__(self, task: Task, _clock: Time, execution: str) -> None:
        """Wait before a task, as the workflow does."""
        if not task.wait:
            return
        began, token = self.clock.now(), self.begin(task, execution)
        until = began + timedelta(seconds=task.wait)
        while not self.is_over(token) and self.clock.now() < until:
            self.advance(min(_STEP, (until - self.clock.now()).total_seconds()))
        self.log.append((ENDED_BY_EVENT if self.is_over(token) else "by time", self.clock.now() - began))
        self.model.waits.discard(token)

    def begin(self, task: Task, execution: str) -> str:
        """Store a token, which no wait has if a signal has come since; answers it."""
        token = f"token {next(self._numbers)}"
        try:
            self.model.call("UpdateItem", stored(task, execution, token))
        except AwsError as error:
            if error.code != "ConditionalCheckFailedException":
                raise
        else:
            self.model.waits.add(token)
        return token

    def is_over(self, token: str) -> bool:
        return token not in self.model.waits

    def advance(self, seconds: float) -> None:
        """Let time pass, and events arrive."""
        self.clock.advance(seconds)
        self.model._simulate()
        while self.due and self.due[0][0] <= self.clock.now():
            _, _, event = heapq.heappop(self.due)
            self._deliver(event)

    def _take(self, event: Document) -> None:
        copies = 2 if self.dice.random() < self.delivery.doubled else 1
        for _ in range(copies):
            if self.dice.random() >= self.delivery.lost:
                at = datetime.fromisoformat(event["time"]) + timedelta(seconds=self.dice.uniform(*self.delivery.delay))
                heapq.heappush(self.due, (at, next(self._numbers), event))

    def _deliver(self, event: Document) -> None:
        try:
            self.invoke(event)
        except AwsUnavailable:
            # Lambda tries it again a minute later.
            heapq.heappush(self.due, (self.clock.now() + timedelta(minutes=1), next(self._numbers), event))

    def _invoke(self, event: Document) -> None:
        served = tuple(Target(*key) for key in self.model.services)
        with mock.patch.object(targets, "served", return_value=served):
            end_waits.handler(event, Context())  # type: ignore[arg-type]


def stored(task: Task, execution: str, token: str) -> Document:
    """The request by which a wait stores its token, from the definition of the workflow."""
    values = {
        "{% $states.input.key %}": task.key,
        "{% $states.input.signals %}": task.signals,
        "{% $states.context.Execution.Id %}": execution,
        "{% $states.context.Task.Token %}": token,
    }

    def filled(value: object) -> object:
        if isinstance(value, dict):
            return {key: filled(each) for key, each in value.items()}
        assert isinstance(value, str)
        assert value in values or "{%" not in value, f"no value for {value}"
        return values.get(value, value)

    request = filled(_STORE)
    assert isinstance(request, dict)
    return request
