"""Functions may do what the policies of their roles allow, and nothing else.

The emulator enforces IAM, but only the deployed functions are to be held to it: the CDK deploys before it is switched
on. It also has to be told which resource a request to ECS or ECR is about, and which cluster, which log is read, and
which other actions a registration implies.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/supported-iam-actions-tagging.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
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

ACTIONS = "ministack.core.iam_actions"
SCOPE = "ministack.core.responses"
EVALUATOR = "ministack.core.iam_evaluator"
ENFORCED = ("access_key_id", "iam_action", "service", "region", "resource_arn", "service_context")
DENIED = (
    *("service", "action", "principal_arn", "request_id", "error_code", "message"),
    *("headers", "resource_arn", "explicit_deny", "resource_policy_arn"),
)
# Where the conditions of a request carry what it implies, from one function of the emulator to another.
IMPLIED = "local:implied"
PARAMETERS = ("service", "method", "path", "headers", "body", "query_params", "region", "account_id")


def declare(seams: Seams) -> None:
    """Name the resources of ECS, ECR and the logs."""
    seams.call(functions.RUNTIME, "execution_credentials", "config")
    seams.call(SCOPE, "get_region")
    seams.call(SCOPE, "get_account_id")
    seams.replace(extract_resource, ACTIONS, "extract_resource_arn", *PARAMETERS)
    seams.replace(add_conditions, ACTIONS, "request_tag_context", "service", "iam_action", "body", "params")
    seams.replace(check_implied, EVALUATOR, "enforce", *ENFORCED)
    seams.replace(name_implied, ACTIONS, "access_denied_response", *DENIED)


def enforce() -> None:
    """Enforce IAM from now on. The workers that run have the account's own credentials, so they end."""
    importlib.import_module("ministack.app").AUTH = True  # type: ignore[attr-defined]
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
        known = {"ecs": ecs_resource, "ecr": ecr_resource}
        find = log_stream if action == "GetLogEvents" else known.get(service)
        if not find or not body:
            arn: str = original(service, method, path, headers, body, query_params, region, account_id)
            return arn
        name = find(action, json.loads(body))
        return f"arn:aws:{service}:{region}:{account_id}:{name}" if name else "*"

    return extract_resource_arn


def add_conditions(original: Function) -> Function:
    """Add the condition keys `ecs:cluster` and `aws:TagKeys` to what is known of a request to ECS."""
    scope = importlib.import_module(SCOPE)

    def condition_keys(service: str, iam_action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
        keys: dict[str, Any] = original(service, iam_action, body, params)
        request = json.loads(body) if service == "ecs" and body else {}
        if iam_action == "ecs:TagResource":
            keys = {**keys, "aws:TagKeys": [tag["key"] for tag in request["tags"]]}
        if iam_action == "ecs:RegisterTaskDefinition":
            keys = {**keys, IMPLIED: implied(request, scope.get_region(), scope.get_account_id())}
        if "cluster" in request:
            arn = f"arn:aws:ecs:{scope.get_region()}:{scope.get_account_id()}:cluster/{last(request['cluster'])}"
            keys = {**keys, "ecs:cluster": arn}
        return keys

    return condition_keys


def implied(request: dict[str, Any], region: str, account: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Name what a registration implies: each action with its resource and its condition keys."""
    roles = [request[key] for key in ("taskRoleArn", "executionRoleArn") if request.get(key)]
    arns = [role if role.startswith("arn:") else f"arn:aws:iam::{account}:role/{role}" for role in roles]
    actions: list[tuple[str, str, dict[str, Any]]] = [
        ("iam:PassRole", arn, {"iam:PassedToService": "ecs-tasks.amazonaws.com"}) for arn in arns
    ]
    if request.get("tags"):
        revision = f"arn:aws:ecs:{region}:{account}:task-definition/{request['family']}:*"
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
        denied = original(access_key_id, iam_action, service, region, resource_arn, service_context)
        for action, arn, keys in (service_context or {}).get(IMPLIED, ()):
            if not denied and (denied := original(access_key_id, action, service, region, arn, keys)):
                _denied.set(action)
        return denied

    return enforce


def name_implied(original: Function) -> Function:
    """Name the action that was denied, which may be one that the request implies."""

    def access_denied_response(service: str, action: str, *rest: Any, **more: Any) -> object:
        return original(service, _denied.get() or action, *rest, **more)

    return access_denied_response


_denied: ContextVar[str | None] = ContextVar("denied", default=None)


def ecs_resource(action: str, request: dict[str, Any]) -> str | None:
    """Name the resource of a request to ECS; None when its action knows none."""
    name = ECS_RESOURCES.get(action)
    return name(request, last(request.get("cluster", "default"))) if name else None


ECS_RESOURCES: dict[str, Callable[[dict[str, Any], str], str]] = {
    "CreateService": lambda request, cluster: f"service/{cluster}/{request['serviceName']}",
    "DeleteService": lambda request, cluster: f"service/{cluster}/{last(request['service'])}",
    "DescribeServices": lambda request, cluster: f"service/{cluster}/{last(request['services'][0])}",
    "DescribeTasks": lambda request, cluster: f"task/{cluster}/{last(request['tasks'][0])}",
    "RegisterTaskDefinition": lambda request, _cluster: f"task-definition/{request['family']}:*",
    "TagResource": lambda request, _cluster: str(request["resourceArn"]).split(":", 5)[5],
    "UpdateService": lambda request, cluster: f"service/{cluster}/{last(request['service'])}",
}


def ecr_resource(_action: str, request: dict[str, Any]) -> str | None:
    """Name the resource of a request to ECR."""
    return f"repository/{request['repositoryName']}" if "repositoryName" in request else None


def log_stream(_action: str, request: dict[str, Any]) -> str:
    """Name the stream that is read; the emulator knows groups only."""
    return f"log-group:{request['logGroupName']}:log-stream:{request['logStreamName']}"


def last(reference: str) -> str:
    """Give the name at the end of an ARN, or the name itself."""
    return reference.rpartition("/")[2]
