"""Tasks of no service, for the model of ECS: RunTask, StopTask, and what becomes of such a task.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.support.aws_error import AwsError

Document = dict[str, Any]
# ECS forgets a stopped task: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
_SHOWN = timedelta(hours=1)
# A client token is known for a day.
_KNOWN = timedelta(hours=24)


@dataclass(frozen=True)
class Ends:
    """What a task does that runs a command: it ends `after` seconds, or never, with an exit code."""

    after: float | None = 3
    exit_code: int | None = 0
    stop_code: str = "EssentialContainerExited"
    reason: str = "Essential container in task exited"
    log: tuple[str, ...] = ()


@dataclass
class SingleTask:
    """A task that somebody has run."""

    arn: str
    request: Document
    began: datetime
    ends: Ends
    stopped: datetime | None = None
    exit_code: int | None = None
    stop_code: str = ""
    reason: str = ""
    told_at: datetime | None = None
    """When it was told to end, which takes its containers `SingleTasks.stop_seconds`."""

    @property
    def is_over(self) -> bool:
        return self.stopped is not None


@dataclass
class SingleTasks:
    """The single tasks of an account. `ends` is what those do that run a command with this first word."""

    arn: str
    ends: dict[str, Ends] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    all: list[SingleTask] = field(default_factory=list)
    unshown_seconds: float = 0
    stop_seconds: float = 0

    def run(self, body: Document, now: datetime) -> Document:
        """Run a task, once for a client token."""
        placement = {"launchType", "capacityProviderStrategy"} & body.keys()
        assert len(placement) < 2, "a launch type and a strategy exclude one another"
        for each in self.all:
            if each.request["clientToken"] == body["clientToken"] and now - each.began < _KNOWN:
                if each.request != body:
                    raise AwsError("ConflictException", "The RunTask request could not be processed due to conflicts.")
                return {"tasks": [self.described(each, now)], "failures": []}
        if self.failures:
            return {"tasks": [], "failures": [{"reason": each} for each in self.failures]}
        word = body["overrides"]["containerOverrides"][0]["command"][0]
        arn = f"{self.arn}:task/{body['cluster']}/{len(self.all):032d}"
        made = SingleTask(arn, dict(body), now, self.ends.get(word, Ends()))
        self.all.append(made)
        return {"tasks": [self.described(made, now)], "failures": []}

    def stop(self, body: Document, now: datetime) -> Document:
        """Stop a task: its containers are told to end, and need not end with 0."""
        found = next((each for each in self.all if each.arn == body["task"]), None)
        if found is None:
            raise AwsError("InvalidParameterException", "The referenced task was not found.")
        if not found.is_over and found.told_at is None:
            found.told_at, found.reason = now, body["reason"]
        self.advance(now)
        return {"task": self.described(found, now)}

    def advance(self, now: datetime) -> list[SingleTask]:
        """End what ends by itself, or was told to end; answer those that have."""
        over = []
        for each in [task for task in self.all if not task.is_over]:
            told_to = each.told_at and each.told_at + timedelta(seconds=self.stop_seconds)
            by_itself = None if each.ends.after is None else each.began + timedelta(seconds=each.ends.after)
            if by_itself and by_itself <= now and (told_to is None or by_itself <= told_to):
                self._end(each, by_itself, each.ends.exit_code, each.ends.stop_code, each.ends.reason)
                over.append(each)
            elif told_to and told_to <= now:
                self._end(each, told_to, 143, "UserInitiated", each.reason)
                over.append(each)
        return over

    def listed(self, body: Document, now: datetime) -> list[str]:
        """The tasks that were started by somebody, and run."""
        assert "desiredStatus" not in body, "startedBy must be the only filter"
        return [
            each.arn
            for each in self.all
            if each.request["startedBy"] == body["startedBy"] and not each.is_over and self._is_shown(each, now)
        ]

    def find(self, arn: str, now: datetime) -> Document | None:
        """A task as it is described, as long as ECS shows it."""
        found = next((each for each in self.all if each.arn == arn), None)
        return self.described(found, now) if found and self._is_shown(found, now) else None

    def most_at_once(self) -> int:
        """How many of them have run at the same time, at most."""
        began = [each.began for each in self.all]
        return max(
            (sum(b.began <= at and (b.stopped is None or at < b.stopped) for b in self.all) for at in began), default=0
        )

    def log_of(self, task_id: str) -> tuple[str, ...] | None:
        """What a task has logged."""
        return next((each.ends.log for each in self.all if each.arn.endswith(f"/{task_id}")), None)

    def described(self, task: SingleTask, _now: datetime) -> Document:
        """A task as DescribeTasks answers it."""
        status = "STOPPED" if task.is_over else "RUNNING"
        override = task.request["overrides"]["containerOverrides"][0]
        container: Document = {"name": override["name"], "lastStatus": status}
        container |= {"exitCode": task.exit_code} if task.is_over and task.exit_code is not None else {}
        ended: Document = {"stopCode": task.stop_code, "stoppedReason": task.reason} if task.is_over else {}
        ended |= {"stoppedAt": task.stopped.timestamp()} if task.stopped else {}
        return {
            "taskArn": task.arn,
            "taskDefinitionArn": task.request["taskDefinition"],
            "startedBy": task.request["startedBy"],
            "group": task.request["group"],
            "lastStatus": status,
            "createdAt": task.began.timestamp(),
            "containers": [container],
            **ended,
        }

    def _is_shown(self, task: SingleTask, now: datetime) -> bool:
        is_young = now - task.began < timedelta(seconds=self.unshown_seconds)
        return not is_young and (task.stopped is None or now - task.stopped < _SHOWN)

    @staticmethod
    def _end(task: SingleTask, at: datetime, exit_code: int | None, stop_code: str, reason: str) -> None:
        task.stopped, task.exit_code, task.stop_code, task.reason = at, exit_code, stop_code, reason
