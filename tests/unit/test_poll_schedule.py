"""The waits between polls: whole seconds, never past the deadline, few, and soon followed by the end of the rollout."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.core.poll_schedule import AFTER_SIGNAL, OFTEN, next_pause, next_wait
from ecs_deploy.core.request import LONGEST_TIMEOUT
from tests.bench import replay

seconds = st.floats(0, LONGEST_TIMEOUT)
looks = st.integers(0, len(AFTER_SIGNAL) + 3)
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
MOST_EVENTS = 25_000
# A wait that ends by its time has six, a step five, a choice two.
EVENTS_OF_A_POLL = 13
PHASES = 2
LONGEST_PAUSE = 28 * 86_400

ROLLOUTS = replay.random_rollouts()
WITH = [replay.with_events(each, number) for number, each in enumerate(ROLLOUTS)]
WITHOUT = [replay.without_events(each, number) for number, each in enumerate(ROLLOUTS)]
LONG = replay.random_rollouts(shortest=600, longest=3600)


@given(elapsed=seconds, left=seconds, looks=looks, hears=st.booleans())
def test_a_wait_is_whole_seconds_and_not_past_the_deadline(
    elapsed: float, left: float, looks: int, hears: bool
) -> None:
    wait = next_wait(elapsed, left, looks=looks, hears=hears)
    assert isinstance(wait, int)
    assert 1 <= wait < max(1, left) + 1


@given(elapsed=seconds, looks=looks)
def test_who_hears_nothing_polls_at_least_as_often(elapsed: float, looks: int) -> None:
    deaf, hears = (next_wait(elapsed, 10 * LONGEST_TIMEOUT, looks=looks, hears=each) for each in (False, True))
    assert deaf <= hears


@pytest.mark.parametrize(("elapsed", "wait"), [(0, 60), (56, 168), (300, 900), (3_600, 10_800)])
def test_who_hears_polls_when_four_times_as_long_has_passed(elapsed: float, wait: int) -> None:
    assert next_wait(elapsed, 10 * LONGEST_TIMEOUT, looks=len(AFTER_SIGNAL), hears=True) == wait


@given(elapsed=seconds)
def test_who_hears_nothing_is_a_minute_or_a_tenth_late_at_most(elapsed: float) -> None:
    wait = next_wait(elapsed, 10 * LONGEST_TIMEOUT, looks=len(AFTER_SIGNAL), hears=False)
    # The others are for what polls take.
    assert wait + 4 <= max(OFTEN, 0.1 * elapsed) + 1


@given(elapsed=seconds, hears=st.booleans())
def test_after_a_signal_a_read_that_shows_the_time_before_is_repeated_for_a_minute(elapsed: float, hears: bool) -> None:
    waits = [next_wait(elapsed, 1_000, looks=each, hears=hears) for each in range(len(AFTER_SIGNAL))]
    assert waits[:3] == [1, 1, 2]
    assert waits == sorted(waits)
    assert sum(waits) > OFTEN


@pytest.mark.parametrize(
    ("paused", "looks", "hears", "wait"),
    [
        (0, len(AFTER_SIGNAL), False, OFTEN - 4),
        (7_200, len(AFTER_SIGNAL), False, 716),
        (10 * 86_400, len(AFTER_SIGNAL), False, 3_600),
        (0, len(AFTER_SIGNAL), True, 3_600),
        (7_200, 2, True, 2),
    ],
)
def test_a_pause(paused: float, looks: int, hears: bool, wait: int) -> None:
    assert next_pause(paused, looks=looks, hears=hears) == wait


@pytest.mark.parametrize("hears", [False, True])
def test_the_longest_deployment_and_its_pauses_fit_into_one_execution(hears: bool) -> None:
    looks, polls = len(AFTER_SIGNAL), 0
    for longest, waits_for_rollout in ((PHASES * LONGEST_TIMEOUT, True), (LONGEST_PAUSE, False)):
        elapsed = 0
        while elapsed < longest:
            if waits_for_rollout:
                elapsed += next_wait(elapsed, LONGEST_TIMEOUT, looks=looks, hears=hears)
            else:
                elapsed += next_pause(elapsed, looks=looks, hears=hears)
            polls += 1
    assert polls * EVENTS_OF_A_POLL < MOST_EVENTS / 2


def test_with_events_any_rollout_takes_few_calls_and_is_known_within_seconds() -> None:
    measured = replay.Figures.of("", WITH)
    assert measured.most_calls <= 12
    assert measured.median_lag <= 3
    assert measured.worst_lag <= 6
    assert max(replay.with_events(each, number).calls for number, each in enumerate(LONG)) <= 16


def test_without_events_any_rollout_takes_at_most_forty_calls_and_is_a_minute_or_a_tenth_late() -> None:
    for each in (*WITHOUT, *(replay.without_events(each, number) for number, each in enumerate(LONG))):
        assert each.calls <= 40
        assert each.lag <= max(60, 0.1 * each.complete)


@pytest.mark.parametrize("ours", [WITH, WITHOUT], ids=["with events", "without"])
def test_no_fixed_interval_and_no_doubling_one_asks_less_and_knows_sooner(ours: list[replay.Watched]) -> None:
    few = slice(0, 2000)
    measured = replay.Figures.of("", ours[few])
    assert [each.name for each in replay.others(ROLLOUTS[few]) if each.is_better(measured)] == []
