"""What follows each finding in each phase, and what the table keeps of it.

Revision 1 is what was stable, 2 is brought in; 9 is a person's.
"""

from typing import Any

import pytest

from ecs_deploy.core import follow
from ecs_deploy.core.decision import (
    Decision,
    Fail,
    Outcome,
    Pause,
    Register,
    Succeed,
    Update,
    Wait,
    fail,
    pause,
    skip,
    succeed,
    wait,
)
from ecs_deploy.core.digests import NOTHING_KNOWN, Proof
from ecs_deploy.core.errors import Error
from ecs_deploy.core.follow import Step
from ecs_deploy.core.plan import Explanation, Failure, Plan, Rollout
from ecs_deploy.core.service import Service, Task
from ecs_deploy.core.service_deployment import Hook
from ecs_deploy.core.signals import Signals
from ecs_deploy.core.state import Phase, Result, State
from ecs_deploy.core.verdict import Finding, Verdict
from tests.support.rules import (
    FAILED,
    at,
    base,
    deploying,
    deployment,
    displaced,
    owned,
    plan,
    pushed,
    returning,
    service,
    shifting,
    stable,
    state,
    table,
    td,
    typed,
)

PLAN = plan("mine")
MINE = PLAN.candidate
NEW, BACK = deploying(), returning()
NOW = at(9)
SHOWN = service(deployment(2, 1, rollout="IN_PROGRESS", running=1), displaced(1))
STATE = state(
    newest={"app": MINE}, owner=owned("mine"), stable=stable(1, -30, digests={"app": "sha256:1", "proxy": "sha256:p"})
)
WHY = Explanation("the tasks fail their health check. Check it.", ("3 x stopped: unhealthy", "an event"))


def poll(
    finding: Finding,
    rollout: Rollout = NEW,
    *,
    reason: str | None = None,
    of: Plan = PLAN,
    shown: Service | None = SHOWN,
    known: State = STATE,
    proof: Proof = NOTHING_KNOWN,
) -> Step:
    explanation = WHY if finding in follow.FAILURES else Explanation()
    return follow.after_poll(of, rollout, Verdict(finding, reason), explanation, shown, known, NOW, proof)


def after(*, failed: bool = False, owner: bool = False, broken: float | None = None) -> State:
    """The state after an end; `failed` if the image was found not to work, with its `owner` if that returns."""
    return STATE._replace(
        newest={"app": MINE._replace(failed_at=NOW) if failed else MINE},
        owner=owned("mine", phase=Phase.RETURNING) if owner else None,
        broken_since=None if broken is None else at(broken),
    )


UNDECIDED = [Finding.NOT_SHOWN, Finding.IN_PROGRESS, Finding.ECS_IS_ROLLING_BACK]


@pytest.mark.parametrize("rollout", [NEW, BACK], ids=["deploying", "returning"])
@pytest.mark.parametrize("finding", UNDECIDED)
def test_without_a_verdict_it_is_polled_again(finding: Finding, rollout: Rollout) -> None:
    assert typed(poll(finding, rollout)) == typed(Step(wait(PLAN, rollout, NOW, is_rolling=True)))


@pytest.mark.parametrize("is_rolling", [True, False])
def test_how_long_it_waits_where_events_arrive(is_rolling: bool) -> None:
    heard = NEW._replace(signals=Signals(heard_at=NOW))
    found = poll(Finding.IN_PROGRESS, heard, shown=SHOWN if is_rolling else shifting(2)).decision
    assert found == wait(PLAN, heard, NOW, is_rolling=is_rolling)
    assert isinstance(found, Wait)
    assert found.seconds == (120 if is_rolling else 56)


def test_where_the_time_went_is_told_where_tasks_tell_it() -> None:
    tasks = tuple(
        Task.described(
            {
                "taskArn": "task",
                "taskDefinitionArn": td(number),
                "lastStatus": "RUNNING",
                "startedAt": at(started),
                "containers": [],
            }
        )
        for number, started in ((1, 8), (2, 4))
    )
    shown = SHOWN._replace(has_load_balancer=True)
    end = poll(Finding.STABLE, shown=shown, proof=Proof({}, tasks=tasks)).decision
    assert isinstance(end, Succeed)
    # Since the first minute, until the ninth.
    assert end.outcome["times"] == {"pull": 0, "start": 180, "health": 300, "shift": 0, "drain": 0}
    assert [each.partition(" took")[0] for each in end.outcome["slow"]] == ["health checks"]
    assert end.outcome["revision"] == PLAN.revision
    untold = poll(Finding.STABLE, shown=shown, proof=Proof({})).decision
    assert isinstance(untold, Succeed)
    assert (untold.outcome["times"], untold.outcome["slow"]) == (None, [])


def test_what_ecs_says_against_it_is_remembered() -> None:
    said = NEW._replace(reason="tasks failed to start")
    assert typed(poll(Finding.IN_PROGRESS, reason="tasks failed to start")) == typed(
        Step(wait(PLAN, said, NOW, is_rolling=True))
    )
    assert typed(poll(Finding.IN_PROGRESS, said)) == typed(Step(wait(PLAN, said, NOW, is_rolling=True)))


@pytest.mark.parametrize("rollout", [NEW, BACK], ids=["deploying", "returning"])
def test_what_came_late_is_overwritten_twice(rollout: Rollout) -> None:
    reason = "doorman:7 came late"
    once, twice = rollout._replace(repeats=1, reason=reason), rollout._replace(repeats=2, reason=reason)
    assert typed(poll(Finding.OVERTAKEN, rollout, reason=reason)) == typed(Step(Update(PLAN, once)))
    assert typed(poll(Finding.OVERTAKEN, once, reason=reason)) == typed(Step(Update(PLAN, twice)))
    assert not isinstance(poll(Finding.OVERTAKEN, twice, reason=reason).decision, Update)


def failure(message: str, *reasons: str, error: Error = Error.DEPLOYMENT_FAILED) -> Failure:
    return Failure(error, message, reasons)


WHAT = "doorman:2 (doorman:2) on doorman-service of the cluster production1"
UNSTABLE = failure(f"{WHAT} did not become stable: {WHY.cause}", *WHY.reasons)
LATE = failure(f"{WHAT} was not stable after 600 seconds: {WHY.cause}", *WHY.reasons, error=Error.DEPLOYMENT_TIMED_OUT)
GONE = failure(f"{WHAT} did not become stable: it was deleted.", "it was deleted")


GOES_TOO = UNSTABLE._replace(
    message=f"{UNSTABLE.message} doorman:5, which somebody else had brought in and which was not stable yet, goes too.",
)


def ended(failure: Failure, message: str, rolled_back: bool | None, *reasons: str) -> Fail:
    return Fail(
        failure.error,
        {
            "message": message,
            "reasons": [*failure.reasons, *reasons],
            "image": "doorman:2",
            "digest": "sha256:mine",
            "revision": td(2),
            "replaced": td(1),
            "rolledBack": rolled_back,
        },
    )


KEEPS_TRYING = (
    "rollback is off in the request, so ECS goes on trying doorman:2: deploy another image, or {}, which ran before."
)
NO_OTHER = "There is no other revision that was stable to return to."


@table(
    "finding, change, step",
    {
        "failed: it returns to what was stable": (
            Finding.FAILED,
            {},
            Step(
                Register(PLAN, NEW.returning(td(1), UNSTABLE)), after(failed=True, owner=True, broken=0), Result.FAILED
            ),
        ),
        "timed out: it returns to what was stable": (
            Finding.TIMED_OUT,
            {},
            Step(Register(PLAN, NEW.returning(td(1), LATE)), after(failed=True, owner=True, broken=0), Result.FAILED),
        ),
        "failed, and nothing was stable: it returns to its base": (
            Finding.FAILED,
            {"of": plan("mine", on=base(5)), "known": STATE._replace(stable=None)},
            Step(
                Register(plan("mine", on=base(5)), NEW.returning(td(5), UNSTABLE)),
                after(failed=True, owner=True, broken=0)._replace(stable=None),
                Result.FAILED,
            ),
        ),
        "failed, and what was stable is not its base": (
            Finding.FAILED,
            {"of": plan("mine", on=base(5))},
            Step(
                Register(plan("mine", on=base(5)), NEW.returning(td(1), GOES_TOO)),
                after(failed=True, owner=True, broken=0),
                Result.FAILED,
            ),
        ),
        "failed, and rollback is off": (
            Finding.FAILED,
            {"of": plan("mine", rollback=False)},
            Step(
                ended(UNSTABLE, f"{UNSTABLE.message} {KEEPS_TRYING.format('doorman:1')}", False),
                after(failed=True, broken=0),
                Result.FAILED,
            ),
        ),
        "timed out, rollback is off, and nothing was stable": (
            Finding.TIMED_OUT,
            {"of": plan("mine", on=base(5), rollback=False), "known": STATE._replace(stable=None)},
            Step(
                ended(LATE, f"{LATE.message} {KEEPS_TRYING.format('doorman:5')}", False)._replace(
                    cause={
                        **ended(LATE, f"{LATE.message} {KEEPS_TRYING.format('doorman:5')}", False).cause,
                        "replaced": td(5),
                    },
                ),
                after(failed=True, broken=0)._replace(stable=None),
                Result.FAILED,
            ),
        ),
        "failed, and it is what was stable": (
            Finding.FAILED,
            {"known": STATE._replace(stable=stable(2))},
            Step(
                ended(UNSTABLE, f"{UNSTABLE.message} {NO_OTHER}", False),
                after(failed=True, broken=0)._replace(stable=stable(2)),
                Result.FAILED,
            ),
        ),
        "failed, and the service cannot be read any more": (
            Finding.FAILED,
            {"shown": None},
            Step(ended(UNSTABLE, UNSTABLE.message, None), after(failed=True, broken=0), Result.FAILED),
        ),
        "ECS has returned": (
            Finding.ECS_ROLLED_BACK,
            {"shown": service(deployment(1, 3))},
            Step(
                ended(UNSTABLE, f"{UNSTABLE.message} ECS has returned the service to doorman:1.", True),
                after(failed=True),
                Result.FAILED,
                deregisters=True,
            ),
        ),
        "ECS has returned from a revision that was there": (
            Finding.ECS_ROLLED_BACK,
            {"shown": service(deployment(1, 3)), "of": plan("mine", registered=False)},
            Step(
                ended(UNSTABLE, f"{UNSTABLE.message} ECS has returned the service to doorman:1.", True),
                after(failed=True),
                Result.FAILED,
            ),
        ),
        "the service is gone": (
            Finding.GONE,
            {"reason": "it was deleted", "shown": None},
            Step(ended(GONE, GONE.message, None), after(failed=True, broken=0), Result.FAILED),
        ),
        "the service is being deleted": (
            Finding.GONE,
            {"reason": "it was deleted"},
            Step(ended(GONE, GONE.message, None), after(failed=True, broken=0), Result.FAILED),
        ),
        "somebody else has changed the service": (
            Finding.DISPLACED,
            {"reason": "somebody else has brought in doorman:9 meanwhile"},
            Step(
                succeed(Outcome.SUPERSEDED, PLAN, NEW, NOW, "somebody else has brought in doorman:9 meanwhile"),
                after(),
                Result.DISPLACED,
            ),
        ),
        "it was overtaken too often": (
            Finding.OVERTAKEN,
            {"rollout": NEW._replace(repeats=2), "reason": "doorman:7 came late"},
            Step(succeed(Outcome.SUPERSEDED, PLAN, NEW, NOW, "doorman:7 came late"), after(), Result.DISPLACED),
        ),
    },
)
def test_after_a_deployment(finding: Finding, change: dict[str, Any], step: Step) -> None:
    assert typed(poll(finding, **change)) == typed(step)


def test_what_was_broken_before_stays_so() -> None:
    found = poll(Finding.FAILED, known=STATE._replace(broken_since=at(-5)))
    assert found.state
    assert found.state.broken_since == at(-5)


@pytest.mark.parametrize("written", [{}, {"proxy": "envoy:v1"}])
def test_stable(written: dict[str, str]) -> None:
    of = PLAN._replace(written=written)
    rollout = deploying()
    proof = Proof({"app": "sha256:mine", "proxy": "sha256:p"}, unproven=("nothing proves the worker's",))
    found = poll(Finding.STABLE, rollout, of=of, known=STATE._replace(broken_since=at(-5)), proof=proof)
    assert found == Step(
        succeed(Outcome.DEPLOYED, of, rollout, NOW, "nothing proves the worker's"),
        after()._replace(
            deployed=dict.fromkeys(of.containers, of.candidate),
            stable=stable(2, 9, digests=proof.digests)._replace(written=written),
        ),
        Result.DEPLOYED,
    )


def test_a_digest_that_nobody_knew_before_is_in_the_outcome() -> None:
    of = plan("mine", candidate=pushed("mine", digest=""))
    end = poll(Finding.STABLE, of=of, proof=Proof({"app": "sha256:reported"})).decision
    assert isinstance(end, Succeed)
    assert end.outcome["digest"] == "sha256:reported"


@table(
    "shown, proof, reasons",
    {
        "all is well": (SHOWN, NOTHING_KNOWN, []),
        "no task was started": (
            SHOWN._replace(desired=0),
            Proof({}, unproven=("not said then",)),
            ["the desired count is 0: no task was started, and nothing shows that the image works"],
        ),
        "one task is enough": (SHOWN._replace(desired=1), NOTHING_KNOWN, []),
        "early success": (
            SHOWN._replace(succeeds_early=True),
            Proof({}, unproven=("not proven",)),
            [
                "not proven",
                "early success: old tasks still run, and ECS's circuit breaker and alarms are off from now on",
            ],
        ),
        "early success, and nothing old runs": (
            service(deployment(2))._replace(succeeds_early=True),
            NOTHING_KNOWN,
            [],
        ),
        "early success, of no task": (
            SHOWN._replace(succeeds_early=True, desired=0),
            NOTHING_KNOWN,
            [
                "the desired count is 0: no task was started, and nothing shows that the image works",
                "early success: old tasks still run, and ECS's circuit breaker and alarms are off from now on",
            ],
        ),
    },
)
def test_what_a_success_does_not_show(shown: Service, proof: Proof, reasons: list[str]) -> None:
    end = poll(Finding.STABLE, shown=shown, proof=proof).decision
    assert end == succeed(Outcome.DEPLOYED, PLAN, NEW, NOW, *reasons)
    unknown = plan("mine", candidate=pushed("mine", digest=""))
    end = poll(Finding.STABLE, of=unknown, shown=shown, proof=proof).decision
    assert end == succeed(Outcome.DEPLOYED, unknown, NEW, NOW, *reasons)


@table(
    "change, outcome",
    {
        "the revision that runs": ({}, Outcome.UNCHANGED),
        "one that was registered for this": ({"registered": True}, Outcome.DEPLOYED),
        "another revision": ({"base": base(1)._replace(deployment=NEW.deployment)}, Outcome.DEPLOYED),
        "a deployment was made": ({"base": base(2)._replace(deployment="ecs-svc/old")}, Outcome.DEPLOYED),
    },
)
def test_a_revision_that_runs_already(change: dict[str, Any], outcome: Outcome) -> None:
    of = PLAN._replace(registered=False, base=base(2)._replace(deployment=NEW.deployment))._replace(**change)
    end = poll(Finding.STABLE, of=of).decision
    why = "the service ran doorman:2 already, so ECS made no deployment"
    unchanged = skip(outcome, "production1", "doorman-service", of.candidate, of.image, NOW, why)
    assert end == (unchanged if outcome is Outcome.UNCHANGED else succeed(outcome, of, NEW, NOW))


def test_a_pause_is_waited_for_and_people_are_notified() -> None:
    hook = Hook("one", "PAUSE", "", "AWAITING_ACTION", None, "ROLLBACK")
    found = follow.after_poll(PLAN, NEW, Verdict(Finding.PAUSED, "why", hook), Explanation(), SHOWN, STATE, NOW)
    assert found == Step(pause(PLAN, NEW._replace(reason="why"), hook, NOW))
    paused = NEW._replace(reason="why", paused_since=at(-60))
    found = follow.after_poll(PLAN, paused, Verdict(Finding.PAUSED, None, hook), Explanation(), SHOWN, STATE, NOW)
    assert found == Step(pause(PLAN, paused, hook, NOW))
    assert isinstance(found.decision, Pause)
    assert found.decision.seconds > 60


@pytest.mark.parametrize("is_rolling", [True, False])
def test_what_ecs_is_to_roll_back(is_rolling: bool) -> None:
    rollout = NEW._replace(service_deployment="arn of it")
    found = poll(Finding.FAILED, rollout, shown=SHOWN if is_rolling else shifting(2))
    assert isinstance(found.decision, Register)
    assert found.decision.rollout.stops == ("" if is_rolling else "arn of it")


@pytest.mark.parametrize(
    ("target", "named"), [(1, "doorman:1"), (3, "doorman:3 (doorman:1 with the digests that ran)")]
)
def test_the_end_of_a_return_names_what_came_back(target: int, named: str) -> None:
    proof = Proof({}, unproven=("nothing proves it",))
    of = PLAN._replace(written={"proxy": "envoy:v1"})
    found = poll(Finding.STABLE, returning(target), of=of, proof=proof)
    assert isinstance(found.decision, Fail)
    assert f"The service was returned to {named} and is stable." in found.decision.cause["message"]
    assert found.decision.cause["reasons"][-1] == "nothing proves it"
    assert found.state
    assert found.state.stable
    assert (found.state.stable.revision, found.state.stable.written) == (td(target), {} if target == 1 else of.written)


def test_the_end_of_a_return_where_nobody_knows_what_was_stable() -> None:
    found = poll(Finding.STABLE, BACK, known=STATE._replace(stable=None))
    assert isinstance(found.decision, Fail)
    assert "The service was returned to doorman:1 and is stable." in found.decision.cause["message"]


def test_what_ecs_has_returned_to_may_not_be_proven() -> None:
    end = poll(Finding.ECS_ROLLED_BACK, proof=Proof({}, unproven=("nothing proves it",))).decision
    assert isinstance(end, Fail)
    assert end.cause["reasons"][-1] == "nothing proves it"


OTHER = Proof({"app": "sha256:mine"}, ("app runs sha256:other instead of sha256:mine", "worker does too"))


def test_what_runs_is_not_what_was_asked_for() -> None:
    found = poll(Finding.STABLE, proof=OTHER)
    assert isinstance(found.decision, Fail)
    assert found.decision.error is Error.DEPLOYMENT_FAILED
    assert f"is not what was asked for: {'; '.join(OTHER.differences)}." in found.decision.cause["message"]
    assert found.decision.cause["reasons"] == list(OTHER.differences)
    assert found.decision.cause["rolledBack"] is False
    assert found.result is Result.FAILED
    assert found.state
    assert (found.state.owner, found.state.stable) == (None, STATE.stable)


def test_where_ecs_has_returned_to_another_digest_the_deployer_returns() -> None:
    found = poll(Finding.ECS_ROLLED_BACK, proof=OTHER)
    assert isinstance(found.decision, Register)
    assert found.decision.rollout.target == td(1)
    assert not found.decision.rollout.stops


def test_a_return_to_another_digest_has_failed() -> None:
    found = poll(Finding.STABLE, BACK, proof=OTHER)
    assert isinstance(found.decision, Fail)
    assert found.decision.error is Error.ROLLBACK_FAILED
    assert OTHER.differences[0] in found.decision.cause["message"]


def test_a_rollback_of_ecs_that_takes_too_long() -> None:
    found = poll(Finding.TIMED_OUT, BACK._replace(stops=STOPS), reason="ROLLBACK_IN_PROGRESS")
    assert isinstance(found.decision, Fail)
    assert found.decision.error is Error.ROLLBACK_FAILED
    assert "ROLLBACK_IN_PROGRESS" in found.decision.cause["message"]


STOPS = "arn:aws:ecs:eu-west-1:123456789012:service-deployment/production1/doorman-service/2"


@table(
    "finding, proof, is_back",
    {
        "ECS has rolled back": (Finding.ECS_ROLLED_BACK, NOTHING_KNOWN, True),
        "ECS has rolled back to another digest": (Finding.ECS_ROLLED_BACK, OTHER, False),
        "ECS has failed to": (Finding.FAILED, NOTHING_KNOWN, False),
    },
)
def test_after_ecs_was_told_to_roll_back(finding: Finding, proof: Proof, is_back: bool) -> None:
    found = poll(finding, BACK._replace(stops=STOPS), proof=proof)
    if is_back:
        assert isinstance(found.decision, Fail)
        assert found.decision.cause["rolledBack"] is True
    else:
        assert isinstance(found.decision, Register)
        assert (found.decision.rollout.stops, found.decision.rollout.updated_at) == ("", None)
        assert found.decision.rollout.repeats == 1
        assert (found.decision.plan, found.decision.rollout.target) == (PLAN, BACK.target)
        assert found.decision.rollout.failure == BACK.failure


ROLLBACK_FAILED = FAILED._replace(error=Error.ROLLBACK_FAILED)
LEFT = "Look at the service doorman-service of the cluster production1 now: "
TASKS = "doorman:2 is PRIMARY, 1 of its tasks run; doorman:1 is ACTIVE, 2 of its tasks run."


@table(
    "finding, change, step",
    {
        "stable: the failed revision is deregistered": (
            Finding.STABLE,
            {},
            Step(
                ended(FAILED, f"{FAILED.message} The service was returned to doorman:1 and is stable.", True),
                after(),
                Result.FAILED,
                deregisters=True,
            ),
        ),
        "stable: a revision that was there stays": (
            Finding.STABLE,
            {"of": plan("mine", registered=False)},
            Step(
                ended(FAILED, f"{FAILED.message} The service was returned to doorman:1 and is stable.", True),
                after(),
                Result.FAILED,
            ),
        ),
        "failed, as the tasks tell": (
            Finding.FAILED,
            {},
            Step(
                ended(
                    ROLLBACK_FAILED,
                    f"{FAILED.message} The return to doorman:1 failed too: failed. {LEFT}{TASKS}",
                    False,
                    "failed",
                    *WHY.reasons,
                ),
                after(broken=-5),
                Result.FAILED,
            ),
        ),
        "timed out, as ECS has said": (
            Finding.TIMED_OUT,
            {"reason": "no task is left of MAX."},
            Step(
                ended(
                    ROLLBACK_FAILED,
                    f"{FAILED.message} The return to doorman:1 failed too: no task is left of MAX. {LEFT}{TASKS}",
                    False,
                    "no task is left of MAX.",
                    *WHY.reasons,
                ),
                after(broken=-5),
                Result.FAILED,
            ),
        ),
        "timed out, as ECS has said before": (
            Finding.TIMED_OUT,
            {"rollout": BACK._replace(reason="it was said")},
            Step(
                ended(
                    ROLLBACK_FAILED,
                    f"{FAILED.message} The return to doorman:1 failed too: it was said. {LEFT}{TASKS}",
                    False,
                    "it was said",
                    *WHY.reasons,
                ),
                after(broken=-5),
                Result.FAILED,
            ),
        ),
        "ECS has gone back to the failed revision": (
            Finding.ECS_ROLLED_BACK,
            {},
            Step(
                ended(
                    ROLLBACK_FAILED,
                    f"{FAILED.message} The return to doorman:1 failed too: ecs rolled back. {LEFT}{TASKS}",
                    False,
                    "ecs rolled back",
                    *WHY.reasons,
                ),
                after(broken=-5),
                Result.FAILED,
            ),
        ),
        "it was overtaken too often": (
            Finding.OVERTAKEN,
            {"rollout": BACK._replace(repeats=2), "reason": "doorman:7 came late"},
            Step(
                ended(
                    ROLLBACK_FAILED,
                    f"{FAILED.message} The return to doorman:1 failed too: doorman:7 came late. {LEFT}{TASKS}",
                    False,
                    "doorman:7 came late",
                ),
                after(broken=-5),
                Result.FAILED,
            ),
        ),
        "the service is gone": (
            Finding.GONE,
            {"reason": "it was deleted", "shown": None},
            Step(
                ended(
                    ROLLBACK_FAILED,
                    f"{FAILED.message} The return to doorman:1 failed too: it was deleted. {LEFT}"
                    "there is no such service any more.",
                    False,
                    "it was deleted",
                ),
                after(broken=-5),
                Result.FAILED,
            ),
        ),
        "the service is being deleted, and no deployment is left": (
            Finding.GONE,
            {"reason": "it is DRAINING", "shown": service()._replace(deployments=())},
            Step(
                ended(
                    ROLLBACK_FAILED,
                    f"{FAILED.message} The return to doorman:1 failed too: it is DRAINING. {LEFT}it has no deployment.",
                    False,
                    "it is DRAINING",
                ),
                after(broken=-5),
                Result.FAILED,
            ),
        ),
        "somebody else has changed the service": (
            Finding.DISPLACED,
            {"reason": "they did"},
            Step(
                ended(FAILED, f"{FAILED.message} The service was not returned: they did.", None, "they did"),
                after(broken=-5),
                Result.FAILED,
            ),
        ),
    },
)
def test_after_a_return(finding: Finding, change: dict[str, Any], step: Step) -> None:
    ordinary = {"rollout": BACK, "known": STATE._replace(broken_since=at(-5))}
    assert typed(poll(finding, **{**ordinary, **change})) == typed(step)


@table(
    "finding, reason, step",
    {
        "stable": (
            Finding.STABLE,
            None,
            Step(
                ended(failure(""), " The service was returned to doorman:1 and is stable.", True),
                after(),
                Result.FAILED,
                deregisters=True,
            ),
        ),
        "somebody else has changed the service": (
            Finding.DISPLACED,
            "they did",
            Step(
                succeed(Outcome.SUPERSEDED, PLAN, returning(failure=None, reason="they did"), NOW, "they did"),
                after(broken=-5),
                Result.DISPLACED,
            ),
        ),
    },
)
def test_after_a_return_that_another_release_began_without_saying_why(
    finding: Finding, reason: str | None, step: Step
) -> None:
    assert typed(
        poll(finding, returning(failure=None), reason=reason, known=STATE._replace(broken_since=at(-5)))
    ) == typed(step)


@table(
    "rollout, step",
    {
        "before a deployment": (
            deploying(updated=None),
            Step(succeed(Outcome.SUPERSEDED, PLAN, deploying(updated=None), NOW, "why"), after(), Result.DISPLACED),
        ),
        "before a return": (
            returning(updated=None),
            Step(
                ended(FAILED, f"{FAILED.message} The service was not returned: why.", None, "why"),
                after(),
                Result.FAILED,
            ),
        ),
    },
)
def test_displaced(rollout: Rollout, step: Step) -> None:
    assert typed(follow.displaced(PLAN, rollout, STATE, "why", NOW)) == typed(step)


def lost(who: str) -> Decision:
    return succeed(Outcome.SUPERSEDED, PLAN, NEW, NOW, f"{who} has taken its place")


@table(
    "known, end",
    {
        "the owner has": (state(owner=owned("newer"), newest={"app": pushed("third")}), lost("newer")),
        "the newest request has, which has ended": (state(newest={"app": pushed("newer")}), lost("newer")),
        "another one than itself has": (state(newest={"proxy": MINE, "app": pushed("newer")}), lost("newer")),
        "nobody knows who": (state(newest={"app": MINE}), lost("a newer request")),
    },
)
def test_superseded(known: State, end: Succeed) -> None:
    assert typed(follow.superseded(PLAN, NEW, known, NOW)) == typed(end)


def test_superseded_while_it_returns() -> None:
    message = f"{FAILED.message} The service is not returned: newer has taken its place."
    expected = fail(PLAN, FAILED, message, rolled_back=None, reasons=("newer has taken its place",))
    assert typed(follow.superseded(PLAN, BACK, state(owner=owned("newer")), NOW)) == typed(expected)
