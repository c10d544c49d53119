"""Functions may do what the policies of their roles allow, and nothing else.

The emulator enforces IAM, but only the deployed functions are to be held to it: the CDK deploys before it is switched
on. It also has to learn which resources a request to ECS or ECR is about, with their tags, and which cluster, which log
is read, what a registration and an update imply, and that a queue is read in the name of the function's role.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/supported-iam-actions-tagging.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html#events-sqs-permissions
"""

from __future__ import annotations

import importlib
import json
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from local.emulator import functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.emulator.seams import Function, Seams

APP = "ministack.app"
ECS = "ministack.services.ecs"
ACTIONS = "ministack.core.iam_actions"
SCOPE = "ministack.core.responses"
EVALUATOR = "ministack.core.iam_evaluator"
ENFORCED = ("access_key_id", "iam_action", "service", "region", "resource_arn", "service_context")
DENIED = (
    *("service", "action", "principal_arn", "request_id", "error_code", "message"),
    *("headers", "resource_arn", "explicit_deny", "resource_policy_arn"),
)
# What Lambda does to a queue in the name of a function's role.
CONSUMES = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
# Where the conditions of a request carry what it implies, from one function of the emulator to another.
IMPLIED = "local:implied"
PARAMETERS = ("service", "method", "path", "headers", "body", "query_params", "region", "account_id")


def declare(seams: Seams) -> None:
    """Name the resources of ECS, ECR and the logs, and what requests imply."""
    seams.attributes(APP, "AUTH")
    seams.attributes(ECS, "_tags", "_task_defs")
    seams.call(ECS, "_resolve_td_key", "ref")
    seams.call(functions.RUNTIME, "execution_credentials", "config")
    seams.call(EVALUATOR, "pin_request_origin", "source_ip", "secure_transport")
    seams.call(ACTIONS, "identity_denial_message", "action", "principal_arn", "resource", "explicit_deny")
    seams.call(SCOPE, "get_region")
    seams.call(SCOPE, "get_account_id")
    seams.replace(extract_resource, ACTIONS, "extract_resource_arn", *PARAMETERS)
    seams.replace(add_conditions, ACTIONS, "request_tag_context", "service", "iam_action", "body", "params")
    seams.replace(check_implied, EVALUATOR, "enforce", *ENFORCED)
    seams.replace(name_denied, ACTIONS, "access_denied_response", *DENIED)
    seams.replace(over_tls, APP, "pin_request_origin", "source_ip", "secure_transport")
    seams.replace(ask_role, functions.SERVICE, "_sqs_esm_concurrency", "esm", "func_rec", "config", "queue")


def enforce() -> None:
    """Enforce IAM from now on. The workers that run have the account's own credentials, so they end."""
    importlib.import_module(APP).AUTH = True  # type: ignore[attr-defined]
    functions.stop_workers()


def extract_resource(original: Function) -> Function:
    """Name the resource of a request."""

    def extract_resource_arn(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query_params: dict[str, Any],
        region: str,
        account_id: str,
    ) -> str:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        known = {"ecs": ecs_resources, "ecr": ecr_resources}
        find = log_streams if action == "GetLogEvents" else known.get(service)
        if not find or not body:
            arn: str = original(service, method, path, headers, body, query_params, region, account_id)
            return arn
        names = find(action, json.loads(body))
        return f"arn:aws:{service}:{region}:{account_id}:{names[0]}" if names else "*"

    return extract_resource_arn


def add_conditions(original: Function) -> Function:
    """Add to what is known of a request to ECS the keys `ecs:cluster`, `aws:TagKeys` and those of its resources' tags.

    It also carries what it implies.
    """
    scope = importlib.import_module(SCOPE)

    def condition_keys(service: str, iam_action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
        keys: dict[str, Any] = original(service, iam_action, body, params)
        request = json.loads(body) if service == "ecs" and body else {}
        place = f"{scope.get_region()}:{scope.get_account_id()}"
        if iam_action == "ecs:TagResource":
            keys = {**keys, "aws:TagKeys": [tag["key"] for tag in request["tags"]]}
        if "cluster" in request:
            keys = {**keys, "ecs:cluster": f"arn:aws:ecs:{place}:cluster/{last(request['cluster'])}"}
        names = ecs_resources(iam_action.rpartition(":")[2], request) if request else []
        arns = [f"arn:aws:ecs:{place}:{each}" for each in names]
        more = [(iam_action, arn, {**keys, **tags_of(arn)}) for arn in arns[1:]]
        own = tags_of(arns[0]) if arns else {}
        return {**keys, **own, IMPLIED: [*more, *implied(iam_action, request, place)]}

    return condition_keys


def tags_of(arn: str) -> dict[str, str]:
    """Give the condition keys of the tags of a resource of ECS."""
    tags = importlib.import_module(ECS)._tags.get(arn, [])
    return {f"aws:ResourceTag/{tag['key']}": tag.get("value", "") for tag in tags}


def implied(iam_action: str, request: dict[str, Any], place: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Name what a registration, an update and a task imply: each action with its resource and its condition keys.

    That an update to a revision with roles passes them is in no reference, only in what AWS answers:
    https://github.com/keidarcy/e1s/issues/429
    """
    definition: dict[str, Any] = {}
    if iam_action == "ecs:RegisterTaskDefinition":
        definition = request
    elif iam_action in {"ecs:RunTask", "ecs:UpdateService"} and "taskDefinition" in request:
        ecs = importlib.import_module(ECS)
        definition = ecs._task_defs.get(ecs._resolve_td_key(request["taskDefinition"])) or {}
    roles = [definition[key] for key in ("taskRoleArn", "executionRoleArn") if definition.get(key)]
    account = place.partition(":")[2]
    arns = [role if role.startswith("arn:") else f"arn:aws:iam::{account}:role/{role}" for role in roles]
    actions: list[tuple[str, str, dict[str, Any]]] = [
        ("iam:PassRole", arn, {"iam:PassedToService": "ecs-tasks.amazonaws.com"}) for arn in arns
    ]
    if iam_action == "ecs:RegisterTaskDefinition" and request.get("tags"):
        revision = f"arn:aws:ecs:{place}:task-definition/{request['family']}:*"
        tags = [tag["key"] for tag in request["tags"]]
        keys = {"ecs:CreateAction": "RegisterTaskDefinition", "aws:TagKeys": tags}
        actions.append(("ecs:TagResource", revision, keys))
    return actions


def check_implied(original: Function) -> Function:
    """Check what a request implies as well, and note what of it is denied."""

    def enforce(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> object:
        _denied.set(None)
        keys = service_context or {}
        for action, arn, its_keys in ((iam_action, resource_arn, keys), *keys.get(IMPLIED, ())):
            if denied := original(access_key_id, action, service, region, arn, its_keys):
                _denied.set((action, arn))
                return denied
        return None

    return enforce


def name_denied(original: Function) -> Function:
    """Name the action and the resource that were denied, in the words of AWS."""
    actions = importlib.import_module(ACTIONS)

    def access_denied_response(service: str, action: str, principal_arn: str, request_id: str, **more: Any) -> object:
        if (denied := _denied.get()) and not (more.get("error_code") or more.get("resource_policy_arn")):
            action, arn = denied
            explicit = more.get("explicit_deny", False)
            more["message"] = actions.identity_denial_message(action, principal_arn, arn, explicit)
        return original(service, action, principal_arn, request_id, **more)

    return access_denied_response


_denied: ContextVar[tuple[str, str] | None] = ContextVar("denied", default=None)


def over_tls(original: Function) -> Function:
    """Take every request for one over TLS, as all requests to AWS are: queues and topics refuse others.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-security-best-practices.html
    """
    return lambda source_ip, secure_transport: original(source_ip, secure_transport=True)  # noqa: ARG005


def ask_role(original: Function) -> Function:
    """Take no messages for a function whose role may not."""
    runtime, scope = importlib.import_module(functions.RUNTIME), importlib.import_module(SCOPE)
    evaluator = importlib.import_module(EVALUATOR)

    def batches_at_once(esm: dict[str, Any], func: object, config: dict[str, Any], queue: object = None) -> int:
        evaluator.pin_request_origin("lambda.amazonaws.com", secure_transport=True)
        key, arn = runtime.execution_credentials(config)["AWS_ACCESS_KEY_ID"], esm["EventSourceArn"]
        if any(evaluator.enforce(key, action, "sqs", scope.get_region(), arn) for action in CONSUMES):
            return 0
        return int(original(esm, func, config, queue))

    return batches_at_once


def ecs_resources(action: str, request: dict[str, Any]) -> list[str]:
    """Name the resources of a request to ECS; none when its action knows none."""
    names = ECS_RESOURCES.get(action)
    return names(request, last(request.get("cluster", "default"))) if names else []


# RegisterTaskDefinition is not among them: the reference names a resource, what AWS answers names `*`, and only a
# permission for `*` is right under both. DeregisterTaskDefinition knows none.
ECS_RESOURCES: dict[str, Callable[[dict[str, Any], str], list[str]]] = {
    "CreateService": lambda request, cluster: [f"service/{cluster}/{request['serviceName']}"],
    "DeleteService": lambda request, cluster: [f"service/{cluster}/{last(request['service'])}"],
    "DescribeServiceDeployments": lambda request, _cluster: with_services(request["serviceDeploymentArns"]),
    "DescribeServiceRevisions": lambda request, _cluster: with_services(request["serviceRevisionArns"]),
    "DescribeServices": lambda request, cluster: [f"service/{cluster}/{last(each)}" for each in request["services"]],
    "DescribeTasks": lambda request, cluster: [f"task/{cluster}/{last(each)}" for each in request["tasks"]],
    "ListServiceDeployments": lambda request, cluster: [f"service/{cluster}/{last(request['service'])}"],
    "ContinueServiceDeployment": lambda request, _cluster: with_services([request["serviceDeploymentArn"]]),
    "RunTask": lambda request, _cluster: [f"task-definition/{last(request['taskDefinition'])}"],
    "StopTask": lambda request, cluster: [f"task/{cluster}/{last(request['task'])}"],
    "StopServiceDeployment": lambda request, _cluster: with_services([request["serviceDeploymentArn"]]),
    "TagResource": lambda request, _cluster: [str(request["resourceArn"]).split(":", 5)[5]],
    "UpdateService": lambda request, cluster: [f"service/{cluster}/{last(request['service'])}"],
}


def with_services(arns: list[str]) -> list[str]:
    """Name service deployments or revisions, and the services that they are of: both are needed."""
    names = [arn.split(":", 5)[5] for arn in arns]
    services = ["/".join(["service", *name.split("/")[1:3]]) for name in names]
    return [each for pair in zip(names, services, strict=True) for each in pair]


def ecr_resources(_action: str, request: dict[str, Any]) -> list[str]:
    """Name the resource of a request to ECR."""
    return [f"repository/{request['repositoryName']}"] if "repositoryName" in request else []


def log_streams(_action: str, request: dict[str, Any]) -> list[str]:
    """Name the stream that is read; the emulator knows groups only."""
    return [f"log-group:{request['logGroupName']}:log-stream:{request['logStreamName']}"]


def last(reference: str) -> str:
    """Give the name at the end of an ARN, or the name itself."""
    return reference.rpartition("/")[2]
