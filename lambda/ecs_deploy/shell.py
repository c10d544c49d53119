"""The thin shell around a step: log, count, add the notice, and turn what was raised into the contract's end.

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

from ecs_deploy import course, figures, notice
from ecs_deploy.course import Answer
from ecs_deploy.errors import DeployError
from ecs_deploy.home import Home
from ecs_deploy.progress import Phase, Progress

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Event = Mapping[str, Any]

_PRODUCT = "ecs-deploy"
# What the SDK says of its credentials and endpoints at every start is nobody's decision.
logging.getLogger("botocore").setLevel(logging.WARNING)
logger = Logger(service=_PRODUCT)
metrics = Metrics(service=_PRODUCT, namespace=_PRODUCT)


def step(act: Callable[[Event, Home], Answer]) -> Callable[[Event, "LambdaContext"], Answer]:
    """Make a Lambda handler of a step.

    What `act` raises as `DeployError` ends the execution as the contract says; anything else reaches the workflow,
    which retries `AwsUnavailable` and reports the rest as a fault of the deployer.
    """

    @logger.inject_lambda_context(clear_state=True)
    def handler(event: Event, context: "LambdaContext") -> Answer:
        # All steps of an execution, and nothing else, share its id.
        logger.set_correlation_id(event["progress"]["execution"] if "progress" in event else event["execution"]["id"])
        _, _, _, region, account, *_ = context.invoked_function_arn.split(":")
        home = Home(account, region)
        before = Progress.from_json(event["progress"]) if "progress" in event else None
        try:
            answer = act(event, home)
        except DeployError as error:
            answer = course.stopped(before, error.error, error.message)
        if answer["next"] in {"succeed", "fail"}:
            _tell_end(answer, before)
            case = notice.Case.of(before) if before else notice.Case.opened(event["request"], event["execution"], home)
            return {**answer, "notice": notice.outcome(case, answer, now())}
        if answer["next"] == "register":
            logger.info("Starts anew", onto=answer["onto"])
            return answer
        after = Progress.from_json(answer["progress"])
        if before is None:
            # An execution that starts anew was told of already.
            return answer if event.get("anew") else {**answer, "notice": notice.started(after)}
        _tell_turn(before, after)
        return answer

    # The decorators' types lose the handler's.
    typed: Callable[[Event, LambdaContext], Answer] = handler
    return typed


def claims() -> str:
    """The ARN of the state machine whose executions claim the events of pushes."""
    return os.environ["CLAIMS"]


def machine() -> str:
    """The ARN of the state machine that deploys."""
    return os.environ["MACHINE"]


def now() -> datetime:
    """The time, which only the shell asks for."""
    return datetime.now(UTC)


def _tell_end(answer: Answer, progress: Progress | None) -> None:
    if answer["next"] == "succeed":
        logger.info("The execution succeeds", outcome=answer["outcome"], reasons=answer["reasons"])
        count(answer["outcome"]["outcome"])
    else:
        logger.error("The execution fails", failure=answer["failure"])
        count(answer["failure"]["error"])
    if progress and (found := figures.figures(progress, answer, now())):
        # Only services that the roles cover come so far: the targets bound the values of this dimension.
        metrics.add_dimension("service", f"{progress.cluster}/{progress.service}")
        for name, value in found.items():
            metrics.add_metric(name, MetricUnit.Count if name == figures.CHANGE_FAILURE else MetricUnit.Seconds, value)
        metrics.flush_metrics()


def _tell_turn(before: Progress, after: Progress) -> None:
    """Log a decision that goes on: each has its line and its reason."""
    if after.insisted > before.insisted:
        logger.info("Brings in its revision again", revision=after.revision, reason=after.reason)
    if after.failure and before.phase != Phase.ROLLING_BACK:
        logger.warning("Rolls back", revision=after.target, failed=after.revision, reason=after.failure.message)
    if figures.is_overdue(after, now()):
        logger.warning("Runs longer than its timeout allows", timeout=after.timeout, polls=after.polls)
        count("Overdue")


def count(what: str) -> None:
    """Count it in the metrics, under this name."""
    metrics.add_metric(what, MetricUnit.Count, 1)
    metrics.flush_metrics()
