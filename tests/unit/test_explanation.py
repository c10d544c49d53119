"""The cause of a failure reads like a colleague's message: the reason, the count, the last words, and no secret."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.core.diagnosis import MOST_REASON_BYTES, LogStream, Observed, diagnose, log_stream, private_values
from ecs_deploy.core.service import Container, Event, Task
from tests.support.clock import Clock
from tests.support.ecs_model import CANNOT_BE_PULLED, CRASHES, HANGS, OUT_OF_MEMORY, Behaviour, EcsModel, Service
from tests.support.workflow import execute

REVISION = "arn:aws:ecs:eu-west-1:123456789012:task-definition/doorman:2"
START = datetime(2026, 1, 31, 12, tzinfo=UTC)
IMAGE = "doorman:1.1.0"
REQUEST: dict[str, Any] = {"cluster": "production1", "service": "doorman-service", "image": IMAGE, "timeout": 120}
LOG = {
    "logDriver": "awslogs",
    "options": {"awslogs-group": "/doorman", "awslogs-stream-prefix": "app", "awslogs-region": "eu-west-1"},
}
SECRET = "correct-horse-battery"


@pytest.fixture
def service(model: EcsModel) -> Service:
    container = {
        "name": "app",
        "image": "doorman:1.0.0",
        "logConfiguration": LOG,
        "environment": [{"name": "DOOR_KEY", "value": SECRET}],
    }
    return model.add_service(
        "doorman-service", model.add_revision({"family": "doorman", "containerDefinitions": [container]})
    )


@pytest.mark.parametrize(
    ("behaviour", "texts"),
    [
        (CRASHES, ["exits on its start", "exit code 3", "no door to guard"]),
        (CANNOT_BE_PULLED, ["cannot be pulled: it is not there", "Push the image"]),
        (OUT_OF_MEMORY, ["runs out of memory", "Raise the memory"]),
        (HANGS, ["PENDING", "does not get further"]),
        (
            Behaviour(2, 0, stop_code="TaskFailedToStart", reason="CannotPullContainerError: 403 Forbidden"),
            ["no permission", "execution role"],
        ),
        (
            Behaviour(
                2,
                0,
                stop_code="TaskFailedToStart",
                reason="ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve "
                "secret from asm: AccessDeniedException: no",
            ),
            ["secrets of the task definition cannot be read"],
        ),
        (
            Behaviour(5, 20, reason="Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:x)"),
            ["fail their health check", "grace period"],
        ),
    ],
)
def test_the_likely_cause_and_the_next_step(
    model: EcsModel, service: Service, clock: Clock, behaviour: Behaviour, texts: list[str]
) -> None:
    model.behaviours[IMAGE] = behaviour
    end = execute(REQUEST, clock)
    assert end.cause
    whole = end.cause["message"] + " ".join(end.cause["reasons"])
    for text in texts:
        assert text in whole
    assert end.cause["rolledBack"] is True


def test_events_of_this_deployment_say_what_tasks_do_not(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[IMAGE] = HANGS
    unable = "(service doorman-service) was unable to place a task because no container instance met all requirements."
    service.events = [
        {"id": "1", "createdAt": (clock.now() + timedelta(seconds=30)).timestamp(), "message": unable},
        {"id": "2", "createdAt": (clock.now() - timedelta(hours=1)).timestamp(), "message": "an old failure"},
        {"id": "3", "createdAt": (clock.now() + timedelta(seconds=30)).timestamp(), "message": "has started 1 tasks"},
    ]
    end = execute(REQUEST, clock)
    assert end.cause
    assert any(unable in reason for reason in end.cause["reasons"])
    assert not any("old failure" in reason or "has started" in reason for reason in end.cause["reasons"])


def test_values_of_the_environment_stay_private(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[IMAGE] = Behaviour(5, 1, exit_code=1, log=(f"cannot open with {SECRET}, password=hunter2",))
    end = execute(REQUEST, clock)
    handed_on = str(end.cause) + str(end.answers)
    assert "cannot open with ***" in handed_on
    assert SECRET not in handed_on
    assert "hunter2" not in handed_on


@pytest.mark.parametrize("action", ["ListTasks", "DescribeTasks", "GetLogEvents"])
def test_what_cannot_be_read_is_said_and_stands_in_nobodys_way(
    model: EcsModel, service: Service, clock: Clock, action: str
) -> None:
    model.behaviours[IMAGE] = CRASHES if action == "GetLogEvents" else CANNOT_BE_PULLED
    model.refused.add(action)
    end = execute(REQUEST, clock)
    assert end.error == "DeploymentFailed"
    assert end.cause
    assert end.cause["rolledBack"] is True
    assert any("could not be read" in reason for reason in end.cause["reasons"])


def failed(number: int, reason: str, exit_code: int | None = None) -> Task:
    containers = (Container("app", exit_code, None),)
    arn = f"arn:aws:ecs:eu-west-1:123456789012:task/c/{number:032x}"
    return Task(
        arn, REVISION, "STOPPED", "UNKNOWN", START, START, START, "EssentialContainerExited", reason, "", containers
    )


def test_equal_reasons_are_counted_the_most_frequent_first() -> None:
    tasks = [failed(1, "rare"), *[failed(n, f"task {n:032x} broke", 1) for n in range(2, 5)]]
    explained = diagnose(Observed("said", tuple(tasks), ()), REVISION, ())
    assert explained.reasons[0].startswith("3 x stopped: EssentialContainerExited: task … broke")
    assert explained.reasons[1].startswith("1 x stopped")


def test_tasks_that_others_stopped_and_other_revisions_tasks_are_no_reason() -> None:
    scaled_in = Task(
        "t", REVISION, "STOPPED", "UNKNOWN", START, START, START, "ServiceSchedulerInitiated", "Scaling", "", ()
    )
    other = Task("t", "td:1", "STOPPED", "UNKNOWN", START, START, START, "EssentialContainerExited", "x", "", ())
    assert diagnose(Observed("said", (scaled_in, other), ()), REVISION, ()).reasons == ("said",)


texts = st.text(max_size=900)


@given(st.lists(texts, max_size=30), st.lists(texts, max_size=10), st.text(min_size=1, max_size=900))
def test_reasons_are_never_too_long(reasons: list[str], lines: list[str], said: str) -> None:
    tasks = tuple(failed(n, reason) for n, reason in enumerate(reasons))
    events = tuple(Event(START, f"failed: {reason}") for reason in reasons)
    explained = diagnose(Observed(said, tasks, events, tuple(lines)), REVISION, ())
    assert sum(len(reason.encode()) for reason in explained.reasons) <= MOST_REASON_BYTES
    assert explained.cause


@given(st.text(min_size=4, max_size=40), texts)
def test_no_private_value_is_left(private: str, around: str) -> None:
    explained = diagnose(Observed(f"{around}{private}{around}", (), ()), REVISION, (private,))
    assert private in "*" * 99 or all(private not in reason.replace("***", "\0") for reason in explained.reasons)


@pytest.mark.parametrize(
    "text",
    [
        "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI",
        '"api_key": "wJalrXUtnFEMI"',
        "token: wJalrXUtnFEMI",
        "postgres://doorman:wJalrXUtnFEMI@db/doors",
        "eyJhbGciOiJIUzI1NiJ9.wJalrXUtnFEMI.sig",
    ],
)
def test_what_reads_like_a_credential_is_redacted(text: str) -> None:
    explained = diagnose(Observed(f"failed with {text} here", (), ()), REVISION, ())
    assert "wJalrXUtnFEMI" not in str(explained)
    assert "failed with" in str(explained)


@pytest.mark.parametrize(
    ("configuration", "stream"),
    [
        (LOG, LogStream("/doorman", f"app/app/{7:032x}", "eu-west-1")),
        ({"logDriver": "awslogs", "options": {"awslogs-group": "/doorman"}}, None),
        ({"logDriver": "splunk", "options": {}}, None),
        (None, None),
    ],
)
def test_the_log_of_the_container_that_died(configuration: Any, stream: LogStream | None) -> None:
    document = {"containerDefinitions": [{"name": "app", "image": "x", "logConfiguration": configuration}]}
    assert log_stream(document, failed(7, "x", 1)) == stream


def test_private_are_the_values_of_the_environment() -> None:
    document = {"containerDefinitions": [{"environment": [{"name": "a", "value": "v"}, {"name": "b"}]}, {}]}
    assert private_values(document) == ("v",)
