"""The diagnosis of a failed rollout: what its tasks, the service's events and the last log lines say, in order.

core/causes.py knows what they mean.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ecs_deploy.core.causes import Cause, cause_of, cause_of_exit
from ecs_deploy.core.formats import short
from ecs_deploy.core.plan import Explanation
from ecs_deploy.core.service import Container, Event, Task

MOST_REASON_BYTES = 4_000
_LONGEST_REASON = 600
# A shorter value, such as "1" or "on", says nothing and stands in most texts.
_SHORTEST_PRIVATE = 4
_ARRIVED = {"RUNNING", "STOPPED"}
# By SIGTERM and SIGKILL: so ends what is stopped with the task.
_STOPPED_WITH_THE_TASK = {137, 143}

_WHAT_HOLDS_THEM = "look at the deregistration delay of the load balancer, stopTimeout, and task protection"

# Ids make equal messages differ; without them they can be counted.
_IDS = re.compile(
    r"arn:aws[\w-]*:ecs:[\w:/.-]+|\b[0-9a-f]{32}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|ecs-svc/\w+"
)
# Events that tell of trouble; the others say that tasks were started, stopped or registered.
_TROUBLE = re.compile(
    r"^\(service [^)]*\)(?: \([^)]*\))* (?:was unable|is unable|is unhealthy|failed|could not|cannot"
    r"|deregistered .* due to)|^\(service [^)]*\) .*\bunhealthy in ",
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
    document: Mapping[str, Any] = {}


def diagnose(observed: Observed, revision: str, private: Iterable[str]) -> Explanation:
    """Explain the failure of `revision`; `private` are texts that must not be told, such as values of the environment.

    The reasons are grouped, the most frequent and telling first, and at most 4,000 bytes together.
    """
    own = [task for task in observed.tasks if task.revision == revision]
    failed = [task for task in own if task.has_failed]
    # In a crash loop there is always a next one on its way.
    on_their_way = [] if failed else [t for t in own if t.status not in _ARRIVED or t.health == "UNHEALTHY"]
    troubles = [event.message for event in observed.events if _TROUBLE.match(event.message)]
    stops = Counter(_stop(task, observed.document) for task in failed)
    reasons = [*_counted(stops, "stopped"), *_counted(Counter(map(_stuck, on_their_way)), "running or on its way")]
    reasons += _counted(Counter(map(_anonymous, troubles)), "event")
    if not failed and not on_their_way:
        left = Counter(short(each.revision) for each in observed.tasks if _does_not_go(each, revision))
        reasons += [f"{count} tasks of {name} have not stopped yet: {_WHAT_HOLDS_THEM}" for name, count in left.items()]
    reasons += [f"last line of the log: {line}" for line in observed.lines[-1:]]
    reasons += [text for text in (observed.unseen, observed.said) if text]
    redacted = [_redacted(reason, private)[:_LONGEST_REASON] for reason in reasons]
    kept = _within(redacted, MOST_REASON_BYTES)
    cause = _cause(failed, troubles, observed)
    why = f"{cause.what} ({kept[0]}). {cause.step}" if cause else f"{kept[0].rstrip('.')}."
    return Explanation(why, kept)


def _cause(failed: Sequence[Task], troubles: Iterable[str], observed: Observed) -> Cause | None:
    """The likely cause: what ECS says of the tasks, what their containers ended with, what the service's events say."""
    dead = [died(task, observed.document) for task in failed]
    texts = [text for task in failed for text in (*(each.reason for each in task.containers), task.stopped_reason)]
    known = [cause for text in texts if text and (cause := cause_of(text))]
    exits = [cause_of_exit(each.exit_code) for each in dead if each and each.exit_code is not None]
    events = [cause for text in troubles if (cause := cause_of(text))]
    return next(iter((*known, *exits, *events)), None)


def died(task: Task, document: Mapping[str, Any]) -> Container | None:
    """The container that made a task fail, of its own: not one that was stopped with the task.

    ECS tells no order. So one with a reason comes first, then one that failed, then an essential one that ended.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Container.html
    """
    essential = {each["name"] for each in document.get("containerDefinitions", ()) if each.get("essential", True)}
    own = [each for each in task.containers if each.exit_code not in {None, *_STOPPED_WITH_THE_TASK}]
    by_reason = [each for each in task.containers if each.reason]
    failed = [each for each in own if each.exit_code]
    needed = [each for each in own if each.name in essential or not essential]
    killed = [each for each in task.containers if each.exit_code in _STOPPED_WITH_THE_TASK]
    alone = killed if len(task.containers) == 1 else []
    return next(iter((*by_reason, *[each for each in failed if each in needed], *failed, *needed, *alone)), None)


def log_stream(document: Mapping[str, Any], task: Task) -> LogStream | None:
    """Where the container that made `task` fail logs to, if it logs to CloudWatch Logs by a stream name of its own.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specify-log-config.html
    """
    dead = died(task, document)
    name = dead.name if dead else None
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


def _stop(task: Task, document: Mapping[str, Any]) -> str:
    dead = died(task, document)
    exits = ""
    if dead:
        ended = f" ended with exit code {dead.exit_code}" if dead.exit_code is not None else ""
        exits = f"; container {dead.name}{ended}" + (f" ({dead.reason})" if dead.reason else "")
    told = _anonymous(task.stopped_reason or task.stop_code or "no reason given")
    code = f"{task.stop_code}: " if task.stop_code and task.stop_code not in told else ""
    return _anonymous(f"{code}{told}{exits}")


def _stuck(task: Task) -> str:
    return f"the task is {task.status}" + (
        " and unhealthy" if task.health == "UNHEALTHY" else " and does not get further"
    )


def _does_not_go(task: Task, revision: str) -> bool:
    return task.revision != revision and task.status != "STOPPED"


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


def _within(reasons: Sequence[str], most: int) -> tuple[str, ...]:
    kept: list[str] = []
    for reason in reasons:
        most -= len(reason.encode())
        if most < 0:
            break
        kept.append(reason)
    return tuple(kept)
