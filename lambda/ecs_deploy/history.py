"""The revisions that ran before: which of them was stable, by the tags the deployer left on them."""

from ecs_deploy import ecs
from ecs_deploy.ecs import TaskDefinition
from ecs_deploy.errors import NothingToRevertTo
from ecs_deploy.model import Marks, Proof, Service, is_proven, short

# Each costs a read; whoever wants to go further back names the revision.
_MOST_REVISIONS = 50


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
    marks = Marks.read(in_use.tags)
    if marks and service.proven == in_use.arn and is_proven(Proof.FAILED, in_use.arn, in_use.tags):
        return marks.replaces
    return service.proven


def _replaced_by(revision: TaskDefinition) -> set[str]:
    marks = Marks.read(revision.tags)
    return {marks.replaces} if marks else set()
