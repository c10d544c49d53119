"""What the dispatcher starts again, and how it repairs what was applied late."""

from hashlib import sha256

from ecs_deploy.core.policy import Start
from ecs_deploy.core.reconciliation import (
    MOST_RESTARTS,
    decided_at,
    given_up,
    repair,
    restarts,
    stable_again,
)
from ecs_deploy.core.service import Service
from ecs_deploy.core.state import Candidate, Entry, Hold, Intent, Result, State
from tests.support.rules import (
    asked,
    at,
    deployment,
    displaced,
    entry,
    intent,
    pushed,
    service,
    shifting,
    stable,
    state,
    table,
    td,
)

KEY = "production1/doorman-service"


def named(kind: str, *parts: str) -> str:
    return f"{kind}-{sha256(chr(10).join(parts).encode()).hexdigest()}"


def again(
    execution: str, minutes: int, request: str = "", *, containers: tuple[str, ...] = ("app",), tries: int = 1
) -> Start:
    """The execution that is started for a request of the history, which so many have tried."""
    asked_for = request or f"push of {execution}"
    identity = {"request": asked_for, "time": f"2026-01-31T12:{minutes:02}:00.000Z"}
    return Start(named("again", asked_for, *containers, str(tries)), {"again": execution, "restart": identity})


S, F, D = Result.SUPERSEDED, Result.FAILED, Result.DEPLOYED
V1, V2, V3, V4 = (pushed(f"v{number}", number) for number in (1, 2, 3, 4))
PROXY = ("proxy",)
V3_FAILED = {"app": V3._replace(failed_at=at(9))}
TRIED_AGAIN = pushed("v2 again", 2, request="push of v2", started=5, digest="sha256:v2")
PUSHED_AGAIN = pushed("v2 again", 4, digest="sha256:v2")


@table(
    "history, known, start",
    {
        "nothing was asked for": ([], state(), None),
        "the newest is deployed": ([entry(V3), entry(V2, S)], state(), None),
        "the newest is under way": ([entry(V3, None), entry(V2, S)], state(), None),
        "what the newest has superseded, which failed": (
            [entry(V3, F), entry(V2, S), entry(V1)],
            state(newest=V3_FAILED),
            again("v2", 2),
        ),
        "the newest of several that were superseded": (
            [entry(V4, F), entry(V2, S), entry(V3, S), entry(V1)],
            state(),
            again("v3", 3),
        ),
        "in whatever order they are read": (
            [entry(V1), entry(V3, S), entry(V2, S), entry(V4, F)],
            state(),
            again("v3", 3),
        ),
        "nothing that is older than what was stable": ([entry(V3, F), entry(V2), entry(V1, S)], state(), None),
        "nothing that failed": ([entry(V3, F), entry(V2, F), entry(V1)], state(), None),
        "v3 failed, and then the other container was deployed": (
            [entry(V4, containers=PROXY), entry(V3, F), entry(V2)],
            state(newest={**V3_FAILED, "proxy": V4}, deployed={"proxy": V4}),
            None,
        ),
        "v3 failed, the other container was deployed, and v2 was never judged": (
            [entry(V4, containers=PROXY), entry(V3, F), entry(V2, S)],
            state(newest={**V3_FAILED, "proxy": V4}, deployed={"proxy": V4}),
            again("v2", 2),
        ),
        "v3 failed, and an older push of its image was superseded": (
            [entry(V3, F), entry(pushed("v2", 2, digest="sha256:v3"), S), entry(V1)],
            state(newest=V3_FAILED),
            None,
        ),
        "v2 failed, and was pushed again since, and superseded by what failed": (
            [entry(V3._replace(requested_at=at(5)), F), entry(PUSHED_AGAIN, S), entry(V2, F)],
            state(),
            again("v2 again", 4),
        ),
        "it was started again, and failed": (
            [entry(TRIED_AGAIN, F), entry(V2, S), entry(V1)],
            state(),
            None,
        ),
        "it was started again, and is under way": ([entry(TRIED_AGAIN, None), entry(V2, S)], state(), None),
        "it was started again, and superseded again": (
            [entry(V3, F), entry(TRIED_AGAIN, S), entry(V2, S)],
            state(newest=V3_FAILED),
            again("v2 again", 2, "push of v2", tries=2),
        ),
        "it was started again, and stopped before it touched the service": (
            [entry(TRIED_AGAIN, Result.STOPPED, number=None), entry(V2, S)],
            state(),
            None,
        ),
        "it was started again, and is what the service runs": (
            [entry(TRIED_AGAIN, Result.UNCHANGED), entry(V2, S)],
            state(),
            None,
        ),
        "it was held, started again, and is what the service runs": (
            [entry(TRIED_AGAIN, Result.UNCHANGED), entry(V2, Result.HELD), entry(V1)],
            state(deployed={"app": V1._replace(requested_at=at(2))}),
            None,
        ),
        "what it superseded is started, once it was started again and failed": (
            [entry(TRIED_AGAIN, F), entry(V2, S), entry(V1, S)],
            state(newest={"app": V2._replace(failed_at=at(9))}),
            again("v1", 1),
        ),
        "v2 was unchanged, and a late older push superseded": (
            [entry(PUSHED_AGAIN, Result.UNCHANGED), entry(V3, S), entry(V2)],
            state(deployed={"app": V2._replace(requested_at=at(4))}),
            None,
        ),
        "a revert took over from the rollout of another container": (
            [entry(asked("revert", 4), containers=("*",)), entry(V3, S), entry(V2, S, containers=PROXY)],
            state(deployed={"*": asked("revert", 4)}),
            None,
        ),
        "a revert that took over has failed": (
            [entry(asked("revert", 4), F, containers=("*",)), entry(V3, S), entry(V2, containers=PROXY)],
            state(newest={"*": asked("revert", 4, failed=9)}),
            again("v3", 3),
        ),
        "a revert was superseded by a push for one container, which failed": (
            [entry(V3, F), entry(asked("revert", 2, request="r"), S, containers=("*",))],
            state(newest=V3_FAILED),
            again("revert", 2, "r", containers=("*",)),
        ),
        "a revert was superseded by a push for one container, which was deployed": (
            [entry(V3), entry(asked("revert", 2), S, containers=("*",))],
            state(deployed={"app": V3}),
            None,
        ),
        "the end of one was written, and then another took over": (
            [entry(V3, F), entry(V2, D), entry(V1, S)],
            state(newest=V3_FAILED, deployed={"app": V2}),
            None,
        ),
        "a request by hand without a verdict": (
            [entry(V3, F), entry(asked("hand", 2), S)],
            state(newest=V3_FAILED),
            again("hand", 2, "request of hand"),
        ),
        "a request by hand that failed is not tried again": (
            [entry(asked("again", 4, request="r", started=5), F), entry(asked("hand", 4, request="r"), S)],
            state(),
            None,
        ),
        "another request by hand that failed says nothing of it": (
            [entry(asked("other", 4), F), entry(asked("hand", 3), S)],
            state(),
            again("hand", 3, "request of hand"),
        ),
        "somebody else has changed the service since": (
            [entry(V3, Result.DISPLACED), entry(V2, S)],
            state(),
            None,
        ),
        "somebody else had changed the service before": (
            [entry(V4, F), entry(V3, S), entry(V2, Result.DISPLACED)],
            state(),
            again("v3", 3),
        ),
        "it was left to ECS": ([entry(V3, Result.ABANDONED), entry(V2, S)], state(), None),
        "it failed, and ECS goes on trying it": (
            [entry(V3, F, again={"rollback": False}), entry(V2, S)],
            state(newest=V3_FAILED),
            None,
        ),
        "it failed, and ECS goes on trying it, in another container": (
            [entry(V3, F, again={"rollback": False}, containers=PROXY), entry(V2, S)],
            state(),
            again("v2", 2),
        ),
        "it failed, and was undone": (
            [entry(V3, F, again={"rollback": True}), entry(V2, S)],
            state(newest=V3_FAILED),
            again("v2", 2),
        ),
        "one of its containers is deployed": (
            [entry(V3), entry(V2, S, containers=("app", "proxy"))],
            state(deployed={"app": V3}),
            again("v2", 2, containers=("app", "proxy")),
        ),
        "both of its containers are deployed": (
            [entry(V4), entry(V3, containers=PROXY), entry(V2, S, containers=("app", "proxy"))],
            state(),
            None,
        ),
        "the newest is deployed, and then one for the other container failed": (
            [entry(V4), entry(V3, F, containers=PROXY), entry(V2, S)],
            state(),
            None,
        ),
        "the image failed once, and is deployed": (
            [entry(V4, F), entry(PUSHED_AGAIN), entry(V2, F), entry(V1, S)],
            state(deployed={"app": PUSHED_AGAIN}),
            None,
        ),
        "an image that has failed is asked for by hand, and superseded by what failed": (
            [entry(V4, F), entry(asked("hand", 3, digest="sha256:v2"), S), entry(V2, F, ended=2.9), entry(V1)],
            state(),
            again("hand", 3, "request of hand"),
        ),
        "an image was asked for by hand in the moment in which it failed": (
            [entry(V4, F), entry(asked("hand", 3, digest="sha256:v2"), S), entry(V2, F, ended=3), entry(V1)],
            state(),
            again("hand", 3, "request of hand"),
        ),
        "an image was asked for by hand before it failed": (
            [entry(V4, F), entry(asked("hand", 3, digest="sha256:v2"), S), entry(V2, F, ended=3.1), entry(V1)],
            state(),
            None,
        ),
        "an image was pushed in the moment in which it failed, and superseded by what failed": (
            [entry(V4, F), entry(PUSHED_AGAIN._replace(requested_at=at(3)), S), entry(V2, F, ended=3), entry(V1)],
            state(),
            None,
        ),
        "an image has failed twice, and was pushed in between": (
            [
                entry(pushed("v5", 5), F),
                entry(PUSHED_AGAIN, F, ended=4.9),
                entry(pushed("between", 3, digest="sha256:v2"), S),
                entry(V2, F, ended=2.9),
                entry(V1),
            ],
            state(),
            None,
        ),
        "an image was pushed again before it failed, and superseded by what failed": (
            [entry(V4, F), entry(PUSHED_AGAIN._replace(requested_at=at(3)), S), entry(V2, F, ended=5), entry(V1)],
            state(),
            None,
        ),
        "the newest in one container is deployed, and one in the other was never judged": (
            [entry(V4), entry(V3, F, containers=PROXY), entry(V2, S, containers=PROXY)],
            state(),
            again("v2", 2, containers=PROXY),
        ),
        "the table knows a newer one, which is not in the history any more": (
            [entry(V2, S)],
            state(newest={"app": V3}),
            None,
        ),
        "the table knows that a newer one was stable": ([entry(V2, S)], state(deployed={"app": V3}), None),
    },
)
def test_restart(history: list[Entry], known: State, start: Start | None) -> None:
    assert restarts(history, known) == ([start] if start else [])


@table(
    "wanted, digest, restart",
    {
        "an image": ({"image": "doorman:v2"}, "sha256:v2", {"digest": "sha256:v2"}),
        "an image whose digest nobody knows": ({"image": "doorman:v2"}, "", {}),
        "a revision": ({"revision": "doorman:2"}, "sha256:v2", {}),
    },
)
def test_what_is_started_again_has_its_digest(wanted: dict[str, str], digest: str, restart: dict[str, str]) -> None:
    """A tag may have moved since."""
    history = [entry(V3, F), entry(pushed("v2", 2, digest=digest), S, again=wanted)]
    (start,) = restarts(history, state())
    identity = {"request": "push of v2", "time": "2026-01-31T12:02:00.000Z"}
    assert start.request == {**wanted, "restart": {**identity, **restart}}


def test_what_was_unchanged_while_it_rolled_out_is_no_verdict() -> None:
    """v2 has superseded v1, is pushed again while it rolls out, and fails."""
    history = [entry(PUSHED_AGAIN, Result.UNCHANGED), entry(V2, F), entry(V1, S)]
    failed = V2._replace(requested_at=at(4), failed_at=at(5))
    assert restarts(history, state(newest={"app": failed})) == [again("v1", 1)]


@table(
    "history, known, start",
    {
        "the owner was stopped by a person": (
            [entry(V3, Result.STOPPED), entry(V2, S)],
            state(newest={"app": V3}),
            None,
        ),
        "what was stopped in another container": (
            [entry(V3, Result.STOPPED, containers=PROXY), entry(V2, S)],
            state(newest={"proxy": V3}),
            again("v2", 2),
        ),
        "what was stopped before it touched the service": (
            [entry(V3, Result.STOPPED, number=None), entry(V2, S)],
            state(),
            again("v2", 2),
        ),
        "something newer than what was stopped": (
            [entry(V4, F), entry(V3, S), entry(V2, Result.STOPPED)],
            state(),
            again("v3", 3),
        ),
        "the execution has died": ([entry(V3, Result.DIED), entry(V2)], state(newest={"app": V3}), again("v3", 3)),
        "the execution has died, and something newer is deployed": (
            [entry(V4), entry(V3, Result.DIED)],
            state(deployed={"app": V4}),
            None,
        ),
        "the execution has died, and what was started again is under way": (
            [entry(pushed("again", 3, request="push of v3", started=8), None), entry(V3, Result.DIED)],
            state(newest={"app": V3}),
            None,
        ),
    },
)
def test_dead_owners(history: list[Entry], known: State, start: Start | None) -> None:
    assert restarts(history, known) == ([start] if start else [])


def test_what_dies_again_and_again_is_given_up() -> None:
    deaths = [
        entry(pushed(f"try {number}", 3, request="push of v3", started=3 + number, digest="sha256:v3"), Result.DIED)
        for number in range(MOST_RESTARTS + 1)
    ]
    other = entry(V1, Result.DIED)
    known = state(newest={"app": V3})
    assert MOST_RESTARTS == 2
    assert restarts([*deaths[:-1], other], known) == [again("try 1", 3, "push of v3", tries=2)]
    assert restarts([*deaths, other], known) == []
    superseded = deaths[-1]._replace(result=Result.SUPERSEDED)
    assert restarts([*deaths[:-1], superseded], known) == [again("try 2", 3, "push of v3", tries=3)]


@table(
    "history, requests",
    {
        "nothing was asked for": ([], set()),
        "what has a verdict, or may get one": ([entry(V1), entry(V2, F), entry(V3, None), entry(V4, S)], set()),
        "what was stopped by a person": ([entry(V2, Result.STOPPED), entry(V1)], {"push of v2"}),
        "what was started again, and was stopped then": (
            [entry(TRIED_AGAIN, Result.STOPPED), entry(V2, S)],
            {"push of v2"},
        ),
        "what was stopped, though another execution of it goes on": (
            [entry(TRIED_AGAIN, None), entry(V2, Result.STOPPED)],
            {"push of v2"},
        ),
        "what has died as often as is allowed": ([entry(TRIED_AGAIN, Result.DIED), entry(V2, Result.DIED)], set()),
        "what has died too often": (
            [
                entry(TRIED_AGAIN._replace(execution="third", started_at=at(7)), Result.DIED),
                entry(TRIED_AGAIN, Result.DIED),
                entry(V2, Result.DIED),
            ],
            {"push of v2"},
        ),
    },
)
def test_given_up(history: list[Entry], requests: set[str]) -> None:
    assert given_up(history) == requests


@table(
    "history, starts",
    {
        "each container has its own": (
            [entry(V4, F), entry(V3, S), entry(V2, S, containers=PROXY)],
            [again("v3", 3), again("v2", 2, containers=PROXY)],
        ),
        "of each container the newest": (
            [entry(V4, S), entry(V3, S), entry(V2, S, containers=PROXY), entry(V1, S, containers=PROXY)],
            [again("v4", 4), again("v2", 2, containers=PROXY)],
        ),
        "none where the newest is deployed": (
            [entry(V4), entry(V3, S, containers=PROXY), entry(V2, S)],
            [again("v3", 3, containers=PROXY)],
        ),
        "one that is about two containers, and then none": (
            [entry(V3, S, containers=("app", "proxy")), entry(V2, S), entry(V1, S, containers=PROXY)],
            [again("v3", 3, containers=("app", "proxy"))],
        ),
        "one that is about all, and then none": (
            [entry(V3, S, containers=("*",)), entry(V2, S), entry(V1, S, containers=PROXY)],
            [again("v3", 3, containers=("*",))],
        ),
        "none that is older than somebody else's change": (
            [entry(V4, S), entry(V3, Result.DISPLACED), entry(V2, S, containers=PROXY)],
            [again("v4", 4)],
        ),
    },
)
def test_restarts_of_several_containers(history: list[Entry], starts: list[Start]) -> None:
    assert restarts(history, state()) == starts


HOLD = Hold("the weekend", "somebody", at())
HELD = [entry(V3, Result.HELD), entry(V2, Result.HELD), entry(V1)]


@table(
    "history, known, start",
    {
        "while pushes are held": (HELD, state(hold=HOLD), None),
        "the newest, once they go on": (HELD, state(), again("v3", 3)),
        "a request by hand came meanwhile": (
            [entry(asked("hand", 4)), *HELD],
            state(deployed={"app": asked("hand", 4)}),
            None,
        ),
        "a request by hand came before": (
            [HELD[0], entry(asked("hand", 2, started=2)), entry(V1, Result.HELD)],
            state(deployed={"app": asked("hand", 2)}),
            again("v3", 3),
        ),
        "the newest has failed since": (
            [entry(pushed("again", 3, request="push of v3", started=7, digest="sha256:v3"), F), *HELD],
            state(newest=V3_FAILED),
            again("v2", 2),
        ),
        "a push that was superseded waits too while pushes are held": (
            [entry(V3, F), entry(V2, S)],
            state(newest=V3_FAILED, hold=HOLD),
            None,
        ),
        "a request by hand does not wait": (
            [entry(V3, F), entry(asked("hand", 2), S)],
            state(newest=V3_FAILED, hold=HOLD),
            again("hand", 2, "request of hand"),
        ),
    },
)
def test_held(history: list[Entry], known: State, start: Start | None) -> None:
    assert restarts(history, known) == ([start] if start else [])


def returned(execution: str, number: int, time: str) -> Start:
    """The execution that brings back what was stable."""
    name = named("return", execution, td(number))
    return Start(
        name,
        {
            "cluster": "production1",
            "service": "doorman-service",
            "revision": f"doorman:{number}",
            "restart": {"request": name, "time": time},
        },
    )


BEFORE_ALL = "1970-01-01T00:00:00.000Z"


@table(
    "intents, runs, was_stable, start",
    {
        "a call whose answer was lost was applied late": ((intent("a", 2),), 2, 1, returned("a", 1, BEFORE_ALL)),
        "one of several calls": ((intent("a", 3), intent("b", 2)), 2, 1, returned("b", 1, BEFORE_ALL)),
        "its answer is known": ((intent("a", 2, noted=2),), 2, 1, None),
        "it is what was stable": ((intent("a", 1),), 1, 1, None),
        "somebody else's revision runs": ((intent("a", 2),), 9, 1, None),
        "what was stable runs": ((intent("a", 2),), 1, 1, None),
        "nothing was stable": ((intent("a", 2),), 2, None, None),
        "nothing was called": ((), 2, 1, None),
    },
)
def test_repair(intents: tuple[Intent, ...], runs: int, was_stable: int | None, start: Start | None) -> None:
    known = state(intents=intents, stable=stable(was_stable) if was_stable else None)
    assert repair(known, service(deployment(runs, 2)), KEY) == start


def test_what_runs_is_repaired_where_ecs_shifts_traffic() -> None:
    known = state(intents=(intent("a", 2),), stable=stable(1))
    assert repair(known, shifting(2), KEY) == returned("a", 1, BEFORE_ALL)
    assert repair(known, shifting(1), KEY) is None


def test_what_somebody_brings_in_days_after_a_call_is_not_repaired() -> None:
    known = state(intents=(intent("a", 2),), stable=stable(1))
    assert repair(known, service(deployment(2, 3_000)), KEY) is None


@table(
    "deployed, time",
    {
        "nothing was deployed: any request is newer": ({}, BEFORE_ALL),
        "requests since the last one that was deployed are newer": (
            {"app": V1, "proxy": V3, "other": V2},
            "2026-01-31T12:03:00.000Z",
        ),
    },
)
def test_stable_again(deployed: dict[str, Candidate], time: str) -> None:
    assert stable_again(state(deployed=deployed, stable=stable(1)), KEY, "a") == returned("a", 1, time)


def test_nothing_was_stable() -> None:
    assert stable_again(state(), KEY, "a") is None


SINCE = -60


@table(
    "known, shown, containers, minutes",
    {
        "when the service was first seen": (state(), service(deployment(1, -90)), ("app",), SINCE),
        "a person's change since": (state(), service(deployment(9, 7)), ("app",), 7),
        "a person's change before": (state(), service(deployment(9, -70)), ("app",), SINCE),
        "a person's change of which ECS tells no time": (state(), service(deployment(9, None)), ("app",), SINCE),
        "a person's change that was displaced": (
            state(deployed={"app": V2}, stable=stable(1)),
            service(deployment(1, 3), displaced(9, 7)),
            ("app",),
            2,
        ),
        "the request that was accepted": (state(newest={"app": V3}), service(deployment(1, -90)), ("app",), 3),
        "a request that failed": (state(newest=V3_FAILED), service(deployment(1, -90)), ("app",), 3),
        "the request that was deployed": (
            state(deployed={"app": V3}, stable=stable(1)),
            service(deployment(1, 7)),
            ("app",),
            3,
        ),
        "the later of both": (
            state(newest={"app": V2}, deployed={"app": V4}, stable=stable(1)),
            service(deployment(1, 7)),
            ("app",),
            4,
        ),
        "not a request for another container": (
            state(newest={"proxy": V3}),
            service(deployment(1, -90)),
            ("app",),
            SINCE,
        ),
        "the latest of all its containers": (
            state(newest={"proxy": V3, "app": V2}),
            service(deployment(1, -90)),
            ("app", "proxy"),
            3,
        ),
        "a request for all containers": (state(newest={"*": V3}), service(deployment(1, -90)), ("app",), 3),
        "the deployer's own rollout": (
            state(newest={"app": V2}, intents=(intent("v2", 2, 7),)),
            service(deployment(2, 7)),
            ("app",),
            2,
        ),
        "what was stable before the deployer came, which a person brought back": (
            state(stable=stable(1)),
            service(deployment(1, 7)),
            ("app",),
            7,
        ),
        "where ECS shifts traffic, nobody tells since when it runs": (state(), shifting(9), ("app",), SINCE),
    },
)
def test_decided_at(known: State, shown: Service, containers: tuple[str, ...], minutes: float) -> None:
    assert decided_at(known, shown, containers, "") == at(minutes)
    assert decided_at(known, shown, containers, "semver:") == at(minutes)


def test_pushes_under_one_policy_decide_nothing_for_each_other() -> None:
    push = V3._replace(is_push=True, policy="semver:", tag="3.0.0")
    known, shown = state(newest={"app": push}, deployed={"app": V2}), service(deployment(1, -90))
    assert decided_at(known, shown, ("app",), "semver:") == V2.requested_at
    assert decided_at(known, shown, ("app",), "main-{n}") == V3.requested_at
    assert decided_at(known, shown, ("app",), "") == V3.requested_at
    by_hand = state(newest={"app": push._replace(is_push=False)})
    assert decided_at(by_hand, shown, ("app",), "semver:") == V3.requested_at


def test_each_try_and_each_request_has_its_own_name() -> None:
    histories = [
        [entry(V2, S)],
        [entry(V3, S)],
        [entry(V2, S, containers=PROXY)],
        [entry(V2, S), entry(TRIED_AGAIN, S)],
        [entry(V2, S), entry(TRIED_AGAIN, Result.DIED)],
    ]
    starts = [restarts(each, state()) for each in histories]
    assert len({each.name for every in starts for each in every}) == 4
    assert starts[3] == starts[4] == [again("v2 again", 2, "push of v2", tries=2)]
