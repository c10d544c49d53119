"""What is tried, and what the models say of it. A scenario notes facts; none of them ends it.

Facts that AWS documents nowhere end with a question mark: the deployer is right under either reading, and the report
says which one holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.acceptance import DEPLOYMENT, HOOK, NAME, SCENARIOS, TASK
from tests.acceptance.account import Service
from tests.acceptance.images import EXIT_CODE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.account import Account


class Fact(NamedTuple):
    """Something that was observed, beside what the models say."""

    scenario: str
    what: str
    expected: object
    observed: object

    @property
    def differs(self) -> bool:
        """Tell whether AWS and the models differ."""
        return self.expected != self.observed


ENDED_TASKS = 2

Facts = Iterator[tuple[str, object, object]]
"""Each in words, what the models say, and what was observed."""


def push(service: Service) -> Facts:
    """A push becomes a deployment of just that image."""
    service.create()
    digest, execution = service.pushed("v1")
    yield "outcome of a push", "DEPLOYED", outcome(execution)
    yield "digests that tasks on Fargate report?", {digest}, service.digests()
    names = {each["detail"]["eventName"] for each in service.events(DEPLOYMENT, service.primary()["id"], wanted=2)}
    yield "events of the deployment", {"SERVICE_DEPLOYMENT_IN_PROGRESS", "SERVICE_DEPLOYMENT_COMPLETED"}, names
    definition = service.ecs.describe_task_definition(taskDefinition=service.primary()["taskDefinition"])
    image = definition["taskDefinition"]["containerDefinitions"][0]["image"]
    yield "the new revision is pinned", f"{service.image}@{digest}", image
    yield "the roles stay", service.role, definition["taskDefinition"].get("taskRoleArn")


def broken(service: Service) -> Facts:
    """A broken push behind a circuit breaker is undone, and what ran before comes back."""
    digest = service.create(breaker=True)
    _, execution = service.pushed("v1", "broken")
    yield "outcome of a broken push", ("DeploymentFailed", True), failure(execution)
    service.wait_stable()
    yield "digests after the return", {digest}, service.digests()


def crash_loop(service: Service) -> Facts:
    """A container that runs and then exits is found without a circuit breaker, long before the timeout."""
    digest = service.create()
    before = service.primary()["id"]
    execution_arn = service.started(service.push("v1", "crash"))
    counted = service.account.wait("two tasks have ended", lambda: failed_tasks(service, before))
    yield "failedTasks after containers that ran and then exited?", (0,), counted
    execution = service.ended(execution_arn)
    yield "outcome of a crash loop", ("DeploymentFailed", True), failure(execution)
    stopped = service.events(TASK, execution["cause"]["revision"], '"lastStatus": "STOPPED"')
    code = stopped[0]["detail"].get("stopCode") if stopped else None
    yield "the event of a task that stopped says why", "EssentialContainerExited", code
    yield "the exit code is named", True, f"exit code {EXIT_CODE}" in execution["cause"]["message"]
    service.wait_stable()
    yield "digests after the return", {digest}, service.digests()


def revert(service: Service) -> Facts:
    """A revert brings back the digest that ran before."""
    service.create()
    first, _ = service.pushed("v1")
    _, execution = service.pushed("v2")
    yield "outcome of the second push", "DEPLOYED", outcome(execution)
    yield "outcome of the revert", "DEPLOYED", outcome(service.start(revert=True))
    service.wait_stable()
    yield "digests after the revert", {first}, service.digests()


def by_hand(service: Service) -> Facts:
    """A request by hand deploys a tag, and a wrong one changes nothing."""
    service.create()
    digest, before = service.push("hand"), service.primary()["id"]
    wrong = service.start(image=f"{service.image}:hand", timeout="soon")
    yield "error of a wrong request", "InvalidRequest", wrong.get("error")
    missing = service.start(image=f"{service.image}:nothing")
    yield "error of an image that is not there", "ImageNotFound", missing.get("error")
    yield "the service after wrong requests", before, service.primary()["id"]
    yield "outcome of a request by hand", "DEPLOYED", outcome(service.start(image=f"{service.image}:hand"))
    yield "digests after it", {digest}, service.digests()


def hook(service: Service) -> Facts:
    """People are notified of a deployment that waits for them, and it goes on when somebody continues it."""
    pause = {
        "targetType": "PAUSE",
        "lifecycleStages": ["PRE_SCALE_UP"],
        "timeoutConfiguration": {"timeoutInMinutes": 60, "action": "ROLLBACK"},
    }
    service.create()
    service.add_hook(pause)
    execution = service.started(service.push("v1"))
    waits = service.account.wait("a hook waits", lambda: waiting(service))
    sent = service.events(HOOK, service.name)
    yield "events of the hook", {"HOOK_AWAITING_ACTION"}, {each["detail"].get("eventName") for each in sent}
    arns = [service.describe()["serviceArn"]]
    yield "resources of a hook's event?", arns, sent[0]["resources"] if sent else None
    yield "rollout state of a paused rolling deployment?", "IN_PROGRESS", service.primary().get("rolloutState")
    service.account.wait("people are notified of the pause", lambda: "NotifyPause" in service.entered(execution))
    service.ecs.continue_service_deployment(**waits, action="CONTINUE")
    ended = service.ended(execution)
    yield "outcome after the pause", "DEPLOYED", outcome(ended)
    yield "notifications of the pause", 1, service.entered(execution).count("NotifyPause")


def permissions(service: Service) -> Facts:
    """An update that may not pass the tasks' role is refused by name, and works once it may."""
    service.create()
    before = service.primary()["id"]
    functions, iam = service.account.client("lambda"), service.account.client("iam")
    function = service.account.outputs["UpdateServiceFunction"]
    role = functions.get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
    denied = {"Effect": "Deny", "Action": "iam:PassRole", "Resource": service.role}
    policy = {"RoleName": role, "PolicyName": f"{NAME}-denied"}
    iam.put_role_policy(**policy, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [denied]}))
    try:
        service.account.propagated()
        _, execution = service.pushed("v1")
    finally:
        iam.delete_role_policy(**policy)
    yield "an update without iam:PassRole?", "AccessDenied", execution.get("error", outcome(execution))
    message = str(execution["cause"].get("message"))
    yield "what is missing is named", [True, True], [name in message for name in ("iam:PassRole", service.role)]
    yield "the service after it", before, service.primary()["id"]
    service.account.propagated()
    again = service.start(image=f"{service.image}:v1")
    yield "outcome once it may", "DEPLOYED", outcome(again)


RUN: dict[str, Callable[[Service], Facts]] = {
    "push": push,
    "broken": broken,
    "crash-loop": crash_loop,
    "revert": revert,
    "by-hand": by_hand,
    "hook": hook,
    "permissions": permissions,
}


def run(account: Account) -> list[Fact]:
    """Run all scenarios at once; gives what was observed, in their order."""
    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        found = list(pool.map(lambda name: facts_of(account, name), SCENARIOS))
    return [fact for facts in found for fact in facts]


def facts_of(account: Account, name: str) -> list[Fact]:
    """Run a scenario; what ends it is a fact too."""
    facts = []
    try:
        for what, expected, observed in RUN[name](Service(account, name)):
            facts.append(Fact(name, what, expected, observed))
    except Exception as problem:  # noqa: BLE001 - the other scenarios go on, and the report says it
        facts.append(Fact(name, "it comes to its end", None, f"{type(problem).__name__}: {problem}"))
    return facts


def outcome(execution: dict[str, Any]) -> str:
    """Give the outcome of an execution, or its error and message."""
    if "error" in execution:
        return f"{execution['error']}: {execution['cause'].get('message')}"
    return str(execution["output"]["outcome"])


def failure(execution: dict[str, Any]) -> tuple[Any, Any]:
    """Give the error of an execution, and whether the service was returned."""
    return execution.get("error"), execution["cause"].get("rolledBack")


def failed_tasks(service: Service, before: str) -> tuple[int, ...] | None:
    """Give what the deployment after `before` counts as failed, once two of its tasks have run and ended."""
    mine = service.primary()
    arns = service.ecs.list_tasks(cluster=NAME, serviceName=service.name, desiredStatus="STOPPED")["taskArns"]
    tasks = service.ecs.describe_tasks(cluster=NAME, tasks=arns)["tasks"] if arns else []
    ended = [each for each in tasks if each.get("startedBy") == mine["id"] and "startedAt" in each]
    return (mine["failedTasks"],) if mine["id"] != before and len(ended) >= ENDED_TASKS else None


def waiting(service: Service) -> dict[str, str] | None:
    """Give the service deployment and the hook that it waits for."""
    listed = service.ecs.list_service_deployments(cluster=NAME, service=service.name)["serviceDeployments"]
    newest = max(listed, key=lambda each: each["createdAt"])["serviceDeploymentArn"]
    (found,) = service.ecs.describe_service_deployments(serviceDeploymentArns=[newest])["serviceDeployments"]
    hooks = [each for each in found.get("lifecycleHookDetails", ()) if each["status"] == "AWAITING_ACTION"]
    return {"serviceDeploymentArn": newest, "hookId": hooks[0]["hookId"]} if hooks else None
