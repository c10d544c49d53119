"""The third step, again and again: judge the deployment."""

from datetime import datetime
from typing import TYPE_CHECKING

from ecs_deploy.aws import dynamodb, ecs, waits
from ecs_deploy.core import crash_loop, digests, follow, gate_keys, verdict
from ecs_deploy.core.base import is_since, late_revisions, own_revisions
from ecs_deploy.core.decision import Decision, Fail, Register, Succeed, Wait, decision_from, wait
from ecs_deploy.core.digests import Proof
from ecs_deploy.core.errors import AwsUnavailable, DeployError, Error
from ecs_deploy.core.plan import Explanation, Plan, Progress, Rollout
from ecs_deploy.core.service import Service
from ecs_deploy.core.service_deployment import ServiceDeployment
from ecs_deploy.core.state import Phase, State
from ecs_deploy.core.verdict import Finding, Followed, Verdict
from ecs_deploy.handlers import afterwards, ending, runtime, step

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_MOST_TRIES = 5


@step.following
def handler(plan: Plan, rollout: Rollout, event: step.Event, _context: "LambdaContext") -> Decision:
    """Answer what follows from the state of the rollout."""
    entered_at = datetime.fromisoformat(event["enteredAt"])
    # First of all: what comes after it ends the next wait at once.
    heard = rollout.heard(waits.read(plan.key))
    before = heard.polled(runtime.now(), entered_at, retried=event["attempt"] > 0)
    for _ in range(_MOST_TRIES):
        state = dynamodb.read_state(plan.key, runtime.now())
        if ended := ending.lost_ownership(plan, before, state):
            afterwards.abandon(plan, state)
            return _roll_back(ended, state)
        service, polled, judged = _read(plan, before, state)
        polled = polled._replace(progress=_progress(service, polled))
        try:
            made, state = _follow(plan, polled, judged, service, state)
            if isinstance(made, Wait):
                return made
            runtime.logger.info("Polled", finding=judged.finding.name, reason=judged.reason, polls=polled.polls)
            if made.deregisters:
                ending.deregister(plan.revision)
            decision = ending.write(plan, state, made)
        except dynamodb.Conflict:
            continue
        if isinstance(decision, Succeed | Fail):
            afterwards.abandon(plan, state)
        return _roll_back(decision, state)
    raise AwsUnavailable(f"the state of {plan.key} is written by others all the time")


def _follow(
    plan: Plan, rollout: Rollout, judged: Verdict, service: Service | None, state: State
) -> tuple[follow.Step | Wait, State]:  # fmt: skip
    """What follows a verdict, and the state as it is by then. Raises `dynamodb.Conflict`."""
    now = runtime.now()
    is_watched = state.owner is not None and state.owner.watched is not None
    is_stable = judged.finding is Finding.STABLE and rollout.phase is Phase.DEPLOYING
    proof = digests.NOTHING_KNOWN if is_stable and is_watched else _prove(plan, rollout, judged, service, state)
    explanation = _explain(plan, rollout, judged, service)
    if service and is_stable and not proof.differences and gate_keys.read(plan.request).come_after:
        stable, success = follow.stable_as(plan, proof, now), follow.success(plan, rollout, service, now, proof)
        found = afterwards.carry_on(plan, rollout, state, service, stable, success)
        if isinstance(found, Wait):
            return found, state
        state = found.state
        if isinstance(found, afterwards.Failed):
            judged, rollout = (
                Verdict(Finding.FAILED, found.reason),
                rollout._replace(stable_at=rollout.stable_at or now),
            )
            explanation = found.explanation or _explain(plan, rollout, judged, service)
        elif is_watched:
            entry = dynamodb.read_entry(plan.key, plan.candidate)
            known = decision_from(entry.answer) if entry and entry.answer else success
            success = success if isinstance(known, Register) else known
            return follow.watched_to_its_end(plan, state, success, found.unseen), state
    return follow.after_poll(plan, rollout, judged, explanation, service, state, now, proof), state


def _progress(service: Service | None, rollout: Rollout) -> Progress | None:
    """The counts of the deployment that is followed; None where it is not shown, or ECS shifts traffic."""
    deployments = service.deployments if service else ()
    mine = next((each for each in deployments if each.revision == rollout.target), None)
    return mine and Progress(mine.desired, mine.running, mine.pending, mine.failed_tasks)


def _read(plan: Plan, rollout: Rollout, state: State) -> tuple[Service | None, Rollout, Verdict]:
    """Read the service and judge the deployment that UpdateService made."""
    now = runtime.now()
    try:
        service = ecs.describe_service(plan.cluster, plan.service)
    except DeployError as error:
        if error.error is not Error.SERVICE_NOT_FOUND:
            raise
        return None, rollout, Verdict(Finding.GONE, "the service was deleted meanwhile")
    runtime.logger.debug("Deployments", deployments=[each._asdict() for each in service.deployments])
    if not service.is_active:
        return service, rollout, Verdict(Finding.GONE, f"the service is {service.status}")
    rollout, shift = _read_shift(rollout, service)
    if shift and (paused := verdict.judge_hooks(shift)):
        return service, rollout.observed(now, is_paused=True), paused
    rollout = rollout.observed(now, is_paused=False)
    # What was stable once is not overdue any more, whatever its tasks do.
    overdue = rollout.stable_at is None and now >= rollout.deadline(plan.timeout)
    age = now - (rollout.changed_at or rollout.since)
    own = {plan.revision, *own_revisions(state, plan.execution)}
    late = (own | late_revisions(state, rollout.target, now)) - {rollout.target}
    if not service.is_rolling:
        judged = (
            verdict.judge_shift(service, shift, age, overdue=overdue)
            if shift
            else verdict.judge_before_shown(service, rollout.target, plan.base.revision, age)
        )
        if judged.finding is Finding.DISPLACED and service.current in late:
            judged = judged._replace(finding=Finding.OVERTAKEN)
    else:
        followed = Followed(
            deployment=rollout.deployment,
            revision=rollout.target,
            updated_at=rollout.since,
            age=age,
            overdue=overdue,
            replaced={plan.base.revision, plan.replaced} if rollout.phase is Phase.DEPLOYING else set(),
            is_replaced_shown=not is_since(service.primary, plan.base),
            late=late,
        )
        judged = verdict.judge(service, followed)
    is_counted = bool(shift.failures) if shift else service.is_rolling and service.primary.failed_tasks > 0
    if judged.finding is Finding.IN_PROGRESS and (why := _crash_loop(service, rollout, now, is_counted=is_counted)):
        judged = Verdict(Finding.FAILED, why)
    return service, rollout, judged


def _read_shift(rollout: Rollout, service: Service) -> tuple[Rollout, ServiceDeployment | None]:
    """Read the service deployment, where ECS shifts traffic or a hook may pause what it does."""
    if service.is_rolling and not service.has_hooks:
        return rollout, None
    if rollout.service_deployment:
        return rollout, ecs.describe_service_deployment(rollout.service_deployment)
    found = ecs.find_service_deployment(service, rollout.target, rollout.since - verdict.NOT_SHOWN_YET)
    if found is None:
        return rollout, None
    deployment = rollout.deployment if service.is_rolling else found.arn
    return rollout._replace(service_deployment=found.arn, deployment=deployment), found


def _crash_loop(service: Service, rollout: Rollout, now: datetime, *, is_counted: bool) -> str | None:
    """Why the tasks will never run; where they cannot be read, what ECS counts is all that is known."""
    if not crash_loop.may_loop(service, rollout, is_counted=is_counted):
        return None
    mine = service.primary if service.is_rolling else None
    counted = mine.failed_tasks if mine else 0
    try:
        stopped = crash_loop.own_tasks(ecs.describe_stopped_tasks(service.cluster, service.name), mine, rollout.target)
        if not crash_loop.crash_loop(stopped, counted, now):
            return None
        running = crash_loop.own_tasks(ecs.describe_running_tasks(service.cluster, service.name), mine, rollout.target)
        return crash_loop.crash_loop([*stopped, *running], counted, now)
    except (DeployError, AwsUnavailable) as error:
        runtime.logger.warning("The tasks could not be read", reason=str(error))
        return crash_loop.crash_loop((), counted, now) if mine and not mine.running else None


def _prove(plan: Plan, rollout: Rollout, judged: Verdict, service: Service | None, state: State) -> Proof:
    """What is known of the digests that run, where the service is stable; they are held against those wanted."""
    if service is None or judged.finding not in {Finding.STABLE, Finding.ECS_ROLLED_BACK}:
        return digests.NOTHING_KNOWN
    revision = rollout.target
    if rollout.phase is Phase.DEPLOYING and judged.finding is Finding.ECS_ROLLED_BACK:
        revision = service.current
        plan = plan.returning(state.stable, revision)
    try:
        tasks = ecs.describe_tasks_of(service.cluster, service.name, revision)
    except DeployError as error:
        return Proof({}, unproven=(f"which digests run could not be read: {error.message}",))
    found = digests.reported(tasks, revision)
    proof = digests.prove(found, plan.digests, plan.parts, plan.containers)
    return proof._replace(tasks=tuple(tasks))


def _roll_back(decision: Decision, state: State) -> Decision:
    """Let ECS itself roll back a deployment that is to be returned from, where that leads to just what was stable.

    It is under way, and ECS goes back to what was successful last, with the digests of then. Otherwise the deployer
    returns: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stop-service-deployment.html
    """
    if not isinstance(decision, Register) or not decision.rollout.stops:
        return decision
    plan, rollout = decision.plan.returning(state.stable, decision.rollout.target), decision.rollout
    try:
        deployment = ecs.describe_service_deployment(rollout.stops)
        last = ecs.last_successful(plan.cluster, plan.service)
        if not deployment.is_being_undone:
            if last is None or not deployment.is_under_way or not last.has(rollout.target, plan.digests):
                return decision
            ecs.roll_back(rollout.stops)
    except DeployError as error:
        runtime.logger.warning("ECS does not roll back", reason=error.message)
        return decision
    now = runtime.now()
    return wait(plan, rollout.stopped(now), now, is_rolling=False)


def _explain(plan: Plan, rollout: Rollout, judged: Verdict, service: Service | None) -> Explanation:
    if service is None or judged.finding not in follow.FAILURES:
        return Explanation()
    # Most rollouts never need it, and every start would wait for it.
    from ecs_deploy.handlers.diagnostics import explain  # noqa: PLC0415

    said = judged.reason or rollout.reason or "the service gives no reason"
    deployment = _service_deployment(rollout, service)
    stopped = deployment.stopped_by if deployment else ()
    if deployment and deployment.failures and judged.finding is Finding.TIMED_OUT:
        stopped += (f"it could not trip within {plan.timeout} seconds: raise the timeout, or lower its threshold",)
    return explain(rollout, service, "; ".join((said, *stopped)))


def _service_deployment(rollout: Rollout, service: Service) -> ServiceDeployment | None:
    """What ECS tells of the deployment beside its tasks, as far as it can be read."""
    try:
        if rollout.service_deployment:
            return ecs.describe_service_deployment(rollout.service_deployment)
        return ecs.find_service_deployment(service, rollout.target, rollout.since - verdict.NOT_SHOWN_YET)
    except (DeployError, AwsUnavailable) as error:
        runtime.logger.warning("The service deployment could not be read", reason=str(error))
        return None
