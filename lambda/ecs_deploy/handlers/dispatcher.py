"""The dispatcher: start an execution for each service that wants a push, and for what was missed.

Its queue brings what ECR tells of pushes and replications, how executions end, that a calendar has opened, an alarm is
OK or the tags of a service have changed, that a stage has run something for long enough, and the schedule's question
whether something was missed, since ECR's events are best effort:
https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html

A message that cannot be handled comes again; the last time, it goes to the dead-letter queue with the reason.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import ceil
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ecs_deploy.aws import ecr, sqs
from ecs_deploy.core import policy
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import AwsUnavailable, DeployError, Error
from ecs_deploy.core.formats import instant
from ecs_deploy.core.policy import Start, Target
from ecs_deploy.core.registry import Ecr
from ecs_deploy.handlers import executions, runtime, targets

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

MOST_RECEIVES = 20
"""The queue gives a message up after this many: infra/dispatch.py."""

MOST_RECONCILED = 20
"""Services that one message has reconciled: infra/dispatch.py."""

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
        sqs.send(os.environ["DEAD_LETTERS"], record["body"], reason=f"{type(error).__name__}: {error}")
    return True


def _handle(message: Mapping[str, Any], environment: Environment) -> None:
    if "reconcile" in message:
        _reconcile().services(message["reconcile"], environment)
    elif "promote" in message:
        _promote(message["promote"], environment, datetime.fromisoformat(message["stableAt"]))
    elif "discover" in message:
        _have_reconciled(_discovery().refresh())
    elif message["source"] == "aws.tag":
        _have_reconciled(_discovery().note(policy.services_of(message)))
    elif message["source"] == "aws.ecr":
        detail = message["detail"]
        wanted = _targets(detail.get("repository-name", ""))
        starts = policy.starts_for_push(message, wanted, environment, targets.registries())
        if starts and not _is_image(message, environment):
            runtime.logger.info("What was pushed is no image", detail=detail)
            return
        _start(starts, message)
    elif message["source"] in {"aws.ssm", "aws.cloudwatch"}:
        _have_reconciled(policy.waiting_for(message, _targets()))
    elif key := _reconcile().after_execution(message["detail"], environment):
        _promote(key, environment)


def _promote(stage: str, environment: Environment, stable_at: datetime | None = None) -> None:
    """Start what is taken over from a stage; for what it has not run for long enough, a message comes again."""
    taking = [each for each in _targets() if each.promoted_from and each.promoted_from.key == stage]
    if not taking:
        return
    # Most deployers go without it, and each start would wait for it.
    from ecs_deploy.handlers import promotions  # noqa: PLC0415

    awaited = promotions.take_over(taking, environment, stable_at)
    if awaited:
        message = {"promote": stage, "stableAt": instant(awaited.stable_at)}
        sqs.send(os.environ["QUEUE"], json.dumps(message), delay=_delay(awaited.due))


def _delay(due: datetime) -> int:
    """The seconds after which a message comes again, at the latest when something is due."""
    return min(max(ceil((due - runtime.now()).total_seconds()), 0), sqs.LONGEST_DELAY)


def _is_image(push: Mapping[str, Any], environment: Environment) -> bool:
    """Whether an image was pushed, as far as can be seen; the repository of another account may not let us look."""
    detail, source = push["detail"], Ecr(push["account"], push["region"])
    place = detail["repository-name"], detail["image-digest"]
    if source == Ecr(*environment):
        return ecr.is_image(*place)
    try:
        return ecr.is_image(*place, source)
    except DeployError as error:
        if error.error is not Error.ACCESS_DENIED:
            raise
        runtime.logger.info("Whether it is an image is not to be seen", detail=detail, reason=error.message)
        return True


def _start(starts: Iterable[Start], message: Mapping[str, Any]) -> None:
    """Start what is due; for what is not yet, the message comes again."""
    now = runtime.now()
    later = []
    for start in starts:
        if start.due > now:
            later.append(start.due)
        else:
            executions.start(start)
    if later:
        sqs.send(os.environ["QUEUE"], json.dumps(message), delay=_delay(min(later)))


def _targets(repository: str = "") -> list[Target]:
    """The targets, and the services that opt in by tags; for pushes to a repository, if one is named."""
    listed = [*targets.served()]
    if not targets.discovers():
        return listed
    keys = {each.key for each in listed}
    found = _discovery().wanting(repository) if repository else _discovery().all_known()
    return [*listed, *(each for each in found if each.key not in keys)]


def _have_reconciled(keys: Sequence[str]) -> None:
    """Send messages to the queue, so that many services are shared out among invocations."""
    for first in range(0, len(keys), MOST_RECONCILED):
        group = keys[first : first + MOST_RECONCILED]
        sqs.send(os.environ["QUEUE"], json.dumps({"reconcile": group}))


def _discovery() -> ModuleType:
    # Most deployers go without it, and each start would wait for it.
    from ecs_deploy.handlers import discovery  # noqa: PLC0415

    return discovery


def _reconcile() -> ModuleType:
    # A push never needs it, and each start would wait for it.
    from ecs_deploy.handlers import reconcile  # noqa: PLC0415

    return reconcile
