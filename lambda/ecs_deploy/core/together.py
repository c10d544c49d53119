"""Services that are deployed as one: each is checked before any is updated, and all return if one of them fails.

A member has an execution of its own for each phase, so that it is deployed by the rules that any request has. All have
the place of the group's request in the order of requests.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Self

from ecs_deploy.core.decision import Outcome
from ecs_deploy.core.errors import Error

AT_ONCE = 40
"""Executions of members at a time: more would use up the quotas of ECS and of Step Functions."""
_LONGEST_MESSAGE = 1_000


class Phase(StrEnum):
    """What the members' executions do."""

    CHECK = "CHECK"
    DEPLOY = "DEPLOY"
    RETURN = "RETURN"


class Member(NamedTuple):
    """A service of a group, with the container that is to change if one is named. `order` says who goes first.

    `before` is the revision that was stable when it was checked. Its execution of the phase was `started`, and `ended`
    by this outcome or error. `deployed` is how it ended the phase before. It `stays` where it is not to be returned.
    """

    cluster: str
    service: str
    container: str = ""
    order: int = 0
    stays: bool = False
    before: str = ""
    started: bool = False
    ended: str = ""
    deployed: str = ""

    @property
    def key(self) -> str:
        """The service's name in the table."""
        return f"{self.cluster}/{self.service}"


class End(NamedTuple):
    """How an execution of a member has ended: its outcome or error, the message of an error.

    Of a check, `would_end` is the outcome without a deployment, if that would be one, and `before` what is stable.
    """

    name: str
    message: str = ""
    would_end: str = ""
    before: str = ""


class Group(NamedTuple):
    """The members, and how far they are. `message` is why the first of them failed."""

    members: tuple[Member, ...]
    since: datetime
    phase: Phase = Phase.CHECK
    message: str = ""

    def with_members(self, members: Iterable[Member]) -> Self:
        return self._replace(members=tuple(members))


class Goes(NamedTuple):
    """It goes on: executions of these members are to be started, by their numbers."""

    group: Group
    starts: tuple[int, ...]


class Done(NamedTuple):
    """It is over: by an outcome, or an error with its message; `reasons` name each member's end."""

    group: Group
    end: Outcome | Error
    reasons: tuple[str, ...]
    message: str = ""


_WELL = frozenset(Outcome)
_NOT_DEPLOYED = "not deployed"


def running(group: Group) -> tuple[int, ...]:
    """The members whose executions have started and not ended, by their numbers."""
    return tuple(number for number, each in enumerate(group.members) if each.started and not each.ended)


def started(group: Group, number: int) -> Group:
    """The execution of a member was started."""
    return _with(group, number, group.members[number]._replace(started=True))


def noted(group: Group, ends: Mapping[int, End]) -> Group:
    """Executions of members have ended."""
    for number, end in ends.items():
        ended = end.would_end if group.phase is Phase.CHECK and end.would_end else end.name
        before = end.before or group.members[number].before
        group = _with(group, number, group.members[number]._replace(ended=ended, before=before))
        if end.name not in _WELL and not group.message:
            group = group._replace(message=f"{group.members[number].key}: {end.message}"[:_LONGEST_MESSAGE])
    return group


def rule(group: Group) -> Goes | Done:
    """What comes next, by how the executions of the phase have ended."""
    match group.phase:
        case Phase.CHECK:
            return _checked(group)
        case Phase.DEPLOY:
            return _deployed(group)
        case Phase.RETURN:
            return _returned(group)


def _checked(group: Group) -> Goes | Done:
    if not all(each.ended for each in group.members):
        return _next(group, lowest_first=False)
    if failed := [each for each in group.members if each.ended not in _WELL]:
        error = Error(failed[0].ended) if failed[0].ended in set(Error) else Error.DEPLOYMENT_FAILED
        return Done(
            group, error, _reasons(group), f"Nothing was changed, since one of them cannot be deployed. {group.message}"
        )
    if any(each.ended == Outcome.HELD for each in group.members):
        return Done(group, Outcome.HELD, _reasons(group))
    # Whoever would end without a deployment does so by itself, as of then.
    return rule(_entered(group, Phase.DEPLOY))


def _deployed(group: Group) -> Goes | Done:
    failed = [each for each in group.members if each.ended and not _is_well_deployed(each)]
    if failed and running(group):
        return Goes(group, ())
    if failed:
        return rule(_entered(group, Phase.RETURN))
    if not all(each.ended for each in group.members):
        return _next(group, lowest_first=True)
    ends = {each.ended for each in group.members}
    outcome = next((each for each in (Outcome.SUPERSEDED, Outcome.DEPLOYED) if each in ends), Outcome.UNCHANGED)
    return Done(group, outcome, _reasons(group))


def _is_well_deployed(member: Member) -> bool:
    return member.ended in {Outcome.DEPLOYED, Outcome.SUPERSEDED, Outcome.UNCHANGED}


def _returned(group: Group) -> Goes | Done:
    wanted = set(_to_return(group))
    group = group.with_members(
        each if number in wanted else each._replace(started=True, ended=each.deployed or _NOT_DEPLOYED)
        for number, each in enumerate(group.members)
    )
    if not all(each.ended for each in group.members):
        return _next(group, lowest_first=False)
    broken = [group.members[number].key for number in wanted if group.members[number].ended not in _WELL]
    back = [group.members[number].key for number in sorted(wanted) if group.members[number].ended in _WELL]
    message = f"The group was not deployed: one of its services failed. {group.message}"
    if back:
        message += f" Returned to what ran before: {', '.join(back)}."
    if stay := [each.key for each in group.members if each.stays and each.deployed == Outcome.DEPLOYED]:
        message += f" Not returned, since rollback is off: {', '.join(stay)}."
    if broken:
        message += f" The return failed too: {', '.join(sorted(broken))}. Look at these services now."
    return Done(group, Error.ROLLBACK_FAILED if broken else Error.DEPLOYMENT_FAILED, _reasons(group), message)


def _to_return(group: Group) -> list[int]:
    """The members to return, one of each service.

    Also those that something newer has displaced: if that fails in turn, they are not to be started again alone.
    """
    found: dict[str, int] = {}
    for number, each in enumerate(group.members):
        if each.before and not each.stays and each.deployed in {Outcome.DEPLOYED, Outcome.SUPERSEDED}:
            found.setdefault(each.key, number)
    return list(found.values())


def _entered(group: Group, phase: Phase) -> Group:
    members = [each._replace(started=False, ended="", deployed=each.ended) for each in group.members]
    return group._replace(phase=phase).with_members(members)


def _next(group: Group, *, lowest_first: bool) -> Goes:
    """Start as many as may run at once; with `lowest_first`, only those of the lowest order that has not ended."""
    waiting = [number for number, each in enumerate(group.members) if not each.started]
    if lowest_first:
        lowest = min(each.order for each in group.members if not each.ended)
        waiting = [number for number in waiting if group.members[number].order == lowest]
    return Goes(group, tuple(waiting[: AT_ONCE - len(running(group))]))


def _reasons(group: Group) -> tuple[str, ...]:
    """How each member has ended."""
    if group.phase is not Phase.RETURN:
        return tuple(f"{each.key}: {each.ended}" for each in group.members)
    back = {each for each in group.members if each.deployed == Outcome.DEPLOYED and not each.stays}
    return tuple(
        f"{each.key}: {each.deployed or _NOT_DEPLOYED}{', returned' if each in back else ''}" for each in group.members
    )


def _with(group: Group, number: int, member: Member) -> Group:
    return group.with_members((*group.members[:number], member, *group.members[number + 1 :]))


def end_of(status: str, output: Mapping[str, Any], error: str, cause: Mapping[str, Any]) -> End | None:
    """Read how an execution has ended; None while it runs.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
    """
    if status in {"RUNNING", "PENDING_REDRIVE"}:
        return None
    if status != "SUCCEEDED":
        return End(error or status, str(cause.get("message") or f"its execution has ended as {status}"))
    shown = output.get("shown") or {}
    return End(
        str(output.get("outcome", "")), would_end=str(shown.get("ends") or ""), before=str(shown.get("stable") or "")
    )
