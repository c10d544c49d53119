"""What all steps have in common: log, count, notify, and turn what was raised into the contract's end.

Metrics are printed as the last thing of a step. A step that is tried again after that, because its answer was lost,
counts twice.
"""

import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from ecs_deploy.aws import dynamodb
from ecs_deploy.core import dora_metrics, notifications, transitions
from ecs_deploy.core.codec import decode
from ecs_deploy.core.decision import Decision, Fail, Succeed, Update, as_answer, refuse, stop
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import AwsUnavailable, DeployError
from ecs_deploy.core.plan import Plan, Rollout
from ecs_deploy.core.state import Entry, Phase, Result, State

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Event = Mapping[str, Any]
Answer = dict[str, Any]

_PRODUCT = "ecs-deploy"
# What the SDK says of its credentials and endpoints at every start is nobody's decision.
logging.getLogger("botocore").setLevel(logging.WARNING)
logger = Logger(service=_PRODUCT)
metrics = Metrics(service=_PRODUCT, namespace=_PRODUCT)


def first(decide: Callable[[Event, Environment], Decision]) -> Callable[[Event, "LambdaContext"], Answer]:
    """Make a Lambda handler of the first step, which gets the request.

    What `decide` raises as `DeployError` ends the execution as the contract says; anything else reaches the workflow,
    which retries `AwsUnavailable` and reports the rest as a fault of the deployer.
    """

    @logger.inject_lambda_context(clear_state=True)
    def handler(event: Event, context: "LambdaContext") -> Answer:
        logger.set_correlation_id(event["execution"]["id"])
        environment = environment_of(context)
        try:
            decision = decide(event, environment)
        except DeployError as error:
            resumed = event.get("resumed") or {}
            decision = refuse(error, event["request"])
            if "plan" in resumed:
                decision = stop(decode(Plan, resumed["plan"]), decode(Rollout, resumed["rollout"]), error)
        answer = as_answer(decision)
        if isinstance(decision, Succeed | Fail):
            _count_end(decision, {})
            case = notifications.Case.opened(event["request"], event["execution"], environment)
            return {**answer, "notification": notifications.outcome(case, decision, now())}
        if isinstance(decision, Update) and not decision.announced:
            return {**answer, "notification": notifications.started(decision.plan)}
        return answer

    # The decorator's types lose the handler's.
    typed: Callable[[Event, LambdaContext], Answer] = handler
    return typed


def following(
    decide: Callable[[Plan, Rollout, Event, "LambdaContext"], Decision],
) -> Callable[[Event, "LambdaContext"], Answer]:
    """Make a Lambda handler of a later step, which gets the plan and the rollout; as `first` does."""

    @logger.inject_lambda_context(clear_state=True)
    def handler(event: Event, context: "LambdaContext") -> Answer:
        plan, rollout = decode(Plan, event["plan"]), decode(Rollout, event["rollout"])
        logger.set_correlation_id(plan.execution)
        try:
            decision = decide(plan, rollout, event, context)
        except DeployError as error:
            decision = give_up(plan, rollout, error)
        answer = as_answer(decision)
        if isinstance(decision, Succeed | Fail):
            _count_end(decision, dora_metrics.dora_metrics(plan, rollout, decision, now()), plan.key)
            return {**answer, "notification": notifications.outcome(notifications.Case.of(plan), decision, now())}
        if isinstance(decision, Update) and decision.rollout.phase is not rollout.phase:
            failure = decision.rollout.failure
            logger.warning(
                "Returns", revision=decision.rollout.target, failed=plan.revision, reason=failure and failure.message
            )
        if dora_metrics.is_overdue(plan, rollout, now()):
            logger.warning("Runs longer than its timeout allows", timeout=plan.timeout, polls=rollout.polls)
            count("Overdue")
        return answer

    typed: Callable[[Event, LambdaContext], Answer] = handler
    return typed


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
        ended_at=now() if result else None,
        answer=as_answer(answer) if answer else None,
    )


def give_up(plan: Plan, rollout: Rollout, error: DeployError) -> Fail:
    """End, and let others have their turn, after what the deployer may not or cannot do."""
    end = stop(plan, rollout, error)

    def rule(state: State) -> dynamodb.Change:
        if state.owner is None or state.owner.execution != plan.execution:
            return dynamodb.Change(None)
        if rollout.phase is Phase.DEPLOYING and rollout.updated_at:
            after, result = state, Result.ABANDONED
        else:
            after, result = transitions.failed(state, plan.candidate, now()), Result.FAILED
        return dynamodb.Change(None, transitions.ended(after, plan.execution), entry_of(plan, result, end))

    try:
        dynamodb.change(plan.key, now(), rule)
    except (DeployError, AwsUnavailable) as problem:
        logger.warning("The end could not be written down", reason=str(problem))
    return end


def environment_of(context: "LambdaContext") -> Environment:
    """The account and the region of a function."""
    _, _, _, region, account, *_ = context.invoked_function_arn.split(":")
    return Environment(account, region)


def machine() -> str:
    """The ARN of the state machine that deploys."""
    return os.environ["MACHINE"]


def now() -> datetime:
    """The time, which only the handlers ask for."""
    return datetime.now(UTC)


def count(what: str) -> None:
    """Count it in the metrics, under this name."""
    metrics.add_metric(what, MetricUnit.Count, 1)
    metrics.flush_metrics()


def _count_end(end: Succeed | Fail, found: Mapping[str, float], service: str = "") -> None:
    match end:
        case Succeed(outcome, reasons):
            logger.info("The execution succeeds", outcome=outcome, reasons=reasons)
            count(outcome["outcome"])
        case Fail(error, cause):
            logger.error("The execution fails", error=error, cause=cause)
            count(error)
    if found:
        # Only services that the roles cover come so far: the targets bound the values of this dimension.
        metrics.add_dimension("service", service)
        for name, value in found.items():
            unit = MetricUnit.Count if name == dora_metrics.CHANGE_FAILURE else MetricUnit.Seconds
            metrics.add_metric(name, unit, value)
        metrics.flush_metrics()
