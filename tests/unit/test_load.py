"""Many deployments at once, under AWS's quotas: none fails, none is wrong, and none waits much longer than it must."""

from collections import Counter

import pytest

from tests.load import MINUTE, MOST_RATIO, SCENARIOS, Played, most_within, play
from tests.support.quotas import (
    CATEGORIES,
    CONCURRENCY,
    SERVICE_READS,
    STARTED_EXECUTIONS,
    STATE_TRANSITIONS,
    TABLE_READS,
    TABLE_WRITES,
)


@pytest.fixture(scope="module", params=SCENARIOS, ids=lambda scenario: scenario.name)
def played(request: pytest.FixtureRequest) -> Played:
    return play(request.param)


def test_none_fails(played: Played) -> None:
    assert [each.broke for each in played.executions if each.broke] == []
    assert set(played.ends) <= {"DEPLOYED", "SUPERSEDED"}
    assert played.ends["DEPLOYED"] >= len(played.services)


def test_every_service_runs_its_newest_image(played: Played) -> None:
    for number, service in played.services.items():
        document = played.contention.model.revision(service.primary.revision).document
        assert (
            played.contention.model.named(document["containerDefinitions"][0]["image"]) == played.newest[number].image
        )
        assert [each.rollout_state for each in service.deployments] == ["COMPLETED"]


def test_a_push_starts_one_execution_for_each_service(played: Played) -> None:
    started = Counter((each.request["service"], each.request["push"]["id"]) for each in played.executions)
    assert started == {(played.services[push.service].name, push.event): 1 for push in played.pushes}
    assert played.contention.dead_letters == []


def test_every_push_has_one_revision(played: Played) -> None:
    assert set(Counter(played.registered).values()) == {1}


def test_the_time_is_near_the_least_that_the_quotas_allow(played: Played) -> None:
    assert played.stable_after >= played.least
    assert played.stable_after <= MOST_RATIO * played.least_in_order


def test_polls_stay_near_their_quota(played: Played) -> None:
    polls = played.calls(state="PollStability")["DescribeServices"]
    throttled = played.calls(state="PollStability", throttled=True)["DescribeServices"]
    assert throttled <= polls * played.scenario.most_throttled
    assert most_within(1, played.moments("DescribeServices", state="PollStability")) <= SERVICE_READS.burst


def test_nothing_else_of_aws_is_asked_for_too_much(played: Played) -> None:
    starts = [each.started_at for each in played.executions]
    assert most_within(1, starts) <= STARTED_EXECUTIONS.burst
    assert most_within(1, played.contention.transitions) <= STATE_TRANSITIONS.rate
    assert most_within(1, played.moments("GetItem", "Query")) <= TABLE_READS.rate
    assert most_within(1, played.moments("TransactWriteItems")) <= TABLE_WRITES.rate
    assert played.contention.most_at_once <= CONCURRENCY


def test_no_more_was_granted_than_aws_grants(played: Played) -> None:
    for category, quota in set(CATEGORIES.values()):
        actions = [action for action, (theirs, _) in CATEGORIES.items() if theirs == category]
        granted = [each.at for each in played.contention.calls if each.action in actions and not each.throttled]
        for seconds in (1, MINUTE):
            # A second's tokens may come just before and just after.
            assert most_within(seconds, granted) <= quota.burst + quota.rate * (seconds + 1)
