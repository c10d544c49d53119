"""The end of an execution: written once, and found again by a step whose answer was lost."""

from ecs_deploy.aws import dynamodb, ecs
from ecs_deploy.core import follow
from ecs_deploy.core.decision import Decision, Register, decision_from
from ecs_deploy.core.errors import AwsUnavailable, DeployError
from ecs_deploy.core.plan import Plan, Rollout
from ecs_deploy.core.state import Entry, Phase, Result, Stable, State
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


def deregister(revision: str) -> None:
    """Keep a failed revision from being anybody's "latest"; the end stands without it.

    sil-org/ecs-deploy#197 tells of a scheduled task that took one.
    """
    try:
        ecs.deregister_task_definition(revision)
    except (DeployError, AwsUnavailable) as error:
        runtime.logger.warning("The revision could not be deregistered", revision=revision, reason=str(error))


def deployed_entry(plan: Plan, before: Stable | None, stable: Stable, end: Decision) -> Entry:
    """The entry of an execution whose deployment is `stable`, and what was so `before`."""
    return step.entry_of(plan, Result.DEPLOYED, end)._replace(
        digests=stable.digests,
        replaced_digests=before.digests if before else {},
        copies={plan.revision: plan.copy_of} if plan.copy_of else {},
    )


def write(plan: Plan, state: State, made: follow.Step) -> Decision:
    """Write what the table keeps of a decision, and answer it. Raises `Conflict`."""
    if made.result:
        entry = step.entry_of(plan, made.result, made.decision)
        before, after = state.stable, made.state.stable if made.state else None
        if after and made.result is Result.DEPLOYED:
            entry = deployed_entry(plan, before, after, made.decision)
        elif after and before and after.revision != before.revision:
            entry = entry._replace(copies={after.revision: before.revision})
        table.write(plan.key, before=state, state=made.state, entry=entry)
    return made.decision
