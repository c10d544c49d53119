"""The second step: make the service run the revision, and note which deployment that is and what it displaced.

UpdateService is an exchange: its answer lists the deployment just made and those whose place it took. What should not
have been displaced is given back at once.
"""

from ecs_deploy import course, ecs, shell
from ecs_deploy.course import Answer, Outcome
from ecs_deploy.history import marks_of
from ecs_deploy.model import Phase, Progress, Service
from ecs_deploy.order import yields
from ecs_deploy.request import Home


@shell.step
def handler(event: shell.Event, _home: Home) -> Answer:
    """Answer `wait` with the deployment that was made, `update` to give a displaced one back, or its end after that."""
    progress = Progress.from_json(event["progress"])
    service = _updated_before(event, progress) or ecs.update_service(
        progress.cluster, progress.service, progress.target
    )
    updated = progress.updated(service, shell.now())
    shell.logger.info("Updated", phase=updated.phase, revision=updated.target, deployment=updated.deployment)
    if rival := _displaced_rival(updated, service):
        shell.logger.info("Gives back what it displaced", revision=rival)
        return course.update(updated.giving_back(rival))
    if updated.phase == Phase.GIVING_BACK:
        return course.succeed(Outcome.SUPERSEDED, updated, shell.now())
    return course.wait(updated, shell.now())


def _updated_before(event: shell.Event, progress: Progress) -> Service | None:
    """The service, where an earlier try of this step updated it and the answer was lost."""
    if not event["attempt"]:
        return None
    service = ecs.describe_service(progress.cluster, progress.service)
    return service if service.is_active and service.in_use == progress.target else None


def _displaced_rival(progress: Progress, service: Service) -> str | None:
    """The revision that this update took the place of and must not, if any."""
    displaced = service.displaced if service.is_rolling else None
    if displaced is None or progress.expects(displaced):
        return None
    giving_back = progress.phase == Phase.GIVING_BACK
    marks = marks_of(progress.given_back) if giving_back else progress.marks
    return displaced if yields(marks, marks_of(displaced)) else None
