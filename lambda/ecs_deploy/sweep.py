"""The sweep: look at what was pushed, and start the workflow for a push whose event did not arrive.

ECR sends its events on a best effort basis: https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html

It looks at each target by itself. One that cannot be looked at does not hold up the others; the sweep then fails when
it is through with them, so that it is tried again and seen.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ecs_deploy import ecs, executions, shell
from ecs_deploy.errors import AwsUnavailable, DeployError, NoMatchingContainer, ServiceNotFound, UnsupportedService
from ecs_deploy.history import asked_for_at, was_asked_for
from ecs_deploy.image import ImageReference
from ecs_deploy.missed import Image, execution_name, newest, request_for
from ecs_deploy.support import require_supported
from ecs_deploy.task_definition import edit

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# A push to such a service would be refused, so none was missed.
_NOTHING_TO_DEPLOY_TO = (NoMatchingContainer, ServiceNotFound, UnsupportedService)


class SweepIncomplete(Exception):
    """Some targets could not be looked at; the message says which, and why."""


@shell.logger.inject_lambda_context(clear_state=True)
def handler(event: Mapping[str, Any], _context: "LambdaContext") -> list[str]:
    """Answer the ARNs of the executions that were started.

    The event is `{"grace": 900, "targets": [{"request": {…}, "tags": ["v*"]}]}`: the request of each target without
    tag and push, the tags it waits for, and the seconds that an event may take. Raises `SweepIncomplete`.
    """
    started, unseen = [], []
    # No event was missed before there was anything to start.
    since = executions.created_at(shell.machine())
    for target in event["targets"]:
        asked = target["request"]
        name = f"{asked['service']} of the cluster {asked['cluster']}"
        try:
            image = _missed(asked, target["tags"], since, shell.now() - timedelta(seconds=event["grace"]))
            execution = _start(asked, image) if image else None
        except _NOTHING_TO_DEPLOY_TO as error:
            shell.logger.warning("Nothing to deploy to", target=name, reason=error.message)
        except (DeployError, AwsUnavailable) as error:
            shell.logger.exception("A target could not be looked at", target=name)
            unseen.append(f"{name}: {error}")
        else:
            started += [execution] if execution else []
    if unseen:
        raise SweepIncomplete(f"{len(unseen)} of {len(event['targets'])} targets: {'; '.join(unseen)}")
    return started


def _missed(asked: Mapping[str, Any], tags: list[str], after: datetime, until: datetime) -> Image | None:
    """The image to deploy because nobody else has, if there is one that was pushed `after` and `until` then."""
    service = ecs.describe_service(asked["cluster"], asked["service"])
    require_supported(service)
    if service.is_rolling and service.primary.rollout_state == "IN_PROGRESS":
        return None
    in_use = ecs.describe_task_definition(service.in_use)
    reference = ImageReference.parse(asked["image"])
    containers = edit(in_use.document, reference, asked.get("container")).containers
    since = asked_for_at(service, in_use, containers)
    image = newest(ecs.tagged_images(reference.path), tags)
    if image is None or since is None or not max(since, after) < image.pushed_at <= until:
        return None
    return None if was_asked_for(image.digest, image.pushed_at, service, in_use, containers) else image


def _start(asked: Mapping[str, Any], image: Image) -> str | None:
    name = execution_name(asked, image)
    execution = executions.start(shell.machine(), name, request_for(asked, image))
    if execution:
        shell.logger.info("A push was missed", execution=execution, image=image.digest, pushed_at=image.pushed_at)
        shell.count("MissedPush")
    else:
        shell.logger.info("An earlier sweep has started it", image=image.digest, pushed_at=image.pushed_at)
    return execution
