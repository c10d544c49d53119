"""Which of two revisions is newer: by the time of the request, then by the start of the execution, then by its id."""

from datetime import datetime
from enum import Enum, auto

from ecs_deploy.model import Marks


class Standing(Enum):
    """How a revision that is in use stands to an execution that wants to replace it."""

    OLDER = auto()
    NEWER = auto()
    SAME_REQUEST = auto()
    OWN = auto()


def standing(theirs: Marks | None, mine: Marks) -> Standing:
    """Compare the marks of a revision in use with those of this execution; one without marks is older."""
    if theirs is None:
        return Standing.OLDER
    if theirs.execution == mine.execution:
        return Standing.OWN
    if (theirs.service, theirs.request) == (mine.service, mine.request):
        return Standing.SAME_REQUEST
    return Standing.NEWER if _rank(theirs) > _rank(mine) else Standing.OLDER


def yields(mine: Marks | None, theirs: Marks | None) -> bool:
    """Whether one revision must leave another in place that was put there unexpectedly.

    Without marks it is a person's or Terraform's, made while the deployment was on its way: it goes first.
    """
    if theirs is None or mine is None:
        return theirs is None
    return standing(theirs, mine) in {Standing.NEWER, Standing.SAME_REQUEST}


def _rank(marks: Marks) -> tuple[datetime, datetime, str]:
    return marks.requested_at, marks.started_at, marks.execution
