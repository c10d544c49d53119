"""Several executions at once, call by call: every order in which their calls can fall, or a sample of the orders.

A world is the model of AWS and the actors that change it: executions, which run the real handlers, the dispatcher's
messages, people, and calls that ECS applies late. A move lets one actor make its next call to AWS, and may let more
happen to it: the function crashes right after it, the answer lost; a read shows the time before the last update; an
update is applied later, when nobody waits for it any more. A handler cannot be stopped halfway and copied, so it is run
anew for each move: the calls that it made already get the answers that they got.

Worlds that are the same but for the way to them are explored once. That makes it possible to go through all schedules.
"""

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Self

from ecs_deploy.aws import waits
from ecs_deploy.core.errors import AwsUnavailable
from ecs_deploy.handlers import dispatcher
from tests.support.aws_error import AnswerLost, AwsError
from tests.support.clock import Clock
from tests.support.ecs_model import WRITES, EcsModel
from tests.support.workflow import Context, End, Task, arn_of, first_task, following

MOST_WORLDS = 400_000
LATER = timedelta(seconds=120)
FUNCTION_TIMEOUT = timedelta(seconds=60)
# What never answers otherwise, whenever it is asked.
IMMUTABLE = frozenset({"DescribeTaskDefinition", "DescribeImages", "ListTasks", "ListServiceDeployments"})


class Paused(BaseException):
    """The handler wants to make another call; its turn is over."""

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action


class Crashed(BaseException):
    """The function died after a call; nobody but the workflow hears of it."""


class Fate(Enum):
    """What happens with the call of a move."""

    ANSWERED = "answered"
    CRASH = "crash, tried again at once"
    CRASH_LATER = "crash, tried again later"
    STALE = "the read shows the time before"
    LATE = "no answer, applied later"
    DEATH = "the execution ends here"


@dataclass
class Budget:
    """How often something may still go wrong in a world."""

    crashes: int = 0
    stale_reads: int = 0
    late_calls: int = 0
    deaths: int = 0


@dataclass
class Execution:
    """An execution: its task, and what AWS has answered to the calls that the task has made."""

    name: str
    request: dict[str, Any]
    budget: Budget = field(default_factory=Budget)
    first: Task | None = None
    task: Task | None = None
    invocations: int = 0
    attempt: int = 0
    heard: list[Any] = field(default_factory=list)
    wants: str = ""
    wakes_at: datetime | None = None
    entered_at: str = ""
    invoked_at: datetime | None = None
    end: End | None = None

    @property
    def is_over(self) -> bool:
        return self.end is not None

    @property
    def is_queued(self) -> bool:
        """Whether it waits until it asks for its turn again."""
        return bool(self.wakes_at and self.task and "turn" in (self.task.event.get("resumed") or {}))

    def fates(self, model: EcsModel) -> list[Fate]:
        fates = [Fate.ANSWERED]
        # A crash after a read is one after the write before it, or after the first call of the step: nothing but time
        # has passed, and that passes with the moves of the others.
        if self.budget.crashes and (self.wants == "" or self.wants in {*WRITES, "RunTask", "TransactWriteItems"}):
            fates += [Fate.CRASH, Fate.CRASH_LATER]
        if self.budget.stale_reads and self.wants == "DescribeServices" and model.stale_view():
            fates.append(Fate.STALE)
        if self.budget.late_calls and self.wants == "UpdateService":
            fates.append(Fate.LATE)
        # Before it is in the history, its push counts as missed.
        if self.budget.deaths and self.task and (self.wants in WRITES or self.task.name != "register_task_definition"):
            fates.append(Fate.DEATH)
        return fates

    def move(self, world: "World", fate: Fate) -> None:
        """Make the next call, and go on to where another one would be made."""
        clock = world.clock
        task = self._task(clock)
        if self.heard and self.invoked_at and clock.now() > self.invoked_at + FUNCTION_TIMEOUT:
            self._try_again(clock, timedelta())
            return
        if not self.heard:
            self._invoke(clock)
        token = _script.set(_Script(world, self.heard, fate))
        try:
            event = {**task.event, "attempt": self.attempt, "enteredAt": self.entered_at}
            answer = task.module.handler(event, Context(aws_request_id=f"{self.name} {self.invocations}"))
        except Paused as paused:
            self.wants = paused.action
            if fate is Fate.STALE:
                self.budget.stale_reads -= 1
            if fate is Fate.LATE:
                self.budget.late_calls -= 1
        except Crashed:
            if fate is Fate.DEATH:
                self.budget.deaths -= 1
                self._over(world, End(error="States.Runtime", cause={}), "FAILED")
                return
            self.budget.crashes -= 1
            self._try_again(clock, LATER if fate is Fate.CRASH_LATER else timedelta())
        except AwsUnavailable:
            self._try_again(clock, timedelta(seconds=min(2**self.attempt, 60)))
        else:
            self._take(json.loads(json.dumps(answer)), world)
        finally:
            _script.reset(token)

    def _task(self, clock: Clock) -> Task:
        """The task to go on with, once its time has come."""
        if self.wakes_at:
            clock.time = max(clock.time, self.wakes_at)
            self.wakes_at = None
        if self.task is None:
            self.first = self.task = first_task(self.name, self.request, clock.now())
        return self.task

    def _invoke(self, clock: Clock) -> None:
        self.invocations += 1
        self.invoked_at = clock.now()
        if not self.attempt:
            self.entered_at = clock.now().isoformat()

    def _try_again(self, clock: Clock, after: timedelta) -> None:
        self.attempt += 1
        assert self.attempt < 100, "the step is tried without end"
        self.heard, self.wants = [], ""
        self.wakes_at = clock.now() + after if after else None

    def _take(self, answer: dict[str, Any], world: "World") -> None:
        assert self.first is not None
        self.heard, self.wants, self.attempt = [], "", 0
        task = following(self.first, answer)
        if isinstance(task, End):
            self._over(world, task, "FAILED" if task.error else "SUCCEEDED")
            return
        self.task = task
        self.wakes_at = world.clock.now() + timedelta(seconds=task.wait) if task.wait else None

    def _over(self, world: "World", end: End, status: str) -> None:
        self.end = end
        world.model.statuses[arn_of(self.name)] = status
        outcome = (end.output or {}).get("outcome")
        if status == "FAILED" or outcome == "SUPERSEDED":
            detail = {"executionArn": arn_of(self.name), "status": status, "input": json.dumps(self.request)}
            detail["output"] = json.dumps(end.output)
            world.actors.append(Message({"source": "aws.states", "detail": detail}))


@dataclass
class Message:
    """A message of the dispatcher's queue, which is handled at any moment; what it starts joins the actors."""

    body: dict[str, Any]
    is_over: bool = False

    def fates(self, _model: EcsModel) -> list[Fate]:
        return [Fate.ANSWERED]

    def move(self, world: "World", _fate: Fate) -> None:
        before = set(world.model.executions)
        token = _script.set(_Script(world, [], None))
        try:
            record = {"messageId": "1", "body": json.dumps(self.body), "attributes": {"ApproximateReceiveCount": "1"}}
            handler: Any = dispatcher.handler
            answer = handler({"Records": [record]}, Context())
        finally:
            _script.reset(token)
        assert answer == {"batchItemFailures": []}
        assert world.model.sent == [], "the dispatcher broke"
        self.is_over = True
        for arn in sorted(set(world.model.executions) - before):
            world.model.statuses[arn] = "RUNNING"
            name = arn.rpartition(":")[2]
            world.actors.append(Execution(name, json.loads(world.model.executions[arn])))


@dataclass
class Person:
    """Somebody who points the service to a revision, at any moment."""

    revision: str
    is_over: bool = False

    def fates(self, _model: EcsModel) -> list[Fate]:
        return [Fate.ANSWERED]

    def move(self, world: "World", _fate: Fate) -> None:
        (service,) = world.model.services.values()
        world.model.start_deployment(service, self.revision)
        self.is_over = True


@dataclass
class LateCall:
    """An UpdateService that ECS applies, or refuses, at any moment, though nobody waits for it."""

    body: dict[str, Any]
    is_over: bool = False

    def fates(self, _model: EcsModel) -> list[Fate]:
        return [Fate.ANSWERED]

    def move(self, world: "World", _fate: Fate) -> None:
        with suppress(AwsError):
            world.model.call("UpdateService", self.body)
        self.is_over = True


Actor = Execution | Message | Person | LateCall
Move = tuple[int, Fate]
"""Which actor makes the next call, and what happens with it."""


@dataclass
class World:
    """The model, its clock, and the actors."""

    model: EcsModel
    actors: list[Actor] = field(default_factory=list)

    @property
    def executions(self) -> list[Execution]:
        return [each for each in self.actors if isinstance(each, Execution)]

    @property
    def clock(self) -> Clock:
        assert isinstance(self.model.clock, Clock)
        return self.model.clock

    def moves(self) -> list[Move]:
        """What can happen next; nothing when every actor has come to its end.

        Whoever asks for a turn again does so when the others sleep, or it would ask without end.
        """
        alive = [(number, each) for number, each in enumerate(self.actors) if not each.is_over]
        moving = [pair for pair in alive if not (isinstance(pair[1], Execution) and pair[1].is_queued)] or alive
        if all(isinstance(each, Execution) and each.wakes_at for _, each in moving):
            moving = alive
        first = min((_wakes_at(each) for _, each in alive), default=datetime.max.replace(tzinfo=UTC))
        return [
            (number, fate)
            for number, each in moving
            if not (isinstance(each, Execution) and each.is_queued) or _wakes_at(each) <= first
            for fate in each.fates(self.model)
        ]

    def make(self, move: Move) -> None:
        """Make a move."""
        number, fate = move
        self.actors[number].move(self, fate)

    def frozen(self) -> bytes:
        """The world as it is now, to be thawed as often as it takes."""
        return pickle.dumps(self)

    @classmethod
    def thawed(cls, frozen: bytes) -> Self:
        world: Self = pickle.loads(frozen)  # noqa: S301 - made above
        return world

    def key(self) -> str:
        """Equal for worlds whose futures are equal."""
        model = self.model
        revisions = [
            (each.document["containerDefinitions"], each.document["registeredAt"], each.document["status"], each.tags)
            for family in model.families.values()
            for each in family
        ]
        return repr(
            (
                self.clock.time,
                revisions,
                model.services,
                model.table.items,
                model.single.all,
                model.executions,
                self.actors,
            )
        )


def _wakes_at(actor: Actor) -> datetime:
    wakes_at = actor.wakes_at if isinstance(actor, Execution) else None
    return wakes_at or datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Explored:
    """How much was gone through: distinct worlds, and the schedules that lead through them to an end."""

    worlds: int
    schedules: int


def explore(world: World, check: Callable[[World], None], switches: int | None = None) -> Explored:
    """Go through every schedule; `check` gets each world in which all is over, and raises on a violation.

    With `switches`, only through those in which so many times, at most, one actor is kept waiting in the middle of a
    step while others go on: most faults need few of them (https://www.microsoft.com/research/project/chess/).
    """
    seen: dict[tuple[str, int, int | None], int] = {}

    def schedules(world: World, before: list[Move], last: int, left: int | None) -> int:
        moves = [(move, _left(world, last, move, left)) for move in world.moves()]
        if not moves:
            with _telling(before):
                check(world)
            return 1
        key = (world.key(), last if left is not None else 0, left)
        if key not in seen:
            assert len(seen) < MOST_WORLDS, "too many worlds to go through"
            frozen, count = world.frozen(), 0
            for move, still_left in moves:
                if still_left is not None and still_left < 0:
                    continue
                path, next_world = [*before, move], World.thawed(frozen)
                with _telling(path):
                    next_world.make(move)
                count += schedules(next_world, path, move[0], still_left)
            seen[key] = count
        return seen[key]

    count = schedules(world, [], 0, switches)
    return Explored(len(seen), count)


def _left(world: World, last: int, move: Move, left: int | None) -> int | None:
    """How many switches are left after a move."""
    if left is None or move[0] == last:
        return left
    actor = world.actors[last]
    return left - 1 if isinstance(actor, Execution) and actor.heard and not actor.is_over else left


def walk(world: World, choices: Iterator[int]) -> None:
    """Make the moves of one schedule to its end: each number chooses one of those that are possible."""
    before: list[Move] = []
    while moves := world.moves():
        assert len(before) < 5_000, "the executions do not end"
        before.append(moves[next(choices, len(before)) % len(moves)])
        with _telling(before):
            world.make(before[-1])


class _telling:  # noqa: N801 - reads as a statement
    """Adds the schedule to what is raised."""

    def __init__(self, moves: list[Move]) -> None:
        self.moves = moves

    def __enter__(self) -> None:
        """Nothing to do before."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and not getattr(error, "__notes__", None):
            error.add_note(f"schedule: {[(number, fate.name) for number, fate in self.moves]}")


class _Script:
    """What the handler hears: the old answers, then one new one; all of them where there is no fate."""

    def __init__(self, world: World, heard: list[Any], fate: Fate | None) -> None:
        self.world, self.heard, self.fate = world, heard, fate
        self.next = 0
        self.called = False

    def call(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._replayed(lambda: self._call(action, body))
        if isinstance(answer, AwsError | AnswerLost):
            raise answer
        assert isinstance(answer, dict)
        return answer

    def now(self) -> datetime:
        now = self._replayed(self.world.clock.now)
        assert isinstance(now, datetime)
        return now

    def _replayed(self, ask: Callable[[], Any]) -> Any:
        if self.next == len(self.heard):
            self.heard.append(ask())
        self.next += 1
        return self.heard[self.next - 1]

    def _call(self, action: str, body: dict[str, Any]) -> Any:
        # What never changes may be read at any time.
        if self.fate is None or action in IMMUTABLE or _is_of_waits(action, body):
            return self._answer(action, body)
        if self.called:
            raise Paused(action)
        self.called = True
        if self.fate is Fate.LATE:
            self.world.actors.append(LateCall(body))
            return AnswerLost()
        if self.fate is Fate.STALE:
            return {"services": [self.world.model.stale_view()], "failures": []}
        answer = self._answer(action, body)
        if self.fate in {Fate.CRASH, Fate.CRASH_LATER, Fate.DEATH}:
            raise Crashed
        return answer

    def _answer(self, action: str, body: dict[str, Any]) -> Any:
        if _is_of_waits(action, body):
            return {}
        try:
            return self.world.model.call(action, body)
        except AwsError as error:
            return error


def _is_of_waits(action: str, body: dict[str, Any]) -> bool:
    """Whether a call is about waits, which say when to go on, and nothing else: any moment is gone through here."""
    return action == "UpdateItem" or (action == "GetItem" and body["Key"]["sk"]["S"] == waits.PLACE)


# That of the actor whose move it is.
_script: ContextVar[_Script] = ContextVar("script")


def call(action: str, body: dict[str, Any]) -> dict[str, Any]:
    """Call AWS in the execution whose move it is."""
    return _script.get().call(action, body)


def now() -> datetime:
    """The time in the execution whose move it is."""
    return _script.get().now()
