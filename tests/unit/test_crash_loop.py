"""Tasks that die again and again are found from the tasks themselves, whatever ECS counts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecs_deploy.core.crash_loop import crash_loop, may_loop, own_tasks
from ecs_deploy.core.service import Event, Service, Task
from ecs_deploy.core.signals import FAILURES, Signals
from tests.support.clock import Clock
from tests.support.doorman import NEW_IMAGE, REQUEST, add_doorman
from tests.support.ecs_model import CRASHES, UNHEALTHY, Behaviour, EcsModel
from tests.support.rules import at, deploying, deployment, service, shifting, table
from tests.support.workflow import execute

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def task(age: float, life: float | None = None, *, code: str = "EssentialContainerExited", **more: object) -> Task:
    """A task that was started so many seconds ago, and stopped after so many; without an age it never ran."""
    started = NOW - timedelta(seconds=age)
    stopped = None if life is None else started + timedelta(seconds=life)
    return Task.described(
        {
            "taskArn": f"task/{age}",
            "taskDefinitionArn": "doorman:2",
            "lastStatus": "RUNNING" if stopped is None else "STOPPED",
            "startedBy": "ecs-svc/2",
            "createdAt": started,
            "startedAt": started,
            "stoppedAt": stopped,
            "stopCode": code,
            "containers": [],
            **more,
        }
    )


LOOP = [task(30, 5), task(20, 5), task(10, 5)]
NEVER_STARTED = [task(30, 0, code="TaskFailedToStart", startedAt=None)] * 3


@table(
    "tasks, counted, loops",
    {
        "three have failed and none runs": (LOOP, 0, True),
        "two have failed": (LOOP[:2], 0, False),
        "one runs that is younger than those that failed": ([*LOOP, task(4)], 0, True),
        "one runs as long as those that failed": ([*LOOP, task(5)], 0, True),
        "one outlives them": ([*LOOP, task(6)], 0, False),
        "more run than have failed": ([*LOOP, *[task(1)] * 4], 0, False),
        "tasks that could not be started": (NEVER_STARTED, 3, True),
        "one that could be started": ([*NEVER_STARTED, task(1)], 3, False),
        "tasks that could not be placed are counted only": ([], 3, True),
        "two that could not be placed and one that failed": (LOOP[:1], 3, True),
        "what ECS has not counted": (LOOP, 1, True),
        "Spot capacity that was lost": ([task(30, 5, code="SpotInterruption")] * 4, 4, False),
        "lost Spot capacity beside failures": ([*LOOP[:2], task(9, 5, code="SpotInterruption")], 3, False),
        "what a person stopped": ([task(30, 5, code="UserInitiated")] * 4, 0, False),
        "what was scaled in": ([task(30, 5, code="ServiceSchedulerInitiated")] * 4, 0, False),
        "a younger one is on its way": ([*LOOP, task(4, lastStatus="PENDING", startedAt=None)], 0, True),
        "an older one is on its way": ([*LOOP, task(6, lastStatus="PENDING", startedAt=None)], 0, False),
        "one on its way beside tasks that could not be placed": (
            [task(6, lastStatus="PENDING", startedAt=None)],
            3,
            True,
        ),
        "150 tasks, of which three early ones failed": ([*LOOP, *[task(2)] * 60], 3, False),
    },
)
def test_crash_loop(tasks: list[Task], counted: int, loops: bool) -> None:
    assert bool(crash_loop(tasks, counted, NOW)) is loops


def test_the_reason_says_how_many() -> None:
    assert crash_loop(LOOP, 0, NOW) == "3 tasks failed and none is running"
    assert crash_loop([*LOOP, task(1)], 0, NOW) == "3 tasks failed and no other outlives them"


def test_whose_tasks_are_counted() -> None:
    mine, before, other = task(1), task(2, startedBy="ecs-svc/1"), task(3, taskDefinitionArn="doorman:1")
    assert own_tasks([mine, before], deployment(2), "doorman:2") == [mine]
    # Where ECS shifts traffic it lists no deployment.
    assert own_tasks([mine, before, other], None, "doorman:2") == [mine, before]


def started(tasks: int, minutes: float) -> Event:
    return Event(at(minutes), f"(service doorman-service) has started {tasks} tasks: (task 1) (task 2).")


BEFORE = started(9, 0.5)


@table(
    "service, told, reads",
    {
        "no reason": (service(deployment(2)), 0, False),
        "what was started": (service(deployment(2), events=(started(2, 2), started(2, 1), BEFORE)), 2, False),
        "three in place of others": (service(deployment(2), events=(started(3, 2), started(2, 1), BEFORE)), 0, True),
        "ECS counts two": (service(deployment(2, failed=FAILURES - 1)), 0, False),
        "ECS counts three": (service(deployment(2, failed=FAILURES)), 0, True),
        "ECS has told of three": (service(deployment(2)), FAILURES, True),
        "the circuit breaker counts them": (
            service(deployment(2, failed=2), has_circuit_breaker=True),
            FAILURES,
            False,
        ),
        "the circuit breaker counts none": (service(deployment(2), has_circuit_breaker=True), FAILURES, True),
        "three, where ECS shifts traffic": (shifting(2, events=(started(5, 2),)), 0, True),
        "none, where ECS shifts traffic": (shifting(2, events=(started(2, 2),)), 0, False),
    },
)
def test_when_the_tasks_are_read(service: Service, told: int, reads: bool) -> None:
    is_counted = service.is_rolling and service.primary.failed_tasks > 0
    assert may_loop(service, deploying(signals=Signals(failures=told)), is_counted=is_counted) is reads


def is_called(model: EcsModel, clock: Clock, behaviour: Behaviour, **settings: Any) -> float:
    """Deploy what behaves so; answers the seconds until its return began."""
    service = add_doorman(model, **settings)
    before, started = service.primary.revision, clock.now()
    model.behaviours[NEW_IMAGE] = behaviour
    updates: list[float] = []

    def note(action: str, _body: dict[str, object]) -> None:
        if action == "UpdateService":
            updates.append((clock.now() - started).total_seconds())

    model.after_call = note
    end = execute(REQUEST, clock)
    assert (end.error, (end.cause or {})["rolledBack"]) == ("DeploymentFailed", True)
    assert service.primary.revision == before
    return updates[1]


@pytest.mark.parametrize("settings", [{}, {"breaker": True}, {"breaker": True, "breaker_rolls_back": True}])
def test_a_container_that_runs_and_exits_is_found_though_ecs_counts_nothing(
    model: EcsModel, clock: Clock, settings: dict[str, bool]
) -> None:
    assert is_called(model, clock, CRASHES, **settings) < 65
    assert all(each.failed == 0 for each in model.services["production1", "doorman-service"].deployments)


@pytest.mark.parametrize(
    "reason",
    [
        "Task failed container health checks",
        "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:r:1:targetgroup/doorman/0)",
    ],
)
def test_failed_health_checks_are_found(model: EcsModel, clock: Clock, reason: str) -> None:
    unhealthy = Behaviour(life=20, stop_code=UNHEALTHY.stop_code, reason=reason)
    assert is_called(model, clock, unhealthy) < 120


def test_a_large_service_of_which_a_few_starts_failed_goes_on(model: EcsModel, clock: Clock) -> None:
    service = add_doorman(model, desired=150)
    starts = iter([CRASHES] * 3 + [Behaviour(start=25)] * 60 + [Behaviour(start=90)] * 10_000)
    model.behaviours[NEW_IMAGE] = starts
    end = execute(REQUEST, clock)
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert service.primary.rollout_state == "COMPLETED"


def test_tasks_that_cannot_be_read_leave_it_to_the_deadline(model: EcsModel, clock: Clock) -> None:
    add_doorman(model)
    model.behaviours[NEW_IMAGE] = CRASHES
    model.refused.add("ListTasks")
    assert execute({**REQUEST, "timeout": 60}, clock).error == "DeploymentTimedOut"
