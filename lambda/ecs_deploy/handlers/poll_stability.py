"""The third step, again and again: judge the deployment."""

from datetime import datetime
from typing import TYPE_CHECKING

from ecs_deploy.aws import dynamodb, ecs
from ecs_deploy.core import follow
from ecs_deploy.core.base import is_since, late_revisions
from ecs_deploy.core.decision import Decision
from ecs_deploy.core.errors import AwsUnavailable, DeployError, Error
from ecs_deploy.core.plan import Explanation, Plan, Rollout
from ecs_deploy.core.service import Service
from ecs_deploy.core.state import Phase, State
from ecs_deploy.core.verdict import (
    Finding,
    Followed,
    Verdict,
    is_followed,
    judge,
    judge_before_shown,
    judge_shift,
    settle,
)
from ecs_deploy.handlers import ending, runtime, step

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_MOST_TRIES = 5


@step.following
def handler(plan: Plan, rollout: Rollout, event: step.Event, _context: "LambdaContext") -> Decision:
    """Answer what follows from the state of the rollout."""
    entered_at = datetime.fromisoformat(event["enteredAt"])
    rollout = rollout.polled(runtime.now(), entered_at, retried=event["attempt"] > 0)
    for _ in range(_MOST_TRIES):
        state = dynamodb.read_state(plan.key, runtime.now())
        if ended := ending.lost_ownership(plan, rollout, state):
            return ended
        service, rollout, verdict = _read(plan, rollout, state)
        explanation = _explain(rollout, verdict, service)
        made = follow.after_poll(plan, rollout, verdict, explanation, service, state, runtime.now())
        runtime.logger.info("Polled", finding=verdict.finding.name, reason=verdict.reason, polls=rollout.polls)
        if made.deregisters:
            _deregister(plan.revision)
        try:
            return ending.write(plan, state, made)
        except dynamodb.Conflict:
            continue
    raise AwsUnavailable(f"the state of {plan.key} is written by others all the time")


def _read(plan: Plan, rollout: Rollout, state: State) -> tuple[Service | None, Rollout, Verdict]:
    """Read the service and judge the deployment that UpdateService made; where ECS shifts traffic, the shift."""
    now = runtime.now()
    try:
        service = ecs.describe_service(plan.cluster, plan.service)
    except DeployError as error:
        if error.error is not Error.SERVICE_NOT_FOUND:
            raise
        return None, rollout, Verdict(Finding.GONE, "the service was deleted meanwhile")
    runtime.logger.debug("Deployments", deployments=[each._asdict() for each in service.deployments])
    if service.is_active and not service.is_rolling:
        rollout, verdict = _judge_shift(plan, rollout, service, now)
        if verdict.finding is Finding.DISPLACED and service.current in late_revisions(state, rollout.target, now):
            verdict = verdict._replace(finding=Finding.OVERTAKEN)
        return service, rollout, verdict
    followed = Followed(
        deployment=rollout.deployment,
        revision=rollout.target,
        updated_at=rollout.since,
        age=now - rollout.since,
        overdue=now >= rollout.deadline(plan.timeout),
        replaced={plan.base.revision, plan.replaced} if rollout.phase is Phase.DEPLOYING else set(),
        is_replaced_shown=service.is_active and not is_since(service.primary, plan.base),
        late=late_revisions(state, rollout.target, now) | ({plan.revision} - {rollout.target}),
    )
    verdict = judge(service, followed)
    if verdict.finding is Finding.TASKS_KEEP_FAILING:
        verdict = _settle(plan, rollout.target)
    return service, rollout, verdict


def _judge_shift(plan: Plan, rollout: Rollout, service: Service, now: datetime) -> tuple[Rollout, Verdict]:
    arn = rollout.deployment or service.service_deployment
    found = ecs.describe_service_deployment(arn) if arn else None
    at = rollout.since
    if found is None or not is_followed(found, followed=rollout.deployment, revision=rollout.target, updated_at=at):
        return rollout, judge_before_shown(now - at)
    overdue = now >= rollout.deadline(plan.timeout)
    return rollout._replace(deployment=found.arn), judge_shift(service, found, overdue=overdue)


def _settle(plan: Plan, revision: str) -> Verdict:
    """Ask the tasks; where they cannot be read nothing is settled, and the deadline stands."""
    try:
        return settle(ecs.describe_tasks(plan.cluster, plan.service), revision)
    except (DeployError, AwsUnavailable) as error:
        runtime.logger.warning("The tasks could not be read", reason=str(error))
        return Verdict(Finding.IN_PROGRESS)


def _explain(rollout: Rollout, verdict: Verdict, service: Service | None) -> Explanation:
    if service is None or verdict.finding not in follow.FAILURES:
        return Explanation()
    # Most rollouts never need it, and every start would wait for it.
    from ecs_deploy.handlers.diagnostics import explain  # noqa: PLC0415

    return explain(rollout, service, verdict.reason or rollout.reason or "the service gives no reason")


def _deregister(revision: str) -> None:
    """Keep a failed revision from being anybody's "latest"; the end stands without it.

    sil-org/ecs-deploy#197 tells of a scheduled task that took one.
    """
    try:
        ecs.deregister_task_definition(revision)
    except (DeployError, AwsUnavailable) as error:
        runtime.logger.warning("The revision could not be deregistered", revision=revision, reason=str(error))
