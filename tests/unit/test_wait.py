"""Waits: whole seconds, never past the deadline, few, and soon followed by the end of the rollout."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.request import LONGEST_TIMEOUT
from ecs_deploy.wait import LONGEST, SHORTEST, Rhythm, Stage, luck
from tests.bench import replay

seconds = st.floats(0, LONGEST_TIMEOUT)
stages = st.sampled_from(Stage)
lucks = st.floats(0, 1, exclude_max=True)
parts = st.integers(0, 3600)
rhythms = st.builds(
    Rhythm,
    start=parts,
    end=parts,
    looked=seconds,
    missed=seconds,
    ran=st.none() | seconds,
    pace=st.floats(1, 8),
)
unknown = st.builds(Rhythm, ran=st.none() | seconds)
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
MOST_EVENTS = 25_000
EVENTS_OF_A_POLL = 9
PHASES = 2

ROLLOUTS = replay.random_rollouts()
UNKNOWN = [replay.unknown(each, number) for number, each in enumerate(ROLLOUTS)]
KNOWN = [replay.known(last, each, number) for number, (last, each) in enumerate(replay.pairs(ROLLOUTS))]


@given(rhythm=rhythms, stage=stages, elapsed=seconds, left=seconds, polls=st.integers(0, 500), luck=lucks)
def test_a_wait_is_whole_seconds_and_not_past_the_deadline(
    rhythm: Rhythm, stage: Stage, elapsed: float, left: float, polls: int, luck: float
) -> None:
    wait, _ = rhythm.next_wait(stage, elapsed, left, polls, luck)
    assert isinstance(wait, int)
    assert 1 <= wait <= min(LONGEST, max(1, left))


@given(rhythm=unknown, stage=stages, elapsed=seconds, later=seconds, luck=lucks)
def test_waits_never_shrink_within_a_stage_where_nothing_is_known(
    rhythm: Rhythm, stage: Stage, elapsed: float, later: float, luck: float
) -> None:
    early, late = (rhythm.next_wait(stage, when, LONGEST_TIMEOUT, 0, luck)[0] for when in sorted((elapsed, later)))
    assert early <= late


@given(elapsed=seconds, luck=lucks, polls=st.integers(0, 500))
def test_what_is_about_to_end_is_looked_at_sooner(elapsed: float, luck: float, polls: int) -> None:
    waits = [Rhythm().next_wait(stage, elapsed, LONGEST_TIMEOUT, polls, luck)[0] for stage in Stage]
    assert sorted(waits, reverse=True) == waits


@given(rhythm=rhythms, elapsed=seconds, polls=st.integers(0, 500), luck=lucks)
def test_what_may_end_at_any_moment_is_seen_at_most_a_tenth_late_once_it_takes_longer_than_the_last(
    rhythm: Rhythm, elapsed: float, polls: int, luck: float
) -> None:
    overdue = dataclasses.replace(rhythm, missed=0, ran=0, end=min(rhythm.end, elapsed / 2), pace=1)
    wait, _ = overdue.next_wait(Stage.ENDING, elapsed, LONGEST_TIMEOUT, polls, luck)
    assert wait <= max(SHORTEST, 0.1 * elapsed)


def test_the_first_look_is_soon() -> None:
    assert Rhythm().next_wait(Stage.ENDING, 0, 600, 0, 0.5)[0] == SHORTEST
    assert Rhythm().next_wait(Stage.STARTING, 0, 600, 0, 0.5)[0] < 10


@pytest.mark.parametrize("stage", Stage)
def test_the_longest_deployment_and_its_rollback_fit_into_one_execution(stage: Stage) -> None:
    elapsed, polls, rhythm = 0, 0, Rhythm()
    while elapsed < LONGEST_TIMEOUT:
        wait, rhythm = rhythm.next_wait(stage, elapsed, LONGEST_TIMEOUT - elapsed, polls, 0)
        elapsed += wait
        polls += 1
    assert polls * EVENTS_OF_A_POLL * PHASES < MOST_EVENTS


def test_any_rollout_takes_few_polls_and_is_seen_at_most_a_tenth_late() -> None:
    assert [each for each in UNKNOWN if not each.is_within_bounds] == []
    figures = replay.Figures.of("", [each for each in UNKNOWN if 60 <= each.complete <= 180])
    assert figures.polls <= 18


def test_a_rollout_like_the_last_one_takes_fewer_and_is_seen_sooner() -> None:
    figures = replay.Figures.of("", KNOWN)
    assert figures.most_polls <= 15
    assert figures.median_lag <= 3
    assert [each for each in KNOWN if not each.is_within_bounds] == []


def test_what_it_remembers_by_itself_is_as_good() -> None:
    services = [replay.remembered(each, number) for number, each in enumerate(ROLLOUTS[:1000])]
    later = [seen for _, *others in services for seen in others]
    assert replay.Figures.of("", later).median_lag <= 3
    assert sum(each.polls <= 15 for each in later) >= 0.98 * len(later)


@pytest.mark.parametrize("ours", [UNKNOWN, KNOWN], ids=["unknown", "known"])
def test_no_fixed_interval_and_no_doubling_one_asks_less_and_knows_sooner(ours: list[replay.Watched]) -> None:
    few = slice(0, 2000)
    figures = replay.Figures.of("", ours[few])
    assert [each.name for each in replay.others(ROLLOUTS[few]) if each.is_better(figures)] == []


def test_executions_of_one_push_drift_apart() -> None:
    def looks(execution: str) -> list[int]:
        elapsed, rhythm, seen = 0, Rhythm(), []
        for polls in range(10):
            wait, rhythm = rhythm.next_wait(Stage.STARTING, elapsed, 600, polls, luck(execution, polls))
            elapsed += wait
            seen.append(elapsed)
        return seen

    assert looks("one") == looks("one")
    tenth = [looks(f"execution {number}")[-1] for number in range(200)]
    assert len(set(tenth)) >= 5
    assert max(tenth.count(each) for each in tenth) <= 80


def test_after_aws_has_throttled_the_waits_lengthen_and_slowly_shrink_again() -> None:
    rhythm, paces = Rhythm(), []
    for was in [True, True, True, True, *[False] * 25]:
        rhythm = rhythm.throttled(was=was)
        paces.append(rhythm.pace)
    assert paces[:4] == [2, 4, 8, 8]
    assert paces[4:] == sorted(paces[4:], reverse=True)
    assert paces[5] > 6
    assert paces[-1] == 1


@given(rhythm=rhythms, stage=stages, elapsed=st.floats(0, 600), polls=st.integers(0, 50), luck=lucks)
def test_a_throttled_execution_never_asks_sooner(
    rhythm: Rhythm, stage: Stage, elapsed: float, polls: int, luck: float
) -> None:
    before, _ = rhythm.next_wait(stage, elapsed, 3600, polls, luck)
    after, _ = rhythm.throttled(was=True).next_wait(stage, elapsed, 3600, polls, luck)
    assert after >= before


@given(start=parts, end=parts)
def test_what_is_remembered_is_what_was_seen(start: int, end: int) -> None:
    rhythm = Rhythm(missed=start, ran=start, looked=start + end)
    assert Rhythm.remembered(rhythm.memory(start + end)) == Rhythm(start, end)


@pytest.mark.parametrize("text", ["", "40", "40+", "+60", "4.5+6", "-4+6", "forty+60", "40+60+80"])
def test_what_cannot_be_read_is_not_remembered(text: str) -> None:
    assert Rhythm.remembered(text) == Rhythm()


@given(rhythm=rhythms)
def test_another_rollout_begins_with_what_is_known_of_the_service(rhythm: Rhythm) -> None:
    assert rhythm.anew(known=True) == Rhythm(rhythm.start, rhythm.end, pace=rhythm.pace)
    assert rhythm.anew(known=False) == Rhythm(pace=rhythm.pace)
