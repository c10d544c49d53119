"""Random timelines: whatever tasks and people do, the verdict is true.

Never DEPLOYED unless the new revision is what runs and its rollout is complete; never a failure while it is; never
said to be rolled back unless the revision before runs again.
"""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.support.clock import Clock
from tests.support.ecs_model import CANNOT_BE_PULLED, HANGS, Behaviour, EcsModel, Service
from tests.support.execution import End, execute

IMAGE = "doorman:2"
LONGEST = 300
behaviours = st.one_of(
    st.builds(Behaviour, start=st.floats(0, 200)),
    st.builds(Behaviour, start=st.floats(0, 30), life=st.floats(0.5, 60), exit_code=st.integers(1, 255)),
    st.sampled_from([HANGS, CANNOT_BE_PULLED]),
)


def scale(model: EcsModel, service: Service) -> None:
    service.desired = 4 - service.desired


def update(model: EcsModel, service: Service) -> None:
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": "doorman:theirs"}]}
    model.start_deployment(service, model.add_revision(document))


def revert(model: EcsModel, service: Service) -> None:
    model.start_deployment(service, service.last_completed)


def delete(model: EcsModel, service: Service) -> None:
    service.extra = {"status": "DRAINING"}


people = st.lists(st.tuples(st.floats(0, LONGEST), st.sampled_from([scale, update, revert, delete])), max_size=2)


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    tasks=st.lists(behaviours, min_size=1, max_size=4),
    before=st.lists(behaviours, max_size=1),
    desired=st.integers(0, 4),
    breaker=st.sampled_from([(False, False), (True, False), (True, True)]),
    people=people,
    drain=st.floats(0, 60),
    timeout=st.integers(10, LONGEST),
    rollback=st.booleans(),
)
def test_the_verdict_is_true(
    model: EcsModel,
    clock: Clock,
    tasks: list[Behaviour],
    before: list[Behaviour],
    desired: int,
    breaker: tuple[bool, bool],
    people: list[tuple[float, Callable[[EcsModel, Service], None]]],
    drain: float,
    timeout: int,
    rollback: bool,
) -> None:
    model.services.clear()
    model.families.clear()
    model.calls.clear()
    clock.advance(1)
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": "doorman:1"}]}
    service = model.add_service(
        "doorman-service",
        model.add_revision(document),
        desired=desired,
        breaker=breaker[0],
        breaker_rolls_back=breaker[1],
        drain=drain,
    )
    model.behaviours = {IMAGE: itertools.cycle(tasks)}
    if before:
        model.behaviours["doorman:1"] = before[0]
    started = clock.now()
    pending = sorted(people, key=lambda each: each[0])

    def meanwhile(action: str, _body: dict[str, Any]) -> None:
        while (
            pending and (clock.now() - started).total_seconds() >= pending[0][0] and "UpdateService" in model.called()
        ):
            pending.pop(0)[1](model, service)

    model.before_call = meanwhile
    request = {"cluster": "production1", "service": "doorman-service", "image": IMAGE}
    end = execute({**request, "timeout": timeout, "rollback": rollback}, clock)
    model.before_call = lambda _action, _body: None
    event(end.error or str(end.output and end.output["outcome"]))
    check(end, service, model, rollback=rollback)


def check(end: End, service: Service, model: EcsModel, *, rollback: bool) -> None:
    runs = service.primary.revision
    complete = service.primary.rollout_state == "COMPLETED"
    if end.output:
        mine = end.output["revision"]
        if end.output["outcome"] == "DEPLOYED":
            assert (runs, complete) == (mine, True)
        else:
            assert end.output["outcome"] == "SUPERSEDED"
            assert runs != mine
    else:
        assert end.cause
        mine = end.cause["revision"]
        gone = service.extra.get("status") == "DRAINING"
        assert gone or not (runs == mine and complete)
        if end.cause["rolledBack"]:
            assert (runs, complete) == (end.cause["replaced"], True)
        assert end.cause["reasons"] or gone
    updates = model.called("UpdateService")
    # What a person did in the very moment of the update is given back.
    gave_back = bool(end.output and end.output["outcome"] == "SUPERSEDED")
    assert len(updates) <= 1 + rollback + gave_back


def test_the_model_is_right_about_a_rollout_that_works(model: EcsModel, clock: Clock) -> None:
    """The model itself: new tasks start beside the old ones, which drain when all of the new ones run."""
    document = {"family": "f", "containerDefinitions": [{"name": "app", "image": "a:1"}]}
    service = model.add_service("s", model.add_revision(document), drain=10)
    model.behaviours["a:2"] = Behaviour(start=20)
    document["containerDefinitions"][0]["image"] = "a:2"  # type: ignore[index]
    model.start_deployment(service, model.add_revision(document))
    seen = []
    for _ in range(8):
        clock.advance(5)
        described = model.call("DescribeServices", {"cluster": "production1", "services": ["s"]})["services"][0]
        seen.append([(each["runningCount"], each["rolloutState"]) for each in described["deployments"]])
    assert seen[0] == [(0, "IN_PROGRESS"), (2, "COMPLETED")]
    assert seen[4] == [(2, "IN_PROGRESS"), (2, "COMPLETED")]
    assert seen[-1] == [(2, "COMPLETED")]


@pytest.mark.parametrize(("desired", "threshold"), [(1, 3), (6, 3), (10, 5), (1000, 200)])
def test_the_model_is_right_about_the_threshold_of_the_breaker(
    model: EcsModel, clock: Clock, desired: int, threshold: int
) -> None:
    document = {"family": "f", "containerDefinitions": [{"name": "app", "image": "a:1"}]}
    service = model.add_service("s", model.add_revision(document), desired=desired, breaker=True)
    model.behaviours["a:1"] = itertools.chain([Behaviour(start=1, life=1)] * threshold, itertools.repeat(HANGS))
    made = model.start_deployment(service, model.add_revision(document))
    clock.advance(10)
    model.call("DescribeServices", {"cluster": "production1", "services": ["s"]})
    assert (made.failed, made.rollout_state) == (threshold, "FAILED")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    desired=st.integers(1, 4),
    start=st.floats(0, 30),
    life=st.floats(0.5, 60),
    pulled=st.booleans(),
)
def test_a_crash_loop_is_called_within_three_polls_of_the_third_failed_task(
    model: EcsModel, clock: Clock, desired: int, start: float, life: float, pulled: bool
) -> None:
    model.services.clear()
    model.families.clear()
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": "doorman:1"}]}
    service = model.add_service("doorman-service", model.add_revision(document), desired=desired)
    never_runs = Behaviour(start=start, life=0, stop_code="TaskFailedToStart", reason="CannotPullContainerError")
    model.behaviours = {IMAGE: Behaviour(start=start, life=life, exit_code=1) if pulled else never_runs}
    looks_after = 0

    def count(action: str, _body: dict[str, Any]) -> None:
        nonlocal looks_after
        if action == "DescribeServices" and service.primary.failed >= 3:
            looks_after += 1

    model.after_call = count
    request = {"cluster": "production1", "service": "doorman-service", "image": IMAGE, "rollback": False}
    end = execute({**request, "timeout": 3600}, clock)
    model.after_call = lambda _action, _body: None
    assert end.error == "DeploymentFailed"
    assert looks_after <= 3
