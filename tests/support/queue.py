"""The dispatcher behind its queue, and the executions that it starts, as a test moves them."""

import json
from pathlib import Path
from typing import Any

import pytest

from ecs_deploy.aws import dynamodb
from ecs_deploy.core.state import Entry, Phase, Result, State
from ecs_deploy.handlers import dispatcher
from ecs_deploy.handlers.targets import served
from tests.support.clock import Clock
from tests.support.ecs_model import REGION, EcsModel, digest_of
from tests.support.workflow import Context, Document, End, Task, arn_of, first_task, following

EVENTS = Path(__file__).parents[1] / "infra" / "events"
KEY = "production1/doorman-service"


class Walk:
    """An execution, which may pause on its way, and may never go on."""

    def __init__(self, request: Document, clock: Clock, name: str) -> None:
        self.clock = clock
        self.name = name
        self.first = first_task(name, request, clock.now())
        self.task: Task | End = self.first
        self.answers: list[Document] = []

    def go(self, until: str = "the end", phase: Phase = Phase.DEPLOYING) -> End:
        """Go on until a step has answered `until` in a phase, or to the end."""
        while isinstance(self.task, Task):
            self.clock.advance(self.task.wait)
            entered_at = self.clock.now().isoformat()
            context = Context(aws_request_id=f"{self.name} {entered_at}")
            answer = self.task.module.handler({**self.task.event, "attempt": 0, "enteredAt": entered_at}, context)
            self.answers.append(answer)
            self.task = following(self.first, answer)
            if answer["next"] == until and answer.get("rollout", {}).get("phase", phase) == phase:
                return End()
        return self.task


class Queue:
    """The dispatcher's queue, and the executions that it starts."""

    def __init__(self, model: EcsModel, clock: Clock) -> None:
        self.model = model
        self.clock = clock
        self.walks: dict[str, Walk] = {}

    def deliver(self, *messages: object, received: int = 1) -> list[str]:
        """Hand over messages, as JSON unless they are text; answers those that are to come again."""
        records = [
            {
                "messageId": str(number),
                "body": message if isinstance(message, str) else json.dumps(message),
                "attributes": {"ApproximateReceiveCount": str(received)},
            }
            for number, message in enumerate(messages)
        ]
        context: Any = Context()
        answer = dispatcher.handler({"Records": records}, context)
        return [each["itemIdentifier"] for each in answer["batchItemFailures"]]

    def starts(self, *messages: object) -> list[str]:
        """The names of the executions that messages start; all of them are handled."""
        before = set(self.model.executions)
        assert self.deliver(*messages) == []
        assert self.model.sent == []
        return [arn.rpartition(":")[2] for arn in self.model.executions if arn not in before]

    def reconcile(self) -> list[str]:
        """The names of the executions that the schedule starts."""
        return self.starts({"reconcile": [KEY]})

    def request(self, name: str) -> Document:
        """The request of an execution that was started."""
        request: Document = json.loads(self.model.executions[arn_of(name)])
        return request

    def run(self, name: str, *, request: Document | None = None) -> tuple[End, list[str]]:
        """The end of an execution, and the names of those that are started after it."""
        asked = self.request(name) if request is None else request
        end = self.walk(name, asked).go()
        return end, self.end(name, end, asked)

    def walk(self, name: str, request: Document | None = None) -> Walk:
        """An execution that has begun, or begins now."""
        if name not in self.walks:
            self.walks[name] = Walk(request or self.request(name), self.clock, name)
        return self.walks[name]

    def end(self, name: str, end: End, request: Document | None = None) -> list[str]:
        """Tell the dispatcher of an end; answers the names of the executions that it starts."""
        status = "FAILED" if end.error else "SUCCEEDED"
        self.model.statuses[arn_of(name)] = status
        return self.starts(ended(name, request or self.request(name), status, end.output))

    def dies(self, name: str, status: str = "TIMED_OUT") -> list[str]:
        """Tell the dispatcher that an execution has come to its end by itself; answers the names of those it starts."""
        self.model.statuses[arn_of(name)] = status
        return self.starts(ended(name, self.request(name), status))

    def run_all(self, *names: str) -> dict[str, str]:
        """What became of executions, and of all that are started after them: the outcome or the error of each tag."""
        ends = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop(0)
            end, more = self.run(name)
            ends[self.request(name)["image"].rpartition("/")[2]] = end.error or str((end.output or {})["outcome"])
            waiting += more
        return ends

    def push(self, tag: str, repository: str = "doorman") -> Document:
        """The event of a push, which takes place now."""
        self.model.push_image(repository, digest_of(tag), tag)
        return self.event(tag, repository)

    def event(self, tag: str, repository: str = "doorman") -> Document:
        """The event of a push of now."""
        event: Document = json.loads((EVENTS / "push.json").read_text())
        detail = {**event["detail"], "repository-name": repository, "image-digest": digest_of(tag), "image-tag": tag}
        time = self.clock.now().isoformat().replace("+00:00", "Z")
        return {**event, "id": f"push-of-{repository}-{tag}", "time": time, "region": REGION, "detail": detail}

    def state(self) -> State:
        return dynamodb.read_state(KEY, self.clock.now())

    def history(self) -> list[Entry]:
        """The executions, the oldest first."""
        return list(dynamodb.read_history(KEY))[::-1]

    def results(self) -> list[Result | None]:
        return [each.result for each in self.history()]


def ended(name: str, request: Document, status: str, output: Document | None = None) -> Document:
    """The event of Step Functions that an execution has ended.

    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """
    return {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {
            "executionArn": arn_of(name),
            "name": name,
            "status": status,
            "input": json.dumps(request),
            "output": json.dumps(output) if output else None,
        },
    }


def set_targets(folder: Path, monkeypatch: pytest.MonkeyPatch, *targets: dict[str, Any]) -> None:
    (folder / "targets.json").write_text(json.dumps(targets))
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(folder))
    served.cache_clear()
