"""Which of two requests is newer, and which containers they are about."""

from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.core.order import covers, goes_before, leads_back, newer_than, newest_first, rank, requests_for
from ecs_deploy.core.state import Candidate
from tests.support.rules import asked, at, entry, owned, pushed, state, table

candidates = st.builds(
    Candidate,
    execution=st.uuids().map(str),
    request=st.uuids().map(str),
    requested_at=st.integers(0, 3).map(at),
    started_at=st.integers(0, 3).map(at),
    tag=st.just(""),
    policy=st.just(""),
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
    assert goes_before(one, other) is newer


@given(one=candidates, other=candidates)
def test_one_of_two_requests_is_newer(one: Candidate, other: Candidate) -> None:
    assert {goes_before(one, other), goes_before(other, one)} == {True, False}


@given(one=candidates, two=candidates, three=candidates)
def test_newer_than_what_is_newer(one: Candidate, two: Candidate, three: Candidate) -> None:
    oldest, middle, newest = sorted((one, two, three), key=rank)
    assert goes_before(newest, middle)
    assert goes_before(middle, oldest)
    assert goes_before(newest, oldest)


def version(execution: str, minutes: float, tag: str, policy: str = "semver:") -> Candidate:
    return pushed(execution, minutes)._replace(tag=tag, policy=policy)


@table(
    "rival, candidate, goes",
    {
        "the higher version goes first": (version("a", 1, "v1.3.0"), version("b", 2, "v1.2.9"), True),
        "the lower one does not": (version("a", 2, "v1.2.9"), version("b", 1, "v1.3.0"), False),
        "ten is more than nine": (version("a", 1, "1.10.0"), version("b", 2, "1.9.0"), True),
        "a pre-release comes before its release": (version("a", 2, "1.0.0-rc.1"), version("b", 1, "1.0.0"), False),
        "of one version, the later push": (version("a", 2, "v1.2.0"), version("b", 1, "1.2.0"), True),
        "of one version, not the earlier push": (version("a", 1, "v1.2.0"), version("b", 2, "1.2.0"), False),
        "a number inside": (version("a", 1, "m-10-x", "m-{n}-*"), version("b", 2, "m-9-x", "m-{n}-*"), True),
        "under another policy, the later push": (version("a", 2, "m-1", "m-{n}"), version("b", 1, "1.0.0"), True),
        "under another policy, not the earlier": (version("a", 1, "1.0.0"), version("b", 2, "m-1", "m-{n}"), False),
        "under none, the later push": (
            pushed("a", 2)._replace(tag="1.0.0"),
            pushed("b", 1)._replace(tag="2.0.0"),
            True,
        ),
        "what people asked for later goes first, at whatever version": (
            asked("a", 2)._replace(tag="1.0.0"),
            version("b", 1, "2.0.0"),
            True,
        ),
        "a push goes before what people asked for earlier": (
            asked("a", 1)._replace(tag="1.0.0"),
            version("b", 2, "2.0.0"),
            False,
        ),
        "but not with a lower version": (asked("a", 1)._replace(tag="2.0.0"), version("b", 2, "1.0.0"), True),
        "unless nobody knows the version": (asked("a", 1)._replace(tag="latest"), version("b", 2, "1.0.0"), False),
        "people go where they want": (version("a", 1, "2.0.0"), asked("b", 2)._replace(tag="1.0.0"), False),
    },
)
def test_order_by_version(rival: Candidate, candidate: Candidate, goes: bool) -> None:
    assert goes_before(rival, candidate) is goes


@table(
    "tags, higher",
    {
        "the highest of what is higher": ({"v1.3.0", "v1.4.0", "v1.1.0"}, "v1.4.0"),
        "nothing of the same version": ({"v1.2.0", "1.2.0"}, None),
        "nothing that is lower": ({"v1.1.9"}, None),
        "nothing without a version": ({"latest"}, None),
        "nothing where nothing is known": (set(), None),
    },
)
def test_what_a_push_would_lead_back_from(tags: set[str], higher: str | None) -> None:
    assert leads_back(version("a", 1, "v1.2.0"), tags) == higher
    assert leads_back(asked("a", 1)._replace(tag="v1.2.0"), tags) is None


def test_a_request_by_hand_hides_the_versions_before_it() -> None:
    ran, back = version("ran", 1, "v2.0.0"), asked("back", 2)._replace(tag="v1.0.0")
    later = version("later", 3, "v1.1.0")
    assert newer_than(later, "app", state(newest={"app": ran}, deployed={"app": ran})) == ran
    assert newer_than(later, "app", state(newest={"app": back}, deployed={"app": ran})) is None
    # Two that each go before the other: both stand in the way.
    above, late = asked("above", 1)._replace(tag="v2.0.0"), version("late", 2, "v1.0.0")
    assert newer_than(asked("mine", 0), "app", state(newest={"app": late}, deployed={"app": above})) == above


def test_a_version_that_somebody_else_has_replaced_counts_no_more() -> None:
    ran, later = version("ran", 1, "v2.0.0"), version("later", 3, "v1.1.0")
    there = state(newest={"app": ran}, deployed={"app": ran})
    assert newer_than(later, "app", there, ran.digest) == ran
    assert newer_than(later, "app", there, "sha256:another") is None
    # What rolls out is not shown yet, and time goes on counting.
    assert newer_than(later, "app", there._replace(owner=owned("ran")), "sha256:another") == ran
    assert newer_than(later._replace(requested_at=at(0)), "app", there, "sha256:another") == ran
    assert newer_than(later, "app", state(deployed={"app": ran._replace(digest="")}), "sha256:another") is not None


def test_the_order_of_a_history() -> None:
    def named(*candidates: Candidate, containers: tuple[str, ...] = ("app",)) -> list[str]:
        history = [entry(each, containers=containers) for each in candidates]
        assert newest_first(history) == newest_first(reversed(history))
        return [each.candidate.execution for each in newest_first(history)]

    two, one, three = version("2", 1, "2.0.0"), version("1", 2, "1.0.0"), version("3", 3, "3.0.0")
    assert named(one, two, three) == ["3", "2", "1"]
    # A request by hand begins anew.
    assert named(two, asked("hand", 1.5), one) == ["1", "hand", "2"]
    assert named(two, pushed("other", 1.5), one) == ["1", "other", "2"]
    # One for another container does not, and neither does another policy there.
    aside = entry(version("aside", 1.5, "m-1", "m-{n}"), containers=("proxy",))
    assert [each.candidate.execution for each in newest_first([entry(one), entry(two), aside])] == ["2", "aside", "1"]
    everywhere = entry(asked("all", 1.5), containers=("*",))
    assert [each.candidate.execution for each in newest_first([entry(one), entry(two), everywhere])] == [
        "1",
        "all",
        "2",
    ]
    # Whatever their executions are called.
    assert named(version("z", 1, "1.0.0"), version("a", 2, "2.0.0"), version("m", 3, "1.5.0")) == ["a", "m", "z"]
    # Those of one version stay as they were.
    again = version("again", 4, "2.0.0")
    assert named(two, again, one) == ["again", "2", "1"]


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
        "of two, the newer one is named": ({"app": LATEST}, {"app": NEWER}, "app", LATEST),
        "whichever was stable": ({"app": NEWER}, {"app": LATEST}, "app", LATEST),
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
