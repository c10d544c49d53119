"""What every function has: its log, its metrics, the time, and where it runs."""

import logging
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from ecs_deploy.core.environment import Environment

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_PRODUCT = "ecs-deploy"
# What the SDK says of its credentials and endpoints at every start is nobody's decision.
logging.getLogger("botocore").setLevel(logging.WARNING)
logger = Logger(service=_PRODUCT)
metrics = Metrics(service=_PRODUCT, namespace=_PRODUCT)


def now() -> datetime:
    """The time, which only the handlers ask for."""
    return datetime.now(UTC)


def environment_of(context: "LambdaContext") -> Environment:
    """The account and the region of a function."""
    _, _, _, region, account, *_ = context.invoked_function_arn.split(":")
    return Environment(account, region)


def machine() -> str:
    """The ARN of the state machine that deploys."""
    return os.environ["MACHINE"]


def count(what: str) -> None:
    """Count it in the metrics, under this name."""
    metrics.add_metric(what, MetricUnit.Count, 1)
    metrics.flush_metrics()
