"""An execution of the workflow without Step Functions: the real handlers, called in the order the states call them.

What it knows of the workflow is what the definition says: the payloads, the choice on ``next``, the retry of
``AwsUnavailable``. The same is run on the emulator by the workflow tests.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from ecs_deploy import poll_stability, register_task_definition, update_service
from ecs_deploy.errors import AwsUnavailable
from tests.support.ecs_model import ACCOUNT, REGION
from tests.support.events import hold_notices

MOST_STEPS = 3_000
MOST_ATTEMPTS = 10

Step = Callable[[Any, dict[str, Any], "Time"], dict[str, Any]]


class Time(Protocol):
    """What an execution waits by."""

    def now(self) -> datetime: ...

    def advance(self, seconds: float) -> None: ...


@dataclass
class Context:
    """What Lambda tells a function of itself."""

    function_name: str = "a-step"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:a-step"
    aws_request_id: str = "request"


@dataclass
class End:
    """How an execution ended: `output`, or `error` and `cause`; and the answers of the steps on the way."""

    output: dict[str, Any] | None = None
    error: str | None = None
    cause: dict[str, Any] | None = None
    answers: list[dict[str, Any]] = field(default_factory=list)


def _step(module: Any, event: dict[str, Any], clock: Time) -> dict[str, Any]:
    entered_at = clock.now().isoformat()
    for attempt in range(MOST_ATTEMPTS):
        try:
            answer: dict[str, Any] = module.handler({**event, "attempt": attempt, "enteredAt": entered_at}, Context())
        except AwsUnavailable:
            clock.advance(2**attempt)
        else:
            return answer
    raise AssertionError("the step was tried in vain")


def execute(request: object, clock: Time, name: str = "by-hand", step: Step = _step) -> End:
    """Run an execution to its end on the clock's time; `step` is how a state tries its function."""
    execution = {
        "id": f"arn:aws:states:{REGION}:{ACCOUNT}:execution:EcsDeploy:{name}",
        "name": name,
        "startedAt": clock.now().isoformat().replace("+00:00", "Z"),
    }
    first = {"request": request, "execution": execution}
    answers = [step(register_task_definition, first, clock)]
    for _ in range(MOST_STEPS):
        answer = answers[-1]
        match answer["next"]:
            case "register":
                answers.append(step(register_task_definition, {**first, "anew": True, "onto": answer["onto"]}, clock))
            case "update":
                answers.append(step(update_service, {"progress": answer["progress"]}, clock))
            case "wait":
                clock.advance(answer["wait"])
                answers.append(step(poll_stability, {"progress": answer["progress"]}, clock))
            case "succeed":
                hold_notices(answers)
                return End(output=answer["outcome"], answers=answers)
            case "fail":
                hold_notices(answers)
                return End(error=answer["failure"]["error"], cause=answer["failure"]["cause"], answers=answers)
    raise AssertionError("the execution does not end")
