"""What is told of an execution: every end has an event by its schema; people can read it, and no request breaks it."""

import io
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ecs_deploy import course, notice
from ecs_deploy.course import Outcome
from ecs_deploy.errors import DeployError
from ecs_deploy.home import Home
from ecs_deploy.notice import MOST_MESSAGE, MOST_TITLE, Case, plain
from tests.support.clock import Clock
from tests.support.ecs_model import ACCOUNT, CRASHES, HANGS, REGION, REGISTRY, EcsModel, Service
from tests.support.events import DOCS, OUTCOME, as_event, hold
from tests.support.execution import End, execute

IMAGE = f"{REGISTRY}/doorman:1.1.0"
REQUEST: dict[str, Any] = {"cluster": "production1", "service": "doorman-service", "image": IMAGE}
PUSH = {"id": "6a7e8feb-b491", "time": "2026-01-31T11:59:30Z", "tag": "1.1.0"}
HOME = Home(ACCOUNT, REGION)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
EXECUTION = {
    "id": f"arn:aws:states:{REGION}:{ACCOUNT}:execution:EcsDeploy:one",
    "name": "one",
    "startedAt": "2026-01-31T11:59:59.500Z",
}
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
MOST_BYTES = 256_000
UNPLAIN = set('"\\<>`')


@pytest.fixture
def service(model: EcsModel) -> Service:
    model.images.add(("doorman", "1.1.0"))
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": f"{REGISTRY}/doorman:1.0.0"}]}
    return model.add_service("doorman-service", model.add_revision(document))


def told(end: End) -> dict[str, Any]:
    detail: dict[str, Any] = end.answers[-1]["notice"]
    return detail


def test_a_deployment_is_told_when_it_starts_and_when_it_ends(model: EcsModel, service: Service, clock: Clock) -> None:
    before = service.primary.revision
    end = execute({**REQUEST, "push": PUSH}, clock, name="pushed")
    assert end.output
    seconds = (clock.now() - NOW).total_seconds()
    common = {
        "execution": f"arn:aws:states:{REGION}:{ACCOUNT}:execution:EcsDeploy:pushed",
        "request": {
            **REQUEST,
            "timeout": 600,
            "rollback": True,
            "push": {"id": PUSH["id"], "time": "2026-01-31T11:59:30.000Z"},
        },
        "cluster": "production1",
        "service": "doorman-service",
        "image": IMAGE,
        "revision": end.output["revision"],
        "replaced": before,
        "requestedAt": "2026-01-31T11:59:30.000Z",
        "startedAt": "2026-01-31T12:00:00.000Z",
    }
    assert end.answers[0]["notice"] == {
        **common,
        "title": "STARTED: doorman-service in production1",
        "message": "doorman-service in production1: doorman:1.1.0 is rolled out as doorman:2, in place of doorman:1.",
    }
    assert told(end) == {
        **common,
        "outcome": "DEPLOYED",
        "status": "SUCCEEDED",
        "title": "DEPLOYED: doorman-service in production1",
        "message": "doorman-service in production1 runs doorman:1.1.0 (doorman:2, before doorman:1), "
        f"{seconds + 30:.0f} s after the push.",
        "reasons": [],
        "deployment": end.output["deployment"],
        "rolledBack": None,
        "seconds": seconds,
        "leadTime": seconds + 30,
    }


def test_a_failed_deployment_is_told_with_what_to_do(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[IMAGE] = CRASHES
    detail = told(execute(REQUEST, clock))
    assert (detail["outcome"], detail["status"], detail["rolledBack"]) == ("DeploymentFailed", "FAILED", True)
    assert detail["title"] == "DeploymentFailed: doorman-service in production1"
    assert "exits on its start" in detail["message"]
    assert "Read the last lines of its log" in detail["message"]
    assert "returned to doorman:1 and is stable" in detail["message"]
    assert detail["leadTime"] is None
    assert detail["reasons"]


def test_what_was_superseded_says_by_what(model: EcsModel, service: Service, clock: Clock) -> None:
    execute({**REQUEST, "push": PUSH}, clock, name="one")
    late = told(execute({**REQUEST, "push": {"id": "older", "time": "2026-01-31T11:00:00Z"}}, clock, name="two"))
    assert late["outcome"] == "SUPERSEDED"
    assert "doorman:2 was asked for at 2026-01-31T11:59:30.000Z" in late["message"]
    assert "Nothing was changed" in late["message"]
    again = told(execute({**REQUEST, "push": PUSH}, clock, name="three"))
    assert again["outcome"] == "DUPLICATE"
    assert "execution:EcsDeploy:one" in again["reasons"][0]


def test_the_request_of_a_refusal_is_the_checked_one(model: EcsModel, service: Service, clock: Clock) -> None:
    arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/production1"
    detail = told(execute({**REQUEST, "cluster": arn, "image": "windowman", "tag": "1"}, clock))
    assert detail["outcome"] == "NoMatchingContainer"
    assert detail["request"] == {
        "cluster": "production1",
        "service": "doorman-service",
        "image": "windowman:1",
        "timeout": 600,
        "rollback": True,
    }


@pytest.mark.parametrize(
    ("asked", "readable"),
    [
        ({"revert": True}, {"revert": True}),
        ({"revision": "doorman:1"}, {"revision": "doorman:1"}),
        ({"image": IMAGE, "container": "app"}, {"image": IMAGE, "container": "app"}),
    ],
)
def test_whatever_is_asked_for_is_told(
    model: EcsModel, service: Service, clock: Clock, asked: dict[str, Any], readable: dict[str, Any]
) -> None:
    names = {"cluster": "production1", "service": "doorman-service"}
    request = told(execute({**names, **asked}, clock))["request"]
    assert request == {**names, **readable, "timeout": 600, "rollback": True}


def test_a_hostile_request_of_200_kilobytes_ends_like_any_other(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    names = {f"{number:x}": 1 for number in range(20_000)}
    for request in (
        {**REQUEST, **names},
        {**REQUEST, "service": "x" * 200_000},
        {**REQUEST, "image": f"{'a.' * 100_000}io/x"},
        {**REQUEST, "image": f"a.io:{'1' * 200_000}/x"},
        {**REQUEST, "push": names},
        {**REQUEST, "cluster": '"\\\n\ud800<!here>' * 20_000},
    ):
        end = execute(request, clock)
        assert end.error == "InvalidRequest"
        assert len(json.dumps(end.answers[-1]).encode()) < 32_000


def test_a_wrong_push_is_not_told_of_a_request_that_was_refused(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    detail = told(execute({**REQUEST, "push": {"id": "x", "time": "yesterday"}, "timeout": 1e300}, clock))
    assert detail["request"] == REQUEST
    assert detail["requestedAt"] == detail["startedAt"]


def test_every_end_of_the_contract_is_in_the_schema() -> None:
    schema = json.loads((DOCS / "outcome-event.schema.json").read_text())
    listed = schema["$defs"]["detail"]["properties"]["outcome"]["enum"]
    assert sorted(listed) == sorted([*Outcome, *(error.__name__ for error in DeployError.__subclasses__())])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["cluster", "service", "image", "tag", "container", "revision", "revert", "timeout", "push"])


@given(json_values | st.dictionaries(keys, json_values).map(lambda wrong: {**REQUEST, **wrong}))
@example({**REQUEST, "service": "\ud800"})
@example({**REQUEST, "service": ""})
def test_any_request_that_is_refused_has_an_event(document: Any) -> None:
    case = Case.opened(document, EXECUTION, HOME)
    hold(as_event(OUTCOME, notice.outcome(case, course.fail("InvalidRequest", "said", reasons=("why",)), NOW)))


anything = st.text() | st.text(st.sampled_from('"\\<>`\n\t\x00\ud800\u2028ab '), max_size=3_000)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(anything, st.lists(anything, max_size=40), st.booleans())
@example("", [], True)
@example('"' * 100_000, ["\\" * 5_000] * 500, True)
def test_an_event_is_bounded_and_its_texts_are_plain(said: str, reasons: list[str], rolled_back: bool) -> None:
    case = Case.opened({**REQUEST, "service": said}, EXECUTION, HOME)
    answer = course.fail("DeploymentFailed", f"It failed: {said}", reasons=reasons, rolled_back=rolled_back)
    detail = notice.outcome(case, answer, NOW)
    hold(as_event(OUTCOME, detail))
    assert len(json.dumps(detail).encode()) < MOST_BYTES / 4
    for text, most in ((detail["title"], MOST_TITLE), (detail["message"], MOST_MESSAGE)):
        assert len(text) <= most
        assert json.dumps(text, ensure_ascii=False) == f'"{text}"'
        assert not UNPLAIN & set(text)


def test_plain_texts_stay_readable() -> None:
    assert plain('it says "no door"\nat C:\\doors <here>', 99) == "it says 'no door' at C:/doors (here)"
    assert plain("a" * 50, 10) == f"{'a' * 9}…"


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """The lines that were logged since the last look."""
    (handler,) = (each for each in logging.getLogger("ecs-deploy").handlers if isinstance(each, logging.StreamHandler))
    stream = io.StringIO()
    monkeypatch.setattr(handler, "stream", stream)

    def look() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        stream.seek(0)
        stream.truncate()
        return lines

    return look


def test_all_lines_of_an_execution_have_its_id_and_each_decision_a_reason(
    model: EcsModel, service: Service, clock: Clock, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    model.behaviours[IMAGE] = HANGS
    end = execute({**REQUEST, "timeout": 60}, clock, name="a-name-with-a=and-an-apostrophe's")
    lines = logged()
    assert {line["correlation_id"] for line in lines} == {told(end)["execution"]}
    decisions = [line["message"] for line in lines if line["message"] != "Polled"]
    assert decisions == ["Registered", "Updated", "Rolls back", "Updated", "The execution fails"]
    (rolls_back,) = [line for line in lines if line["message"] == "Rolls back"]
    assert "was not stable after 60 seconds" in rolls_back["reason"]
    assert rolls_back["revision"] == told(end)["replaced"]
    assert [line["finding"] for line in lines if line["message"] == "Polled"][-1] == "STABLE"


def test_an_execution_that_stands_down_logs_why(
    model: EcsModel, service: Service, clock: Clock, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    execute({**REQUEST, "push": PUSH}, clock, name="one")
    logged()
    execute({**REQUEST, "push": PUSH}, clock, name="two")
    (line,) = logged()
    assert line["outcome"]["outcome"] == "DUPLICATE"
    assert "execution:EcsDeploy:one" in line["reasons"][0]


def test_to_insist_is_logged_with_its_reason(
    model: EcsModel, service: Service, clock: Clock, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    first = service.primary.revision
    execute({**REQUEST, "push": {"id": "old", "time": "2026-01-31T11:00:00Z"}}, clock, name="old")
    old = service.primary.revision
    model.start_deployment(service, first)
    clock.advance(60)
    logged()
    late = False

    def update_late(action: str, _body: dict[str, Any]) -> None:
        nonlocal late
        if action == "UpdateService" and not late:
            late = True
            model.start_deployment(service, old)

    model.after_call = update_late
    execute({**REQUEST, "push": PUSH}, clock, name="new")
    (line,) = [line for line in logged() if line["message"] == "Brings in its revision again"]
    assert old in line["reason"]
