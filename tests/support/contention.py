"""Many executions at once on virtual time, under AWS's quotas: from the events of pushes to the last end.

Each execution and each invocation of the dispatcher runs the real handlers in a thread of its own, one thread at a
time: whoever waits, for a call to AWS, a function to start, a Wait state or the next try, sleeps on the agenda, and
time moves to the one that wakes first. Calls of different executions so fall between one another as their times say.
Nothing here takes longer on a slow machine.

A call that finds its bucket empty is throttled, the step ends with it, and the next try comes when the workflow's own
Retry says so, with its jitter. What the dispatcher starts begins at once, and every end comes back to its queue.
"""

import heapq
import itertools
import json
import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any
from unittest.mock import patch

from botocore.exceptions import ConnectionClosedError

from ecs_deploy.aws import dynamodb, ecr, ecs, stepfunctions, tagging
from ecs_deploy.aws.client import READ_TIMEOUT
from ecs_deploy.handlers import dispatcher, runtime
from ecs_deploy.handlers.targets import served
from infra import targets
from infra.workflow import FUNCTION_TIMEOUT, STEPS, definition
from tests.support.aws_error import AnswerLost, AwsError
from tests.support.chaos import ERRORS, UNDONE, Chaos, Fate
from tests.support.client import Client
from tests.support.clock import Clock
from tests.support.dynamodb_model import TABLE
from tests.support.ecs_model import ACCOUNT, MACHINE, REGION, EcsModel
from tests.support.quotas import Quotas
from tests.support.workflow import Context, End, arn_of, execute

CALL_SECONDS = 0.05
# Of a function that is warm: those that start cold would come spread, which is kinder to AWS.
START_SECONDS = 0.05
DISPATCHER = "Dispatcher"

# As infra/dispatch.py has them.
BATCH, MOST_INVOCATIONS = 10, 10
VISIBILITY_SECONDS = 6 * FUNCTION_TIMEOUT

STATES = {f"ecs_deploy.handlers.{each.module}": each.state for each in STEPS}
RETRIES: dict[str, list[dict[str, Any]]] = {
    name: state["Retry"] for name, state in definition()["States"].items() if "Retry" in state
}
# The choice that reads an answer is a state as well; so are those that notify, and the last one.
_STATES_AFTER = {"announce": 2, "succeed": 3, "fail": 3}


_QUEUE = "queue"


class TimedOut(BaseException):
    """Lambda has stopped the function; no handler hears of it."""


@dataclass
class Execution:
    """An execution that was started; `tries` are the most that each state needed."""

    name: str
    request: dict[str, Any]
    started_at: datetime
    ended_at: datetime | None = None
    tries: dict[str, int] = field(default_factory=dict)
    end: End | None = None
    broke: BaseException | None = None


@dataclass
class Message:
    """A message of the dispatcher's queue, and how often it was received."""

    id: str
    body: str
    received: int = 0

    def as_record(self) -> dict[str, Any]:
        """As Lambda hands it over: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html."""
        attributes = {"ApproximateReceiveCount": str(self.received)}
        return {"messageId": self.id, "body": self.body, "attributes": attributes}


@dataclass(frozen=True)
class Call:
    """A call to AWS, as a state or the dispatcher made it."""

    at: datetime
    state: str
    action: str
    throttled: bool


@dataclass(kw_only=True)
class Invocation(Context):
    """A function that runs on the clock of all, and not longer than it may."""

    clock: Clock
    ends_at: datetime

    def get_remaining_time_in_millis(self) -> int:
        return int((self.ends_at - self.clock.now()).total_seconds() * 1000)


class Contention:
    """The executions, the dispatcher and its queue, the model of AWS that they share, and its quotas.

    `targets_of` are the targets, as in cdk.json; services may opt in if it `discovers`. `seed` decides what is random:
    the jitter of the retries. `chaos` decides which calls fail for other reasons than quotas; without it none does.
    """

    def __init__(
        self,
        model: EcsModel,
        clock: Clock,
        targets_of: Sequence[dict[str, Any]],
        seed: int,
        chaos: Chaos | None = None,
        *,
        discovers: bool = False,
    ) -> None:
        self.model = model
        self.clock = clock
        self.executions: list[Execution] = []
        self.calls: list[Call] = []
        self.transitions: list[datetime] = []
        self.most_at_once = 0
        self.dead_letters: list[str] = []
        self._targets = targets.as_json(targets.parse(list(targets_of), may_be_empty=discovers))
        self._discovers = discovers
        self._random = random.Random(seed)
        self._chaos = chaos or Chaos(seed, faults=0, longest_delay=0)
        self._quotas = Quotas(clock.now())
        self._agenda: list[tuple[datetime, int, threading.Semaphore]] = []
        self._numbers = itertools.count()
        self._turn = threading.Semaphore(0)
        self._local = threading.local()
        self._at_once = 0
        self._visible: list[Message] = []
        self._receivers = 0

    def deliver(self, event: Mapping[str, Any], after: float = 0) -> None:
        """Let an event reach the dispatcher's queue some seconds from now."""
        message = Message(str(next(self._numbers)), json.dumps(event))
        self._begin(lambda: self._receive(message), after)

    def run(self) -> None:
        """Let all that was delivered, and all that it starts, come to its end."""
        client = Client(self._call)
        with ExitStack() as stack:
            for service in (dynamodb, ecr, ecs, stepfunctions, tagging):
                stack.enter_context(patch.object(service, "connect", lambda: client))
            stack.enter_context(patch("boto3.client", lambda *_, **__: client))
            stack.enter_context(patch.object(runtime, "now", self.clock.now))
            root = stack.enter_context(TemporaryDirectory())
            Path(root, "targets.json").write_text(self._targets)
            settings = {"TABLE": TABLE, "MACHINE": MACHINE, "DEAD_LETTERS": "dead-letters", "LAMBDA_TASK_ROOT": root}
            settings |= {"QUEUE": _QUEUE, **({"DISCOVERY": "true"} if self._discovers else {})}
            stack.enter_context(patch.dict(os.environ, settings))
            served.cache_clear()
            while self._agenda:
                self.clock.time, _, alarm = heapq.heappop(self._agenda)
                alarm.release()
                self._turn.acquire()
            served.cache_clear()
        self.dead_letters += [each["MessageBody"] for each in self.model.sent]

    def advance(self, seconds: float) -> None:
        """Let time pass for the execution that asks; the workflow waits so."""
        if seconds:
            self.transitions.append(self.clock.now())
            self._sleep(seconds)

    def now(self) -> datetime:
        return self.clock.now()

    def _begin(self, what: Callable[[], None], after: float = 0) -> None:
        """Let a thread of its own do something some seconds from now."""
        alarm = self._alarm(after)

        def live() -> None:
            alarm.acquire()
            try:
                what()
            finally:
                self._turn.release()

        threading.Thread(target=live, daemon=True).start()

    def _alarm(self, seconds: float) -> threading.Semaphore:
        alarm = threading.Semaphore(0)
        heapq.heappush(self._agenda, (self.clock.now() + timedelta(seconds=seconds), next(self._numbers), alarm))
        return alarm

    def _sleep(self, seconds: float) -> None:
        alarm = self._alarm(seconds)
        self._turn.release()
        alarm.acquire()

    def _receive(self, message: Message) -> None:
        """A message is there: somebody who is free takes it, with what else is there."""
        self._visible.append(message)
        if self._receivers == MOST_INVOCATIONS:
            return
        self._receivers += 1
        while self._visible:
            batch, self._visible = self._visible[:BATCH], self._visible[BATCH:]
            self._dispatch(batch)
        self._receivers -= 1

    def _dispatch(self, batch: Sequence[Message]) -> None:
        """Let the dispatcher handle messages; those that it could not handle come again, for so long."""
        received_at = self.clock.now()
        for message in batch:
            message.received += 1
        try:
            answer = self._invoke(dispatcher, {"Records": [each.as_record() for each in batch]}, DISPATCHER)
            again = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
        except TimedOut:
            again = {each.id for each in batch}
        hidden = received_at + timedelta(seconds=VISIBILITY_SECONDS) - self.clock.now()
        for message in batch:
            if message.id in again and message.received == dispatcher.MOST_RECEIVES:
                self.dead_letters.append(message.body)
            elif message.id in again:
                self._begin(lambda message=message: self._receive(message), hidden.total_seconds())  # type: ignore[misc]

    def _start(self, body: Mapping[str, Any]) -> None:
        execution = Execution(body["name"], json.loads(body["input"]), self.clock.now())
        self.model.statuses[arn_of(execution.name)] = "RUNNING"
        self.executions.append(execution)
        self._begin(lambda: self._live(execution))

    def _live(self, execution: Execution) -> None:
        self._local.execution = execution
        try:
            execution.end = execute(execution.request, self, execution.name, self._step)
        except BaseException as error:  # noqa: BLE001 - whoever looks at the execution sees it
            execution.broke = error
        output = execution.end.output if execution.end else None
        status = "SUCCEEDED" if output else "FAILED"
        execution.ended_at = self.clock.now()
        self.model.statuses[arn_of(execution.name)] = status
        self.deliver(_ended(execution, status, output))

    def _step(self, module: ModuleType, event: dict[str, Any], _clock: object) -> dict[str, Any]:
        """Run a step as its state does, with the state's Retry."""
        execution: Execution = self._local.execution
        state = STATES[module.__name__]
        delays = self._delays(RETRIES[state])
        entered_at = self.clock.now().isoformat()
        for attempt in itertools.count():
            execution.tries[state] = max(execution.tries.get(state, 0), attempt + 1)
            self.transitions.append(self.clock.now())
            try:
                answer = self._invoke(module, {**event, "attempt": attempt, "enteredAt": entered_at}, state)
            except (Exception, TimedOut) as error:
                name = "Sandbox.Timedout" if isinstance(error, TimedOut) else type(error).__name__
                delay = delays.get(name)
                seconds = next(delay, None) if delay else None
                if seconds is None:
                    raise
                self._sleep(seconds)
            else:
                self.transitions += [self.clock.now()] * _STATES_AFTER.get(answer["next"], 1)
                return answer
        raise AssertionError("a count has no end")

    def _invoke(self, module: ModuleType, event: Mapping[str, Any], state: str) -> dict[str, Any]:
        self._local.state = state
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self._sleep(START_SECONDS)
            ends_at = self._local.ends_at = self.clock.now() + timedelta(seconds=FUNCTION_TIMEOUT)
            context = Invocation(aws_request_id=str(next(self._numbers)), clock=self.clock, ends_at=ends_at)
            answer: dict[str, Any] = module.handler(event, context)
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
        self._wait(CALL_SECONDS + delay)
        answer = {} if fate in UNDONE else self._admitted(action, body)
        if fate is Fate.REQUEST_LOST:
            raise ConnectionClosedError(endpoint_url="AWS")
        if fate is Fate.ANSWER_LOST:
            self._wait(READ_TIMEOUT)
            raise AnswerLost
        if fate in ERRORS:
            status, error = ERRORS[fate]
            raise AwsError(error["__type"], error["message"], status)
        return answer

    def _wait(self, seconds: float) -> None:
        """Wait for AWS, until the function has no time left."""
        left = (self._local.ends_at - self.clock.now()).total_seconds()
        self._sleep(min(seconds, left))
        if seconds > left:
            raise TimedOut

    def _admitted(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        now, throttled = self.clock.now(), True
        try:
            self._quotas.admit(action, now)
            throttled = False
            answer = self.model.call(action, body)
        finally:
            self.calls.append(Call(now, self._local.state, action, throttled))
        if action == "StartExecution":
            self._start(body)
        if action == "SendMessage" and body["QueueUrl"] == _QUEUE:
            self.model.sent.remove(body)
            self.deliver(json.loads(body["MessageBody"]), body.get("DelaySeconds", 0))
        return answer


def push_event(event: str, repository: str, tag: str, digest: str, at: datetime) -> dict[str, Any]:
    """The event of a push, in whole seconds: https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html."""
    return {
        "version": "0",
        "id": event,
        "detail-type": "ECR Image Action",
        "source": "aws.ecr",
        "account": ACCOUNT,
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [],
        "detail": {
            "result": "SUCCESS",
            "repository-name": repository,
            "image-digest": digest,
            "action-type": "PUSH",
            "image-tag": tag,
        },
    }


def _ended(execution: Execution, status: str, output: dict[str, Any] | None) -> dict[str, Any]:
    """The event that an execution has ended: https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html."""
    return {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {
            "executionArn": arn_of(execution.name),
            "name": execution.name,
            "status": status,
            "input": json.dumps(execution.request),
            "output": json.dumps(output) if output else None,
        },
    }
