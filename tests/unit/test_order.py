"""The order of requests is total: by time of the request, then start of the execution, then its id."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.marks import EVERY_CONTAINER, Marks
from ecs_deploy.notation import tag_value
from ecs_deploy.order import concern_the_same, is_newer

EPOCH = datetime(2026, 1, 31, 12, tzinfo=UTC)
instants = st.integers(0, 3).map(lambda n: EPOCH + timedelta(milliseconds=n))
containers = st.lists(st.sampled_from(["app", "worker", "a-proxy"]), min_size=1, unique=True).map(tuple)
marks = st.builds(
    Marks, st.just("c/s"), st.uuids().map(str), st.uuids().map(str), instants, instants, st.just("td:1"), containers
)


@given(one=marks, other=marks)
def test_one_of_two_is_newer(one: Marks, other: Marks) -> None:
    assert {is_newer(one, other), is_newer(other, one)} == {True, False}


@given(mine=marks)
def test_a_revision_without_marks_is_older_than_any(mine: Marks) -> None:
    assert is_newer(mine, None)
    assert not is_newer(None, mine)
    assert not is_newer(mine, mine)


def test_the_time_of_the_request_goes_first() -> None:
    late_start = Marks("c/s", "r1", "e1", EPOCH, EPOCH + timedelta(hours=1), "td:1")
    later_push = Marks("c/s", "r2", "e2", EPOCH + timedelta(seconds=1), EPOCH, "td:1")
    assert is_newer(later_push, late_start)


def test_requests_for_different_containers_do_not_concern_one_another() -> None:
    app = replace(Marks("c/s", "r", "e", EPOCH, EPOCH, "td:1"), containers=("app", "worker"))
    assert concern_the_same(app, replace(app, containers=("worker",)))
    assert not concern_the_same(app, replace(app, containers=("proxy",)))
    assert concern_the_same(app, replace(app, containers=EVERY_CONTAINER))


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
