"""Which of two requests is newer, and whether they are about the same: each container runs its own newest push."""

from datetime import datetime

from ecs_deploy.marks import EVERY_CONTAINER, Marks


def is_newer(theirs: Marks | None, mine: Marks | None) -> bool:
    """Whether theirs goes before mine: by the time of the request, then by the execution's start, then by its id.

    A revision without marks is older than any: it was there before, or somebody else takes care of it.
    """
    return theirs is not None and (mine is None or rank(theirs) > rank(mine))


def concern_the_same(one: Marks, other: Marks) -> bool:
    """Whether both change a container of the same name; whoever deploys a whole definition changes every one."""
    return EVERY_CONTAINER in {one.containers, other.containers} or bool({*one.containers} & {*other.containers})


def are_one_push(mine: Marks, theirs: Marks) -> bool:
    """Whether a sweep and an event that came after all have asked for one and the same push."""
    if theirs.execution == mine.execution or not concern_the_same(mine, theirs):
        return False
    swept = mine.is_of_a_sweep or theirs.is_of_a_sweep
    # A later push of the same image is another one.
    return swept and "" != mine.digest == theirs.digest and mine.requested_at <= theirs.started_at


def rank(marks: Marks) -> tuple[datetime, datetime, str]:
    """What the order goes by."""
    return marks.requested_at, marks.started_at, marks.execution
