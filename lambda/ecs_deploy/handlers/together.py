"""A group of services that is deployed as one: its execution starts one for each member, and waits for their ends.

It goes between the first step and the wait for a turn until the group is through, and carries how far it is.
"""

from collections.abc import Mapping
from datetime import datetime
from math import ceil
from typing import Any

from ecs_deploy.aws import stepfunctions, waits
from ecs_deploy.core import together, together_request
from ecs_deploy.core.codec import decode
from ecs_deploy.core.decision import Decision, WaitForTurn, skip
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import AwsUnavailable, DeployError, Error
from ecs_deploy.core.state import Candidate
from ecs_deploy.core.together import Done, Goes, Group
from ecs_deploy.core.together_request import GroupRequest, child_name, child_request
from ecs_deploy.handlers import runtime, targets

_OFTEN, _SELDOM, _SHARE = 5, 300, 0.02


def handle(event: Mapping[str, Any], environment: Environment) -> Decision:
    """Bring a group on: note which executions have ended, start others, and wait, or end. Raises `AwsUnavailable`."""
    execution = event["execution"]["id"]
    started_at = datetime.fromisoformat(event["execution"]["startedAt"])
    requested = together_request.parse(event["request"], execution, started_at)
    served, now = targets.served(), runtime.now()
    resumed = (event.get("resumed") or {}).get("turn")
    if resumed:
        group = decode(Group, resumed)
    else:
        group = Group(together_request.members_of(requested, served, environment), now)
    machine, _, _ = execution.replace(":execution:", ":stateMachine:").rpartition(":")
    ended = {number: _end(requested, group, number, execution) for number in together.running(group)}
    ruling = together.rule(together.noted(group, {number: end for number, end in ended.items() if end}))
    match ruling:
        case Goes(group, starts):
            for number in starts:
                member = group.members[number]
                request = child_request(requested, group, member, served, environment)
                stepfunctions.start(machine, child_name(requested, group, member), request)
                group = together.started(group, number)
            elapsed = (now - group.since).total_seconds()
            return WaitForTurn(group, ceil(min(max(_OFTEN, _SHARE * elapsed), _SELDOM)), _key(requested), 0)
        case Done():
            return _over(requested, ruling, Candidate(execution, execution, requested.requested_at, started_at), now)


def _end(requested: GroupRequest, group: Group, number: int, execution: str) -> together.End | None:
    place = execution.rpartition(":")[0]
    return stepfunctions.end_of(f"{place}:{child_name(requested, group, group.members[number])}")


def _over(requested: GroupRequest, done: Done, candidate: Candidate, now: datetime) -> Decision:
    try:
        # The tokens of its waits are left there.
        waits.end(_key(requested))
    except (DeployError, AwsUnavailable) as error:
        runtime.logger.warning("The waits of a group are left", reason=str(error))
    if isinstance(done.end, Error):
        raise DeployError(done.end, f"{done.message} ({'; '.join(done.reasons)})")
    digest = requested.push.get("digest", "")
    end = skip(done.end, "", "", candidate._replace(digest=digest), str(requested.image), now, *done.reasons)
    members = {each.key: each.ended for each in done.group.members}
    named = {"cluster": None, "service": None, "together": requested.name, "members": members}
    return end._replace(outcome={**end.outcome, **named})


def _key(requested: GroupRequest) -> str:
    """Where the tokens of its waits are: no service has such a name."""
    return f"together:{requested.name}"
