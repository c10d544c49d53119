"""AWS refuses, throttles, answers nothing, or keeps what is not the deployer's: a retry or an end by name."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)

from ecs_deploy.aws import dynamodb
from ecs_deploy.aws.client import translating
from ecs_deploy.core.errors import AwsUnavailable
from ecs_deploy.core.state import Result
from ecs_deploy.handlers import register_task_definition, update_service
from tests.support.aws_error import AwsError
from tests.support.clock import Clock
from tests.support.doorman import (
    KEY,
    NEW_IMAGE,
    NEWER_IMAGE,
    NEWER_REQUEST,
    OLD_IMAGE,
    OLD_PROXY,
    REQUEST,
    SERVICE,
    add_doorman,
    add_theirs,
    images,
    push,
    state,
)
from tests.support.dynamodb_model import ACTIONS
from tests.support.ecs_model import CRASHES, Behaviour, EcsModel, Service
from tests.support.workflow import Context as AnyContext
from tests.support.workflow import End, Task, execute, first_task, following

DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/EcsDeploy-Step/step is not authorized to perform: "
    "{action} on resource: * because no identity-based policy allows it"
)
PREFIXES = {"DescribeImages": "ecr", **dict.fromkeys(ACTIONS, "dynamodb")}
Context: Any = AnyContext
CONTEXT: Any = Context()
TRIED = {"attempt": 0, "enteredAt": "2026-01-31T12:00:00+00:00"}
THROTTLED = AwsError("ThrottlingException", "Rate exceeded")


@pytest.fixture
def service(model: EcsModel) -> Service:
    # Two polls.
    model.behaviours[NEW_IMAGE] = Behaviour(start=80)
    return add_doorman(model)


class Fault:
    """Breaks a call of an action, the first one or another by its number, before or after it took effect."""

    def __init__(self, action: str, error: Exception, number: int = 1) -> None:
        self.action, self.error, self.left = action, error, number

    def __call__(self, action: str, _body: dict[str, Any]) -> None:
        if action == self.action:
            self.left -= 1
            if self.left == 0:
                raise self.error

    @property
    def done(self) -> bool:
        return self.left <= 0


def denied(action: str) -> AwsError:
    return AwsError("AccessDeniedException", DENIED.format(action=f"{PREFIXES.get(action, 'ecs')}:{action}"))


# Each call of a deployment without incident: the checks, the turn, the update, and the first poll and the last one.
CALLS = [
    *(("GetItem", number) for number in range(1, 9)),
    *(("TransactWriteItems", number) for number in range(1, 5)),
    *(("DescribeServices", number) for number in range(1, 5)),
    ("DescribeTaskDefinition", 1),
    ("DescribeImages", 1),
    ("RegisterTaskDefinition", 1),
    ("UpdateService", 1),
    ("UpdateItem", 1),
]
FAULTS = {
    "throttled": ("before_call", THROTTLED),
    "request lost": ("before_call", ConnectionAbortedError()),
    "answer lost": ("after_call", ConnectionAbortedError()),
}
# Where nobody knows whether an invocation still calls, the next try waits until it cannot.
WHILE_LOCKED = {("TransactWriteItems", 2), ("GetItem", 4), ("TransactWriteItems", 3)}


def test_the_calls_are_those_of_a_deployment_without_incident(model: EcsModel, service: Service, clock: Clock) -> None:
    execute(REQUEST, clock)
    called = model.called()
    assert {(action, called.count(action)) for action in called} == {
        ("GetItem", 8),
        ("UpdateItem", 1),
        ("TransactWriteItems", 4),
        ("DescribeServices", 4),
        ("DescribeTaskDefinition", 1),
        ("DescribeImages", 1),
        ("RegisterTaskDefinition", 1),
        ("UpdateService", 1),
        ("ListTasks", 1),
        ("DescribeTasks", 1),
    }


@pytest.mark.parametrize(("action", "number"), CALLS)
@pytest.mark.parametrize(("moment", "error"), FAULTS.values(), ids=FAULTS)
def test_a_single_fault_makes_no_second_revision_or_deployment(
    model: EcsModel, service: Service, clock: Clock, action: str, number: int, moment: str, error: Exception
) -> None:
    fault = Fault(action, error, number)
    setattr(model, moment, fault)
    end = execute(REQUEST, clock)
    hold_deployed_once(model, service, end)
    assert fault.done
    assert end.output
    assert end.output["seconds"] < (250 if (action, number) in WHILE_LOCKED else 130)


# And of one that fails and is undone: its verdict, the return, and the end.
MORE_CALLS = [
    *(("GetItem", number) for number in range(7, 13)),
    *(("TransactWriteItems", number) for number in range(4, 8)),
    *(("DescribeServices", number) for number in range(3, 6)),
    *(("ListTasks", number) for number in (1, 2)),
    *(("DescribeTasks", number) for number in (1, 2)),
    ("DescribeTaskDefinition", 2),
    ("UpdateService", 2),
    ("DeregisterTaskDefinition", 1),
]


@pytest.mark.parametrize(("action", "number"), MORE_CALLS)
@pytest.mark.parametrize("moment", ["before_call", "after_call"])
def test_a_single_fault_makes_no_other_end_of_a_failed_deployment_and_no_second_return(
    model: EcsModel, service: Service, clock: Clock, action: str, number: int, moment: str
) -> None:
    before = service.primary.revision
    model.behaviours[NEW_IMAGE] = CRASHES
    fault = Fault(action, ConnectionAbortedError(), number)
    setattr(model, moment, fault)
    end = execute(REQUEST, clock)
    assert fault.done
    assert end.error == "DeploymentFailed"
    assert end.cause
    assert (end.cause["rolledBack"], end.cause["replaced"]) == (True, before)
    assert service.primary.revision == before
    assert service.primary.id == f"ecs-svc/{3:019d}", "the third deployment that the service ever had"
    assert len(model.families["doorman"]) == 2
    assert state(clock).owner is None
    (entry,) = dynamodb.read_history(KEY)
    assert entry.result is Result.FAILED


@pytest.mark.parametrize(
    "error",
    [
        AwsError("ClientException", "Too many concurrent attempts to create a new revision of the specified family."),
        AwsError("ServerException", "Service Unavailable", 500),
        AwsError("ProvisionedThroughputExceededException", "The level of configured throughput was exceeded"),
        AwsError("TransactionInProgressException", "The transaction with the given request token is in progress"),
        AwsError(
            "TransactionCanceledException", "throttled", more={"CancellationReasons": [{"Code": "ThrottlingError"}]}
        ),
    ],
    ids=lambda error: error.code,
)
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_what_a_service_calls_its_own_trouble_is_tried_again(
    model: EcsModel, service: Service, clock: Clock, error: AwsError, number: int
) -> None:
    action = "RegisterTaskDefinition" if error.code == "ClientException" else "TransactWriteItems"
    number = 1 if error.code == "ClientException" else number
    fault = Fault(action, error, number)
    model.before_call = fault
    hold_deployed_once(model, service, execute(REQUEST, clock))
    assert fault.done


def hold_deployed_once(model: EcsModel, service: Service, end: End) -> None:
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert len(model.families["doorman"]) == 2
    assert service.primary.id == end.output["deployment"]
    assert service.primary.id == f"ecs-svc/{2:019d}", "the second deployment that the service ever had"
    assert images(model, service.primary.revision) == [NEW_IMAGE, NEW_IMAGE, OLD_PROXY]


def test_the_time_in_which_aws_cannot_be_asked_is_not_the_rollouts(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE] = Behaviour(start=285)
    started = clock.now()

    def throttle(action: str, _body: dict[str, Any]) -> None:
        if action == "DescribeServices" and 5 < (clock.now() - started).total_seconds() < 200:
            raise THROTTLED

    model.before_call = throttle
    hold_deployed_once(model, service, execute({**REQUEST, "timeout": 60}, clock))
    assert (clock.now() - started).total_seconds() > 285


def test_a_write_that_somebody_else_was_in_the_way_of_is_decided_again(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    conflict = {"CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}]}
    for number in range(1, 5):
        fault = Fault("TransactWriteItems", AwsError("TransactionCanceledException", "conflict", more=conflict), number)
        model.before_call = fault
        end = execute(REQUEST, clock, name=f"execution-{number}")
        assert fault.done
        assert end.output
        assert end.output["outcome"] == "DEPLOYED"
        assert len(model.families["doorman"]) == 1 + number
    assert "ListTaskDefinitions" not in model.called(), "no step was tried again"


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://ecs"),
        ConnectTimeoutError(endpoint_url="https://ecs"),
        ReadTimeoutError(endpoint_url="https://ecs"),
        SSLError(endpoint_url="https://ecs", error=OSError("reset")),
        ProxyConnectionError(proxy_url="https://proxy"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_aws_that_cannot_be_reached_is_tried_again(error: Exception) -> None:
    with pytest.raises(AwsUnavailable, match="https://"), translating():
        raise error


@pytest.mark.parametrize("moment", ["before_call", "after_call"])
def test_an_older_push_that_was_held_up_leaves_the_newer_one(
    model: EcsModel, service: Service, clock: Clock, moment: str
) -> None:
    """It died in its update; the newer push is deployed, and its execution over, when it is tried again."""
    newer: list[End] = []

    def deploy_newer(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService" and not newer:
            newer.append(End())
            newer[0] = execute({**NEWER_REQUEST, **push("newer", "11:59:30")}, clock, name="newer")
            raise ConnectionAbortedError

    setattr(model, moment, deploy_newer)
    older = execute({**REQUEST, **push("older", "11:59:00")}, clock, name="older")
    assert older.output
    assert older.output["outcome"] == "SUPERSEDED"
    assert newer[0].output
    assert service.primary.id == newer[0].output["deployment"]
    assert [each.rollout_state for each in service.deployments] == ["COMPLETED"]
    assert images(model, service.primary.revision) == [NEWER_IMAGE, NEWER_IMAGE, OLD_PROXY]


def test_who_has_lost_the_answer_of_its_end_finds_it_again_though_a_newer_one_is_deployed_since(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    newer: list[End] = []

    def deploy_newer(action: str, _body: dict[str, Any]) -> None:
        is_end = model.called("TransactWriteItems").count("TransactWriteItems") == 4
        if action == "TransactWriteItems" and is_end and not newer:
            newer.append(End())
            newer[0] = execute(NEWER_REQUEST, clock, name="newer")
            raise ConnectionAbortedError

    model.after_call = deploy_newer
    older = execute(REQUEST, clock, name="older")
    (ours, _) = [each.document["taskDefinitionArn"] for each in model.families["doorman"][1:]]
    assert older.output
    assert (older.output["outcome"], older.output["revision"]) == ("DEPLOYED", ours)
    assert newer[0].output
    assert newer[0].output["outcome"] == "DEPLOYED"
    assert newer[0].output["replaced"] == ours


def test_who_has_lost_the_answer_of_a_verdict_stays_with_it_though_the_rollout_completes_since(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    """It is in the history, and others may have acted on it."""
    before = service.primary.revision
    model.behaviours[NEW_IMAGE] = Behaviour(start=58)

    def lose_verdict(action: str, _body: dict[str, Any]) -> None:
        if action == "TransactWriteItems" and any('"FAILED"' in each["value"]["S"] for each in items()):
            model.after_call = lambda _action, _body: None
            clock.advance(30)
            raise ConnectionAbortedError

    def items() -> Iterable[dict[str, Any]]:
        return model.table.items.values()

    model.after_call = lose_verdict
    end = execute({**REQUEST, "timeout": 60}, clock)
    assert end.error == "DeploymentTimedOut"
    assert end.cause
    assert end.cause["rolledBack"] is True
    assert (service.primary.revision, service.primary.rollout_state) == (before, "COMPLETED")


def test_a_step_that_is_tried_again_waits_while_its_first_try_may_still_be_calling(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    """Lambda gives up on an invocation, and its function runs on."""
    first = first_task("one", REQUEST, clock.now())
    update = following(first, register_task_definition.handler({**first.event, **TRIED}, CONTEXT))
    assert isinstance(update, Task)
    second: list[type[Exception]] = []

    def try_again(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService" and not second:
            for seconds in (0, 85):
                clock.advance(seconds)
                with pytest.raises(AwsUnavailable, match="another invocation may be updating") as caught:
                    update_service.handler({**update.event, **TRIED}, Context(aws_request_id="second"))
                second.append(caught.type)

    model.before_call = try_again
    answer = update_service.handler({**update.event, **TRIED}, Context(aws_request_id="first"))
    assert answer["next"] == "wait_for_rollout"
    assert len(second) == 2
    assert model.called("UpdateService") == ["UpdateService"]


def test_no_call_is_begun_that_may_outlive_its_function(model: EcsModel, service: Service, clock: Clock) -> None:
    first = first_task("one", REQUEST, clock.now())
    update = following(first, register_task_definition.handler({**first.event, **TRIED}, CONTEXT))
    assert isinstance(update, Task)
    with pytest.raises(AwsUnavailable, match="too little time"):
        update_service.handler({**update.event, **TRIED}, Context(aws_request_id="late", milliseconds=24_999))
    assert "UpdateService" not in model.called()
    in_time = Context(aws_request_id="in time", milliseconds=25_000)
    assert update_service.handler({**update.event, **TRIED}, in_time)["next"] == "wait_for_rollout"


REFUSED = [
    "DescribeServices",
    "DescribeTaskDefinition",
    "DescribeImages",
    "RegisterTaskDefinition",
    "UpdateService",
    "GetItem",
    "TransactWriteItems",
]


@pytest.mark.parametrize("action", REFUSED)
def test_a_refused_call_is_named_with_its_role_and_nothing_more_is_changed(
    model: EcsModel, service: Service, clock: Clock, action: str
) -> None:
    before = service.primary.revision
    model.before_call = Fault(action, denied(action))
    end = execute(REQUEST, clock)
    assert end.error == "AccessDenied"
    assert end.cause
    assert f"{PREFIXES.get(action, 'ecs')}:{action}" in end.cause["message"]
    assert "EcsDeploy-Step" in end.cause["message"]
    assert (service.primary.revision, service.primary.rollout_state) == (before, "COMPLETED")
    assert model.writes in ([], ["RegisterTaskDefinition"], ["RegisterTaskDefinition", "UpdateService"])


@pytest.mark.parametrize("action", REFUSED)
def test_who_was_refused_leaves_the_service_to_the_next_one(
    model: EcsModel, service: Service, clock: Clock, action: str
) -> None:
    model.before_call = Fault(action, denied(action))
    execute(REQUEST, clock)
    assert state(clock).owner is None
    # A refused request stays refused: nothing in the history waits to be started again.
    assert all(each.result in {Result.FAILED, Result.ABANDONED} for each in dynamodb.read_history(KEY))


def test_a_poller_that_may_not_see_says_that_the_deployment_goes_on(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.before_call = Fault("DescribeServices", denied("DescribeServices"), number=3)
    end = execute(REQUEST, clock)
    assert end.error == "AccessDenied"
    assert end.cause
    assert "nobody watches it" in end.cause["message"]
    assert end.cause["revision"] == service.primary.revision
    assert model.writes == ["RegisterTaskDefinition", "UpdateService"]
    assert state(clock).owner is None


def test_an_error_that_will_not_go_away_is_not_retried(model: EcsModel, service: Service, clock: Clock) -> None:
    model.before_call = Fault("RegisterTaskDefinition", AwsError("ClientException", "Role is not valid"))
    end = execute(REQUEST, clock)
    assert end.error == "DeploymentFailed"
    assert end.cause
    assert "Role is not valid" in end.cause["message"]
    assert model.writes == ["RegisterTaskDefinition"]


def test_who_is_refused_after_the_service_was_updated_does_not_say_that_nothing_was_changed(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    """A person's change of the very moment was displaced, so a second revision has to be registered."""
    theirs = add_theirs(model)
    second = Fault("RegisterTaskDefinition", denied("RegisterTaskDefinition"), number=2)

    def change_once(action: str, body: dict[str, Any]) -> None:
        if action == "UpdateService" and model.called("UpdateService") == ["UpdateService"]:
            model.start_deployment(service, theirs)
        second(action, body)

    model.before_call = change_once
    end = execute(REQUEST, clock)
    assert second.done
    assert end.error == "AccessDenied"
    assert end.cause
    assert images(model, service.primary.revision)[0] == NEW_IMAGE
    assert "othing was changed" not in end.cause["message"]
    assert end.cause["revision"] == service.primary.revision


# The table.


def value(content: object) -> dict[str, Any]:
    return {"value": {"S": content if isinstance(content, str) else json.dumps(content)}}


Broken = Callable[[dict[str, Any]], dict[str, Any]]
FOREIGN: dict[str, Broken] = {
    "no value": lambda _: {"colour": {"S": "red"}},
    "a number": lambda _: {"value": {"N": "1"}},
    "no JSON": lambda _: value("red"),
    "no object": lambda _: value([1]),
    "null": lambda _: value(None),
    "nothing in it": lambda _: value({}),
    "another type": lambda known: value({**known, "rev": "one", "candidate": "one"}),
    "another moment": lambda known: value({**known, "since": "yesterday", "ended_at": "yesterday"}),
}


@pytest.mark.parametrize("broken", FOREIGN.values(), ids=FOREIGN)
def test_a_state_that_is_not_the_deployers_stops_it_before_anything_is_changed(
    model: EcsModel, service: Service, clock: Clock, broken: Broken
) -> None:
    execute(REQUEST, clock, name="before")
    runs, writes = service.primary.id, list(model.writes)
    corrupt(model, "STATE", broken)
    for name, request in (("image", NEWER_REQUEST), ("revert", {**SERVICE, "revert": True})):
        hold_unreadable(execute(request, clock, name=name), f"{KEY}, STATE of the table state")
    assert (service.primary.id, model.writes) == (runs, writes)


@pytest.mark.parametrize("broken", FOREIGN.values(), ids=FOREIGN)
def test_a_history_that_is_not_the_deployers_stops_a_revert(
    model: EcsModel, service: Service, clock: Clock, broken: Broken
) -> None:
    execute(REQUEST, clock, name="before")
    runs, writes = service.primary.id, list(model.writes)
    corrupt(model, "HISTORY", broken)
    hold_unreadable(execute({**SERVICE, "revert": True}, clock, name="revert"), f"{KEY}, HISTORY#2026-01-31")
    assert (service.primary.id, model.writes) == (runs, writes)


def corrupt(model: EcsModel, place: str, broken: Broken) -> None:
    """Put foreign content into the items of the table whose place begins so; they keep their keys and revisions."""
    found = {key: item for key, item in model.table.items.items() if key[1].startswith(place)}
    assert found
    for key, item in found.items():
        known = json.loads(item["value"]["S"])
        rest = {name: each for name, each in item.items() if name != "value"}
        model.table.items[key] = {**rest, **broken(known)}


def hold_unreadable(end: End, where: str) -> None:
    assert end.error == "StateUnreadable"
    assert end.cause
    assert where in end.cause["message"]
    assert "docs/operating.md" in end.cause["message"]
    assert "Nothing was changed" in end.cause["message"]
    assert end.cause["rolledBack"] is None


def test_a_table_that_is_not_there_stops_the_deployer_before_anything_is_changed(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.table.exists = False
    hold_unreadable(execute(REQUEST, clock), "The table state cannot be used")
    assert model.writes == []


@pytest.mark.parametrize("action", ["GetItem", "TransactWriteItems"])
@pytest.mark.parametrize("after", ["RegisterTaskDefinition", "UpdateService"])
def test_a_table_that_vanishes_is_said_with_what_is_left(
    model: EcsModel, service: Service, clock: Clock, after: str, action: str
) -> None:
    def vanish(called: str, _body: dict[str, Any]) -> None:
        if called == action and after in model.called():
            raise AwsError("ResourceNotFoundException", "Requested resource not found")

    model.before_call = vanish
    end = execute(REQUEST, clock)
    assert end.error == "StateUnreadable"
    assert end.cause
    assert end.cause["revision"] == model.families["doorman"][-1].document["taskDefinitionArn"]
    if after == "UpdateService":
        assert service.primary.revision == end.cause["revision"]
        assert "nobody watches it" in end.cause["message"]
    else:
        assert images(model, service.primary.revision) == [OLD_IMAGE, OLD_IMAGE, OLD_PROXY]
        assert "the service was not changed" in end.cause["message"]


def test_without_its_history_a_revert_says_that_it_knows_of_nothing(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    execute(REQUEST, clock, name="before")
    model.table.items.clear()
    end = execute({**SERVICE, "revert": True}, clock, name="revert")
    assert end.error == "NothingToRevertTo"
    assert images(model, service.primary.revision)[0] == NEW_IMAGE
