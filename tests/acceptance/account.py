"""An account with the throwaway stack in it, an emulated or a real one, and the service of a scenario."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from tests.acceptance import NAME, images
from tests.acceptance.stack import repository_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

DEADLINE_SECONDS = 900.0
EVENTS_SECONDS = 60.0


class NeverSo(Exception):
    """What was waited for did not come."""


@dataclass(frozen=True)
class Account:
    """How to reach the account.

    `outputs` are the stack's; `seconds` is how often something is read while it is waited for; a change of a policy is
    in force everywhere after `propagation` seconds.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
    """

    client: Callable[[str], Any]
    outputs: Mapping[str, str]
    seconds: float
    propagation: float
    received: list[dict[str, Any]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def events(self) -> list[dict[str, Any]]:
        """Give all events of ECS that have come so far."""
        sqs, url = self.client("sqs"), self.outputs["EventsUrl"]
        with self.lock:
            while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
                for each in messages:
                    self.received.append(json.loads(each["Body"]))
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
            return list(self.received)

    def propagated(self) -> None:
        """Wait until a change of a policy is in force."""
        time.sleep(self.propagation)

    def wait(self, what: str, read: Callable[[], T | None]) -> T:
        """Read until there is something; gives it. Raises `NeverSo`."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (found := read()):
            if time.monotonic() > deadline:
                raise NeverSo(f"{what}: not so within {DEADLINE_SECONDS:.0f} seconds")
            time.sleep(self.seconds)
        return found


@dataclass(frozen=True)
class Service:
    """The service of a scenario: one task, which runs the image `first` of its repository."""

    account: Account
    name: str
    known: set[str] = field(default_factory=set)

    @property
    def ecs(self) -> Any:
        """The client for ECS."""
        return self.account.client("ecs")

    @property
    def image(self) -> str:
        """The image without a tag."""
        repositories = self.account.client("ecr").describe_repositories(repositoryNames=[repository_of(self.name)])
        return str(repositories["repositories"][0]["repositoryUri"])

    @property
    def role(self) -> str:
        """The ARN of its tasks' role, which no other service has."""
        return self.account.outputs[f"Role{self.name.title().replace('-', '')}"]

    def create(self, *, breaker: bool = False) -> str:
        """Make it, and wait until it is stable; gives the digest that it runs."""
        digest, outputs = self.push("first"), self.account.outputs
        log = {
            "awslogs-group": outputs["LogGroup"],
            "awslogs-region": self.ecs.meta.region_name,
            "awslogs-stream-prefix": self.name,
        }
        container = {
            "name": "app",
            "image": f"{self.image}:first",
            "essential": True,
            # The first process of a container ignores SIGTERM where it has no handler for it:
            # https://man7.org/linux/man-pages/man7/pid_namespaces.7.html
            "stopTimeout": 2,
            "logConfiguration": {"logDriver": "awslogs", "options": log},
        }
        registered = self.ecs.register_task_definition(
            family=f"{NAME}-{self.name}",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            executionRoleArn=outputs["ExecutionRole"],
            taskRoleArn=self.role,
            containerDefinitions=[container],
        )
        network = {
            "subnets": outputs["Subnets"].split(","),
            "securityGroups": [outputs["SecurityGroup"]],
            "assignPublicIp": "ENABLED",
        }
        self.ecs.create_service(
            cluster=NAME,
            serviceName=self.name,
            taskDefinition=registered["taskDefinition"]["taskDefinitionArn"],
            desiredCount=1,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": network},
            deploymentConfiguration={"deploymentCircuitBreaker": {"enable": breaker, "rollback": breaker}},
        )
        self.wait_stable()
        return digest

    def add_hook(self, hook: Mapping[str, Any]) -> None:
        """Give it a lifecycle hook, which makes no deployment; its first one might wait for a hook as well.

        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html
        """
        self.ecs.update_service(cluster=NAME, service=self.name, deploymentConfiguration={"lifecycleHooks": [hook]})

    def push(self, tag: str, behaviour: images.Behaviour = "run") -> str:
        """Push an image; gives its digest. A tag that begins with `v` is deployed."""
        return images.push(self.account.client("ecr"), repository_of(self.name), tag, behaviour)

    def describe(self) -> dict[str, Any]:
        """Give the service as DescribeServices shows it."""
        found: dict[str, Any] = self.ecs.describe_services(cluster=NAME, services=[self.name])["services"][0]
        return found

    def primary(self) -> dict[str, Any]:
        """Give the primary deployment."""
        return next(each for each in self.describe()["deployments"] if each["status"] == "PRIMARY")

    def wait_stable(self) -> None:
        """Wait until there is one deployment, completed."""

        def is_stable() -> bool:
            return [each.get("rolloutState") for each in self.describe()["deployments"]] == ["COMPLETED"]

        self.account.wait(f"{self.name} is stable", is_stable)

    def digests(self) -> set[str]:
        """Give the digests that the running tasks report."""
        arns = self.ecs.list_tasks(cluster=NAME, serviceName=self.name)["taskArns"]
        tasks = self.ecs.describe_tasks(cluster=NAME, tasks=arns)["tasks"] if arns else []
        return {container.get("imageDigest", "none") for task in tasks for container in task["containers"]}

    def start(self, **request: object) -> dict[str, Any]:
        """Start an execution by hand; gives it when it has ended."""
        started = self.account.client("stepfunctions").start_execution(
            stateMachineArn=self.account.outputs["StateMachineArn"],
            input=json.dumps({"cluster": NAME, "service": self.name, **request}),
        )
        self.known.add(started["executionArn"])
        return self.ended(started["executionArn"])

    def events(self, kind: str, *texts: str, wanted: int = 1) -> list[dict[str, Any]]:
        """Give the events of a kind that hold all texts, once so many have come, or those of a minute."""
        deadline = time.monotonic() + EVENTS_SECONDS
        while True:
            of_kind = [each for each in self.account.events() if each["detail-type"] == kind]
            found = [each for each in of_kind if all(text in json.dumps(each) for text in texts)]
            if len(found) >= wanted or time.monotonic() > deadline:
                return found
            time.sleep(self.account.seconds)

    def pushed(self, tag: str, behaviour: images.Behaviour = "run") -> tuple[str, dict[str, Any]]:
        """Push an image that is deployed; gives its digest, and the execution when it has ended."""
        digest = self.push(tag, behaviour)
        return digest, self.ended(self.started(digest))

    def started(self, digest: str) -> str:
        """Give the execution that the push of a digest starts, which is listed among the newest.

        https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListExecutions.html
        """
        states = self.account.client("stepfunctions")

        def find() -> str | None:
            listed = states.list_executions(stateMachineArn=self.account.outputs["StateMachineArn"])["executions"]
            for arn in [each["executionArn"] for each in listed if each["executionArn"] not in self.known]:
                request = json.loads(states.describe_execution(executionArn=arn)["input"])
                self.known.add(arn)
                if request["service"] == self.name and request.get("push", {}).get("digest") == digest:
                    return str(arn)
            return None

        return self.account.wait(f"the push of {digest} starts an execution for {self.name}", find)

    def ended(self, arn: str) -> dict[str, Any]:
        """Give an execution when it has ended, with its `output` or `cause` read."""

        def read() -> dict[str, Any] | None:
            execution: dict[str, Any] = self.account.client("stepfunctions").describe_execution(executionArn=arn)
            return None if execution["status"] == "RUNNING" else execution

        execution = self.account.wait(f"the end of {arn}", read)
        for key in ("output", "cause"):
            execution[key] = json.loads(execution.get(key) or "{}")
        return execution

    def entered(self, arn: str) -> list[str]:
        """Give the names of the states that an execution has entered."""
        pages = self.account.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
        events = [event for page in pages for event in page["events"]]
        return [each["stateEnteredEventDetails"]["name"] for each in events if "stateEnteredEventDetails" in each]
