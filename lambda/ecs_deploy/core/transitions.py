"""How the state of a service changes: whose turn it is, what is about to be called, how an execution ends.

Each function is pure. Whoever calls it writes the new state back if nobody else has written meanwhile, or reads and
asks again: docs/promises.md says what that holds together.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, assert_never

from ecs_deploy.core.decision import Outcome
from ecs_deploy.core.formats import instant
from ecs_deploy.core.gates import left
from ecs_deploy.core.order import covers, goes_before, leads_back, newer_than
from ecs_deploy.core.state import (
    EVERY_CONTAINER,
    LATEST_INTENTS,
    Candidate,
    Hold,
    Intent,
    Owner,
    Phase,
    Result,
    Stable,
    State,
    Watched,
)


class Granted(NamedTuple):
    """It is the candidate's turn, for these containers."""

    containers: tuple[str, ...]


class Queued(NamedTuple):
    """The candidate is the newest for these containers, and waits until another execution is through with others."""

    containers: tuple[str, ...]


class Skipped(NamedTuple):
    """The candidate ends without having touched the service; `repeated` if people know why."""

    outcome: Outcome
    why: str
    repeated: bool = False


TurnRuling = Granted | Queued | Skipped


class Shown(NamedTuple):
    """The image of a container that runs or rolls out, by whomever: its digest, if that is known, and its tags."""

    digest: str = ""
    tags: Collection[str] = ()


def take_turn(
    state: State,
    candidate: Candidate,
    containers: tuple[str, ...],
    *,
    runs: str = "",
    shown: Mapping[str, Shown] = MappingProxyType({}),
    held: Sequence[str] = (),
) -> TurnRuling:
    """Whose turn it is. `runs` is the revision that the service runs; `shown` are its images, by container.

    `held` is why pushes wait now, besides what the state says.
    """
    if state.owner and state.owner.execution == candidate.execution:
        return Granted(state.owner.containers)
    if candidate.is_push and (why := "; ".join(holds(state, held))):
        return Skipped(Outcome.HELD, f"pushes are held: {why}", repeated=why == state.held_for)
    newer = {each: newer_than(candidate, each, state, shown.get(each, Shown()).digest) for each in containers}
    wanted = tuple(each for each in containers if newer[each] is None)
    if not wanted:
        rival = next(each for each in newer.values() if each)
        return Skipped(
            Outcome.SUPERSEDED, f"{rival.execution} is newer: it was requested at {instant(rival.requested_at)}"
        )
    if why := _was_tried(state, candidate, wanted) or _leads_back(candidate, wanted, shown):
        return Skipped(Outcome.SUPERSEDED, why)
    if candidate.is_push and _runs_already(state, candidate, wanted, runs):
        return Skipped(Outcome.UNCHANGED, f"the service runs or rolls out {candidate.digest} already")
    if state.owner is None or covers(wanted, state.owner.containers):
        return Granted(wanted)
    return Queued(wanted)


def holds(state: State, held: Sequence[str] = ()) -> tuple[str, ...]:
    """Why pushes wait, each reason by itself."""
    kept = [each.why for each in (state.hold, state.revert_hold) if each]
    return (*kept, *held)


def after_turn(
    state: State,
    candidate: Candidate,
    ruling: TurnRuling,
    stable: Stable | None,
    now: datetime,
    *,
    held: Sequence[str] = (),
    revert_hold: Hold | None = None,
) -> State:
    """The state once the ruling is written down; `stable` is what to return to, as it was observed.

    `revert_hold` is what it lets later pushes wait for.
    """
    if not isinstance(ruling, Queued):
        state = left(state, candidate.execution)
    match ruling:
        case Granted(containers):
            is_mine = state.owner is not None and state.owner.execution == candidate.execution
            state = state if is_mine else settled(state)
            owner = state.owner if is_mine else Owner(candidate.execution, containers, now)
            after = _accepted(state, candidate, containers)._replace(owner=owner, stable=stable)
            return after._replace(
                held_for="" if candidate.is_push else state.held_for,
                revert_hold=state.revert_hold if is_mine else revert_hold or state.revert_hold,
            )
        case Queued(containers):
            return _accepted(state, candidate, containers)
        case Skipped(Outcome.HELD):
            return state._replace(held_for="; ".join(holds(state, held)))
        case Skipped(outcome):
            return _raised(state, candidate) if outcome is Outcome.UNCHANGED else state
    assert_never(ruling)


def changes_hands(before: State, after: State) -> bool:
    """Whether another execution than before is the owner, or none is any more, or gates have changed.

    Others wait for that.
    """
    owner = after.owner.execution if after.owner else None
    return before.gates != after.gates or (before.owner is not None and before.owner.execution != owner)


def _accepted(state: State, candidate: Candidate, containers: tuple[str, ...]) -> State:
    return state._replace(newest={**state.newest, **dict.fromkeys(containers, candidate)})


def _raised(state: State, candidate: Candidate) -> State:
    """Let what runs or rolls out count as requested now, so that an older request which comes late finds it newer."""

    def later(requests: dict[str, Candidate]) -> dict[str, Candidate]:
        return {
            name: _as_late_as(each, candidate) if each.digest == candidate.digest and each.failed_at is None else each
            for name, each in requests.items()
        }

    return state._replace(newest=later(dict(state.newest)), deployed=later(dict(state.deployed)))


def _as_late_as(each: Candidate, candidate: Candidate) -> Candidate:
    """One request of an image with the later time and the higher version of another."""
    tag = each.tag if goes_before(each, candidate) else candidate.tag
    policy = candidate.policy if each.is_push else ""
    return each._replace(requested_at=max(each.requested_at, candidate.requested_at), tag=tag, policy=policy)


def _leads_back(candidate: Candidate, containers: tuple[str, ...], shown: Mapping[str, Shown]) -> str:
    """Why a push under a version policy is not deployed: what runs is of a higher version, whoever brought it in."""
    for name in containers:
        if higher := leads_back(candidate, shown.get(name, Shown()).tags):
            return f"the service runs {higher} in {name}, and a push of {candidate.tag} does not lead back from it"
    return ""


def _was_tried(state: State, candidate: Candidate, containers: tuple[str, ...]) -> str:
    """Why a push is not tried again: its image was pushed before it was found not to work."""
    for name in containers:
        tried = state.newest.get(name)
        if tried is None or tried.failed_at is None or not candidate.is_push or tried.request == candidate.request:
            continue
        if candidate.digest and tried.digest == candidate.digest and candidate.requested_at <= tried.failed_at:
            return f"{tried.execution} has tried the same image, which failed"
    return ""


def _runs_already(state: State, candidate: Candidate, containers: tuple[str, ...], runs: str) -> bool:
    if not candidate.digest or EVERY_CONTAINER in containers:
        return False
    owner, stable = state.owner, state.stable
    if owner and owner.phase is Phase.DEPLOYING and covers(owner.containers, containers):
        newest = [state.newest.get(each) for each in containers]
        if all(each and (each.execution, each.digest) == (owner.execution, candidate.digest) for each in newest):
            return True
    return (
        owner is None
        and stable is not None
        and stable.revision == runs
        and all(stable.digests.get(each) == candidate.digest for each in containers)
    )


def is_busy(state: State, invocation: str, now: datetime) -> datetime | None:
    """Until when another invocation may be updating the service; None if none is."""
    locks = [each.until for each in state.intents if not each.noted_at and each.invocation != invocation]
    latest = max(locks, default=now)
    return latest if latest > now else None


def intended(state: State, intent: Intent) -> State:
    """About to call UpdateService. Where there are too many, forgets a send of this very call, or what was answered.

    A call that is refused for long is sent again and again: its first send and its last tell all that others need.
    """
    others = list(state.intents)
    while len(others) >= LATEST_INTENTS:
        sent = [each for each in others if each.is_same_call(intent) and not each.noted_at]
        others.remove((*sent[1:], *(each for each in others if each.noted_at), others[0])[0])
    return state._replace(intents=(*others, intent))


def noted(state: State, call: Intent, deployment: str, displaced: str, now: datetime) -> State:
    """UpdateService has answered, and made `deployment`."""
    return state._replace(
        intents=tuple(
            each._replace(deployment=deployment, noted_at=now, displaced=displaced) if each.is_send(call) else each
            for each in state.intents
        ),
    )


def unlocked(state: State, call: Intent, now: datetime) -> State:
    """The invocation has given up; its call may still be applied."""
    return state._replace(
        intents=tuple(
            each._replace(until=now) if each.is_send(call) and not each.noted_at else each for each in state.intents
        ),
    )


def watched(state: State, candidate: Candidate, stable: Stable) -> State:
    """A deployment is stable, and its execution watches it for a while."""
    owner = state.owner._replace(watched=Watched(candidate, stable)) if state.owner else None
    return left(state, candidate.execution)._replace(owner=owner)


def settled(state: State) -> State:
    """What is stable and watched counts as deployed; by whom it is watched, or was, does not change."""
    owner = state.owner
    if owner is None or owner.watched is None:
        return state
    after = deployed(state, owner.watched.candidate, owner.containers, owner.watched.stable)
    return after._replace(owner=owner._replace(watched=None))


def deployed(state: State, candidate: Candidate, containers: tuple[str, ...], stable: Stable) -> State:
    """A deployment became stable: the end of its execution."""
    done = {**state.deployed, **dict.fromkeys(containers, candidate)}
    return left(state, candidate.execution)._replace(deployed=done, stable=stable, owner=None, broken_since=None)


def failed(state: State, candidate: Candidate, now: datetime) -> State:
    """What was asked for did not work; the return to what was stable begins."""
    newest = {
        name: each._replace(failed_at=now) if each.request == candidate.request else each
        for name, each in state.newest.items()
    }
    owner = state.owner._replace(phase=Phase.RETURNING, watched=None) if state.owner else None
    broken_since = min(state.broken_since or now, candidate.started_at)
    return left(state, candidate.execution)._replace(newest=newest, owner=owner, broken_since=broken_since)


def ended(state: State, execution: str, *, restored: bool = False) -> State:
    """An execution is over, whatever became of it; `restored` if the service is back on what was stable."""
    mine = state.owner is not None and state.owner.execution == execution
    state = left(settled(state) if mine else state, execution)
    return state._replace(owner=None if mine else state.owner, broken_since=None if restored else state.broken_since)


def returned(state: State, execution: str, revision: str, written: Mapping[str, str]) -> State:
    """The service is back on what was stable; by another `revision`, if it had to be registered anew.

    `written` are the images as that one has them no more.
    """
    after = ended(state, execution, restored=True)
    if after.stable is None or after.stable.revision == revision:
        return after
    return after._replace(stable=after.stable._replace(revision=revision, written=written))


def given_up(state: State, requests: Collection[str], now: datetime) -> State:
    """Requests that nobody tries again stand in no other's way."""
    newest = {
        name: each._replace(failed_at=each.failed_at or now) if each.request in requests else each
        for name, each in state.newest.items()
    }
    return state._replace(newest=newest)


def released(state: State, started_at: datetime) -> State:
    """Pushes go on, unless they were held again since this was asked for."""
    kept = [each if each and each.at > started_at else None for each in (state.hold, state.revert_hold)]
    return state._replace(hold=kept[0], revert_hold=kept[1], held_for="")


RESULTS = {
    Outcome.SUPERSEDED: Result.SUPERSEDED,
    Outcome.UNCHANGED: Result.UNCHANGED,
    Outcome.HELD: Result.HELD,
}
"""What a request that is skipped leaves in the history."""
