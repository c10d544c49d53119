"""The rules of a task that a request runs: its exit code counts, and nothing else."""

from typing import Any

import pytest

from ecs_deploy.core import task_run
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.gate_keys import TaskKeys
from ecs_deploy.core.service import Container, Task
from ecs_deploy.core.task_run import TaskEnd, TaskVerdict
from tests.support.rules import at, table, td

ENDED = "EssentialContainerExited"


def task(status: str = "STOPPED", code: int | None = 0, stop: str | None = ENDED, said: str | None = None) -> Task:
    containers = (Container("app", code, said), Container("proxy", 137, "killed"))
    return Task("arn", td(2), status, "UNKNOWN", at(0), None, None, stop, "Essential container exited", "", containers)


RAN = TaskVerdict(TaskEnd.RUNS)


@table(
    "found, minutes, expected",
    {
        "it is on its way": (task("PENDING", None, None), 1, RAN),
        "it runs": (task("RUNNING", None, None), 9, RAN),
        "it runs for too long": (task("RUNNING", None, None), 10, TaskVerdict(TaskEnd.OVERDUE)),
        "it ended with 0": (task(), 1, TaskVerdict(TaskEnd.PASSED)),
        "it ended with 0, a moment too late": (task(), 11, TaskVerdict(TaskEnd.PASSED)),
        "it ended with 0 when it was told to stop": (
            task(stop="UserInitiated"),
            11,
            TaskVerdict(TaskEnd.FAILED, "container app ended with exit code 0; Essential container exited"),
        ),
        "it ended with 1": (
            task(code=1),
            1,
            TaskVerdict(TaskEnd.FAILED, "container app ended with exit code 1; Essential container exited"),
        ),
        "it could not start": (
            task(code=None, stop="TaskFailedToStart", said="CannotPullContainerError"),
            1,
            TaskVerdict(TaskEnd.FAILED, "it did not run; CannotPullContainerError; Essential container exited"),
        ),
        "it is not shown yet": (None, 0.5, RAN),
        "it is not shown, though a minute has passed": (
            None,
            1,
            TaskVerdict(TaskEnd.FAILED, "ECS does not know the task now"),
        ),
        "nobody says why it ended": (
            task(code=1)._replace(stopped_reason=None),
            1,
            TaskVerdict(TaskEnd.FAILED, "container app ended with exit code 1; no reason given"),
        ),
        "it is not shown any more": (None, 9, TaskVerdict(TaskEnd.FAILED, "ECS does not know the task now")),
    },
)
def test_the_verdict_on_a_task(found: Task | None, minutes: float, expected: TaskVerdict) -> None:
    assert task_run.judge(found, "app", at(0), 600, at(minutes)) == expected


@table(
    "minutes, deadline, seconds",
    {
        "at first": (0, None, 2),
        "after a minute": (1, None, 6),
        "after ten": (10, None, 60),
        "after an hour": (60, None, 60),
        "after a day": (1440, None, 1440),
        "long before its deadline": (10, 20, 60),
        "shortly before its deadline": (10, 10.5, 30),
        "a second before its deadline": (10, 10 + 1 / 60, 1),
        "after its deadline": (10, 9, 60),
    },
)
def test_it_is_looked_at_often_at_first(minutes: float, deadline: float | None, seconds: int) -> None:
    ends = None if deadline is None else at(deadline)
    assert task_run.next_look(at(0), at(minutes), ends) == seconds


def document(**more: Any) -> dict[str, Any]:
    return {"containerDefinitions": [{"name": "proxy"}, {"name": "app", **more}]}


@table(
    "named, changed, expected",
    {
        "the first that the request changes": ("", ("app",), "app"),
        "the one that is named": ("proxy", ("app",), "proxy"),
        "of a whole revision, its first": ("", ("*",), "proxy"),
    },
)
def test_whose_command_it_is(named: str, changed: tuple[str, ...], expected: str) -> None:
    assert task_run.container_of(TaskKeys(("migrate",), named), "before", document(), changed) == expected


@table(
    "named, more, said",
    {
        "one that is not there": ("worker", {}, "before: there is no container worker, only app, proxy."),
        "one that may end while the task goes on": (
            "app",
            {"essential": False},
            "before: the container app is not ess",
        ),
    },
)
def test_whose_command_it_cannot_be(named: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(DeployError) as caught:
        task_run.container_of(TaskKeys(("migrate",), named), "before", document(**more), ("app",))
    assert caught.value.message.startswith(said)
    assert caught.value.error is (Error.INVALID_REQUEST if more else Error.NO_MATCHING_CONTAINER)


def test_a_task_that_does_not_tell_of_its_container() -> None:
    found = task_run.judge(task(), "worker", at(0), 600, at(1))
    assert found == TaskVerdict(TaskEnd.FAILED, "it did not run; Essential container exited")
