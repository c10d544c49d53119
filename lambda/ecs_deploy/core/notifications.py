"""The notifications of an execution: that it starts to deploy, and how it ended. Each is the detail of an event.

docs/started-event.schema.json and docs/outcome-event.schema.json say what is in them; the tests hold them to it. An
event of EventBridge has a size limit, and an execution must not fail over its notification, so all texts are cut.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html

`title` and `message` are for people, and plain: EventBridge puts them into templates and escapes nothing, so they hold
no character that JSON would escape, and none that a chat would take for markup.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Self

from ecs_deploy.core.decision import End, Fail, Outcome, Succeed, seconds_between
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import DeployError
from ecs_deploy.core.formats import instant, short
from ecs_deploy.core.plan import Plan, Rollout
from ecs_deploy.core.service_deployment import Hook

Detail = dict[str, Any]

MOST_TITLE, MOST_MESSAGE, MOST_REASON, MOST_REASONS, MOST_IMAGE = 250, 2_000, 600, 20, 1_024
_MOST_READABLE = 256
# What can be repeated of a request that was refused.
_READABLE = ("cluster", "service", "image", "tag", "container", "revision", "together")
_PLAIN = str.maketrans({'"': "'", "\\": "/", "<": "(", ">": ")", "`": "'"})


class Case(NamedTuple):
    """An execution to notify people of. `request` is the checked one, or what is readable of one that was refused."""

    execution: str
    request: Mapping[str, Any]
    requested_at: datetime
    started_at: datetime

    @classmethod
    def opened(cls, document: object, execution: Mapping[str, str], environment: Environment) -> Self:
        """The case of an execution that has done nothing yet."""
        # The other steps never need it, and each start would wait for it.
        from ecs_deploy.core.request import parse  # noqa: PLC0415

        started_at = datetime.fromisoformat(execution["startedAt"])
        try:
            request = parse(document, environment)
        except DeployError:
            return cls(execution["id"], _readable(document), started_at, started_at)
        return cls(execution["id"], request.as_json(), request.push.time if request.push else started_at, started_at)

    @classmethod
    def of(cls, plan: Plan) -> Self:
        return cls(plan.execution, plan.request, plan.candidate.requested_at, plan.candidate.started_at)

    @property
    def where(self) -> str:
        """The service, as a person says it."""
        if "together" in self.request and "service" not in self.request:
            return f"the group {self.request['together']}"
        if "service" not in self.request or "cluster" not in self.request:
            return "a request that names no service"
        return f"{self.request['service']} in {self.request['cluster']}"

    def as_json(self) -> Detail:
        """What every notification says of its execution."""
        return {
            "execution": self.execution,
            "request": dict(self.request),
            "cluster": self.request.get("cluster"),
            "service": self.request.get("service"),
            "requestedAt": instant(self.requested_at),
            "startedAt": instant(self.started_at),
        }


def started(plan: Plan) -> Detail:
    """Notify that a deployment begins, before the service is touched."""
    message = f"{_name(plan.image)} is rolled out as {short(plan.revision)}, in place of {short(plan.base.revision)}."
    warnings = f" Note: {'; '.join(plan.warnings)}." if plan.warnings else ""
    return _on_its_way(plan, "STARTED", message + warnings)


def paused(plan: Plan, rollout: Rollout, hook: Hook) -> Detail:
    """Notify that a hook waits for a person, and of what happens when nobody decides.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContinueServiceDeployment.html
    """
    expires_at = instant(hook.expires_at) if hook.expires_at else None
    then = "goes on" if hook.timeout_action == "CONTINUE" else "rolls back"
    message = (
        f"{_name(plan.image)} waits for a decision. {rollout.reason}. At {expires_at or 'its timeout'} ECS {then} by "
        f"itself. To decide: ecs-deploy approve -c {plan.cluster} -n {plan.service} {_name_of(plan.execution)} (or "
        f"reject, with the reason), or aws ecs continue-service-deployment --service-deployment-arn "
        f"{rollout.service_deployment} --hook-id {hook.id} --action CONTINUE (or ROLLBACK)."
    )
    return {
        **_on_its_way(plan, "PAUSED", message),
        "hook": hook.id,
        "serviceDeployment": rollout.service_deployment,
        "expiresAt": expires_at,
        "timeoutAction": hook.timeout_action,
    }


def asking(case: Case, asked: Mapping[str, Any]) -> Detail:
    """Ask people for approval: of what, until when, and how to answer."""
    cluster, service, execution = case.request["cluster"], case.request["service"], _name_of(case.execution)
    changes = "; ".join(f"{each['member']}: {each.get('after', 'changed')}" for each in asked["differences"])
    message = (
        f"{_name(asked['image'])} waits for approval until {asked['expiresAt']}. What would change: {changes}. "
        f"To answer: ecs-deploy approve -c {cluster} -n {service} {execution} (or reject, with the reason)."
    )
    return {
        **case.as_json(),
        "title": plain(f"APPROVAL: {case.where}", MOST_TITLE),
        "message": plain(message, MOST_MESSAGE),
        **{key: asked[key] for key in ("digest", "expiresAt")},
        "image": _cut(asked["image"], MOST_IMAGE),
        "differences": [
            {key: _cut(str(value), MOST_REASON) for key, value in each.items() if value is not None}
            for each in asked["differences"][:MOST_REASONS]
        ],
        "approve": {"cluster": cluster, "service": service, "approve": execution},
        "reject": {"cluster": cluster, "service": service, "reject": execution, "why": "the reason"},
    }


def _name_of(execution: str) -> str:
    """The name in the ARN of an execution."""
    return execution.rpartition(":")[2]


def _on_its_way(plan: Plan, what: str, message: str) -> Detail:
    case = Case.of(plan)
    return {
        **case.as_json(),
        "title": plain(f"{what}: {case.where}", MOST_TITLE),
        "message": plain(f"{case.where}: {message}", MOST_MESSAGE),
        "image": _cut(plan.image, MOST_IMAGE),
        "digest": plan.candidate.digest or None,
        "revision": plan.revision,
        "replaced": plan.replaced,
        "reasons": [_cut(each, MOST_REASON) for each in plan.warnings[:MOST_REASONS]],
    }


def outcome(case: Case, end: End, now: datetime) -> Detail:
    """Notify of an end, refusals included."""
    match end:
        case Succeed(members, reasons, repeated):
            name, status, message = members["outcome"], "SUCCEEDED", _sentence(case, members, reasons, now)
        case Fail(error, members):
            name, status, message, reasons = error, "FAILED", members["message"], tuple(members["reasons"])
            repeated = False
    return {
        **case.as_json(),
        "outcome": str(name),
        "status": status,
        "title": plain(f"{name}: {case.where}", MOST_TITLE),
        "message": plain(message, MOST_MESSAGE),
        "reasons": [_cut(reason, MOST_REASON) for reason in reasons[:MOST_REASONS]],
        "image": _cut(members["image"] or case.request.get("image") or "", MOST_IMAGE) or None,
        "digest": members["digest"],
        "revision": members["revision"],
        "replaced": members["replaced"],
        "deployment": members.get("deployment"),
        "rolledBack": members.get("rolledBack"),
        # What the output says: it was made a moment before.
        "seconds": members.get("seconds", seconds_between(case.started_at, now)),
        "repeated": repeated,
        "leadTime": seconds_between(case.requested_at, now) if name == Outcome.DEPLOYED else None,
    }


def plain(text: str, most: int) -> str:
    """`text` in one line that means the same in JSON, in a template of EventBridge and in a chat."""
    return _cut(" ".join("".join(_printable(text.translate(_PLAIN))).split()), most)


def _sentence(case: Case, end: Mapping[str, Any], reasons: Iterable[str], now: datetime) -> str:
    image = _name(end["image"] or "the revision that was asked for")
    why = "; ".join(reasons)
    if "together" in end:
        return f"{case.where}: {image}. {why}."
    match Outcome(end["outcome"]):
        case Outcome.DEPLOYED:
            since = "after the push" if "push" in case.request else "after it was requested"
            revisions = f"{short(end['revision'])}, before {short(end['replaced'])}"
            told = f" Note: {why}." if why else ""
            seconds = seconds_between(case.requested_at, now)
            return f"{case.where} runs {image} ({revisions}), {seconds:.0f} s {since}.{told}"
        case Outcome.SUPERSEDED:
            undone = "Nothing was undone" if end["revision"] else "Nothing was changed"
            return f"{image} is not what {case.where} shall run any more: {why}. {undone}."
        case Outcome.UNCHANGED:
            return f"{image} was not deployed again to {case.where}: {why}. Nothing was changed."
        case Outcome.HELD if end["image"]:
            return f"{image} was not deployed to {case.where}: {why}. It is started when the hold is released."
        case Outcome.APPROVED | Outcome.REJECTED:
            return f"{case.where}: {why}."
        case Outcome.HELD | Outcome.RELEASED | Outcome.REHEARSED | Outcome.STATUS | Outcome.HISTORY:
            return f"{case.where}: {why}."


def _name(image: str) -> str:
    """An image without its registry, which everybody knows."""
    return image.rpartition("/")[2]


def _readable(document: object) -> dict[str, Any]:
    """The texts of a refused request, which may hold anything of any size."""
    request = document if isinstance(document, dict) else {}
    return {key: _cut(request[key], _MOST_READABLE) for key in _READABLE if isinstance(request.get(key), str)}


def _cut(text: str, most: int) -> str:
    # Half of a surrogate pair is JSON, and no text.
    whole = text.encode(errors="replace").decode()
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"


def _printable(text: str) -> Iterable[str]:
    return (each if each.isprintable() else " " for each in text)
