"""What an event of ECS says to whoever waits for a service: that events arrive, and whether to poll now.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pause-lifecycle-hooks.html (ECS Hook State Change)
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ecs_deploy.core.service import Task

# A single failed task can be chance; ECS's own circuit breaker starts counting at three too:
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
FAILURES = 3

GROUP = "ecs-deploy"
"""Tasks that the deployer runs before or after an update are in a group of this name and the service's."""

_BEGINS = "SERVICE_DEPLOYMENT_IN_PROGRESS"


class Signals(NamedTuple):
    """What has come for a service: the number of signals to poll, when the latest event was sent, and `failures`.

    Those are tasks that failed, of the deployment with the most of them, since an execution ended or was displaced.
    """

    number: int = 0
    heard_at: datetime | None = None
    failures: int = 0


class Signal(NamedTuple):
    """What an event says of the service `key`; `ends_wait` unless there is nothing to poll for yet.

    `failed` is the deployment that a task has failed of.
    """

    key: str
    at: datetime
    ends_wait: bool
    failed: str = ""


def signal_of(event: Mapping[str, Any]) -> Signal | None:
    """Read an event; None for one that is of no service, or of a task of a service that did not fail."""
    detail, at = event["detail"], datetime.fromisoformat(event["time"])
    key = next(_services_of(event), None)
    if key is None:
        return None
    if event["detail-type"] != "ECS Task State Change":
        return Signal(key, at, ends_wait=detail.get("eventName") != _BEGINS)
    task = Task.described(detail)
    if detail.get("group", "").startswith(f"{GROUP}:"):
        return Signal(key, at, ends_wait=task.status == "STOPPED")
    return Signal(key, at, ends_wait=False, failed=task.started_by) if task.has_failed else None


def is_reason(failures: int) -> bool:
    """Whether so many failed tasks of a deployment are reason to poll: three, and each time they have doubled.

    ECS may send an event several times, so that nine of them may be three failures:
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_cwe_events.html
    """
    if failures <= 3 * FAILURES:
        return failures >= FAILURES
    times, rest = divmod(failures, FAILURES)
    return rest == 0 and times & (times - 1) == 0


# Where the event of a hook names its service is documented nowhere: any ARN of it will do.
_ARN = re.compile(r"arn:[^:]+:ecs:[^:]*:[^:]*:(?:service|service-deployment|service-revision)/([^/]+)/([^/]+)")


def _services_of(event: Mapping[str, Any]) -> Iterator[str]:
    """The services that an event names, as cluster/service."""
    detail = event["detail"]
    group = detail.get("group", "")
    kind, _, service = group.partition(":")
    if kind in {"service", GROUP}:
        yield f"{detail['clusterArn'].rpartition('/')[2]}/{service}"
    for arn in (*event["resources"], *detail.values()):
        if isinstance(arn, str) and (found := _ARN.match(arn)):
            yield "/".join(found.groups())
