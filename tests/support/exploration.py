"""Several executions at once, call by call: every order in which their calls can fall, or a sample of the orders.

A world is the model of ECS and the actors that change it: executions, which run the real handlers, and people. A move
lets one actor make its next call to AWS, and may let the function crash right after it, the answer lost; the workflow
then tries the step again, at once or a minute later. A handler cannot be stopped halfway and copied, so it is run anew
for each move: the calls that it made already get the answers that they got.

Worlds that are the same but for the way to them are explored once. That makes it possible to go through all schedules.
"""

import json
import pickle
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from types import ModuleType
from typing import Any, Self

from ecs_deploy import poll_stability, register_task_definition, update_service
from ecs_deploy.errors import AwsUnavailable
from tests.support.clock import Clock
from tests.support.ecs_model import ACCOUNT, REGION, WRITES, AwsError, EcsModel
from tests.support.execution import Context, End

MOST_WORLDS = 200_000
LATER = timedelta(seconds=60)
_STEPS: dict[str, ModuleType] = {
    "register": register_task_definition,
    "update": update_service,
    "wait": poll_stability,
}


class Paused(BaseException):
    """The handler wants to make another call; its turn is over."""

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action


class Crashed(BaseException):
    """The function died after a call; nobody but the workflow hears of it."""


class Crash(Enum):
    """Whether the function dies after the call of this move, and when the workflow tries the step again."""

    NO = "no crash"
    TRIED_AGAIN_AT_ONCE = "crash, tried again at once"
    TRIED_AGAIN_LATER = "crash, tried again later"


@dataclass
class Execution:
    """An execution: its step, and what AWS has answered to the calls that the step has made."""

    name: str
    request: dict[str, Any]
    crashes_left: int
    started_at: str = ""
    step: str = "register"
    event: dict[str, Any] = field(default_factory=dict)
    attempt: int = 0
    heard: list[Any] = field(default_factory=list)
    wants: str = ""
    wakes_at: datetime | None = None
    entered_at: str = ""
    end: End | None = None

    @property
    def is_over(self) -> bool:
        return self.end is not None

    def crashes(self) -> list[Crash]:
        # A crash after a read is one after the write before it, or after the first call of the step: nothing but time
        # has passed, and that passes with the moves of the others.
        matters = self.wants == "" or self.wants in {*WRITES, "StartExecution"}
        return list(Crash) if self.crashes_left and matters else [Crash.NO]

    def move(self, model: EcsModel, clock: Clock, crash: Crash) -> None:
        """Make the next call, and go on to where another one would be made."""
        if self.wakes_at:
            clock.time = max(clock.time, self.wakes_at)
            self.wakes_at = None
        if not self.heard and not self.attempt:
            self.entered_at = clock.now().isoformat()
        token = _script.set(_Script(model, clock, self.heard, crash))
        try:
            answer = _STEPS[self.step].handler(self._payload(clock), Context())
        except Paused as paused:
            self.wants = paused.action
        except Crashed:
            self.crashes_left -= 1
            self._try_again(clock, crash)
        except AwsUnavailable:
            self._try_again(clock, Crash.TRIED_AGAIN_AT_ONCE)
        else:
            self._take(json.loads(json.dumps(answer)), clock)
        finally:
            _script.reset(token)

    def _payload(self, clock: Clock) -> dict[str, Any]:
        self.started_at = self.started_at or clock.now().isoformat().replace("+00:00", "Z")
        identity = {
            "id": f"arn:aws:states:{REGION}:{ACCOUNT}:execution:EcsDeploy:{self.name}",
            "name": self.name,
            "startedAt": self.started_at,
        }
        anew = "onto" in self.event
        first = {"request": self.request, "execution": identity, "anew": anew} if self.step == "register" else {}
        return {**first, **self.event, "attempt": self.attempt, "enteredAt": self.entered_at}

    def _try_again(self, clock: Clock, crash: Crash) -> None:
        self.attempt += 1
        self.heard, self.wants = [], ""
        self.wakes_at = clock.now() + LATER if crash == Crash.TRIED_AGAIN_LATER else None

    def _take(self, answer: dict[str, Any], clock: Clock) -> None:
        self.heard, self.wants, self.attempt = [], "", 0
        match answer["next"]:
            case "succeed":
                self.end = End(output=answer["outcome"])
            case "fail":
                self.end = End(error=answer["failure"]["error"], cause=answer["failure"]["cause"])
            case step:
                self.step = step
                self.event = {key: answer[key] for key in ("progress", "onto") if key in answer}
                self.wakes_at = clock.now() + timedelta(seconds=answer["wait"]) if step == "wait" else None


@dataclass
class Person:
    """Somebody who points the service to a revision, at any moment."""

    revision: str
    execution: Execution
    is_over: bool = False
    came_during_a_deployment: bool = False

    def crashes(self) -> list[Crash]:
        return [Crash.NO]

    def move(self, model: EcsModel, _clock: Clock, _crash: Crash) -> None:
        (service,) = model.services.values()
        # Before that it may still be read as what is to be replaced.
        self.came_during_a_deployment = self.execution.step != "register"
        model.start_deployment(service, self.revision)
        self.is_over = True


Move = tuple[int, Crash]
"""Which actor makes the next call, and whether it crashes then."""


@dataclass
class World:
    """The model, its clock, and the actors."""

    model: EcsModel
    actors: list[Execution | Person] = field(default_factory=list)

    @property
    def executions(self) -> list[Execution]:
        return [each for each in self.actors if isinstance(each, Execution)]

    @property
    def clock(self) -> Clock:
        assert isinstance(self.model.clock, Clock)
        return self.model.clock

    def moves(self) -> list[Move]:
        """What can happen next; nothing when every actor has come to its end."""
        alive = ((number, each) for number, each in enumerate(self.actors) if not each.is_over)
        return [(number, crash) for number, each in alive for crash in each.crashes()]

    def make(self, move: Move) -> None:
        """Make a move."""
        number, crash = move
        self.actors[number].move(self.model, self.clock, crash)

    def frozen(self) -> bytes:
        """The world as it is now, to be thawed as often as it takes."""
        return pickle.dumps(self)

    @classmethod
    def thawed(cls, frozen: bytes) -> Self:
        world: Self = pickle.loads(frozen)  # noqa: S301 - made above
        return world

    def key(self) -> str:
        """Equal for worlds whose futures are equal."""
        # Only the sweep asks which deployment brought a revision in.
        revisions = [
            (
                each.document["containerDefinitions"],
                each.document["registeredAt"],
                [tag for tag in each.tags if tag["key"] != "ecs-deploy:deployment"],
            )
            for family in self.model.families.values()
            for each in family
        ]
        return repr((self.clock.time, revisions, self.model.services, self.model.executions, self.actors))


@dataclass(frozen=True)
class Explored:
    """How much was gone through: distinct worlds, and the schedules that lead through them to an end."""

    worlds: int
    schedules: int


def explore(world: World, check: Callable[[World], None]) -> Explored:
    """Go through every schedule; `check` gets each world in which all is over, and raises on a violation."""
    seen: dict[str, int] = {}

    def schedules(world: World, before: list[Move]) -> int:
        moves = world.moves()
        if not moves:
            with _telling(before):
                check(world)
            return 1
        key = world.key()
        if key not in seen:
            assert len(seen) < MOST_WORLDS, "too many worlds to go through"
            frozen, count = world.frozen(), 0
            for move in moves:
                path, following = [*before, move], World.thawed(frozen)
                with _telling(path):
                    following.make(move)
                count += schedules(following, path)
            seen[key] = count
        return seen[key]

    count = schedules(world, [])
    return Explored(len(seen), count)


def walk(world: World, choices: Iterator[int]) -> None:
    """Make the moves of one schedule to its end: each number chooses one of those that are possible, or the first."""
    before: list[Move] = []
    while moves := world.moves():
        assert len(before) < 5_000, "the executions do not end"
        before.append(moves[next(choices, 0) % len(moves)])
        with _telling(before):
            world.make(before[-1])


class _telling:  # noqa: N801 - reads as a statement
    """Adds the schedule to what is raised."""

    def __init__(self, moves: list[Move]) -> None:
        self.moves = moves

    def __enter__(self) -> None:
        """Nothing to do before."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception):
            error.add_note(f"schedule: {[(number, crash.value) for number, crash in self.moves]}")


class _Script:
    """What the handler hears: the old answers, then one new one."""

    def __init__(self, model: EcsModel, clock: Clock, heard: list[Any], crash: Crash) -> None:
        self.model, self.clock, self.heard, self.crash = model, clock, heard, crash
        self.next = 0
        self.called = False

    def call(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._replayed(lambda: self._call(action, body))
        if isinstance(answer, AwsError):
            raise answer
        assert isinstance(answer, dict)
        return answer

    def now(self) -> datetime:
        now = self._replayed(self.clock.now)
        assert isinstance(now, datetime)
        return now

    def _replayed(self, ask: Callable[[], Any]) -> Any:
        if self.next == len(self.heard):
            self.heard.append(ask())
        self.next += 1
        return self.heard[self.next - 1]

    def _call(self, action: str, body: dict[str, Any]) -> dict[str, Any] | AwsError:
        if self.called:
            raise Paused(action)
        self.called = True
        try:
            answer: dict[str, Any] | AwsError = self.model.call(action, body)
        except AwsError as error:
            answer = error
        if self.crash != Crash.NO:
            raise Crashed
        return answer


# That of the execution whose move it is.
_script: ContextVar[_Script] = ContextVar("script")


def call(action: str, body: dict[str, Any]) -> dict[str, Any]:
    """Call AWS in the execution whose move it is."""
    return _script.get().call(action, body)


def now() -> datetime:
    """The time in the execution whose move it is."""
    return _script.get().now()
