"""A decision: what comes next, which the workflow reads from `next`, and what of the deployment goes with it."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

from ecs_deploy.core.codec import decode, encode
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.formats import short
from ecs_deploy.core.plan import Failure, Plan, Rollout
from ecs_deploy.core.poll_schedule import AFTER_SIGNAL, next_pause, next_wait
from ecs_deploy.core.service_deployment import Hook
from ecs_deploy.core.state import Candidate, Phase


class Outcome(StrEnum):
    """How an execution succeeds."""

    DEPLOYED = "DEPLOYED"
    SUPERSEDED = "SUPERSEDED"
    UNCHANGED = "UNCHANGED"
    HELD = "HELD"
    RELEASED = "RELEASED"
    REHEARSED = "REHEARSED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    STATUS = "STATUS"
    HISTORY = "HISTORY"


class Turn(NamedTuple):
    """What an execution remembers while it waits for its turn: what it would change, and since when it waits.

    `has_asked` says that people were asked for approval.
    """

    containers: tuple[str, ...]
    digest: str
    since: datetime
    has_asked: bool = False


class WaitForTurn(NamedTuple):
    """Ask again after some seconds, or at a signal, whether it is this execution's turn at the service `key`.

    So many `signals` had been counted before it was read whose turn it is. `turn` is a `Turn`, or how far a group is.
    """

    turn: Any
    seconds: int
    key: str
    signals: int


class Ask(NamedTuple):
    """Ask people for approval, then wait as for the turn. `asked` is what the notification says."""

    wait: WaitForTurn
    asked: Mapping[str, Any]


class Register(NamedTuple):
    """Register a revision anew, on top of what the service runs now."""

    plan: Plan
    rollout: Rollout


class Update(NamedTuple):
    """Make the service run the rollout's target; `announced` unless people are to be notified of the start first."""

    plan: Plan
    rollout: Rollout
    announced: bool = True


class Wait(NamedTuple):
    """Poll again after some seconds, or at a signal."""

    plan: Plan
    rollout: Rollout
    seconds: int


class Pause(NamedTuple):
    """Notify people that a hook waits for them, and poll again after some seconds."""

    plan: Plan
    rollout: Rollout
    seconds: int
    hook: Hook


class Succeed(NamedTuple):
    """End well. `outcome` is the output of the execution, as the contract says; `repeated` if people know it."""

    outcome: Mapping[str, Any]
    reasons: tuple[str, ...] = ()
    repeated: bool = False


class Fail(NamedTuple):
    """End badly. `cause` is what the contract says beside the error."""

    error: Error
    cause: Mapping[str, Any]


Decision = WaitForTurn | Ask | Register | Update | Wait | Pause | Succeed | Fail
End = Succeed | Fail


def as_answer(decision: Decision) -> dict[str, Any]:
    """The decision as the workflow reads it."""
    match decision:
        case WaitForTurn(turn, seconds, key, signals):
            return {"next": "wait_for_turn", **_wait(seconds, key, signals), "turn": encode(turn)}
        case Ask(wait, _):
            return {**as_answer(wait), "next": "notify_approval"}
        case Register(plan, rollout):
            return {"next": "register", **_deployment(plan, rollout)}
        case Update(plan, rollout, announced):
            return {"next": "update" if announced else "announce", **_deployment(plan, rollout)}
        case Wait(plan, rollout, seconds):
            waits = _wait(seconds, plan.key, rollout.signals.number)
            return {"next": "wait_for_rollout", **waits, **_deployment(plan, rollout)}
        case Pause(plan, rollout, seconds, _):
            waits = _wait(seconds, plan.key, rollout.signals.number)
            return {"next": "notify_pause", **waits, **_deployment(plan, rollout)}
        case Succeed(outcome, reasons, _):
            return {"next": "succeed", "outcome": dict(outcome), "reasons": list(reasons)}
        case Fail(error, cause):
            return {"next": "fail", "failure": {"error": error, "cause": dict(cause)}}
    assert_never(decision)


def decision_from(answer: Mapping[str, Any]) -> Register | End:
    """Read what `as_answer` gave for an end, or for the beginning of a return."""
    match answer["next"]:
        case "succeed":
            return Succeed(answer["outcome"], tuple(answer["reasons"]))
        case "fail":
            return Fail(Error(answer["failure"]["error"]), answer["failure"]["cause"])
        case _:
            return Register(decode(Plan, answer["plan"]), decode(Rollout, answer["rollout"]))


def _wait(seconds: int, key: str, signals: int) -> dict[str, Any]:
    """What a wait goes by: its token is stored for the service `key`, if no signal has come since these."""
    return {"wait": seconds, "key": key, "signals": str(signals)}


def _deployment(plan: Plan, rollout: Rollout) -> dict[str, Any]:
    return {"plan": encode(plan), "rollout": encode(rollout)}


def wait(plan: Plan, rollout: Rollout, now: datetime, *, is_rolling: bool, looks: int | None = None) -> Wait:
    """Poll again when an event says so, and otherwise by the schedule; `looks` if it is to begin as after a signal.

    An event is counted on where the service `is_rolling`: it says that a steady state was reached, or that the circuit
    breaker tripped. Whether one comes where ECS shifts traffic, the page does not say:
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html
    """
    rollout = rollout._replace(looks=rollout.looks if looks is None else looks)
    seconds = next_wait(
        rollout.elapsed(now),
        left=(rollout.deadline(plan.timeout) - now).total_seconds(),
        looks=rollout.looks,
        hears=is_rolling and rollout.hears,
    )
    return Wait(plan, rollout, seconds)


def pause(plan: Plan, rollout: Rollout, hook: Hook | None, now: datetime) -> Wait | Pause:
    """Poll again while a hook decides, seldom: a pause may last for days. People are notified once."""
    is_new = hook is not None and hook.asks_somebody and hook.id not in rollout.notified
    # What the signal was of is shown.
    rollout = rollout._replace(looks=len(AFTER_SIGNAL) if is_new else rollout.looks)
    paused = (now - (rollout.paused_since or now)).total_seconds()
    seconds = next_pause(paused, looks=rollout.looks, hears=rollout.hears)
    if hook is None or not is_new:
        return Wait(plan, rollout, seconds)
    return Pause(plan, rollout._replace(notified=(*rollout.notified, hook.id)), seconds, hook)


def succeed(outcome: Outcome, plan: Plan, rollout: Rollout, now: datetime, *reasons: str) -> Succeed:
    """End well, after the service was updated or was about to be."""
    skipped = skip(outcome, plan.cluster, plan.service, plan.candidate, plan.image, now, *reasons, *plan.warnings)
    deployment = rollout.deployment if rollout.updated_at else None
    done = {"revision": plan.revision, "replaced": plan.replaced, "deployment": deployment, "polls": rollout.polls}
    return skipped._replace(outcome={**skipped.outcome, **done})


def skip(
    outcome: Outcome, cluster: str, service: str, candidate: Candidate, image: str | None, now: datetime, *reasons: str,
    repeated: bool = False,
) -> Succeed:  # fmt: skip
    """End well without having touched the service."""
    members = {
        "outcome": outcome,
        "cluster": cluster,
        "service": service,
        "image": image,
        "digest": candidate.digest or None,
        "revision": None,
        "replaced": None,
        "deployment": None,
        "seconds": seconds_between(candidate.started_at, now),
        "polls": 0,
        "times": None,
        "slow": [],
        "reasons": list(reasons),
    }
    return Succeed(members, reasons, repeated)


def show(
    outcome: Outcome, cluster: str, service: str, candidate: Candidate, image: str | None, now: datetime,
    shown: Mapping[str, Any], *reasons: str,
) -> Succeed:  # fmt: skip
    """End well, having read only; people are not notified of what they have asked to see."""
    skipped = skip(outcome, cluster, service, candidate, image, now, *reasons, repeated=True)
    return skipped._replace(outcome={**skipped.outcome, "shown": shown})


def refuse(error: DeployError, request: object) -> Fail:
    """End badly before anything was changed."""
    image = request.get("image") if isinstance(request, dict) else None
    cause: dict[str, Any] = {
        "message": f"{error.message} Nothing was changed.",
        "reasons": [],
        "image": image[:_MOST_IMAGE] if isinstance(image, str) else None,
        "digest": None,
        "revision": None,
        "replaced": None,
        "rolledBack": None,
    }
    return Fail(error.error, cause)


def fail(
    plan: Plan, failure: Failure, message: str, *, rolled_back: bool | None, reasons: tuple[str, ...] = ()
) -> Fail:
    """End badly, with the reason told."""
    cause = {
        "message": message,
        "reasons": [*failure.reasons, *reasons, *plan.warnings],
        "image": plan.image,
        "digest": plan.candidate.digest or None,
        "revision": plan.revision,
        "replaced": plan.replaced,
        "rolledBack": rolled_back,
    }
    return Fail(failure.error, cause)


def stop(plan: Plan, rollout: Rollout, error: DeployError) -> Fail:
    """End badly because the deployer may not or cannot go on; says what it leaves behind."""
    if rollout.phase is Phase.RETURNING and rollout.failure:
        failed = rollout.failure._replace(error=Error.ROLLBACK_FAILED)
        message = f"{rollout.failure.message} The return to {short(rollout.target)} failed too: {error.message}"
        return fail(plan, failed, message, rolled_back=False, reasons=(error.message,))
    if rollout.updated_at:
        left = (
            f"The deployment of {short(plan.revision)} was left as it is: ECS goes on with it, and nobody watches it."
        )
    else:
        left = f"{short(plan.revision)} is registered, and the service was not changed."
    return fail(plan, Failure(error.error, error.message), f"{error.message} {left}", rolled_back=None)


def seconds_between(then: datetime, now: datetime) -> float:
    """Seconds from a moment by another machine's clock."""
    return round(max((now - then).total_seconds(), 0.0), 1)


_MOST_IMAGE = 1_024
