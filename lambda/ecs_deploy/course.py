"""What happens next: the answer of a step, which the workflow's choice reads.

An answer is one JSON object: `next` (register, update, wait, succeed, fail), and with it `wait` (seconds), `progress`
(the deployment on its way), `onto` (the revision to start from anew), `outcome` (the output of an execution that
succeeded) with the `reasons` it has, or `failure` (`error` and `cause` of one that failed).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from ecs_deploy.marks import Proof, deployment_tag, proof_tag, seconds_tag
from ecs_deploy.notation import short
from ecs_deploy.progress import Explanation, Failure, Phase, Progress
from ecs_deploy.service import Service
from ecs_deploy.verdict import Finding, Verdict
from ecs_deploy.wait import luck

Answer = dict[str, Any]


class Outcome(StrEnum):
    """How an execution succeeds."""

    DEPLOYED = "DEPLOYED"
    SUPERSEDED = "SUPERSEDED"
    DUPLICATE = "DUPLICATE"


def start_anew(onto: str | None = None) -> Answer:
    """Begin again, with what the service runs now or on top of the revision `onto`."""
    return {"next": "register", "onto": onto}


def update(progress: Progress) -> Answer:
    """Bring in the progress's target."""
    return {"next": "update", "progress": progress.as_json()}


def wait(progress: Progress, service: Service, now: datetime) -> Answer:
    """Look again later."""
    seconds, rhythm = progress.rhythm.next_wait(
        service.stage,
        progress.elapsed(now),
        left=(progress.deadline - now).total_seconds(),
        polls=progress.polls,
        luck=luck(progress.execution, progress.polls),
    )
    return {"next": "wait", "wait": seconds, "progress": replace(progress, rhythm=rhythm).as_json()}


def succeed(outcome: Outcome, progress: Progress, now: datetime, *reasons: str) -> Answer:
    """End well, after the service was updated."""
    return _succeed(
        outcome,
        reasons,
        cluster=progress.cluster,
        service=progress.service,
        image=progress.image,
        revision=progress.revision,
        replaced=progress.replaced,
        deployment=progress.deployment,
        seconds=_seconds(datetime.fromisoformat(progress.started_at), now),
        polls=progress.polls,
    )


def stand_down(
    outcome: Outcome, service: Service, image: str | None, started_at: datetime, now: datetime, *reasons: str
) -> Answer:
    """End well without having touched the service, which runs what it shall."""
    return _succeed(
        outcome,
        reasons,
        cluster=service.cluster,
        service=service.name,
        image=image,
        revision=None,
        replaced=None,
        deployment=None,
        seconds=_seconds(started_at, now),
        polls=0,
    )


def _succeed(outcome: Outcome, reasons: Sequence[str], **details: str | float | None) -> Answer:
    return {"next": "succeed", "outcome": {"outcome": outcome, **details}, "reasons": list(reasons)}


def _seconds(started_at: datetime, now: datetime) -> float:
    # The execution's start is by another machine's clock than the function's.
    return round(max((now - started_at).total_seconds(), 0.0), 1)


def stopped(progress: Progress | None, error: str, message: str) -> Answer:
    """End badly because the deployer itself may not or cannot go on; says what it leaves behind."""
    if progress is None:
        return fail(error, f"{message} Nothing was changed.")
    if progress.phase == Phase.ROLLING_BACK and progress.failure:
        return rollback_failed(progress, progress.failure, [message])
    if progress.updated_at:
        left = (
            f"The deployment of {short(progress.revision)} was left as it is: ECS goes on with it, and nobody "
            "watches it."
        )
    else:
        left = f"{short(progress.revision)} is registered, and the service was not changed."
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


def is_failure(verdict: Verdict) -> bool:
    """Whether the verdict is one to explain: the rollout failed, and its tasks can tell why."""
    return verdict.finding in {Finding.FAILED, Finding.TIMED_OUT, Finding.ECS_ROLLED_BACK}


def proof(progress: Progress, verdict: Verdict, service: Service, now: datetime) -> dict[str, str]:
    """The tags that the target earns by a verdict: none if it was stable before, or if a person took it back."""
    if progress.phase == Phase.ROLLING_BACK and progress.target == progress.replaced:
        return {}
    if verdict.finding == Finding.ECS_ROLLED_BACK and not service.rolls_back_itself:
        return {}
    if verdict.finding != Finding.STABLE and not is_failure(verdict):
        return {}
    by = deployment_tag(service) if service.in_use == progress.target else {}
    if is_failure(verdict):
        return {**proof_tag(Proof.FAILED, progress.target), **by}
    took = seconds_tag(progress.rhythm, progress.elapsed(now)) if progress.phase == Phase.DEPLOYING else {}
    return {**proof_tag(Proof.STABLE, progress.target), **took, **by}


def has_returned(progress: Progress, verdict: Verdict, service: Service) -> bool:
    """Whether the deployer, or ECS by itself, has brought back a revision that earns no proof by that."""
    if progress.phase == Phase.ROLLING_BACK and progress.target == progress.replaced:
        return verdict.finding == Finding.STABLE
    return verdict.finding == Finding.ECS_ROLLED_BACK and service.rolls_back_itself


def needs_fallbacks(progress: Progress, verdict: Verdict) -> bool:
    """Whether what follows depends on the revisions that there are to return to."""
    if progress.phase == Phase.ROLLING_BACK:
        return is_failure(verdict) or verdict.finding == Finding.STABLE
    return progress.rollback and is_failure(verdict)


def after_poll(
    progress: Progress,
    verdict: Verdict,
    explanation: Explanation,
    fallbacks: Sequence[str],
    service: Service,
    now: datetime,
) -> Answer:
    """What follows a verdict on the deployment of the progress's phase; `fallbacks` to return to, the best first."""
    progress = progress.heard(verdict.reason)
    if verdict.finding in {Finding.IN_PROGRESS, Finding.ECS_IS_ROLLING_BACK}:
        return wait(progress, service, now)
    if verdict.finding == Finding.OVERTAKEN:
        return update(progress.insisting())
    if verdict.finding == Finding.DISPLACED:
        return succeed(Outcome.SUPERSEDED, progress, now, verdict.reason or "another deployment took its place")
    if progress.phase == Phase.ROLLING_BACK and progress.failure:
        return _after_rollback(progress, progress.failure, verdict, explanation, fallbacks, service)
    if verdict.finding == Finding.STABLE:
        return succeed(Outcome.DEPLOYED, progress, now)
    return _after_failure(progress, verdict, explanation, fallbacks, service)


def after_deletion(progress: Progress) -> Answer:
    """What follows when the service is not even described any more."""
    gone = Verdict(Finding.GONE, "the service was deleted meanwhile")
    if progress.failure:
        return rollback_failed(progress, progress.failure, [str(gone.reason)])
    return _after_failure(progress, gone, Explanation("", ()))


def _after_failure(
    progress: Progress,
    verdict: Verdict,
    explanation: Explanation,
    fallbacks: Sequence[str] = (),
    service: Service | None = None,
) -> Answer:
    failure = _failure(progress, verdict, explanation)
    if verdict.finding == Finding.GONE:
        return fail(failure.error, failure.message, reasons=failure.reasons, progress=progress)
    if verdict.finding == Finding.ECS_ROLLED_BACK and service:
        better = _better(fallbacks, service.in_use) if service.rolls_back_itself else None
        return update(progress.returning_to(better, failure)) if better else _returned(progress, failure, service)
    if not progress.rollback:
        message = (
            f"{failure.message} rollback is off in the request, so ECS goes on trying {short(progress.revision)}: "
            f"deploy another image, or {short(progress.replaced)}, which ran before."
        )
        return fail(failure.error, message, reasons=failure.reasons, progress=progress, rolled_back=False)
    return update(progress.returning_to(fallbacks[0], failure))


def _after_rollback(
    progress: Progress,
    failure: Failure,
    verdict: Verdict,
    explanation: Explanation,
    fallbacks: Sequence[str],
    service: Service,
) -> Answer:
    if verdict.finding == Finding.STABLE:
        better = _better(fallbacks, progress.target)
        if better:
            return update(progress.returning_to(better, failure))
        message = f"{failure.message} The service was returned to {short(progress.target)} and is stable."
        return fail(failure.error, message, reasons=failure.reasons, progress=progress, rolled_back=True)
    others = [each for each in fallbacks if each != progress.target]
    if verdict.finding == Finding.ECS_ROLLED_BACK and service.in_use in others:
        better = _better(others, service.in_use)
        if not better:
            return _returned(progress, failure, service)
        return update(progress.returning_to(better, failure, after=progress.target))
    if others and verdict.finding != Finding.GONE:
        return update(progress.returning_to(others[0], failure, after=progress.target))
    why = progress.reason or verdict.finding.name.replace("_", " ").lower()
    return rollback_failed(progress, failure, (why, *explanation.reasons), service)


def _better(fallbacks: Sequence[str], revision: str) -> str | None:
    """The best of the revisions to return to, if the service has returned to another of them."""
    return fallbacks[0] if revision in fallbacks[1:] else None


def _returned(progress: Progress, failure: Failure, service: Service) -> Answer:
    message = f"{failure.message} The service is back on {short(service.in_use)}, by ECS itself or by a person."
    return fail(failure.error, message, reasons=failure.reasons, progress=progress, rolled_back=True)


def rollback_failed(progress: Progress, failure: Failure, why: Sequence[str], service: Service | None = None) -> Answer:
    """The return to the revision before did not succeed either: a person has to look."""
    seen = (
        "; ".join(
            f"{short(each.revision)} is {each.status}, {each.running} of its tasks run" for each in service.deployments
        )
        if service
        else "what runs could not be seen"
    )
    message = (
        f"{failure.message} The return to {short(progress.target)} failed too: {why[0].rstrip('.')}. Look at the "
        f"service {progress.service} of the cluster {progress.cluster} now: {seen or 'it has no deployment'}."
    )
    return fail("RollbackFailed", message, reasons=(*failure.reasons, *why), progress=progress, rolled_back=False)


def _failure(progress: Progress, verdict: Verdict, explanation: Explanation) -> Failure:
    what = f"{short(progress.revision)} ({progress.image}) on {progress.service} of the cluster {progress.cluster}"
    if verdict.finding == Finding.GONE:
        return Failure("DeploymentFailed", f"{what} did not become stable: {verdict.reason}.", (str(verdict.reason),))
    if verdict.finding == Finding.TIMED_OUT:
        message = f"{what} was not stable after {progress.timeout} seconds: {explanation.cause}"
        return Failure("DeploymentTimedOut", message, explanation.reasons)
    return Failure("DeploymentFailed", f"{what} did not become stable: {explanation.cause}", explanation.reasons)
