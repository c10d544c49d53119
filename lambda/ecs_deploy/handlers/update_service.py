"""The second step: make the service run the rollout's target, and note which deployment that is."""

from datetime import timedelta
from typing import TYPE_CHECKING

from ecs_deploy.aws import dynamodb, ecs, waits
from ecs_deploy.aws.client import CONNECT_TIMEOUT, READ_TIMEOUT
from ecs_deploy.core import call, follow, transitions
from ecs_deploy.core.decision import Decision
from ecs_deploy.core.errors import AwsUnavailable, DeployError
from ecs_deploy.core.plan import Plan, Rollout
from ecs_deploy.core.state import Intent, Phase, State
from ecs_deploy.handlers import ending, runtime, step, table

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# After its time a function is stopped, but not what it has sent.
_GRACE = timedelta(seconds=30)
_MOST_TRIES = 5


@step.following
def handler(plan: Plan, rollout: Rollout, event: step.Event, context: "LambdaContext") -> Decision:
    """Answer with a wait for the rollout, or with what follows where the service must not be updated so."""
    rollout = rollout._replace(signals=waits.read(plan.key))
    for _ in range(_MOST_TRIES):
        now = runtime.now()
        state = dynamodb.read_state(plan.key, now)
        if ended := ending.lost_ownership(plan, rollout, state):
            return ended
        if busy_until := transitions.is_busy(state, context.aws_request_id, now):
            raise AwsUnavailable(f"another invocation may be updating the service until {busy_until}")
        service = ecs.describe_service(plan.cluster, plan.service)
        until = now + timedelta(milliseconds=context.get_remaining_time_in_millis()) + _GRACE
        ruling = call.before_call(plan, rollout, service, state, context.aws_request_id, now, until)
        try:
            if isinstance(ruling, call.Displaced):
                return ending.write(plan, state, follow.displaced(plan, rollout, state, ruling.why, now))
            if not isinstance(ruling, Intent):
                return ruling
            after = transitions.intended(state, ruling)
            # The history says already that a deployment failed which is returned from.
            entry = step.entry_of(plan) if rollout.phase is Phase.DEPLOYING else None
            table.write(plan.key, before=state, state=after, entry=entry)
        except dynamodb.Conflict:
            continue
        except AwsUnavailable:
            if isinstance(ruling, Intent):
                _unlock(plan, ruling)
            raise
        return _update(plan, rollout, ruling, event, context)
    raise AwsUnavailable(f"the state of {plan.key} is written by others all the time")


def _update(plan: Plan, rollout: Rollout, intent: Intent, event: step.Event, context: "LambdaContext") -> Decision:
    """Call UpdateService, and note what it made."""
    updated = rollout
    try:
        _require_time(context)
        answer = ecs.update_service(plan.cluster, plan.service, rollout.target)
        now = runtime.now()
        updated = rollout.updated("", answer.own_time, now)
        runtime.logger.info("Updated", phase=rollout.phase, revision=rollout.target)

        def rule(state: State) -> table.Change:
            return table.Change(*call.after_call(plan, rollout, intent, answer, state, now))

        decision: Decision = table.change(plan.key, now, rule)
    except AwsUnavailable:
        _unlock(plan, intent)
        raise
    except DeployError as error:
        _unlock(plan, intent)
        step.retry_if_new(error, event)
        return step.give_up(plan, updated, error)
    return decision


def _require_time(context: "LambdaContext") -> None:
    """Raise `AwsUnavailable` where a call could outlive the function."""
    if context.get_remaining_time_in_millis() < 1000 * (CONNECT_TIMEOUT + READ_TIMEOUT):
        raise AwsUnavailable("too little time is left for a call")


def _unlock(plan: Plan, intent: Intent) -> None:
    """Let the next try begin at once; without it, it waits until this invocation cannot run any more."""
    now = runtime.now()
    try:
        table.change(plan.key, now, lambda state: table.Change(None, transitions.unlocked(state, intent, now)))
    except (AwsUnavailable, DeployError) as error:
        runtime.logger.warning("The intent could not be unlocked", reason=str(error))
