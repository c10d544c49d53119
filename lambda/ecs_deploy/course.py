"""What happens next: the answer of a step, which the workflow's choice reads.

An answer is one JSON object: `next` (update, wait, succeed, fail), and with it `wait` (seconds), `progress` (the
deployment on its way), `outcome` (the output of an execution that succeeded) or `failure` (`error` and `cause` of one
that failed).
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from ecs_deploy.model import Failure, Phase, Progress, Service
from ecs_deploy.verdict import Finding, Verdict
from ecs_deploy.wait import next_wait

Answer = dict[str, Any]


class Outcome(StrEnum):
    """How an execution succeeds."""

    DEPLOYED = "DEPLOYED"
    SUPERSEDED = "SUPERSEDED"
    DUPLICATE = "DUPLICATE"


def update(progress: Progress) -> Answer:
    """Bring in the progress's target."""
    return {"next": "update", "progress": progress.as_json()}


def wait(progress: Progress, now: datetime) -> Answer:
    """Look again later."""
    left = (progress.deadline - now).total_seconds()
    elapsed = progress.timeout - left
    return {"next": "wait", "wait": next_wait(elapsed, left), "progress": progress.as_json()}


def succeed(outcome: Outcome, progress: Progress, now: datetime) -> Answer:
    """End well, after the service was updated."""
    return _succeed(
        outcome,
        cluster=progress.cluster,
        service=progress.service,
        image=progress.image,
        revision=progress.revision,
        replaced=progress.replaced,
        deployment=progress.deployment,
        seconds=_seconds(datetime.fromisoformat(progress.started_at), now),
        polls=progress.polls,
    )


def stand_down(outcome: Outcome, service: Service, image: str, started_at: datetime, now: datetime) -> Answer:
    """End well without having touched the service, which runs what it shall."""
    return _succeed(
        outcome,
        cluster=service.cluster,
        service=service.name,
        image=image,
        revision=None,
        replaced=None,
        deployment=None,
        seconds=_seconds(started_at, now),
        polls=0,
    )


def _succeed(outcome: Outcome, **details: str | float | None) -> Answer:
    return {"next": "succeed", "outcome": {"outcome": outcome, **details}}


def _seconds(started_at: datetime, now: datetime) -> float:
    # The execution's start is by another machine's clock than the function's.
    return round(max((now - started_at).total_seconds(), 0.0), 1)


def stopped(progress: Progress | None, error: str, message: str) -> Answer:
    """End badly because the deployer itself may not or cannot go on; says what it leaves behind."""
    if progress is None:
        return fail(error, message)
    if progress.phase == Phase.ROLLING_BACK and progress.failure:
        return rollback_failed(progress, progress.failure, message)
    if progress.deployment:
        left = (
            f"The deployment {progress.deployment} of {_short(progress.revision)} was left as it is: ECS goes on with "
            "it, and nobody watches it."
        )
    else:
        left = f"{_short(progress.revision)} is registered, and the service was not changed."
    return fail(error, f"{message} {left}", progress=progress)


def fail(
    error: str,
    message: str,
    *,
    reasons: Sequence[str] = (),
    progress: Progress | None = None,
    rolled_back: bool | None = None,
) -> Answer:
    """End badly, with the reason told."""
    cause = {
        "message": message,
        "reasons": list(reasons),
        "revision": progress and progress.revision,
        "replaced": progress and progress.replaced,
        "rolledBack": rolled_back,
    }
    return {"next": "fail", "failure": {"error": error, "cause": cause}}


def after_poll(progress: Progress, verdict: Verdict, now: datetime) -> Answer:
    """What follows a verdict on the deployment of the progress's phase."""
    progress = progress.heard(verdict.reason)
    if verdict.finding in {Finding.IN_PROGRESS, Finding.ECS_IS_ROLLING_BACK}:
        return wait(progress, now)
    if verdict.finding == Finding.DISPLACED:
        return succeed(Outcome.SUPERSEDED, progress, now)
    if progress.phase == Phase.ROLLING_BACK and progress.failure:
        return _after_rollback(progress, progress.failure, verdict)
    if verdict.finding == Finding.STABLE:
        return succeed(Outcome.DEPLOYED, progress, now)
    return _after_failure(progress, verdict)


def _after_failure(progress: Progress, verdict: Verdict) -> Answer:
    failure = _failure(progress, verdict)
    if verdict.finding == Finding.ECS_ROLLED_BACK:
        message = f"{failure.message} ECS itself returned the service to {_short(progress.replaced)}."
        return fail(failure.error, message, reasons=failure.reasons, progress=progress, rolled_back=True)
    if verdict.finding == Finding.GONE:
        return fail(failure.error, failure.message, reasons=failure.reasons, progress=progress)
    if not progress.rollback:
        message = (
            f"{failure.message} rollback is off in the request, so ECS goes on trying {_short(progress.revision)}: "
            f"deploy another image, or {_short(progress.replaced)}, which ran before."
        )
        return fail(failure.error, message, reasons=failure.reasons, progress=progress, rolled_back=False)
    return update(progress.rolling_back(failure))


def _after_rollback(progress: Progress, failure: Failure, verdict: Verdict) -> Answer:
    if verdict.finding == Finding.STABLE:
        message = f"{failure.message} The service was returned to {_short(progress.replaced)} and is stable."
        return fail(failure.error, message, reasons=failure.reasons, progress=progress, rolled_back=True)
    return rollback_failed(progress, failure, progress.reason or verdict.finding.name.replace("_", " ").lower())


def rollback_failed(progress: Progress, failure: Failure, why: str) -> Answer:
    """The return to the revision before did not succeed either: a person has to look."""
    message = (
        f"{failure.message} The return to {_short(progress.replaced)} failed too ({why}). The service "
        f"{progress.service} of the cluster {progress.cluster} may run either revision or none: look at its "
        "deployments and events now."
    )
    return fail("RollbackFailed", message, reasons=(*failure.reasons, why), progress=progress, rolled_back=False)


def _failure(progress: Progress, verdict: Verdict) -> Failure:
    what = f"{_short(progress.revision)} ({progress.image}) on {progress.service} of the cluster {progress.cluster}"
    reasons = (progress.reason,) if progress.reason else ()
    if verdict.finding == Finding.TIMED_OUT:
        return Failure("DeploymentTimedOut", f"{what} was not stable after {progress.timeout} seconds.", reasons)
    said = f": {progress.reason.rstrip('.')}" if progress.reason else ""
    return Failure("DeploymentFailed", f"{what} did not become stable{said}.", reasons)


def _short(revision: str) -> str:
    return revision.rpartition("/")[2]
