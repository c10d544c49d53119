"""The dispatcher: start an execution for each service that wants a push, and for what was missed.

Its queue brings what ECR tells of pushes and replications, how executions end, and the schedule's question whether
something was missed, since ECR's events are best effort:
https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html

A message that cannot be handled comes again; the last time, it goes to the dead-letter queue with the reason.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

import json
import os
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ecs_deploy.aws import ecr, sqs
from ecs_deploy.core import policy
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import AwsUnavailable
from ecs_deploy.handlers import executions, runtime, targets

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

MOST_RECEIVES = 20
"""The queue gives a message up after this many: infra/dispatch.py."""

LEAST_MILLISECONDS = 20_000
"""With less time left, a message comes again."""


@runtime.logger.inject_lambda_context(clear_state=True)
def handler(event: Mapping[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Handle messages of the queue; answers those that are to come again.

    https://docs.aws.amazon.com/lambda/latest/dg/example_serverless_SQS_Lambda_batch_item_failures_section.html
    """
    environment = runtime.environment_of(context)
    again = [
        record["messageId"]
        for record in event["Records"]
        if context.get_remaining_time_in_millis() < LEAST_MILLISECONDS or not _handled(record, environment)
    ]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in again]}


def _handled(record: Mapping[str, Any], environment: Environment) -> bool:
    try:
        _handle(json.loads(record["body"]), environment)
    except Exception as error:  # noqa: BLE001 - whatever it is goes to the dead letters
        runtime.logger.exception("A message could not be handled", body=record["body"])
        if isinstance(error, AwsUnavailable) and int(record["attributes"]["ApproximateReceiveCount"]) < MOST_RECEIVES:
            return False
        runtime.count("DeadLetter")
        sqs.send(os.environ["DEAD_LETTERS"], record["body"], f"{type(error).__name__}: {error}")
    return True


def _handle(message: Mapping[str, Any], environment: Environment) -> None:
    if "reconcile" in message:
        _reconcile().services(message["reconcile"], targets.served(), environment)
    elif message["source"] == "aws.ecr":
        starts = policy.starts_for_push(message, targets.served(), environment)
        detail = message["detail"]
        if starts and not ecr.is_image(detail["repository-name"], detail["image-digest"]):
            runtime.logger.info("What was pushed is no image", detail=detail)
            return
        for start in starts:
            executions.start(start)
    else:
        _reconcile().after_execution(message["detail"], environment)


def _reconcile() -> ModuleType:
    # A push never needs it, and each start would wait for it.
    from ecs_deploy.handlers import reconcile  # noqa: PLC0415

    return reconcile
