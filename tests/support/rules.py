"""Builders for the tables of cases of the rules: what is not said is ordinary, and minutes are after noon.

Revisions are named by their number, deployments by that of the revision that they bring in.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecs_deploy.core.errors import Error
from ecs_deploy.core.plan import Failure, Plan, Rollout
from ecs_deploy.core.service import Deployment, Service
from ecs_deploy.core.state import Base, Candidate, Entry, Intent, Owner, Phase, Result, Stable, State


def table(names: str, rows: Mapping[str, Any]) -> pytest.MarkDecorator:
    """A table of cases for a test: each row is the arguments, by a sentence that names it."""
    return pytest.mark.parametrize(names, list(rows.values()), ids=list(rows))


def typed(value: Any) -> Any:
    """A value with the names of its types: named tuples of two types are equal if their members are."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value).__name__, {name: typed(each) for name, each in zip(value._fields, value, strict=True)}
    if isinstance(value, Mapping):
        return {key: typed(each) for key, each in value.items()}
    return [typed(each) for each in value] if isinstance(value, tuple | list) else value


NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def at(minutes: float = 0, seconds: float = 0) -> datetime:
    """A moment after noon."""
    return NOON + timedelta(minutes=minutes, seconds=seconds)


def td(number: int) -> str:
    """The ARN of a revision."""
    return f"arn:aws:ecs:eu-west-1:123456789012:task-definition/doorman:{number}"


def asked(
    execution: str,
    minutes: float = 0,
    *,
    request: str = "",
    started: float | None = None,
    digest: str = "",
    failed: float | None = None,
) -> Candidate:
    """A request by hand of that minute, which an execution has started for."""
    return Candidate(
        execution=execution,
        request=request or f"request of {execution}",
        requested_at=at(minutes),
        started_at=at(minutes if started is None else started),
        digest=digest,
        failed_at=None if failed is None else at(failed),
    )


def pushed(
    execution: str,
    minutes: float = 0,
    *,
    request: str = "",
    started: float | None = None,
    digest: str | None = None,
    failed: float | None = None,
) -> Candidate:
    """A push of that minute, of an image of its own unless `digest` says which one."""
    return Candidate(
        execution=execution,
        request=request or f"push of {execution}",
        requested_at=at(minutes),
        started_at=at(minutes if started is None else started),
        is_push=True,
        digest=f"sha256:{execution}" if digest is None else digest,
        failed_at=None if failed is None else at(failed),
    )


def state(
    *,
    newest: Mapping[str, Candidate] | None = None,
    deployed: Mapping[str, Candidate] | None = None,
    intents: tuple[Intent, ...] = (),
    stable: Stable | None = None,
    **more: Any,
) -> State:
    """The state of a service that was first seen an hour before noon."""
    return State(
        rev=7, since=at(-60), newest=newest or {}, deployed=deployed or {}, intents=intents, stable=stable, **more
    )


def owned(execution: str, *containers: str, phase: Phase = Phase.DEPLOYING, since: float = 0) -> Owner:
    """An owner that deploys to containers, to `app` unless they are named."""
    return Owner(execution, containers or ("app",), at(since), phase)


def stable(number: int, minutes: float = 0, *, digests: Mapping[str, str] | None = None) -> Stable:
    """What was stable last, since that minute."""
    return Stable(td(number), at(minutes), digests or {})


def base(number: int, minutes: float | None = 0, *, deployment: str | None = None) -> Base:
    """The base of a revision: another revision, whose deployment was made in that minute."""
    created_at = None if minutes is None else at(minutes)
    return Base(td(number), f"ecs-svc/{number}" if deployment is None else deployment, created_at)


def intent(
    execution: str,
    number: int,
    minutes: float = 1,
    *,
    on: Base | None = None,
    containers: tuple[str, ...] = ("app",),
    noted: float | None = None,
    deployment: str | None = None,
    **more: Any,
) -> Intent:
    """A call of that minute which brings in a revision; its answer is noted if `noted` says when."""
    made = f"ecs-svc/{number}" if deployment is None else deployment
    return Intent(
        execution=execution,
        request=more.pop("request", f"push of {execution}"),
        containers=containers,
        revision=td(number),
        base=base(1) if on is None else on,
        number=more.pop("call", 0),
        invocation=more.pop("invocation", f"invocation of {execution}"),
        at=at(minutes),
        until=at(more.pop("until", minutes + 2)),
        deployment="" if noted is None else made,
        noted_at=None if noted is None else at(noted),
        displaced=td(more.pop("displaced")) if "displaced" in more else "",
    )


def deployment(
    number: int,
    minutes: float | None = 0,
    *,
    status: str = "PRIMARY",
    rollout: str | None = "COMPLETED",
    named: str = "",
    desired: int = 2,
    running: int = 2,
    pending: int = 0,
    failed: int = 0,
    reason: str | None = None,
) -> Deployment:
    """A deployment of a revision that was made in that minute."""
    return Deployment(
        id=named or f"ecs-svc/{number}",
        status=status,
        revision=td(number),
        desired=desired,
        pending=pending,
        running=running,
        failed_tasks=failed,
        rollout_state=rollout,
        rollout_reason=reason,
        created_at=None if minutes is None else at(minutes),
    )


def displaced(number: int, minutes: float | None = 0, **more: Any) -> Deployment:
    """A deployment that another one has taken the place of, and whose tasks are still there."""
    return deployment(number, minutes, status="ACTIVE", **more)


def service(*deployments: Deployment, bake: float = 0, **more: Any) -> Service:
    """A service that rolls, with its deployments; it runs the first revision unless they are named."""
    listed = deployments or (deployment(1),)
    return Service(
        name="doorman-service",
        cluster="production1",
        status="ACTIVE",
        controller="ECS",
        strategy="ROLLING",
        own_time=timedelta(minutes=bake),
        desired=2,
        revision=listed[0].revision,
        service_deployment="",
        has_circuit_breaker=False,
        has_load_balancer=False,
        succeeds_early=False,
        has_hooks=False,
        rolls_back_itself=False,
        deployments=listed,
        events=(),
    )._replace(**more)


def shifting(number: int, **more: Any) -> Service:
    """A service whose traffic ECS shifts: it lists no deployments."""
    return service(strategy="BLUE_GREEN", revision=td(number), **more)._replace(deployments=())


def plan(
    execution: str = "mine",
    number: int = 2,
    *,
    on: Base | None = None,
    containers: tuple[str, ...] = ("app",),
    candidate: Candidate | None = None,
    **more: Any,
) -> Plan:
    """The plan of a push that brings in the second revision, made from the first one."""
    made_from = base(1) if on is None else on
    return Plan(
        candidate=candidate or pushed(execution),
        cluster="production1",
        service="doorman-service",
        request={"cluster": "production1", "service": "doorman-service"},
        containers=containers,
        image="doorman:2",
        revision=td(number),
        base=made_from,
        replaced=made_from.revision,
        timeout=600,
        rollback=more.pop("rollback", True),
        **more,
    )


def deploying(number: int = 2, updated: float | None = 1, **more: Any) -> Rollout:
    """A rollout that brings in the second revision, since that minute."""
    return Rollout(
        Phase.DEPLOYING,
        td(number),
        deployment=f"ecs-svc/{number}",
        updated_at=None if updated is None else at(updated),
        **more,
    )


FAILED = Failure(Error.DEPLOYMENT_FAILED, "It did not become stable.", ("a task stopped",))


def returning(number: int = 1, updated: float | None = 5, **more: Any) -> Rollout:
    """A rollout that brings back the first revision, since that minute."""
    return Rollout(
        Phase.RETURNING,
        td(number),
        deployment=f"ecs-svc/return-to-{number}",
        updated_at=None if updated is None else at(updated),
        failure=more.pop("failure", FAILED),
        **more,
    )


def entry(
    candidate: Candidate,
    result: Result | None = Result.DEPLOYED,
    *,
    containers: tuple[str, ...] = ("app",),
    again: Mapping[str, Any] | None = None,
    number: int | None = 2,
    replaced: int | None = 1,
    ended: float | None = None,
) -> Entry:
    """An execution in the history of its service, which ended a minute after it was asked for."""
    ended_at = candidate.requested_at + timedelta(minutes=1) if ended is None else at(ended)
    return Entry(
        candidate=candidate,
        containers=containers,
        again={"again": candidate.execution} if again is None else again,
        image="doorman:2",
        revision=td(number) if number else "",
        replaced=td(replaced) if replaced else "",
        result=result,
        ended_at=ended_at if result else None,
    )
