"""The calls to ECS for single tasks, which are of no service."""

from typing import TYPE_CHECKING, Any

from ecs_deploy.aws import ecs
from ecs_deploy.aws.client import translating
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.service import Service, Task
from ecs_deploy.core.signals import GROUP

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(service: Service, revision: str, container: str, command: "Sequence[str]", token: str) -> str:
    """Start a task of a revision as the service would, with a command of its own; answer its ARN.

    ECS starts one for a `token`, however often it is asked to within a day, and the task can be found by it. Where the
    service has changed since, ECS refuses the token (ConflictException): the next try finds the task.
    Raises `DeployError` where it cannot be placed, too, and `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
    """
    overrides: Any = {"containerOverrides": [{"name": container, "command": [*command]}]}
    placement: Any = service.placement
    with translating(service.cluster, service.name):
        answer = ecs.connect().run_task(
            cluster=service.cluster,
            taskDefinition=revision,
            overrides=overrides,
            clientToken=token,
            startedBy=token,
            group=f"{GROUP}:{service.name}",
            **placement,
        )
    if not answer["tasks"]:
        why = "; ".join(each.get("reason", "no reason given") for each in answer["failures"])
        raise DeployError(Error.DEPLOYMENT_FAILED, f"its task could not be placed: {why}.")
    return answer["tasks"][0]["taskArn"]


def describe(cluster: str, task: str) -> Task | None:
    """Read a task; None where ECS does not show it, or not any more. Raises `DeployError`, `AwsUnavailable`.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
    """
    with translating(cluster):
        found = ecs.connect().describe_tasks(cluster=cluster, tasks=[task])["tasks"]
    return Task.described(found[0]) if found else None


def find(cluster: str, token: str) -> str | None:
    """The task that was started with a token, as long as it runs. Raises `DeployError`, `AwsUnavailable`.

    Who has started it must be the only filter, so that stopped ones cannot be asked for:
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
    """
    with translating(cluster):
        arns = ecs.connect().list_tasks(cluster=cluster, startedBy=token)["taskArns"]
    return arns[0] if arns else None


def stop(cluster: str, task: str, why: str) -> None:
    """Stop a task. Raises `DeployError`, `AwsUnavailable`.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
    """
    with translating(cluster):
        ecs.connect().stop_task(cluster=cluster, task=task, reason=why)


def pausing(cluster: str, service: str) -> tuple[str, str] | None:
    """The service deployment that waits at a hook for somebody, and the hook's id; None where none does.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/continue-service-deployment.html
    """
    with translating(cluster, service):
        listed = ecs.connect().list_service_deployments(cluster=cluster, service=service, status=["IN_PROGRESS"])
    for each in listed["serviceDeployments"]:
        arn = each["serviceDeploymentArn"]
        hooks = ecs.describe_service_deployment(arn).active_hooks
        if found := next((hook.id for hook in hooks if hook.asks_somebody), None):
            return arn, found
    return None


def decide(service_deployment: str, hook: str, *, goes_on: bool) -> None:
    """Let a service deployment that waits at a hook go on, or roll back. Raises `DeployError`, `AwsUnavailable`.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContinueServiceDeployment.html
    """
    with translating():
        ecs.connect().continue_service_deployment(
            serviceDeploymentArn=service_deployment, hookId=hook, action="CONTINUE" if goes_on else "ROLLBACK"
        )
