"""What a revision is made from, and whether somebody else has changed the service since: read from deployments.

Reads of ECS may show the time before for up to a minute. UpdateService knows no condition, so a change by somebody else
may fall between a read and the call; the call's answer lists what was displaced, with the time at which each deployment
was made: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html
"""

from datetime import datetime, timedelta

from ecs_deploy.core.order import covers
from ecs_deploy.core.service import Deployment, Service
from ecs_deploy.core.state import Base, Intent, Stable, State
from ecs_deploy.core.verdict import NOT_SHOWN_YET

# Longer than a function and whatever lies between it and ECS keep a call.
MAY_LAND_LATE = timedelta(minutes=15)


def base_of(service: Service, state: State, now: datetime) -> Base:
    """What to make the next revision from.

    That is what the service runs, if it is proven or somebody else's. A revision of the deployer's without a verdict is
    not carried on, so that each verdict has one image to blame: its own base is.
    """
    if hidden := _not_shown(service, state, now):
        return Base(_carried_on(hidden, state), hidden.deployment, hidden.noted_at)
    revision = service.current
    primary = service.primary if service.is_rolling else None
    intent = intent_of(state, revision, primary)
    is_proven = state.stable is not None and state.stable.revision == revision
    is_complete = primary is not None and service.is_complete(primary)
    if intent and not intent.noted_at and not is_proven:
        # It was applied late, over whatever was there by then.
        displaced = displaced_by(service, intent, state, now, returning=False)
        other = intent_of(state, displaced, None) if displaced else intent
        revision = _carried_on(other, state) if other else displaced or revision
    elif intent and not is_proven and not is_complete:
        revision = _carried_on(intent, state)
    elif intent and intent.displaced:
        revision = intent.displaced
    return Base(revision, primary.id, primary.created_at) if primary else Base(revision)


def intent_of(state: State, revision: str, deployment: Deployment | None) -> Intent | None:
    """The call of the deployer that made a deployment, or may have: its answer was not noted."""
    for intent in reversed(state.intents):
        if deployment is None:
            if intent.revision == revision:
                return intent
        elif intent.deployment == deployment.id or _may_have_made(intent, revision, deployment):
            return intent
    return None


def _may_have_made(intent: Intent, revision: str, deployment: Deployment) -> bool:
    made_at = deployment.created_at or intent.at
    return intent.revision == revision and not intent.noted_at and made_at - intent.at < MAY_LAND_LATE


def own_revisions(state: State, execution: str) -> set[str]:
    """The revisions that an execution has called UpdateService for."""
    return {intent.revision for intent in state.intents if intent.execution == execution}


def late_revisions(state: State, target: str, now: datetime) -> set[str]:
    """The revisions of calls for others than `target` that ECS may apply late: nobody has seen their answers."""
    return {
        intent.revision
        for intent in state.intents
        if intent.revision != target and not intent.noted_at and now - intent.at < MAY_LAND_LATE
    }


def renewed(base: Base, service: Service, state: State, now: datetime) -> Base | None:
    """The base of a revision that was made from `base`, as of now; None if it has to be made anew, from another one."""
    current = base_of(service, state, now)
    if current.revision == base.revision:
        return current
    if not service.is_rolling:
        return None
    if not is_since(service.primary, base):
        # A read that shows the time before.
        return base
    intent = intent_of(state, service.current, service.primary)
    came_late = intent is not None and not intent.noted_at
    if intent and came_late and not displaced_by(service, intent, state, now, returning=True):
        return current._replace(revision=base.revision)
    return None


def displaced_by(service: Service, call: Intent, state: State, now: datetime, *, returning: bool) -> str | None:
    """The revision that a call took the place of and must not, by the deployments that ECS lists after it.

    What other executions have brought in has to be carried on by whoever deploys, and not by whoever returns.
    """
    if not service.is_rolling:
        return None
    own = own_revisions(state, call.execution)
    known = {call.revision, call.base.revision, *own, *late_revisions(state, call.revision, now)}
    if returning and state.stable:
        # It comes back in any case, if need be as another revision.
        known.add(state.stable.revision)
    for each in sorted(service.deployments, key=lambda each: str(each.created_at), reverse=True):
        if each.status == "PRIMARY" or each.revision in known:
            continue
        other = next((intent for intent in state.intents if intent.deployment == each.id), None)
        carried_on = other is not None and (returning or _is_carried_on(other, call))
        if is_since(each, call.base) and not carried_on:
            return each.revision
    return None


def observed_stable(service: Service, state: State, now: datetime) -> Stable | None:
    """What to return to: what was stable by the deployer's own verdict, or what ECS shows in a steady state since."""
    known = state.stable
    if not service.is_rolling:
        is_ours = intent_of(state, service.current, None) is not None
        return known if known and (is_ours or known.revision == service.current) else Stable(service.current, now)
    if known is None:
        last = service.last_completed
        return Stable(last, now) if last else None
    primary = service.primary
    intent = intent_of(state, primary.revision, primary)
    unproven = intent is not None and (not intent.noted_at or _has_failed(intent, state))
    since = primary.created_at is not None and primary.created_at >= known.at
    if unproven or not since or primary.revision == known.revision or not service.is_complete(primary):
        return known
    return Stable(primary.revision, now)


def _not_shown(service: Service, state: State, now: datetime) -> Intent | None:
    """The newest call, if its deployment is not shown yet."""
    noted = [intent for intent in state.intents if intent.noted_at]
    if not service.is_rolling or not noted:
        return None
    newest = noted[-1]
    primary = service.primary
    listed = {each.id for each in service.deployments}
    is_fresh = newest.noted_at is not None and now - newest.noted_at < NOT_SHOWN_YET
    return newest if is_fresh and newest.deployment not in listed and not is_since(primary, newest.base) else None


def _carried_on(intent: Intent, state: State) -> str:
    if state.stable and state.stable.revision == intent.revision:
        return intent.revision
    if state.stable and state.stable.at > intent.at:
        return state.stable.revision
    return intent.displaced or intent.base.revision


def is_since(deployment: Deployment, base: Base) -> bool:
    """Whether a deployment is another one than the base's, and was not made before it."""
    if deployment.id == base.deployment:
        return False
    return base.created_at is None or deployment.created_at is None or deployment.created_at >= base.created_at


def _is_carried_on(other: Intent, call: Intent) -> bool:
    """Whether a call has all that another one has brought in, but for what it replaces itself."""
    return other.base.revision == call.base.revision and covers(call.containers, other.containers)


def _has_failed(intent: Intent, state: State) -> bool:
    return any(each.request == intent.request and each.failed_at for each in state.newest.values())
