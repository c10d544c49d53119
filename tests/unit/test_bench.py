"""The bench itself: what it counts, and what it makes the other deployers say."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.bench import cost, replayed
from tests.bench.peers import AWS_CLI, FABFUEL
from tests.bench.replay import Figures, Rollout, Watched, intervals
from tests.bench.scenarios import SCENARIOS, Measured, Scenario, judged
from tests.support.clock import Clock

START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def history(*events: tuple[float, str, str]) -> list[dict[str, Any]]:
    """The history of an execution: seconds, type and the state that is entered or left."""
    documents = []
    for seconds, kind, state in events:
        document: dict[str, Any] = {"timestamp": START + timedelta(seconds=seconds), "type": kind}
        if kind == "TaskScheduled":
            document["taskScheduledEventDetails"] = {"resourceType": state}
        if kind.endswith("Exited"):
            document["stateExitedEventDetails"] = {"name": state}
        documents.append(document)
    return documents


def test_a_bill_counts_states_and_retries_and_the_seconds_of_the_functions() -> None:
    events = history(
        (0, "ExecutionStarted", ""),
        (0, "TaskStateEntered", "UpdateService"),
        (0, "TaskScheduled", "lambda"),
        (0.5, "TaskFailed", ""),
        (1.5, "TaskScheduled", "lambda"),
        (2.0, "TaskSucceeded", ""),
        (2.0, "TaskStateExited", "UpdateService"),
        (2.0, "ChoiceStateEntered", "WhatNext"),
        (2.0, "WaitStateEntered", "WaitForRollout"),
        (302.0, "TaskStateEntered", "TellSuccess"),
        (302.0, "TaskScheduled", "events"),
        (302.0, "TaskStateExited", "TellSuccess"),
        (302.0, "SucceedStateEntered", "Succeeded"),
        (302.0, "ExecutionSucceeded", ""),
    )
    bill = cost.billed("first", events, START.timestamp() - 1, polls=1)
    assert (bill.transitions, bill.requests, bill.events) == (7, 2, 1)
    assert bill.gb_seconds == pytest.approx(1.0 * 1769 / 1024)
    assert (bill.seconds, bill.acted, bill.minutes) == (302, 3, 6)
    assert bill.dollars == pytest.approx(7 * 0.000025 + 2 * 0.0000002 + 0.000001 + bill.gb_seconds * 0.0000133334)


def scenario(name: str) -> Scenario:
    return next(each for each in SCENARIOS if each.name.startswith(name))


def replay(name: str, deployer: str) -> Measured:
    clock = Clock()
    world, started = scenario(name).world(clock), clock.now()
    succeeded = replayed.PEERS[deployer](replayed.Caller(world, clock), random.Random(1))
    return judged(world, deployer, started=started, ended=clock.now(), succeeded=succeeded)


@pytest.mark.parametrize("deployer", replayed.PEERS)
def test_the_others_see_the_end_of_a_rollout(deployer: str) -> None:
    measured = replay("60 s, of", deployer)
    assert measured.is_right
    assert measured.lag is not None
    assert measured.lag >= 0


def test_most_others_call_the_return_of_ecs_itself_a_success() -> None:
    assert {name for name in replayed.PEERS if replay("ECS rolls back", name).succeeded} >= {
        FABFUEL,
        AWS_CLI,
        replayed.ACTION,
    }


def test_the_cli_gives_up_before_a_rollout_of_ten_minutes_is_over() -> None:
    measured = replay("600 s", AWS_CLI)
    assert (measured.succeeded, measured.is_right, measured.lag) == (False, False, None)


def test_intervals_and_what_is_better() -> None:
    rollout = Rollout(ran=10, complete=35)
    assert intervals(15, 15)(rollout, 0) == Watched(3, 10, 35)
    assert intervals(5, 20)(rollout, 0) == Watched(3, 0, 35)
    few, many = (Figures.of("", [intervals(wait, wait)(rollout, 0)]) for wait in (20, 1))
    assert not few.is_better(many)
    assert not many.is_better(few)
    assert Figures.of("", [Watched(3, 1, 35)]).is_better(Figures.of("", [Watched(4, 1, 35)]))
