"""Where the time of a rollout went."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.core.rollout_times import Times, defaults_that_show, rollout_times
from ecs_deploy.core.service import Event, Service, Task
from tests.support.clock import Clock
from tests.support.doorman import NEW_IMAGE, REQUEST, add_doorman
from tests.support.ecs_model import Behaviour, EcsModel
from tests.support.rules import at, service, table, td
from tests.support.workflow import execute

BEGAN = at(0)


def moment(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def task(started: float | None, pull: tuple[float, float] | None = None, number: int = 2) -> Task:
    return Task.described(
        {
            "taskArn": "task",
            "taskDefinitionArn": td(number),
            "lastStatus": "RUNNING",
            "createdAt": moment(1),
            "containers": [],
            **({"startedAt": moment(started)} if started is not None else {}),
            **({"pullStartedAt": moment(pull[0]), "pullStoppedAt": moment(pull[1])} if pull else {}),
        }
    )


def with_events(*events: tuple[float, str], **more: Any) -> Service:
    return service(events=tuple(Event(moment(seconds), f"(service s) {text}.") for seconds, text in events), **more)


DRAINS, STOPS = "has begun draining connections on 2 tasks", "has stopped 2 running tasks: (task 1) (task 2)"
DONE, STEADY = "(deployment ecs-svc/2) deployment completed", "has reached a steady state"


@table(
    "service, tasks, times",
    {
        "behind a load balancer": (
            with_events((500, DONE), (200, DRAINS), (499, STOPS), (35, "has started 2 tasks: (task 1)")),
            [task(40, (10, 30)), task(50, (20, 35)), task(9, number=1)],
            Times(pull=15, start=35, health=150, shift=0, drain=300),
        ),
        "without one": (with_events((60, STEADY), (52, STOPS)), [task(50)], Times(0, 50, 2, 0, 8)),
        "ECS tells no events": (with_events(), [task(50)], Times(0, 50, 550, 0, 0)),
        "events of the rollout before": (with_events((45, DRAINS), (46, DONE)), [task(50)], Times(0, 50, 550, 0, 0)),
        "it bakes": (
            with_events((520, DRAINS), (590, DONE), bake=5),
            [task(50, (0, 20))],
            Times(pull=20, start=30, health=170, shift=300, drain=70),
        ),
        "it was to bake for longer": (with_events((90, DRAINS), bake=5), [task(50)], Times(0, 50, 0, 40, 510)),
        "tasks that ran before": (with_events(), [task(-3, (-9, -5))], Times(0, 0, 600, 0, 0)),
        "no task tells when it ran": (with_events(), [task(None)], None),
        "no task at all": (with_events(), [], None),
    },
)
def test_the_parts(service: Service, tasks: list[Task], times: Times | None) -> None:
    assert rollout_times(service, tasks, td(2), BEGAN, moment(600)) == times


@given(
    started=st.floats(-50, 700),
    pull=st.tuples(st.floats(-50, 700), st.floats(-50, 700)),
    events=st.lists(st.tuples(st.floats(-50, 700), st.sampled_from([DRAINS, STOPS, DONE, STEADY]))),
    bake=st.floats(0, 10),
)
def test_they_are_never_less_than_nothing(
    started: float, pull: tuple[float, float], events: list[tuple[float, str]], bake: float
) -> None:
    found = rollout_times(with_events(*events, bake=bake), [task(started, pull)], td(2), BEGAN, moment(700))
    assert found
    assert min(found) >= 0
    assert sum(found) <= 700.5


@pytest.mark.parametrize("balanced", [False, True])
def test_the_defaults_of_a_load_balancer_are_named_where_they_show(balanced: bool) -> None:
    behind = service(has_load_balancer=balanced)
    both = defaults_that_show(behind, Times(0, 0, 151.2, 0, 305))
    assert len(both) == (2 if balanced else 0)
    assert defaults_that_show(behind, Times(900, 900, 149, 900, 299)) == ()
    if balanced:
        assert both[0].startswith(
            "health checks took 151 s: by default a target group wants five good ones, 30 s apart"
        )
        assert both[1].startswith("draining took 305 s: by default a target group waits 300 s")


def test_they_are_in_the_outcome(model: EcsModel, clock: Clock) -> None:
    doorman = add_doorman(model, drain=310)
    doorman.extra = {"loadBalancers": [{"targetGroupArn": "doorman"}]}
    model.behaviours[NEW_IMAGE] = Behaviour(start=40)
    outcome = execute(REQUEST, clock).output or {}
    times, slow = outcome["times"], outcome["slow"]
    assert list(times) == ["pull", "start", "health", "shift", "drain"]
    assert (times["start"], times["drain"]) == (pytest.approx(40, abs=2), pytest.approx(310, abs=2))
    assert [each.partition(" took")[0] for each in slow] == ["draining"]


def test_there_are_none_where_nothing_was_rolled_out(model: EcsModel, clock: Clock) -> None:
    add_doorman(model, desired=0)
    outcome = execute(REQUEST, clock).output or {}
    assert (outcome["times"], outcome["slow"]) == (None, [])
