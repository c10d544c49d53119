"""The call of UpdateService: whether it may be made, and what its answer means.

Revision 1 is what was stable, 2 is brought in; 8 and 9 are a person's.
"""

from datetime import timedelta

from ecs_deploy.core.call import Displaced, Ruling, after_call, before_call
from ecs_deploy.core.decision import Decision, Register, Update, Wait, wait
from ecs_deploy.core.errors import Error
from ecs_deploy.core.plan import Failure, Rollout
from ecs_deploy.core.service import Service
from ecs_deploy.core.signals import Signals
from ecs_deploy.core.state import Base, Intent, Phase, State
from tests.support.rules import (
    FAILED,
    at,
    base,
    deploying,
    deployment,
    displaced,
    intent,
    owned,
    plan,
    returning,
    service,
    shifting,
    stable,
    state,
    table,
    td,
    typed,
)

IN_PROGRESS = "IN_PROGRESS"
PLAN = plan()
NEW = deploying(updated=None)
BACK = returning(updated=None)
NOW, UNTIL = at(5), at(8)


def call(rollout: Rollout = NEW, on: Base | None = None) -> Intent:
    """The call of this invocation for the rollout's target."""
    return Intent(
        execution="mine",
        request="push of mine",
        containers=("app",),
        revision=rollout.target,
        base=on or base(1),
        number=rollout.repeats,
        invocation="this",
        at=NOW,
        until=UNTIL,
    )


def known(*intents: Intent) -> State:
    return state(owner=owned("mine"), intents=intents, stable=stable(1))


def before(rollout: Rollout, shown: Service, known: State) -> Ruling:
    return before_call(PLAN, rollout, shown, known, "this", NOW, UNTIL)


EARLIER = intent("mine", 2, 1, invocation="earlier")
ROLLING = service(deployment(2, 1, rollout=IN_PROGRESS), displaced(1))
DISPLACED = Displaced("somebody else has brought in doorman:9 meanwhile")
KEEPS_CHANGING = Displaced("somebody else keeps changing the service: it is on doorman:9 now")
THEIRS = service(deployment(9, 3), displaced(1))


@table(
    "rollout, shown, known, ruling",
    {
        "the service is as it was": (NEW, service(), known(), call()),
        "its tasks were replaced by force": (
            NEW,
            service(deployment(1, 3, named="forced")),
            known(),
            call(on=base(1, 3, deployment="forced")),
        ),
        "an older rollout on the same base is shown": (
            NEW,
            service(deployment(7, 3, rollout=IN_PROGRESS), displaced(1)),
            known(intent("older", 7, 3, noted=3)),
            call(on=base(1, 3, deployment="ecs-svc/7")),
        ),
        "a read of before is shown": (NEW, service(deployment(8, -5)), known(), call()),
        "an earlier try has begun, and is not shown": (NEW, service(), known(EARLIER), call()),
        "an earlier try has begun, and is shown": (NEW, ROLLING, known(EARLIER), call()),
        "the service runs the target already": (NEW, service(deployment(2, 1)), known(), call()),
        "somebody else has brought in another revision": (NEW, THEIRS, known(), Register(PLAN, NEW.repeated())),
        "somebody else has done so twice": (
            NEW.repeated(),
            THEIRS,
            known(),
            Register(PLAN, NEW.repeated().repeated()),
        ),
        "somebody else has done so three times": (NEW.repeated().repeated(), THEIRS, known(), KEEPS_CHANGING),
        "an earlier try was applied, and somebody else has displaced it": (
            NEW,
            service(deployment(9, 3), displaced(2, 1), displaced(1)),
            known(EARLIER),
            DISPLACED,
        ),
        "an earlier try was applied, and somebody else has brought back what ran before": (
            NEW,
            service(deployment(1, 3, named="theirs"), displaced(1)),
            known(EARLIER),
            Displaced("somebody else has brought in doorman:1 meanwhile"),
        ),
        "an earlier try was applied, and ECS has brought back what ran before": (
            NEW,
            service(deployment(1, 3, named="back"), displaced(1), rolls_back_itself=True),
            known(EARLIER),
            call(on=base(1, 3, deployment="back")),
        ),
        "an earlier try was not applied, and ECS shows what was before the base": (
            NEW,
            service(deployment(1, -5, named="before")),
            known(EARLIER),
            call(on=base(1, -5, deployment="before")),
        ),
        "an earlier try was not applied, and the revision was there before": (
            NEW,
            service(deployment(9, 3), displaced(2, -5, named="before")),
            known(EARLIER),
            Register(PLAN, NEW.repeated()),
        ),
        "where ECS shifts traffic, an earlier try is not shown": (
            NEW,
            shifting(1),
            known(EARLIER),
            call(on=base(1, None, deployment="")),
        ),
        "an earlier try was not applied, and somebody else has brought in another revision": (
            NEW,
            THEIRS,
            known(EARLIER),
            Register(PLAN, NEW.repeated()),
        ),
        "the revision was there before, and somebody else has displaced it": (
            NEW,
            service(deployment(9, 3), displaced(2, 1), displaced(1)),
            known(),
            Register(PLAN, NEW.repeated()),
        ),
        "an earlier try was applied, and a call of an older execution after it": (
            NEW,
            service(deployment(7, 3, rollout=IN_PROGRESS), displaced(2, 1), displaced(1)),
            known(EARLIER, intent("older", 7, 2)),
            call(on=base(1, 3, deployment="ecs-svc/7")),
        ),
        "an earlier try was applied, and then an earlier call of its own": (
            NEW.repeated(),
            service(deployment(7, 3, rollout=IN_PROGRESS), displaced(2, 1), displaced(1)),
            known(intent("mine", 7, 0.5), EARLIER._replace(number=1)),
            call(NEW.repeated(), on=base(1, 3, deployment="ecs-svc/7")),
        ),
        "an earlier call of the rollout was another one": (
            NEW.repeated(),
            service(),
            known(EARLIER._replace(noted_at=at(1))),
            call(NEW.repeated()),
        ),
        "where ECS shifts traffic, the service is as it was": (
            NEW,
            shifting(1),
            known(),
            call(on=base(1, None, deployment="")),
        ),
        "where ECS shifts traffic, somebody else has brought in another revision": (
            NEW,
            shifting(9),
            known(),
            Register(PLAN, NEW.repeated()),
        ),
    },
)
def test_before_the_call(rollout: Rollout, shown: Service, known: State, ruling: Ruling) -> None:
    assert typed(before(rollout, shown, known)) == typed(ruling)


@table(
    "shown, known, ruling",
    {
        "what failed is still there": (ROLLING, known(), call(BACK, base(2, 1))),
        "what was stable is back already": (service(deployment(1, 3)), known(), call(BACK)),
        "a call of an older execution was applied late": (
            service(deployment(7, 3, rollout=IN_PROGRESS), displaced(2, 1)),
            known(intent("older", 7, 2)),
            call(BACK, base(7, 3)),
        ),
        "a call of an older execution was applied late, a while ago": (
            service(deployment(7, 2, rollout=IN_PROGRESS), displaced(2, 1)),
            known(intent("older", 7, -12)),
            call(BACK, base(7, 2)),
        ),
        "a deployment of the deployer's is there": (
            service(deployment(7, 3), displaced(2, 1)),
            known(intent("older", 7, 2, noted=3)),
            call(BACK, base(7, 3)),
        ),
        "a read of before the rollout is shown": (
            service(deployment(8, -5)),
            known(),
            call(BACK, base(8, -5)),
        ),
        "somebody else has changed the service": (
            service(deployment(9, 3), displaced(2, 1)),
            known(),
            DISPLACED,
        ),
        "somebody else has brought in a revision of the deployer's": (
            service(deployment(9, 3), displaced(2, 1)),
            known(intent("older", 9, -11, noted=-11, deployment="gone")),
            DISPLACED,
        ),
        "the return was applied, and somebody else has displaced it": (
            service(deployment(9, 6), displaced(1, 5, named="back"), displaced(2, 1)),
            known(intent("mine", 1, 4)),
            DISPLACED,
        ),
        "where ECS shifts traffic": (shifting(2), known(), call(BACK)),
    },
)
def test_before_the_call_of_a_return(shown: Service, known: State, ruling: Ruling) -> None:
    assert typed(before(BACK, shown, known)) == typed(ruling)


ANSWERED = EARLIER._replace(deployment="ecs-svc/2", noted_at=at(2))


@table(
    "noted, rollout, decision",
    {
        "the rollout goes on since the answer": (
            ANSWERED,
            NEW,
            wait(PLAN, NEW.updated("ecs-svc/2", timedelta(), at(2)), NOW, is_rolling=True),
        ),
        "what it displaced is the next base": (
            ANSWERED._replace(displaced=td(9)),
            NEW,
            Register(PLAN, NEW.updated("ecs-svc/2", timedelta(), at(2)).repeated()),
        ),
    },
)
def test_the_answer_to_an_earlier_try_is_known(noted: Intent, rollout: Rollout, decision: Decision) -> None:
    assert typed(before(rollout, ROLLING, known(noted))) == typed(decision)


def test_the_answer_to_one_of_several_sends_is_known() -> None:
    sends = (EARLIER, ANSWERED._replace(invocation="second"), EARLIER._replace(invocation="third"))
    decision = wait(PLAN, NEW.updated("ecs-svc/2", timedelta(), at(2)), NOW, is_rolling=True)
    assert typed(before(NEW, ROLLING, known(*sends))) == typed(decision)


@table(
    "other",
    {
        "by another execution": ANSWERED._replace(execution="other"),
        "for another revision": ANSWERED._replace(revision=td(3)),
        "of the same rollout": ANSWERED._replace(number=1),
    },
)
def test_the_answer_to_another_call_is_not_that_of_this_one(other: Intent) -> None:
    assert typed(before(NEW, ROLLING, known(other))) == typed(call())


ANSWER = service(deployment(2, 5, rollout=IN_PROGRESS), displaced(1), bake=3)
DISPLACING = service(deployment(2, 5, rollout=IN_PROGRESS), displaced(9, 4), displaced(1), bake=3)
DISPLACING_OURS = service(deployment(2, 5, rollout=IN_PROGRESS), displaced(7, 4), displaced(1), bake=3)
BACK_DISPLACING_OURS = service(deployment(1, 5, rollout=IN_PROGRESS), displaced(7, 4), displaced(2, 1))
BACK_DISPLACING = service(deployment(1, 5, rollout=IN_PROGRESS), displaced(9, 4), displaced(2, 1))
UPDATED = NEW.updated("ecs-svc/2", timedelta(minutes=3), NOW)
TWICE = NEW.repeated().repeated()
ENDLESS = Failure(Error.DEPLOYMENT_FAILED, "Somebody else keeps changing the service.")


@table(
    "rollout, answer, decision",
    {
        "it rolls out": (NEW, ANSWER, wait(PLAN, UPDATED, NOW, is_rolling=True)),
        "it is complete already, which no event tells": (
            NEW,
            service(deployment(2, 5, rollout="COMPLETED"), bake=3),
            wait(PLAN, UPDATED, NOW, is_rolling=True, looks=0),
        ),
        "it has displaced somebody else's change": (NEW, DISPLACING, Register(PLAN, UPDATED.repeated())),
        "it has displaced somebody else's change again": (
            NEW.repeated(),
            DISPLACING,
            Register(PLAN, UPDATED.repeated().repeated()),
        ),
        "it has displaced somebody else's change for the third time": (
            TWICE,
            DISPLACING,
            Update(PLAN, TWICE.updated("ecs-svc/2", timedelta(minutes=3), NOW).returning(td(9), ENDLESS)),
        ),
        "a return has displaced somebody else's change": (
            BACK,
            BACK_DISPLACING,
            Update(PLAN, BACK._replace(target=td(9), repeats=1)),
        ),
        "a return has displaced what another execution has brought in": (
            BACK,
            BACK_DISPLACING_OURS,
            wait(PLAN, BACK.updated("ecs-svc/1", timedelta(), NOW), NOW, is_rolling=True),
        ),
        "it has displaced what another execution has brought in, on another base": (
            NEW,
            DISPLACING_OURS,
            Register(PLAN, UPDATED.repeated()),
        ),
        "a return has displaced somebody else's change for the third time": (
            BACK.repeated().repeated(),
            BACK_DISPLACING,
            wait(
                PLAN,
                BACK.repeated().repeated().updated("ecs-svc/1", timedelta(), NOW),
                NOW,
                is_rolling=True,
            ),
        ),
        "where ECS shifts traffic, a later poll finds the deployment": (
            NEW,
            shifting(2, bake=3),
            wait(PLAN, NEW.updated("", timedelta(minutes=3), NOW), NOW, is_rolling=True),
        ),
    },
)
def test_after_the_call(rollout: Rollout, answer: Service, decision: Decision) -> None:
    calling = call(rollout, base(2, 1) if rollout.phase is Phase.RETURNING else base(1))
    ours = intent("other", 7, 4, on=base(8), noted=4)
    found, _ = after_call(PLAN, rollout, calling, answer, known(ours, calling), NOW)
    assert typed(found) == typed(decision)


@table(
    "answer, made, by",
    {
        "a deployment of its own": (ANSWER, "ecs-svc/2", ""),
        "somebody else's change is displaced": (DISPLACING, "ecs-svc/2", td(9)),
        "where ECS shifts traffic, no deployment is told": (shifting(2), "", ""),
    },
)
def test_the_answer_is_noted(answer: Service, made: str, by: str) -> None:
    other = intent("other", 7, 2)
    _, after = after_call(PLAN, NEW, call(), answer, known(other, call()), NOW)
    assert after == known(other, call()._replace(deployment=made, noted_at=NOW, displaced=by))


def test_a_return_keeps_why_it_is_one() -> None:
    calling = call(BACK, base(2, 1))
    decision, _ = after_call(PLAN, BACK, calling, BACK_DISPLACING, known(calling), NOW)
    assert isinstance(decision, Update)
    assert decision.rollout.failure == FAILED


HEARS = NEW._replace(signals=Signals(heard_at=NOW))


@table(
    "rollout, answer, seconds",
    {
        "events will say more": (HEARS, ANSWER, 60),
        "none has come": (NEW, ANSWER, 56),
        "none is documented of the end": (HEARS, shifting(2), 56),
        "of a return that displaced too often": (
            BACK._replace(signals=Signals(heard_at=NOW)).repeated().repeated(),
            BACK_DISPLACING,
            60,
        ),
    },
)
def test_the_first_wait(rollout: Rollout, answer: Service, seconds: int) -> None:
    calling = call(rollout, base(2, 1) if rollout.phase is Phase.RETURNING else base(1))
    found, _ = after_call(PLAN, rollout, calling, answer, known(calling), NOW)
    assert isinstance(found, Wait)
    assert found.seconds == seconds
