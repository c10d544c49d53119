"""The revisions of a family as a memory: what was asked for, and what was stable, by the tags the deployer left."""

from dataclasses import dataclass

from ecs_deploy import ecs
from ecs_deploy.ecs import TaskDefinition
from ecs_deploy.errors import DeploymentFailed, NothingToRevertTo
from ecs_deploy.model import Marks, Proof, Service, family, is_proven, number, short
from ecs_deploy.order import Standing, standing

# Each costs a read; whoever wants to go further back names the revision.
_MOST_REVISIONS = 50


@dataclass(frozen=True, slots=True)
class Known:
    """The revision that a service has in use, and the others of its family that may be on their way to it."""

    in_use: TaskDefinition
    others: tuple[TaskDefinition, ...]

    @property
    def newest(self) -> str:
        """The ARN with the highest number."""
        return max((each.arn for each in (self.in_use, *self.others)), key=number)

    def claim(self, marks: Marks) -> TaskDefinition | None:
        """The first revision that was registered for this request, by this execution or by another one of it."""
        ours = (Standing.OWN, Standing.SAME_REQUEST)
        claims = [each for each in self.others if standing(each.marks, marks) in ours]
        return min(claims, key=lambda each: number(each.arn), default=None)


def know(service: Service, *, others: bool) -> Known:
    """Read what is in use and, if `others` matter, what was registered since the revision before it.

    Mostly the revision in use is the newest of its family, and one read answers both.
    """
    if not others:
        return Known(ecs.describe_task_definition(service.in_use), ())
    try:
        newest = ecs.describe_task_definition(family(service.in_use))
    except DeploymentFailed:
        # No revision of the family is active any more, but the service still runs one.
        return Known(ecs.describe_task_definition(service.in_use), ())
    in_use = newest if newest.arn == service.in_use else ecs.describe_task_definition(service.in_use)
    before = in_use.marks.replaces if in_use.marks else in_use.arn
    oldest = before if family(before) == family(in_use.arn) and number(before) < number(in_use.arn) else in_use.arn
    near = {each.arn: each for each in (newest, *between(oldest, newest.arn, known=in_use))}
    return Known(in_use, tuple(each for arn, each in near.items() if arn != in_use.arn))


def between(older: str, newer: str, known: TaskDefinition) -> tuple[TaskDefinition, ...]:
    """The active revisions registered after one and before another of the same family, less the known one."""
    missing = {*range(number(older) + 1, number(newer))} - {number(known.arn)}
    if not missing:
        return ()
    arns = ecs.revisions_before(newer, _MOST_REVISIONS)
    return tuple(ecs.describe_task_definition(arn) for arn in arns if number(arn) in missing)


def marks_of(revision: str) -> Marks | None:
    """What the deployer noted on a revision; None where it is not the deployer's, or is not there any more."""
    try:
        return ecs.describe_task_definition(revision).marks
    except DeploymentFailed:
        return None


def newest_stable_before(in_use: TaskDefinition) -> TaskDefinition:
    """The newest earlier revision of the family that was stable; raises `NothingToRevertTo`.

    A revision was stable when the deployer saw it so, or when a later one was deployed in its place.
    """
    replaced = _replaced_by(in_use)
    for arn in ecs.revisions_before(in_use.arn, _MOST_REVISIONS):
        candidate = ecs.describe_task_definition(arn)
        was_stable = arn in replaced or is_proven(Proof.STABLE, arn, candidate.tags)
        if was_stable and not is_proven(Proof.FAILED, arn, candidate.tags):
            return candidate
        replaced |= _replaced_by(candidate)
    raise NothingToRevertTo(
        f"No revision before {short(in_use.arn)} is known to have been stable. Name the one to deploy in revision."
    )


def to_return_to(service: Service, in_use: TaskDefinition) -> str:
    """The revision to return to when the next one fails: never one that failed itself, if another is known."""
    marks = in_use.marks
    if marks and service.proven == in_use.arn and is_proven(Proof.FAILED, in_use.arn, in_use.tags):
        return marks.replaces
    return service.proven


def _replaced_by(revision: TaskDefinition) -> set[str]:
    return {revision.marks.replaces} if revision.marks else set()
