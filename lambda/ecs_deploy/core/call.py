"""The call of UpdateService: whether it may be made, and what its answer means.

UpdateService knows no condition. So the intent is written down before the call, and what was displaced is found in the
answer. The service is read before each try: an earlier one may have been applied though its answer was lost.
"""

from datetime import datetime
from typing import NamedTuple

from ecs_deploy.core import transitions
from ecs_deploy.core.base import displaced_by, intent_of, is_since, late_revisions, renewed
from ecs_deploy.core.decision import Decision, Register, Update, wait
from ecs_deploy.core.errors import Error
from ecs_deploy.core.formats import short
from ecs_deploy.core.plan import Failure, Plan, Rollout
from ecs_deploy.core.service import Service
from ecs_deploy.core.state import Base, Intent, Phase, State


class Displaced(NamedTuple):
    """Somebody else has changed the service, and it stays so."""

    why: str


Ruling = Decision | Displaced | Intent


def before_call(
    plan: Plan, rollout: Rollout, service: Service, state: State, invocation: str, now: datetime, until: datetime
) -> Ruling:
    """The intent to call with, or what follows without a call.

    `until` is when `invocation` cannot run any more. The execution is the owner, and no other invocation is calling.
    """
    call = Intent(
        execution=plan.execution,
        request=plan.candidate.request,
        containers=plan.containers,
        revision=rollout.target,
        base=plan.base,
        number=rollout.repeats,
        invocation=invocation,
        at=now,
        until=until,
    )
    sends = [each for each in state.intents if each.is_same_call(call)]
    for send in sends:
        if send.noted_at:
            return _answered(plan, rollout, service, send, send.displaced, send.noted_at, now)
    earlier = sends[0] if sends else None
    if service.current == rollout.target:
        return call
    late = late_revisions(state, rollout.target, now)
    if earlier and _was_undone(service, earlier) and service.current not in late:
        return Displaced(f"somebody else has brought in {short(service.current)} meanwhile")
    if rollout.phase is Phase.RETURNING:
        return _before_return(plan, service, state, call, now)
    base = renewed(plan.base, service, state, now)
    if base:
        return call._replace(base=base)
    if rollout.may_repeat:
        return Register(plan, rollout.repeated())
    return Displaced(f"somebody else keeps changing the service: it is on {short(service.current)} now")


def after_call(
    plan: Plan, rollout: Rollout, call: Intent, answer: Service, state: State, now: datetime
) -> tuple[Decision, State]:
    """What follows when UpdateService has answered with the service, and the state with that noted."""
    displaced = displaced_by(answer, call, state, now, returning=rollout.phase is Phase.RETURNING) or ""
    deployment = answer.primary.id if answer.is_rolling else ""
    decision = _answered(plan, rollout, answer, call._replace(deployment=deployment), displaced, now, now)
    return decision, transitions.noted(state, call, deployment, displaced, now)


def _answered(
    plan: Plan, rollout: Rollout, service: Service, call: Intent, displaced: str, at: datetime, now: datetime
) -> Decision:
    updated = rollout.updated(call.deployment, service.own_time, at)
    if not displaced:
        # No event tells of what is complete already: ECS has made no deployment, or has nothing to start.
        is_over = service.is_rolling and service.is_complete(service.primary)
        return wait(plan, updated, now, is_rolling=service.is_rolling, looks=0 if is_over else None)
    if rollout.phase is Phase.DEPLOYING and rollout.may_repeat:
        return Register(plan, updated.repeated())
    if rollout.may_repeat:
        return Update(plan._replace(digests={}), rollout._replace(target=displaced).repeated())
    if rollout.phase is Phase.DEPLOYING:
        failure = Failure(Error.DEPLOYMENT_FAILED, "Somebody else keeps changing the service.")
        return Update(plan._replace(digests={}), updated.returning(displaced, failure))
    return wait(plan, updated, now, is_rolling=service.is_rolling)


def _was_undone(service: Service, call: Intent) -> bool:
    """Whether a call whose answer is lost was applied, and somebody has displaced it since."""
    if not service.is_rolling:
        return False
    since = [each for each in service.deployments if is_since(each, call.base)]
    if any(each.revision == call.revision for each in since):
        return True
    # What the call took the place of is back in a deployment of its own, and not by ECS.
    return service.primary in since and service.current == call.base.revision and not service.rolls_back_itself


def _before_return(plan: Plan, service: Service, state: State, call: Intent, now: datetime) -> Ruling:
    """Return only from what the deployer itself has brought in: a change by somebody else may be the mending."""
    if not service.is_rolling:
        return call
    primary = service.primary
    ours = {plan.revision, *late_revisions(state, call.revision, now)}
    if primary.revision in ours or not is_since(primary, plan.base) or intent_of(state, primary.revision, primary):
        return call._replace(base=Base(primary.revision, primary.id, primary.created_at))
    return Displaced(f"somebody else has brought in {short(primary.revision)} meanwhile")
