"""What to start again: the dispatcher compares what is wanted with how the executions of a service have ended.

All of it is by state: what is wanted and was not deployed is started again, and nothing that the rules of the turn
would refuse.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

from ecs_deploy.core.base import intent_of
from ecs_deploy.core.formats import instant, short
from ecs_deploy.core.order import newest_first, requests_for
from ecs_deploy.core.policy import Start, execution_name
from ecs_deploy.core.service import Service
from ecs_deploy.core.state import EVERY_CONTAINER, Candidate, Entry, Result, State
from ecs_deploy.core.transitions import Granted, take_turn

# What dies with its execution is started again this often.
MOST_RESTARTS = 2
_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)


def restarts(history: Iterable[Entry], state: State, held: Sequence[str] = ()) -> list[Start]:
    """What has no verdict though it is the newest that may work, of each container.

    What failed, or was stopped by a person, is not tried again. What somebody else has decided since is left alone.
    `held` is why pushes wait now, besides what the state says.
    """
    settled: set[str] = set()
    starts: list[Start] = []
    requests = _by_request(history)
    failures = [each for every in reversed(requests) for each in reversed(every) if each.result is Result.FAILED]
    failed = {_image(each): each.ended_at for each in failures}
    for executions in requests:
        newest = executions[0]
        results = {each.result for each in executions}
        tried_at = failed.get(_image(newest))
        if Result.DISPLACED in results:
            break
        if Result.FAILED in results or (tried_at and _is_before(newest.candidate, tried_at)):
            # Without a return, ECS goes on trying it, as was asked for.
            settled |= set() if newest.again.get("rollback", True) else set(newest.containers)
        elif results == {Result.UNCHANGED}:
            # The verdict is that of what it found.
            continue
        elif results & _SETTLED or any(each.result is Result.STOPPED and each.revision for each in executions):
            settled |= set(newest.containers)
        elif Result.STOPPED not in results and may_start(executions) and _is_wanted(newest, settled, state, held):
            starts.append(_again(executions))
            settled |= set(newest.containers)
        if EVERY_CONTAINER in settled:
            break
    return starts


def _again(executions: Sequence[Entry]) -> Start:
    newest, request = executions[0], executions[0].candidate.request
    name = execution_name("again", request, *newest.containers, str(len(executions)))
    identity = {"request": request, "time": instant(newest.candidate.requested_at)}
    digest = {"digest": newest.candidate.digest} if newest.candidate.digest and "image" in newest.again else {}
    return Start(name, {**newest.again, "restart": {**identity, **digest}})


def given_up(history: Iterable[Entry]) -> set[str]:
    """The requests that nobody tries again, so that they stand in no other's way."""
    return {
        each[0].candidate.request
        for each in _by_request(history)
        if not may_start(each) or any(entry.result is Result.STOPPED for entry in each)
    }


_SETTLED: frozenset[Result | None] = frozenset({Result.DEPLOYED, Result.UNCHANGED, Result.ABANDONED, None})


def _by_request(history: Iterable[Entry]) -> list[list[Entry]]:
    """The executions of each request, the newest request and its newest execution first."""
    found: dict[tuple[str, tuple[str, ...]], list[Entry]] = {}
    for each in newest_first(history):
        found.setdefault((each.candidate.request, each.containers), []).append(each)
    return list(found.values())


def _is_before(candidate: Candidate, failed_at: datetime) -> bool:
    """Whether it was requested before its image was found not to work; a person may ask in the very moment."""
    return candidate.requested_at < failed_at or (candidate.is_push and candidate.requested_at == failed_at)


def _image(entry: Entry) -> str:
    """What an execution has tried: an image, or what was asked for."""
    return entry.candidate.digest or entry.candidate.request


def _is_wanted(entry: Entry, settled: Collection[str], state: State, held: Sequence[str]) -> bool:
    """Whether the turn would be granted, if nobody else deployed."""
    left = tuple(each for each in entry.containers if each not in settled)
    alone = state._replace(owner=None)
    return bool(left) and isinstance(take_turn(alone, entry.candidate, left, held=held), Granted)


def may_start(executions: Sequence[Entry]) -> bool:
    """Whether a request may be tried once more, after so many of its executions have died.

    That of a member of a group is not: the group returns, and starts none alone.
    """
    if "together" in executions[0].again and any(each.result is Result.DIED for each in executions):
        return False
    return sum(each.result is Result.DIED for each in executions) <= MOST_RESTARTS


def repair(state: State, service: Service, key: str) -> Start | None:
    """What was stable, if the service runs what ECS was told of late, after the end of its execution."""
    intent = intent_of(state, service.current, service.primary if service.is_rolling else None)
    if intent is None or intent.noted_at or state.stable is None or state.stable.revision == service.current:
        return None
    return stable_again(state, key, intent.execution)


def stable_again(state: State, key: str, instead_of: str) -> Start | None:
    """What was stable, to bring it back `instead_of` an execution that could not; pushes since then stay newer."""
    if state.stable is None:
        return None
    name = execution_name("return", instead_of, state.stable.revision)
    time = max((each.requested_at for each in state.deployed.values()), default=_BEFORE_ALL)
    cluster, _, service = key.partition("/")
    request = {"cluster": cluster, "service": service, "revision": short(state.stable.revision)}
    return Start(name, {**request, "restart": {"request": name, "time": instant(time)}})


def decided_at(state: State, service: Service, containers: Iterable[str], policy: str) -> datetime:
    """When it was decided last what the service runs in these containers: by a request, or by somebody else.

    Pushes under a version `policy` decide nothing for others under it.
    """
    requests = [
        each
        for name in containers
        for each in requests_for(name, state)
        if not (policy and each.is_push and each.policy == policy)
    ]
    decided = [state.since, *(each.requested_at for each in requests)]
    if service.is_rolling:
        ours = {each.revision for each in state.intents} | (
            {state.stable.revision} if state.stable and state.deployed else set()
        )
        primary = service.primary
        if primary.revision not in ours and primary.created_at:
            decided.append(primary.created_at)
    return max(decided)
