"""Which of two requests is newer, and which containers they are about."""

from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.core.order import covers, is_newer, newer_than, rank, requests_for
from ecs_deploy.core.state import Candidate
from tests.support.rules import asked, at, pushed, state, table

candidates = st.builds(
    Candidate,
    execution=st.uuids().map(str),
    request=st.uuids().map(str),
    requested_at=st.integers(0, 3).map(at),
    started_at=st.integers(0, 3).map(at),
)


@table(
    "one, other, newer",
    {
        "the time of the request goes first": (asked("a", 2), asked("b", 1), True),
        "an older request is not newer": (asked("a", 1), asked("b", 2), False),
        "whenever it has started": (asked("a", 2, started=3), asked("b", 1, started=9), True),
        "of one time, the later start": (asked("a", 1, started=3), asked("b", 1, started=2), True),
        "of one time, not the earlier start": (asked("a", 1, started=2), asked("b", 1, started=3), False),
        "of one time and start, the greater name": (asked("b", 1), asked("a", 1), True),
        "of one time and start, not the lesser name": (asked("a", 1), asked("b", 1), False),
        "a request is not newer than itself": (asked("a", 1), asked("a", 1), False),
        "a request that is started again is not newer than itself": (
            asked("b", 1, request="same", started=5),
            asked("a", 1, request="same"),
            False,
        ),
        "a push and a request by hand go by time alike": (pushed("a", 2), asked("b", 1), True),
    },
)
def test_newer(one: Candidate, other: Candidate, newer: bool) -> None:
    assert is_newer(one, other) is newer


@given(one=candidates, other=candidates)
def test_one_of_two_requests_is_newer(one: Candidate, other: Candidate) -> None:
    assert {is_newer(one, other), is_newer(other, one)} == {True, False}


@given(one=candidates, two=candidates, three=candidates)
def test_newer_than_what_is_newer(one: Candidate, two: Candidate, three: Candidate) -> None:
    oldest, middle, newest = sorted((one, two, three), key=rank)
    assert is_newer(newest, middle)
    assert is_newer(middle, oldest)
    assert is_newer(newest, oldest)


@table(
    "containers, others, covered",
    {
        "the same container": (("app",), ("app",), True),
        "one of the containers": (("app", "proxy"), ("app",), True),
        "one container more": (("app",), ("app", "proxy"), False),
        "another container": (("app",), ("proxy",), False),
        "all containers cover each": (("*",), ("app", "proxy"), True),
        "all containers cover all": (("*",), ("*",), True),
        "no container covers all": (("app",), ("*",), False),
        "not even two containers cover all": (("app", "proxy"), ("*",), False),
    },
)
def test_covers(containers: tuple[str, ...], others: tuple[str, ...], covered: bool) -> None:
    assert covers(containers, others) is covered


MINE = pushed("mine", 5)
NEWER, OLDER = asked("newer", 6), asked("older", 4)
NEWER_FAILED = NEWER._replace(failed_at=at(8))
LATEST = asked("latest", 7)


@table(
    "newest, deployed, container, rival",
    {
        "nothing was asked for yet": ({}, {}, "app", None),
        "a newer request was accepted": ({"app": NEWER}, {}, "app", NEWER),
        "an older request was accepted": ({"app": OLDER}, {}, "app", None),
        "it was accepted itself": ({"app": MINE}, {}, "app", None),
        "a newer request that failed does not stand in the way": ({"app": NEWER_FAILED}, {}, "app", None),
        "a newer one that was stable does": ({}, {"app": NEWER}, "app", NEWER),
        "an older one that was stable does not": ({}, {"app": OLDER}, "app", None),
        "one that was stable does, though another failed": ({"app": NEWER_FAILED}, {"app": LATEST}, "app", LATEST),
        "of two, the one that was stable is named": ({"app": LATEST}, {"app": NEWER}, "app", NEWER),
        "a request for another container is no rival": ({"proxy": NEWER}, {}, "app", None),
        "neither is one that was stable in another container": ({}, {"proxy": NEWER}, "app", None),
        "a request about all containers is a rival in each": ({"*": NEWER}, {}, "app", NEWER),
        "unless it is older": ({"*": OLDER}, {}, "app", None),
        "a request about all containers has rivals in each": ({"proxy": NEWER}, {}, "*", NEWER),
        "and among those about all containers": ({"*": NEWER}, {}, "*", NEWER),
        "an older one about all hides no newer one": ({"*": OLDER, "app": NEWER}, {}, "app", NEWER),
    },
)
def test_newer_than(
    newest: dict[str, Candidate], deployed: dict[str, Candidate], container: str, rival: Candidate | None
) -> None:
    assert newer_than(MINE, container, state(newest=newest, deployed=deployed)) == rival


def test_requests_for_a_container() -> None:
    app, proxy, every, done = asked("app"), asked("proxy"), asked("all"), asked("done")
    known = state(newest={"app": app, "proxy": proxy, "*": every}, deployed={"app": done})
    assert requests_for("app", known) == [app, every, done]
    assert requests_for("proxy", known) == [proxy, every]
    assert requests_for("other", known) == [every]
    assert requests_for("*", known) == [app, proxy, every, done]
