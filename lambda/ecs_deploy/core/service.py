"""A service, its deployments and its tasks, as ECS describes them."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

from ecs_deploy.core.errors import DeployError, Error

ROLLING = "ROLLING"


class Deployment(NamedTuple):
    """One deployment of a service.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html
    """

    id: str
    status: str
    revision: str
    desired: int
    pending: int
    running: int
    failed_tasks: int
    rollout_state: str | None
    rollout_reason: str | None
    created_at: datetime | None

    @classmethod
    def described(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            id=document["id"],
            status=document["status"],
            revision=document["taskDefinition"],
            desired=document.get("desiredCount", 0),
            pending=document.get("pendingCount", 0),
            running=document.get("runningCount", 0),
            failed_tasks=document.get("failedTasks", 0),
            rollout_state=document.get("rolloutState"),
            rollout_reason=document.get("rolloutStateReason"),
            created_at=document.get("createdAt"),
        )


class Event(NamedTuple):
    """A line of a service's event stream, of which ECS shows the latest hundred."""

    at: datetime
    message: str


class Container(NamedTuple):
    """A container of a task; the exit code is absent where it never ran or still runs.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Container.html
    """

    name: str
    exit_code: int | None
    reason: str | None
    health: str = "UNKNOWN"
    digest: str = ""

    @classmethod
    def described(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            name=document["name"],
            exit_code=document.get("exitCode"),
            reason=document.get("reason"),
            health=document.get("healthStatus", "UNKNOWN"),
            digest=document.get("imageDigest", ""),
        )


class Task(NamedTuple):
    """A task of a service: on its way, running, or stopped within the last hour.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
    """

    arn: str
    revision: str
    status: str
    health: str
    created_at: datetime | None
    started_at: datetime | None
    stopped_at: datetime | None
    stop_code: str | None
    stopped_reason: str | None
    started_by: str
    containers: tuple[Container, ...]
    pull_started_at: datetime | None = None
    pull_stopped_at: datetime | None = None

    @classmethod
    def described(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            arn=document["taskArn"],
            revision=document["taskDefinitionArn"],
            status=document.get("lastStatus", ""),
            health=document.get("healthStatus", "UNKNOWN"),
            created_at=document.get("createdAt"),
            started_at=document.get("startedAt"),
            stopped_at=document.get("stoppedAt"),
            stop_code=document.get("stopCode"),
            stopped_reason=document.get("stoppedReason"),
            started_by=document.get("startedBy", ""),
            containers=tuple(Container.described(each) for each in document["containers"]),
            pull_started_at=document.get("pullStartedAt"),
            pull_stopped_at=document.get("pullStoppedAt"),
        )

    @property
    def has_failed(self) -> bool:
        """Whether its end is a failure of what it runs: not what the scheduler, a person or lost capacity has stopped.

        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html (stopCode)
        """
        ends_by_itself = self.stop_code in {None, "EssentialContainerExited", "TaskFailedToStart"}
        by_others = (self.stopped_reason or "").startswith(_BY_OTHERS)
        return self.status == "STOPPED" and (self.failed_health_checks or (ends_by_itself and not by_others))

    @property
    def failed_health_checks(self) -> bool:
        """Whether ECS stops it since it fails its health checks; the reason alone tells: aws/containers-roadmap#612."""
        says_so = _HEALTH_CHECKS.match(self.stopped_reason or "") is not None
        return says_so and self.stop_code == "ServiceSchedulerInitiated"

    @property
    def has_lost_capacity(self) -> bool:
        """Whether what it ran on was taken away."""
        codes = {"SpotInterruption", "TerminationNotice", "InfrastructureHealth"}
        return self.stop_code in codes or (self.stopped_reason or "").startswith(_LOST_CAPACITY)


# A task whose instance goes, or that a person stops, need not have a stop code of its own.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
_LOST_CAPACITY = ("Host EC2 ", "Your Spot Task was interrupted", "Container instance deregistration")
_BY_OTHERS = (*_LOST_CAPACITY, "Task stopped by ", "Scaling activity initiated by ")
# By a load balancer, a container, or what else comes to check: "Task failed ELB health checks in (target-group …)".
_HEALTH_CHECKS = re.compile(r"Task failed (?:\S+ ){0,3}health check")


# As ECS words it; no page promises these words. Where they differ, nothing is counted:
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages.html
_STARTED = re.compile(r"has started (\d+) tasks")


class Service(NamedTuple):
    """A service as DescribeServices and UpdateService answer it.

    `placement` is where its tasks run, in the words of RunTask.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html
    """

    name: str
    cluster: str
    status: str
    controller: str
    strategy: str
    own_time: timedelta
    desired: int
    revision: str
    service_deployment: str
    has_circuit_breaker: bool
    rolls_back_itself: bool
    succeeds_early: bool
    has_hooks: bool
    has_load_balancer: bool
    deployments: tuple[Deployment, ...]
    events: tuple[Event, ...]
    tags: Mapping[str, str] = {}
    placement: Mapping[str, Any] = {}

    @classmethod
    def described(cls, document: Mapping[str, Any]) -> Self:
        configuration = document.get("deploymentConfiguration", {})
        breaker = configuration.get("deploymentCircuitBreaker", {})
        alarms = configuration.get("alarms", {})
        return cls(
            name=document["serviceName"],
            cluster=document["clusterArn"].rpartition("/")[2],
            status=document["status"],
            controller=document.get("deploymentController", {}).get("type", "ECS"),
            strategy=configuration.get("strategy", ROLLING),
            own_time=_own_time(configuration, document.get("loadBalancers", ())),
            desired=document.get("desiredCount", 0),
            revision=document.get("taskDefinition", ""),
            service_deployment=document.get("currentServiceDeployment", ""),
            has_circuit_breaker=breaker.get("enable", False),
            rolls_back_itself=any(each.get("enable") and each.get("rollback") for each in (breaker, alarms)),
            succeeds_early="earlySuccessCriteria" in configuration,
            has_hooks=bool(configuration.get("lifecycleHooks")),
            has_load_balancer=bool(document.get("loadBalancers")),
            deployments=tuple(Deployment.described(each) for each in document.get("deployments", ())),
            events=tuple(Event(each["createdAt"], each["message"]) for each in document.get("events", ())),
            tags={each["key"]: each.get("value", "") for each in document.get("tags", ())},
            placement=_placement(document),
        )

    @property
    def is_active(self) -> bool:
        """Whether it is neither deleted nor about to be."""
        return self.status == "ACTIVE"

    @property
    def is_rolling(self) -> bool:
        """Whether deployments replace tasks in place; otherwise ECS shifts traffic, in a service deployment."""
        return self.strategy == ROLLING

    @property
    def current(self) -> str:
        """The revision that new tasks are started from."""
        return self.primary.revision if self.is_rolling else self.revision

    @property
    def primary(self) -> Deployment:
        """The deployment that new tasks are started from; every active service that rolls has one."""
        return next(each for each in self.deployments if each.status == "PRIMARY")

    @property
    def displaced(self) -> str | None:
        """The revision that was current until the one that is took its place, while any of its deployment is left."""
        active = [(each.created_at, each.revision) for each in self.deployments if each.status == "ACTIVE"]
        dated = [(created_at, revision) for created_at, revision in active if created_at]
        # The first of two made in the same moment: ECS lists the newest first.
        return max(dated, key=lambda pair: pair[0])[1] if dated else None

    @property
    def last_completed(self) -> str | None:
        """The newest revision that ECS shows in a steady state; None where it shows none."""
        return next((each.revision for each in self.deployments if self.is_complete(each)), None)

    def started_since(self, moment: datetime) -> int:
        """How many tasks were started since a moment, as far as the latest events go back."""
        counts = [_STARTED.search(each.message) for each in self.events if each.at >= moment]
        return sum(int(each[1]) for each in counts if each)

    def is_complete(self, deployment: Deployment) -> bool:
        """Whether ECS calls it complete; where it tells no rollout state, whether it alone is left and all of it runs.

        Behind a Classic Load Balancer there is no rollout state:
        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html
        """
        if deployment.rollout_state is not None:
            return deployment.rollout_state == "COMPLETED"
        steady = deployment.running == self.desired and deployment.pending == 0
        return len(self.deployments) == 1 and steady

    def require_supported(self) -> None:
        """Raise `DeployError` unless ECS itself rolls the service's deployments and the service is active.

        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentController.html
        """
        what = f"The service {self.name} of the cluster {self.cluster}"
        if not self.is_active:
            raise DeployError(
                Error.UNSUPPORTED_SERVICE, f"{what} is {self.status}. Create it again, then deploy to it."
            )
        if self.controller != "ECS":
            raise DeployError(
                Error.UNSUPPORTED_SERVICE,
                f"{what} has the deployment controller {self.controller}; only services with the controller ECS can "
                "be served. Deploy it with the controller's own tool.",
            )
        if not self.revision and not self.deployments:
            # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateExpressGatewayService.html
            raise DeployError(
                Error.UNSUPPORTED_SERVICE,
                f"{what} has no task definition: it is an Express Mode service. Update its image with "
                "UpdateExpressGatewayService.",
            )


def _placement(document: Mapping[str, Any]) -> dict[str, Any]:
    """The network and the capacity of a service; a strategy and a launch type exclude one another.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
    """
    capacity = ("capacityProviderStrategy",) if document.get("capacityProviderStrategy") else ("launchType",)
    keys = (*capacity, "networkConfiguration", "platformVersion", "placementConstraints", "placementStrategy")
    return {key: document[key] for key in keys if document.get(key)}


def _own_time(configuration: Mapping[str, Any], load_balancers: Iterable[Mapping[str, Any]]) -> timedelta:
    """How long ECS itself makes a deployment wait, whatever the image does: steps of a traffic shift, bake, NLB.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
    """
    linear, canary = configuration.get("linearConfiguration", {}), configuration.get("canaryConfiguration", {})
    steps = 100 / linear.get("stepPercent", 100)
    minutes = (
        configuration.get("bakeTimeInMinutes", 0)
        + steps * linear.get("stepBakeTimeInMinutes", 0)
        + canary.get("canaryBakeTimeInMinutes", 0)
    )
    if configuration.get("strategy", ROLLING) != ROLLING and any(map(_is_nlb, load_balancers)):
        minutes += _MINUTES_OF_NLB
    return timedelta(minutes=minutes)


# Ten for the shift of the test traffic, ten for that of the production traffic:
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/nlb-resources-for-blue-green.html
_MINUTES_OF_NLB = 20


def _is_nlb(load_balancer: Mapping[str, Any]) -> bool:
    """Whether it is a Network Load Balancer, which shows in the ARN of its listener.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-listeners.html
    """
    return ":listener/net/" in load_balancer.get("advancedConfiguration", {}).get("productionListenerRule", "")
