"""Gates of requests, with the real handlers: nothing is updated before they are passed, whatever is lost or retried."""

from typing import Any

import pytest

from ecs_deploy.aws import dynamodb
from ecs_deploy.core.state import Result
from tests.support.aws_error import AnswerLost, AwsError
from tests.support.clock import Clock
from tests.support.doorman import KEY, NEW_IMAGE, NEWER_IMAGE, REQUEST, SERVICE, add_doorman, push, state
from tests.support.ecs_model import CRASHES, Behaviour, EcsModel, Service
from tests.support.single_tasks import Ends
from tests.support.workflow import End, arn_of, execute, execute_together

APPROVAL: dict[str, Any] = {"approval": 3_600}
BEFORE: dict[str, Any] = {"before": {"command": ["migrate", "up"], "timeout": 300}}
VERSION: dict[str, Any] = {
    "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"], "assignPublicIp": "DISABLED"}},
    "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
    "launchType": "FARGATE",
}


@pytest.fixture
def service(model: EcsModel) -> Service:
    return add_doorman(model, extra=VERSION)


def pushed(name: str, image: str, time: str, **keys: Any) -> dict[str, Any]:
    return {**SERVICE, "image": image, **push(name, time), **keys}


def approve(execution: str = "deploys") -> dict[str, Any]:
    return {**SERVICE, "approve": execution}


def reject(execution: str = "deploys") -> dict[str, Any]:
    return {**SERVICE, "reject": execution, "why": "not on a Friday"}


def outcome(end: End) -> str:
    return (end.output or {})["outcome"] if end.error is None else end.error


def test_nothing_is_changed_until_somebody_approves(model: EcsModel, clock: Clock, service: Service) -> None:
    ends = execute_together({"deploys": (0, {**REQUEST, **APPROVAL}), "says-yes": (900, approve())}, clock)
    assert {name: outcome(each) for name, each in ends.items()} == {"deploys": "DEPLOYED", "says-yes": "APPROVED"}
    (asked,) = [each["notification"] for each in ends["deploys"].answers if each["next"] == "notify_approval"]
    assert asked["approve"] == approve()
    assert asked["expiresAt"] == "2026-01-31T13:00:00.000Z"
    assert {"member": "app.image"}.items() <= asked["differences"][0].items()
    assert "ecs-deploy approve -c production1 -n doorman-service deploys" in asked["message"]
    assert state(clock).gates == {}


def test_an_update_comes_after_the_answer(model: EcsModel, clock: Clock, service: Service) -> None:
    order: list[str] = []

    def note(action: str, body: dict[str, Any]) -> None:
        if action == "UpdateService":
            order.append(action)

    model.before_call = note
    ends = execute_together({"deploys": (0, {**REQUEST, **APPROVAL}), "says-yes": (900, approve())}, clock)
    updated = next(each for each in ends["deploys"].answers if each["next"] == "announce")
    assert order == ["UpdateService"]
    assert updated["plan"]["revision"] == service.primary.revision


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reject(), "has rejected it: not on a Friday"),
        ({**SERVICE, "status": True}, "nobody has approved it until 2026-01-31T13:00:00.000Z"),
    ],
)
def test_what_is_not_approved_changes_nothing(
    model: EcsModel, clock: Clock, service: Service, answer: dict[str, Any], said: str
) -> None:
    ends = execute_together({"deploys": (0, {**REQUEST, **APPROVAL}), "says": (60, answer)}, clock)
    assert ends["deploys"].error == "NotApproved"
    assert said in (ends["deploys"].cause or {})["message"]
    assert model.writes == []
    assert state(clock).gates == {}
    (entry,) = dynamodb.read_history(KEY)
    assert entry.result is Result.FAILED


def test_a_newer_push_asks_instead(model: EcsModel, clock: Clock, service: Service) -> None:
    ends = execute_together(
        {
            "older": (0, pushed("1", NEW_IMAGE, "12:00:00", **APPROVAL)),
            "newer": (60, pushed("2", NEWER_IMAGE, "12:01:00", **APPROVAL)),
            "late": (200, approve("older")),
            "says-yes": (300, approve("newer")),
        },
        clock,
    )
    assert {name: outcome(each) for name, each in ends.items()} == {
        "older": "SUPERSEDED",
        "newer": "DEPLOYED",
        "late": "InvalidRequest",
        "says-yes": "APPROVED",
    }
    assert "older does not wait for an answer" in (ends["late"].cause or {})["message"]
    assert len(model.called("UpdateService")) == 1


def test_what_waits_displaces_nothing(model: EcsModel, clock: Clock, service: Service) -> None:
    model.behaviours[NEW_IMAGE] = Behaviour(start=120)
    ends = execute_together(
        {
            "rolls": (0, REQUEST),
            "waits": (30, {**SERVICE, "image": NEWER_IMAGE, **APPROVAL}),
            "no": (60, reject("waits")),
        },
        clock,
    )
    assert (outcome(ends["rolls"]), outcome(ends["waits"])) == ("DEPLOYED", "NotApproved")


def test_what_is_newer_and_needs_no_approval_goes_first(model: EcsModel, clock: Clock, service: Service) -> None:
    ends = execute_together(
        {
            "waits": (0, pushed("1", NEW_IMAGE, "12:00:00", **APPROVAL)),
            "by-hand": (60, {**SERVICE, "image": NEWER_IMAGE}),
            "says-yes": (300, approve("waits")),
        },
        clock,
    )
    assert (outcome(ends["waits"]), outcome(ends["by-hand"])) == ("SUPERSEDED", "DEPLOYED")
    assert outcome(ends["says-yes"]) == "InvalidRequest"


def test_a_task_ends_well_before_the_update(model: EcsModel, clock: Clock, service: Service) -> None:
    model.single.ends["migrate"] = Ends(after=90)
    end = execute({**REQUEST, **BEFORE}, clock, "deploys")
    assert outcome(end) == "DEPLOYED"
    actions = model.called("RunTask", "UpdateService", "RegisterTaskDefinition")
    assert actions == ["RegisterTaskDefinition", "RunTask", "UpdateService"]
    (task,) = model.single.all
    assert task.request["taskDefinition"] == (end.output or {})["revision"]
    assert task.request["overrides"] == {"containerOverrides": [{"name": "app", "command": ["migrate", "up"]}]}
    assert task.request["networkConfiguration"] == VERSION["networkConfiguration"]
    assert task.request["capacityProviderStrategy"] == VERSION["capacityProviderStrategy"]
    assert task.request["group"] == "ecs-deploy:doorman-service"


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (Ends(exit_code=3, log=("migrating", "no such table")), "ended with exit code 3"),
        (Ends(exit_code=None, stop_code="TaskFailedToStart", reason="CannotPullContainerError: no"), "CannotPull"),
        (Ends(after=None), "ecs-deploy: not ended after 300 seconds"),
    ],
)
def test_a_task_that_fails_changes_nothing(
    model: EcsModel, clock: Clock, service: Service, ends: Ends, said: str
) -> None:
    model.single.ends["migrate"] = ends
    end = execute({**REQUEST, **BEFORE}, clock, "deploys")
    assert end.error == "DeploymentFailed"
    message = (end.cause or {})["message"]
    assert "before: the task that ran migrate up failed" in message
    assert said in message
    assert "Nothing was changed" in message
    assert model.called("UpdateService") == []
    assert model.revision("doorman:2").document["status"] == "INACTIVE"
    (entry,) = dynamodb.read_history(KEY)
    assert (entry.result, entry.containers) == (Result.FAILED, ("app", "worker"))
    assert state(clock).gates == {}


def test_a_task_that_cannot_be_placed_changes_nothing(model: EcsModel, clock: Clock, service: Service) -> None:
    model.single.failures = ["RESOURCE:MEMORY"]
    end = execute({**REQUEST, **BEFORE}, clock, "deploys")
    assert end.error == "DeploymentFailed"
    assert "could not be placed: RESOURCE:MEMORY" in (end.cause or {})["message"]
    assert model.called("UpdateService") == []
    assert model.revision("doorman:2").document["status"] == "INACTIVE"


def test_the_last_lines_of_the_log_of_what_failed_are_told(model: EcsModel, clock: Clock) -> None:
    logs = {"logDriver": "awslogs", "options": {"awslogs-group": "doorman", "awslogs-stream-prefix": "door"}}
    containers = [{"name": "app", "image": model.pinned(NEW_IMAGE), "logConfiguration": logs}]
    revision = model.add_revision({"family": "doorman", "containerDefinitions": containers})
    model.add_service("doorman-service", revision)
    model.images |= {("doorman", "1.2.0")}
    model.single.ends["migrate"] = Ends(exit_code=1, log=("migrating", "no such table: password=hunter2"))
    end = execute({**SERVICE, "image": NEWER_IMAGE, **BEFORE}, clock, "deploys")
    message = (end.cause or {})["message"]
    assert "The last lines of its log: migrating | no such table" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("fault", ["before_call", "after_call"])
@pytest.mark.parametrize(
    ("action", "number"),
    [
        *(("RunTask", number) for number in (1,)),
        *(("TransactWriteItems", number) for number in range(1, 6)),
        *(("DescribeTasks", number) for number in (1, 2)),
        ("RegisterTaskDefinition", 1),
        ("ListTasks", 1),
    ],
)
def test_a_fault_starts_no_second_task_and_passes_no_gate(
    model: EcsModel, clock: Clock, service: Service, fault: str, action: str, number: int
) -> None:
    model.single.ends["migrate"] = Ends(after=30)
    left = [number]
    too_early: list[str] = []

    def check(called: str, _body: dict[str, Any]) -> None:
        passed = [each for each in model.single.all if each.is_over]
        if called == "UpdateService" and not passed:
            too_early.append(called)

    def break_once(called: str, body: dict[str, Any]) -> None:
        check(called, body)
        if called == action:
            left[0] -= 1
            if left[0] == 0:
                raise AnswerLost if fault == "after_call" else AwsError("ThrottlingException", "Rate exceeded")

    setattr(model, "before_call", check)  # noqa: B010
    setattr(model, fault, break_once)
    end = execute({**REQUEST, **BEFORE}, clock, "deploys")
    assert outcome(end) == "DEPLOYED"
    assert len(model.single.all) == 1
    assert too_early == []
    assert len(model.families["doorman"]) == 2


def test_there_are_never_two_tasks_at_once(model: EcsModel, clock: Clock, service: Service) -> None:
    model.single.ends["migrate"] = Ends(after=200)
    ends = execute_together(
        {
            "older": (0, pushed("1", NEW_IMAGE, "12:00:00", **BEFORE)),
            "newer": (60, pushed("2", NEWER_IMAGE, "12:01:00", **BEFORE)),
        },
        clock,
    )
    assert outcome(ends["newer"]) == "DEPLOYED"
    assert outcome(ends["older"]) in {"DEPLOYED", "SUPERSEDED"}
    assert len(model.single.all) == 2
    assert model.single.most_at_once() == 1


def test_a_newer_request_without_a_gate_does_not_end_the_task_of_an_older_one(
    model: EcsModel, clock: Clock, service: Service
) -> None:
    model.single.ends["migrate"] = Ends(after=200)
    ends = execute_together(
        {
            "older": (0, pushed("1", NEW_IMAGE, "12:00:00", **BEFORE)),
            "newer": (60, {**SERVICE, "image": NEWER_IMAGE}),
            "newest": (70, pushed("3", NEWER_IMAGE, "12:02:00", **BEFORE)),
        },
        clock,
    )
    assert outcome(ends["older"]) == "SUPERSEDED"
    assert model.single.most_at_once() == 1
    assert state(clock).gates == {}


def test_the_task_of_an_execution_that_died_keeps_others_waiting_until_it_ends(
    model: EcsModel, clock: Clock, service: Service
) -> None:
    model.single.ends["migrate"] = Ends(after=200)

    def die(action: str, _body: dict[str, Any]) -> None:
        if action == "DescribeTasks":
            raise ConnectionAbortedError

    model.before_call = die
    with pytest.raises(AssertionError, match="tried in vain"):
        execute(pushed("1", NEW_IMAGE, "12:00:00", **BEFORE), clock, "dies")
    model.before_call = lambda _action, _body: None
    end = execute(pushed("2", NEWER_IMAGE, "12:01:00", **BEFORE), clock, "newer")
    assert outcome(end) == "DEPLOYED"
    assert model.single.most_at_once() == 1


def test_a_task_that_hangs_and_whose_execution_died_is_stopped_in_its_time(
    model: EcsModel, clock: Clock, service: Service
) -> None:
    model.single.ends["migrate"] = Ends(after=None)

    def die(action: str, _body: dict[str, Any]) -> None:
        if action == "DescribeTasks":
            raise ConnectionAbortedError

    model.before_call = die
    with pytest.raises(AssertionError, match="tried in vain"):
        execute(pushed("1", NEW_IMAGE, "12:00:00", **BEFORE), clock, "dies")
    model.before_call = lambda _action, _body: None
    model.single.ends["migrate"] = Ends()
    end = execute(pushed("2", NEWER_IMAGE, "12:01:00", **BEFORE), clock, "newer")
    assert outcome(end) == "DEPLOYED"
    assert model.single.most_at_once() == 1
    assert model.single.all[0].stop_code == "UserInitiated"


def test_approval_comes_before_the_task(model: EcsModel, clock: Clock, service: Service) -> None:
    ends = execute_together({"deploys": (0, {**REQUEST, **APPROVAL, **BEFORE}), "says-no": (60, reject())}, clock)
    assert ends["deploys"].error == "NotApproved"
    assert model.single.all == []


def test_an_answer_that_is_sent_twice_counts_once(model: EcsModel, clock: Clock, service: Service) -> None:
    left = [1]

    def lose(action: str, _body: dict[str, Any]) -> None:
        gates = state_gates(clock)
        if action == "TransactWriteItems" and left and gates and any(each.answer for each in gates.values()):
            left.clear()
            raise AnswerLost

    def state_gates(clock: Clock) -> Any:
        return decoded.gates if (decoded := model_state(model, clock)) else {}

    model.after_call = lose
    ends = execute_together({"deploys": (0, {**REQUEST, **APPROVAL}), "says-yes": (60, approve())}, clock)
    assert {name: outcome(each) for name, each in ends.items()} == {"deploys": "DEPLOYED", "says-yes": "APPROVED"}


def model_state(model: EcsModel, clock: Clock) -> Any:
    after, model.after_call = model.after_call, lambda _action, _body: None
    try:
        return state(clock)
    finally:
        model.after_call = after


@pytest.mark.parametrize(("answer", "expected"), [(approve(), "DEPLOYED"), (reject(), "DeploymentFailed")])
def test_the_same_answers_go_to_a_hook_of_ecs(
    model: EcsModel, clock: Clock, answer: dict[str, Any], expected: str
) -> None:
    service = add_doorman(model, strategy="BLUE_GREEN")
    service.hooks = [{"hookId": "hook-1", "targetType": "PAUSE", "status": "AWAITING_ACTION"}]
    model.behaviours[NEW_IMAGE] = Behaviour(start=300)
    ends = execute_together({"deploys": (0, REQUEST), "says": (200, answer)}, clock)
    assert outcome(ends["says"]) in {"APPROVED", "REJECTED"}
    assert outcome(ends["deploys"]) == expected
    assert service.hooks[0]["status"] in {"SUCCEEDED", "FAILED"}


@pytest.mark.parametrize("answer", [approve("nobody"), reject("nobody")])
def test_an_answer_to_nobody_is_refused(
    model: EcsModel, clock: Clock, service: Service, answer: dict[str, Any]
) -> None:
    end = execute(answer, clock, "says")
    assert end.error == "InvalidRequest"
    assert "nobody does not wait for an answer" in (end.cause or {})["message"]


def test_a_rehearsal_names_the_gates_and_passes_none(model: EcsModel, clock: Clock, service: Service) -> None:
    end = execute({**REQUEST, **APPROVAL, **BEFORE, "dryRun": True}, clock)
    assert (end.output or {})["shown"]["gates"] == {**APPROVAL, **BEFORE}
    assert model.writes == []
    assert model.single.all == []


def test_a_container_that_is_not_there_is_refused_before_anything_is_changed(
    model: EcsModel, clock: Clock, service: Service
) -> None:
    end = execute({**REQUEST, "before": {"command": ["a"], "container": "none"}}, clock)
    assert end.error == "NoMatchingContainer"
    assert model.writes == []


def test_what_fails_after_its_gate_returns(model: EcsModel, clock: Clock, service: Service) -> None:
    model.behaviours[NEW_IMAGE] = CRASHES
    end = execute({**REQUEST, **BEFORE}, clock)
    assert (end.error, (end.cause or {})["rolledBack"]) == ("DeploymentFailed", True)


def test_an_execution_may_be_named_by_its_arn(model: EcsModel, clock: Clock, service: Service) -> None:
    ends = execute_together({"deploys": (0, {**REQUEST, **APPROVAL}), "yes": (60, approve(arn_of("deploys")))}, clock)
    assert outcome(ends["deploys"]) == "DEPLOYED"
