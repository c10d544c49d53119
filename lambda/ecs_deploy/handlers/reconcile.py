"""Reconciling: start what has no verdict, what was missed, and what was applied late, by the table, ECS and ECR."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ecs_deploy.aws import dynamodb, ecr, ecs, stepfunctions
from ecs_deploy.core import gates, policy, reconciliation, request, transitions
from ecs_deploy.core.decision import Outcome
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import AwsUnavailable, DeployError, Error
from ecs_deploy.core.image import ImageReference
from ecs_deploy.core.policy import Image, Start, Target
from ecs_deploy.core.registry import Ecr
from ecs_deploy.core.state import Entry, Phase, Result, State
from ecs_deploy.core.task_definition import edit
from ecs_deploy.handlers import executions, holds, promotions, runtime, table, targets

# An event may take this long, and its execution until it is in the history, before its push counts as missed.
_GRACE = timedelta(minutes=15)
# An execution that has just started may not be shown yet.
_YOUNG = timedelta(minutes=2)
_LEAVES_SOMETHING = (Outcome.SUPERSEDED, Outcome.RELEASED)
# A service that cannot be deployed to misses nothing.
_NOTHING_TO_DEPLOY_TO = frozenset({Error.SERVICE_NOT_FOUND, Error.UNSUPPORTED_SERVICE})


def services(keys: Iterable[str], environment: Environment) -> None:
    """Look for what was missed by these services; one that cannot be read does not keep the others waiting."""
    problems = []
    for key in keys:
        try:
            if not _restart(key, {}):
                _find_missed(key, environment)
        except (DeployError, AwsUnavailable) as error:
            if isinstance(error, DeployError) and error.error in _NOTHING_TO_DEPLOY_TO:
                runtime.logger.warning("Nothing to deploy to", service=key, reason=error.message)
            else:
                runtime.logger.exception("A service could not be reconciled", service=key)
                problems.append(f"{key}: {error}")
    if problems:
        raise AwsUnavailable("; ".join(problems))


def after_execution(detail: Mapping[str, Any], environment: Environment) -> str | None:
    """Start what an execution that has ended leaves without a verdict; answer its service, by the name in the table.

    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """
    try:
        requested = request.parse(json.loads(detail.get("input") or "null"), environment)
    except DeployError:
        # It changed nothing, and ended so.
        return None
    is_settled = not any(each in (detail.get("output") or "") for each in _LEAVES_SOMETHING)
    if detail["status"] != "SUCCEEDED" or not is_settled:
        _restart(requested.key, {detail["executionArn"]: detail["status"]})
    return requested.key


def _restart(key: str, statuses: Mapping[str, str]) -> bool:
    """Start what has no verdict and is wanted; answer whether there was anything, or somebody deploys.

    `statuses` are those that executions are known to have.

    An execution is started before the death of the one that it stands for is written down, so that neither gets lost.
    """
    now = runtime.now()
    state = dynamodb.read_state(key, now)
    if state.owner:
        death = _death(state.owner.execution, state.owner.since, statuses, now)
        if death is None or dynamodb.read_state(key, now).owner != state.owner:
            # It deploys, or has ended between the two reads.
            return True
        if state.owner.phase is Phase.RETURNING and death is Result.DIED:
            executions.start(reconciliation.stable_again(state, key, state.owner.execution))
    history = dynamodb.read_history(key)
    deaths = {entry.candidate.execution: _death_of(entry, statuses, now) for entry in history if entry.result is None}
    buried = [each._replace(result=deaths.get(each.candidate.execution) or each.result) for each in history]
    given_up = reconciliation.given_up(buried)
    known = transitions.given_up(state, given_up, now)
    starts = reconciliation.restarts(buried, known)
    if starts and (held := holds.observed(targets.of(key, lambda: _tags(key)))):
        starts = reconciliation.restarts(buried, known, held)
    for start in starts:
        executions.start(start)
    for before, after in zip(history, buried, strict=True):
        if before != after:
            table.write(key, before=state, entry=after._replace(ended_at=now))

    dead = {name for name, gate in state.gates.items() if _death(name, gate.candidate.started_at, statuses, now)}

    def clear(current: State) -> table.Change:
        after = gates.without(transitions.given_up(current, given_up, now), dead, now)
        if current.owner and current.owner == state.owner:
            after = transitions.ended(after, current.owner.execution)
        return table.Change(None, after if after != current else None)

    table.change(key, now, clear)
    return bool(starts)


def _death_of(entry: Entry, statuses: Mapping[str, str], now: datetime) -> Result | None:
    return _death(entry.candidate.execution, entry.candidate.started_at, statuses, now)


def _death(execution: str, since: datetime, statuses: Mapping[str, str], now: datetime) -> Result | None:
    """How an execution ended that has left no result; None while it runs, or may."""
    status = statuses.get(execution) or stepfunctions.status_of(execution)
    if status in {"RUNNING", "PENDING_REDRIVE"} or (status is None and now - since < _YOUNG):
        return None
    return Result.STOPPED if status == "ABORTED" else Result.DIED


def _stored(repository: str, registry: Ecr | None, key: str) -> list[Image]:
    """The images of a repository; none of one in another registry whose policy does not let us look."""
    try:
        return ecr.tagged_images(repository, registry)
    except DeployError as error:
        if not registry or error.error is not Error.ACCESS_DENIED:
            raise
        runtime.logger.warning("Pushes that were missed cannot be found", service=key, reason=error.message)
        return []


def _tags(key: str) -> Mapping[str, str]:
    cluster, _, name = key.partition("/")
    return ecs.describe_service(cluster, name).tags


def _find_missed(key: str, environment: Environment) -> None:
    """Start what was pushed since the service was told what to run, and repair what was applied late."""
    now = runtime.now()
    state = dynamodb.read_state(key, now)
    if state.rev == 0:
        # What was pushed before is not rolled forward: it may have been rolled back on purpose.
        table.change(key, now, lambda state: table.Change(None, state if state.rev == 0 else None))
        return
    cluster, _, name = key.partition("/")
    service = ecs.describe_service(cluster, name)
    service.require_supported()
    if executions.start(reconciliation.repair(state, service, key)):
        return
    document = ecs.describe_task_definition(service.current).document
    known = {entry.candidate.digest for entry in dynamodb.read_history(key)}
    for target in targets.of(key, lambda: service.tags):
        if not target.repository or target.reconcile_minutes is None:
            continue
        try:
            image = ImageReference.parse(policy.image_of(target, environment))
            containers = edit(document, image, target.container).containers
        except DeployError as error:
            runtime.logger.warning("Nothing to deploy to", service=key, reason=error.message)
            continue
        after = partial(reconciliation.decided_at, state, service, containers)
        if target.promoted_from:
            _start_promotion(target, after(""), environment)
        else:
            _start_missed(target, target.repository, after, known, environment)


def _start_promotion(target: Target, after: datetime, environment: Environment) -> None:
    """Start what a target takes over, unless it was decided `after` that what it runs."""
    found, _ = promotions.of(target, environment)
    if isinstance(found, Start) and datetime.fromisoformat(found.request["push"]["time"]) > after:
        executions.start(found)


def _start_missed(
    target: Target, repository: str, after: Callable[[str], datetime], known: Collection[str], environment: Environment
) -> None:  # fmt: skip
    now, place = runtime.now(), policy.registry_of(target, environment)
    registry = None if place == Ecr(*environment) else place
    stored = _stored(repository, registry, target.key)
    images = [each for each in stored if each.pushed_at <= now - timedelta(seconds=target.min_age)]
    while start := policy.missed_push(target, images, after, now - _GRACE, known, environment):
        digest = start.request["push"]["digest"]
        if ecr.is_image(repository, digest, registry):
            if executions.start(policy.as_group(target, start)):
                runtime.count("MissedPush")
            break
        images = [each for each in images if each.digest != digest]
