"""Which of two requests is newer, and which containers they are about.

Requests go by their time. Two pushes under one policy go by their versions, and a push goes before nothing of a higher
version, whoever asked for that. So a push never leads back; people may go where they want.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from ecs_deploy.core.state import EVERY_CONTAINER, Candidate, Entry, State
from ecs_deploy.core.versions import version_of


def rank(candidate: Candidate) -> tuple[datetime, datetime, str]:
    """What the order goes by: the time of the request, then the execution's start, then its name."""
    return candidate.requested_at, candidate.started_at, candidate.execution


def is_later(rival: Candidate, candidate: Candidate) -> bool:
    """Whether `rival` was requested later. A request that was started again is not later than itself."""
    return rival.request != candidate.request and rank(rival) > rank(candidate)


def goes_before(rival: Candidate, candidate: Candidate) -> bool:
    """Whether `rival` is newer than `candidate`: by version where both have one, else by time."""
    mine, its = (version_of(candidate.policy, each.tag) for each in (candidate, rival))
    if mine is not None and its is not None:
        if mine < its:
            return True
        if mine > its and rival.policy == candidate.policy:
            return False
    return is_later(rival, candidate)


def leads_back(candidate: Candidate, tags: Iterable[str]) -> str | None:
    """The highest version among `tags` that is higher than a push's own, if it goes by versions."""
    mine = version_of(candidate.policy, candidate.tag)
    known = ((version_of(candidate.policy, each), each) for each in tags)
    higher = [each for each in known if mine is not None and each[0] is not None and each[0] > mine]
    return max(higher)[1] if higher else None


def covers(containers: Collection[str], others: Collection[str]) -> bool:
    """Whether a request for `containers` is about all that one for `others` is about."""
    return EVERY_CONTAINER in containers or set(others) <= set(containers)


def newer_than(candidate: Candidate, container: str, state: State, runs: str = "") -> Candidate | None:
    """The request that goes before `candidate` in a container, if there is one.

    What was accepted and failed does not stand in the way, what was stable does, until something newer is accepted. The
    version of what somebody else has replaced counts no more: `runs` is the digest that runs or rolls out, if known.
    """
    known = [
        *_about(container, state.deployed),
        *(each for each in _about(container, state.newest) if each.failed_at is None),
    ]
    rivals = [each for each in known if not any(goes_before(other, each) for other in known)] or known
    for each in rivals:
        rolls_out = state.owner is not None and each.execution == state.owner.execution
        is_there = rolls_out or not runs or each.digest in {"", runs}
        if goes_before(each, candidate) if is_there else is_later(each, candidate):
            return each
    return None


def requests_for(container: str, state: State) -> list[Candidate]:
    """The newest requests about a container: the accepted one and the one that was stable."""
    return [*_about(container, state.newest), *_about(container, state.deployed)]


def newest_first(history: Iterable[Entry]) -> list[Entry]:
    """The executions of a service in the order of their requests.

    Pushes under one policy go by their versions as long as nothing else is requested of their containers meanwhile.
    """
    ordered = sorted(history, key=lambda entry: rank(entry.candidate), reverse=True)
    runs: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for place, entry in enumerate(ordered):
        key = entry.candidate.policy, entry.containers
        for other in [each for each in runs if each != key and _overlap(each[1], entry.containers)]:
            _by_version(ordered, runs.pop(other))
        if version_of(entry.candidate.policy, entry.candidate.tag) is not None:
            runs.setdefault(key, []).append(place)
    for run in runs.values():
        _by_version(ordered, run)
    return ordered


def _by_version(entries: list[Entry], places: Sequence[int]) -> None:
    """Sort the entries at these places by version, the highest first; those of one version keep their order."""
    run = [entries[place] for place in places]
    run.sort(key=lambda entry: version_of(entry.candidate.policy, entry.candidate.tag), reverse=True)
    for number, place in enumerate(places):
        entries[place] = run[number]


def _overlap(containers: Collection[str], others: Collection[str]) -> bool:
    return EVERY_CONTAINER in {*containers, *others} or not set(containers).isdisjoint(others)


def _about(container: str, requests: Mapping[str, Candidate]) -> list[Candidate]:
    return [each for name, each in requests.items() if EVERY_CONTAINER in {name, container} or name == container]
