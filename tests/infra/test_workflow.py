"""The definition: its structure, what its expressions make of real data, and its picture."""

from __future__ import annotations

import json
import math
import random
from typing import TYPE_CHECKING, Any

import pytest

from infra.broken import LOOK, RETRY_LOOK, WHERE
from infra.picture import mermaid
from infra.targets import LONGEST_TIMEOUT
from infra.workflow import (
    FUNCTION_TIMEOUT,
    LONGEST_EXECUTION,
    NOTICE_TIMEOUT,
    RETRY,
    RETRY_NOTICE,
    STEPS,
    definition,
)
from tests.infra.jsonata import evaluate
from tests.support.events import OUTCOME, STARTED, as_event, hold

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKFLOW = definition()
STATES: dict[str, dict[str, Any]] = WORKFLOW["States"]
TASKS = {name: state for name, state in STATES.items() if state.get("Resource", "").endswith("lambda:invoke")}
TELLING = {name: state for name, state in STATES.items() if state.get("Resource", "").endswith("events:putEvents")}
EXECUTION = {
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
    assert catch["Next"] == WHERE
    assert state["TimeoutSeconds"] > FUNCTION_TIMEOUT
    assert state["Arguments"]["FunctionName"] == f"${{{name}Function}}"


def test_every_step_is_a_task() -> None:
    assert list(TASKS) == [step.state for step in STEPS]
    assert {name for name, state in STATES.items() if state["Type"] == "Task"} == {*TASKS, *TELLING, LOOK}


def delays(retry: dict[str, Any]) -> list[float]:
    """The longest that each delay can be, in seconds."""
    return [
        min(retry["IntervalSeconds"] * retry["BackoffRate"] ** attempt, retry.get("MaxDelaySeconds", math.inf))
        for attempt in range(retry["MaxAttempts"])
    ]


def waiting(retry: dict[str, Any]) -> float:
    """Seconds on average: full jitter draws each delay between nothing and all of it."""
    return float(sum(delays(retry))) / 2


def test_an_end_waits_for_its_notice_but_not_long() -> None:
    assert waiting(RETRY_NOTICE) == 151.5


ANSWERS: dict[str, dict[str, Any]] = {
    "TellStart": {"next": "update", "progress": {"revision": "arn:2"}, "notice": {"title": "a", "image": None}},
    "TellSuccess": {"next": "succeed", "outcome": {"outcome": "DEPLOYED"}, "notice": {"leadTime": 1.5}},
    "TellFailure": {"next": "fail", "failure": {"error": "E", "cause": {}}, "notice": {"reasons": []}},
}
FOLLOWING = {"TellStart": "UpdateService", "TellSuccess": "Succeeded", "TellFailure": "Failed"}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_notice_is_sent_as_the_function_made_it_and_stands_in_nobodys_way(name: str) -> None:
    state, answer = TELLING[name], ANSWERS[name]
    assert state["Resource"] == "arn:${Partition}:states:::events:putEvents"
    assert state["TimeoutSeconds"] == NOTICE_TIMEOUT
    assert state["Retry"] == [RETRY_NOTICE]
    (catch,) = state["Catch"]
    assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], "NotTold")
    choices = STATES["NotTold"]["Choices"]
    arguments, output, caught, *chosen = evaluate(
        (state["Arguments"], {"input": answer}),
        (state["Output"], {"input": answer}),
        (catch["Output"], {"input": answer}),
        *((choice["Condition"], {"input": answer}) for choice in choices),
    )
    detail_type = STARTED if name == "TellStart" else OUTCOME
    assert arguments == {"Entries": [{"Source": "ecs-deploy", "DetailType": detail_type, "Detail": answer["notice"]}]}
    assert output == (answer["outcome"] if name == "TellSuccess" else answer)
    assert caught == answer
    ways = [choice["Next"] for choice, holds in zip(choices, chosen, strict=True) if holds]
    assert [state["Next"], *(ways or [STATES["NotTold"]["Default"]])] == [FOLLOWING[name]] * 2


def test_the_longest_rollout_and_its_return_fit_into_one_execution() -> None:
    assert WORKFLOW["TimeoutSeconds"] == LONGEST_EXECUTION >= 2 * LONGEST_TIMEOUT


def test_there_is_a_state_for_each_notice() -> None:
    assert set(TELLING) == set(ANSWERS)


def test_a_success_that_could_not_be_told_has_its_output() -> None:
    (choice,) = [each for each in STATES["NotTold"]["Choices"] if each["Next"] == "Succeeded"]
    assert evaluate((choice["Output"], {"input": ANSWERS["TellSuccess"]})) == [{"outcome": "DEPLOYED"}]


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
    {"next": "succeed", "failure": {"error": "mine"}, "progress": {"revision": "mine"}},
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
            "anew": False,
            "onto": None,
            "execution": {"id": EXECUTION["Id"], "name": "one", "startedAt": EXECUTION["StartTime"]},
            "attempt": 2,
        }
        for request in REQUESTS
    ]


def test_the_first_function_is_told_on_top_of_what_to_start_anew() -> None:
    payload = STATES["RegisterTaskDefinition"]["Arguments"]["Payload"]
    (given,) = evaluate((payload, {"input": {"next": "register", "onto": "arn:3"}, "context": CONTEXT}))
    assert (given["request"], given["anew"], given["onto"]) == (EXECUTION["Input"], True, "arn:3")


@pytest.mark.parametrize("name", ["UpdateService", "PollStability"])
def test_the_others_get_the_progress(name: str) -> None:
    progress = {"revision": "arn:2", "replaced": "arn:1", "failure": None, "image": "{% 1 %}", "polls": 0, "seen": [1]}
    states = {"input": {"next": "wait", "wait": 5, "progress": progress}, "context": CONTEXT}
    payload = STATES[name]["Arguments"]["Payload"]
    assert evaluate((payload, states)) == [{"progress": progress, "attempt": 2, "enteredAt": ENTERED_AT}]


def test_what_a_function_says_comes_next() -> None:
    choices = STATES["WhatNext"]["Choices"]
    nexts: list[tuple[dict[str, Any], str]] = [
        ({"next": "register", "onto": None}, "RegisterTaskDefinition"),
        ({"next": "update", "notice": {"title": "started"}}, "TellStart"),
        ({"next": "update"}, "UpdateService"),
        ({"next": "wait"}, "WaitForRollout"),
        ({"next": "succeed", "notice": {}}, "TellSuccess"),
        ({"next": "fail", "notice": {}}, "TellFailure"),
    ]
    for answer, state in nexts:
        holds = evaluate(*((choice["Condition"], {"input": answer}) for choice in choices))
        ways = [choice["Next"] for choice, held in zip(choices, holds, strict=True) if held]
        assert [*ways, STATES["WhatNext"]["Default"]][0] == state


def test_the_wait_and_the_ends_say_what_the_function_said() -> None:
    cause = {"message": 'a "quoted" ü', "reasons": ["one"], "revision": None, "replaced": "arn:1", "rolledBack": False}
    answer = {"wait": 7, "outcome": {"outcome": "DEPLOYED"}, "failure": {"error": "ImageNotFound", "cause": cause}}
    payload, seconds, output, error, said = evaluate(
        (STATES["UpdateService"]["Output"], {"result": {"StatusCode": 200, "Payload": answer}}),
        (STATES["WaitForRollout"]["Seconds"], {"input": answer}),
        (STATES["TellSuccess"]["Output"], {"input": answer}),
        (STATES["Failed"]["Error"], {"input": answer}),
        (STATES["Failed"]["Cause"], {"input": answer}),
    )
    assert (payload, seconds, output, error) == (answer, 7, answer["outcome"], "ImageNotFound")
    assert json.loads(said) == cause


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


PROGRESS = {
    "execution": EXECUTION["Id"],
    "cluster": "production1",
    "service": "doorman-service",
    "image": "doorman:v1",
    "revision": "arn:aws:ecs:us-east-1:123456789012:task-definition/doorman:2",
    "replaced": "arn:aws:ecs:us-east-1:123456789012:task-definition/doorman:1",
    "requested_at": "2026-11-23T11:59:00.000Z",
    "asked": {"cluster": "production1", "service": "doorman-service", "image": "doorman:v1", "timeout": 600},
    "failure": None,
}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("known", [{}, {"progress": {}}, {"progress": PROGRESS}])
def test_a_broken_deployer_says_so_in_the_same_shape(name: str, known: dict[str, Any]) -> None:
    output = STATES[name]["Catch"][0]["Output"]
    caught = evaluate(*((output, {"input": known, "errorOutput": error, "context": CONTEXT}) for error, _ in ERRORS))
    ends = evaluate(
        *((STATES["Failed"]["Error"], {"input": data}) for data in caught),
        *((STATES["Failed"]["Cause"], {"input": data}) for data in caught),
    )
    assert set(ends[: len(caught)]) == {"DeploymentFailed"}
    revisions = known.get("progress", {}) if name != "RegisterTaskDefinition" else {}
    for said, data, (_, reason) in zip(ends[len(caught) :], caught, ERRORS, strict=True):
        cause = json.loads(said)
        message = cause["message"]
        assert cause == {
            "message": message,
            "reasons": [reason],
            "revision": revisions.get("revision"),
            "replaced": revisions.get("replaced"),
            "rolledBack": None,
        }
        assert name in message
        assert "not determined" in message
        hold(as_event(OUTCOME, data["notice"]))
        assert cause.items() <= data["notice"].items()


def broken(name: str = "PollStability", request: Any = None, **more: Any) -> dict[str, Any]:
    """The output of a step that broke."""
    output = STATES[name]["Catch"][0]["Output"]
    context = {**CONTEXT, "Execution": {**EXECUTION, "Input": request}}
    states = {"input": {"progress": PROGRESS}, "context": context, "errorOutput": {"Error": "KeyError"}, **more}
    (caught,) = evaluate((output, states))
    assert isinstance(caught, dict)
    return caught


@pytest.mark.parametrize(
    ("request_", "way"),
    [
        ({"cluster": "production1", "service": "doorman-service"}, LOOK),
        ({"cluster": "{% $error() %}", "service": ""}, LOOK),
        ({"cluster": "production1"}, "TellFailure"),
        ({"cluster": "production1", "service": None}, "TellFailure"),
        ({"cluster": ["production1"], "service": "doorman-service"}, "TellFailure"),
        ([{"cluster": "production1", "service": "doorman-service"}], "TellFailure"),
        (None, "TellFailure"),
    ],
)
def test_only_a_service_that_the_request_names_is_looked_at(request_: Any, way: str) -> None:
    caught = broken("RegisterTaskDefinition", request_, input=request_)
    # Entered anew, the state has another input.
    anew = broken("RegisterTaskDefinition", request_, input={"next": "register", "onto": None})
    (choice,) = STATES[WHERE]["Choices"]
    holds = evaluate(*((choice["Condition"], {"input": each}) for each in (caught, anew, broken())))
    assert [choice["Next"] if held else STATES[WHERE]["Default"] for held in holds] == [way, way, LOOK]
    if way == LOOK:
        (arguments,) = evaluate((STATES[LOOK]["Arguments"], {"input": anew}))
        assert arguments == {"Cluster": request_["cluster"], "Services": [request_["service"]]}


def deployment(number: int, status: str = "PRIMARY", **more: Any) -> dict[str, Any]:
    """As Step Functions gives it."""
    revision = f"arn:aws:ecs:us-east-1:123456789012:task-definition/doorman:{number}"
    return {"Status": status, "TaskDefinition": revision, "RunningCount": 1, "DesiredCount": 2, **more}


MINE = "on doorman:2, the revision of this execution"
SEEN: list[tuple[dict[str, Any], str]] = [
    (
        {"Deployments": [deployment(2, RolloutState="IN_PROGRESS"), deployment(1, "ACTIVE", RolloutState="COMPLETED")]},
        f"{MINE}: its rollout is IN_PROGRESS, 1 of 2 tasks run",
    ),
    (
        {"Deployments": [deployment(1, RolloutState="COMPLETED", RunningCount=2)]},
        f"on doorman:1, and not {MINE}: its rollout is COMPLETED, 2 of 2 tasks run",
    ),
    ({"Deployments": [deployment(2)]}, f"{MINE}: ECS tells no rollout state, 1 of 2 tasks run"),
    # Where ECS shifts traffic, and where the service was deleted.
    ({"Deployments": [], **deployment(2, "ACTIVE")}, f"{MINE}: ECS tells no rollout state, 1 of 2 tasks run"),
    (
        {"Deployments": None, **deployment(2, "INACTIVE", RunningCount=0, DesiredCount=None)},
        f"INACTIVE, {MINE}: ECS tells no rollout state, 0 of ? tasks run",
    ),
]


@pytest.mark.parametrize(("service", "said"), SEEN)
def test_what_breaks_says_what_the_service_was_left_in(service: dict[str, Any], said: str) -> None:
    caught = broken()
    result = {"Services": [{"Status": "ACTIVE", **service}], "Failures": []}
    (told,) = evaluate((STATES[LOOK]["Output"], {"input": caught, "result": result}))
    message = (
        f"The deployer broke while following the rollout. The service is {said}. Nobody watches it any more. "
        "Look at the service's deployments in ECS, and at the log of the function PollStability."
    )
    assert told == {
        "failure": {"error": "DeploymentFailed", "cause": {**caught["failure"]["cause"], "message": message}},
        "notice": {**caught["notice"], "message": message},
    }
    hold(as_event(OUTCOME, told["notice"]))


def test_a_first_step_that_breaks_does_not_know_its_revision() -> None:
    caught = broken("RegisterTaskDefinition", PROGRESS["asked"])
    result = {"Services": [{"Status": "ACTIVE", "Deployments": [deployment(1, RolloutState="COMPLETED")]}]}
    (told,) = evaluate((STATES[LOOK]["Output"], {"input": caught, "result": result}))
    assert "The service is on doorman:1: its rollout is COMPLETED, 1 of 2 tasks run." in told["notice"]["message"]


@pytest.mark.parametrize("result", [{"Services": [], "Failures": [{"Reason": "MISSING"}]}, {}])
def test_a_service_that_is_gone_is_told(result: dict[str, Any]) -> None:
    (told,) = evaluate((STATES[LOOK]["Output"], {"input": broken(), "result": result}))
    assert "The deployer broke while following the rollout. There is no such service. Look" in told["notice"]["message"]


@pytest.mark.parametrize(("error", "reason"), ERRORS)
def test_a_look_that_fails_says_why(error: dict[str, Any], reason: str) -> None:
    look, caught = STATES[LOOK], broken()
    assert look["Resource"] == "arn:${Partition}:states:::aws-sdk:ecs:describeServices"
    assert look["Retry"] == [RETRY_LOOK]
    assert waiting(RETRY_LOOK) == 3.5
    (catch,) = look["Catch"]
    assert (catch["ErrorEquals"], catch["Next"], look["Next"]) == (["States.ALL"], "TellFailure", "TellFailure")
    (told,) = evaluate((catch["Output"], {"input": caught, "errorOutput": error}))
    reasons = ["KeyError", f"the service could not be seen: {reason}"[:600]]
    assert told == {
        "failure": {"error": "DeploymentFailed", "cause": {**caught["failure"]["cause"], "reasons": reasons}},
        "notice": {**caught["notice"], "reasons": reasons},
    }
    assert "not determined" in told["notice"]["message"]
    hold(as_event(OUTCOME, told["notice"]))


def test_the_notice_of_a_broken_deployer_says_of_what() -> None:
    notice = broken()["notice"]
    assert notice["title"] == "DeploymentFailed: doorman-service in production1"
    assert notice["request"] == PROGRESS["asked"]
    assert (notice["cluster"], notice["service"], notice["image"]) == ("production1", "doorman-service", "doorman:v1")
    assert (notice["requestedAt"], notice["startedAt"]) == (PROGRESS["requested_at"], EXECUTION["StartTime"])
    assert notice["seconds"] >= 0


HOSTILE: list[Any] = [
    dict.fromkeys(("cluster", "service", "image", "tag", "container", "revision", "other"), '"\\\n<x>' * 20000),
    {"cluster": ["a"], "service": {"a": 1}, "image": 5, "push": "x" * 200_000},
    [{"service": "a"}, {"service": "b"}],
]


@pytest.mark.parametrize("request_", [*REQUESTS, *HOSTILE])
def test_a_request_cannot_speak_for_a_broken_first_step(request_: Any) -> None:
    caught = broken("RegisterTaskDefinition", request_, input=request_)
    assert caught["failure"]["cause"]["revision"] is None
    hold(as_event(OUTCOME, caught["notice"]))
    assert len(json.dumps(caught["notice"])) < 10_000


def test_the_picture_shows_every_way() -> None:
    picture = mermaid(WORKFLOW)
    assert picture == mermaid(definition())
    ways = {line.partition(" : ")[0].strip() for line in picture.splitlines()[1:]}
    assert ways == {f"[*] --> {WORKFLOW['StartAt']}"} | {
        f"{name} --> {end}" for name, state in STATES.items() for end in (*followers(state), *_end(state))
    }


def _end(state: dict[str, Any]) -> list[str]:
    return ["[*]"] if state["Type"] in {"Succeed", "Fail"} else []
