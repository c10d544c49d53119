"""What all steps have in common: log, count, notify, and turn what was raised into the contract's end.

Metrics are printed as the last thing of a step. A step that is tried again after that, because its answer was lost,
counts twice.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.metrics import MetricUnit

from ecs_deploy.core import dora_metrics, notifications, transitions
from ecs_deploy.core.codec import decode
from ecs_deploy.core.decision import (
    Ask,
    Decision,
    Fail,
    Pause,
    Register,
    Succeed,
    Update,
    WaitForTurn,
    as_answer,
    refuse,
    stop,
)
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import AwsUnavailable, DeployError, RevisionNotFound
from ecs_deploy.core.plan import Plan, Rollout
from ecs_deploy.core.state import Entry, Phase, Result, State
from ecs_deploy.core.verdict import NOT_SHOWN_YET
from ecs_deploy.handlers import runtime, table

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Event = Mapping[str, Any]
Answer = dict[str, Any]
Handler = Callable[[Event, "LambdaContext"], Answer]


def first(decide: Callable[[Event, Environment], Decision]) -> Handler:
    """Make a Lambda handler of the first step, which gets the request.

    What `decide` raises as `DeployError` ends the execution as the contract says; anything else reaches the workflow,
    which retries `AwsUnavailable` and reports the rest as a fault of the deployer.
    """

    def handler(event: Event, context: "LambdaContext") -> Answer:
        runtime.logger.set_correlation_id(event["execution"]["id"])
        environment = runtime.environment_of(context)
        try:
            decision = decide(event, environment)
        except DeployError as error:
            retry_if_new(error, event)
            resumed = event.get("resumed") or {}
            decision = refuse(error, event["request"])
            if "plan" in resumed:
                decision = stop(decode(Plan, resumed["plan"]), decode(Rollout, resumed["rollout"]), error)
        answer = as_answer(decision)
        if isinstance(decision, Succeed | Fail):
            _count_end(decision, {})
            case = notifications.Case.opened(event["request"], event["execution"], environment)
            answer["notification"] = _known_by_group(case, notifications.outcome(case, decision, runtime.now()))
        if isinstance(decision, Update) and not decision.announced:
            answer["notification"] = notifications.started(decision.plan)
        if isinstance(decision, Ask):
            case = notifications.Case.opened(event["request"], event["execution"], environment)
            answer["notification"] = notifications.asking(case, decision.asked)
        return answer

    return _with_log(handler)


def following(decide: Callable[[Plan, Rollout, Event, "LambdaContext"], Decision]) -> Handler:
    """Make a Lambda handler of a later step, which gets the plan and the rollout; as `first` does."""

    def handler(event: Event, context: "LambdaContext") -> Answer:
        plan, rollout = decode(Plan, event["plan"]), decode(Rollout, event["rollout"])
        runtime.logger.set_correlation_id(plan.execution)
        try:
            decision = decide(plan, rollout, event, context)
        except DeployError as error:
            retry_if_new(error, event)
            decision = give_up(plan, rollout, error)
        answer = as_answer(decision)
        if isinstance(decision, Succeed | Fail):
            _count_end(decision, dora_metrics.dora_metrics(plan, rollout, decision, runtime.now()), plan.key)
            # A watch is no part of how long it took.
            over_at = rollout.stable_at if isinstance(decision, Succeed) else None
            case = notifications.Case.of(plan)
            answer["notification"] = _known_by_group(
                case, notifications.outcome(case, decision, over_at or runtime.now())
            )
            return answer
        if isinstance(decision, Pause):
            answer["notification"] = notifications.paused(plan, decision.rollout, decision.hook)
        if isinstance(decision, Register) and decision.rollout.phase is not rollout.phase:
            why = decision.rollout.failure and decision.rollout.failure.message
            runtime.logger.warning("Returns", revision=decision.rollout.target, failed=plan.revision, reason=why)
        latest = rollout if isinstance(decision, WaitForTurn | Ask) else decision.rollout
        if dora_metrics.is_overdue(plan, latest, runtime.now()):
            runtime.logger.warning("Runs longer than its timeout allows", timeout=plan.timeout, polls=rollout.polls)
            runtime.count("Overdue")
        return answer

    return _with_log(handler)


def _known_by_group(case: notifications.Case, notification: dict[str, Any]) -> dict[str, Any]:
    """The outcome of a member of a group, whose own outcome names all."""
    is_member = "together" in case.request and "service" in case.request
    return {**notification, "repeated": notification["repeated"] or is_member}


def _with_log(handler: Handler) -> Handler:
    # The decorator's types lose the handler's.
    typed: Handler = runtime.logger.inject_lambda_context(handler, clear_state=True)
    return typed


def retry_if_new(error: DeployError, event: Event) -> None:
    """Raise `AwsUnavailable` for a revision that ECS may only not show yet: the step is tried again for a minute."""
    entered_at = datetime.fromisoformat(event["enteredAt"])
    if isinstance(error, RevisionNotFound) and runtime.now() - entered_at < NOT_SHOWN_YET:
        raise AwsUnavailable(error.message) from error


def entry_of(plan: Plan, result: Result | None = None, answer: Decision | None = None) -> Entry:
    """The entry of an execution in the history, once it is about to update the service."""
    return Entry(
        candidate=plan.candidate,
        containers=plan.containers,
        again=plan.request,
        image=plan.image,
        revision=plan.revision,
        replaced=plan.replaced,
        result=result,
        ended_at=runtime.now() if result else None,
        answer=as_answer(answer) if answer else None,
    )


def give_up(plan: Plan, rollout: Rollout, error: DeployError) -> Fail:
    """End, and let others have their turn, after what the deployer may not or cannot do."""
    end = stop(plan, rollout, error)

    def rule(state: State) -> table.Change:
        if state.owner is None or state.owner.execution != plan.execution:
            return table.Change(None)
        if state.owner.watched:
            # It was deployed: so the history says already.
            return table.Change(None, transitions.ended(state, plan.execution))
        if rollout.phase is Phase.DEPLOYING and rollout.updated_at:
            after, result = state, Result.ABANDONED
        else:
            after, result = transitions.failed(state, plan.candidate, runtime.now()), Result.FAILED
        return table.Change(None, transitions.ended(after, plan.execution), entry_of(plan, result, end))

    try:
        table.change(plan.key, runtime.now(), rule)
    except (DeployError, AwsUnavailable) as problem:
        runtime.logger.warning("The end could not be written down", reason=str(problem))
    return end


def _count_end(end: Succeed | Fail, found: Mapping[str, float], service: str = "") -> None:
    match end:
        case Succeed(outcome, reasons, _):
            runtime.logger.info("The execution succeeds", outcome=outcome, reasons=reasons)
            runtime.count(outcome["outcome"])
        case Fail(error, cause):
            runtime.logger.error("The execution fails", error=error, cause=cause)
            runtime.count(error)
    if found:
        # Only services that the roles cover come so far: the targets bound the values of this dimension.
        runtime.metrics.add_dimension("service", service)
        for name, value in found.items():
            unit = MetricUnit.Count if name == dora_metrics.CHANGE_FAILURE else MetricUnit.Seconds
            runtime.metrics.add_metric(name, unit, value)
        runtime.metrics.flush_metrics()
