"""The verdict comes from the deployment: each row of the table, and what counts alone would get wrong."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecs_deploy.service import Service, Task
from ecs_deploy.verdict import Finding, Verdict, judge, settle

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
NEW, OLD, FOREIGN = "td:2", "td:1", "td:9"


def deployment(revision: str, status: str, state: str | None = None, **more: Any) -> dict[str, Any]:
    described = {"id": f"ecs-svc/{revision}-{status}", "status": status, "taskDefinition": revision, **more}
    return described | ({"rolloutState": state} if state else {})


def verdict(
    *deployments: dict[str, Any], overdue: bool = False, followed: str = f"ecs-svc/{NEW}-PRIMARY", **service: Any
) -> Verdict:
    described = {
        "serviceName": "s",
        "clusterArn": "arn:aws:ecs:r:1:cluster/c",
        "status": "ACTIVE",
        "desiredCount": 2,
        "deployments": deployments,
        **service,
    }
    return judge(Service.described(described), deployment=followed, revision=NEW, before={OLD}, overdue=overdue)


BREAKER: dict[str, Any] = {"deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}}
BREAKER_ROLLS_BACK: dict[str, Any] = {
    "deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
}
ALARM_ROLLS_BACK: dict[str, Any] = {
    "deploymentConfiguration": {"alarms": {"enable": True, "rollback": True, "alarmNames": ["a"]}}
}


def test_complete_is_stable_even_past_the_deadline() -> None:
    assert verdict(deployment(NEW, "PRIMARY", "COMPLETED"), overdue=True).finding == Finding.STABLE


@pytest.mark.parametrize(("overdue", "finding"), [(False, Finding.IN_PROGRESS), (True, Finding.TIMED_OUT)])
def test_in_progress_until_the_deadline(overdue: bool, finding: Finding) -> None:
    # All of the new tasks run, but the old ones still drain.
    new = deployment(NEW, "PRIMARY", "IN_PROGRESS", runningCount=2)
    assert verdict(new, deployment(OLD, "ACTIVE", "COMPLETED", runningCount=1), overdue=overdue).finding == finding


def test_failed_tells_what_ecs_said() -> None:
    judged = verdict(deployment(NEW, "PRIMARY", "FAILED", rolloutStateReason="tasks failed to start."), **BREAKER)
    assert judged == Verdict(Finding.FAILED, "tasks failed to start.")


@pytest.mark.parametrize("settings", [BREAKER_ROLLS_BACK, ALARM_ROLLS_BACK])
def test_failed_is_left_to_ecs_where_it_rolls_back_itself(settings: dict[str, Any]) -> None:
    failed = deployment(NEW, "PRIMARY", "FAILED")
    assert verdict(failed, **settings).finding == Finding.ECS_IS_ROLLING_BACK
    assert verdict(failed, overdue=True, **settings).finding == Finding.FAILED


def test_the_return_of_ecs_is_awaited_then_failed() -> None:
    failed = deployment(NEW, "ACTIVE", "FAILED", rolloutStateReason="circuit breaker")
    assert verdict(deployment(OLD, "PRIMARY", "IN_PROGRESS"), failed).finding == Finding.ECS_IS_ROLLING_BACK
    # One deployment left and running equals desired: what others call a success.
    alone = deployment(OLD, "PRIMARY", "COMPLETED", runningCount=2)
    assert verdict(alone).finding == Finding.ECS_ROLLED_BACK


def test_a_crash_loop_without_a_breaker_is_not_waited_for() -> None:
    looping = deployment(NEW, "PRIMARY", "IN_PROGRESS", failedTasks=3)
    assert verdict(looping).finding == Finding.FAILED
    assert verdict(looping, **BREAKER).finding == Finding.IN_PROGRESS
    assert verdict(deployment(NEW, "PRIMARY", "IN_PROGRESS", failedTasks=2)).finding == Finding.IN_PROGRESS
    some_run = deployment(NEW, "PRIMARY", "IN_PROGRESS", failedTasks=3, runningCount=1)
    assert verdict(some_run).finding == Finding.TASKS_KEEP_FAILING
    assert verdict(some_run, **BREAKER).finding == Finding.IN_PROGRESS


def test_anothers_revision_displaces() -> None:
    assert verdict(deployment(FOREIGN, "PRIMARY", "COMPLETED")).finding == Finding.DISPLACED


@pytest.mark.parametrize("status", ["DRAINING", "INACTIVE"])
def test_a_service_that_was_deleted(status: str) -> None:
    assert verdict(status=status).finding == Finding.GONE


@pytest.mark.parametrize(
    ("running", "pending", "others", "finding"),
    [
        (2, 0, 0, Finding.STABLE),
        (1, 1, 0, Finding.IN_PROGRESS),
        (2, 1, 0, Finding.IN_PROGRESS),
        (2, 0, 1, Finding.IN_PROGRESS),
    ],
)
def test_counts_decide_only_where_there_is_no_rollout_state(
    running: int, pending: int, others: int, finding: Finding
) -> None:
    new = deployment(NEW, "PRIMARY", runningCount=running, pendingCount=pending)
    assert verdict(new, *[deployment(OLD, "ACTIVE")] * others).finding == finding
    with_state = new | {"rolloutState": "IN_PROGRESS"}
    assert verdict(with_state).finding == Finding.IN_PROGRESS


def test_a_return_without_rollout_state_is_complete_when_it_is_steady() -> None:
    returned = deployment(OLD, "PRIMARY", runningCount=1)
    assert verdict(returned).finding == Finding.ECS_IS_ROLLING_BACK
    assert verdict(returned | {"runningCount": 2}).finding == Finding.ECS_ROLLED_BACK


def test_the_same_revision_under_another_deployment_is_ours() -> None:
    assert verdict(deployment(NEW, "PRIMARY", "COMPLETED"), followed="ecs-svc/older").finding == Finding.STABLE


def task(started: int, *, failed: bool = False, revision: str = NEW) -> Task:
    status = "STOPPED" if failed else "RUNNING"
    code = "EssentialContainerExited" if failed else None
    return Task(
        f"task/{started}", revision, status, "UNKNOWN", START + timedelta(seconds=started), None, code, None, ()
    )


@pytest.mark.parametrize(
    ("tasks", "finding"),
    [
        ([task(0, failed=True), task(1, failed=True), task(6, failed=True), task(7)], Finding.FAILED),
        ([task(0, failed=True), task(6, failed=True), task(12, failed=True)], Finding.FAILED),
        ([task(0), task(1, failed=True), task(6, failed=True), task(12, failed=True)], Finding.IN_PROGRESS),
        # The tasks of the revision before run on and say nothing.
        ([task(-99, revision=OLD), task(1, failed=True), task(6, failed=True), task(12)], Finding.FAILED),
    ],
)
def test_tasks_that_keep_failing_are_judged_by_whether_one_outlives_them(tasks: list[Task], finding: Finding) -> None:
    assert settle(tasks, NEW).finding == finding
