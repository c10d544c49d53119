"""The end of an execution: written once, and found again by a step whose answer was lost."""

from ecs_deploy.aws import dynamodb
from ecs_deploy.core import follow
from ecs_deploy.core.decision import Decision, Register, decision_from
from ecs_deploy.core.plan import Plan, Rollout
from ecs_deploy.core.state import Phase, Result, State
from ecs_deploy.handlers import runtime, step, table


def lost_ownership(plan: Plan, rollout: Rollout, state: State) -> Decision | None:
    """What the table says where this execution is not the owner, or not in the phase that the workflow says."""
    owner = state.owner
    is_owner = owner is not None and owner.execution == plan.execution
    if owner and is_owner and (owner.phase is Phase.DEPLOYING or rollout.phase is Phase.RETURNING):
        return None
    entry = dynamodb.read_entry(plan.key, plan.candidate)
    answered = decision_from(entry.answer) if entry and entry.answer else None
    # A return that was begun goes on as long as nobody else has taken over.
    if answered and (is_owner or not isinstance(answered, Register)):
        return answered
    end = follow.superseded(plan, rollout, state, runtime.now())
    result = Result.FAILED if rollout.failure else Result.SUPERSEDED
    table.write(plan.key, before=state, entry=step.entry_of(plan, result, end))
    return end


def write(plan: Plan, state: State, made: follow.Step) -> Decision:
    """Write what the table keeps of a decision, and answer it. Raises `Conflict`."""
    if made.result:
        entry = step.entry_of(plan, made.result, made.decision)
        before, after = state.stable, made.state.stable if made.state else None
        if after and made.result is Result.DEPLOYED:
            copies = {plan.revision: plan.copy_of} if plan.copy_of else {}
            entry = entry._replace(
                digests=after.digests, replaced_digests=before.digests if before else {}, copies=copies
            )
        elif after and before and after.revision != before.revision:
            entry = entry._replace(copies={after.revision: before.revision})
        table.write(plan.key, before=state, state=made.state, entry=entry)
    return made.decision
