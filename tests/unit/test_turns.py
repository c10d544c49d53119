"""Which request has its turn: the newest of each container, one at a time, and none while pushes are held."""

from typing import Any

import pytest

from ecs_deploy.aws import dynamodb
from ecs_deploy.core.state import Result
from tests.support.clock import Clock
from tests.support.doorman import (
    KEY,
    NEW_IMAGE,
    NEW_PROXY,
    NEWER_IMAGE,
    NEWER_REQUEST,
    OLD_IMAGE,
    OLD_PROXY,
    PROXY_REQUEST,
    REQUEST,
    SERVICE,
    add_doorman,
    add_theirs,
    die_in_update,
    images,
    push,
    state,
)
from tests.support.ecs_model import CRASHES, HANGS, Behaviour, EcsModel, Service
from tests.support.workflow import End, execute, execute_together

HOLD, RELEASE = {**SERVICE, "hold": "wet paint"}, {**SERVICE, "release": True}


@pytest.fixture
def service(model: EcsModel) -> Service:
    doorman = add_doorman(model)
    for number in (1, 2):
        model.push_image("doorman", f"sha256:{number:064}", f"1.{number}.0")
    return doorman


def outcome(end: End) -> str:
    assert end.output, end.error
    name: str = end.output["outcome"]
    return name


def hold_untouched(end: End) -> None:
    """Hold that an execution says that it has not touched the service."""
    assert end.output
    touched = {key: end.output[key] for key in ("revision", "replaced", "deployment", "polls")}
    assert touched == {"revision": None, "replaced": None, "deployment": None, "polls": 0}


def test_an_older_push_that_comes_late_changes_nothing(model: EcsModel, service: Service, clock: Clock) -> None:
    newer = execute({**NEWER_REQUEST, **push("newer", "11:59:00")}, clock, name="one")
    writes, runs = list(model.writes), service.primary.revision
    late = execute({**REQUEST, **push("older", "11:58:59")}, clock, name="two")
    assert (outcome(newer), outcome(late)) == ("DEPLOYED", "SUPERSEDED")
    hold_untouched(late)
    assert late.output
    assert late.output["image"] == NEW_IMAGE
    assert (service.primary.revision, model.writes) == (runs, writes)


def test_a_newer_push_takes_over_at_once(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[NEW_IMAGE] = HANGS
    older, newer = {**REQUEST, **push("older", "11:58:00")}, {**NEWER_REQUEST, **push("newer", "11:59:00")}
    before = service.primary.revision
    ends = execute_together({"older": (0, older), "newer": (30, newer)}, clock)
    assert (outcome(ends["older"]), outcome(ends["newer"])) == ("SUPERSEDED", "DEPLOYED")
    assert ends["newer"].output
    assert ends["newer"].output["seconds"] < 60
    # What never was stable is nothing to return to.
    assert ends["newer"].output["replaced"] == before
    assert "execution:EcsDeploy:newer has taken its place" in ends["older"].answers[-1]["reasons"][0]
    assert [each.result for each in dynamodb.read_history(KEY)] == [Result.DEPLOYED, Result.SUPERSEDED]
    assert images(model, service.primary.revision) == [NEWER_IMAGE, NEWER_IMAGE, OLD_PROXY]


def test_a_newer_push_takes_over_during_a_return_too_and_the_failure_stays_one(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours |= {NEW_IMAGE: HANGS, OLD_IMAGE: Behaviour(start=100)}
    broken = {**REQUEST, "timeout": 30, **push("older", "11:58:00")}
    newer = {**NEWER_REQUEST, **push("newer", "11:59:00")}
    ends = execute_together({"broken": (0, broken), "newer": (45, newer)}, clock)
    assert outcome(ends["newer"]) == "DEPLOYED"
    assert ends["broken"].error == "DeploymentTimedOut"
    assert ends["broken"].cause
    assert ends["broken"].cause["rolledBack"] is None
    assert "execution:EcsDeploy:newer has taken its place" in ends["broken"].cause["message"]
    assert [each.result for each in dynamodb.read_history(KEY)] == [Result.DEPLOYED, Result.FAILED]
    assert images(model, service.primary.revision)[0] == NEWER_IMAGE


def test_a_newer_request_for_one_of_the_containers_waits_for_the_others(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE] = Behaviour(start=100)
    app_alone = {**NEWER_REQUEST, "container": "app"}
    ends = execute_together({"both": (0, REQUEST), "app": (10, app_alone)}, clock)
    assert (outcome(ends["both"]), outcome(ends["app"])) == ("DEPLOYED", "DEPLOYED")
    assert "wait_for_turn" in [each["next"] for each in ends["app"].answers]
    assert images(model, service.primary.revision) == [NEWER_IMAGE, NEW_IMAGE, OLD_PROXY]


def test_an_older_request_is_deployed_to_the_containers_that_no_newer_one_has(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    app_alone = {**NEWER_REQUEST, "container": "app", **push("newer", "11:59:00")}
    execute(app_alone, clock, name="app")
    both = execute({**REQUEST, **push("older", "11:58:00")}, clock, name="both")
    assert outcome(both) == "DEPLOYED"
    assert images(model, service.primary.revision) == [NEWER_IMAGE, NEW_IMAGE, OLD_PROXY]


@pytest.mark.parametrize("worst_first", [False, True])
def test_a_bad_image_and_a_good_one_for_another_container_at_once_get_a_verdict_each(
    model: EcsModel, service: Service, clock: Clock, worst_first: bool
) -> None:
    model.behaviours[NEW_PROXY] = CRASHES
    after = (0, 1) if worst_first else (1, 0)
    ends = execute_together({"bad": (after[0], PROXY_REQUEST), "good": (after[1], REQUEST)}, clock)
    assert outcome(ends["good"]) == "DEPLOYED"
    assert ends["bad"].error == "DeploymentFailed"
    assert ends["bad"].cause
    assert ends["bad"].cause["rolledBack"] is True
    assert images(model, service.primary.revision) == [NEW_IMAGE, NEW_IMAGE, OLD_PROXY]
    assert service.primary.rollout_state == "COMPLETED"


def test_a_wrong_request_leaves_the_rollout_that_is_under_way(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[NEW_IMAGE] = Behaviour(start=60)
    typo = {**REQUEST, "image": f"{NEW_IMAGE}.1"}
    ends = execute_together({"good": (0, REQUEST), "typo": (20, typo)}, clock)
    assert ends["typo"].error == "ImageNotFound"
    assert outcome(ends["good"]) == "DEPLOYED"


def test_after_a_failure_a_push_for_another_container_does_not_bring_the_failed_image_again(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE] = CRASHES
    assert execute(REQUEST, clock, name="bad").error == "DeploymentFailed"
    assert outcome(execute(PROXY_REQUEST, clock, name="proxy")) == "DEPLOYED"
    assert images(model, service.primary.revision) == [OLD_IMAGE, OLD_IMAGE, NEW_PROXY]


def test_an_older_push_is_deployed_where_the_newer_one_failed(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[NEWER_IMAGE] = CRASHES
    assert execute({**NEWER_REQUEST, **push("newer", "11:59:00")}, clock, name="one").error == "DeploymentFailed"
    late = execute({**REQUEST, **push("older", "11:58:00")}, clock, name="two")
    assert outcome(late) == "DEPLOYED"
    assert images(model, service.primary.revision)[0] == NEW_IMAGE


def test_a_request_by_hand_goes_by_its_time_among_the_pushes(model: EcsModel, service: Service, clock: Clock) -> None:
    execute(REQUEST, clock, name="by-hand")
    before = execute({**NEWER_REQUEST, **push("before", "11:59:59")}, clock, name="before")
    after = execute({**NEWER_REQUEST, **push("after", "12:00:01")}, clock, name="after")
    assert (outcome(before), outcome(after)) == ("SUPERSEDED", "DEPLOYED")
    assert before.output
    assert images(model, service.primary.revision)[0] == NEWER_IMAGE


def test_a_call_of_an_execution_that_died_is_overtaken_if_it_is_applied_late(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    lost = die_in_update(model, clock, {**REQUEST, **push("older", "11:58:00")}, "older")

    def apply_late(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService" and lost not in {each.revision for each in service.deployments}:
            model.start_deployment(service, lost)

    model.after_call = apply_late
    clock.advance(60)
    end = execute({**NEWER_REQUEST, **push("newer", "11:59:00")}, clock, name="newer")
    assert outcome(end) == "DEPLOYED"
    assert "update" in [each["next"] for each in end.answers], "it was updated again"
    assert end.output
    assert service.primary.revision == end.output["revision"] != lost
    assert images(model, service.primary.revision) == [NEWER_IMAGE, NEWER_IMAGE, OLD_PROXY]


# What runs already.

SAME = {**REQUEST, **push("again", "12:30:00", digest="1")}


@pytest.mark.parametrize("image", [NEW_IMAGE, NEWER_IMAGE])
def test_a_push_of_the_digest_that_runs_is_unchanged_whatever_its_tag(
    model: EcsModel, service: Service, clock: Clock, image: str
) -> None:
    execute({**REQUEST, **push("first", "11:59:00", digest="1")}, clock, name="first")
    runs, writes = service.primary.id, list(model.writes)
    end = execute({**SAME, "image": image}, clock, name="again")
    assert outcome(end) == "UNCHANGED"
    hold_untouched(end)
    assert end.output
    assert (end.output["image"], end.output["digest"]) == (image, SAME["push"]["digest"])
    assert (service.primary.id, model.writes) == (runs, writes)
    assert dynamodb.read_history(KEY)[0].result is Result.UNCHANGED


def test_a_push_of_the_digest_that_rolls_out_is_unchanged(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[NEW_IMAGE] = Behaviour(start=60)
    first = {**REQUEST, **push("first", "11:59:00", digest="1")}
    ends = execute_together({"first": (0, first), "again": (20, SAME)}, clock)
    assert (outcome(ends["first"]), outcome(ends["again"])) == ("DEPLOYED", "UNCHANGED")
    assert model.called("UpdateService") == ["UpdateService"]


def test_a_push_that_was_unchanged_is_newer_than_what_came_before_it(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    execute({**REQUEST, **push("first", "11:59:00", digest="1")}, clock, name="first")
    assert outcome(execute(SAME, clock, name="again")) == "UNCHANGED"
    late = execute({**NEWER_REQUEST, **push("late", "12:15:00", digest="2")}, clock, name="late")
    assert outcome(late) == "SUPERSEDED"
    assert images(model, service.primary.revision)[0] == NEW_IMAGE


@pytest.mark.parametrize("change", [{}, {"container": "app"}])
def test_by_hand_what_runs_already_is_a_real_deployment(
    model: EcsModel, service: Service, clock: Clock, change: dict[str, Any]
) -> None:
    execute(REQUEST, clock, name="first")
    runs = service.primary.id
    assert outcome(execute({**REQUEST, **change}, clock, name="again")) == "DEPLOYED"
    assert service.primary.id != runs


def test_what_runs_in_another_container_only_is_a_change(model: EcsModel, service: Service, clock: Clock) -> None:
    app_alone = {**REQUEST, "container": "app", **push("app", "11:59:00", digest="1")}
    execute(app_alone, clock, name="app")
    assert outcome(execute(SAME, clock, name="both")) == "DEPLOYED"
    assert images(model, service.primary.revision) == [NEW_IMAGE, NEW_IMAGE, OLD_PROXY]


def test_what_somebody_else_has_brought_in_since_is_not_what_runs_already(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    execute({**REQUEST, **push("first", "11:59:00", digest="1")}, clock, name="first")
    theirs = add_theirs(model)
    document = model.revision(theirs).document
    document["containerDefinitions"][0]["image"] = model.pinned(OLD_IMAGE)
    model.start_deployment(service, theirs)
    clock.advance(60)
    assert outcome(execute(SAME, clock, name="again")) == "DEPLOYED"


def test_what_somebody_else_has_brought_in_since_may_run_it_already(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    execute({**REQUEST, **push("first", "11:59:00", digest="1")}, clock, name="first")
    model.start_deployment(service, add_theirs(model))
    clock.advance(60)
    assert outcome(execute(SAME, clock, name="again")) == "UNCHANGED"


def test_what_failed_is_tried_again_once_it_is_pushed_again(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[NEW_IMAGE] = CRASHES
    first = execute({**REQUEST, **push("first", "11:59:00", digest="1")}, clock, name="first")
    assert first.error == "DeploymentFailed"
    del model.behaviours[NEW_IMAGE]
    pushed_before = {**REQUEST, **push("another tag", "11:59:30", digest="1")}
    assert outcome(execute(pushed_before, clock, name="before")) == "SUPERSEDED"
    assert outcome(execute(SAME, clock, name="again")) == "DEPLOYED"


# Holds.


def test_a_held_push_is_held_and_a_request_by_hand_goes_on(model: EcsModel, service: Service, clock: Clock) -> None:
    assert outcome(execute(HOLD, clock, name="hold")) == "HELD"
    held = execute({**REQUEST, **push("event", "12:00:01", digest="1")}, clock, name="held")
    assert outcome(held) == "HELD"
    hold_untouched(held)
    assert held.output
    assert (held.output["image"], held.output["digest"]) == (NEW_IMAGE, SAME["push"]["digest"])
    assert "wet paint" in held.answers[-1]["reasons"][0]
    assert model.writes == []
    assert dynamodb.read_history(KEY)[0].result is Result.HELD
    clock.advance(10)
    assert outcome(execute(NEWER_REQUEST, clock, name="by-hand")) == "DEPLOYED"
    assert images(model, service.primary.revision)[0] == NEWER_IMAGE


@pytest.mark.parametrize("verb", [HOLD, RELEASE])
def test_to_hold_or_to_release_touches_no_service(
    model: EcsModel, service: Service, clock: Clock, verb: dict[str, Any]
) -> None:
    end = execute(verb, clock)
    hold_untouched(end)
    assert end.output
    assert (end.output["image"], end.output["digest"]) == (None, None)
    assert model.writes == []


def test_pushes_go_on_once_they_are_released(model: EcsModel, service: Service, clock: Clock) -> None:
    execute(HOLD, clock, name="hold")
    clock.advance(10)
    assert outcome(execute(RELEASE, clock, name="release")) == "RELEASED"
    assert state(clock).hold is None
    assert outcome(execute({**REQUEST, **push("event", "12:00:01")}, clock, name="pushed")) == "DEPLOYED"


def test_to_hold_again_gives_the_newer_reason(model: EcsModel, service: Service, clock: Clock) -> None:
    for number, why in enumerate(["wet paint", "painted doors dry"]):
        execute({**SERVICE, "hold": why}, clock, name=f"hold-{number}")
    held = execute({**REQUEST, **push("event", "12:00:01")}, clock, name="held")
    assert "painted doors dry" in held.answers[-1]["reasons"][0]


def test_a_release_that_was_started_before_the_hold_does_not_lift_it(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    def hold_meanwhile(action: str, _body: dict[str, Any]) -> None:
        if action == "DescribeServices":
            model.before_call = lambda _action, _body: None
            clock.advance(1)
            execute(HOLD, clock, name="hold")

    model.before_call = hold_meanwhile
    execute(RELEASE, clock, name="release")
    assert outcome(execute({**REQUEST, **push("event", "12:00:05")}, clock, name="pushed")) == "HELD"


def test_a_hold_that_comes_between_the_check_and_the_turn_holds(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    def hold_meanwhile(action: str, _body: dict[str, Any]) -> None:
        if action == "TransactWriteItems":
            model.before_call = lambda _action, _body: None
            execute(HOLD, clock, name="hold")

    model.before_call = hold_meanwhile
    held = execute({**REQUEST, **push("event", "11:59:00")}, clock, name="pushed")
    assert outcome(held) == "HELD"
    assert model.writes == []


def test_a_deployment_that_is_under_way_goes_on_when_pushes_are_held(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE] = Behaviour(start=60)
    pushed = {**REQUEST, **push("event", "11:59:00")}
    ends = execute_together({"pushed": (0, pushed), "hold": (20, HOLD)}, clock)
    assert (outcome(ends["pushed"]), outcome(ends["hold"])) == ("DEPLOYED", "HELD")


@pytest.mark.parametrize("verb", [HOLD, RELEASE])
def test_a_service_that_is_not_there_can_be_neither_held_nor_released(
    model: EcsModel, clock: Clock, verb: dict[str, Any]
) -> None:
    end = execute(verb, clock)
    assert end.error == "ServiceNotFound"
    assert model.table.items == {}
