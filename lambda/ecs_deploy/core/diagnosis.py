"""The diagnosis of a failed rollout: what its tasks, the service's events and the last log lines say, in order.

core/causes.py knows what they mean.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ecs_deploy.core.causes import Cause, cause_of, cause_of_exit, cause_of_line
from ecs_deploy.core.formats import short
from ecs_deploy.core.plan import Explanation
from ecs_deploy.core.service import Container, Event, Task

MOST_REASON_BYTES = 4_000
_LONGEST_REASON = 600
# A shorter value, such as "1" or "on", says nothing and stands in most texts.
_SHORTEST_PRIVATE = 4
_ARRIVED = {"RUNNING", "STOPPED"}
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
_NOT_STOPPED = {"RUNNING", "DEACTIVATING", "STOPPING"}
# By SIGINT, SIGQUIT, SIGKILL, SIGTERM, and on Windows by Ctrl+C: so ends what is stopped with the task.
_STOPPED_WITH_THE_TASK = {130, 131, 137, 143, 3221225786}
# What ECS says of tasks that are stopped for it.
_UNHEALTHY, _LOST = "Task failed container health checks", "Your Spot Task was interrupted"

_OLD_TASKS = Cause(
    "old tasks do not stop",
    "Look at the deregistration delay of the target group, stopTimeout, and task protection.",
)

# Ids make equal messages differ; without them they can be counted.
_IDS = re.compile(
    r"arn:aws[\w-]*:ecs:[\w:/.-]+|\b[0-9a-f]{32}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|ecs-svc/\w+"
)
# Events that tell of trouble; the others say that tasks were started, stopped or registered.
_TROUBLE = re.compile(
    r"\(?service [^\s,)]+(?:, [^)]*)?\)?(?: \([^)]*\))* (?:was unable|is unable|is unhealthy|failed|could not|cannot"
    r"|operations are being throttled|Timed out waiting|deregistered .* due to)"
)


class LogStream(NamedTuple):
    """Where a container of a task logs to in CloudWatch Logs."""

    group: str
    stream: str
    region: str | None


class Observed(NamedTuple):
    """What could be read about a rollout. `lines` are the last ones of the log of the container that died.

    `deployment` is the one that started the tasks, where it is known.
    """

    said: str
    tasks: tuple[Task, ...]
    events: tuple[Event, ...]
    lines: tuple[str, ...] = ()
    unseen: str | None = None
    document: Mapping[str, Any] = {}
    deployment: str = ""


class _Statement(NamedTuple):
    """A sentence about a task or of an event, and the cause that it shows."""

    text: str
    cause: Cause | None


def diagnose(observed: Observed, revision: str, private: Iterable[str]) -> Explanation:
    """Explain the failure of `revision`; `private` are texts that nobody may read, such as values of the environment.

    The reasons are grouped, those of the cause first, then the most frequent, and at most 4,000 bytes together.
    """
    statements = _statements(observed, revision)
    cause = next((each.cause for each in statements if each.cause), None)
    reasons = [each.text for each in sorted(statements, key=lambda each: cause is not None and each.cause != cause)]
    reasons += [text for text in (observed.unseen, observed.said) if text]
    cleaned = [redacted(reason, private)[:_LONGEST_REASON] for reason in reasons]
    kept = _within(cleaned, MOST_REASON_BYTES)
    why = f"{cause.what} ({kept[0]}). {cause.step}" if cause else f"{kept[0].rstrip('.')}."
    return Explanation(why, kept)


def _statements(observed: Observed, revision: str) -> list[_Statement]:
    """All statements, the most exact first: tasks that failed, then those on their way, events, and other tasks."""
    own = own_tasks(observed, revision)
    failed = [task for task in own if task.has_failed]
    stops = _ranked("stopped", (_stop(task, observed.document) for task in failed))
    events = [event.message for event in observed.events if _TROUBLE.match(event.message)]
    troubles = _ranked("event", (_Statement(_anonymous(text), cause_of(text)) for text in events))
    lines = [_Statement(f"last line of the log: {line}", cause_of_line(line)) for line in observed.lines[-1:]]
    if failed:
        # What the container runtime says of the end tells more than its exit code.
        return sorted([*stops, *troubles, *lines], key=lambda each: not (each in lines and each.cause))
    # In a crash loop there is always a next one on its way; where tasks fail, they tell nothing.
    stuck = [task for task in own if task.status not in _ARRIVED or task.health == "UNHEALTHY"]
    lost = [_Statement(_anonymous(_why_stopped(task)), cause_of(_LOST)) for task in own if task.has_lost_capacity]
    runs = any(task.status == "RUNNING" for task in own)
    old = [task for task in observed.tasks if task not in own and task.status in _NOT_STOPPED]
    others = _ranked("lost", lost) + (_left(old) if runs and not stuck else [])
    return [*_ranked("running or on its way", map(_stuck, stuck)), *troubles, *others, *lines]


def own_tasks(observed: Observed, revision: str) -> list[Task]:
    """The tasks of the deployment: an earlier one may have had the same revision, and failed for another cause."""
    own = [task for task in observed.tasks if observed.deployment and task.started_by == observed.deployment]
    return own or [task for task in observed.tasks if task.revision == revision]


def _ranked(what: str, found: Iterable[_Statement]) -> list[_Statement]:
    """Equal ones counted: those of the most frequent cause first, and of these the most frequent."""
    counts = Counter(found)
    votes: Counter[Cause | None] = Counter()
    for each, count in counts.items():
        votes[each.cause] += count
    ranked = sorted(counts, key=lambda each: (-votes[each.cause], -counts[each]))
    return [_Statement(f"{counts[each]} x {what}: {each.text}", each.cause) for each in ranked]


def culprits(task: Task, document: Mapping[str, Any]) -> tuple[Container, ...]:
    """The containers that made a task fail, of their own: several where nothing tells which of them ended first.

    ECS tells no order. So first comes what an essential container says: a reason with a cause, a code of failure, an
    end with 0, and if it is the only one a code of being stopped, for only its end stops the task. Then comes what the
    others say, such as one that an essential one waits for. Of two that failed, one that the other depends on is first.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html (essential, dependsOn)
    """
    if task.failed_health_checks:
        return tuple(each for each in task.containers if each.health == "UNHEALTHY")
    by_name = {each["name"]: each for each in document.get("containerDefinitions", ())}
    essential = [each for each in task.containers if by_name.get(each.name, {}).get("essential", True)]
    for some in (essential, [each for each in task.containers if each not in essential]):
        killed = [each for each in some if each.exit_code in _STOPPED_WITH_THE_TASK and not each.reason]
        own = [each for each in some if each.exit_code not in {None, *_STOPPED_WITH_THE_TASK}]
        failed = [each for each in own if each.exit_code]
        names = {each.name for each in failed}
        first = [each for each in failed if not names & _waits_for(each.name, by_name)]
        known = [each for each in some if each.reason and cause_of(each.reason)]
        alone = killed if some is essential and len(some) == 1 else []
        if found := known or first or own or alone:
            return tuple(found)
    return tuple(each for each in task.containers if each.reason)


def _waits_for(name: str, by_name: Mapping[str, Any]) -> set[str]:
    """The containers that one depends on, directly or not."""
    direct = {each["containerName"] for each in by_name.get(name, {}).get("dependsOn") or ()}
    return direct.union(*(_waits_for(each, by_name) for each in direct))


def log_stream(document: Mapping[str, Any], task: Task) -> LogStream | None:
    """Where the container that made `task` fail logs to, if it logs to CloudWatch Logs by a stream name of its own.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specify-log-config.html
    """
    # A load balancer checks the task; where it has one container, that is meant.
    checked = task.containers if task.failed_health_checks and len(task.containers) == 1 else ()
    name = next((each.name for each in (*culprits(task, document), *checked)), None)
    return stream_of(document, name, task) if name else None


def stream_of(document: Mapping[str, Any], name: str, task: Task) -> LogStream | None:
    """Where the container `name` of `task` logs to, as `log_stream`."""
    container: Mapping[str, Any] = next((each for each in document["containerDefinitions"] if each["name"] == name), {})
    configuration = container.get("logConfiguration") or {}
    options = configuration.get("options") or {}
    if configuration.get("logDriver") != "awslogs" or not {"awslogs-group", "awslogs-stream-prefix"} <= options.keys():
        return None
    task_id = task.arn.rpartition("/")[2]
    stream = f"{options['awslogs-stream-prefix']}/{name}/{task_id}"
    return LogStream(options["awslogs-group"], stream, options.get("awslogs-region"))


def private_values(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of the environment in a task definition, which may be secrets though they should not."""
    variables = [pair for each in document["containerDefinitions"] for pair in each.get("environment") or ()]
    return tuple(pair["value"] for pair in variables if pair.get("value"))


def _stop(task: Task, document: Mapping[str, Any]) -> _Statement:
    """The statement about a task that stopped. What its containers say is more exact than what the task says."""
    blamed = culprits(task, document)
    if task.failed_health_checks:
        text = "".join(f"; container {each.name} is unhealthy" for each in blamed)
        return _Statement(_anonymous(_why_stopped(task) + text), cause_of(task.stopped_reason or ""))
    reasons = [text for text in (*(each.reason for each in blamed), task.stopped_reason) if text]
    known = filter(None, map(cause_of, reasons))
    exits = [cause_of_exit(each.exit_code) for each in blamed if each.exit_code is not None]
    named = blamed or [each for each in task.containers if each.exit_code is not None]
    text = "".join(f"; container {each.name}{_end(each)}" for each in named)
    return _Statement(_anonymous(_why_stopped(task) + text), next(iter((*known, *exits)), None))


def _end(container: Container) -> str:
    ended = f" ended with exit code {container.exit_code}" if container.exit_code is not None else ""
    return ended + (f" ({container.reason})" if container.reason else "")


def _why_stopped(task: Task) -> str:
    why = _anonymous(task.stopped_reason or task.stop_code or "no reason given")
    return f"{task.stop_code}: {why}" if task.stop_code and task.stop_code not in why else why


def _stuck(task: Task) -> _Statement:
    if task.health == "UNHEALTHY":
        return _Statement(f"the task is {task.status} and unhealthy", cause_of(_UNHEALTHY))
    return _Statement(f"the task is {task.status} and does not get further", None)


def _left(old: Sequence[Task]) -> list[_Statement]:
    names = Counter(short(task.revision) for task in old)
    what = "deregistration delay, stopTimeout or task protection"
    texts = (f"{count} old task{'s' * (count > 1)} ({name}) have not stopped: {what}" for name, count in names.items())
    return [_Statement(text, _OLD_TASKS) for text in texts]


def _anonymous(text: str) -> str:
    return _IDS.sub("…", text).strip()


def redacted(text: str, private: Iterable[str]) -> str:
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


def _within(reasons: Sequence[str], most: int) -> tuple[str, ...]:
    kept: list[str] = []
    for reason in reasons:
        most -= len(reason.encode())
        if most < 0:
            break
        kept.append(reason)
    return tuple(kept)
