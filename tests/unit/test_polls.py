"""What a deployment asks of AWS, and how soon it knows: the real handlers over the model, in virtual time."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecs_deploy.aws import waits as table
from tests.support.aws_error import AwsError
from tests.support.clock import Clock
from tests.support.doorman import KEY, NEW_IMAGE, PROXY_REQUEST, REQUEST, add_doorman
from tests.support.dynamodb_model import ACTIONS
from tests.support.ecs_model import CANNOT_BE_PULLED, CRASHES, HANGS, Behaviour, EcsModel, Service
from tests.support.waits import ENDED_BY_EVENT, Delivery, Waits
from tests.support.workflow import Task, execute, execute_together
from tests.unit.test_hooks import PAUSE

NOT_OF_ECS = {*ACTIONS, "SendTaskSuccess", "DescribeImages", "BatchGetImage"}
LOST = Delivery(lost=1)
ROLLOUTS = [(20, 20), (20, 35), (40, 100), (150, 300), (60, 600), (580, 600)]
LONG_ROLLOUTS = [(600, 1_800), (3_000, 3_600)]


@pytest.fixture
def service(model: EcsModel) -> Service:
    return add_doorman(model)


def calls(model: EcsModel) -> list[str]:
    """The calls to ECS."""
    return [action for action in model.called() if action not in NOT_OF_ECS]


def deploy(
    model: EcsModel, clock: Clock, service: Service, start: float, complete: float, delivery: Delivery
) -> tuple[int, float]:
    """Deploy; gives the calls to ECS, and how late the end was noticed."""
    model.behaviours[NEW_IMAGE], service.drain = Behaviour(start=start), complete - start
    end = execute({**REQUEST, "timeout": 7_200}, clock, wait=Waits(model, clock, delivery))
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert service.primary.completed
    return len(calls(model)), (clock.now() - service.primary.completed).total_seconds()


@pytest.mark.parametrize(("start", "complete"), [*ROLLOUTS, *LONG_ROLLOUTS])
def test_with_events_a_rollout_takes_few_calls_and_is_known_at_once(
    model: EcsModel, service: Service, clock: Clock, start: float, complete: float
) -> None:
    asked, lag = deploy(model, clock, service, start, complete, Delivery())
    assert asked <= (12 if complete <= 600 else 16)
    assert lag <= 3


@pytest.mark.parametrize(("start", "complete"), [*ROLLOUTS, *LONG_ROLLOUTS])
def test_without_events_it_is_known_a_minute_or_a_tenth_late(
    model: EcsModel, service: Service, clock: Clock, start: float, complete: float
) -> None:
    asked, lag = deploy(model, clock, service, start, complete, LOST)
    assert asked <= 40
    assert lag <= max(60, 0.1 * complete)


def test_a_read_that_shows_the_time_before_the_event_is_repeated(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE], service.drain = Behaviour(start=100), 60
    stale: list[dict[str, Any]] = []

    def remember(event: dict[str, Any]) -> None:
        if "COMPLETED" in str(event["detail"].get("eventName")):
            stale[:] = [before[-1]] * 2
        take(event)

    before: list[dict[str, Any]] = []
    shown = model._shown

    def show(shown_service: Service) -> dict[str, Any]:
        if stale:
            return stale.pop()
        before.append(shown(shown_service))
        return before[-1]

    waits = Waits(model, clock)
    take, model.tell, model._shown = model.tell, remember, show  # type: ignore[assignment,method-assign]
    end = execute(REQUEST, clock, wait=waits)
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert service.primary.completed
    assert (clock.now() - service.primary.completed).total_seconds() <= 6


@pytest.mark.parametrize("behaviour", [CRASHES, CANNOT_BE_PULLED, Behaviour(start=50, life=10, exit_code=1)])
@pytest.mark.parametrize(("delivery", "most"), [(Delivery(), 10), (Delivery(doubled=1), 10), (LOST, 60)])
def test_a_crash_loop_is_called_after_its_third_failure(
    model: EcsModel, service: Service, clock: Clock, behaviour: Behaviour, delivery: Delivery, most: float
) -> None:
    model.behaviours[NEW_IMAGE] = behaviour
    end = execute({**REQUEST, "rollback": False}, clock, wait=Waits(model, clock, delivery))
    assert end.error == "DeploymentFailed"
    third = sorted(each.stopped for each in service.stopped if each.stopped)[2]
    assert (clock.now() - third).total_seconds() <= most


def test_ecs_rolls_back_and_its_events_say_so(model: EcsModel, clock: Clock) -> None:
    service = add_doorman(model, breaker=True, breaker_rolls_back=True)
    model.behaviours[NEW_IMAGE] = CANNOT_BE_PULLED
    end = execute(REQUEST, clock, wait=Waits(model, clock))
    assert (end.cause or {})["rolledBack"] is True
    assert service.primary.completed
    assert (clock.now() - service.primary.completed).total_seconds() <= 6


def after(seconds: float, happens: Callable[[], None], waits: Waits) -> Waits:
    """The waits, in which something happens once, so many seconds from now."""
    at, advance, left = waits.clock.now() + timedelta(seconds=seconds), waits.advance, [happens]

    def advancing(step: float) -> None:
        advance(step)
        if left and waits.clock.now() >= at:
            left.pop()()

    waits.advance = advancing  # type: ignore[assignment,method-assign]
    return waits


@pytest.mark.parametrize("strategy", ["ROLLING", "BLUE_GREEN"])
def test_a_hook_is_told_within_seconds_and_polled_hourly_from_then_on(
    model: EcsModel, clock: Clock, strategy: str
) -> None:
    service = add_doorman(model, strategy=strategy)
    service.hooks = [{**PAUSE, "status": "SUCCEEDED"}]
    model.behaviours[NEW_IMAGE] = Behaviour(start=90_000)
    started, paused_at, opened_at = clock.now(), 150.0, 86_400.0

    def open_hook() -> None:
        service.hooks = [{**PAUSE, "status": "SUCCEEDED"}]
        model.tell_of_hook(service, "HOOK_SUCCEEDED")

    def begin_hook() -> None:
        service.hooks = [PAUSE]
        model.tell_of_hook(service, "HOOK_AWAITING_ACTION")

    told: list[float] = []

    def wait(task: Task, time: Any, execution: str) -> None:
        if task.event.get("rollout", {}).get("notified") and not told:
            told.append((clock.now() - started).total_seconds())
        waits(task, time, execution)

    waits = after(opened_at, open_hook, after(paused_at, begin_hook, Waits(model, clock)))
    end = execute({**REQUEST, "timeout": 7_200}, clock, wait=wait)
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert 0 <= told[0] - paused_at <= 5
    hours = opened_at / 3_600
    assert model.called("DescribeServices").count("DescribeServices") <= hours + 40


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    behaviour=st.sampled_from([Behaviour(start=40), Behaviour(start=300), CRASHES, CANNOT_BE_PULLED, HANGS]),
    breaker=st.booleans(),
    lost=st.sampled_from([0, 0.5, 0.9, 1]),
    doubled=st.sampled_from([0, 0.5, 1]),
    longest_delay=st.sampled_from([1, 30, 400]),
    seed=st.integers(0, 1_000),
)
def test_events_that_are_lost_doubled_late_or_shuffled_change_the_moment_only(
    model: EcsModel,
    clock: Clock,
    behaviour: Behaviour,
    breaker: bool,
    lost: float,
    doubled: float,
    longest_delay: float,
    seed: int,
) -> None:
    ends = []
    for delivery in (LOST, Delivery((0, longest_delay), lost, doubled)):
        for each in (model.services, model.families, model.calls, model.table.items, model.before_update, model.waits):
            each.clear()
        service = add_doorman(model, breaker=breaker, breaker_rolls_back=breaker, drain=30)
        model.behaviours = {NEW_IMAGE: behaviour}
        end = execute(REQUEST, clock, wait=Waits(model, clock, delivery, seed))
        ends.append((end.error, (end.output or {}).get("outcome"), (end.cause or {}).get("rolledBack")))
        assert service.primary.rollout_state == "COMPLETED"
        clock.advance(3_600)
    assert ends[0] == ends[1]


@pytest.mark.parametrize("seconds", [40, 150, 900, 3_000])
def test_where_ecs_shifts_traffic_no_event_of_the_end_is_counted_on(
    model: EcsModel, clock: Clock, seconds: int
) -> None:
    """Some event arrives, and that of the end, which AWS does not document for it, never does."""
    service = add_doorman(model, strategy="BLUE_GREEN")
    model.behaviours[NEW_IMAGE] = Behaviour(start=seconds)
    begin = partial(model.tell_of_hook, service, "HOOK_SUCCEEDED")
    end = execute({**REQUEST, "timeout": 7_200}, clock, wait=after(5, begin, Waits(model, clock)))
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert service.primary.completed
    assert (clock.now() - service.primary.completed).total_seconds() <= max(60, 0.1 * seconds)
    assert len(calls(model)) <= 80


def test_an_event_between_the_read_of_a_poll_and_its_token_ends_the_wait_at_once(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    """The poll has read what was, and nothing else will tell it that this has changed."""
    model.behaviours[NEW_IMAGE], service.drain = Behaviour(start=40), 20.5
    waits = Waits(model, clock, Delivery(delay=(0, 0)))
    between: list[Any] = []

    def complete(action: str, _body: dict[str, Any]) -> None:
        polled = action == "DescribeServices" and "UpdateService" in model.called()
        if polled and service.primary.rollout_state == "IN_PROGRESS" and not between:
            between.append(clock.now())
            waits.advance(10)

    model.after_call = complete
    end = execute(REQUEST, clock, wait=waits)
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert between
    assert [(how, took.total_seconds()) for how, took in waits.log][-1] == (ENDED_BY_EVENT, 0)


def test_an_event_of_another_service_or_of_none_is_passed_over(model: EcsModel, clock: Clock, service: Service) -> None:
    other = model.add_service("other", service.primary.revision)
    waits = Waits(model, clock)
    del model.services["production1", "other"]
    model._tell_of(other, other.primary, clock.now())
    model.tell(
        {
            "detail-type": "ECS Hook State Change",
            "time": "2026-01-31T12:00:00Z",
            "detail": {},
            "resources": [],
            "id": "1",
        }
    )
    waits.advance(5)
    assert waits.due == []
    assert model.table.items == {}


def test_a_function_that_cannot_reach_the_table_costs_time_only(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE] = Behaviour(start=100)
    waits = Waits(model, clock)
    refused: list[str] = []

    def refuse(action: str, body: dict[str, Any]) -> None:
        if action == "UpdateItem" and "heard" in body["UpdateExpression"] and len(refused) < 1:
            refused.append(action)
            raise AwsError("ThrottlingException", "Rate exceeded")

    model.before_call = refuse
    assert (execute(REQUEST, clock, wait=waits).output or {})["outcome"] == "DEPLOYED"
    assert refused


def test_who_waits_for_its_turn_asks_ecs_nothing_and_the_table_ever_more_rarely(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE] = Behaviour(start=6_000)
    owner, waits_for_it = {**REQUEST, "timeout": 7_000}, {**PROXY_REQUEST, "timeout": 7_000}
    ends = execute_together({"owner": (0, owner), "waits": (10, waits_for_it)}, clock)
    waits = [each["wait"] for each in ends["waits"].answers if each["next"] == "wait_for_turn"]
    assert waits == sorted(waits)
    assert waits[0] == 56
    assert waits[-1] > 500
    deployments = [each for each in ends.values() if each.output]
    assert len(deployments) == 2
    # Each has read the service at its start, before its update, and at its polls; the one that waited, once more.
    polls = sum(each.output["polls"] for each in deployments if each.output)
    assert model.called("DescribeServices").count("DescribeServices") == polls + 2 * 2 + 1


def test_an_end_wakes_who_waits_for_its_turn(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[NEW_IMAGE] = Behaviour(start=200)
    waits = Waits(model, clock)
    ends = execute_together({"owner": (0, REQUEST), "waits": (10, PROXY_REQUEST)}, clock, waits)
    assert [(each.output or {})["outcome"] for each in ends.values()] == ["DEPLOYED", "DEPLOYED"]
    began = model.services["production1", "doorman-service"].primary.created
    assert 200 <= (began - service.shifts[1].created).total_seconds() <= 215
    assert table.read(KEY).failures == 0


def test_a_take_over_wakes_the_execution_displaced(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[NEW_IMAGE] = HANGS
    newer = {**REQUEST, "image": REQUEST["image"].replace("1.1.0", "1.2.0")}
    started = clock.now()
    ends = execute_together({"old": (0, REQUEST), "new": (100, newer)}, clock, Waits(model, clock))
    assert (ends["old"].output or {})["outcome"] == "SUPERSEDED"
    assert (ends["old"].output or {})["seconds"] <= 105
    assert (ends["new"].output or {})["outcome"] == "DEPLOYED"
    assert (clock.now() - started).total_seconds() > 105
