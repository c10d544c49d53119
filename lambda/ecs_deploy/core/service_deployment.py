"""A service deployment: what ECS tells of a deployment beside its tasks: stage, hooks, alarms, circuit breaker.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, Self


class Hook(NamedTuple):
    """A lifecycle hook: a function, or a pause until a person decides or it expires.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentLifecycleHookDetail.html
    """

    id: str
    kind: str
    function: str
    status: str
    expires_at: datetime | None
    timeout_action: str

    @classmethod
    def described(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            id=document.get("hookId", ""),
            kind=document.get("targetType", ""),
            function=document.get("targetArn", "").rpartition(":function:")[2],
            status=document.get("status", ""),
            expires_at=document.get("expiresAt"),
            timeout_action=document.get("timeoutAction", "ROLLBACK"),
        )

    @property
    def is_active(self) -> bool:
        """Whether ECS waits for it."""
        return self.status in {"AWAITING_ACTION", "IN_PROGRESS"}

    @property
    def has_failed(self) -> bool:
        return self.status in {"FAILED", "TIMED_OUT"}

    @property
    def asks_somebody(self) -> bool:
        """Whether a person has to decide."""
        return self.status == "AWAITING_ACTION"

    def __str__(self) -> str:
        return f"the hook {self.function}" if self.function else "the pause"


class ServiceRevision(NamedTuple):
    """What a service deployment brings in: the revision of the task definition, and the digests by container.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceRevision.html
    """

    revision: str
    digests: Mapping[str, str] = {}

    @classmethod
    def described(cls, document: Mapping[str, Any]) -> Self:
        images = document.get("containerImages", ())
        digests = {each["containerName"]: each["imageDigest"] for each in images if each.get("imageDigest")}
        return cls(document["taskDefinition"], digests)

    def has(self, revision: str, digests: Mapping[str, str]) -> bool:
        """Whether it is of a revision, and runs these digests as far as it knows."""
        return self.revision == revision and all(self.digests.get(name, each) == each for name, each in digests.items())


class ServiceDeployment(NamedTuple):
    """A service deployment. `failures` is what the circuit breaker has counted."""

    arn: str
    status: str
    stage: str
    reason: str | None
    created_at: datetime
    hooks: tuple[Hook, ...] = ()
    alarms: tuple[str, ...] = ()
    failures: str = ""

    @classmethod
    def described(cls, document: Mapping[str, Any]) -> Self:
        breaker = document.get("deploymentCircuitBreaker", {})
        counted = breaker.get("failureCount") and f"{breaker['failureCount']} of {breaker.get('threshold', '?')}"
        return cls(
            arn=document["serviceDeploymentArn"],
            status=document["status"],
            stage=document.get("lifecycleStage", ""),
            reason=document.get("statusReason"),
            created_at=document["createdAt"],
            hooks=tuple(Hook.described(each) for each in document.get("lifecycleHookDetails", ())),
            alarms=tuple(document.get("alarms", {}).get("triggeredAlarmNames", ())),
            failures=counted or "",
        )

    @property
    def is_under_way(self) -> bool:
        return self.status in {"PENDING", "IN_PROGRESS"}

    @property
    def is_being_undone(self) -> bool:
        return self.status in {"STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"}

    @property
    def active_hooks(self) -> tuple[Hook, ...]:
        """The hooks that ECS waits for."""
        return tuple(each for each in self.hooks if each.is_active) if self.is_under_way else ()

    @property
    def said(self) -> str:
        """What ECS says of its status."""
        said = self.reason or self.status
        return f"{self.stage}: {said}" if self.stage else said

    @property
    def stopped_by(self) -> tuple[str, ...]:
        """What stopped it, or would have: hooks, alarms, what the circuit breaker has counted."""
        hooks = [f"{each} has {each.status.lower().replace('_', ' ')}" for each in self.hooks if each.has_failed]
        alarms = [f"the alarm {each} went off" for each in self.alarms]
        breaker = [f"the circuit breaker has counted {self.failures} failures"] if self.failures else []
        return (*hooks, *alarms, *breaker)
