"""Random timelines: whatever tasks and people do, the verdict is true.

Never DEPLOYED unless the new revision is what runs and its rollout is complete; never a failure while it is; never
said to be rolled back unless the revision before runs again. A person's change stays, or runs with the new image. And
the service is left to whoever comes next.
"""

import itertools
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ecs_deploy.aws import dynamodb
from ecs_deploy.core.state import Result
from tests.support.clock import Clock
from tests.support.doorman import KEY, NEW_IMAGE, OLD_IMAGE, REQUEST, add_doorman, add_theirs, images, state
from tests.support.ecs_model import CANNOT_BE_PULLED, HANGS, Behaviour, EcsModel, Service
from tests.support.workflow import End, execute

LONGEST = 300
# The first one, and a second one and a third where somebody was in the way; and the same for the return.
MOST_UPDATES = 6
behaviours = st.one_of(
    st.builds(Behaviour, start=st.floats(0, 200)),
    st.builds(Behaviour, start=st.floats(0, 30), life=st.floats(0.5, 60), exit_code=st.integers(1, 255)),
    st.sampled_from([HANGS, CANNOT_BE_PULLED]),
)


def scale(model: EcsModel, service: Service) -> None:
    service.desired = 4 - service.desired


def update(model: EcsModel, service: Service) -> None:
    model.start_deployment(service, add_theirs(model, proxy=f"envoyproxy/envoy:{len(model.families['doorman'])}"))


def bring_back(model: EcsModel, service: Service) -> None:
    model.start_deployment(service, service.last_completed)


def delete(model: EcsModel, service: Service) -> None:
    service.extra = {"status": "DRAINING"}


Change = Callable[[EcsModel, Service], None]
people = st.lists(st.tuples(st.floats(0, LONGEST), st.sampled_from([scale, update, bring_back, delete])), max_size=2)


@settings(
    max_examples=int(os.environ.get("EXAMPLES", "250")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    tasks=st.lists(behaviours, min_size=1, max_size=4),
    before=st.lists(behaviours, max_size=1),
    desired=st.integers(0, 4),
    breaker=st.sampled_from([(False, False), (True, False), (True, True)]),
    people=people,
    changes_begin_with=st.sampled_from(["DescribeTaskDefinition", "RegisterTaskDefinition", "UpdateService"]),
    drain=st.floats(0, 60),
    timeout=st.integers(10, LONGEST),
    rollback=st.booleans(),
    stale_seconds=st.sampled_from([0, 0, 8, 45]),
    pinned=st.booleans(),
    strategy=st.sampled_from(["ROLLING", "ROLLING", "BLUE_GREEN"]),
)
def test_the_verdict_is_true(
    model: EcsModel,
    clock: Clock,
    tasks: list[Behaviour],
    before: list[Behaviour],
    desired: int,
    breaker: tuple[bool, bool],
    people: list[tuple[float, Change]],
    changes_begin_with: str,
    drain: float,
    timeout: int,
    rollback: bool,
    stale_seconds: float,
    pinned: bool,
    strategy: str,
) -> None:
    if strategy != "ROLLING":
        # Where ECS shifts traffic, it lists no deployments, and a change in the very moment is past finding.
        people = []
    for each in (model.services, model.families, model.calls, model.table.items, model.before_update):
        each.clear()
    model.stale_seconds = stale_seconds
    clock.advance(1)
    model.behaviours = {NEW_IMAGE: itertools.cycle(tasks)}
    if before:
        model.behaviours[OLD_IMAGE] = before[0]
    breaks = {"breaker": breaker[0], "breaker_rolls_back": breaker[1]}
    service = add_doorman(model, pinned=pinned, desired=desired, drain=drain, strategy=strategy, **breaks)
    ran = dict(service.primary.digests)
    # The tag of what runs moves on, so that only its digest brings it back.
    model.images.discard(("doorman", "1.0.0"))
    model.push_image("doorman", f"sha256:{'f' * 64}", "1.0.0")
    started, runs_proxy = clock.now(), images(model, service.primary.revision)[2]
    pending = sorted(people, key=lambda each: each[0])

    def meanwhile(_action: str, _body: dict[str, Any]) -> None:
        nonlocal runs_proxy
        elapsed = (clock.now() - started).total_seconds()
        while pending and elapsed >= pending[0][0] and changes_begin_with in model.called():
            change = pending.pop(0)[1]
            change(model, service)
            # No two deployments are made in the same moment.
            clock.advance(0.01)
            if change in {update, bring_back}:
                runs_proxy = images(model, service.primary.revision)[2]

    model.before_call = meanwhile
    end = execute({**REQUEST, "timeout": timeout, "rollback": rollback}, clock)
    model.before_call = lambda _action, _body: None
    event(end.error or str(end.output and end.output["outcome"]))
    check(end, service, is_pinned=pinned)
    check_digests(end, service, None if people else ran)
    check_table(end, clock)
    if end.output and not service.breaker_rolls_back:
        # Where ECS returns by itself, it may undo theirs.
        assert images(model, service.primary.revision)[2] == runs_proxy
    assert len(model.called("UpdateService")) <= (MOST_UPDATES if people else 1 + rollback)


def check(end: End, service: Service, *, is_pinned: bool) -> None:
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
            assert complete
            # Where it names tags, it comes back as a revision with the digests that ran.
            assert runs == end.cause["replaced"] or not is_pinned
        assert end.cause["reasons"] or gone


def check_digests(end: End, service: Service, ran: dict[str, str] | None) -> None:
    """What was asked for runs, and what ran is back, but for what people have changed."""
    runs = service.primary.digests
    if end.output and end.output["outcome"] == "DEPLOYED":
        assert runs["app"] == end.output["digest"]
    if end.cause and end.cause["rolledBack"] and ran and service.desired:
        assert {name: runs[name] for name in ("app", "worker")} == {name: ran[name] for name in ("app", "worker")}


def check_table(end: End, clock: Clock) -> None:
    assert state(clock).owner is None
    entry, *others = dynamodb.read_history(KEY)
    assert not others
    ends = {"DEPLOYED": Result.DEPLOYED, "SUPERSEDED": Result.DISPLACED}
    assert entry.result is (ends[end.output["outcome"]] if end.output else Result.FAILED)


def test_the_model_is_right_about_a_rollout_that_works(model: EcsModel, clock: Clock) -> None:
    """The model itself: new tasks start beside the old ones, which drain when all of the new ones run."""
    document = {"family": "f", "containerDefinitions": [{"name": "app", "image": "a:1"}]}
    service = model.add_service("s", model.add_revision(document), drain=10)
    model.behaviours["a:2"] = Behaviour(start=20)
    document["containerDefinitions"][0]["image"] = "a:2"  # type: ignore[index]
    model.start_deployment(service, model.add_revision(document))
    shown = []
    for _ in range(8):
        clock.advance(5)
        described = model.call("DescribeServices", {"cluster": "production1", "services": ["s"]})["services"][0]
        shown.append([(each["runningCount"], each["rolloutState"]) for each in described["deployments"]])
    assert shown[0] == [(0, "IN_PROGRESS"), (2, "COMPLETED")]
    assert shown[4] == [(2, "IN_PROGRESS"), (2, "COMPLETED")]
    assert shown[-1] == [(2, "COMPLETED")]


FAILS_TO_START = Behaviour(start=1, life=1, stop_code="TaskFailedToStart")


@pytest.mark.parametrize(("desired", "threshold"), [(1, 3), (6, 3), (10, 5), (1000, 200)])
def test_the_model_is_right_about_the_threshold_of_the_breaker(
    model: EcsModel, clock: Clock, desired: int, threshold: int
) -> None:
    document = {"family": "f", "containerDefinitions": [{"name": "app", "image": "a:1"}]}
    service = model.add_service("s", model.add_revision(document), desired=desired, breaker=True)
    model.behaviours["a:1"] = itertools.chain([FAILS_TO_START] * threshold, itertools.repeat(HANGS))
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
def test_a_crash_loop_is_called_within_six_polls_of_the_third_failed_task(
    model: EcsModel, clock: Clock, desired: int, start: float, life: float, pulled: bool
) -> None:
    for each in (model.services, model.families, model.table.items):
        each.clear()
    service = add_doorman(model, desired=desired)
    never_runs = Behaviour(start=start, life=0, stop_code="TaskFailedToStart", reason="CannotPullContainerError")
    model.behaviours = {NEW_IMAGE: Behaviour(start=start, life=life, exit_code=1) if pulled else never_runs}
    polls_after = 0

    def count(action: str, _body: dict[str, Any]) -> None:
        nonlocal polls_after
        if action == "DescribeServices" and len(service.stopped) >= 3:
            polls_after += 1

    model.after_call = count
    end = execute({**REQUEST, "rollback": False, "timeout": 3600}, clock)
    model.after_call = lambda _action, _body: None
    assert end.error == "DeploymentFailed"
    assert polls_after <= 6
