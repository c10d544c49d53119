"""An event of ECS ends the waits of executions for its service: events only say when to poll, and may get lost.

Its rule matches the events of all services of the account, those that are not served too.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ecs_deploy.aws import dynamodb, waits
from ecs_deploy.core.signals import is_reason, signal_of
from ecs_deploy.handlers import runtime, targets

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@runtime.logger.inject_lambda_context(clear_state=True)
def handler(event: Mapping[str, Any], _context: "LambdaContext") -> None:
    """Note the event, and end the waits if it is reason to poll. Raises `DeployError`, `AwsUnavailable`."""
    signal = signal_of(event)
    if signal is None or not _is_served(signal.key):
        return
    failures = waits.hear(signal.key, signal.at, signal.failed)
    if signal.ends_wait or is_reason(failures):
        waits.end(signal.key)
    runtime.logger.info("Heard", service=signal.key, event_id=event["id"], kind=event["detail-type"], failures=failures)


def _is_served(key: str) -> bool:
    """Whether a service is a target; with discovery, whether one was ever deployed to it."""
    if key in {each.key for each in targets.served()}:
        return True
    return targets.discovers() and dynamodb.is_known(key)
