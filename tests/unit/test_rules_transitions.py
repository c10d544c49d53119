"""Whose turn it is, the lock with its intent, and how an execution ends."""

import pytest

from ecs_deploy.core import transitions
from ecs_deploy.core.decision import Outcome
from ecs_deploy.core.state import LATEST_INTENTS, Candidate, Hold, Intent, Phase, Result, Stable, State
from ecs_deploy.core.transitions import Granted, Queued, Shown, Skipped, TurnRuling, after_turn, take_turn
from tests.support.rules import asked, at, intent, owned, pushed, stable, state, table, td, typed

APP, PROXY, BOTH, ALL = ("app",), ("proxy",), ("app", "proxy"), ("*",)
MINE = pushed("mine", 5, digest="sha256:5")
BY_HAND = asked("mine", 5, digest="sha256:5")
NEWER, OLDER = pushed("newer", 6), pushed("older", 4)
HOLD = Hold("the weekend", "somebody", at())


def superseded(by: str, when: str) -> Skipped:
    return Skipped(Outcome.SUPERSEDED, f"{by} is newer: it was requested at 2026-01-31T{when}.000Z")


@table(
    "candidate, containers, known, ruling",
    {
        "nobody deploys": (MINE, APP, state(), Granted(APP)),
        "nobody deploys, and an older request was there": (MINE, APP, state(newest={"app": OLDER}), Granted(APP)),
        "it has its turn already, for the containers that it got": (
            MINE,
            BOTH,
            state(owner=owned("mine")),
            Granted(APP),
        ),
        "it has its turn already, whatever is newer or held": (
            MINE,
            APP,
            state(owner=owned("mine"), newest={"app": NEWER}, hold=HOLD),
            Granted(APP),
        ),
        "a newer request is there": (MINE, APP, state(newest={"app": NEWER}), superseded("newer", "12:06:00")),
        "a newer request was stable": (MINE, APP, state(deployed={"app": NEWER}), superseded("newer", "12:06:00")),
        "a newer request has failed": (MINE, APP, state(newest={"app": NEWER._replace(failed_at=at(9))}), Granted(APP)),
        "a newer request is there for each of its containers": (
            MINE,
            BOTH,
            state(newest={"app": NEWER, "proxy": asked("other", 7)}),
            superseded("newer", "12:06:00"),
        ),
        "a newer request is there for one of its containers": (
            MINE,
            BOTH,
            state(newest={"app": NEWER}),
            Granted(PROXY),
        ),
        "a newer request is there for all containers": (
            MINE,
            BOTH,
            state(newest={"*": NEWER}),
            superseded("newer", "12:06:00"),
        ),
        "a request for all containers, and a newer one for one of them": (
            asked("mine", 5),
            ALL,
            state(newest={"app": NEWER}),
            superseded("newer", "12:06:00"),
        ),
        "a request for all containers takes over from any": (
            asked("mine", 5),
            ALL,
            state(owner=owned("older", "app", "proxy"), newest={"app": OLDER, "proxy": OLDER}),
            Granted(ALL),
        ),
        "it takes over from an older one of its container": (
            MINE,
            APP,
            state(owner=owned("older"), newest={"app": OLDER}),
            Granted(APP),
        ),
        "it takes over from an older one of one of its containers": (
            MINE,
            BOTH,
            state(owner=owned("older"), newest={"app": OLDER}),
            Granted(BOTH),
        ),
        "it takes over from one that returns": (
            MINE,
            APP,
            state(owner=owned("older", phase=Phase.RETURNING), newest={"app": OLDER._replace(failed_at=at(5))}),
            Granted(APP),
        ),
        "it waits while another container is deployed": (
            MINE,
            APP,
            state(owner=owned("older", "proxy"), newest={"proxy": OLDER}),
            Queued(APP),
        ),
        "it waits while another container is deployed beside its own": (
            MINE,
            APP,
            state(owner=owned("older", "app", "proxy"), newest={"app": OLDER, "proxy": OLDER}),
            Queued(APP),
        ),
        "it waits while all containers are deployed": (
            MINE,
            APP,
            state(owner=owned("older", "*"), newest={"*": OLDER}),
            Queued(APP),
        ),
        "what is left of it does not cover the owner": (
            MINE,
            BOTH,
            state(owner=owned("newer"), newest={"app": NEWER}),
            Queued(PROXY),
        ),
    },
)
def test_turn(candidate: Candidate, containers: tuple[str, ...], known: State, ruling: TurnRuling) -> None:
    assert typed(take_turn(known, candidate, containers)) == typed(ruling)


@table(
    "candidate, known, ruling",
    {
        "a push is held": (MINE, state(hold=HOLD), Skipped(Outcome.HELD, "pushes are held: the weekend")),
        "a push is held before anything else is asked": (
            MINE,
            state(hold=HOLD, newest={"app": NEWER}),
            Skipped(Outcome.HELD, "pushes are held: the weekend"),
        ),
        "a request by hand is not held": (BY_HAND, state(hold=HOLD), Granted(APP)),
        "nothing is held": (MINE, state(), Granted(APP)),
    },
)
def test_hold(candidate: Candidate, known: State, ruling: TurnRuling) -> None:
    assert typed(take_turn(known, candidate, APP)) == typed(ruling)


def tried(digest: str = "sha256:5", failed: float | None = 6) -> Candidate:
    return pushed("tried", 3, digest=digest, failed=failed)


AGAIN = Skipped(Outcome.SUPERSEDED, "tried has tried the same image, which failed")


@table(
    "candidate, containers, newest, ruling",
    {
        "the image has failed since it was pushed": (MINE, APP, {"app": tried()}, AGAIN),
        "the image has failed in the moment of the push": (MINE, APP, {"app": tried(failed=5)}, AGAIN),
        "the image is pushed again after it failed": (MINE, APP, {"app": tried(failed=4)}, Granted(APP)),
        "the image is asked for by hand": (BY_HAND, APP, {"app": tried()}, Granted(APP)),
        "another image has failed": (MINE, APP, {"app": tried("sha256:4")}, Granted(APP)),
        "the image has not failed": (MINE, APP, {"app": tried(failed=None)}, Granted(APP)),
        "it failed in another container": (MINE, APP, {"proxy": tried()}, Granted(APP)),
        "it failed in the second of its containers": (
            MINE,
            BOTH,
            {"app": tried("sha256:4"), "proxy": tried()},
            AGAIN,
        ),
        "nothing is known of the first of its containers": (MINE, BOTH, {"proxy": tried()}, AGAIN),
        "what it is started again for has failed": (
            pushed("again", 5, request="push of tried", digest="sha256:5"),
            APP,
            {"app": tried()},
            Granted(APP),
        ),
        "the digest is not known": (pushed("mine", 5, digest=""), APP, {"app": tried("")}, Granted(APP)),
    },
)
def test_what_failed_is_not_tried_again(
    candidate: Candidate, containers: tuple[str, ...], newest: dict[str, Candidate], ruling: TurnRuling
) -> None:
    assert typed(take_turn(state(newest=newest), candidate, containers)) == typed(ruling)


UNCHANGED = Skipped(Outcome.UNCHANGED, "the service runs or rolls out sha256:5 already")
RUNS = stable(2, digests={"app": "sha256:5", "proxy": "sha256:5"})
ROLLS_OUT = {"app": pushed("other", 3, digest="sha256:5")}


@table(
    "candidate, containers, known, ruling",
    {
        "the service runs the image": (MINE, APP, state(stable=RUNS), UNCHANGED),
        "the service runs the image in both containers": (MINE, BOTH, state(stable=RUNS), UNCHANGED),
        "the service runs another image in one of them": (
            MINE,
            BOTH,
            state(stable=stable(2, digests={"app": "sha256:5", "proxy": "sha256:4"})),
            Granted(BOTH),
        ),
        "nobody knows what runs in one of them": (
            MINE,
            BOTH,
            state(stable=stable(2, digests={"app": "sha256:5"})),
            Granted(BOTH),
        ),
        "somebody has brought in another revision since": (
            MINE,
            APP,
            state(stable=stable(3, digests={"app": "sha256:5"})),
            Granted(APP),
        ),
        "nothing was stable yet": (MINE, APP, state(), Granted(APP)),
        "a request by hand is a real deployment": (BY_HAND, APP, state(stable=RUNS), Granted(APP)),
        "the digest is not known": (pushed("mine", 5, digest=""), APP, state(stable=stable(2)), Granted(APP)),
        "the digest is not known of what is rolled out either": (
            pushed("mine", 5, digest=""),
            APP,
            state(owner=owned("other"), newest={"app": pushed("other", 3, digest="")}),
            Granted(APP),
        ),
        "all containers are asked for": (MINE, ALL, state(stable=stable(2, digests={"*": "sha256:5"})), Granted(ALL)),
        "the service runs it, but something else is rolled out": (
            MINE,
            APP,
            state(stable=RUNS, owner=owned("other"), newest={"app": pushed("other", 3)}),
            Granted(APP),
        ),
        "the image is rolled out": (MINE, APP, state(owner=owned("other"), newest=ROLLS_OUT), UNCHANGED),
        "the image is rolled out in both containers": (
            MINE,
            BOTH,
            state(owner=owned("other", *BOTH), newest={**ROLLS_OUT, "proxy": ROLLS_OUT["app"]}),
            UNCHANGED,
        ),
        "the image is rolled out in one of two containers": (
            MINE,
            BOTH,
            state(owner=owned("other"), newest={**ROLLS_OUT, "proxy": ROLLS_OUT["app"]}),
            Granted(BOTH),
        ),
        "the image is rolled out among more": (
            MINE,
            APP,
            state(owner=owned("other", *BOTH), newest=ROLLS_OUT),
            UNCHANGED,
        ),
        "another image is rolled out": (
            MINE,
            APP,
            state(owner=owned("other"), newest={"app": pushed("other", 3)}),
            Granted(APP),
        ),
        "the image waits for its turn, and is not rolled out yet": (
            MINE,
            APP,
            state(owner=owned("third", *BOTH), newest=ROLLS_OUT),
            Queued(APP),
        ),
        "the image is rolled out, but another one is newest in the second container": (
            MINE,
            BOTH,
            state(owner=owned("other", *BOTH), newest={**ROLLS_OUT, "proxy": pushed("other", 3)}),
            Granted(BOTH),
        ),
        "nothing is known of the second container": (
            MINE,
            BOTH,
            state(owner=owned("other", *BOTH), newest=ROLLS_OUT),
            Granted(BOTH),
        ),
        "the rollout of the image has failed": (
            MINE,
            APP,
            state(owner=owned("other", phase=Phase.RETURNING), newest=ROLLS_OUT),
            Granted(APP),
        ),
    },
)
def test_unchanged(candidate: Candidate, containers: tuple[str, ...], known: State, ruling: TurnRuling) -> None:
    assert typed(take_turn(known, candidate, containers, runs=td(2))) == typed(ruling)


def test_unchanged_in_the_containers_that_are_left_to_it() -> None:
    # A newer request has the container that does not run the image.
    known = state(stable=stable(2, digests={"app": "sha256:5", "proxy": "sha256:4"}), newest={"proxy": NEWER})
    assert typed(take_turn(known, MINE, BOTH, runs=td(2))) == typed(UNCHANGED)


def test_what_runs_is_not_known_where_it_was_not_read() -> None:
    assert typed(take_turn(state(stable=RUNS), MINE, APP)) == typed(Granted(APP))


@table(
    "ruling, before, after",
    {
        "granted: it is the owner and the newest, and what is stable is noted": (
            Granted(BOTH),
            state(newest={"app": OLDER, "other": OLDER}, stable=stable(1)),
            state(
                newest={"app": MINE, "proxy": MINE, "other": OLDER},
                stable=stable(2),
                owner=owned("mine", *BOTH, since=6),
            ),
        ),
        "granted: it takes over": (
            Granted(APP),
            state(newest={"app": OLDER}, owner=owned("older", phase=Phase.RETURNING)),
            state(newest={"app": MINE}, stable=stable(2), owner=owned("mine", since=6)),
        ),
        "granted already: it stays the owner that it was": (
            Granted(APP),
            state(newest={"app": MINE}, owner=owned("mine", since=1)),
            state(newest={"app": MINE}, stable=stable(2), owner=owned("mine", since=1)),
        ),
        "queued: it is the newest": (
            Queued(APP),
            state(newest={"app": OLDER, "proxy": OLDER}, owner=owned("older", *BOTH), stable=stable(1)),
            state(newest={"app": MINE, "proxy": OLDER}, owner=owned("older", *BOTH), stable=stable(1)),
        ),
        "superseded: nothing": (
            Skipped(Outcome.SUPERSEDED, ""),
            state(newest={"app": MINE._replace(execution="x", requested_at=at(1))}),
            state(newest={"app": MINE._replace(execution="x", requested_at=at(1))}),
        ),
        "held: nothing but the reason that people are notified of": (
            Skipped(Outcome.HELD, ""),
            state(hold=HOLD, newest={"app": OLDER}),
            state(hold=HOLD, newest={"app": OLDER}, held_for="the weekend"),
        ),
        "unchanged: what runs counts as asked for now": (
            Skipped(Outcome.UNCHANGED, ""),
            state(deployed={"app": pushed("a", 3, digest="sha256:5"), "proxy": OLDER}),
            state(deployed={"app": pushed("a", 3, digest="sha256:5")._replace(requested_at=at(5)), "proxy": OLDER}),
        ),
        "unchanged: what rolls out counts as asked for now": (
            Skipped(Outcome.UNCHANGED, ""),
            state(newest={"app": pushed("a", 3, digest="sha256:5"), "proxy": OLDER}),
            state(newest={"app": pushed("a", 3, digest="sha256:5")._replace(requested_at=at(5)), "proxy": OLDER}),
        ),
        "unchanged: what was asked for later stays so": (
            Skipped(Outcome.UNCHANGED, ""),
            state(newest={"app": pushed("a", 7, digest="sha256:5")}),
            state(newest={"app": pushed("a", 7, digest="sha256:5")}),
        ),
        "unchanged: what failed stays as it was": (
            Skipped(Outcome.UNCHANGED, ""),
            state(newest={"app": pushed("a", 3, digest="sha256:5", failed=4)}),
            state(newest={"app": pushed("a", 3, digest="sha256:5", failed=4)}),
        ),
    },
)
def test_after_the_turn(ruling: TurnRuling, before: State, after: State) -> None:
    assert after_turn(before, MINE, ruling, stable(2), at(6)) == after


def test_a_late_older_push_loses_against_what_was_unchanged() -> None:
    """v2 at one minute, v2 again at three, and then a late v1 of two."""
    v2 = pushed("v2", 1, digest="sha256:2")
    again = pushed("v2 again", 3, digest="sha256:2")
    runs = state(stable=stable(2, digests={"app": "sha256:2"}), deployed={"app": v2}, newest={"app": v2})
    ruling = take_turn(runs, again, APP, runs=td(2))
    assert ruling == Skipped(Outcome.UNCHANGED, "the service runs or rolls out sha256:2 already")
    raised = after_turn(runs, again, ruling, None, at(3))
    assert typed(take_turn(raised, pushed("v1", 2), APP, runs=td(2))) == typed(superseded("v2", "12:03:00"))


@table(
    "intents, until",
    {
        "nobody calls": ((), None),
        "another invocation may be calling": ((intent("a", 2, until=6),), at(6)),
        "another invocation may be calling, until the last of them cannot any more": (
            (intent("a", 2, until=7), intent("b", 3, until=8), intent("c", 4, until=6)),
            at(8),
        ),
        "the answer was noted": ((intent("a", 2, noted=2, until=6),), None),
        "it is this invocation": ((intent("a", 2, invocation="mine", until=6),), None),
        "the other invocation cannot call any more": ((intent("a", 2, until=4),), None),
        "the other invocation cannot call any more from now on": ((intent("a", 2, until=5),), None),
    },
)
def test_busy(intents: tuple[Intent, ...], until: object) -> None:
    assert transitions.is_busy(state(intents=intents), "mine", at(5)) == until


OPEN = [intent(f"open {number}", number) for number in range(10)]
NOTED = [intent(f"noted {number}", number, noted=2) for number in range(10)]
NEW = intent("new", 99)


@table(
    "before, after",
    {
        "the first intent": ([], [NEW]),
        "one more": ([OPEN[1]], [OPEN[1], NEW]),
        "there are as many as are kept": ([*NOTED[:4]], [*NOTED[:4], NEW]),
        "the oldest whose answer is known is forgotten": ([*NOTED[:5]], [*NOTED[1:5], NEW]),
        "one whose answer is not known is kept": ([OPEN[0], *NOTED[:4]], [OPEN[0], *NOTED[1:4], NEW]),
        "the oldest goes where no answer is known": ([*OPEN[:5]], [*OPEN[1:5], NEW]),
        "as many go as are too many": ([OPEN[0], *NOTED[:6]], [OPEN[0], *NOTED[3:6], NEW]),
        "an earlier send of the call may be applied by itself": (
            [OPEN[0], NEW._replace(invocation="earlier"), OPEN[1]],
            [OPEN[0], NEW._replace(invocation="earlier"), OPEN[1], NEW],
        ),
        "an earlier call of the execution is another one": ([NEW._replace(number=1)], [NEW._replace(number=1), NEW]),
        "a call of the execution for another revision is another one": (
            [NEW._replace(revision=td(98))],
            [NEW._replace(revision=td(98)), NEW],
        ),
        "a call by another execution for the revision is another one": (
            [NEW._replace(execution="other")],
            [NEW._replace(execution="other"), NEW],
        ),
        "a call whose answer is known stays": (
            [NEW._replace(noted_at=at(2))],
            [NEW._replace(noted_at=at(2)), NEW],
        ),
    },
)
def test_intended(before: list[Intent], after: list[Intent]) -> None:
    assert transitions.intended(state(intents=tuple(before)), NEW) == state(intents=tuple(after))


def test_a_call_that_is_sent_again_and_again_makes_nobody_elses_forgotten() -> None:
    known = state(intents=tuple(NOTED[:2]))
    sends = [NEW._replace(invocation=f"try {number}") for number in range(9)]
    for each in sends:
        known = transitions.intended(known, each)
    assert known.intents == (*NOTED[:2], sends[0], sends[-2], sends[-1])


def test_the_latest_intents_are_kept() -> None:
    known = state()
    for each in NOTED:
        known = transitions.intended(known, each)
    assert known.intents == tuple(NOTED[-LATEST_INTENTS:])
    assert LATEST_INTENTS == 5


def test_noted() -> None:
    other, earlier = NEW._replace(number=1), NEW._replace(invocation="earlier")
    before = state(intents=(other, earlier, NEW), owner=owned("new"))
    noted = NEW._replace(deployment="ecs-svc/99", noted_at=at(3), displaced=td(7))
    after = transitions.noted(before, NEW, "ecs-svc/99", td(7), at(3))
    assert after == state(intents=(other, earlier, noted), owner=owned("new"))


def test_unlocked() -> None:
    other, done = NEW._replace(number=1, invocation="earlier"), NEW._replace(noted_at=at(2))
    before = state(intents=(other, done, NEW), owner=owned("new"))
    after = transitions.unlocked(before, NEW, at(2))
    assert after == state(intents=(other, done, NEW._replace(until=at(2))), owner=owned("new"))
    assert transitions.is_busy(after, "next", at(2)) == other.until
    assert transitions.is_busy(transitions.unlocked(after, other, at(2)), "next", at(2)) is None


def test_deployed() -> None:
    known = {"newest": {"app": MINE}, "intents": (NEW,)}
    before = state(
        **known,  # type: ignore[arg-type]
        deployed={"app": OLDER, "other": OLDER},
        owner=owned("mine", *BOTH),
        stable=stable(1),
        broken_since=at(1),
    )
    after = state(
        **known,  # type: ignore[arg-type]
        deployed={"app": MINE, "proxy": MINE, "other": OLDER},
        stable=stable(2),
    )
    assert transitions.deployed(before, MINE, BOTH, stable(2)) == after


@table(
    "broken_since, since",
    {
        "it is broken since the execution has started": (None, 5),
        "it is broken since a rollout before": (4, 4),
        "it is broken since this one, which began before the other": (6, 5),
    },
)
def test_failed(broken_since: float | None, since: float) -> None:
    before = state(
        newest={"app": MINE, "proxy": OLDER},
        deployed={"app": OLDER},
        owner=owned("mine", since=5),
        stable=stable(1),
        broken_since=None if broken_since is None else at(broken_since),
    )
    assert transitions.failed(before, MINE, at(9)) == before._replace(
        newest={"app": MINE._replace(failed_at=at(9)), "proxy": OLDER},
        owner=owned("mine", since=5, phase=Phase.RETURNING),
        broken_since=at(since),
    )


def test_broken_since_the_verdict_if_the_clocks_differ() -> None:
    assert transitions.failed(state(), pushed("mine", 5), at(4)).broken_since == at(4)


def test_what_failed_after_it_was_started_again() -> None:
    again = pushed("again", 5, request="push of mine", started=8)
    known = transitions.failed(state(newest={"app": MINE}), again, at(9))
    assert known.newest == {"app": MINE._replace(failed_at=at(9))}
    assert known.owner is None


@table(
    "restored, broken_since",
    {"the service is not well yet": (False, at(1)), "the service is back on what was stable": (True, None)},
)
def test_ended(restored: bool, broken_since: object) -> None:
    before = state(owner=owned("mine"), broken_since=at(1), newest={"app": MINE}, stable=stable(1))
    after = before._replace(owner=None, broken_since=broken_since)  # type: ignore[arg-type]
    assert transitions.ended(before, "mine", restored=restored) == after


@table(
    "before, revision, after",
    {
        "as it was": (stable(1, digests={"app": "sha256:1"}), 1, stable(1, digests={"app": "sha256:1"})),
        "as another revision": (
            stable(1, digests={"app": "sha256:1"}),
            3,
            stable(3, digests={"app": "sha256:1"})._replace(written={"proxy": "envoy:v1"}),
        ),
        "nobody knows what was stable": (None, 3, None),
    },
)
def test_returned(before: Stable | None, revision: int, after: Stable | None) -> None:
    known = state(owner=owned("mine"), broken_since=at(1), stable=before)
    found = transitions.returned(known, "mine", td(revision), {"proxy": "envoy:v1"})
    assert found == known._replace(owner=None, broken_since=None, stable=after)


def test_the_end_of_an_execution_that_is_not_the_owner() -> None:
    before = state(owner=owned("newer"), broken_since=at(1))
    assert transitions.ended(before, "mine") == before
    assert transitions.ended(state(), "mine") == state()


def test_given_up() -> None:
    """What was stopped by a person, or has died too often, stands in no other's way."""
    failed = pushed("other", 4, failed=5)
    before = state(newest={"app": MINE, "proxy": OLDER, "worker": failed}, owner=owned("newer"), stable=stable(1))
    after = transitions.given_up(before, {MINE.request, failed.request}, at(9))
    assert after == before._replace(newest={**before.newest, "app": MINE._replace(failed_at=at(9))})
    assert take_turn(after._replace(owner=None), OLDER, APP) == Granted(APP)


@table(
    "hold, after",
    {
        "nothing is held": (None, None),
        "it was held before": (HOLD, None),
        "it was held in the same moment": (HOLD._replace(at=at(1)), None),
        "it was held again since": (HOLD._replace(at=at(2)), HOLD._replace(at=at(2))),
    },
)
def test_released(hold: Hold | None, after: Hold | None) -> None:
    assert transitions.released(state(hold=hold, held_for="wet paint"), at(1)) == state(hold=after)
    assert transitions.released(state(revert_hold=hold, held_for="wet paint"), at(1)) == state(revert_hold=after)


REVERTED = Hold("the revert", "somebody else", at())
EVERY_HOLD = state(hold=HOLD, revert_hold=REVERTED)


@table(
    "candidate, known, held, ruling",
    {
        "a person": (MINE, state(hold=HOLD), (), Skipped(Outcome.HELD, "pushes are held: the weekend")),
        "a revert": (MINE, state(revert_hold=REVERTED), (), Skipped(Outcome.HELD, "pushes are held: the revert")),
        "what is observed": (MINE, state(), ("night",), Skipped(Outcome.HELD, "pushes are held: night")),
        "all of them": (
            MINE,
            EVERY_HOLD,
            ("night", "smoke"),
            Skipped(Outcome.HELD, "pushes are held: the weekend; the revert; night; smoke"),
        ),
        "people know": (
            MINE,
            state(hold=HOLD, held_for="the weekend; night"),
            ("night",),
            Skipped(Outcome.HELD, "pushes are held: the weekend; night", repeated=True),
        ),
        "people know of some": (
            MINE,
            state(hold=HOLD, held_for="the weekend"),
            ("night",),
            Skipped(Outcome.HELD, "pushes are held: the weekend; night"),
        ),
        "not a request by hand": (BY_HAND, EVERY_HOLD, ("night",), Granted(APP)),
    },
)
def test_holds(candidate: Candidate, known: State, held: tuple[str, ...], ruling: TurnRuling) -> None:
    assert typed(take_turn(known, candidate, APP, held=held)) == typed(ruling)
    after = after_turn(known, candidate, ruling, None, at(6), held=held)
    if isinstance(ruling, Skipped):
        assert after == known._replace(held_for=ruling.why.removeprefix("pushes are held: "))
        assert take_turn(after, candidate, APP, held=held) == ruling._replace(repeated=True)


def test_what_a_turn_makes_of_holds() -> None:
    known = state(hold=HOLD, held_for="the weekend")
    granted = Granted(APP)
    # A push that goes on makes the next hold news; what people ask for does not.
    assert after_turn(known, MINE, granted, None, at(6)).held_for == ""
    assert after_turn(known, BY_HAND, granted, None, at(6)).held_for == "the weekend"
    reverted = after_turn(known, BY_HAND, granted, None, at(6), revert_hold=REVERTED)
    assert (reverted.revert_hold, reverted.hold) == (REVERTED, HOLD)
    # The next deployment keeps it, and so does the revert itself when it comes again after a release.
    assert after_turn(reverted, asked("other", 6), granted, None, at(7)).revert_hold == REVERTED
    released = transitions.released(reverted, at(7))
    assert after_turn(released, BY_HAND, granted, None, at(8), revert_hold=REVERTED).revert_hold is None


def version(name: str, minutes: float, tag: str, *, digest: str | None = None) -> Candidate:
    return pushed(name, minutes, digest=digest)._replace(tag=tag, policy="semver:")


LATE = version("late", 5, "1.2.0")
RAN = version("ran", 1, "2.0.0")


@table(
    "known, shown, ruling",
    {
        "a higher version runs, by whomever": (
            state(),
            {"app": Shown("sha256:x", {"1.3.0", "latest"}), "proxy": Shown()},
            Skipped(
                Outcome.SUPERSEDED,
                "the service runs 1.3.0 in app, and a push of 1.2.0 does not lead back from it",
            ),
        ),
        "in another container": (state(), {"proxy": Shown("sha256:x", {"1.3.0"})}, Granted(APP)),
        "a lower one runs": (state(), {"app": Shown("sha256:x", {"1.1.0"})}, Granted(APP)),
        "nobody knows what runs": (state(), {}, Granted(APP)),
        "a higher one was deployed": (state(deployed={"app": RAN}), {}, superseded("ran", "12:01:00")),
        "which runs": (state(deployed={"app": RAN}), {"app": Shown(RAN.digest)}, superseded("ran", "12:01:00")),
        "which somebody else has replaced": (
            state(deployed={"app": RAN}),
            {"app": Shown("sha256:x"), "proxy": Shown(RAN.digest)},
            Granted(APP),
        ),
    },
)
def test_versions(known: State, shown: dict[str, Shown], ruling: TurnRuling) -> None:
    assert typed(take_turn(known, LATE, APP, shown=shown)) == typed(ruling)


@table(
    "before, by, after",
    {
        "a higher version of the same image": (
            version("a", 1, "1.0.0", digest="sha256:5"),
            version("b", 5, "2.0.0", digest="sha256:5"),
            ("2.0.0", "semver:"),
        ),
        "a lower one": (
            version("a", 1, "2.0.0", digest="sha256:5"),
            version("b", 5, "1.0.0", digest="sha256:5"),
            ("2.0.0", "semver:"),
        ),
        "of what people asked for, the tag": (
            asked("a", 1, digest="sha256:5")._replace(tag="1.0.0"),
            version("b", 5, "2.0.0", digest="sha256:5"),
            ("2.0.0", ""),
        ),
        "pushed before versions counted": (
            pushed("a", 1, digest="sha256:5"),
            version("b", 5, "2.0.0", digest="sha256:5"),
            ("2.0.0", "semver:"),
        ),
        "of another image, nothing": (
            version("a", 1, "1.0.0", digest="sha256:4"),
            version("b", 5, "2.0.0", digest="sha256:5"),
            ("1.0.0", "semver:"),
        ),
    },
)
def test_one_image_by_two_tags(before: Candidate, by: Candidate, after: tuple[str, str]) -> None:
    raised = after_turn(state(deployed={"app": before}), by, Skipped(Outcome.UNCHANGED, ""), None, at(6))
    assert (raised.deployed["app"].tag, raised.deployed["app"].policy) == after


@pytest.mark.parametrize("outcome", [Outcome.SUPERSEDED, Outcome.UNCHANGED, Outcome.HELD])
def test_what_is_skipped_leaves_its_outcome(outcome: Outcome) -> None:
    assert transitions.RESULTS[outcome] is Result(outcome.value)
