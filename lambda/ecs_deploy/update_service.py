"""The second step: make the service run the revision, and note which deployment that is and what it displaced.

UpdateService is an exchange: its answer lists the deployment just made and those whose place it took. What should not
have been displaced is given back at once.
"""

from typing import NamedTuple

from ecs_deploy import course, ecs, shell
from ecs_deploy.course import Answer, Outcome
from ecs_deploy.ecs import TaskDefinition
from ecs_deploy.errors import DeployError
from ecs_deploy.history import find, rivals
from ecs_deploy.home import Home
from ecs_deploy.marks import Marks
from ecs_deploy.notation import short
from ecs_deploy.order import concern_the_same, is_newer
from ecs_deploy.progress import Phase, Progress
from ecs_deploy.service import Service
from ecs_deploy.task_definition import differ_elsewhere


class Rival(NamedTuple):
    """A revision that must not be displaced: to give back, and to end or start `again` on top of it; or to `merge`."""

    revision: str
    again: bool = False
    merge: bool = False


@shell.step
def handler(event: shell.Event, _home: Home) -> Answer:
    """Answer `wait` with the deployment that was made, `update` to give a displaced one back, or what follows that."""
    progress = Progress.from_json(event["progress"])
    # An earlier try of this step may have updated the service, and its answer was lost.
    seen = ecs.describe_service(progress.cluster, progress.service) if event["attempt"] else None
    if seen and seen.is_active and _belongs_to_another(progress, seen):
        shell.logger.info("Leaves what is in use", revision=seen.in_use, reason="it is newer, or somebody else's")
        why = f"{short(seen.in_use)} is in use, which is newer or somebody else's"
        return course.succeed(Outcome.SUPERSEDED, progress, shell.now(), why)
    done = seen and seen.is_active and seen.in_use == progress.target
    service = seen if seen and done else ecs.update_service(progress.cluster, progress.service, progress.target)
    updated = progress.updated(service, shell.now())
    shell.logger.info("Updated", phase=updated.phase, revision=updated.target, deployment=updated.deployment)
    try:
        return _following(updated, service, lost=bool(done))
    except DeployError as error:
        # By then the service was updated, which the shell does not know.
        return course.stopped(updated, error.error, error.message)


def _following(updated: Progress, service: Service, *, lost: bool) -> Answer:
    """What follows the update that `service` tells of; `lost` if its own answer was."""
    if rival := _displaced_rival(updated, service) or (_forgotten_rival(updated) if lost else None):
        if rival.merge:
            shell.logger.info("Starts anew on top of what it displaced", revision=rival.revision)
            return course.start_anew(onto=rival.revision)
        why = "it is newer, or somebody else's"
        shell.logger.info("Gives back what it displaced", revision=rival.revision, again=rival.again, reason=why)
        return course.update(updated.giving_back(rival.revision, again=rival.again))
    if updated.phase == Phase.GIVING_BACK:
        why = f"it had displaced {short(updated.given_back)}, which is newer or somebody else's, and gave it back"
        return course.start_anew() if updated.again else course.succeed(Outcome.SUPERSEDED, updated, shell.now(), why)
    return course.wait(updated, service, shell.now())


def _belongs_to_another(progress: Progress, service: Service) -> bool:
    """Whether the service runs what an update would have to give back, so that it need not be displaced at all."""
    if service.in_use in {*progress.before, progress.target}:
        return False
    theirs = find(service.in_use)
    rival = theirs and _rival(progress, theirs)
    return bool(rival and not rival.again and not rival.merge)


def _displaced_rival(progress: Progress, service: Service) -> Rival | None:
    """The revision that this update took the place of and must not, if any."""
    displaced = service.displaced if service.is_rolling else None
    if progress.phase == Phase.GIVING_BACK and _has_failed(progress.given_back):
        # It came back too late: its own execution has put another one in its place by then.
        others = (each for each in (displaced, service.proven, progress.base) if each and not _has_failed(each))
        return Rival(next(others, progress.replaced))
    if displaced is None or displaced in {*progress.before, progress.target}:
        return None
    theirs = find(displaced)
    return _rival(progress, theirs) if theirs else None


def _rival(progress: Progress, theirs: TaskDefinition) -> Rival | None:
    """What to do about a revision that was put there unexpectedly."""
    if theirs.marks is None:
        # A person's or Terraform's, made while the deployment was on its way: it goes first.
        return Rival(theirs.arn)
    if theirs.has_failed or theirs.marks.execution == progress.execution:
        return None
    if progress.phase == Phase.ROLLING_BACK:
        return Rival(theirs.arn)
    if progress.phase == Phase.GIVING_BACK:
        given_back = find(progress.given_back)
        return Rival(theirs.arn) if is_newer(theirs.marks, given_back.marks if given_back else None) else None
    return _competitor(progress, theirs, theirs.marks)


def _competitor(progress: Progress, theirs: TaskDefinition, marks: Marks) -> Rival | None:
    """What to do about the revision of another request, which the new revision displaced."""
    newer = is_newer(marks, progress.marks)
    if newer and concern_the_same(marks, progress.marks):
        return Rival(theirs.arn)
    mine = find(progress.revision)
    if mine is None or not differ_elsewhere(mine.document, theirs.document, progress.containers):
        return None
    # It changed another container, and this revision was made without that. Only the older one of both steps back, or
    # they would take turns.
    return Rival(theirs.arn, again=newer, merge=not newer)


def _has_failed(revision: str) -> bool:
    found = find(revision)
    return found is not None and found.has_failed


def _forgotten_rival(progress: Progress) -> Rival | None:
    """The newest of the newer revisions there are, since the lost answer would have told which one was displaced."""
    newest = next(iter(rivals(progress.target, progress.marks)), None)
    return Rival(newest.arn) if newest and progress.phase != Phase.GIVING_BACK else None
