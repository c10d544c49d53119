"""What follows a verdict: wait, update again, return to what was stable, or end; and what the table keeps of it."""

from datetime import datetime
from typing import NamedTuple, assert_never

from ecs_deploy.core import transitions
from ecs_deploy.core.decision import Decision, End, Outcome, Register, Succeed, Update, fail, pause, skip, succeed, wait
from ecs_deploy.core.digests import NOTHING_KNOWN, Proof
from ecs_deploy.core.errors import Error
from ecs_deploy.core.formats import short
from ecs_deploy.core.plan import Explanation, Failure, Plan, Rollout
from ecs_deploy.core.rollout_times import defaults_that_show, rollout_times
from ecs_deploy.core.service import Service
from ecs_deploy.core.state import Phase, Result, Stable, State
from ecs_deploy.core.verdict import Finding, Verdict

FAILURES = frozenset({Finding.FAILED, Finding.TIMED_OUT, Finding.ECS_ROLLED_BACK})
"""The findings to explain: the tasks can tell why."""
UNDECIDED = frozenset({Finding.NOT_SHOWN, Finding.IN_PROGRESS, Finding.ECS_IS_ROLLING_BACK})


class Step(NamedTuple):
    """The decision; with a `result`, the state and the history entry are written with it in one transaction."""

    decision: Decision
    state: State | None = None
    result: Result | None = None
    deregisters: bool = False


def after_poll(
    plan: Plan, rollout: Rollout, verdict: Verdict, explanation: Explanation, service: Service | None, state: State,
    now: datetime, proof: Proof = NOTHING_KNOWN,
) -> Step:  # fmt: skip
    """What follows a verdict on the target of the rollout, which the owner of the service follows.

    The `proof` is of what runs, where the verdict is that something is stable.
    """
    rollout = rollout._replace(reason=verdict.reason or rollout.reason)
    if verdict.finding is Finding.PAUSED:
        return Step(pause(plan, rollout, verdict.hook, now))
    if service and verdict.finding in UNDECIDED:
        return Step(wait(plan, rollout, now, is_rolling=service.is_rolling))
    if verdict.finding is Finding.OVERTAKEN and rollout.may_repeat:
        return Step(Update(plan, rollout.repeated()))
    match rollout.phase:
        case Phase.DEPLOYING:
            return _after_deployment(plan, rollout, verdict, explanation, service, state, now, proof)
        case Phase.RETURNING:
            return _after_return(plan, rollout, verdict, explanation, service, state, now, proof)
    assert_never(rollout.phase)


def displaced(plan: Plan, rollout: Rollout, state: State, why: str, now: datetime) -> Step:
    """Somebody else has changed the service: it stays as they want it. What was watched has been deployed."""
    after = transitions.ended(state, plan.execution)
    if state.owner and state.owner.watched:
        return Step(
            succeed(Outcome.DEPLOYED, plan, rollout, now, f"not watched to the end: {why}"), after, Result.DEPLOYED
        )
    if rollout.failure:
        message = f"{rollout.failure.message} The service was not returned: {why}."
        return Step(fail(plan, rollout.failure, message, rolled_back=None, reasons=(why,)), after, Result.FAILED)
    return Step(succeed(Outcome.SUPERSEDED, plan, rollout, now, why), after, Result.DISPLACED)


def superseded(plan: Plan, rollout: Rollout, state: State, now: datetime) -> End:
    """The end of an execution that is not the owner of the service any more."""
    newer = next(
        (each.execution for each in state.newest.values() if each.execution != plan.execution), "a newer request"
    )
    why = f"{state.owner.execution if state.owner else newer} has taken its place"
    if rollout.failure:
        message = f"{rollout.failure.message} The service is not returned: {why}."
        return fail(plan, rollout.failure, message, rolled_back=None, reasons=(why,))
    return succeed(Outcome.SUPERSEDED, plan, rollout, now, why)


def _after_deployment(
    plan: Plan, rollout: Rollout, verdict: Verdict, explanation: Explanation, service: Service | None, state: State,
    now: datetime, proof: Proof,
) -> Step:  # fmt: skip
    if verdict.finding is Finding.STABLE and not proof.differences:
        after = transitions.deployed(state, plan.candidate, plan.containers, stable_as(plan, proof, now))
        return Step(success(plan, rollout, service, now, proof), after, Result.DEPLOYED)
    is_watched = state.owner is not None and state.owner.watched is not None
    if verdict.finding in {Finding.DISPLACED, Finding.OVERTAKEN} or (is_watched and verdict.finding is Finding.GONE):
        return displaced(plan, rollout, state, str(verdict.reason), now)
    failure = _failure(plan, rollout, verdict, explanation, proof)
    after = transitions.failed(state, plan.candidate, now)
    over = transitions.ended(after, plan.execution)
    if verdict.finding is Finding.GONE or service is None:
        return Step(fail(plan, failure, failure.message, rolled_back=None), over, Result.FAILED)
    if verdict.finding is Finding.STABLE:
        message = f"{failure.message} The deployment was left as it is. Deploy by digest, or with pin, to run that one."
        return Step(fail(plan, failure, message, rolled_back=False), over, Result.FAILED)
    if verdict.finding is Finding.ECS_ROLLED_BACK and not proof.differences:
        message = f"{failure.message} ECS has returned the service to {short(service.current)}."
        restored = transitions.ended(after, plan.execution, restored=True)
        return Step(
            fail(plan, failure, message, rolled_back=True, reasons=proof.unproven),
            restored,
            Result.FAILED,
            deregisters=plan.registered,
        )
    target = state.stable.revision if state.stable else plan.base.revision
    if not plan.rollback:
        goes_on = "ECS goes on trying" if rollout.stable_at is None else "the service keeps"
        message = (
            f"{failure.message} rollback is off in the request, so {goes_on} {short(plan.revision)}: "
            f"deploy another image, or {short(target)}, which ran before."
        )
        return Step(fail(plan, failure, message, rolled_back=False), over, Result.FAILED)
    if target == plan.revision:
        message = f"{failure.message} There is no other revision that was stable to return to."
        return Step(fail(plan, failure, message, rolled_back=False), over, Result.FAILED)
    if plan.base.revision != target:
        also = (
            f" {short(plan.base.revision)}, which somebody else had brought in and which was not stable yet, goes too."
        )
        failure = failure._replace(message=failure.message + also)
    stops = "" if service.is_rolling else rollout.service_deployment
    return Step(Register(plan, rollout.returning(target, failure, stops=stops)), after, Result.FAILED)


def stable_as(plan: Plan, proof: Proof, now: datetime) -> Stable:
    """What is stable once a deployment is."""
    return Stable(plan.revision, now, proof.digests, plan.parts, plan.written)


def watched_to_its_end(plan: Plan, state: State, success: End, unseen: tuple[str, ...]) -> Step:
    """Nothing has gone wrong while it was watched, as far as that was to be seen."""
    if isinstance(success, Succeed):
        reasons = [*success.outcome["reasons"], *unseen]
        success = success._replace(outcome={**success.outcome, "reasons": reasons}, reasons=tuple(reasons))
    return Step(success, transitions.ended(state, plan.execution), Result.DEPLOYED)


def _after_return(
    plan: Plan, rollout: Rollout, verdict: Verdict, explanation: Explanation, service: Service | None, state: State,
    now: datetime, proof: Proof,
) -> Step:  # fmt: skip
    failure = rollout.failure or Failure(Error.DEPLOYMENT_FAILED, "")
    is_back = verdict.finding is Finding.STABLE or (verdict.finding is Finding.ECS_ROLLED_BACK and rollout.stops)
    if is_back and not proof.differences:
        stable = state.stable.revision if state.stable else rollout.target
        anew = "" if rollout.target == stable else f" ({short(stable)} with the digests that ran)"
        message = f"{failure.message} The service was returned to {short(rollout.target)}{anew} and is stable."
        after = transitions.returned(state, plan.execution, rollout.target, plan.written)
        end = fail(plan, failure, message, rolled_back=True, reasons=proof.unproven)
        return Step(end, after, Result.FAILED, deregisters=plan.registered)
    if rollout.stops and verdict.finding in {Finding.FAILED, Finding.ECS_ROLLED_BACK}:
        # ECS did not return to it, so that the deployer does.
        return Step(Register(plan, rollout.returning(rollout.target, failure).repeated()))
    if verdict.finding is Finding.DISPLACED:
        return displaced(plan, rollout, state, str(verdict.reason), now)
    said = rollout.reason or verdict.finding.name.replace("_", " ").lower()
    why = (*(proof.differences or (said,)), *explanation.reasons)
    runs = (
        "; ".join(
            f"{short(each.revision)} is {each.status}, {each.running} of its tasks run" for each in service.deployments
        )
        if service
        else "there is no such service any more"
    )
    message = (
        f"{failure.message} The return to {short(rollout.target)} failed too: {why[0].rstrip('.')}. Look at the "
        f"service {plan.service} of the cluster {plan.cluster} now: {runs or 'it has no deployment'}."
    )
    after = transitions.ended(state, plan.execution)
    end = fail(plan, failure._replace(error=Error.ROLLBACK_FAILED), message, rolled_back=False, reasons=why)
    return Step(end, after, Result.FAILED)


def success(plan: Plan, rollout: Rollout, service: Service | None, now: datetime, proof: Proof) -> End:
    """The end of a stable deployment, what people may not expect of it, and where its time went."""
    if not plan.registered and plan.revision == plan.base.revision and rollout.deployment == plan.base.deployment:
        why = f"the service ran {short(plan.revision)} already, so ECS made no deployment"
        return skip(Outcome.UNCHANGED, plan.cluster, plan.service, plan.candidate, plan.image, now, why)
    reasons = []
    if service and service.desired == 0:
        reasons.append("the desired count is 0: no task was started, and nothing shows that the image works")
    else:
        reasons += proof.unproven
    if service and service.succeeds_early and len(service.deployments) > 1:
        reasons.append("early success: old tasks still run, and ECS's circuit breaker and alarms are off from now on")
    noted = next((proof.digests[each] for each in plan.containers if each in proof.digests), "")
    known = plan._replace(candidate=plan.candidate._replace(digest=plan.candidate.digest or noted))
    end = succeed(Outcome.DEPLOYED, known, rollout, now, *reasons)
    if service is None:
        return end
    times = rollout_times(service, proof.tasks, plan.revision, rollout.since, now)
    if times is None:
        return end
    spent = {"times": times._asdict(), "slow": list(defaults_that_show(service, times))}
    return end._replace(outcome={**end.outcome, **spent})


def _failure(plan: Plan, rollout: Rollout, verdict: Verdict, explanation: Explanation, proof: Proof) -> Failure:
    what = f"{short(plan.revision)} ({plan.image}) on {plan.service} of the cluster {plan.cluster}"
    if verdict.finding is Finding.GONE:
        reason = str(verdict.reason)
        return Failure(Error.DEPLOYMENT_FAILED, f"{what} did not become stable: {reason}.", (reason,))
    if verdict.finding is Finding.STABLE:
        message = f"{what} is stable, and is not what was asked for: {'; '.join(proof.differences)}."
        return Failure(Error.DEPLOYMENT_FAILED, message, proof.differences)
    if verdict.finding is Finding.TIMED_OUT:
        message = f"{what} was not stable after {plan.timeout} seconds: {explanation.cause}"
        return Failure(Error.DEPLOYMENT_TIMED_OUT, message, explanation.reasons)
    became = "did not become stable" if rollout.stable_at is None else "was stable, and does not stay"
    return Failure(Error.DEPLOYMENT_FAILED, f"{what} {became}: {explanation.cause}", explanation.reasons)
