"""Where the time of a rollout went."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.core.rollout_times import Times, defaults_that_show, rollout_times
from ecs_deploy.core.service import Event, Service, Task
from tests.support.rules import at, service, table, td

BEGAN = at(0)


def moment(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def task(started: float | None, pull: tuple[float, float | None] | None = None, number: int = 2) -> Task:
    return Task.described(
        {
            "taskArn": "task",
            "taskDefinitionArn": td(number),
            "lastStatus": "RUNNING",
            "createdAt": moment(1),
            "containers": [],
            **({"startedAt": moment(started)} if started is not None else {}),
            **({"pullStartedAt": moment(pull[0])} if pull else {}),
            **({"pullStoppedAt": moment(pull[1])} if pull and pull[1] is not None else {}),
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
        "it drains at once": (
            with_events((60, STEADY), (50, STOPS)),
            [task(50, (10, 12.34))],
            Times(2.3, 47.7, 0, 0, 10),
        ),
        "a short pull": (with_events((60, STEADY), (52, STOPS)), [task(50, (10, 10.5))], Times(0.5, 49.5, 2, 0, 8)),
        "a pull without an end": (
            with_events((60, STEADY), (52, STOPS)),
            [task(50, (10, None))],
            Times(0, 50, 2, 0, 8),
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
    named = (
        (
            "health checks took 150 s: by default a target group wants five good ones, 30 s apart "
            "(HealthyThresholdCount, HealthCheckIntervalSeconds)"
        ),
        (
            "draining took 300 s: by default a target group waits 300 s for connections of old tasks "
            "(deregistration_delay.timeout_seconds)"
        ),
    )
    assert defaults_that_show(behind, Times(0, 0, 150, 0, 300)) == (named if balanced else ())
    assert defaults_that_show(behind, Times(900, 900, 149, 900, 299)) == ()
