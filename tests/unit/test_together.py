"""Services that are deployed as one, with the real handlers: all run the new image, or all what they ran before."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ecs_deploy.core.environment import Environment
from ecs_deploy.core.policy import Target, starts_for_push
from ecs_deploy.handlers import together as handler
from tests.support.aws_error import AnswerLost, AwsError
from tests.support.clock import Clock
from tests.support.ecs_model import CRASHES, REGISTRY, EcsModel, digest_of
from tests.support.events import OUTCOME, as_event, hold
from tests.support.queue import Queue, set_targets
from tests.support.workflow import Context, End, Task, arn_of, execute, first_task, following

NAMES = ("gate", "shop", "till")
PLACE = {"cluster": "production1", "repository": "doorman", "tags": ["v*"], "reconcile_minutes": 60}
V1 = f"{REGISTRY}/doorman:v1"


class Shop:
    """Three services of a group, and the executions that the group's execution starts."""

    def __init__(self, model: EcsModel, clock: Clock) -> None:
        self.model, self.clock = model, clock
        self.ends: dict[str, str] = {}
        self.requests: list[dict[str, Any]] = []

    def add(self, name: str) -> None:
        containers = [{"name": "app", "image": f"{REGISTRY}/doorman:v0"}]
        service = self.model.add_service(
            name, self.model.add_revision({"family": name, "containerDefinitions": containers})
        )
        service.primary.created -= timedelta(hours=1)

    def breaks(self, name: str) -> None:
        """Let the new tasks of one service crash."""
        made = self.model._behaviour

        def behaviour(deployment: Any) -> Any:
            is_new = "v1" in self.model.named(
                self.model.revision(deployment.revision).document["containerDefinitions"][0]["image"]
            )
            if f"task-definition/{name}:" in deployment.revision and is_new:
                return CRASHES
            return made(deployment)

        self.model._behaviour = behaviour  # type: ignore[method-assign]

    def deploy(self, request: dict[str, Any], name: str = "group") -> End:
        """Run the execution of the group to its end, and those of its members whenever they are started."""
        first = first_task(name, request, self.clock.now())
        task: Task | End = first
        answers: list[dict[str, Any]] = []
        for _ in range(500):
            if isinstance(task, End):
                hold(as_event(OUTCOME, answers[-1]["notification"]))
                task.answers = answers
                return task
            self.clock.advance(task.wait)
            answers.append(self._try(task))
            task = following(first, json.loads(json.dumps(answers[-1])))
            self.run_children()
        raise AssertionError("the group does not end")

    def _try(self, task: Task) -> Any:
        entered_at = self.clock.now().isoformat()
        for attempt in range(10):
            try:
                return task.module.handler(
                    {**task.event, "attempt": attempt, "enteredAt": entered_at}, Context(aws_request_id=str(attempt))
                )
            except Exception as error:
                if type(error).__name__ not in {"AwsUnavailable", "Died"}:
                    raise
                self.clock.advance(1)
        raise AssertionError("in vain")

    def run_children(self) -> None:
        for arn in [each for each in self.model.executions if each not in self.model.statuses]:
            request = json.loads(self.model.executions[arn])
            before, self.model.before_call = self.model.before_call, lambda _action, _body: None
            end = execute(request, self.clock, arn.rpartition(":")[2])
            self.model.before_call = before
            self.requests.append(request)
            self.model.statuses[arn] = "FAILED" if end.error else "SUCCEEDED"
            self.model.outputs[arn] = {
                "output": json.dumps(end.output),
                **({"error": end.error, "cause": json.dumps(end.cause)} if end.error else {}),
            }

    def runs(self) -> list[str]:
        """The digests that the services run, by their names."""
        found = []
        for name in NAMES:
            primary = self.model.services["production1", name].primary
            found.append("v1" if self.model.resolved(primary.revision) == {"app": digest_of("v1")} else "v0")
        return found


def group(*orders: int) -> list[dict[str, Any]]:
    return [
        {**PLACE, "service": name, "together": "shop", "order": order}
        for name, order in zip(NAMES, orders, strict=True)
    ]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    return lambda *targets: set_targets(tmp_path, monkeypatch, *targets)


@pytest.fixture
def shop(model: EcsModel, clock: Clock, serve: Callable[..., None]) -> Shop:
    serve(*group(0, 0, 0))
    made = Shop(model, clock)
    for tag in ("v0", "v1"):
        model.push_image("doorman", digest_of(tag), tag)
    for name in NAMES:
        made.add(name)
    clock.advance(60)
    return made


def pushed(clock: Clock, number: str = "1", tag: str = "v1") -> dict[str, Any]:
    time = clock.now().isoformat().replace("+00:00", "Z")
    push = {"id": f"push-{number}", "time": time, "digest": digest_of(tag)}
    return {"together": "shop", "image": f"{REGISTRY}/doorman:{tag}", "push": push}


def test_all_run_it(shop: Shop, clock: Clock) -> None:
    end = shop.deploy(pushed(clock))
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert shop.runs() == ["v1", "v1", "v1"]
    assert (end.output or {})["members"] == {f"production1/{name}": "DEPLOYED" for name in NAMES}
    assert [each.get("dryRun", False) for each in shop.requests] == [True] * 3 + [False] * 3
    assert "the group shop" in end.answers[-1]["notification"]["title"]
    assert end.answers[-1]["notification"]["repeated"] is False


@pytest.mark.parametrize("orders", [(0, 0, 0), (0, 1, 2), (2, 1, 0), (1, 0, 1)])
@pytest.mark.parametrize("broken", NAMES)
def test_one_is_broken_and_all_run_what_they_ran(
    shop: Shop, clock: Clock, serve: Callable[..., None], orders: tuple[int, int, int], broken: str
) -> None:
    serve(*group(*orders))
    shop.breaks(broken)
    end = shop.deploy(pushed(clock))
    assert end.error == "DeploymentFailed"
    assert shop.runs() == ["v0", "v0", "v0"]
    message = (end.cause or {})["message"]
    assert f"production1/{broken}: " in message
    assert "a container exits on its start" in message
    for name in NAMES:
        assert f"production1/{name}" in message


def test_by_order(shop: Shop, clock: Clock, serve: Callable[..., None]) -> None:
    serve(*group(2, 1, 0))
    shop.deploy(pushed(clock))
    assert [each["service"] for each in shop.requests[3:]] == ["till", "shop", "gate"]


def test_what_cannot_be_deployed_changes_nothing(shop: Shop, model: EcsModel, clock: Clock) -> None:
    model.services["production1", "till"].extra["deploymentController"] = {"type": "EXTERNAL"}
    end = shop.deploy(pushed(clock))
    assert end.error == "UnsupportedService"
    assert "Nothing was changed" in (end.cause or {})["message"]
    assert model.writes == []


def test_one_that_is_held_holds_all(shop: Shop, model: EcsModel, clock: Clock) -> None:
    execute({"cluster": "production1", "service": "till", "hold": "the weekend"}, clock, "hold")
    end = shop.deploy(pushed(clock))
    assert (end.output or {})["outcome"] == "HELD"
    assert model.writes == []


def test_by_hand(shop: Shop, clock: Clock) -> None:
    end = shop.deploy({"together": "shop", "image": V1})
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert shop.runs() == ["v1", "v1", "v1"]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"together": "nobody", "image": V1}, "no target has nobody"),
        ({"together": "shop", "image": f"{REGISTRY}/other:v1"}, "no target of the group shop waits for it"),
        ({"together": "shop"}, "image: is missing"),
        ({"together": "s p", "image": V1}, "together: must be the name of a group"),
        ({"together": "shop", "image": "a b", "timeout": 5}, "timeout: does not go with together"),
        ({"together": "shop", "image": V1, "push": {}}, "push: needs id, time and digest"),
    ],
)
def test_a_request_that_cannot_be_meant(shop: Shop, clock: Clock, request_: dict[str, Any], said: str) -> None:
    end = shop.deploy(request_)
    assert end.error == "InvalidRequest"
    assert said in (end.cause or {})["message"]
    assert shop.requests == []


class Died(Exception):
    """The function has died."""


@pytest.mark.parametrize("broken", ["", "shop"])
@pytest.mark.parametrize("number", range(1, 26))
def test_a_crash_of_the_step_at_any_call(shop: Shop, model: EcsModel, clock: Clock, broken: str, number: int) -> None:
    if broken:
        shop.breaks(broken)
    left = [number]

    def die(action: str, _body: dict[str, Any]) -> None:
        if action in {"StartExecution", "DescribeExecution"}:
            left[0] -= 1
            if left[0] == 0:
                raise AnswerLost if number % 2 else AwsError("ThrottlingException", "Rate exceeded")

    model.after_call = die
    end = shop.deploy(pushed(clock))
    assert end.error == ("DeploymentFailed" if broken else None)
    assert shop.runs() == (["v0"] * 3 if broken else ["v1"] * 3)
    names = [arn for arn in model.executions if not arn.endswith(":group")]
    assert len(names) == (8 if broken else 6)


def test_a_step_whose_answer_is_lost_starts_nothing_twice(
    shop: Shop, model: EcsModel, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = handler.handle
    lost = [0]

    def lose(event: Any, environment: Any) -> Any:
        answer = tried(event, environment)
        lost[0] += 1
        if lost[0] % 2:
            raise Died
        return answer

    monkeypatch.setattr(handler, "handle", lose)
    assert (shop.deploy(pushed(clock)).output or {})["outcome"] == "DEPLOYED"
    assert len(model.executions) == 6


def test_two_groups_that_share_services_do_not_undo_each_other(
    shop: Shop, model: EcsModel, clock: Clock, serve: Callable[..., None]
) -> None:
    older, newer = pushed(clock, "1", "v1"), None
    clock.advance(5)
    model.push_image("doorman", digest_of("v2"), "v2")
    newer = pushed(clock, "2", "v2")
    assert (shop.deploy(newer, "newer").output or {})["outcome"] == "DEPLOYED"
    shop.breaks("shop")
    end = shop.deploy(older, "older")
    assert (end.output or {})["outcome"] == "SUPERSEDED"
    for name in NAMES:
        primary = model.services["production1", name].primary
        assert model.resolved(primary.revision) == {"app": digest_of("v2")}


def test_what_a_group_returns_does_not_undo_something_newer(shop: Shop, model: EcsModel, clock: Clock) -> None:
    shop.breaks("till")
    model.push_image("doorman", digest_of("v2"), "v2")
    children = shop.run_children

    def and_then() -> None:
        children()
        if len(shop.requests) == 6:
            shop.requests.append({})
            clock.advance(10)
            execute({"cluster": "production1", "service": "gate", "image": f"{REGISTRY}/doorman:v2"}, clock, "newer")

    shop.run_children = and_then  # type: ignore[method-assign]
    end = shop.deploy(pushed(clock))
    assert end.error == "DeploymentFailed"
    runs = {name: model.services["production1", name].primary.revision for name in NAMES}
    assert model.resolved(runs["gate"]) == {"app": digest_of("v2")}
    assert model.resolved(runs["shop"]) == {"app": digest_of("v0")}


def test_three_hundred(shop: Shop, model: EcsModel, clock: Clock, serve: Callable[..., None]) -> None:
    names = [f"s{number}" for number in range(300)]
    serve(*({**PLACE, "service": name, "together": "shop"} for name in names))
    started: list[int] = []

    def children() -> None:
        new = [each for each in model.executions if each not in model.statuses]
        started.append(len(new))
        for arn in new:
            request = json.loads(model.executions[arn])
            outcome = "REHEARSED" if request.get("dryRun") else "DEPLOYED"
            model.statuses[arn] = "SUCCEEDED"
            model.outputs[arn] = {"output": json.dumps({"outcome": outcome, "shown": {"stable": "app:1"}})}

    shop.run_children = children  # type: ignore[method-assign]
    end = shop.deploy(pushed(clock))
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert len(model.executions) == 600
    assert max(started) <= 40
    assert max(len(json.dumps(each)) for each in end.answers) < 200_000


def test_a_push_starts_one_execution_for_a_group(model: EcsModel, clock: Clock, shop: Shop) -> None:
    event = Queue(model, clock).event("v1")
    targets = [Target(**{**each, "tags": ("v*",)}) for each in group(0, 1, 2)]
    alone = Target("production1", "alone", "doorman", together="other")
    region, account = event["region"], event["account"]
    starts = starts_for_push(event, [*targets, alone], Environment(account, region))
    assert [each.request.get("together", each.request.get("service")) for each in starts] == ["shop", "alone"]
    assert starts[0].request["push"]["digest"] == digest_of("v1")


def test_a_missed_push_starts_the_group_once(shop: Shop, model: EcsModel, clock: Clock) -> None:
    queue = Queue(model, clock)
    keys = [f"production1/{name}" for name in NAMES]
    queue.deliver({"reconcile": keys})
    clock.advance(60)
    model.push_image("doorman", digest_of("v1"), "v1")
    clock.advance(3_600)
    queue.deliver({"reconcile": keys})
    (arn,) = model.executions
    assert json.loads(model.executions[arn])["together"] == "shop"
    assert arn == arn_of(arn.rpartition(":")[2])
