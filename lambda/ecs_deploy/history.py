"""The revisions of a family as a memory: what was asked for, and what was stable, by the tags the deployer left."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from ecs_deploy import ecs
from ecs_deploy.ecs import TaskDefinition
from ecs_deploy.errors import DeploymentFailed, NothingToRevertTo
from ecs_deploy.marks import Marks, Proof, brought_in, is_proven
from ecs_deploy.notation import family, instant, short
from ecs_deploy.order import concern_the_same, is_newer, rank
from ecs_deploy.progress import Progress
from ecs_deploy.service import Service
from ecs_deploy.task_definition import images

# Each costs a read; whoever wants to go further back names the revision.
_MOST_REVISIONS = 50
# The time of a request is by another clock than ECS's.
_CLOCKS_DIFFER = timedelta(seconds=5)


def find(revision: str) -> TaskDefinition | None:
    """Read a revision; None where it is not there any more."""
    try:
        return ecs.describe_task_definition(revision)
    except DeploymentFailed:
        return None


def registered_since(revision: str, since: datetime) -> Iterator[TaskDefinition]:
    """The revisions of the family of `revision` that were registered since, the newest first."""
    newest = find(family(revision))
    if newest is None or newest.registered_at < since:
        return
    yield newest
    for arn in ecs.revisions_before(newest.arn, _MOST_REVISIONS):
        earlier = ecs.describe_task_definition(arn)
        if earlier.registered_at < since:
            return
        yield earlier


def own(in_use: TaskDefinition, marks: Marks) -> list[TaskDefinition]:
    """The revisions that this execution has registered already, the newest first."""
    since = registered_since(in_use.arn, marks.started_at - _CLOCKS_DIFFER)
    return [each for each in since if each.marks and each.marks.execution == marks.execution]


def supersedes(in_use: TaskDefinition, marks: Marks) -> bool:
    """Whether what is in use is newer than a request with these marks, in a container that the request changes."""
    theirs = in_use.marks
    if theirs is None or not is_newer(theirs, marks) or in_use.has_failed:
        return False
    if concern_the_same(theirs, marks):
        return True
    # A newer push of another image carries on what ran before it: perhaps a newer image of ours.
    return any(
        images(each.document, marks.containers) == images(in_use.document, marks.containers)
        for each in rivals(in_use.arn, marks)
    )


def rivals(revision: str, marks: Marks) -> list[TaskDefinition]:
    """The revisions of newer requests for the same containers of the service that have not failed, newest first."""
    return [each for each in newer(revision, marks) if not each.has_failed]


def newer(revision: str, marks: Marks) -> list[TaskDefinition]:
    """The revisions of newer requests for the same containers of the service, newest first."""
    since = registered_since(revision, marks.requested_at - _CLOCKS_DIFFER)
    return [
        each
        for each in since
        if each.marks
        and each.marks.service == marks.service
        and is_newer(each.marks, marks)
        and concern_the_same(each.marks, marks)
    ]


def fallbacks(progress: Progress) -> list[str]:
    """The revisions to return to when the one of `progress` fails, the best first; those that were tried are left out.

    Best is the newest older request that came since the revision in use before was put there: it may have been
    displaced before it was stable, or have come late and stood back. Then that revision itself, then the one that was
    stable. A newer request has an execution of its own.
    """
    base = find(progress.base)
    since = registered_since(progress.base, datetime.fromisoformat(progress.base_since))
    others = [
        (rank(each.marks), each.arn)
        for each in since
        if each.marks
        and each.marks.service == progress.marks.service
        and each.arn not in {progress.revision, progress.base}
        and is_newer(each.marks, base.marks if base else None)
        and is_newer(progress.marks, each.marks)
        and not each.has_failed
    ]
    found = [arn for _, arn in sorted(others, reverse=True)]
    if base and not base.has_failed:
        found.append(base.arn)
    return [each for each in dict.fromkeys([*found, progress.replaced]) if each not in progress.tried]


def newest_stable_before(in_use: TaskDefinition) -> TaskDefinition:
    """The newest earlier revision of the family that was stable; raises `NothingToRevertTo`.

    A revision was stable when the deployer saw it so, or when a later one was deployed in its place.
    """
    replaced = _replaced_by(in_use)
    for arn in ecs.revisions_before(in_use.arn, _MOST_REVISIONS):
        candidate = ecs.describe_task_definition(arn)
        was_stable = arn in replaced or is_proven(Proof.STABLE, arn, candidate.tags)
        if was_stable and not candidate.has_failed:
            return candidate
        replaced |= _replaced_by(candidate)
    raise NothingToRevertTo(
        f"No revision before {short(in_use.arn)} is known to have been stable. Name the one to deploy in revision."
    )


def to_return_to(service: Service, in_use: TaskDefinition) -> str:
    """The revision to return to when the next one fails: never one that failed itself, if another is known."""
    if in_use.marks and service.proven == in_use.arn and in_use.has_failed:
        return in_use.marks.replaces
    return service.proven


def in_use_since(service: Service, in_use: TaskDefinition) -> datetime:
    """Since when the service is to run what it does: as of the request, or as of the change that somebody made."""
    if in_use.marks:
        return in_use.marks.requested_at - _CLOCKS_DIFFER
    created_at = service.primary.created_at if service.is_rolling else None
    return created_at or in_use.registered_at


def asked_for_at(service: Service, in_use: TaskDefinition, containers: Collection[str]) -> datetime | None:
    """When it was asked for that the service runs what it does in these containers; None where nobody can tell.

    If the deployer brought it in, that is the time of the push or of the request, of the revision that changed these
    containers last. If somebody else did, it is when ECS made the deployment.
    """
    if in_use.marks is None or not brought_in(service, in_use.tags):
        return service.primary.created_at if service.is_rolling else None
    mine = replace(in_use.marks, containers=tuple(containers))
    for each in _itself_and_before(in_use):
        if each.marks is None:
            return each.registered_at
        if each.marks.service == mine.service and concern_the_same(each.marks, mine):
            return each.marks.requested_at
    return in_use.marks.requested_at


def was_asked_for(
    digest: str, pushed_at: datetime, service: Service, in_use: TaskDefinition, containers: Collection[str]
) -> bool:
    """Whether a revision was registered for the push of an image, or runs that image, be it good or bad."""
    since = registered_since(in_use.arn, pushed_at - _CLOCKS_DIFFER)
    return any(
        each.marks
        and each.marks.digest == digest
        and each.marks.service == f"{service.cluster}/{service.name}"
        and concern_the_same(each.marks, replace(each.marks, containers=tuple(containers)))
        for each in (in_use, *since)
    )


def _itself_and_before(revision: TaskDefinition) -> Iterator[TaskDefinition]:
    yield revision
    for arn in ecs.revisions_before(revision.arn, _MOST_REVISIONS):
        yield ecs.describe_task_definition(arn)


def broken_since(service: Service, in_use: TaskDefinition) -> str:
    """When the failed rollout began that the service has not recovered from, as far as the tags tell; else empty.

    The revision in use failed itself; or one that replaced it did, and the return to it is not complete.
    """
    returning = service.is_rolling and service.primary.rollout_state not in {"COMPLETED", None}
    others = registered_since(in_use.arn, in_use.registered_at) if returning else ()
    failed = [in_use, *(each for each in others if each.marks and each.marks.replaces == in_use.arn)]
    left = [each.marks.started_at for each in failed if each.marks and each.has_failed]
    return instant(min(left)) if left else ""


def _replaced_by(revision: TaskDefinition) -> set[str]:
    return {revision.marks.replaces} if revision.marks else set()
