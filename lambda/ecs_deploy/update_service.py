"""The second step: make the service run the revision, and note which deployment that is."""

from ecs_deploy import course, ecs, shell
from ecs_deploy.course import Answer
from ecs_deploy.model import Progress, Service
from ecs_deploy.request import Home


@shell.step
def handler(event: shell.Event, _home: Home) -> Answer:
    """Answer `wait` with the deployment that UpdateService made, or had made before its answer was lost."""
    progress = Progress.from_json(event["progress"])
    service = _updated_before(event, progress) or ecs.update_service(
        progress.cluster, progress.service, progress.target
    )
    updated = progress.updated(service, shell.now())
    shell.logger.info("Updated", phase=updated.phase, revision=updated.target, deployment=updated.deployment)
    return course.wait(updated, shell.now())


def _updated_before(event: shell.Event, progress: Progress) -> Service | None:
    if not event["attempt"]:
        return None
    service = ecs.describe_service(progress.cluster, progress.service)
    return service if service.is_active and service.in_use == progress.target else None
