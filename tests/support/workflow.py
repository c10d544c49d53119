"""The workflow without Step Functions: which handler comes after which answer, with which event.

What it knows of the workflow is what the definition says: the payloads, the choice on `next`. Unit tests, the explorer
and the benchmarks walk by it; the same is run on the emulator by the workflow tests.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any, Protocol

from ecs_deploy.core.errors import AwsUnavailable
from ecs_deploy.handlers import poll_stability, register_task_definition, update_service
from tests.support.ecs_model import ACCOUNT, MACHINE, REGION
from tests.support.events import hold_notifications

MOST_STEPS = 3_000
MOST_ATTEMPTS = 10

Document = dict[str, Any]
_MODULES: dict[str, ModuleType] = {
    "register_task_definition": register_task_definition,
    "update_service": update_service,
    "poll_stability": poll_stability,
}
Step = Callable[[ModuleType, Document, "Time"], Document]


class Time(Protocol):
    """What an execution waits by."""

    def now(self) -> datetime: ...

    def advance(self, seconds: float) -> None: ...


Wait = Callable[["Task", Time, str], None]
"""How an execution, by its ARN, waits before a task."""


@dataclass
class Context:
    """What Lambda tells a function of itself and of the invocation."""

    aws_request_id: str = "request"
    function_name: str = "a-step"
    memory_limit_in_mb: int = 1769
    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:a-step"
    milliseconds: int = 60_000

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@dataclass
class End:
    """How an execution ended: `output`, or `error` and `cause`; and the answers of the steps on the way."""

    output: Document | None = None
    error: str | None = None
    cause: Document | None = None
    answers: list[Document] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """The next task: the name of a handler, its event but for the try, and the seconds to wait before."""

    name: str
    event: Document
    wait: float = 0
    key: str = ""
    signals: str = ""

    @property
    def module(self) -> ModuleType:
        return _MODULES[self.name]


def arn_of(name: str) -> str:
    """The ARN of an execution."""
    return f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"


def first_task(name: str, request: object, started_at: datetime) -> Task:
    """The first task of an execution."""
    execution = {"id": arn_of(name), "name": name, "startedAt": started_at.isoformat().replace("+00:00", "Z")}
    return Task("register_task_definition", {"request": request, "execution": execution, "resumed": None})


def following(first: Task, answer: Document) -> Task | End:
    """What follows an answer."""
    deployment: Document = {key: answer[key] for key in ("plan", "rollout") if key in answer}
    match answer["next"]:
        case "announce" | "update":
            return Task("update_service", deployment)
        case "register":
            return Task("register_task_definition", {**first.event, "resumed": deployment})
        case "wait_for_turn" | "notify_approval":
            resumed = {"turn": answer["turn"]}
            return Task("register_task_definition", {**first.event, "resumed": resumed}, *_wait(answer))
        case "wait_for_rollout" | "notify_pause":
            return Task("poll_stability", deployment, *_wait(answer))
        case "succeed":
            return End(output=answer["outcome"])
        case "fail":
            return End(error=answer["failure"]["error"], cause=answer["failure"]["cause"])
    raise AssertionError(answer)


def _wait(answer: Document) -> tuple[float, str, str]:
    return answer["wait"], answer["key"], answer["signals"]


def _step(module: ModuleType, event: Document, clock: Time) -> Document:
    entered_at = clock.now().isoformat()
    for attempt in range(MOST_ATTEMPTS):
        context = Context(aws_request_id=f"{clock.now().isoformat()} {id(event)} {attempt}")
        try:
            answer: Document = module.handler({**event, "attempt": attempt, "enteredAt": entered_at}, context)
        except AwsUnavailable:
            clock.advance(2**attempt)
        else:
            return answer
    raise AssertionError("the step was tried in vain")


def _by_time(task: Task, clock: Time, _execution: str) -> None:
    """Wait where no event arrives."""
    clock.advance(task.wait)


def execute(
    request: object, clock: Time, name: str = "by-hand", step: Step = _step, wait: Wait = _by_time
) -> End:  # fmt: skip
    """Run an execution to its end; `step` is how a state tries its function, `wait` how an execution waits."""
    first = first_task(name, request, clock.now())
    task: Task | End = first
    answers: list[Document] = []
    for _ in range(MOST_STEPS):
        if isinstance(task, End):
            hold_notifications(answers)
            task.answers = answers
            return task
        wait(task, clock, arn_of(name))
        answers.append(step(task.module, task.event, clock))
        task = following(first, answers[-1])
    raise AssertionError("the execution does not end")


class Agenda(Protocol):
    """What executions at once wait by, where events arrive."""

    def begin(self, task: Task, execution: str) -> str: ...

    def is_over(self, token: str) -> bool: ...

    def advance(self, seconds: float) -> None: ...


def execute_together(
    arrivals: Mapping[str, tuple[float, object]], clock: Time, waits: Agenda | None = None
) -> dict[str, End]:
    """Run executions at once, by name the seconds until each starts and its request; each step when it is due.

    The steps do not overlap. tests/support/exploration.py lets them.
    """
    begun = clock.now()
    firsts = {
        name: first_task(name, request, begun + timedelta(seconds=after)) for name, (after, request) in arrivals.items()
    }
    due = {name: begun + timedelta(seconds=after) for name, (after, _) in arrivals.items()}
    tasks, tokens = dict(firsts), dict[str, str]()
    answers: dict[str, list[Document]] = {name: [] for name in arrivals}
    ends: dict[str, End] = {}
    for _ in range(MOST_STEPS):
        if not due:
            return ends
        name = min(due, key=lambda each: due[each])
        while (left := (due[name] - clock.now()).total_seconds()) > 0:
            (waits or clock).advance(min(left, 1) if waits else left)
            if waits and (over := [each for each, token in tokens.items() if waits.is_over(token)]):
                name = over[0]
                break
        tokens.pop(name, None)
        answers[name].append(_step(tasks[name].module, tasks[name].event, clock))
        next_one = following(firsts[name], answers[name][-1])
        if isinstance(next_one, End):
            hold_notifications(answers[name])
            next_one.answers = answers[name]
            ends[name] = next_one
            del due[name]
        else:
            tasks[name], due[name] = next_one, clock.now() + timedelta(seconds=next_one.wait)
            if waits and next_one.wait:
                tokens[name] = waits.begin(next_one, arn_of(name))
    raise AssertionError("the executions do not end")
