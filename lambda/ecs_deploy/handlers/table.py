"""Writing the state of a service: whoever waits for its owner to change is woken."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from ecs_deploy.aws import dynamodb, waits
from ecs_deploy.core.errors import AwsUnavailable, DeployError
from ecs_deploy.core.state import Entry, State
from ecs_deploy.core.transitions import changes_hands
from ecs_deploy.handlers import runtime

_MOST_TRIES = 10


class Change(NamedTuple):
    """What a rule makes of a state: the new one and an entry to write, and its ruling."""

    ruling: Any
    state: State | None = None
    entry: Entry | None = None


def write(key: str, *, before: State, state: State | None = None, entry: Entry | None = None) -> None:
    """Write a state over the one that was read `before`, and an entry of the history.

    Raises `dynamodb.Conflict`, `DeployError`, `AwsUnavailable`.
    """
    dynamodb.write(key, before=before, state=state, entry=entry)
    if state is None or not changes_hands(before, state):
        return
    try:
        waits.end(key, anew=True)
    except (DeployError, AwsUnavailable) as error:
        # They ask by themselves, later.
        runtime.logger.warning("Who waits could not be woken", service=key, reason=str(error))


def written(key: str, before: State, state: State, entry: Entry | None = None) -> State:
    """As `write`; answers the state as it is then."""
    write(key, before=before, state=state, entry=entry)
    return state._replace(rev=before.rev + 1)


def change(key: str, now: datetime, rule: Callable[[State], Change]) -> Any:
    """Read the state, write what the rule makes of it, answer its ruling. Raises `DeployError`, `AwsUnavailable`."""
    for _ in range(_MOST_TRIES):
        before = dynamodb.read_state(key, now)
        made = rule(before)
        try:
            if made.state is not None or made.entry is not None:
                write(key, before=before, state=made.state, entry=made.entry)
        except dynamodb.Conflict:
            continue
        return made.ruling
    raise AwsUnavailable(f"the state of {key} is written by others all the time")
