"""The thin shell around a step: log, count, and turn what was raised into the contract's end."""

import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from ecs_deploy import course
from ecs_deploy.course import Answer
from ecs_deploy.errors import DeployError
from ecs_deploy.model import Progress
from ecs_deploy.request import Home

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
        try:
            answer = act(event, Home(account, region))
        except DeployError as error:
            progress = Progress.from_json(event["progress"]) if "progress" in event else None
            answer = course.stopped(progress, error.error, error.message)
        _tell(answer)
        return answer

    # The decorators' types lose the handler's.
    typed: Callable[[Event, LambdaContext], Answer] = handler
    return typed


def claims() -> str:
    """The ARN of the state machine whose executions claim the events of pushes."""
    return os.environ["CLAIMS"]


def now() -> datetime:
    """The time, which only the shell asks for."""
    return datetime.now(UTC)


def _tell(answer: Answer) -> None:
    if answer["next"] == "succeed":
        logger.info("The execution succeeds", outcome=answer["outcome"])
        _count(answer["outcome"]["outcome"])
    elif answer["next"] == "fail":
        logger.error("The execution fails", failure=answer["failure"])
        _count(answer["failure"]["error"])


def _count(end: str) -> None:
    metrics.add_metric(end, MetricUnit.Count, 1)
    metrics.flush_metrics()
