"""The bench itself: what it counts, and what it makes the other deployers say."""

import dataclasses
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.bench import cost, push, replayed, report
from tests.bench.peers import AWS_CLI, FABFUEL, OURS
from tests.bench.replay import Figures, Rollout, Watched, intervals, ours, peers, random_rollouts
from tests.bench.scenarios import SCENARIOS, Measured, Scenario, judged
from tests.bench.startup import Start
from tests.support.clock import Clock

START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def history(*events: tuple[float, str, str]) -> list[dict[str, Any]]:
    """The history of an execution: seconds, type and the state that is entered or left."""
    documents = []
    for seconds, kind, state in events:
        document: dict[str, Any] = {"timestamp": START + timedelta(seconds=seconds), "type": kind}
        if kind == "TaskScheduled":
            document["taskScheduledEventDetails"] = {"resourceType": state}
        if kind.endswith("Entered"):
            document["stateEnteredEventDetails"] = {"name": state}
        if kind.endswith("Exited"):
            document["stateExitedEventDetails"] = {"name": state}
        documents.append(document)
    return documents


# A step that is tried twice, a wait for an event, and a notification.
EVENTS = history(
    (0, "ExecutionStarted", ""),
    (0, "TaskStateEntered", "UpdateService"),
    (0, "TaskScheduled", "lambda"),
    (0.5, "TaskFailed", ""),
    (1.5, "TaskScheduled", "lambda"),
    (2.0, "TaskSucceeded", ""),
    (2.0, "TaskStateExited", "UpdateService"),
    (2.0, "ChoiceStateEntered", "WhatNext"),
    (2.0, "TaskStateEntered", "WaitForRollout"),
    (2.0, "TaskScheduled", "aws-sdk:dynamodb"),
    (302.0, "TaskStateEntered", "NotifySuccess"),
    (302.0, "TaskScheduled", "events"),
    (302.0, "TaskStateExited", "NotifySuccess"),
    (302.0, "SucceedStateEntered", "Succeeded"),
    (302.0, "ExecutionSucceeded", ""),
)


def test_a_bill_counts_states_and_retries_the_seconds_of_the_functions_and_the_table() -> None:
    bill = cost.billed(EVENTS, table=cost.Units(read=10, written=40), beside=[0.3, 0.2], polls=1)
    assert (bill.transitions, bill.requests, bill.events) == (6, 4, 1)
    assert bill.gb_seconds == pytest.approx(1.5 * 1769 / 1024)
    assert bill.table == cost.Units(read=10, written=42)
    assert (bill.seconds, bill.minutes) == (302, 6)
    of_the_table = 10 * 0.000000125 + 42 * 0.000000625
    of_the_queue = 6 * 0.0000004
    assert bill.dollars == pytest.approx(
        6 * 0.000025 + 4 * 0.0000002 + 0.000001 + bill.gb_seconds * 0.0000133334 + of_the_table + of_the_queue
    )


def test_the_table_is_paid_for_by_the_size_of_what_is_read_and_written() -> None:
    small, large = ({"pk": {"S": "production1/app"}, "value": {"S": "x" * size}} for size in (100, 5000))
    writes = {"TransactItems": [{"Put": {"Item": small}}, {"Put": {"Item": large}}]}
    assert cost.units("TransactWriteItems", writes, {}) == ("production1/app", cost.Units(written=2 * (1 + 5)))
    key = {"Key": {"pk": {"S": "production1/app"}}}
    reads = [cost.units("GetItem", key, answer)[1].read for answer in ({}, {"Item": small}, {"Item": large})]
    assert reads == [1, 1, 2]
    history_key = {"ExpressionAttributeValues": {":pk": {"S": "production1/app"}}}
    assert cost.units("Query", history_key, {"Items": [large, large]}) == ("production1/app", cost.Units(read=3))


def test_a_push_is_measured_to_the_end_of_the_update() -> None:
    assert push.updated_at(EVENTS) == START.timestamp() + 2


def test_a_deployment_without_incident_takes_few_calls() -> None:
    counted = replayed.count_calls()
    assert counted.to_ecs <= replayed.MOST_CALLS.to_ecs
    assert counted.to_table <= replayed.MOST_CALLS.to_table


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
    assert {name for name in replayed.PEERS if replay("ECS rolls back", name).succeeded} == {
        FABFUEL,
        AWS_CLI,
        replayed.ECSPRESSO,
    }


def test_the_cli_gives_up_before_a_rollout_of_ten_minutes_is_over() -> None:
    measured = replay("600 s", AWS_CLI)
    assert (measured.succeeded, measured.is_right, measured.lag) == (False, False, None)


def test_the_page_tells_what_was_measured() -> None:
    rollouts = random_rollouts(3)
    measured = [
        Measured(name, each.name, calls=7, lag=1.0, succeeded=True, is_right=True, seconds=9, to_update=1.0, cpu=0.5)
        for each in SCENARIOS
        for name in (OURS, FABFUEL, AWS_CLI)
    ]
    results = report.Results(
        starts=[Start("dispatcher", ("stepfunctions",), cpu=0.33, alone=0.3, ratio=1.1, compiled=0.6)],
        sizes=(3_000_000, 1_000_000),
        pushes=[1.0, 2.0, 6.0],
        calls=replayed.Calls(5, 7),
        measured=measured,
        replayed=[replay("60 s, of", AWS_CLI)],
        bill=cost.billed(EVENTS, table=cost.Units(10, 40), beside=[0.5], polls=1),
        ours=ours(rollouts),
        peers=peers(rollouts),
        others=[],
        minutes=14,
    )
    page = report.page(results)
    assert "{" not in page
    assert "**2.0 s** from the push to the end of UpdateService, at most 6.0 s in 3 pushes" in " ".join(page.split())
    assert results.over() == []
    slow = dataclasses.replace(results, pushes=[3.0], calls=replayed.Calls(10, 7))
    assert [each.partition(":")[0] for each in slow.over()] == ["a push", "a deployment without incident"]


def test_intervals_and_what_is_better() -> None:
    rollout = Rollout(ran=10, complete=35)
    found = intervals(15, 15, others=0)(rollout, 0)
    assert (found.calls, found.complete) == (4, 35)
    assert 10 < found.lag < 16
    few, many = (Figures.of("", [intervals(wait, wait)(rollout, 0)]) for wait in (20, 1))
    assert not few.is_better(many)
    assert not many.is_better(few)
    assert Figures.of("", [Watched(3, 1, 35)]).is_better(Figures.of("", [Watched(4, 1, 35)]))
