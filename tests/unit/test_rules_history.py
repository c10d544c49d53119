"""Which revision a revert goes back to."""

import re

import pytest

from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.history import revision_before
from ecs_deploy.core.state import Entry, Result
from tests.support.rules import asked, entry, table, td


def went(minutes: float, replaced: int | None, number: int | None, result: Result = Result.DEPLOYED) -> Entry:
    """An execution that ended in that minute."""
    return entry(asked(f"at {minutes}", minutes), result, number=number, replaced=replaced, ended=minutes)


UP_TO_4 = [went(1, 1, 2), went(2, 2, 3), went(3, 3, 4)]
BACK_TO_3 = [*UP_TO_4, went(4, 4, 3)]


@table(
    "history, current, last_stable, expected",
    {
        "one deployment": ([went(1, 1, 2)], 2, 2, 1),
        "several deployments": (UP_TO_4, 4, 4, 3),
        "whatever order they are read in": (UP_TO_4[::-1], 4, 4, 3),
        "twice goes back twice": (BACK_TO_3, 3, 3, 2),
        "three times goes back three times": ([*BACK_TO_3, went(5, 3, 2)], 2, 2, 1),
        "a deployment after a revert": ([*BACK_TO_3, went(5, 3, 5)], 5, 5, 3),
        "a revision that was deployed by its name takes away what came after it": ([*UP_TO_4, went(4, 4, 2)], 2, 2, 1),
        "it goes by the end, not by the start": (
            [
                entry(asked("a", 1), number=3, replaced=1, ended=9),
                entry(asked("b", 5), number=2, replaced=1, ended=6),
            ],
            3,
            3,
            1,
        ),
        "what failed is none": ([*UP_TO_4, went(4, 4, 5, Result.FAILED)], 4, 4, 3),
        "what runs has failed, and was not brought back": ([*UP_TO_4, went(4, 4, 5, Result.FAILED)], 5, 4, 4),
        "what was superseded is none": ([*UP_TO_4, went(4, 4, 5, Result.SUPERSEDED)], 4, 4, 3),
        "what was unchanged brought in no revision": ([*UP_TO_4, went(4, None, None, Result.UNCHANGED)], 4, 4, 3),
        "somebody else has brought in what runs": (UP_TO_4, 9, 4, 4),
        "somebody else has brought in what runs, after one that failed": (
            [*UP_TO_4, went(4, 4, 5, Result.FAILED)],
            9,
            4,
            4,
        ),
        "somebody else has brought in what was stable last": (UP_TO_4, 9, 9, 4),
        "somebody else has brought in what was stable, and a rollout runs": (UP_TO_4, 5, 9, 9),
        "somebody else has brought in an older one again": (UP_TO_4, 2, 4, 1),
        "a deployment took the place of somebody else's": ([went(1, 1, 2), went(2, 9, 3)], 3, 3, 9),
        "nothing was replaced that was stable": ([went(1, None, 2), went(2, 2, 3)], 3, 3, 2),
        "nothing is known, and a rollout runs": ([], 5, 1, 1),
        "it runs under way": ([*UP_TO_4, entry(asked("under way", 9), None, number=5, replaced=4)], 5, 4, 4),
    },
)
def test_revision_before(history: list[Entry], current: int, last_stable: int, expected: int) -> None:
    assert revision_before(td(current), history, td(last_stable)) == td(expected)


@table(
    "history, current",
    {
        "nothing was deployed": ([], 1),
        "all was reverted": ([went(1, 1, 2), went(2, 2, 1)], 1),
        "what was deployed took the place of nothing": ([went(1, None, 2)], 2),
    },
)
def test_nothing_to_revert_to(history: list[Entry], current: int) -> None:
    message = f"No revision before doorman:{current} is known to have been stable. Name the one to deploy in revision."
    with pytest.raises(DeployError, match=re.escape(message)) as raised:
        revision_before(td(current), history, td(current))
    assert raised.value.error is Error.NOTHING_TO_REVERT_TO
    assert raised.value.message == message


def test_of_two_that_end_in_one_moment_the_one_that_is_read_first_is_the_older() -> None:
    history = [entry(asked(name), number=number, ended=1) for name, number in (("b", 2), ("a", 3))]
    assert revision_before(td(3), history, td(3)) == td(1)
