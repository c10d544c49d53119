"""The diagnosis of a failed rollout: what its tasks, the service's events and the last log lines say, in order.

The messages that ECS gives to stopped tasks:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ecs_deploy.core.plan import Explanation
from ecs_deploy.core.service import Event, Task

MOST_REASON_BYTES = 4_000
_LONGEST_REASON = 600
# A shorter value, such as "1" or "on", says nothing and stands in most texts.
_SHORTEST_PRIVATE = 4
_ARRIVED = {"RUNNING", "STOPPED"}

# Ids make equal messages differ; without them they can be counted.
_IDS = re.compile(
    r"arn:aws[\w-]*:ecs:[\w:/.-]+|\b[0-9a-f]{32}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|ecs-svc/\w+"
)
# Events that tell of trouble; the others say that tasks were started, stopped or registered.
_TROUBLE = re.compile(
    r"unable|unhealthy|fail|error|insufficient|denied|not found|could not|deregistered .* due to", re.IGNORECASE
)


class LogStream(NamedTuple):
    """Where a container of a task logs to in CloudWatch Logs."""

    group: str
    stream: str
    region: str | None


class Observed(NamedTuple):
    """What could be read about a rollout. `lines` are the last ones of the log of the container that died."""

    said: str
    tasks: tuple[Task, ...]
    events: tuple[Event, ...]
    lines: tuple[str, ...] = ()
    unseen: str | None = None


class _Cause(NamedTuple):
    """A common cause: how it is recognised, what it is, and what to do."""

    pattern: re.Pattern[str]
    what: str
    step: str


_CAUSES = (
    _Cause(
        re.compile(
            r"CannotPull.*(denied|unauthorized|forbidden|403|no basic auth|AccessDenied)"
            r"|unable to retrieve ecr registry auth.*(denied|not authorized)",
            re.IGNORECASE | re.DOTALL,
        ),
        "the image cannot be pulled: no permission",
        "Give the task's execution role the right to pull from the registry.",
    ),
    _Cause(
        re.compile(
            r"CannotPull.*(not found|not exist|manifest unknown|no such image|404|NotFound)|ImageNotFound",
            re.IGNORECASE | re.DOTALL,
        ),
        "the image cannot be pulled: it is not there",
        "Push the image, or correct its repository and tag.",
    ),
    _Cause(
        re.compile(r"CannotPull", re.IGNORECASE),
        "the image cannot be pulled",
        "Check the registry, the image's architecture, and the tasks' way to the registry.",
    ),
    _Cause(
        re.compile(
            r"ResourceInitializationError.*(secret|ssm|parameter)|unable to (pull|retrieve) secrets",
            re.IGNORECASE | re.DOTALL,
        ),
        "the secrets of the task definition cannot be read",
        "Check their ARNs, the execution role's permissions, and the tasks' way to Secrets Manager and SSM.",
    ),
    _Cause(
        re.compile(r"OutOfMemory|out of memory|OOM", re.IGNORECASE),
        "a container runs out of memory",
        "Raise the memory of the task or the container, or use less of it.",
    ),
    _Cause(
        re.compile(r"health check|unhealthy", re.IGNORECASE),
        "the tasks fail their health check",
        "Check the path and the port of the health check, and give the tasks more time by its grace period.",
    ),
    _Cause(
        re.compile(
            r"unable to place|RESOURCE:|Capacity is unavailable|insufficient.*capacity|no container instances?",
            re.IGNORECASE,
        ),
        "there is no capacity to place the tasks",
        "Add capacity, or ask for less CPU and memory.",
    ),
    _Cause(
        re.compile(r"exit code (\d+)|Essential container in task exited", re.IGNORECASE),
        "a container exits on its start",
        "Read the last lines of its log and start the image with the same environment.",
    ),
)


def diagnose(observed: Observed, revision: str, private: Iterable[str]) -> Explanation:
    """Explain the failure of `revision`; `private` are texts that must not be told, such as values of the environment.

    The reasons are grouped, the most frequent and telling first, and at most 4,000 bytes together.
    """
    own = [task for task in observed.tasks if task.revision == revision]
    failed = Counter(_stop(task) for task in own if task.has_failed)
    # In a crash loop there is always a next one on its way.
    on_their_way = [task for task in own if task.status not in _ARRIVED or task.health == "UNHEALTHY"]
    stuck = Counter(_stuck(task) for task in on_their_way if not failed)
    events = Counter(_anonymous(event.message) for event in observed.events if _TROUBLE.search(event.message))
    reasons = [*_counted(failed, "stopped"), *_counted(stuck, "running or on its way"), *_counted(events, "event")]
    reasons += [f"last line of the log: {line}" for line in observed.lines[-1:]]
    reasons += [text for text in (observed.unseen, observed.said) if text]
    redacted = [_redacted(reason, private)[:_LONGEST_REASON] for reason in reasons]
    kept = _within(redacted, MOST_REASON_BYTES)
    return Explanation(_cause(kept), kept)


def log_stream(document: Mapping[str, Any], task: Task) -> LogStream | None:
    """Where the container that made `task` fail logs to, if it logs to CloudWatch Logs by a stream name of its own.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specify-log-config.html
    """
    died = next((each.name for each in task.containers if each.exit_code), None)
    container: Mapping[str, Any] = next((each for each in document["containerDefinitions"] if each["name"] == died), {})
    configuration = container.get("logConfiguration") or {}
    options = configuration.get("options") or {}
    if configuration.get("logDriver") != "awslogs" or not {"awslogs-group", "awslogs-stream-prefix"} <= options.keys():
        return None
    task_id = task.arn.rpartition("/")[2]
    stream = f"{options['awslogs-stream-prefix']}/{died}/{task_id}"
    return LogStream(options["awslogs-group"], stream, options.get("awslogs-region"))


def private_values(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of the environment in a task definition, which may be secrets though they should not."""
    variables = [pair for each in document["containerDefinitions"] for pair in each.get("environment") or ()]
    return tuple(pair["value"] for pair in variables if pair.get("value"))


def _stop(task: Task) -> str:
    exits = "; ".join(
        f"container {each.name}"
        + (f" ended with exit code {each.exit_code}" if each.exit_code is not None else "")
        + (f" ({each.reason})" if each.reason else "")
        for each in task.containers
        if each.exit_code or each.reason
    )
    told = _anonymous(task.stopped_reason or task.stop_code or "no reason given")
    code = f"{task.stop_code}: " if task.stop_code and task.stop_code not in told else ""
    return _anonymous(f"{code}{told}" + (f"; {exits}" if exits else ""))


def _stuck(task: Task) -> str:
    return f"the task is {task.status}" + (
        " and unhealthy" if task.health == "UNHEALTHY" else " and does not get further"
    )


def _anonymous(text: str) -> str:
    return _IDS.sub("…", text).strip()


def _counted(texts: Counter[str], what: str) -> list[str]:
    return [f"{count} x {what}: {text}" for text, count in texts.most_common()]


def _redacted(text: str, private: Iterable[str]) -> str:
    """`text` without the private values, and without what reads like a credential."""
    # The longest first: one value may be a part of another.
    for value in sorted(private, key=len, reverse=True):
        if len(value) >= _SHORTEST_PRIVATE:
            text = text.replace(value, "***")
    return _CREDENTIAL.sub(lambda found: f"{found['key'] or ''}***", text)


_CREDENTIAL = re.compile(
    r"(?P<key>(?i:\b[\w-]*(?:passw(?:or)?d|secret|token|api[_-]?key|credential)[\w-]*[\"']?\s*[=:]\s*[\"']?))[^\s\"',;]+"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]+"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)


def _cause(reasons: Sequence[str]) -> str:
    """The likely cause and the next step, by the first reason that tells of a common one."""
    for reason in reasons:
        for cause in _CAUSES:
            if cause.pattern.search(reason):
                return f"{cause.what} ({reason}). {cause.step}"
    return f"{reasons[0].rstrip('.')}."


def _within(reasons: Sequence[str], most: int) -> tuple[str, ...]:
    kept: list[str] = []
    for reason in reasons:
        most -= len(reason.encode())
        if most < 0:
            break
        kept.append(reason)
    return tuple(kept)
