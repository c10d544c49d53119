"""What follows a stable deployment: a task, then a watch; either still returns the service, and nobody is cheated."""

from datetime import timedelta
from typing import Any

import pytest

from ecs_deploy.aws import dynamodb
from ecs_deploy.core.state import Result
from ecs_deploy.handlers import poll_stability
from tests.support.aws_error import AnswerLost, AwsError
from tests.support.clock import Clock
from tests.support.doorman import (
    KEY,
    NEW_IMAGE,
    NEWER_IMAGE,
    NEWER_REQUEST,
    OLD_IMAGE,
    PROXY_REQUEST,
    REQUEST,
    SERVICE,
    add_doorman,
    add_theirs,
    images,
    push,
    state,
)
from tests.support.ecs_model import Behaviour, EcsModel, Service
from tests.support.queue import Queue
from tests.support.single_tasks import Ends
from tests.support.workflow import End, arn_of, execute, execute_together

AFTER: dict[str, Any] = {"after": {"command": ["smoke", "all"], "timeout": 120}}
WATCH: dict[str, Any] = {"watch": {"seconds": 600}}
ALARMS: dict[str, Any] = {"watch": {"seconds": 600, "alarms": ["load"]}}


@pytest.fixture
def service(model: EcsModel) -> Service:
    model.alarms["load"] = "OK"
    return add_doorman(model)


def outcome(end: End) -> str:
    return (end.output or {})["outcome"] if end.error is None else end.error


def results() -> list[Result | None]:
    """How the executions have ended by the history, the newest first."""
    return [each.result for each in dynamodb.read_history(KEY)]


def later(model: EcsModel, clock: Clock, seconds: float, do: Any) -> None:
    """Let something happen, at the next call after so many seconds."""
    due = clock.now() + timedelta(seconds=seconds)

    def once(_action: str, _body: dict[str, Any]) -> None:
        if clock.now() >= due:
            model.before_call = lambda _action, _body: None
            do()

    model.before_call = once


def test_a_task_tests_what_is_stable(model: EcsModel, clock: Clock, service: Service) -> None:
    model.single.ends["smoke"] = Ends(after=30)
    end = execute({**REQUEST, **AFTER}, clock, "deploys")
    assert outcome(end) == "DEPLOYED"
    (task,) = model.single.all
    assert task.request["taskDefinition"] == (end.output or {})["revision"] == service.primary.revision
    assert task.request["overrides"] == {"containerOverrides": [{"name": "app", "command": ["smoke", "all"]}]}
    assert service.primary.completed is not None
    assert task.began >= service.primary.completed
    assert (state(clock).gates, results()) == ({}, [Result.DEPLOYED])


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (Ends(exit_code=3), "container app ended with exit code 3"),
        (Ends(after=None), "ecs-deploy: not ended after 120 seconds"),
        (Ends(exit_code=None, stop_code="TaskFailedToStart", reason="CannotPullContainerError"), "CannotPull"),
    ],
)
def test_what_fails_its_test_is_returned(
    model: EcsModel, clock: Clock, service: Service, ends: Ends, said: str
) -> None:
    model.single.ends["smoke"] = ends
    end = execute({**REQUEST, **AFTER}, clock, "deploys")
    assert (end.error, (end.cause or {})["rolledBack"]) == ("DeploymentFailed", True)
    message = (end.cause or {})["message"]
    assert "was stable, and does not stay: after: the task that ran smoke all failed" in message
    assert said in message
    assert images(model, service.primary.revision)[:2] == [OLD_IMAGE, OLD_IMAGE]
    assert (state(clock).gates, results()) == ({}, [Result.FAILED])
    assert len(model.single.all) == 1


@pytest.mark.parametrize("kind", ["placed", "allowed"])
def test_what_cannot_be_tested_is_returned(model: EcsModel, clock: Clock, service: Service, kind: str) -> None:
    if kind == "placed":
        model.single.failures = ["RESOURCE:CPU"]
    else:
        model.refused.add("RunTask")
    end = execute({**REQUEST, **AFTER}, clock, "deploys")
    assert (end.error, (end.cause or {})["rolledBack"]) == ("DeploymentFailed", True)
    assert ("RESOURCE:CPU" if kind == "placed" else "RunTask") in (end.cause or {})["message"]
    assert images(model, service.primary.revision)[0] == OLD_IMAGE


def test_without_rollback_it_stays_and_that_is_said(model: EcsModel, clock: Clock, service: Service) -> None:
    model.single.ends["smoke"] = Ends(exit_code=1)
    end = execute({**REQUEST, **AFTER, "rollback": False}, clock, "deploys")
    assert (end.error, (end.cause or {})["rolledBack"]) == ("DeploymentFailed", False)
    assert "rollback is off in the request, so the service keeps doorman:2" in (end.cause or {})["message"]
    assert images(model, service.primary.revision)[0] == NEW_IMAGE


@pytest.mark.parametrize("fault", ["before_call", "after_call"])
@pytest.mark.parametrize(
    ("action", "number"),
    [
        ("RunTask", 1),
        *(("TransactWriteItems", number) for number in range(4, 9)),
        *(("DescribeTasks", number) for number in (1, 2, 3)),
    ],
)
def test_a_fault_starts_no_second_task(
    model: EcsModel, clock: Clock, service: Service, fault: str, action: str, number: int
) -> None:
    model.single.ends["smoke"] = Ends(after=30)
    left = [number]

    def break_once(called: str, _body: dict[str, Any]) -> None:
        if called == action:
            left[0] -= 1
            if left[0] == 0:
                raise AnswerLost if fault == "after_call" else AwsError("ThrottlingException", "Rate exceeded")

    setattr(model, fault, break_once)
    end = execute({**REQUEST, **AFTER, **WATCH}, clock, "deploys")
    assert outcome(end) == "DEPLOYED"
    assert len(model.single.all) == 1
    assert len(model.called("UpdateService")) == 1
    assert (state(clock).gates, state(clock).owner, results()) == ({}, None, [Result.DEPLOYED])


def test_a_newer_request_takes_over_from_one_that_is_tested(model: EcsModel, clock: Clock, service: Service) -> None:
    model.single.ends["smoke"] = Ends(after=100)
    ends = execute_together({"older": (0, {**REQUEST, **AFTER}), "newer": (60, {**NEWER_REQUEST, **AFTER})}, clock)
    assert (outcome(ends["older"]), outcome(ends["newer"])) == ("SUPERSEDED", "DEPLOYED")
    assert model.single.most_at_once() == 1
    assert model.single.all[0].stop_code == "UserInitiated"


def test_a_task_whose_arn_nobody_knows_is_found_and_stopped(model: EcsModel, clock: Clock, service: Service) -> None:
    """Its answer was lost, and its execution died: the next one waits for its end, which takes some seconds."""
    model.single.ends["smoke"] = Ends(after=None)
    model.single.stop_seconds = 30

    def lose(action: str, _body: dict[str, Any]) -> None:
        if action == "RunTask":
            raise AnswerLost

    def die(action: str, body: dict[str, Any]) -> None:
        if action == "ListTasks" and "startedBy" in body:
            raise ConnectionAbortedError

    model.after_call, model.before_call = lose, die
    with pytest.raises(AssertionError, match="tried in vain"):
        execute({**REQUEST, **AFTER}, clock, "older")
    model.after_call = model.before_call = lambda _action, _body: None
    model.single.ends["smoke"] = Ends()
    assert outcome(execute({**NEWER_REQUEST, **AFTER}, clock, "newer")) == "DEPLOYED"
    assert [each.stop_code for each in model.single.all] == ["UserInitiated", "EssentialContainerExited"]
    assert model.single.most_at_once() == 1


def test_the_next_task_waits_until_a_displaced_one_has_stopped(model: EcsModel, clock: Clock, service: Service) -> None:
    model.single.ends["smoke"] = Ends(after=300)
    model.single.stop_seconds = 90
    ends = execute_together({"older": (0, {**REQUEST, "after": {"command": ["smoke"]}}),
                             "newer": (70, {**NEWER_REQUEST, "after": {"command": ["quick"]}})}, clock)  # fmt: skip
    assert (outcome(ends["older"]), outcome(ends["newer"])) == ("SUPERSEDED", "DEPLOYED")
    assert len(model.single.all) == 2
    assert model.single.most_at_once() == 1


def test_a_watch_that_may_not_go_on_has_deployed(model: EcsModel, clock: Clock, service: Service) -> None:
    later(model, clock, 300, lambda: model.refused.add("DescribeServices"))
    end = execute({**REQUEST, **WATCH}, clock)
    assert end.error == "AccessDenied"
    assert (state(clock).owner, results()) == (None, [Result.DEPLOYED])


def test_behind_a_classic_load_balancer_nothing_is_overdue_once_it_was_stable(model: EcsModel, clock: Clock) -> None:
    service = add_doorman(model, has_rollout_state=False)

    def scale() -> None:
        service.desired += 1

    later(model, clock, 400, scale)
    model.behaviours[NEW_IMAGE] = Behaviour(start=40)
    assert outcome(execute({**REQUEST, "timeout": 120, **WATCH}, clock)) == "DEPLOYED"


def test_a_watch_that_sees_nothing(
    model: EcsModel, clock: Clock, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    started = clock.now()
    end = execute({**REQUEST, **ALARMS, "timeout": 60}, clock, "deploys")
    assert "Overdue" not in capsys.readouterr().out
    assert outcome(end) == "DEPLOYED"
    assert timedelta(seconds=600) <= clock.now() - started < timedelta(seconds=680)
    assert (end.output or {})["seconds"] < 60
    assert (state(clock).owner, results()) == (None, [Result.DEPLOYED])
    stable = state(clock).stable
    assert stable
    assert stable.revision == service.primary.revision
    assert end.answers[-1]["notification"]["leadTime"] < 60


def test_an_alarm_that_goes_off_returns_the_service(model: EcsModel, clock: Clock, service: Service) -> None:
    def goes_off() -> None:
        model.alarms["load"], model.alarmed_at["load"] = "ALARM", clock.now()

    later(model, clock, 300, goes_off)
    end = execute({**REQUEST, **ALARMS}, clock, "deploys")
    assert (end.error, (end.cause or {})["rolledBack"]) == ("DeploymentFailed", True)
    assert "the alarm load went off while it was watched" in (end.cause or {})["message"]
    assert images(model, service.primary.revision)[0] == OLD_IMAGE
    assert results() == [Result.FAILED]
    assert state(clock).deployed == {}


def test_an_alarm_that_had_gone_off_before_returns_nothing(model: EcsModel, clock: Clock, service: Service) -> None:
    model.alarms["load"], model.alarmed_at["load"] = "ALARM", clock.now() - timedelta(minutes=1)
    assert outcome(execute({**REQUEST, **ALARMS}, clock)) == "DEPLOYED"


def test_an_alarm_that_is_not_there_is_refused(model: EcsModel, clock: Clock, service: Service) -> None:
    end = execute({**REQUEST, "watch": {"seconds": 60, "alarms": ["load", "lead"]}}, clock)
    assert end.error == "InvalidRequest"
    assert "there is no alarm lead" in (end.cause or {})["message"]
    assert model.writes == []


def test_alarms_that_cannot_be_read_meanwhile_are_told(model: EcsModel, clock: Clock, service: Service) -> None:
    later(model, clock, 300, lambda: model.refused.add("DescribeAlarms"))
    end = execute({**REQUEST, **ALARMS}, clock)
    assert outcome(end) == "DEPLOYED"
    assert any("the alarms could not be read all the time" in each for each in (end.output or {})["reasons"])


def test_a_crash_loop_in_the_watch_returns_the_service(model: EcsModel, clock: Clock, service: Service) -> None:
    # It runs for long enough to be stable.
    model.behaviours[NEW_IMAGE] = Behaviour(life=200, exit_code=3, log=("no door",))
    model.behaviours[NEW_IMAGE] = iter([Behaviour()] * 2 + [Behaviour(life=5, exit_code=3)] * 50)

    def crash() -> None:
        for task in service.primary.tasks:
            task.behaviour = Behaviour(life=(clock.now() - task.launched).total_seconds() - 5, exit_code=3)

    later(model, clock, 200, crash)
    end = execute({**REQUEST, **WATCH}, clock)
    assert (end.error, (end.cause or {})["rolledBack"]) == ("DeploymentFailed", True)
    assert "was stable, and does not stay" in (end.cause or {})["message"]
    assert images(model, service.primary.revision)[0] == OLD_IMAGE


def test_whoever_is_displaced_while_watching_was_deployed(model: EcsModel, clock: Clock, service: Service) -> None:
    ends = execute_together({"older": (0, {**REQUEST, **WATCH}), "newer": (300, NEWER_REQUEST)}, clock)
    assert (outcome(ends["older"]), outcome(ends["newer"])) == ("DEPLOYED", "DEPLOYED")
    assert results() == [Result.DEPLOYED, Result.DEPLOYED]


def test_a_newer_one_that_fails_returns_to_what_was_watched(model: EcsModel, clock: Clock, service: Service) -> None:
    model.behaviours[NEWER_IMAGE] = Behaviour(life=1, exit_code=1)
    ends = execute_together({"older": (0, {**REQUEST, **WATCH}), "newer": (300, NEWER_REQUEST)}, clock)
    assert (outcome(ends["older"]), outcome(ends["newer"])) == ("DEPLOYED", "DeploymentFailed")
    assert images(model, service.primary.revision)[0] == NEW_IMAGE
    after = state(clock)
    assert after.deployed["app"].execution == arn_of("older")
    assert after.stable
    assert after.stable.digests["app"] == model.digest_of(NEW_IMAGE)


def test_what_is_watched_is_the_base_of_what_is_newer(model: EcsModel, clock: Clock) -> None:
    add_doorman(model, strategy="BLUE_GREEN")
    ends = execute_together({"older": (0, {**REQUEST, **WATCH}), "newer": (300, NEWER_REQUEST)}, clock)
    assert (outcome(ends["older"]), outcome(ends["newer"])) == ("DEPLOYED", "DEPLOYED")
    (made,) = [each["plan"]["base"]["revision"] for each in ends["newer"].answers if each["next"] == "announce"]
    assert made == (ends["older"].output or {})["revision"]


def test_a_person_who_changes_what_is_watched(model: EcsModel, clock: Clock, service: Service) -> None:
    later(model, clock, 300, lambda: model.start_deployment(service, add_theirs(model)))
    end = execute({**REQUEST, **WATCH}, clock)
    assert outcome(end) == "DEPLOYED"
    assert any("not watched to the end" in each for each in (end.output or {})["reasons"])
    assert results() == [Result.DEPLOYED]
    assert state(clock).deployed["app"].execution == arn_of("by-hand")


def test_another_container_waits_until_the_watch_is_over(model: EcsModel, clock: Clock, service: Service) -> None:
    ends = execute_together({"watches": (0, {**REQUEST, **WATCH}), "waits": (100, PROXY_REQUEST)}, clock)
    assert (outcome(ends["watches"]), outcome(ends["waits"])) == ("DEPLOYED", "DEPLOYED")
    made = [each["plan"]["base"]["revision"] for each in ends["waits"].answers if each["next"] == "announce"]
    assert made == [(ends["watches"].output or {})["revision"]]


def test_a_push_of_what_is_watched_is_unchanged(model: EcsModel, clock: Clock, service: Service) -> None:
    pushed = {**REQUEST, **push("1", "12:00:00", "a"), **WATCH}
    again = {**REQUEST, **push("2", "12:05:00", "a")}
    model.push_image("doorman", pushed["push"]["digest"], "1.1.0")
    ends = execute_together({"watches": (0, pushed), "again": (300, again)}, clock)
    assert (outcome(ends["watches"]), outcome(ends["again"])) == ("DEPLOYED", "UNCHANGED")


def test_an_execution_that_is_stopped_while_it_watches_has_deployed(
    model: EcsModel, clock: Clock, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(BaseException):
        pass

    polls = poll_stability.handler

    def stop(event: Any, context: Any) -> Any:
        owner = state(clock).owner
        if owner and owner.watched:
            raise Stopped
        return polls(event, context)

    monkeypatch.setattr(poll_stability, "handler", stop)
    with pytest.raises(Stopped):
        execute({**REQUEST, **WATCH}, clock, "watches")
    model.statuses[arn_of("watches")] = "ABORTED"
    clock.advance(600)
    Queue(model, clock).deliver({"reconcile": [KEY]})
    after = state(clock)
    assert (after.owner, results()) == (None, [Result.DEPLOYED])
    assert after.deployed["app"].execution == arn_of("watches")
    assert after.stable
    assert after.stable.revision == service.primary.revision


def test_the_status_says_that_it_is_watched(model: EcsModel, clock: Clock, service: Service) -> None:
    ends = execute_together({"watches": (0, {**REQUEST, **WATCH}), "shows": (300, {**SERVICE, "status": True})}, clock)
    assert (ends["shows"].output or {})["shown"]["watches"] is True


@pytest.mark.parametrize("strategy", ["BLUE_GREEN", "LINEAR"])
def test_where_traffic_is_shifted(model: EcsModel, clock: Clock, strategy: str) -> None:
    model.alarms["load"] = "OK"
    service = add_doorman(model, strategy=strategy)

    def goes_off() -> None:
        model.alarms["load"], model.alarmed_at["load"] = "ALARM", clock.now()

    later(model, clock, 300, goes_off)
    end = execute({**REQUEST, **AFTER, **ALARMS}, clock)
    assert (end.error, (end.cause or {})["rolledBack"]) == ("DeploymentFailed", True)
    assert images(model, service.primary.revision)[0] == OLD_IMAGE
