"""Each update of a service is a service deployment, which a PAUSE hook holds back until somebody continues it.

The emulator has neither. Rolling deployments have them here, hooks before the new tasks start (PRE_SCALE_UP) only, and
ContinueServiceDeployment knows CONTINUE.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pause-lifecycle-hooks.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContinueServiceDeployment.html
"""

from __future__ import annotations

import importlib
import time
import uuid
from typing import TYPE_CHECKING, Any

from local.emulator import answers, ecs_events

if TYPE_CHECKING:
    from local.emulator.answers import Answer
    from local.emulator.seams import Function, Seams

ECS = "ministack.services.ecs"
STAGE = "PRE_SCALE_UP"
DAY_SECONDS = 86_400

Record = dict[str, Any]

# The service deployments by ARN, the oldest first.
_made: dict[str, Record] = {}


def declare(seams: Seams) -> None:
    """Answer what the emulator answers with nothing."""
    seams.attributes(ECS, "_services")
    seams.replace(hold, ECS, "_reconcile_service_tasks", "cluster_name", "svc_key")
    seams.replace(lambda _original: listed, ECS, "_list_service_deployments", "data")
    seams.replace(lambda _original: described, ECS, "_describe_service_deployments", "data")
    seams.replace(lambda _original: revisions, ECS, "_describe_service_revisions", "data")
    seams.replace(add_continue, ECS, "_dispatch_action", "action", "data")


def hold(original: Function) -> Function:
    """Start no task of a deployment that waits for a hook."""

    def reconcile(cluster: str, key: str) -> None:
        service = ecs()._services.get(key)
        if service and service["status"] == "ACTIVE" and waits(begin(service)):
            return
        original(cluster, key)

    return reconcile


def begin(service: Record) -> Record | None:
    """Give the service deployment of what the service is on its way to, made if it is new; a rollback has none."""
    primary = next(one for one in service["deployments"] if one["status"] == "PRIMARY")
    if "_rolls_back_to" in primary:
        return None
    arn, revision = (f"{place_of(service, kind)}/{primary['id'].rpartition('/')[2]}" for kind in KINDS)
    if arn not in _made:
        configuration = service.get("deploymentConfiguration") or {}
        hooks = [one for one in configuration.get("lifecycleHooks", []) if pauses(one)]
        _made[arn] = {
            "arn": arn,
            "service": service["serviceArn"],
            "deployment": primary["id"],
            "revision": revision,
            "taskDefinition": primary["taskDefinition"],
            "createdAt": time.time(),
            "hooks": [waiting(each) for each in hooks],
            "status": "",
        }
        ecs_events.deployment(service, primary["id"], "IN_PROGRESS")
        for each in _made[arn]["hooks"]:
            ecs_events.hook(service["serviceArn"], arn, each["hookId"])
    return _made[arn]


KINDS = ("service-deployment", "service-revision")


def place_of(service: Record, kind: str) -> str:
    """Give the beginning of the ARNs of what belongs to a service."""
    return str(service["serviceArn"]).replace(":service/", f":{kind}/")


def pauses(hook: Record) -> bool:
    """Tell whether a hook pauses before the new tasks start."""
    return hook["targetType"] == "PAUSE" and STAGE in hook["lifecycleStages"]


def waiting(hook: Record) -> Record:
    """Give the details of a hook that waits for somebody."""
    timeout = hook.get("timeoutConfiguration", {})
    seconds = timeout.get("timeoutInMinutes", DAY_SECONDS // 60) * 60
    return {
        "hookId": f"ecs-pause-{uuid.uuid4().hex}",
        "targetType": "PAUSE",
        "status": "AWAITING_ACTION",
        "expiresAt": time.time() + seconds,
        "timeoutAction": timeout.get("action", "ROLLBACK"),
    }


def waits(made: Record | None) -> bool:
    """Tell whether a service deployment waits for a hook."""
    return made is not None and any(hook["status"] == "AWAITING_ACTION" for hook in made["hooks"])


def complete(service: Record, primary: Record) -> None:
    """Note that a deployment is complete: one of its own, or the return from one that failed."""
    for made in _made.values():
        if made["service"] != service["serviceArn"]:
            continue
        if made["deployment"] == primary["id"]:
            made |= {"status": "SUCCESSFUL", "finishedAt": time.time()}
        elif "_rolls_back_to" in primary and made["status"] == "ROLLBACK_IN_PROGRESS":
            made |= {"status": "ROLLBACK_SUCCESSFUL", "finishedAt": time.time()}


def fail(service: Record, deployment: str) -> None:
    """Note that the circuit breaker has stopped a deployment."""
    breaker = service["deploymentConfiguration"]["deploymentCircuitBreaker"]
    for made in _made.values():
        if (made["service"], made["deployment"]) == (service["serviceArn"], deployment):
            made["status"] = "ROLLBACK_IN_PROGRESS" if breaker.get("rollback") else "STOPPED"


def listed(data: Record) -> Answer:
    """List the service deployments of a service, the newest first."""
    name = data["service"].rpartition("/")[2]
    suffix = f":service/{data.get('cluster', 'default').rpartition('/')[2]}/{name}"
    after = data.get("createdAt", {}).get("after", 0)
    found = [one for one in _made.values() if one["service"].endswith(suffix) and one["createdAt"] > after]
    brief = [
        {**shown(one), "targetServiceRevisionArn": one["revision"]}
        for one in reversed(found)
        if status_of(one) in data.get("status", [status_of(one)])
    ]
    return answers.document({"serviceDeployments": brief[: data.get("maxResults", 100)]})


def described(data: Record) -> Answer:
    """Describe service deployments, with the hooks of each."""
    found = [_made[arn] for arn in data["serviceDeploymentArns"] if arn in _made]
    whole = [
        {
            **shown(one),
            "targetServiceRevision": {"arn": one["revision"]},
            "lifecycleStage": STAGE if waits(one) else "SCALE_UP",
            "lifecycleHookDetails": one["hooks"],
        }
        for one in found
    ]
    return answers.document({"serviceDeployments": whole})


def revisions(data: Record) -> Answer:
    """Describe service revisions by the task definition of each."""
    found = [one for one in _made.values() if one["revision"] in data["serviceRevisionArns"]]
    whole = [{"serviceRevisionArn": one["revision"], "taskDefinition": one["taskDefinition"]} for one in found]
    return answers.document({"serviceRevisions": whole})


def shown(made: Record) -> Record:
    """Give what a list and a description have in common."""
    ended = {"finishedAt": made["finishedAt"]} if "finishedAt" in made else {}
    return {
        "serviceDeploymentArn": made["arn"],
        "serviceArn": made["service"],
        "createdAt": made["createdAt"],
        "status": status_of(made),
        **ended,
    }


def status_of(made: Record) -> str:
    """Give the status of a service deployment; one whose place another took has stopped."""
    if made["status"]:
        return str(made["status"])
    service = next((one for one in ecs()._services.values() if one["serviceArn"] == made["service"]), None)
    ids = [one["id"] for one in service["deployments"] if one["status"] == "PRIMARY"] if service else []
    return "IN_PROGRESS" if made["deployment"] in ids else "STOPPED"


def add_continue(original: Function) -> Function:
    """Let a person continue what waits for a hook."""

    def dispatch(action: str, data: Record) -> Any:
        if action != "ContinueServiceDeployment":
            return original(action, data)
        made = _made.get(data["serviceDeploymentArn"])
        hooks = [one for one in made["hooks"] if one["hookId"] == data["hookId"]] if made else []
        if not made or not hooks or hooks[0]["status"] != "AWAITING_ACTION" or data.get("action") == "ROLLBACK":
            return answers.error("InvalidParameterException", "There is no such hook that waits, or not for this.")
        hooks[0]["status"] = "SUCCEEDED"
        _, cluster, name = made["service"].rsplit("/", 2)
        # The replaced one, which runs while no other of the scheduler does.
        ecs()._reconcile_service_tasks(cluster, f"{cluster}/{name}")
        return answers.document({"serviceDeploymentArn": made["arn"]})

    return dispatch


def ecs() -> Any:
    """Give the emulator's ECS."""
    return importlib.import_module(ECS)
