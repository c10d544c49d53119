"""After a success, beside the workflow: write the image that a service runs to a parameter, for whoever defines it.

The event of a success says only that there is something to write. What is written is read from ECS at that moment, so
events that come twice, late or in another order end with the same value.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ecs_deploy.aws import ecs, ssm
from ecs_deploy.core.task_definition import image_of
from ecs_deploy.handlers import runtime

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@runtime.logger.inject_lambda_context(clear_state=True)
def handler(event: Mapping[str, Any], _context: "LambdaContext") -> str | None:
    """Answer the image that was written; None where no container runs one of the repository.

    The event has `execution`, `cluster`, `service` and `parameter`; and `repository` (its path) or `container` (its
    name) for whose image is meant. Raises `DeployError`, `AwsUnavailable`.
    """
    runtime.logger.set_correlation_id(event["execution"])
    service = ecs.describe_service(event["cluster"], event["service"])
    stable = ecs.describe_task_definition(service.last_completed or service.current)
    image = image_of(stable.document, event.get("repository"), event.get("container"))
    if image is None:
        runtime.logger.warning("No container runs the image that is asked for", revision=stable.arn, event=dict(event))
        return None
    ssm.put_parameter(event["parameter"], image)
    runtime.logger.info("Wrote the parameter", parameter=event["parameter"], image=image, revision=stable.arn)
    return image
