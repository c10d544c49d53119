"""The order of requests is total: by time of the request, then start of the execution, then its id."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.model import Marks, tag_value
from ecs_deploy.order import Standing, standing

EPOCH = datetime(2026, 1, 31, 12, tzinfo=UTC)
instants = st.integers(0, 3).map(lambda n: EPOCH + timedelta(milliseconds=n))
marks = st.builds(Marks, st.just("c/s"), st.uuids().map(str), st.uuids().map(str), instants, instants, st.just("td:1"))


@given(one=marks, other=marks)
def test_one_of_two_is_newer(one: Marks, other: Marks) -> None:
    assert {standing(one, other), standing(other, one)} == {Standing.NEWER, Standing.OLDER}


@given(mine=marks)
def test_own_and_same_request_are_told_apart(mine: Marks) -> None:
    assert standing(mine, mine) == Standing.OWN
    assert standing(replace(mine, execution="another"), mine) == Standing.SAME_REQUEST
    assert standing(None, mine) == Standing.OLDER
    # One push may be deployed to several services, which may share a family.
    elsewhere = replace(mine, execution="another", service="c/other")
    assert standing(elsewhere, mine) != Standing.SAME_REQUEST


def test_the_time_of_the_request_goes_first() -> None:
    late_start = Marks("c/s", "r1", "e1", EPOCH, EPOCH + timedelta(hours=1), "td:1")
    later_push = Marks("c/s", "r2", "e2", EPOCH + timedelta(seconds=1), EPOCH, "td:1")
    assert standing(later_push, late_start) == Standing.NEWER


@given(marks=marks)
def test_tags_give_the_marks_back(marks: Marks) -> None:
    assert Marks.read("td:2", marks.as_tags()) == marks


@given(tags=st.dictionaries(st.sampled_from(list(Marks("", "", "", EPOCH, EPOCH, "").as_tags())), st.text()))
def test_tags_that_somebody_else_wrote_are_no_marks(tags: dict[str, str]) -> None:
    assert Marks.read("td:2", tags) is None or tags["ecs-deploy:requested-at"][:4].isdigit()


@given(one=st.text(max_size=20), other=st.text(max_size=20))
def test_any_name_fits_into_a_tag_and_stays_itself(one: str, other: str) -> None:
    values = [tag_value(text.encode(errors="replace").decode()) for text in (one, other)]
    assert all(
        set(value) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 +-=._:/@") for value in values
    )
    assert (values[0] == values[1]) == (one.encode(errors="replace") == other.encode(errors="replace"))
