"""The verdict comes from the deployment: each row of the table, and what counts alone would get wrong."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecs_deploy.core.plan import CLOCKS_DIFFER
from ecs_deploy.core.service import Service
from ecs_deploy.core.service_deployment import Hook, ServiceDeployment
from ecs_deploy.core.verdict import (
    NOT_SHOWN_YET,
    Finding,
    Followed,
    Verdict,
    judge,
    judge_before_shown,
    judge_hooks,
    judge_shift,
)

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
NEW, OLD, FOREIGN, LATE = "td:2", "td:1", "td:9", "td:3"
MINE = f"ecs-svc/{NEW}-PRIMARY"
SECOND = timedelta(seconds=1)
YOUNG, AGED = NOT_SHOWN_YET - SECOND, NOT_SHOWN_YET


def deployment(revision: str, status: str, state: str | None = None, **more: Any) -> dict[str, Any]:
    described = {"id": f"ecs-svc/{revision}-{status}", "status": status, "taskDefinition": revision, **more}
    return described | ({"rolloutState": state} if state else {})


def verdict(
    *deployments: dict[str, Any],
    overdue: bool = False,
    followed: str = MINE,
    age: timedelta = NOT_SHOWN_YET,
    is_replaced_shown: bool = False,
    **service: Any,
) -> Verdict:
    """The verdict on `NEW`, which replaced `OLD` at `START`, while a call for `LATE` may be applied."""
    described = {
        "serviceName": "s",
        "clusterArn": "arn:aws:ecs:r:1:cluster/c",
        "status": "ACTIVE",
        "desiredCount": 2,
        "deployments": deployments,
        **service,
    }
    mine = Followed(followed, NEW, START, age, overdue, {OLD}, {LATE}, is_replaced_shown)
    return judge(Service.described(described), mine)


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


def test_failed_says_what_ecs_said() -> None:
    judged = verdict(deployment(NEW, "PRIMARY", "FAILED", rolloutStateReason="tasks failed to start."), **BREAKER)
    assert judged == Verdict(Finding.FAILED, "tasks failed to start.")


@pytest.mark.parametrize("settings", [BREAKER_ROLLS_BACK, ALARM_ROLLS_BACK])
def test_failed_is_left_to_ecs_where_it_rolls_back_itself(settings: dict[str, Any]) -> None:
    failed = deployment(NEW, "PRIMARY", "FAILED")
    assert verdict(failed, **settings).finding == Finding.ECS_IS_ROLLING_BACK
    assert verdict(failed, overdue=True, **settings).finding == Finding.FAILED


FAILED = deployment(NEW, "ACTIVE", "FAILED", rolloutStateReason="circuit breaker", id=MINE)
# One deployment left and running equals desired: what others call a success.
ALONE = deployment(OLD, "PRIMARY", "COMPLETED", runningCount=2)


def test_the_return_of_ecs_is_awaited_then_failed() -> None:
    returning = deployment(OLD, "PRIMARY", "IN_PROGRESS")
    assert verdict(returning, FAILED) == Verdict(Finding.ECS_IS_ROLLING_BACK, "circuit breaker")
    assert verdict(ALONE, FAILED) == Verdict(Finding.ECS_ROLLED_BACK, "circuit breaker")
    assert verdict(ALONE, **BREAKER_ROLLS_BACK).finding == Finding.ECS_ROLLED_BACK
    assert verdict(returning, **ALARM_ROLLS_BACK).finding == Finding.ECS_IS_ROLLING_BACK


def test_a_return_of_ecs_may_fail_or_take_too_long() -> None:
    assert verdict(deployment(OLD, "PRIMARY", "FAILED"), FAILED).finding == Finding.FAILED
    assert verdict(deployment(OLD, "PRIMARY", "IN_PROGRESS"), FAILED, overdue=True).finding == Finding.TIMED_OUT


@pytest.mark.parametrize("state", ["IN_PROGRESS", "COMPLETED", "FAILED"])
def test_a_late_call_that_takes_the_place_of_what_has_failed_is_no_return_of_ecs(state: str) -> None:
    assert verdict(deployment(LATE, "PRIMARY", state), FAILED) == Verdict(Finding.FAILED, "circuit breaker")


@pytest.mark.parametrize("settings", [{}, BREAKER])
@pytest.mark.parametrize("mine", [[], [deployment(NEW, "ACTIVE", "IN_PROGRESS", id=MINE)]])
def test_what_ran_before_is_somebodys_change_where_ecs_does_not_return_by_itself(
    settings: dict[str, Any], mine: list[dict[str, Any]]
) -> None:
    assert verdict(ALONE, *mine, **settings).finding == Finding.DISPLACED


def test_what_ran_before_is_somebodys_change_while_ecs_has_not_given_up() -> None:
    mine = deployment(NEW, "ACTIVE", "IN_PROGRESS", id=MINE)
    assert verdict(ALONE, mine, **BREAKER_ROLLS_BACK).finding == Finding.DISPLACED


@pytest.mark.parametrize(
    ("primary", "settings", "after_a_minute"),
    [
        (deployment(OLD, "PRIMARY", "COMPLETED"), {}, Finding.DISPLACED),
        (deployment(OLD, "PRIMARY", "COMPLETED"), BREAKER_ROLLS_BACK, Finding.ECS_ROLLED_BACK),
        (deployment(LATE, "PRIMARY", "IN_PROGRESS"), {}, Finding.OVERTAKEN),
    ],
)
def test_what_was_just_written_may_not_be_shown_for_a_minute(
    primary: dict[str, Any], settings: dict[str, Any], after_a_minute: Finding
) -> None:
    just_now = NOT_SHOWN_YET - SECOND
    assert verdict(primary, age=just_now, overdue=True, **settings).finding == Finding.NOT_SHOWN
    assert verdict(primary, age=NOT_SHOWN_YET, overdue=True, **settings).finding == after_a_minute


def test_what_it_takes_the_place_of_may_be_shown_for_a_minute_too_and_is_overtaken_then() -> None:
    theirs = deployment(FOREIGN, "PRIMARY", "IN_PROGRESS")
    assert verdict(theirs, age=NOT_SHOWN_YET - SECOND, is_replaced_shown=True).finding == Finding.NOT_SHOWN
    assert verdict(theirs, is_replaced_shown=True).finding == Finding.OVERTAKEN


def test_what_was_shown_once_is_not_waited_for_again() -> None:
    mine = deployment(NEW, "ACTIVE", "IN_PROGRESS", id=MINE)
    assert verdict(ALONE, mine, age=SECOND).finding == Finding.DISPLACED


def test_a_revision_that_nobody_here_has_brought_in_is_displaced_at_once() -> None:
    assert verdict(deployment(FOREIGN, "PRIMARY", "IN_PROGRESS"), age=SECOND).finding == Finding.DISPLACED


def test_a_call_of_another_execution_that_was_applied_late_is_overtaken() -> None:
    mine = deployment(NEW, "ACTIVE", "IN_PROGRESS", id=MINE)
    assert verdict(deployment(LATE, "PRIMARY", "IN_PROGRESS"), mine).finding == Finding.OVERTAKEN


@pytest.mark.parametrize(
    ("made", "age", "finding"),
    [
        # What ran before, and comes back: until the new deployment of it is shown, its end is not ours.
        (START - CLOCKS_DIFFER - SECOND, SECOND, Finding.NOT_SHOWN),
        (START - CLOCKS_DIFFER - SECOND, NOT_SHOWN_YET, Finding.STABLE),
        (START - CLOCKS_DIFFER, SECOND, Finding.STABLE),
        (None, SECOND, Finding.STABLE),
    ],
)
def test_an_earlier_deployment_of_the_same_revision_is_not_taken_for_ours_at_first(
    made: datetime | None, age: timedelta, finding: Finding
) -> None:
    earlier = deployment(NEW, "PRIMARY", "COMPLETED", createdAt=made)
    assert verdict(earlier, followed="ecs-svc/the-return", age=age).finding == finding


def test_anothers_revision_displaces() -> None:
    assert verdict(deployment(FOREIGN, "PRIMARY", "COMPLETED")).finding == Finding.DISPLACED


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
    assert verdict(returned, **BREAKER_ROLLS_BACK).finding == Finding.ECS_IS_ROLLING_BACK
    assert verdict(returned | {"runningCount": 2}, **BREAKER_ROLLS_BACK).finding == Finding.ECS_ROLLED_BACK


def test_the_same_revision_under_another_deployment_is_ours() -> None:
    assert verdict(deployment(NEW, "PRIMARY", "COMPLETED"), followed="ecs-svc/older").finding == Finding.STABLE


ARN = "arn:aws:ecs:r:1:service-deployment/c/s/one"


def shift(status: str, *, created: datetime = START) -> ServiceDeployment:
    return ServiceDeployment(ARN, status, "BAKE_TIME", "said", created)


def shifting(current: str = ARN) -> Service:
    described = {
        "serviceName": "s",
        "clusterArn": "c/c",
        "status": "ACTIVE",
        "deploymentConfiguration": {"strategy": "BLUE_GREEN"},
        "currentServiceDeployment": current,
        "taskDefinition": OLD,
    }
    return Service.described(described)


@pytest.mark.parametrize(
    ("status", "finding", "overdue_finding"),
    [
        ("PENDING", Finding.IN_PROGRESS, Finding.TIMED_OUT),
        ("IN_PROGRESS", Finding.IN_PROGRESS, Finding.TIMED_OUT),
        ("SUCCESSFUL", Finding.STABLE, Finding.STABLE),
        ("STOP_REQUESTED", Finding.ECS_IS_ROLLING_BACK, Finding.TIMED_OUT),
        ("ROLLBACK_REQUESTED", Finding.ECS_IS_ROLLING_BACK, Finding.TIMED_OUT),
        ("ROLLBACK_IN_PROGRESS", Finding.ECS_IS_ROLLING_BACK, Finding.TIMED_OUT),
        ("ROLLBACK_SUCCESSFUL", Finding.ECS_ROLLED_BACK, Finding.ECS_ROLLED_BACK),
        ("ROLLBACK_FAILED", Finding.FAILED, Finding.FAILED),
        ("STOPPED", Finding.FAILED, Finding.FAILED),
    ],
)
def test_a_shift_is_judged_by_the_status_of_its_service_deployment(
    status: str, finding: Finding, overdue_finding: Finding
) -> None:
    assert judge_shift(shifting(), shift(status), AGED, overdue=False).finding == finding
    assert judge_shift(shifting(), shift(status), AGED, overdue=True).finding == overdue_finding


def test_a_failed_shift_says_what_ecs_said() -> None:
    assert judge_shift(shifting(), shift("STOPPED"), AGED, overdue=False).reason == "BAKE_TIME: said"


@pytest.mark.parametrize("status", ["SUCCESSFUL", "STOPPED"])
def test_a_shift_that_is_not_the_current_one_any_more_was_displaced(status: str) -> None:
    assert judge_shift(shifting("another"), shift(status), AGED, overdue=False).finding == Finding.DISPLACED
    assert judge_shift(shifting(""), shift(status), AGED, overdue=False).finding != Finding.DISPLACED
    # A read may still show the deployment of before.
    assert judge_shift(shifting("another"), shift(status), YOUNG, overdue=False).finding == Finding.NOT_SHOWN


def test_a_shift_is_waited_for_a_minute() -> None:
    assert judge_before_shown(shifting(), NEW, OLD, NOT_SHOWN_YET - SECOND).finding == Finding.NOT_SHOWN
    assert judge_before_shown(shifting(), NEW, OLD, NOT_SHOWN_YET).finding == Finding.DISPLACED


def test_a_shift_to_what_runs_already_is_none() -> None:
    runs = shifting()._replace(revision=NEW)
    assert judge_before_shown(runs, NEW, NEW, NOT_SHOWN_YET).finding == Finding.STABLE
    assert judge_before_shown(runs, NEW, NEW, NOT_SHOWN_YET - SECOND).finding == Finding.NOT_SHOWN
    # Somebody else has brought in the very revision that was to come.
    assert judge_before_shown(runs, NEW, OLD, NOT_SHOWN_YET).finding == Finding.DISPLACED


@pytest.mark.parametrize("kind", ["PAUSE", "AWS_LAMBDA"])
@pytest.mark.parametrize(
    ("hook", "status", "finding"),
    [
        ("AWAITING_ACTION", "IN_PROGRESS", Finding.PAUSED),
        ("IN_PROGRESS", "IN_PROGRESS", Finding.PAUSED),
        ("SUCCEEDED", "IN_PROGRESS", None),
        ("FAILED", "ROLLBACK_IN_PROGRESS", None),
        # It does not wait for what it gave up.
        ("AWAITING_ACTION", "ROLLBACK_IN_PROGRESS", None),
    ],
)
def test_a_hook_that_ecs_waits_for_pauses(kind: str, hook: str, status: str, finding: Finding | None) -> None:
    hooks = (Hook("hook", kind, "check", hook, None, "ROLLBACK"), Hook("done", kind, "", "SUCCEEDED", None, "CONTINUE"))
    judged = judge_hooks(shift(status)._replace(hooks=hooks[::-1]))
    assert (judged and judged.finding) == finding
    assert (judged and judged.hook) == (hooks[0] if finding else None)
