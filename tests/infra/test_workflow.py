"""The definition: its structure, what its expressions make of real data, and its picture."""

from __future__ import annotations

import json
import math
import random
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

import pytest

from ecs_deploy.aws.waits import PLACE
from ecs_deploy.core.codec import encode
from ecs_deploy.core.decision import (
    Ask,
    Decision,
    Fail,
    Outcome,
    Pause,
    Register,
    Succeed,
    Turn,
    Update,
    Wait,
    WaitForTurn,
    as_answer,
)
from ecs_deploy.core.errors import Error
from ecs_deploy.core.plan import Plan, Rollout
from ecs_deploy.core.service_deployment import Hook
from ecs_deploy.core.state import Base, Candidate, Phase
from infra import asl
from infra.fault import RETRY_DESCRIBE
from infra.picture import mermaid
from infra.targets import LONGEST_TIMEOUT
from infra.workflow import (
    FUNCTION_TIMEOUT,
    LONGEST_EXECUTION,
    NOT_NOTIFIED,
    NOTIFICATION_TIMEOUT,
    RETRY,
    RETRY_NOTIFICATION,
    ROUTES,
    STEPS,
    definition,
)
from tests.infra.jsonata import evaluate
from tests.support.events import APPROVAL, OUTCOME, PAUSED, STARTED, as_event, hold

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKFLOW = definition()
STATES: dict[str, dict[str, Any]] = WORKFLOW["States"]
WAITING = {name: state for name, state in STATES.items() if state.get("Resource", "").endswith("waitForTaskToken")}
TASKS = {name: state for name, state in STATES.items() if state.get("Resource", "").endswith("lambda:invoke")}
NOTIFYING = {name: state for name, state in STATES.items() if state.get("Resource", "").endswith("events:putEvents")}
EXECUTION: dict[str, Any] = {
    "Id": "arn:aws:states:us-east-1:123456789012:execution:Machine:one",
    "Name": "one",
    "StartTime": "2026-11-23T12:00:00.000Z",
    "Input": {"ignored": True},
}
ENTERED_AT = "2026-11-23T12:00:05.000Z"
CONTEXT = {"Execution": EXECUTION, "State": {"RetryCount": 2, "EnteredTime": ENTERED_AT}}


def followers(state: dict[str, Any]) -> Iterator[str]:
    yield from (way["Next"] for way in (state, *state.get("Choices", []), *state.get("Catch", [])) if "Next" in way)
    if "Default" in state:
        yield state["Default"]


def strings(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for inner in value.values():
                yield from strings(inner)
        case list():
            for inner in value:
                yield from strings(inner)
        case str():
            yield value


def test_every_way_leads_to_a_state_and_every_state_is_reached() -> None:
    reached = {WORKFLOW["StartAt"]}
    waiting = [WORKFLOW["StartAt"]]
    while waiting:
        new = set(followers(STATES[waiting.pop()])) - reached
        reached |= new
        waiting += sorted(new)
    assert reached == set(STATES)


def test_only_terminal_states_lead_nowhere() -> None:
    ends = {name for name, state in STATES.items() if not list(followers(state))}
    assert ends == {"Succeeded", "Failed"}
    assert {STATES[name]["Type"] for name in ends} == {"Succeed", "Fail"}


def test_the_fields_are_those_of_jsonata_states() -> None:
    assert WORKFLOW["QueryLanguage"] == "JSONata"
    common = {"Type", "Next", "Output"}
    fields = {
        "Task": common | {"Resource", "Arguments", "TimeoutSeconds", "Retry", "Catch"},
        "Choice": {"Type", "Choices", "Default"},
        "Wait": common | {"Seconds"},
        "Pass": {"Type", "Next"},
        "Succeed": {"Type", "Output"},
        "Fail": {"Type", "Error", "Cause"},
    }
    for state in STATES.values():
        assert state.keys() <= fields[state["Type"]]


def test_expressions_are_whole_and_compile() -> None:
    expressions = [text for text in strings(WORKFLOW) if "{%" in text or "%}" in text or "$states" in text]
    assert len(expressions) > 20
    for text in expressions:
        assert text.startswith("{% ")
        assert text.endswith(" %}")
        assert text.count("%}") == text.count("{%") == 1
    # A function that is not called is only compiled.
    evaluate(*((f"{{% $exists(function() {{ {text[2:-2]} }}) %}}", {}) for text in expressions))


@pytest.mark.parametrize("name", TASKS)
def test_every_task_retries_and_catches(name: str) -> None:
    state = TASKS[name]
    assert state["Retry"] == [RETRY]
    (catch,) = state["Catch"]
    assert catch["ErrorEquals"] == ["States.ALL"]
    assert catch["Next"] == "WhatNext"
    assert state["TimeoutSeconds"] > FUNCTION_TIMEOUT
    assert state["Arguments"]["FunctionName"] == f"${{{name}Function}}"


def test_every_step_is_a_task() -> None:
    assert list(TASKS) == [step.state for step in STEPS]
    assert {name for name, state in STATES.items() if state["Type"] == "Task"} == {
        *TASKS,
        *NOTIFYING,
        *WAITING,
        "Diagnose",
    }


def delays(retry: dict[str, Any]) -> list[float]:
    """The longest that each delay can be, in seconds."""
    return [
        min(retry["IntervalSeconds"] * retry["BackoffRate"] ** attempt, retry.get("MaxDelaySeconds", math.inf))
        for attempt in range(retry["MaxAttempts"])
    ]


def waiting(retry: dict[str, Any]) -> float:
    """Seconds on average: full jitter draws each delay between nothing and all of it."""
    return float(sum(delays(retry))) / 2


def test_an_end_waits_for_its_notification_but_not_long() -> None:
    assert waiting(RETRY_NOTIFICATION) == 151.5


ANSWERS: dict[str, dict[str, Any]] = {
    "NotifyApproval": {"next": "notify_approval", "wait": 5, "turn": {}, "notification": {"expiresAt": "a"}},
    "NotifyStart": {"next": "announce", "plan": {}, "rollout": {}, "notification": {"title": "a", "image": None}},
    "NotifyPause": {"next": "notify_pause", "wait": 5, "plan": {}, "rollout": {}, "notification": {"hook": "a"}},
    "NotifySuccess": {"next": "succeed", "outcome": {"outcome": "DEPLOYED"}, "notification": {"leadTime": 1.5}},
    "NotifyFailure": {"next": "fail", "failure": {"error": "E", "cause": {}}, "notification": {"reasons": []}},
}
FOLLOWING = {
    "NotifyApproval": "WaitForTurn",
    "NotifyStart": "UpdateService",
    "NotifyPause": "WaitForRollout",
    "NotifySuccess": "Succeeded",
    "NotifyFailure": "Failed",
}
DETAIL_TYPES = {"NotifyApproval": APPROVAL, "NotifyStart": STARTED, "NotifyPause": PAUSED}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_notification_is_sent_as_the_function_made_it_and_stands_in_nobodys_way(name: str) -> None:
    state, answer = NOTIFYING[name], ANSWERS[name]
    assert state["Resource"] == "arn:${Partition}:states:::events:putEvents"
    assert state["TimeoutSeconds"] == NOTIFICATION_TIMEOUT
    assert state["Retry"] == [RETRY_NOTIFICATION]
    (catch,) = state["Catch"]
    arguments, output, caught = evaluate(
        (state["Arguments"], {"input": answer}),
        (state["Output"], {"input": answer}),
        (catch["Output"], {"input": answer}),
    )
    detail_type = DETAIL_TYPES.get(name, OUTCOME)
    assert arguments == {
        "Entries": [{"Source": "ecs-deploy", "DetailType": detail_type, "Detail": answer["notification"]}]
    }
    assert output == caught == (answer["outcome"] if name == "NotifySuccess" else answer)
    # Whether it was sent changes nothing but the state in between, which only an alarm looks for.
    assert catch["ErrorEquals"] == ["States.ALL"]
    assert catch["Next"] in NOT_NOTIFIED
    assert STATES[catch["Next"]] == {"Type": "Pass", "Next": FOLLOWING[name]}
    assert state["Next"] == FOLLOWING[name]


def test_each_notification_has_a_state_of_its_own_for_where_it_is_not_sent() -> None:
    assert set(NOTIFYING) == set(ANSWERS)
    assert sorted(state["Catch"][0]["Next"] for state in NOTIFYING.values()) == sorted(NOT_NOTIFIED)


def test_the_longest_rollout_and_its_return_fit_into_one_execution() -> None:
    assert WORKFLOW["TimeoutSeconds"] == LONGEST_EXECUTION >= 2 * LONGEST_TIMEOUT


def test_retries_outlast_twenty_minutes() -> None:
    assert waiting(RETRY) == 2_101.5
    chance = random.Random(0)
    assert min(sum(chance.uniform(0, delay) for delay in delays(RETRY)) for _ in range(10_000)) > 20 * 60


REQUESTS: list[Any] = [
    {"cluster": "production1", "service": "doorman-service", "image": "doorman:v1"},
    {},
    [],
    [1],
    [[1]],
    [None],
    [[], []],
    None,
    "",
    "doorman",
    0,
    -1.5,
    False,
    {"image": "{% 1 + 1 %}", "list": ["{% $states.context %}"], "one": [1], "none": [], "null": None},
    "{% $error('evaluated') %}",
    {"next": "succeed", "failure": {"error": "mine"}, "plan": {"revision": "mine"}},
]


def test_the_first_function_gets_the_input_as_it_is() -> None:
    payload = STATES["RegisterTaskDefinition"]["Arguments"]["Payload"]
    contexts = [{**CONTEXT, "Execution": {**EXECUTION, "Input": request}} for request in REQUESTS]
    payloads = evaluate(
        *(
            (payload, {"input": request, "context": context})
            for request, context in zip(REQUESTS, contexts, strict=True)
        )
    )
    assert payloads == [
        {
            "request": request,
            "resumed": None,
            "execution": {"id": EXECUTION["Id"], "name": "one", "startedAt": EXECUTION["StartTime"]},
            "attempt": 2,
            "enteredAt": ENTERED_AT,
        }
        for request in REQUESTS
    ]


MINE = "arn:aws:ecs:us-east-1:123456789012:task-definition/doorman:2"
BEFORE = "arn:aws:ecs:us-east-1:123456789012:task-definition/doorman:1"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PUSHED_AT = datetime(2026, 11, 23, 11, 59, tzinfo=UTC)
PLAN = Plan(
    candidate=Candidate(
        EXECUTION["Id"], "event", NOON.replace(hour=11, minute=59), NOON, is_push=True, digest="sha256:1"
    ),
    cluster="production1",
    service="doorman-service",
    request={"cluster": "production1", "service": "doorman-service", "image": "doorman:v1", "timeout": 600},
    containers=("web",),
    image="doorman:v1",
    revision=MINE,
    base=Base(BEFORE),
    replaced=BEFORE,
    timeout=600,
    rollback=True,
)
ROLLOUT = Rollout(Phase.DEPLOYING, MINE)
WAIT_FOR_TURN = WaitForTurn(Turn(("web",), "sha256:1", NOON), 5, "production1/doorman-service", 3)
DECISIONS: list[tuple[Decision, str]] = [
    (WAIT_FOR_TURN, "WaitForTurn"),
    (Ask(WAIT_FOR_TURN, {}), "NotifyApproval"),
    (Register(PLAN, ROLLOUT), "RegisterTaskDefinition"),
    (Update(PLAN, ROLLOUT, announced=False), "NotifyStart"),
    (Update(PLAN, ROLLOUT), "UpdateService"),
    (Wait(PLAN, ROLLOUT, 5), "WaitForRollout"),
    (Pause(PLAN, ROLLOUT, 5, Hook("hook", "PAUSE", "", "AWAITING_ACTION", None, "ROLLBACK")), "NotifyPause"),
    (Succeed({"outcome": Outcome.DEPLOYED}), "NotifySuccess"),
    (Fail(Error.DEPLOYMENT_FAILED, {}), "NotifyFailure"),
]
CHOICES: list[dict[str, Any]] = STATES["WhatNext"]["Choices"]


def chosen(answer: dict[str, Any]) -> tuple[str, Any]:
    """The state that follows an answer, and its input."""
    holds = evaluate(*((choice["Condition"], {"input": answer}) for choice in CHOICES))
    for choice, held in zip(CHOICES, holds, strict=True):
        if held:
            (output,) = evaluate((choice.get("Output", "{% $states.input %}"), {"input": answer}))
            return choice["Next"], output
    return STATES["WhatNext"]["Default"], answer


@pytest.mark.parametrize(("decision", "state"), DECISIONS)
def test_every_decision_of_a_function_has_its_state(decision: Decision, state: str) -> None:
    assert chosen(as_answer(decision))[0] == state


def test_every_kind_of_decision_and_every_route_is_tried() -> None:
    assert {type(decision) for decision, _ in DECISIONS} == set(get_args(Decision))
    assert {state for _, state in DECISIONS} == {*ROUTES.values(), "NotifyFailure"} - {"Diagnose"}
    assert [choice["Next"] for choice in CHOICES] == list(ROUTES.values())


@pytest.mark.parametrize("unknown", ["fail", "wait", "Update", "", None, 1, ["update"]])
def test_whatever_else_comes_next_is_the_failure(unknown: object) -> None:
    assert chosen({"next": unknown})[0] == "NotifyFailure"


def test_nothing_but_next_routes() -> None:
    (only,) = (name for name, state in STATES.items() if state["Type"] == "Choice")
    assert only == "WhatNext"
    for choice in CHOICES:
        assert re.fullmatch(r"\{% \$states\.input\.next = '\w+' %\}", choice["Condition"])
        assert choice.keys() <= {"Condition", "Next", "Output"}


def test_the_first_function_resumes_with_what_it_knows() -> None:
    payload, waited = STATES["RegisterTaskDefinition"]["Arguments"]["Payload"], STATES["WaitForTurn"]
    waits, registers = as_answer(WAIT_FOR_TURN), as_answer(Register(PLAN, ROLLOUT))
    seconds, after_the_wait = evaluate(
        (waited["TimeoutSeconds"], {"input": waits}), (waited["Output"], {"input": waits})
    )
    assert seconds == 5
    assert after_the_wait == {"resumed": {"turn": waits["turn"]}}
    assert chosen(registers)[1] == {"resumed": {"plan": registers["plan"], "rollout": registers["rollout"]}}
    assert waited["Next"] == "RegisterTaskDefinition"
    for given in (after_the_wait, chosen(registers)[1]):
        (payloads,) = evaluate((payload, {"input": given, "context": CONTEXT}))
        assert payloads == {
            "request": EXECUTION["Input"],
            "resumed": given["resumed"],
            "execution": {"id": EXECUTION["Id"], "name": "one", "startedAt": EXECUTION["StartTime"]},
            "attempt": 2,
            "enteredAt": ENTERED_AT,
        }


@pytest.mark.parametrize("name", ["UpdateService", "PollStability"])
def test_the_others_get_the_plan_and_the_rollout(name: str) -> None:
    plan = {"revision": "arn:2", "replaced": None, "image": "{% 1 %}", "containers": ["web"]}
    rollout = {"polls": 0, "failure": None}
    states = {"input": {"next": "update", "wait": 5, "plan": plan, "rollout": rollout}, "context": CONTEXT}
    payload = STATES[name]["Arguments"]["Payload"]
    assert evaluate((payload, states)) == [{"plan": plan, "rollout": rollout, "attempt": 2, "enteredAt": ENTERED_AT}]


def test_the_wait_and_the_ends_say_what_the_function_said() -> None:
    cause = {"message": 'a "quoted" ü', "reasons": ["one"], "revision": None, "replaced": "arn:1", "rolledBack": False}
    answer = {"wait": 7, "outcome": {"outcome": "DEPLOYED"}, "failure": {"error": "ImageNotFound", "cause": cause}}
    payload, seconds, output, error, said = evaluate(
        (STATES["UpdateService"]["Output"], {"result": {"StatusCode": 200, "Payload": answer}}),
        (STATES["WaitForRollout"]["TimeoutSeconds"], {"input": answer}),
        (STATES["NotifySuccess"]["Output"], {"input": answer}),
        (STATES["Failed"]["Error"], {"input": answer}),
        (STATES["Failed"]["Cause"], {"input": answer}),
    )
    assert (payload, seconds, output, error) == (answer, 7, answer["outcome"], "ImageNotFound")
    assert json.loads(said) == cause


@pytest.mark.parametrize("name", ["WaitForTurn", "WaitForRollout"])
def test_a_wait_stores_its_token_and_goes_on_whatever_becomes_of_it(name: str) -> None:
    state, by_time = STATES[name], STATES[f"{name}ByTime"]
    decision = next(decision for decision, where in DECISIONS if where == name)
    answer = as_answer(decision)
    context = {**CONTEXT, "Task": {"Token": "the token"}}
    request, seconds = evaluate(
        (state["Arguments"], {"input": answer, "context": context}), (state["TimeoutSeconds"], {"input": answer})
    )
    assert request == {
        "TableName": "${Table}",
        "Key": {"pk": {"S": "production1/doorman-service"}, "sk": {"S": PLACE}},
        "UpdateExpression": "SET #me = :token",
        "ConditionExpression": "attribute_not_exists(signals) OR signals = :signals",
        "ExpressionAttributeNames": {"#me": EXECUTION["Id"]},
        "ExpressionAttributeValues": {":token": {"S": "the token"}, ":signals": {"N": answer["signals"]}},
    }
    assert seconds == answer["wait"] == 5
    timed_out, failed = state["Catch"]
    # In the spelling of either page.
    assert timed_out["ErrorEquals"] == [
        "States.Timeout",
        "DynamoDb.ConditionalCheckFailedException",
        "DynamoDB.ConditionalCheckFailedException",
    ]
    assert (failed["ErrorEquals"], failed["Next"], by_time["Type"]) == (["States.ALL"], f"{name}ByTime", "Wait")
    assert timed_out["Next"] == state["Next"] == by_time["Next"]
    assert "Retry" not in state
    given = {"input": answer}
    after, caught, waited, seconds = evaluate(
        *((each["Output"], given) for each in (state, timed_out, by_time)), (by_time["Seconds"], given)
    )
    assert after == caught == waited == ({"resumed": {"turn": answer["turn"]}} if name == "WaitForTurn" else answer)
    assert seconds == 5
    assert evaluate((failed["Output"], given)) == [answer]


LONG = "x" * 2_000
ERRORS: list[tuple[dict[str, Any], str]] = [
    (
        {"Error": "KeyError", "Cause": '{"errorMessage": "\'tags\'", "errorType": "KeyError", "stackTrace": []}'},
        "KeyError: 'tags'",
    ),
    ({"Error": "AwsUnavailable", "Cause": json.dumps({"errorMessage": LONG})}, f"AwsUnavailable: {LONG[:500]}"),
    ({"Error": "E", "Cause": json.dumps({"errorMessage": 'a "quote" \\'})}, 'E: a \\"quote\\" \\\\'),
    ({"Error": "E", "Cause": '{"errorType":"E","errorMessage":"cut o'}, "E: cut o"),
    ({"Error": "E", "Cause": '{"errorMessage":""}'}, "E"),
    ({"Error": "Sandbox.Timedout", "Cause": "no JSON at all"}, "Sandbox.Timedout: no JSON at all"),
    ({"Error": "Lambda.Unknown", "Cause": LONG}, f"Lambda.Unknown: {LONG[:500]}"),
    ({"Error": "States.Timeout", "Cause": ""}, "States.Timeout"),
    ({"Error": "States.Timeout"}, "States.Timeout"),
    ({"Error": "E", "Cause": "{% $error() %}"}, "E: {% $error() %}"),
]


KNOWN = {"plan": encode(PLAN), "rollout": encode(ROLLOUT)}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("known", [{}, {"plan": {}}, KNOWN])
def test_a_broken_deployer_says_so_in_the_same_shape(name: str, known: dict[str, Any]) -> None:
    output = STATES[name]["Catch"][0]["Output"]
    caught = evaluate(*((output, {"input": known, "errorOutput": error, "context": CONTEXT}) for error, _ in ERRORS))
    ends = evaluate(
        *((STATES["Failed"]["Error"], {"input": data}) for data in caught),
        *((STATES["Failed"]["Cause"], {"input": data}) for data in caught),
    )
    assert set(ends[: len(caught)]) == {"DeploymentFailed"}
    planned = known.get("plan") if name != "RegisterTaskDefinition" else None
    for said, data, (_, reason) in zip(ends[len(caught) :], caught, ERRORS, strict=True):
        cause = json.loads(said)
        message = cause["message"]
        assert cause == {
            "message": message,
            "reasons": [reason],
            "image": "doorman:v1" if planned else None,
            "digest": "sha256:1" if planned else None,
            "revision": MINE if planned else None,
            "replaced": BEFORE if planned else None,
            "rolledBack": None,
        }
        assert name in message
        assert "not determined" in message
        hold(as_event(OUTCOME, data["notification"]))
        assert cause.items() <= data["notification"].items()


def broken(name: str = "PollStability", request: Any = None, **more: Any) -> dict[str, Any]:
    """The output of a step that broke."""
    output = STATES[name]["Catch"][0]["Output"]
    context = {**CONTEXT, "Execution": {**EXECUTION, "Input": request}}
    states = {"input": KNOWN, "context": context, "errorOutput": {"Error": "KeyError"}, **more}
    (caught,) = evaluate((output, states))
    assert isinstance(caught, dict)
    return caught


@pytest.mark.parametrize(
    ("request_", "state"),
    [
        ({"cluster": "production1", "service": "doorman-service"}, "Diagnose"),
        ({"cluster": "{% $error() %}", "service": ""}, "Diagnose"),
        ({"cluster": "production1"}, "NotifyFailure"),
        ({"cluster": "production1", "service": None}, "NotifyFailure"),
        ({"cluster": ["production1"], "service": "doorman-service"}, "NotifyFailure"),
        ([{"cluster": "production1", "service": "doorman-service"}], "NotifyFailure"),
        (None, "NotifyFailure"),
    ],
)
def test_only_a_service_that_the_request_names_is_described(request_: Any, state: str) -> None:
    first = broken("RegisterTaskDefinition", request_, input=request_)
    # Where it is resumed, the state has another input.
    resumed = broken("RegisterTaskDefinition", request_, input={"resumed": KNOWN})
    assert [chosen(each)[0] for each in (first, resumed, broken())] == [state, state, "Diagnose"]
    if state == "Diagnose":
        (arguments,) = evaluate((STATES[state]["Arguments"], {"input": resumed}))
        assert arguments == {"Cluster": request_["cluster"], "Services": [request_["service"]]}


def deployment(number: int, status: str = "PRIMARY", **more: Any) -> dict[str, Any]:
    """As Step Functions gives it."""
    revision = f"arn:aws:ecs:us-east-1:123456789012:task-definition/doorman:{number}"
    return {"Status": status, "TaskDefinition": revision, "RunningCount": 1, "DesiredCount": 2, **more}


ON_MINE = "on doorman:2, the revision of this execution"
DESCRIBED: list[tuple[dict[str, Any], str]] = [
    (
        {"Deployments": [deployment(2, RolloutState="IN_PROGRESS"), deployment(1, "ACTIVE", RolloutState="COMPLETED")]},
        f"{ON_MINE}: its rollout is IN_PROGRESS, 1 of 2 tasks run",
    ),
    (
        {"Deployments": [deployment(1, RolloutState="COMPLETED", RunningCount=2)]},
        f"on doorman:1, and not {ON_MINE}: its rollout is COMPLETED, 2 of 2 tasks run",
    ),
    ({"Deployments": [deployment(2)]}, f"{ON_MINE}: ECS gives no rollout state, 1 of 2 tasks run"),
    # Where ECS shifts traffic, and where the service was deleted.
    ({"Deployments": [], **deployment(2, "ACTIVE")}, f"{ON_MINE}: ECS gives no rollout state, 1 of 2 tasks run"),
    (
        {"Deployments": None, **deployment(2, "INACTIVE", RunningCount=0, DesiredCount=None)},
        f"INACTIVE, {ON_MINE}: ECS gives no rollout state, 0 of ? tasks run",
    ),
]


@pytest.mark.parametrize(("service", "said"), DESCRIBED)
def test_what_breaks_says_what_the_service_was_left_in(service: dict[str, Any], said: str) -> None:
    caught = broken()
    result = {"Services": [{"Status": "ACTIVE", **service}], "Failures": []}
    (output,) = evaluate((STATES["Diagnose"]["Output"], {"input": caught, "result": result}))
    message = (
        f"The deployer broke while following the rollout. The service is {said}. Nobody watches it any more. "
        "Look at the service's deployments in ECS, and at the log of the function PollStability."
    )
    assert output == {
        "failure": {"error": "DeploymentFailed", "cause": {**caught["failure"]["cause"], "message": message}},
        "notification": {**caught["notification"], "message": message},
    }
    hold(as_event(OUTCOME, output["notification"]))


def test_a_first_step_that_breaks_does_not_know_its_revision() -> None:
    caught = broken("RegisterTaskDefinition", PLAN.request)
    result = {"Services": [{"Status": "ACTIVE", "Deployments": [deployment(1, RolloutState="COMPLETED")]}]}
    (output,) = evaluate((STATES["Diagnose"]["Output"], {"input": caught, "result": result}))
    assert (
        "The service is on doorman:1: its rollout is COMPLETED, 1 of 2 tasks run." in output["notification"]["message"]
    )


@pytest.mark.parametrize("result", [{"Services": [], "Failures": [{"Reason": "MISSING"}]}, {}])
def test_a_service_that_is_gone_is_said(result: dict[str, Any]) -> None:
    (output,) = evaluate((STATES["Diagnose"]["Output"], {"input": broken(), "result": result}))
    assert (
        "The deployer broke while following the rollout. There is no such service. Look"
        in output["notification"]["message"]
    )


@pytest.mark.parametrize(("error", "reason"), ERRORS)
def test_a_description_that_fails_says_why(error: dict[str, Any], reason: str) -> None:
    diagnose, caught = STATES["Diagnose"], broken()
    assert diagnose["Resource"] == "arn:${Partition}:states:::aws-sdk:ecs:describeServices"
    assert diagnose["Retry"] == [RETRY_DESCRIBE]
    assert waiting(RETRY_DESCRIBE) == 3.5
    (catch,) = diagnose["Catch"]
    assert (catch["ErrorEquals"], catch["Next"], diagnose["Next"]) == (["States.ALL"], "NotifyFailure", "NotifyFailure")
    (output,) = evaluate((catch["Output"], {"input": caught, "errorOutput": error}))
    reasons = ["KeyError", f"the service could not be described: {reason}"[:600]]
    assert output == {
        "failure": {"error": "DeploymentFailed", "cause": {**caught["failure"]["cause"], "reasons": reasons}},
        "notification": {**caught["notification"], "reasons": reasons},
    }
    assert "not determined" in output["notification"]["message"]
    hold(as_event(OUTCOME, output["notification"]))


def test_the_notification_of_a_broken_deployer_says_of_what() -> None:
    detail = broken()["notification"]
    assert detail["title"] == "DeploymentFailed: doorman-service in production1"
    assert detail["request"] == PLAN.request
    assert (detail["cluster"], detail["service"], detail["image"]) == ("production1", "doorman-service", "doorman:v1")
    assert (detail["requestedAt"], detail["startedAt"]) == ("2026-11-23T11:59:00.000Z", EXECUTION["StartTime"])
    assert detail["seconds"] >= 0


HOSTILE: list[Any] = [
    dict.fromkeys(("cluster", "service", "image", "tag", "container", "revision", "other"), '"\\\n<x>' * 20000),
    {"cluster": ["a"], "service": {"a": 1}, "image": 5, "push": "x" * 200_000},
    [{"service": "a"}, {"service": "b"}],
]


@pytest.mark.parametrize("request_", [*REQUESTS, *HOSTILE])
def test_a_request_cannot_speak_for_a_broken_first_step(request_: Any) -> None:
    caught = broken("RegisterTaskDefinition", request_, input=request_)
    assert caught["failure"]["cause"]["revision"] is None
    hold(as_event(OUTCOME, caught["notification"]))
    assert len(json.dumps(caught["notification"])) < 10_000


def test_the_picture_shows_every_way() -> None:
    picture = mermaid(WORKFLOW)
    assert picture == mermaid(definition())
    ways = {line.partition(" : ")[0].strip() for line in picture.splitlines()[1:]}
    assert ways == {f"[*] --> {WORKFLOW['StartAt']}"} | {
        f"{name} --> {end}" for name, state in STATES.items() for end in (*followers(state), *_end(state))
    }


def _end(state: dict[str, Any]) -> list[str]:
    return ["[*]"] if state["Type"] in {"Succeed", "Fail"} else []


def test_the_file_for_workflow_studio_is_in_step() -> None:
    assert asl.FILE.read_text() == asl.text(), "run `make picture`"
