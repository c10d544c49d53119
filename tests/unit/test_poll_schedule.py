"""The waits between polls: whole seconds, never past the deadline, few, and soon followed by the end of the rollout."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.core.poll_schedule import LONGEST, SHORTEST, PollSchedule, Stage, jitter
from ecs_deploy.core.request import LONGEST_TIMEOUT
from tests.bench import replay

seconds = st.floats(0, LONGEST_TIMEOUT)
stages = st.sampled_from(Stage)
jitters = st.floats(0, 1, exclude_max=True)
parts = st.integers(0, 3600)
schedules = st.builds(
    PollSchedule,
    start=parts,
    end=parts,
    polled=seconds,
    missed=seconds,
    ran=st.none() | seconds,
    backoff=st.floats(1, 8),
)
unknown = (st.none() | seconds).map(lambda ran: PollSchedule(ran=ran))
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
MOST_EVENTS = 25_000
EVENTS_OF_A_POLL = 9
PHASES = 2

ROLLOUTS = replay.random_rollouts()
UNKNOWN = [replay.unknown(each, number) for number, each in enumerate(ROLLOUTS)]
KNOWN = [replay.known(last, each, number) for number, (last, each) in enumerate(replay.pairs(ROLLOUTS))]


@given(schedule=schedules, stage=stages, elapsed=seconds, left=seconds, polls=st.integers(0, 500), jitter=jitters)
def test_a_wait_is_whole_seconds_and_not_past_the_deadline(
    schedule: PollSchedule, stage: Stage, elapsed: float, left: float, polls: int, jitter: float
) -> None:
    wait, _ = schedule.next_wait(stage, elapsed, left, polls, jitter)
    assert isinstance(wait, int)
    assert 1 <= wait <= min(LONGEST, max(1, left))


@given(schedule=unknown, stage=stages, elapsed=seconds, later=seconds, jitter=jitters)
def test_waits_never_shrink_within_a_stage_where_nothing_is_known(
    schedule: PollSchedule, stage: Stage, elapsed: float, later: float, jitter: float
) -> None:
    early, late = (schedule.next_wait(stage, when, LONGEST_TIMEOUT, 0, jitter)[0] for when in sorted((elapsed, later)))
    assert early <= late


@given(elapsed=seconds, jitter=jitters, polls=st.integers(0, 500))
def test_what_is_about_to_end_is_polled_sooner(elapsed: float, jitter: float, polls: int) -> None:
    waits = [PollSchedule().next_wait(stage, elapsed, LONGEST_TIMEOUT, polls, jitter)[0] for stage in Stage]
    assert sorted(waits, reverse=True) == waits


@given(schedule=schedules, elapsed=seconds, polls=st.integers(0, 500), jitter=jitters)
def test_what_may_end_at_any_moment_is_noticed_at_most_a_tenth_late_once_it_takes_longer_than_the_last(
    schedule: PollSchedule, elapsed: float, polls: int, jitter: float
) -> None:
    overdue = schedule._replace(missed=0, ran=0, end=min(schedule.end, elapsed / 2), backoff=1)
    wait, _ = overdue.next_wait(Stage.ENDING, elapsed, LONGEST_TIMEOUT, polls, jitter)
    assert wait <= max(SHORTEST, 0.1 * elapsed)


def test_the_first_poll_is_soon() -> None:
    assert PollSchedule().next_wait(Stage.ENDING, 0, 600, 0, 0.5)[0] == SHORTEST
    assert PollSchedule().next_wait(Stage.STARTING, 0, 600, 0, 0.5)[0] < 10


@pytest.mark.parametrize("stage", Stage)
def test_the_longest_deployment_and_its_rollback_fit_into_one_execution(stage: Stage) -> None:
    elapsed, polls, schedule = 0, 0, PollSchedule()
    while elapsed < LONGEST_TIMEOUT:
        wait, schedule = schedule.next_wait(stage, elapsed, LONGEST_TIMEOUT - elapsed, polls, 0)
        elapsed += wait
        polls += 1
    assert polls * EVENTS_OF_A_POLL * PHASES < MOST_EVENTS


def test_any_rollout_takes_few_polls_and_is_noticed_at_most_a_tenth_late() -> None:
    assert [each for each in UNKNOWN if not each.is_within_bounds] == []
    measured = replay.Figures.of("", [each for each in UNKNOWN if 60 <= each.complete <= 180])
    assert measured.polls <= 18


def test_a_rollout_like_the_last_one_takes_fewer_and_is_noticed_sooner() -> None:
    measured = replay.Figures.of("", KNOWN)
    assert measured.most_polls <= 15
    assert measured.median_lag <= 3
    assert [each for each in KNOWN if not each.is_within_bounds] == []


def test_what_it_remembers_by_itself_is_as_good() -> None:
    services = [replay.remembered(each, number) for number, each in enumerate(ROLLOUTS[:1000])]
    later = [watched for _, *others in services for watched in others]
    assert replay.Figures.of("", later).median_lag <= 3
    assert sum(each.polls <= 15 for each in later) >= 0.98 * len(later)


@pytest.mark.parametrize("ours", [UNKNOWN, KNOWN], ids=["unknown", "known"])
def test_no_fixed_interval_and_no_doubling_one_polls_less_and_knows_sooner(ours: list[replay.Watched]) -> None:
    few = slice(0, 2000)
    measured = replay.Figures.of("", ours[few])
    assert [each.name for each in replay.others(ROLLOUTS[few]) if each.is_better(measured)] == []


def test_executions_of_one_push_drift_apart() -> None:
    def polled(execution: str) -> list[int]:
        elapsed, schedule, moments = 0, PollSchedule(), []
        for polls in range(10):
            wait, schedule = schedule.next_wait(Stage.STARTING, elapsed, 600, polls, jitter(execution, polls))
            elapsed += wait
            moments.append(elapsed)
        return moments

    assert polled("one") == polled("one")
    tenth = [polled(f"execution {number}")[-1] for number in range(200)]
    assert len(set(tenth)) >= 5
    assert max(tenth.count(each) for each in tenth) <= 80


def test_after_aws_has_throttled_the_waits_lengthen_and_slowly_shrink_again() -> None:
    schedule, backoffs = PollSchedule(), []
    for was in [True, True, True, True, *[False] * 25]:
        schedule = schedule.throttled(was=was)
        backoffs.append(schedule.backoff)
    assert backoffs[:4] == [2, 4, 8, 8]
    assert backoffs[4:] == sorted(backoffs[4:], reverse=True)
    assert backoffs[5] > 6
    assert backoffs[-1] == 1


@given(schedule=schedules, stage=stages, elapsed=st.floats(0, 600), polls=st.integers(0, 50), jitter=jitters)
def test_a_throttled_execution_never_asks_sooner(
    schedule: PollSchedule, stage: Stage, elapsed: float, polls: int, jitter: float
) -> None:
    before, _ = schedule.next_wait(stage, elapsed, 3600, polls, jitter)
    after, _ = schedule.throttled(was=True).next_wait(stage, elapsed, 3600, polls, jitter)
    assert after >= before


@given(start=parts, end=parts)
def test_what_is_remembered_is_what_was_polled(start: int, end: int) -> None:
    schedule = PollSchedule(missed=start, ran=start, polled=start + end)
    assert PollSchedule.remembered(schedule.memory(start + end)) == PollSchedule(start, end)


@pytest.mark.parametrize("text", ["", "40", "40+", "+60", "4.5+6", "-4+6", "forty+60", "40+60+80"])
def test_what_cannot_be_read_is_not_remembered(text: str) -> None:
    assert PollSchedule.remembered(text) == PollSchedule()


@given(schedule=schedules)
def test_another_rollout_begins_with_what_is_known_of_the_service(schedule: PollSchedule) -> None:
    assert schedule.anew(known=True) == PollSchedule(schedule.start, schedule.end, backoff=schedule.backoff)
    assert schedule.anew(known=False) == PollSchedule(backoff=schedule.backoff)
