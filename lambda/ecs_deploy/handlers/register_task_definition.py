"""The first step: check the request, take the service's turn, and register the revision that it asks for.

All that is checked is read before the turn is taken, so that a wrong request displaces nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ecs_deploy.aws import dynamodb, ecs, waits
from ecs_deploy.core import overview, promotion, request, together_request, transitions
from ecs_deploy.core.base import base_of, observed_stable
from ecs_deploy.core.codec import decode
from ecs_deploy.core.decision import Decision, Outcome, Turn, Update, WaitForTurn, as_answer, refuse, show, skip
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import AwsUnavailable, DeployError, Error
from ecs_deploy.core.formats import family, short, tag_value
from ecs_deploy.core.gate_keys import GateKeys
from ecs_deploy.core.gates import left
from ecs_deploy.core.history import ran_with, revision_before
from ecs_deploy.core.plan import Plan, Rollout
from ecs_deploy.core.poll_schedule import AFTER_SIGNAL, next_pause
from ecs_deploy.core.request import NewImage, OldRevision, Request, Revert
from ecs_deploy.core.service import Service
from ecs_deploy.core.state import EVERY_CONTAINER, Base, Candidate, Entry, Hold, Phase, Result, Stable, State
from ecs_deploy.core.task_definition import (
    Edit,
    defined,
    differences,
    edit,
    images_of,
    is_of_request,
    is_same,
    own_tags,
    pinned,
    pinned_digests,
    references,
    tags_for,
    unpinned,
)
from ecs_deploy.core.transitions import Granted, Queued, Shown, Skipped
from ecs_deploy.handlers import ending, gates, holds, images, runtime, step, table, targets, together
from ecs_deploy.handlers.images import Found

_MOST_TRIES = 5
_MOST_REVISIONS = 20


class Wanted(NamedTuple):
    """What is asked for, on top of the base: a `document` to register, or a `revision` that is there.

    `digests` are those that have to run, by container, where they are known. `written` are the images as they were
    written, where they are pinned for this deployment only. `source` is the revision that the document is of. `shown`
    are the images that run or roll out, where pushes go by versions.
    """

    containers: tuple[str, ...]
    image: str
    document: Mapping[str, Any] = {}
    revision: str = ""
    source: str = ""
    digests: Mapping[str, str] = {}
    parts: Mapping[str, tuple[str, ...] | None] = {}
    written: Mapping[str, str] = {}
    found: Found = Found()
    shown: Mapping[str, Shown] = {}


class Job(NamedTuple):
    """A checked request and its place in the order; the state and the service as they were read, the state first."""

    request: Request
    candidate: Candidate
    environment: Environment
    state: State
    service: Service
    now: datetime
    signals: int
    held: tuple[str, ...] = ()
    revert_hold: Hold | None = None

    @property
    def known(self) -> State:
        """The state as whoever takes over finds it: what is stable and watched was deployed."""
        return transitions.settled(self.state)

    @property
    def base(self) -> Base:
        return base_of(self.service, self.known, self.now)


@step.first
def handler(event: step.Event, environment: Environment) -> Decision:
    """Answer with a registered revision, a wait for the service's turn, or an end that changes nothing."""
    if together_request.is_group(event["request"]):
        return together.handle(event, environment)
    requested = request.parse(event["request"], environment)
    resumed = event.get("resumed") or {}
    candidate = (
        decode(Plan, resumed["plan"]).candidate if "plan" in resumed else _candidate(requested, event["execution"])
    )
    if "rollout" in resumed and (rollout := decode(Rollout, resumed["rollout"])).phase is Phase.RETURNING:
        return _return(decode(Plan, resumed["plan"]), rollout, event)
    if isinstance(requested.wanted, request.Hold | request.Release):
        return _hold(requested, candidate)
    if isinstance(requested.wanted, request.ShowStatus | request.ShowHistory):
        return _show(requested, candidate)
    if isinstance(requested.wanted, request.Answer):
        return gates.answer(requested, requested.wanted, candidate)
    turn = decode(Turn, resumed["turn"]) if "turn" in resumed and not requested.gates.come_first else None
    if turn and (queued := _still_waits(requested, candidate, turn)):
        return queued
    for _ in range(_MOST_TRIES):
        now = runtime.now()
        try:
            # First of all: what comes after it ends the next wait at once.
            signals = waits.read(requested.key).number if requested.gates.come_first else 0
            state = dynamodb.read_state(requested.key, now)
            service = ecs.describe_service(requested.cluster, requested.service)
            service.require_supported()
            job = Job(requested, candidate, environment, state, service, now, signals)
            return _deploy(_with_holds(job), event, resumed)
        except dynamodb.Conflict:
            runtime.logger.info("The state was written meanwhile, so all is read again")
        except DeployError as error:
            step.retry_if_new(error, event)
            _refuse(requested, candidate, error)
            raise
    raise AwsUnavailable(f"the state of {requested.key} is written by others all the time")


def _with_holds(job: Job) -> Job:
    """With the reasons why pushes wait, and the one that a revert by hand makes."""
    configured = targets.of(job.request.key, lambda: job.service.tags)
    is_sticky = isinstance(job.request.wanted, Revert) and any(each.sticky_revert for each in configured)
    hold = Hold(f"the service was reverted by {job.candidate.execution}", job.candidate.execution, job.now)
    return job._replace(held=holds.observed(configured), revert_hold=hold if is_sticky else None)


def _candidate(requested: Request, execution: Mapping[str, str]) -> Candidate:
    started_at = datetime.fromisoformat(execution["startedAt"])
    name, time = tag_value(execution["id"]), started_at
    if requested.push:
        name, time = requested.push.id, requested.push.time
    if requested.restart:
        name, time = requested.restart.request, requested.restart.time
    digest = requested.push.digest if requested.push else requested.restart.digest if requested.restart else ""
    tag = requested.wanted.image.tag if isinstance(requested.wanted, NewImage) else None
    policy = requested.push.policy if requested.push else ""
    return Candidate(
        execution["id"], name, time, started_at, requested.push is not None, digest, tag=tag or "", policy=policy
    )


def _hold(requested: Request, candidate: Candidate) -> Decision:
    """Hold or release the pushes to a service that is there."""
    service = ecs.describe_service(requested.cluster, requested.service)
    now = runtime.now()
    configured = targets.of(requested.key, lambda: service.tags)
    held = holds.observed(configured) if isinstance(requested.wanted, request.Release) else ()

    def rule(state: State) -> table.Change:
        if isinstance(requested.wanted, request.Hold):
            hold = Hold(requested.wanted.why, candidate.execution, now)
            return table.Change((Outcome.HELD, f"pushes are held: {hold.why}"), state._replace(hold=hold))
        after = transitions.released(state, candidate.started_at)
        still = "; ".join(transitions.holds(after, held))
        return table.Change((Outcome.RELEASED, f"pushes are still held: {still}" if still else "pushes go on"), after)

    outcome, why = table.change(requested.key, now, rule)
    return skip(outcome, requested.cluster, requested.service, candidate, None, now, why)


_MOST_SHOWN = 20
"""Executions of a history: what a state answers has a limit."""


def _show(requested: Request, candidate: Candidate) -> Decision:
    """Read what people have asked to see; nothing is written."""
    now, where = runtime.now(), (requested.cluster, requested.service)
    service = ecs.describe_service(*where)
    if isinstance(requested.wanted, request.ShowHistory):
        entries = dynamodb.read_history(requested.key, _MOST_SHOWN)
        why = f"{len(entries)} executions" if entries else "nothing was deployed to it yet"
        return show(Outcome.HISTORY, *where, candidate, None, now, overview.history_of(entries), why)
    service.require_supported()
    state = dynamodb.read_state(requested.key, now)
    found = ecs.describe_task_definition(service.current)
    held = transitions.holds(state, holds.observed(targets.of(requested.key, lambda: service.tags)))
    shown = overview.status_of(service, images_of(found.document), state, held)
    return show(Outcome.STATUS, *where, candidate, None, now, shown, f"it runs {short(service.current)}")


def _rehearsed(
    job: Job, candidate: Candidate, found: ecs.TaskDefinition, wanted: Wanted, ruling: transitions.TurnRuling
) -> Decision:  # fmt: skip
    """What would be done, with nothing written."""
    match ruling:
        case Skipped(outcome, why):
            then = f"it would end as {outcome}: {why}"
        case Queued():
            then = "it would wait until another execution is through, then deploy"
        case Granted():
            then = "it would be deployed"
    document = wanted.document or ecs.describe_task_definition(wanted.revision).document
    shown = {
        "base": short(found.arn),
        "stable": short(job.known.stable.revision if job.known.stable else found.arn),
        "ends": ruling.outcome if isinstance(ruling, Skipped) else None,
        "revision": short(wanted.revision) or None,
        "containers": list(wanted.containers),
        "differences": differences(found.document, document),
        "warnings": [*wanted.found.warnings, *_holds_of(job)],
        **({"gates": gates_of_it} if (gates_of_it := job.request.gates.as_json()) else {}),
    }
    where = job.request.cluster, job.request.service
    return show(Outcome.REHEARSED, *where, candidate, wanted.image, job.now, shown, then)


def _refuse(requested: Request, candidate: Candidate, error: DeployError) -> None:
    """Let others have their turn, and do not start again what cannot be done."""
    now = runtime.now()

    def rule(state: State) -> table.Change:
        is_owner = state.owner is not None and state.owner.execution == candidate.execution
        gate = state.gates.get(candidate.execution)
        if not is_owner and not gate and not requested.restart:
            return table.Change(None)
        containers = state.owner.containers if state.owner and is_owner else (EVERY_CONTAINER,)
        containers = gate.containers if gate else containers
        after = left(state, candidate.execution) if gate else None
        if is_owner:
            after = transitions.ended(transitions.failed(state, candidate, now), candidate.execution)
        answer = as_answer(refuse(error, requested.as_json()))
        again = requested.as_json()
        entry = Entry(candidate, containers, again, "", result=Result.FAILED, ended_at=now, answer=answer)
        return table.Change(None, after, entry)

    try:
        table.change(requested.key, now, rule)
    except (DeployError, AwsUnavailable) as problem:
        runtime.logger.warning("The refusal could not be written down", reason=str(problem))


def _still_waits(requested: Request, candidate: Candidate, turn: Turn) -> Decision | None:
    """A wait that a signal ends which comes after the state is read; None where it is time to ask for the turn."""
    now, signals = runtime.now(), waits.read(requested.key)
    state = dynamodb.read_state(requested.key, now)
    ruling = transitions.take_turn(state, candidate._replace(digest=turn.digest), turn.containers)
    if not isinstance(ruling, Queued):
        return None
    seconds = next_pause((now - turn.since).total_seconds(), looks=len(AFTER_SIGNAL), hears=False)
    return WaitForTurn(turn, seconds, requested.key, signals.number)


def _deploy(job: Job, event: step.Event, resumed: Mapping[str, Any]) -> Decision:
    """Take the turn, and register a revision once it is granted. Raises `Conflict`."""
    found = ecs.describe_task_definition(job.base.revision)
    stable = observed_stable(job.service, job.known, job.now)
    stable = stable and images.with_digests(stable, job.service, found)
    wanted = _wanted(job, found, stable)
    stable = stable and images.with_parts(stable, wanted.containers, wanted.found)
    candidate = job.candidate._replace(digest=wanted.found.digest)
    ruling = _ruling(job, candidate, wanted, stable)
    if job.request.gates != GateKeys() and not isinstance(ruling, Skipped):
        document = wanted.document or ecs.describe_task_definition(wanted.revision).document
        gates.check(job.request.gates, document, wanted.containers)
    if job.request.dry_run:
        return _rehearsed(job, candidate, found, wanted, ruling)
    is_owner = job.state.owner is not None and job.state.owner.execution == candidate.execution
    if job.request.gates.come_first and not is_owner:
        passed = _wait_at_gates(job, candidate, found, wanted, ruling, resumed)
        if not isinstance(passed, State):
            return passed
        job = job._replace(state=passed)
    _write(job, candidate, wanted, ruling, stable)
    match ruling:
        case Skipped(outcome, why, repeated):
            where = job.request.cluster, job.request.service
            return skip(outcome, *where, candidate, wanted.image, job.now, why, repeated=repeated)
        case Queued(containers):
            turn = Turn(containers, wanted.found.digest, job.now)
            # Where the turn is free by now, it is taken at once.
            return _still_waits(job.request, candidate, turn) or WaitForTurn(turn, 1, job.request.key, 0)
        case Granted(containers):
            if containers != wanted.containers and wanted.document:
                # A newer request has some of its containers.
                wanted = _wanted(job, found, stable, containers)
            warnings = (*wanted.found.warnings, *images.retain(job.request, wanted.found), *_holds_of(job))
            is_retried = event["attempt"] > 0 or bool(resumed)
            revision = wanted.revision or _registered(job, found, wanted, is_retried=is_retried)
            plan = _plan(job, candidate, wanted, revision, stable)._replace(warnings=warnings)
            if "plan" in resumed:
                before = decode(Rollout, resumed["rollout"])
                return Update(plan, before._replace(target=revision, deployment="", updated_at=None))
            return Update(plan, Rollout(Phase.DEPLOYING, revision), announced=False)


def _ruling(job: Job, candidate: Candidate, wanted: Wanted, stable: Stable | None) -> transitions.TurnRuling:
    """Whose turn it is."""
    if stage := _has_gone(job, candidate):
        return Skipped(Outcome.SUPERSEDED, f"{stage} does not run it any more, from which it was to be taken over")
    # What was begun gets a verdict, also where its deployment went on without its execution.
    is_begun = any(each.request == candidate.request for each in job.state.intents)
    runs = "" if is_begun else job.service.current
    return transitions.take_turn(
        job.known._replace(stable=stable), candidate, wanted.containers, runs=runs, shown=wanted.shown, held=job.held
    )


def _has_gone(job: Job, candidate: Candidate) -> str:
    """The stage that something is promoted from, if it does not run it any more: what waited may have been reverted."""
    stage, owner = job.request.promoted_from, job.state.owner
    if not stage or (owner is not None and owner.execution == candidate.execution):
        return ""
    return "" if promotion.runs(dynamodb.read_state(stage, job.now).stable, candidate.digest) else stage


def _wait_at_gates(
    job: Job, candidate: Candidate, found: ecs.TaskDefinition, wanted: Wanted, ruling: transitions.TurnRuling,
    resumed: Mapping[str, Any],
) -> Decision | State:  # fmt: skip
    """What the request has to wait for before its turn, or the state once that is passed."""
    turn = decode(Turn, resumed["turn"]) if "turn" in resumed else None
    document = wanted.document or ecs.describe_task_definition(wanted.revision).document
    gated = gates.Gated(
        key=job.request.key,
        keys=job.request.gates,
        service=job.service,
        state=job.state,
        candidate=candidate,
        containers=wanted.containers,
        image=wanted.image,
        base=found.document,
        document=document,
        entry=_entry(job, candidate, wanted, wanted.containers, None),
        signals=job.signals,
        has_asked=turn is not None and turn.has_asked,
        registers=not wanted.revision,
    )
    return gates.wait(
        gated,
        lambda: wanted.revision or _registered(job, found, wanted, is_retried=True),
        is_skipped=isinstance(ruling, Skipped),
    )


def _holds_of(job: Job) -> list[str]:
    """What people who ask for a deployment have to know of the holds."""
    if job.request.push:
        return []
    state = job.state._replace(revert_hold=job.revert_hold or job.state.revert_hold)
    why = "; ".join(transitions.holds(state, job.held))
    return [f"pushes to the service are held, which a request by hand passes: {why}"] if why else []


def _write(
    job: Job, candidate: Candidate, wanted: Wanted, ruling: transitions.TurnRuling, stable: Stable | None
) -> None:  # fmt: skip
    """Write down whose turn it is; where it was this execution's already, to see that it still is."""
    after = transitions.after_turn(
        job.state, candidate, ruling, stable, job.now, held=job.held, revert_hold=job.revert_hold
    )
    if job.state.owner and job.state.owner.execution == candidate.execution:
        table.write(job.request.key, before=job.state, state=after)
        return
    result = transitions.RESULTS[ruling.outcome] if isinstance(ruling, Skipped) else None
    containers = wanted.containers if isinstance(ruling, Skipped) else ruling.containers
    entry = _entry(job, candidate, wanted, containers, result)
    # Also where nothing changes: what was ruled has to be true of the state that others see.
    table.write(job.request.key, before=job.state, state=after, entry=entry)


def _entry(
    job: Job, candidate: Candidate, wanted: Wanted, containers: tuple[str, ...], result: Result | None
) -> Entry:  # fmt: skip
    ended_at = job.now if result else None
    return Entry(candidate, containers, _again(job, wanted), wanted.image, result=result, ended_at=ended_at)


def _again(job: Job, wanted: Wanted) -> dict[str, Any]:
    """The request that would start this again; what a revert goes back to was decided now."""
    requested = job.request.as_json()
    return {**requested, "revision": short(wanted.source)} if requested.pop("revert", None) else requested


def _return(plan: Plan, rollout: Rollout, event: step.Event) -> Decision:
    """Bring back the target of a return, with the digests that it ran with.

    Its tags may have moved, and a new deployment resolves them anew. So it is registered again where it has tags, or is
    INACTIVE: Terraform and CloudFormation deregister the revision before (aws/aws-cdk#24372).
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html (container image resolution)
    """
    state = dynamodb.read_state(plan.key, runtime.now())
    if ended := ending.lost_ownership(plan, rollout, state):
        return ended
    plan, rollout = plan.returning(state.stable, rollout.target), rollout._replace(stops="")
    found = ecs.describe_task_definition(rollout.target)
    document = pinned(found.document, plan.digests)
    # An update to what ECS was rolling back to would make no deployment.
    is_new = document != defined(found.document) or rollout.repeats > 0
    if found.document["status"] == "ACTIVE" and not is_new:
        return Update(plan, rollout)
    own = own_tags(plan.key, f"{plan.candidate.request}/return", plan.execution, plan.image)
    revision = _already_registered(found, document, own) if event["attempt"] else None
    revision = revision or ecs.register_task_definition(document, tags_for(found.tags, own))
    runtime.logger.info("Registered anew", revision=revision, instead_of=found.arn)
    written = {name: image for name, image in references(found.document).items() if name not in plan.containers}
    return Update(plan._replace(written=written), rollout._replace(target=revision))


def _already_registered(found: ecs.TaskDefinition, document: Mapping[str, Any], own: Mapping[str, str]) -> str | None:
    """The revision that an earlier try has registered, if one has."""
    for arn in ecs.revisions_after(found.arn)[:_MOST_REVISIONS]:
        there = ecs.describe_task_definition(arn)
        if is_of_request(there.tags, own) and is_same(there.document, document):
            return arn
    return None


def _wanted(job: Job, found: ecs.TaskDefinition, stable: Stable | None, among: tuple[str, ...] = ()) -> Wanted:
    match job.request.wanted:
        case NewImage(image, container):
            base = unpinned(found.document, stable.digests, stable.written) if stable else found.document
            change = edit(base, image, container, among)
            runs = _runs(job, found, stable, change)
            there = images.find(job.request, job.candidate.digest, job.environment, change, stable, runs.values())
            new = dict.fromkeys(change.containers, there.digest) if there.digest else {}
            document = pinned(change.document, new) if job.request.pin else change.document
            run = {**pinned_digests(document), **new}
            known = {**(stable.parts if stable else {}), **({there.digest: there.parts} if there.digest else {})}
            parts = {each: known.get(each) for each in run.values()}
            shown = {name: _shown(found, name, runs.get(name, ""), there, job.state) for name in change.containers}
            whole = Wanted(change.containers, str(change.image), document, digests=run, parts=parts, found=there)
            return whole._replace(shown=shown) if job.candidate.policy and change.is_newer else whole
        case OldRevision(name) if job.request.restart is None:
            return _existing(name, job.service)
        case OldRevision(name):
            return _as_it_ran(name, job, stable, dynamodb.read_history(job.request.key))
        case Revert():
            last_stable = stable.revision if stable else found.arn
            history = dynamodb.read_history(job.request.key)
            return _as_it_ran(revision_before(job.service.current, history, last_stable), job, stable, history)
    raise AssertionError(job.request.wanted)


def _runs(job: Job, found: ecs.TaskDefinition, stable: Stable | None, change: Edit) -> dict[str, str]:
    """The digests that run or roll out, of a push that goes by versions; by container, where they are known."""
    if not job.candidate.policy or not change.is_newer:
        return {}
    observed = stable.digests if stable and stable.revision == found.arn else {}
    known = {**observed, **pinned_digests(found.document)}
    return {name: known[name] for name in change.containers if name in known}


def _shown(found: ecs.TaskDefinition, container: str, digest: str, there: Found, state: State) -> Shown:
    """The image that runs or rolls out, with its tags: as it is written, as ECR has it, as it was asked for."""
    written = images_of(found.document).get(container)
    asked = (each.tag for each in (*state.newest.values(), *state.deployed.values()) if each.digest == digest)
    return Shown(digest, frozenset(filter(None, (written and written.tag, *there.tags.get(digest, ()), *asked))))


def _existing(name: str, service: Service) -> Wanted:
    """A revision as it is registered."""
    old = _described(name, service)
    status = old.document["status"]
    if status != "ACTIVE":
        raise DeployError(Error.INVALID_REQUEST, f"The revision {name} is {status}. Name one that is ACTIVE.")
    image = old.document["containerDefinitions"][0]["image"]
    return Wanted((EVERY_CONTAINER,), image, revision=old.arn, source=old.arn)


def _as_it_ran(name: str, job: Job, stable: Stable | None, history: Sequence[Entry]) -> Wanted:
    """A revision with the digests that it ran with, which is registered anew where it has others or is INACTIVE.

    What runs with the same digest now is pinned for this deployment only.
    """
    old = _described(name, job.service)
    ran, now = ran_with(old.arn, history), stable.digests if stable else {}
    known = {**ran.digests, **(now if stable and stable.revision == old.arn else {})}
    document, first = pinned(old.document, known), old.document["containerDefinitions"][0]
    wanted = Wanted(
        (EVERY_CONTAINER,),
        ran.image or first["image"],
        source=old.arn,
        digests=known,
        parts=images.parts_of(document, known, job.environment),
        found=Found(ran.digest or known.get(first["name"], "")),
    )
    if old.document["status"] == "ACTIVE" and document == defined(old.document):
        return wanted._replace(revision=old.arn)
    written = {name: image for name, image in references(old.document).items() if now.get(name, "") == known.get(name)}
    return wanted._replace(document=document, written=written)


def _described(name: str, service: Service) -> ecs.TaskDefinition:
    """A revision of the family that a service runs. Raises `DeployError`, `AwsUnavailable`."""
    if family(name) != family(service.current):
        raise DeployError(
            Error.INVALID_REQUEST,
            f"The revision {name} is not of the family {family(service.current)}, which the service runs.",
        )
    try:
        return ecs.describe_task_definition(name)
    except DeployError as error:
        if error.error is not Error.DEPLOYMENT_FAILED:
            raise
        raise DeployError(Error.INVALID_REQUEST, f"The revision {name} cannot be deployed. {error.message}") from error


def _registered(job: Job, found: ecs.TaskDefinition, wanted: Wanted, *, is_retried: bool) -> str:
    """Register the document, unless an earlier try has; `is_retried` where there may have been one."""
    request_id = job.candidate.request
    displaced = {intent.revision for intent in job.state.intents if intent.displaced}
    for intent in job.state.intents:
        # What was started again goes on with the revision of before, unless it has to be made anew.
        same = (intent.request, intent.containers) == (request_id, wanted.containers)
        fits = intent.revision == job.service.current or intent.base.revision == job.base.revision
        if same and fits and intent.revision not in displaced:
            return intent.revision
    own = own_tags(job.request.key, request_id, job.candidate.execution, wanted.image)
    if (is_retried or job.request.restart) and (earlier := _already_registered(found, wanted.document, own)):
        return earlier
    revision = ecs.register_task_definition(wanted.document, tags_for(found.tags, own))
    runtime.logger.info("Registered", revision=revision, base=found.arn, containers=wanted.containers)
    return revision


def _plan(job: Job, candidate: Candidate, wanted: Wanted, revision: str, stable: Stable | None) -> Plan:
    return Plan(
        candidate=candidate,
        cluster=job.service.cluster,
        service=job.service.name,
        request=_again(job, wanted),
        containers=wanted.containers,
        image=wanted.image,
        revision=revision,
        base=job.base,
        replaced=stable.revision if stable else job.base.revision,
        timeout=job.request.timeout,
        rollback=job.request.rollback,
        registered=not wanted.revision,
        broken_since=job.known.broken_since,
        digests=wanted.digests,
        parts=wanted.parts,
        written=wanted.written,
        copy_of=wanted.source if wanted.document else "",
    )
