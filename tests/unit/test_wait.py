"""Waits grow with the time that has passed, never pass the deadline, and stay few."""

from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.request import LONGEST_TIMEOUT
from ecs_deploy.wait import LONGEST, SHORTEST, next_wait

seconds = st.floats(0, LONGEST_TIMEOUT)
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
MOST_EVENTS = 25_000
EVENTS_OF_A_POLL = 9
PHASES = 2


@given(elapsed=seconds, left=seconds)
def test_a_wait_is_whole_seconds_within_its_bounds(elapsed: float, left: float) -> None:
    wait = next_wait(elapsed, left)
    assert 1 <= wait <= LONGEST
    assert wait <= max(1.0, left + 0.5)


@given(elapsed=seconds, later=seconds)
def test_waits_never_shrink_while_there_is_time(elapsed: float, later: float) -> None:
    early, late = sorted((elapsed, later))
    assert next_wait(early, LONGEST_TIMEOUT) <= next_wait(late, LONGEST_TIMEOUT)


def test_the_first_wait_is_short() -> None:
    assert next_wait(0, 600) == SHORTEST


def test_the_longest_deployment_and_its_rollback_fit_into_one_execution() -> None:
    elapsed, polls = 0, 0
    while elapsed < LONGEST_TIMEOUT:
        elapsed += next_wait(elapsed, LONGEST_TIMEOUT - elapsed)
        polls += 1
    assert polls * EVENTS_OF_A_POLL * PHASES < MOST_EVENTS
