"""Several executions at once, call by call, in an order that the test chooses.

Each execution runs the real handlers in a thread of its own, and stops before each call to AWS until the schedule lets
it go on. A schedule is a list of numbers: each picks one of those that could go next, and says whether the function
crashes right after the call, its answer lost. Time is virtual; an execution that waits can go next too, and then it is
as late as it wanted to be.
"""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from botocore.exceptions import ClientError

from ecs_deploy import poll_stability, register_task_definition, update_service
from ecs_deploy.errors import AwsUnavailable
from tests.support.clock import Clock
from tests.support.ecs_model import ACCOUNT, REGION, AwsError, EcsModel
from tests.support.execution import Context, End

MOST_TURNS = 5_000
MOST_CRASHES = 2
_TIMES = {"createdAt", "startedAt", "stoppedAt"}


class Crash(BaseException):
    """The function died after a call; nobody but the workflow hears of it."""


@dataclass
class Turn:
    """What the schedule lets an execution do next."""

    crash_after: bool = False


@dataclass
class Execution:
    """An execution in a thread, which asks before each call."""

    name: str
    request: dict[str, Any]
    arrives_at: datetime
    thread: threading.Thread | None = None
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    asked: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    turn: Turn = field(default_factory=Turn)
    wakes_at: datetime | None = None
    crashes: int = 0
    end: End | None = None
    broke: BaseException | None = None

    @property
    def is_over(self) -> bool:
        return self.end is not None or self.broke is not None


class World:
    """The executions, the model of ECS they share, and the clock."""

    def __init__(self, model: EcsModel, clock: Clock) -> None:
        self.model = model
        self.clock = clock
        self.local = threading.local()
        self.executions: list[Execution] = []

    def add(self, name: str, request: dict[str, Any], *, after: float = 0) -> Execution:
        execution = Execution(name, request, self.clock.now() + timedelta(seconds=after))
        execution.wakes_at = execution.arrives_at
        self.executions.append(execution)
        return execution

    def run(self, choices: Iterator[int]) -> None:
        """Let the executions run to their ends in the order that `choices` gives; raises what broke in one."""
        for execution in self.executions:
            execution.thread = threading.Thread(target=self._live, args=(execution,), daemon=True)
            execution.thread.start()
            execution.asked.acquire()
        for _ in range(MOST_TURNS):
            alive = [each for each in self.executions if not each.is_over]
            if not alive:
                return
            choice = next(choices, 0)
            execution = alive[choice % len(alive)]
            crash = choice // len(alive) % 4 == 3 and execution.crashes < MOST_CRASHES
            self._let_go(execution, Turn(crash_after=crash))
            if execution.broke:
                raise execution.broke
        raise AssertionError("the executions do not end")

    def _let_go(self, execution: Execution, turn: Turn) -> None:
        if execution.wakes_at and execution.wakes_at > self.clock.now():
            self.clock.time = execution.wakes_at
        execution.wakes_at = None
        execution.turn = turn
        execution.go.release()
        execution.asked.acquire()

    def _live(self, execution: Execution) -> None:
        self.local.execution = execution
        try:
            self._stop(execution)
            execution.end = self._execute(execution)
        except BaseException as error:  # noqa: BLE001 - it is raised where the test runs
            execution.broke = error
        finally:
            execution.asked.release()

    def _stop(self, execution: Execution) -> None:
        """Wait for the next turn."""
        execution.asked.release()
        execution.go.acquire()

    def call(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        """Call the model when it is this execution's turn, and crash after it if the schedule says so."""
        execution: Execution = self.local.execution
        self._stop(execution)
        answer = self.model.call(action, body)
        if execution.turn.crash_after:
            execution.crashes += 1
            raise Crash
        return answer

    def _execute(self, execution: Execution) -> End:
        identity = {
            "id": f"arn:aws:states:{REGION}:{ACCOUNT}:execution:EcsDeploy:{execution.name}",
            "name": execution.name,
            "startedAt": execution.arrives_at.isoformat().replace("+00:00", "Z"),
        }
        answer = self._step(register_task_definition, {"request": execution.request, "execution": identity})
        while True:
            match answer["next"]:
                case "update":
                    answer = self._step(update_service, {"progress": answer["progress"]})
                case "wait":
                    execution.wakes_at = self.clock.now() + timedelta(seconds=answer["wait"])
                    self._stop(execution)
                    answer = self._step(poll_stability, {"progress": answer["progress"]})
                case "succeed":
                    return End(output=answer["outcome"])
                case _:
                    return End(error=answer["failure"]["error"], cause=answer["failure"]["cause"])

    def _step(self, module: Any, event: dict[str, Any]) -> dict[str, Any]:
        for attempt in range(2 * MOST_CRASHES + 1):
            try:
                answer: dict[str, Any] = module.handler({**event, "attempt": attempt}, Context())
            except (Crash, AwsUnavailable):
                continue
            return answer
        raise AssertionError("the step was tried in vain")


class Client:
    """The SDK's client as `ecs_deploy.ecs` uses it, with the model behind it and no network between."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._local = threading.local()

    @property
    def meta(self) -> Self:
        return self

    @property
    def events(self) -> Self:
        return self

    def register(self, _event: str, handler: Callable[..., None]) -> None:
        self._local.put_raw = handler

    def unregister(self, _event: str, _handler: Callable[..., None]) -> None:
        del self._local.put_raw

    def register_task_definition(self, **_: Any) -> dict[str, Any]:
        params: dict[str, Any] = {}
        self._local.put_raw(params)
        return {"Raw": self._call("RegisterTaskDefinition", json_of(params["body"]))}

    def get_paginator(self, operation: str) -> Self:
        self._local.operation = operation
        return self

    def paginate(self, **body: Any) -> list[dict[str, Any]]:
        page: dict[str, Any] = getattr(self, self._local.operation)(**body)
        return [page]

    def describe_task_definition(self, **body: Any) -> dict[str, Any]:
        return {"Raw": self._call("DescribeTaskDefinition", body)}

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        action = "".join(word.capitalize() for word in operation.split("_"))
        return lambda **body: with_times(self._call(action, body))

    def _call(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._world.call(action, body)
        except AwsError as error:
            document = {
                "Error": {"Code": error.code, "Message": error.message},
                "ResponseMetadata": {"HTTPStatusCode": error.status},
            }
            raise ClientError(document, action) from error  # type: ignore[arg-type]


def json_of(body: bytes) -> dict[str, Any]:
    """The JSON document in a request's body."""
    document: dict[str, Any] = json.loads(body)
    return document


def with_times(value: Any) -> Any:
    """The same document with its times as the SDK gives them."""
    if isinstance(value, dict):
        return {
            key: datetime.fromtimestamp(each, UTC) if key in _TIMES else with_times(each) for key, each in value.items()
        }
    return [with_times(each) for each in value] if isinstance(value, list) else value
