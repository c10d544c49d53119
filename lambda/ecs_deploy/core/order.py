"""Which of two requests is newer, and which containers they are about."""

from collections.abc import Collection, Mapping
from datetime import datetime

from ecs_deploy.core.state import EVERY_CONTAINER, Candidate, State


def rank(candidate: Candidate) -> tuple[datetime, datetime, str]:
    """What the order goes by: the time of the request, then the execution's start, then its name."""
    return candidate.requested_at, candidate.started_at, candidate.execution


def is_newer(one: Candidate, other: Candidate) -> bool:
    """Whether `one` goes before `other`. A request that was started again is not newer than itself."""
    return one.request != other.request and rank(one) > rank(other)


def covers(containers: Collection[str], others: Collection[str]) -> bool:
    """Whether a request for `containers` is about all that one for `others` is about."""
    return EVERY_CONTAINER in containers or set(others) <= set(containers)


def newer_than(candidate: Candidate, container: str, state: State) -> Candidate | None:
    """The request that goes before `candidate` in a container, if there is one.

    What was accepted and failed does not stand in the way, what was stable does.
    """
    rivals = [
        *_about(container, state.deployed),
        *(each for each in _about(container, state.newest) if each.failed_at is None),
    ]
    return next((each for each in rivals if is_newer(each, candidate)), None)


def requests_for(container: str, state: State) -> list[Candidate]:
    """The newest requests about a container: the accepted one and the one that was stable."""
    return [*_about(container, state.newest), *_about(container, state.deployed)]


def _about(container: str, requests: Mapping[str, Candidate]) -> list[Candidate]:
    return [each for name, each in requests.items() if EVERY_CONTAINER in {name, container} or name == container]
