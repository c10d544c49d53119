"""The schedules that went wrong in earlier drafts, each by name, call by call.

Executions, messages, people and calls that ECS applies late move in the order that is written here. What is held is
what the service runs in the end, how the executions ended, and what the table holds. The last test takes the
protections out one by one: without it, a schedule goes wrong again.
"""

import random
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from ecs_deploy.aws import dynamodb, ecs
from ecs_deploy.core import base, call, notifications, reconciliation, transitions
from ecs_deploy.core.plan import Plan, Rollout
from ecs_deploy.core.policy import Target
from ecs_deploy.core.poll_schedule import OFTEN
from ecs_deploy.core.service import Service
from ecs_deploy.core.state import Candidate, State
from ecs_deploy.core.transitions import Granted
from ecs_deploy.handlers import poll_stability, targets
from tests.support import exploration
from tests.support.client import Client
from tests.support.ecs_model import HANGS, REGISTRY, Behaviour
from tests.support.exploration import Fate, Message, World
from tests.support.workflow import arn_of
from tests.support.worlds import (
    CLUSTER,
    SERVICE,
    Invocation,
    Push,
    a_world,
    a_world_of,
    by_hand,
    change,
    end,
    ended,
    finish,
    go_on,
    images,
    land,
    outcome,
    reconcile,
    running,
    service_of,
    set_the_stage,
    state_of,
    stop,
    suffer,
    until,
)

LOCK_AT_MOST = 91
"""Seconds, after which no invocation that has called can run any more."""
CALLS = ["TransactWriteItems", "RegisterTaskDefinition", "UpdateService", "poll_stability"]
"""Before the turn is taken, once it is, inside the lock, and during the rollout."""
anywhere = pytest.mark.parametrize("comes_at", CALLS)


@pytest.fixture(autouse=True)
def on_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    set_the_stage(monkeypatch)


def test_the_update_of_an_invocation_that_died_is_applied_after_a_newer_ones() -> None:
    """The old image ran, and both ended as superseded."""
    world = a_world(Push(1), Push(2))
    older, newer = world.executions
    until(world, older, "UpdateService")
    suffer(world, older, Fate.LATE)
    world.clock.advance(LOCK_AT_MOST)
    until(world, newer, "poll_stability")
    land(world)
    finish(world)
    assert (images(world), outcome(older), outcome(newer)) == ({"doorman": "doorman:2"}, "SUPERSEDED", "DEPLOYED")
    assert state_of(world).owner is None


def test_the_update_of_an_invocation_that_died_is_applied_after_the_end_of_a_newer_one() -> None:
    """The old image ran, and nobody looked any more."""
    world = a_world(Push(1), Push(2))
    older, newer = world.executions
    until(world, older, "UpdateService")
    suffer(world, older, Fate.LATE)
    world.clock.advance(LOCK_AT_MOST)
    end(world, newer)
    land(world)
    finish(world)
    reconcile(world)
    assert (images(world), outcome(older), outcome(newer)) == ({"doorman": "doorman:2"}, "SUPERSEDED", "DEPLOYED")


def test_an_update_is_tried_again_while_its_first_invocation_still_lives() -> None:
    """Both were inside the lock: what the second had made from a person's change, the first one replaced."""
    world = a_world(Push(1))
    (execution,) = world.executions
    until(world, execution, "UpdateService")
    first = Invocation.abandoned(world, execution)
    change(world, cpu="512")
    go_on(world, execution, seconds=59)
    end(world, first)
    finish(world)
    assert (images(world), running(world)["cpu"]) == ({"doorman": "doorman:1"}, "512")
    assert outcome(execution) == "DEPLOYED"


def test_a_newer_push_comes_while_an_older_ones_invocation_still_calls() -> None:
    """Both were inside the lock, and the older one's call was the last."""
    world = a_world(Push(1), Push(2))
    older, newer = world.executions
    until(world, older, "UpdateService")
    go_on(world, newer, seconds=20)
    finish(world)
    assert (images(world), outcome(older), outcome(newer)) == ({"doorman": "doorman:2"}, "SUPERSEDED", "DEPLOYED")


def test_a_registration_is_tried_again_when_its_answer_was_lost() -> None:
    """A push made two revisions, of which one was nobody's."""
    world = a_world(Push(1))
    (execution,) = world.executions
    until(world, execution, "RegisterTaskDefinition")
    suffer(world, execution, Fate.CRASH)
    finish(world)
    assert (images(world), outcome(execution)) == ({"doorman": "doorman:1"}, "DEPLOYED")
    assert len(world.model.families["doorman"]) == 2


@pytest.mark.parametrize("events", [(0, 1), (1, 0)])
@pytest.mark.parametrize("versions", [("1.2.9", "1.3.0"), ("1.3.0", "1.2.9")])
@anywhere
def test_two_versions_are_pushed_and_their_events_come_shuffled(
    versions: tuple[str, str], events: tuple[int, int], comes_at: str
) -> None:
    """What ran was the version whose event came last. It is the one that was pushed last."""
    world = a_world(Push(1, tag=versions[0]), Push(2, tag=versions[1]))
    first, second = (world.executions[each] for each in events)
    until(world, first, comes_at)
    go_on(world, second, seconds=30)
    finish(world)
    assert images(world) == {"doorman": f"doorman:{versions[1]}"}


@pytest.mark.parametrize("events", [(0, 1), (1, 0)])
@pytest.mark.parametrize("versions", [("1.2.9", "1.3.0"), ("1.3.0", "1.2.9")])
@anywhere
def test_two_versions_are_pushed_under_a_policy_and_their_events_come_shuffled(
    versions: tuple[str, str], events: tuple[int, int], comes_at: str
) -> None:
    """What ran was the version that was pushed last."""
    world = a_world(*(Push(each, tag=tag, policy="semver:") for each, tag in enumerate(versions, start=1)))
    first, second = (world.executions[each] for each in events)
    until(world, first, comes_at)
    go_on(world, second, seconds=30)
    finish(world)
    assert images(world) == {"doorman": "doorman:1.3.0"}


@pytest.mark.parametrize("comes_from", ["its event", "the schedule"])
def test_a_person_stops_the_execution_that_owns_the_service(comes_from: str) -> None:
    """The service was never deployed to again, or the execution was started again against their will."""
    world = a_world(Push(1), Push(2))
    stopped, next_one = world.executions
    until(world, stopped, "poll_stability")
    stop(world, stopped)
    world.clock.advance(300)
    if comes_from == "its event":
        end(world, world.actors[-1])
    else:
        end(world, Message({"reconcile": [f"{CLUSTER}/{SERVICE}"]}))
    assert state_of(world).owner is None
    assert world.model.executions == {}, "it was started again"
    finish(world)
    assert (images(world), outcome(next_one)) == ({"doorman": "doorman:2"}, "DEPLOYED")
    assert world.model.executions == {}, "it was started again"


@pytest.mark.parametrize("comes_at", ["update_service", "UpdateService", "poll_stability", ""])
def test_a_push_fails_and_then_comes_one_for_another_container(comes_at: str) -> None:
    """The image that had failed ran again, brought along by the good one."""
    world = a_world(Push(1, works=False), Push(2, repository="guard"))
    bad, good = world.executions
    until(world, bad, "poll_stability")
    until(world, bad, "update_service")
    if comes_at:
        until(world, bad, comes_at)
    else:
        end(world, bad)
    go_on(world, good, seconds=30)
    finish(world)
    assert images(world) == {"doorman": "doorman:0", "guard": "guard:2"}
    assert (outcome(bad), outcome(good)) == ("DeploymentFailed", "DEPLOYED")


@pytest.mark.parametrize("is_first", ["bad", "good"])
@anywhere
def test_a_bad_image_and_a_good_one_for_another_container_come_at_once(is_first: str, comes_at: str) -> None:
    """The good one was blamed for what the bad one did."""
    world = a_world(Push(1, works=False), Push(2, repository="guard"))
    bad, good = world.executions
    first, second = (bad, good) if is_first == "bad" else (good, bad)
    until(world, first, comes_at)
    go_on(world, second, seconds=5)
    finish(world)
    assert images(world) == {"doorman": "doorman:0", "guard": "guard:2"}
    assert (outcome(bad), outcome(good)) == ("DeploymentFailed", "DEPLOYED")


@pytest.mark.parametrize("older_ends", ["first", "last"])
def test_a_push_is_taken_over_by_one_that_fails(older_ends: str) -> None:
    """The older one, which works, never got a verdict."""
    world = a_world(Push(1), Push(2, works=False))
    older, newer = world.executions
    until(world, older, "poll_stability")
    until(world, newer, "poll_stability")
    end(world, older if older_ends == "first" else newer)
    finish(world)
    again = world.executions[-1]
    assert images(world) == {"doorman": "doorman:1"}
    assert (outcome(older), outcome(newer), outcome(again)) == ("SUPERSEDED", "DeploymentFailed", "DEPLOYED")
    assert state_of(world).deployed["doorman"].execution.endswith(again.name)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"image": "dorman:2"}, "NoMatchingContainer"),
        ({"image": "doorman:2", "container": "dorman"}, "NoMatchingContainer"),
        ({"image": f"{REGISTRY}/doorman:2", "container": "doorman"}, "ImageNotFound"),
        ({"revision": "doorman:99"}, "InvalidRequest"),
        ({"image": "doorman:2", "timout": 60}, "InvalidRequest"),
    ],
)
def test_a_request_with_a_typo_comes_during_a_rollout(wrong: dict[str, Any], error: str) -> None:
    """The rollout was displaced, and left without anybody who watches it."""
    world = a_world(Push(1))
    (execution,) = world.executions
    until(world, execution, "poll_stability")
    typo = by_hand(world, "typo", **wrong)
    end(world, typo)
    assert outcome(typo) == error
    finish(world)
    assert (images(world), outcome(execution)) == ({"doorman": "doorman:1"}, "DEPLOYED")


@pytest.mark.parametrize("comes_at", ["poll_stability", ""])
def test_an_image_is_pushed_again_and_an_older_push_of_another_one_comes_late(comes_at: str) -> None:
    """The late one ran: the second push of what ran had left nothing to be older than."""
    world = a_world(Push(1, tag="good"), Push(2, tag="old"), Push(3, tag="good"))
    first, late, again = world.executions
    if comes_at:
        until(world, first, comes_at)
    else:
        end(world, first)
    end(world, again)
    end(world, late)
    finish(world)
    assert images(world) == {"doorman": "doorman:good"}
    assert [outcome(each) for each in (first, again, late)] == ["DEPLOYED", "UNCHANGED", "SUPERSEDED"]


def test_an_older_push_comes_late() -> None:
    """The late one ran."""
    world = a_world(Push(1), Push(2))
    late, newer = world.executions
    end(world, newer)
    end(world, late)
    finish(world)
    assert (images(world), outcome(late), outcome(newer)) == ({"doorman": "doorman:2"}, "SUPERSEDED", "DEPLOYED")


@pytest.mark.parametrize("comes_at", ["RegisterTaskDefinition", "UpdateService", "poll_stability"])
def test_a_revert_comes_during_the_rollout_of_another_container(comes_at: str) -> None:
    """The revision that came back carried the image along that was not proven."""
    world = a_world(Push(1), Push(2, repository="guard"))
    stable, unproven = world.executions
    end(world, stable)
    until(world, unproven, comes_at)
    world.clock.advance(1)
    revert = by_hand(world, "revert", revert=True)
    go_on(world, revert, seconds=20)
    finish(world)
    assert images(world)["guard"] == "guard:0"
    assert (outcome(unproven), outcome(revert)) == ("SUPERSEDED", "DEPLOYED")
    assert state_of(world).owner is None


def test_the_answer_to_the_write_of_a_verdict_is_lost_and_a_newer_push_takes_over() -> None:
    """The older one said that it was superseded, though it had been deployed."""
    world = a_world(Push(1), Push(2))
    older, newer = world.executions
    until(world, older, "poll_stability")
    until(world, older, "TransactWriteItems")
    suffer(world, older, Fate.CRASH_LATER)
    until(world, newer, "poll_stability")
    finish(world)
    assert (images(world), outcome(older), outcome(newer)) == ({"doorman": "doorman:2"}, "DEPLOYED", "DEPLOYED")


@pytest.mark.parametrize(
    "comes_at", ["TransactWriteItems", "RegisterTaskDefinition", "update_service", "UpdateService"]
)
def test_a_person_changes_the_service_between_a_read_and_the_update(comes_at: str) -> None:
    """Their change was gone."""
    world = a_world(Push(1))
    (execution,) = world.executions
    until(world, execution, comes_at)
    world.clock.advance(1)
    change(world, cpu="512")
    finish(world)
    assert (images(world), running(world)["cpu"]) == ({"doorman": "doorman:1"}, "512")
    assert outcome(execution) == "DEPLOYED"


def test_a_person_changes_the_service_before_an_update_whose_answer_is_lost() -> None:
    """Their change was gone: when the step was tried again, ECS did not list it any more."""
    world = a_world(Push(1))
    (execution,) = world.executions
    until(world, execution, "update_service")
    world.clock.advance(1)
    change(world, cpu="512")
    until(world, execution, "UpdateService")
    suffer(world, execution, Fate.CRASH_LATER)
    finish(world)
    assert (images(world), running(world)["cpu"]) == ({"doorman": "doorman:1"}, "512")
    assert outcome(execution) == "DEPLOYED"


def test_a_person_changes_the_service_and_the_answer_of_the_update_after_it_is_lost() -> None:
    """Their change was undone by ours, which is listed beside it when the step is tried again."""
    world = a_world(Push(1))
    (execution,) = world.executions
    until(world, execution, "UpdateService")
    change(world, cpu="512")
    world.model.services[CLUSTER, SERVICE].drain = 300
    suffer(world, execution, Fate.CRASH)
    finish(world)
    assert (images(world), running(world)["cpu"]) == ({"doorman": "doorman:1"}, "512")
    assert outcome(execution) == "DEPLOYED"


def test_the_answer_of_an_update_is_lost_and_a_person_brings_back_what_ran_before() -> None:
    """The step was tried again, and theirs was undone."""
    world = a_world(Push(1))
    (execution,) = world.executions
    before = service_of(world).primary.revision
    world.model.services[CLUSTER, SERVICE].drain = 300
    until(world, execution, "UpdateService")
    suffer(world, execution, Fate.CRASH)
    world.clock.advance(1)
    world.model.start_deployment(service_of(world), before)
    finish(world)
    assert (images(world), outcome(execution)) == ({"doorman": "doorman:0"}, "SUPERSEDED")


def test_the_answer_of_an_update_is_lost_and_what_ran_before_is_back_and_complete() -> None:
    """The step was tried again, and theirs was undone."""
    world = a_world(Push(1))
    (execution,) = world.executions
    before = service_of(world).primary.revision
    until(world, execution, "UpdateService")
    suffer(world, execution, Fate.CRASH_LATER)
    world.clock.advance(1)
    world.model.start_deployment(service_of(world), before)
    finish(world)
    assert (images(world), outcome(execution)) == ({"doorman": "doorman:0"}, "SUPERSEDED")


def test_an_update_is_not_applied_and_a_person_changes_the_service() -> None:
    """Ours was lost: what was not applied passed for what they had undone."""
    world = a_world(Push(1))
    (execution,) = world.executions
    until(world, execution, "UpdateService")
    suffer(world, execution, Fate.LATE)
    world.actors.pop()
    change(world, cpu="512")
    finish(world)
    assert (images(world), running(world)["cpu"]) == ({"doorman": "doorman:1"}, "512")
    assert outcome(execution) == "DEPLOYED"


@pytest.mark.parametrize("theirs_takes", [0, 60])
@pytest.mark.parametrize("lands_at", ["RegisterTaskDefinition", "update_service", "UpdateService", "poll_stability"])
def test_an_update_whose_answer_was_lost_is_applied_after_a_person_has_changed_the_service(
    lands_at: str, theirs_takes: float
) -> None:
    """Their change was undone, and the execution said that somebody else had done it."""
    world = a_world(Push(1))
    (execution,) = world.executions
    until(world, execution, "UpdateService")
    suffer(world, execution, Fate.LATE)
    until(world, execution, "update_service")
    world.model.behaviours["doorman:0"] = Behaviour(start=theirs_takes)
    change(world, cpu="512")
    until(world, execution, "register_task_definition")
    until(world, execution, lands_at)
    land(world)
    finish(world)
    assert (images(world), running(world)["cpu"]) == ({"doorman": "doorman:1"}, "512")
    assert outcome(execution) == "DEPLOYED"


@pytest.mark.parametrize("comes_at", ["", *CALLS])
def test_the_update_of_an_invocation_that_died_is_applied_after_a_person_has_changed_the_service(comes_at: str) -> None:
    """A newer push took what was made before their change for what there was to go on from."""
    world = a_world(Push(1), Push(2))
    older, newer = world.executions
    until(world, older, "UpdateService")
    suffer(world, older, Fate.LATE)
    world.clock.advance(LOCK_AT_MOST)
    # Theirs is still listed when the newer push comes.
    service_of(world).drain = 300
    change(world, cpu="512")
    world.clock.advance(1)
    if comes_at:
        until(world, newer, comes_at)
    land(world)
    finish(world)
    assert (images(world), running(world)["cpu"]) == ({"doorman": "doorman:2"}, "512")
    assert (outcome(older), outcome(newer)) == ("SUPERSEDED", "DEPLOYED")


@pytest.mark.parametrize("lands_after", [0, 30])
def test_the_update_of_an_invocation_that_died_is_applied_after_a_newer_one_has_failed(lands_after: int) -> None:
    """The newer one took it for ECS's return: it ended as timed out after a minute, or left what had come late."""
    world = a_world(Push(1, works=False), Push(2, works=False))
    older, newer = world.executions
    until(world, older, "UpdateService")
    suffer(world, older, Fate.LATE)
    world.clock.advance(LOCK_AT_MOST)
    until(world, newer, "poll_stability")
    until(world, newer, "DescribeServices")
    world.clock.advance(lands_after)
    world.model.behaviours["doorman:1"] = Behaviour(start=600)
    assert service_of(world).primary.rollout_state == "FAILED"
    land(world)
    go_on(world, newer, 120)
    finish(world)
    assert outcome(newer) == "DeploymentFailed"
    assert "was returned to doorman:1 and" in str(newer.end)


def test_the_answer_of_an_update_is_lost_and_a_person_changes_what_it_has_brought_in() -> None:
    """Theirs was undone."""
    world = a_world(Push(1))
    (execution,) = world.executions
    until(world, execution, "UpdateService")
    suffer(world, execution, Fate.CRASH_LATER)
    world.clock.advance(1)
    change(world, cpu="512")
    finish(world)
    assert (images(world), running(world)["cpu"]) == ({"doorman": "doorman:1"}, "512")


@anywhere
def test_a_push_comes_within_the_second_of_a_request_by_hand(comes_at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The push was the later one, lost, and nobody said why: its event tells whole seconds."""
    notify, notified = notifications.outcome, {}

    def listen(case: notifications.Case, *more: Any) -> notifications.Detail:
        notified[case.execution] = detail = notify(case, *more)
        return detail

    monkeypatch.setattr(notifications, "outcome", listen)
    world = a_world(Push(30))
    (push,) = world.executions
    world.clock.advance(0.5)
    hand = by_hand(world, "hand", image="doorman:hand")
    until(world, hand, comes_at)
    world.clock.advance(0.4)
    push.move(world, Fate.ANSWERED)
    finish(world)
    assert (images(world), outcome(push), outcome(hand)) == ({"doorman": "doorman:hand"}, "SUPERSEDED", "DEPLOYED")
    (why,) = notified[arn_of(push.name)]["reasons"]
    assert arn_of(hand.name) in why


@pytest.mark.parametrize("seed", range(20))
def test_two_pushes_each_for_the_same_services_come_at_once(seed: int) -> None:
    """Each undid what the other had brought in, and the services ran different images."""
    services = ("front-door", "back-door")
    world = a_world_of(services, Push(1), Push(2))
    random_ = random.Random(seed)
    exploration.walk(world, iter(lambda: random_.randrange(40), None))
    finish(world)
    assert [images(world, each) for each in services] == [{"doorman": "doorman:2"}] * 2
    assert [state_of(world, each).owner for each in services] == [None, None]
    assert [outcome(each) for each in world.executions[2:]] == ["DEPLOYED", "DEPLOYED"]


def test_a_hold_is_set_between_the_check_and_the_turn() -> None:
    """The push was deployed though pushes were held."""
    world = a_world(Push(1))
    (push,) = world.executions
    until(world, push, "TransactWriteItems")
    end(world, by_hand(world, "hold", hold="wet paint"))
    finish(world)
    assert (images(world), outcome(push)) == ({"doorman": "doorman:0"}, "HELD")
    state = state_of(world)
    assert state.owner is None
    assert state.hold
    assert state.hold.why == "wet paint"


@pytest.mark.parametrize("moves_first", ["push", "release"])
@pytest.mark.parametrize("calls", range(6))
def test_a_release_comes_at_the_same_time_as_a_push(moves_first: str, calls: int) -> None:
    """The push was held after the release had looked for what was held, and was never started."""
    world = a_world(Push(1))
    (push,) = world.executions
    end(world, by_hand(world, "hold", hold="wet paint"))
    world.clock.advance(1)
    release = by_hand(world, "release", release=True)
    first, second = (push, release) if moves_first == "push" else (release, push)
    for _ in range(calls):
        if not first.is_over:
            first.move(world, Fate.ANSWERED)
    end(world, second)
    # The dispatcher hears of it at once, and of the other's end when it has come.
    world.actors.append(ended(world, second))
    end(world, world.actors[-1])
    finish(world)
    assert images(world) == {"doorman": "doorman:1"}
    assert (state_of(world).hold, outcome(release)) == (None, "RELEASED")


@pytest.fixture
def rolled_back(monkeypatch: pytest.MonkeyPatch) -> World:
    """A service that somebody has rolled back by hand on purpose, from a newer image that is still there."""
    target = Target(CLUSTER, SERVICE, "doorman", reconcile_minutes=60)
    monkeypatch.setattr(targets, "served", lambda: (target,))
    world = a_world(Push(1, repository=f"{REGISTRY}/doorman"))
    world.actors.clear()
    world.model.push_image("doorman", "sha256:bad", "bad")
    world.clock.advance(24 * 3600)
    return world


def test_the_table_is_new_and_a_service_was_rolled_back_by_hand(rolled_back: World) -> None:
    """The service was rolled forward."""
    for _ in range(3):
        reconcile(rolled_back)
        rolled_back.clock.advance(3600)
    assert rolled_back.executions == []
    assert images(rolled_back) == {"doorman": f"{REGISTRY}/doorman:0"}


def test_the_table_is_lost_and_a_service_was_rolled_back_by_hand(rolled_back: World) -> None:
    """The service was rolled forward; what is pushed from then on is found, though."""
    reconcile(rolled_back)
    rolled_back.model.table.items.clear()
    rolled_back.clock.advance(3600)
    for _ in range(3):
        reconcile(rolled_back)
        rolled_back.clock.advance(3600)
    assert rolled_back.executions == []
    rolled_back.model.push_image("doorman", "sha256:good", "good")
    rolled_back.clock.advance(3600)
    reconcile(rolled_back)
    assert images(rolled_back) == {"doorman": f"{REGISTRY}/doorman:good"}


@pytest.mark.parametrize("polls", [1, 2, 3, 5, 8])
def test_a_rollout_is_complete_right_after_a_poll_has_read_it(polls: int) -> None:
    """The event came before anybody waited for it, and the execution waited until its timeout."""
    world = a_world(Push(1))
    world.model.behaviours["doorman:1"] = HANGS
    (execution,) = world.executions
    until(world, execution, "poll_stability")
    for _ in range(polls):
        until(world, execution, "DescribeServices")
        while not execution.wakes_at:
            execution.move(world, Fate.ANSWERED)
    now = world.clock.now()
    for task in service_of(world).primary.tasks:
        task.behaviour = Behaviour(start=(now - task.launched).total_seconds())
    assert execution.wakes_at
    next_poll = execution.wakes_at
    assert next_poll - now <= timedelta(seconds=OFTEN)
    end(world, execution)
    assert (outcome(execution), world.clock.now()) == ("DEPLOYED", next_poll)


def test_an_owner_ends_right_after_another_execution_has_asked_for_its_turn() -> None:
    """The other one waited for an event that had come before."""
    world = a_world(Push(1), Push(2, repository="guard"))
    owner, other = world.executions
    until(world, owner, "poll_stability")
    until(world, owner, "TransactWriteItems")
    until(world, other, "TransactWriteItems")
    while not other.wakes_at:
        other.move(world, Fate.ANSWERED)
    now = world.clock.now()
    end(world, owner)
    assert other.wakes_at
    assert other.wakes_at - now <= timedelta(seconds=OFTEN)
    next_try = other.wakes_at
    until(world, other, "UpdateService")
    assert world.clock.now() == next_try
    finish(world)
    assert images(world) == {"doorman": "doorman:1", "guard": "guard:2"}


def without_compare_and_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def unconditional(action: str, body: dict[str, Any]) -> dict[str, Any]:
        for item in body.get("TransactItems", ()):
            item["Put"].pop("ConditionExpression", None)
        return exploration.call(action, body)

    monkeypatch.setattr(dynamodb, "connect", lambda: Client(unconditional))


def without_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    def granted(_state: State, _candidate: Candidate, containers: tuple[str, ...], **_: object) -> Granted:
        return Granted(containers)

    monkeypatch.setattr(transitions, "take_turn", granted)


def without_the_time_of_what_was_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transitions, "_raised", lambda state, _candidate: state)


def without_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transitions, "is_busy", lambda *_: None)


def without_the_intent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transitions, "intended", lambda state, _intent: state)


def without_what_may_land_late(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (base, call, poll_stability):
        monkeypatch.setattr(module, "late_revisions", lambda *_: set())


def without_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "renewed", lambda made_from, *_: made_from)


def without_what_was_displaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "displaced_by", lambda *_, **_more: None)


def without_reading_what_was_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecs, "revisions_after", lambda _revision: [])


def without_reading_what_was_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    before_call = call.before_call

    def blind(plan: Plan, rollout: Rollout, service: Service, state: State, *more: Any) -> call.Ruling:
        others = tuple(each for each in state.intents if each.execution != plan.execution)
        return before_call(plan, rollout, service, state._replace(intents=others), *more)

    monkeypatch.setattr(call, "before_call", blind)


def without_the_end_that_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb, "read_entry", lambda *_: None)


def without_a_second_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "restarts", lambda *_: [])


def without_a_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "repair", lambda *_: None)


@pytest.mark.parametrize(
    ("taken_out", "schedule"),
    [
        (without_compare_and_set, test_a_hold_is_set_between_the_check_and_the_turn),
        (without_the_turn, test_an_older_push_comes_late),
        (
            without_the_time_of_what_was_unchanged,
            partial(test_an_image_is_pushed_again_and_an_older_push_of_another_one_comes_late, ""),
        ),
        (without_the_lock, test_an_update_is_tried_again_while_its_first_invocation_still_lives),
        (without_the_lock, test_a_newer_push_comes_while_an_older_ones_invocation_still_calls),
        (without_the_intent, test_the_update_of_an_invocation_that_died_is_applied_after_a_newer_ones),
        (without_what_may_land_late, test_the_update_of_an_invocation_that_died_is_applied_after_a_newer_ones),
        (without_the_base, test_a_person_changes_the_service_before_an_update_whose_answer_is_lost),
        (
            without_what_was_displaced,
            partial(test_a_person_changes_the_service_between_a_read_and_the_update, "UpdateService"),
        ),
        (without_reading_what_was_registered, test_a_registration_is_tried_again_when_its_answer_was_lost),
        (
            without_reading_what_was_updated,
            test_the_answer_of_an_update_is_lost_and_a_person_brings_back_what_ran_before,
        ),
        (
            without_the_end_that_was_written,
            test_the_answer_to_the_write_of_a_verdict_is_lost_and_a_newer_push_takes_over,
        ),
        (without_a_second_start, partial(test_a_push_is_taken_over_by_one_that_fails, "last")),
        (without_a_repair, test_the_update_of_an_invocation_that_died_is_applied_after_the_end_of_a_newer_one),
    ],
)
def test_without_it_a_schedule_fails(
    taken_out: Callable[[pytest.MonkeyPatch], None], schedule: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each protection is there for a schedule."""
    schedule()
    taken_out(monkeypatch)
    with pytest.raises(AssertionError):
        schedule()
