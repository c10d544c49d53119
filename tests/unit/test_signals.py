"""What an event of ECS says, and what the table makes of it: signals, tokens, failures.

The documents are those of AWS's pages: members that the deployer does not read are left out.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecs_deploy.aws import dynamodb, waits
from ecs_deploy.core.errors import AwsUnavailable
from ecs_deploy.core.signals import Signal, Signals, is_reason, signal_of
from ecs_deploy.core.transitions import changes_hands
from ecs_deploy.handlers import end_waits
from tests.support.aws_error import AwsError
from tests.support.ecs_model import EcsModel
from tests.support.rules import owned, state, table
from tests.support.workflow import Context

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEY = "production1/doorman-service"
ARN = "arn:aws:ecs:eu-west-1:123456789012"
CLUSTER = f"{ARN}:cluster/production1"
SERVICE = f"{ARN}:service/production1/doorman-service"
SHIFT = f"{ARN}:service-deployment/production1/doorman-service/abc"


def event(kind: str, *resources: str, **detail: Any) -> dict[str, Any]:
    return {
        "id": "1",
        "detail-type": f"ECS {kind} State Change",
        "time": "2026-01-31T12:00:00Z",
        "resources": list(resources),
        "detail": detail,
    }


def deployment(name: str) -> dict[str, Any]:
    return event("Deployment", SERVICE, eventName=name, deploymentId="ecs-svc/123", clusterArn=CLUSTER, reason="")


def stopped(reason: str, code: str | None = "EssentialContainerExited", **more: Any) -> dict[str, Any]:
    return event(
        "Task",
        f"{ARN}:task/production1/1",
        **{
            "clusterArn": CLUSTER,
            "group": "service:doorman-service",
            "startedBy": "ecs-svc/123",
            "lastStatus": "STOPPED",
            "taskArn": f"{ARN}:task/production1/1",
            "taskDefinitionArn": f"{ARN}:task-definition/doorman:2",
            "containers": [{"name": "app", "exitCode": 1, "lastStatus": "STOPPED"}],
            "stoppedReason": reason,
            "createdAt": "2026-01-31T11:59:00.000Z",
            **({"stopCode": code} if code else {}),
            **more,
        },
    )


NOW, LATER = Signal(KEY, NOON, ends_wait=True), Signal(KEY, NOON, ends_wait=False)
FAILED = LATER._replace(failed="ecs-svc/123")


@table(
    "event, signal",
    {
        "a deployment begins": (deployment("SERVICE_DEPLOYMENT_IN_PROGRESS"), LATER),
        "it has completed": (deployment("SERVICE_DEPLOYMENT_COMPLETED"), NOW),
        "it has failed": (deployment("SERVICE_DEPLOYMENT_FAILED"), NOW),
        "it has done what AWS invents next": (deployment("SERVICE_DEPLOYMENT_ROLLED_SIDEWAYS"), NOW),
        "a container exits": (stopped("Essential container in task exited"), FAILED),
        "a task cannot start": (stopped("CannotPullContainerError: not found", "TaskFailedToStart"), FAILED),
        "a health check fails": (
            stopped("Task failed ELB health checks in (target-group 1)", "ServiceSchedulerInitiated"),
            FAILED,
        ),
        "the code is left out": (stopped("Essential container in task exited", None), FAILED),
        "scaled in": (stopped("Scaling activity initiated by (deployment 1)", "ServiceSchedulerInitiated"), None),
        "a person stops it": (stopped("Task stopped by a person", "UserInitiated"), None),
        "capacity is lost": (stopped("Your Spot Task was interrupted.", "SpotInterruption"), None),
        "it runs": (stopped("", None, lastStatus="RUNNING"), None),
        "of no service": (stopped("Essential container in task exited", group="family:cron"), None),
        "a hook, by its service": (event("Hook", SERVICE), NOW),
        "a hook, by its service deployment": (event("Hook", SHIFT, eventName="X"), NOW),
        "a hook, by a member": (event("Hook", serviceDeploymentArn=SHIFT), NOW),
        "a hook, by another member": (event("Hook", anything=SERVICE, number=3), NOW),
        "a hook of nobody": (event("Hook", "arn:aws:sns:eu-west-1:123456789012:topic", a={"b": SERVICE}), None),
    },
)
def test_what_an_event_says(event: dict[str, Any], signal: Signal | None) -> None:
    assert signal_of(event) == signal


def test_many_failures_are_reason_to_poll_and_each_may_be_told_three_times() -> None:
    reasons = [number for number in range(100) if is_reason(number)]
    assert reasons == [3, 4, 5, 6, 7, 8, 9, 12, 24, 48, 96]


@table(
    "before, after, hands",
    {
        "nobody deploys": (state(), state(), False),
        "somebody begins": (state(), state(owner=owned("mine")), False),
        "it goes on": (state(owner=owned("mine")), state(owner=owned("mine", "app", "proxy")), False),
        "it ends": (state(owner=owned("mine")), state(), True),
        "another one takes over": (state(owner=owned("mine")), state(owner=owned("other")), True),
    },
)
def test_when_others_are_woken(before: Any, after: Any, hands: bool) -> None:
    assert changes_hands(before, after) is hands


def store(model: EcsModel, execution: str, token: str) -> None:
    model.waits.add(token)
    waits._update(KEY, "SET #1 = :token", {":token": {"S": token}}, [execution])


def test_nothing_has_come_yet(model: EcsModel) -> None:
    assert waits.read(KEY) == Signals()


def test_events_are_noted_and_failures_counted_by_deployment(model: EcsModel) -> None:
    assert waits.hear(KEY, NOON) == 0
    assert [waits.hear(KEY, NOON, "ecs-svc/1") for _ in range(2)] == [1, 2]
    assert waits.hear(KEY, NOON + timedelta(minutes=1), "ecs-svc/2") == 1
    assert waits.read(KEY) == Signals(0, NOON + timedelta(minutes=1), failures=2)
    assert waits.read("production1/other") == Signals()


def test_a_signal_ends_every_wait_once(model: EcsModel) -> None:
    store(model, "one", "token 1")
    store(model, "two", "token 2")
    waits.hear(KEY, NOON, "ecs-svc/1")
    waits.end(KEY)
    assert model.waits == set()
    assert waits.read(KEY) == Signals(1, NOON, failures=1)
    waits.end(KEY)
    assert model.called("SendTaskSuccess") == ["SendTaskSuccess"] * 2
    assert waits.read(KEY).number == 2


def test_with_another_owner_failures_are_counted_from_none(model: EcsModel) -> None:
    waits.hear(KEY, NOON, "ecs-svc/1")
    waits.end(KEY, anew=True)
    assert waits.read(KEY) == Signals(1, NOON)


def test_one_that_cannot_be_ended_does_not_keep_the_others_waiting(model: EcsModel) -> None:
    store(model, "one", "token 1")
    store(model, "two", "token 2")

    def throttle(action: str, body: dict[str, Any]) -> None:
        if action == "SendTaskSuccess" and body["taskToken"] == "token 1":
            raise AwsError("ThrottlingException", "Rate exceeded")

    model.before_call = throttle
    with pytest.raises(AwsUnavailable):
        waits.end(KEY)
    assert model.waits == {"token 1"}


@pytest.mark.parametrize("code", ["InvalidToken", "TaskDoesNotExist", "TaskTimedOut"])
def test_the_token_of_a_wait_that_is_over_is_passed_over(model: EcsModel, code: str) -> None:
    store(model, "one", "token 1")
    store(model, "two", "token 2")

    def refuse(action: str, body: dict[str, Any]) -> None:
        if action == "SendTaskSuccess" and body["taskToken"] == "token 1":
            raise AwsError(code, "it is over")

    model.before_call = refuse
    waits.end(KEY)
    assert model.waits == {"token 1"}


def test_events_of_services_that_opt_in_count_once_one_was_deployed_to_them(
    model: EcsModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed = deployment("SERVICE_DEPLOYMENT_COMPLETED")
    context: Any = Context()
    monkeypatch.setenv("DISCOVERY", "true")
    end_waits.handler(completed, context)
    assert waits.read(KEY) == Signals()
    dynamodb.write(KEY, before=state()._replace(rev=0), state=state())
    end_waits.handler(completed, context)
    assert waits.read(KEY) == Signals(1, NOON)
    monkeypatch.delenv("DISCOVERY")
    end_waits.handler(completed, context)
    assert waits.read(KEY).number == 1
