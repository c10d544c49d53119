"""The notifications: every end has an event by its schema; people can read it, and no request breaks it."""

import io
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ecs_deploy.core import notifications
from ecs_deploy.core.decision import Fail, Outcome, refuse
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.notifications import MOST_MESSAGE, MOST_TITLE, Case, plain
from tests.support.clock import Clock
from tests.support.ecs_model import ACCOUNT, CRASHES, HANGS, REGION, REGISTRY, EcsModel, Service
from tests.support.events import DOCS, OUTCOME, as_event, hold
from tests.support.workflow import End, execute

IMAGE = f"{REGISTRY}/doorman:1.1.0"
REQUEST: dict[str, Any] = {"cluster": "production1", "service": "doorman-service", "image": IMAGE}
DIGEST = f"sha256:{'1' * 64}"
PUSH = {"id": "6a7e8feb-b491", "time": "2026-01-31T11:59:30Z", "tag": "1.1.0", "digest": DIGEST}
ENVIRONMENT = Environment(ACCOUNT, REGION)
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
    image = model.pinned(f"{REGISTRY}/doorman:1.0.0")
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": image}]}
    return model.add_service("doorman-service", model.add_revision(document))


def notified(end: End) -> dict[str, Any]:
    """The notification of an end."""
    detail: dict[str, Any] = end.answers[-1]["notification"]
    return detail


def test_people_are_notified_when_a_deployment_starts_and_when_it_ends(
    model: EcsModel, service: Service, clock: Clock
) -> None:
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
            "push": {"id": PUSH["id"], "time": "2026-01-31T11:59:30.000Z", "digest": DIGEST},
        },
        "cluster": "production1",
        "service": "doorman-service",
        "image": IMAGE,
        "digest": DIGEST,
        "revision": end.output["revision"],
        "replaced": before,
        "requestedAt": "2026-01-31T11:59:30.000Z",
        "startedAt": "2026-01-31T12:00:00.000Z",
    }
    assert end.answers[0]["notification"] == {
        **common,
        "title": "STARTED: doorman-service in production1",
        "message": "doorman-service in production1: doorman:1.1.0 is rolled out as doorman:2, in place of doorman:1.",
        "reasons": [],
    }
    assert notified(end) == {
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
        "repeated": False,
        "leadTime": seconds + 30,
    }


def test_a_failed_deployment_says_what_to_do(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[IMAGE] = CRASHES
    detail = notified(execute(REQUEST, clock))
    assert (detail["outcome"], detail["status"], detail["rolledBack"]) == ("DeploymentFailed", "FAILED", True)
    assert detail["title"] == "DeploymentFailed: doorman-service in production1"
    assert "exits on its start" in detail["message"]
    assert "Read the last lines of its log" in detail["message"]
    assert "returned to doorman:1 and is stable" in detail["message"]
    assert detail["leadTime"] is None
    assert detail["reasons"]


def test_what_was_superseded_says_by_what(model: EcsModel, service: Service, clock: Clock) -> None:
    execute({**REQUEST, "push": PUSH}, clock, name="one")
    older = {"id": "older", "time": "2026-01-31T11:00:00Z"}
    late = notified(execute({**REQUEST, "push": older}, clock, name="two"))
    assert late["outcome"] == "SUPERSEDED"
    assert "execution:EcsDeploy:one is newer: it was requested at 2026-01-31T11:59:30.000Z" in late["message"]
    assert "Nothing was changed" in late["message"]


def test_a_push_of_what_runs_already_says_so(model: EcsModel, service: Service, clock: Clock) -> None:
    execute({**REQUEST, "push": PUSH}, clock, name="one")
    again = {**PUSH, "id": "again", "time": "2026-01-31T12:00:00Z"}
    detail = notified(execute({**REQUEST, "push": again}, clock, name="two"))
    assert (detail["outcome"], detail["digest"]) == ("UNCHANGED", DIGEST)
    assert f"the service runs or rolls out {DIGEST} already. Nothing was changed." in detail["message"]


def test_a_hold_and_a_release_are_notified_of_and_so_is_what_is_held(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    names = {"cluster": "production1", "service": "doorman-service"}
    hold = {**names, "hold": 'wet "paint" <here>'}
    set_up = notified(execute(hold, clock, name="hold"))
    assert (set_up["outcome"], set_up["request"], set_up["image"]) == ("HELD", hold, None)
    assert set_up["message"] == "doorman-service in production1: pushes are held: wet 'paint' (here)."
    held = notified(execute({**REQUEST, "push": PUSH}, clock, name="held"))
    assert (held["outcome"], held["image"], held["digest"]) == ("HELD", IMAGE, DIGEST)
    assert "doorman:1.1.0 was not deployed to doorman-service in production1: pushes are held" in held["message"]
    assert "started when the hold is released" in held["message"]
    lifted = notified(execute({**names, "release": True}, clock, name="release"))
    assert (lifted["outcome"], lifted["request"]) == ("RELEASED", {**names, "release": True})
    assert lifted["message"] == "doorman-service in production1: pushes go on."


def test_the_request_of_a_refusal_is_the_checked_one(model: EcsModel, service: Service, clock: Clock) -> None:
    arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/production1"
    detail = notified(execute({**REQUEST, "cluster": arn, "image": "windowman", "tag": "1"}, clock))
    assert detail["outcome"] == "NoMatchingContainer"
    assert detail["request"] == {
        "cluster": "production1",
        "service": "doorman-service",
        "image": "windowman:1",
        "timeout": 600,
        "rollback": True,
    }


@pytest.mark.parametrize(
    ("verb", "readable"),
    [
        ({"revert": True}, {"revert": True}),
        ({"revision": "doorman:1"}, {"revision": "doorman:1"}),
        ({"image": IMAGE, "container": "app"}, {"image": IMAGE, "container": "app"}),
    ],
)
def test_whatever_is_asked_for_is_notified(
    model: EcsModel, service: Service, clock: Clock, verb: dict[str, Any], readable: dict[str, Any]
) -> None:
    names = {"cluster": "production1", "service": "doorman-service"}
    request = notified(execute({**names, **verb}, clock))["request"]
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
        {**REQUEST, "push": {**PUSH, "digest": f"sha256:{'1' * 200_000}"}},
        {**REQUEST, "hold": "x" * 200_000},
        {**REQUEST, "cluster": '"\\\n\ud800<!here>' * 20_000},
    ):
        end = execute(request, clock)
        assert end.error == "InvalidRequest"
        assert len(json.dumps(end.answers[-1]).encode()) < 32_000


def test_a_wrong_push_is_not_in_the_notification_of_a_refusal(model: EcsModel, service: Service, clock: Clock) -> None:
    detail = notified(execute({**REQUEST, "push": {"id": "x", "time": "yesterday"}, "timeout": 1e300}, clock))
    assert detail["request"] == REQUEST
    assert detail["requestedAt"] == detail["startedAt"]


def test_every_end_of_the_contract_is_in_the_schema() -> None:
    schema = json.loads((DOCS / "outcome-event.schema.json").read_text())
    listed = schema["$defs"]["detail"]["properties"]["outcome"]["enum"]
    assert sorted(listed) == sorted([*Outcome, *Error])


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
    case = Case.opened(document, EXECUTION, ENVIRONMENT)
    end = refuse(DeployError(Error.INVALID_REQUEST, "said"), document)
    hold(as_event(OUTCOME, notifications.outcome(case, end, NOW)))


anything = st.text() | st.text(st.sampled_from('"\\<>`\n\t\x00\ud800\u2028ab '), max_size=3_000)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(anything, st.lists(anything, max_size=40), st.booleans())
@example("", [], True)
@example('"' * 100_000, ["\\" * 5_000] * 500, True)
def test_an_event_is_bounded_and_its_texts_are_plain(said: str, reasons: list[str], rolled_back: bool) -> None:
    case = Case.opened({**REQUEST, "service": said}, EXECUTION, ENVIRONMENT)
    cause = {
        "message": f"It failed: {said}",
        "reasons": reasons,
        "rolledBack": rolled_back,
        **dict.fromkeys(("image", "digest", "revision", "replaced")),
    }
    detail = notifications.outcome(case, Fail(Error.DEPLOYMENT_FAILED, cause), NOW)
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
    """The lines that were logged since they were read last."""
    (handler,) = (each for each in logging.getLogger("ecs-deploy").handlers if isinstance(each, logging.StreamHandler))
    stream = io.StringIO()
    monkeypatch.setattr(handler, "stream", stream)

    def read() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        stream.seek(0)
        stream.truncate()
        return lines

    return read


def test_all_lines_of_an_execution_have_its_id_and_each_decision_a_reason(
    model: EcsModel, service: Service, clock: Clock, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    model.behaviours[IMAGE] = HANGS
    end = execute({**REQUEST, "timeout": 60}, clock, name="a-name-with-a=and-an-apostrophe's")
    lines = logged()
    assert {line["correlation_id"] for line in lines} == {notified(end)["execution"]}
    decisions = [line["message"] for line in lines if line["message"] != "Polled"]
    assert decisions == [
        "Registered",
        "Updated",
        "Returns",
        "Updated",
        "The execution fails",
    ]
    (returns,) = [line for line in lines if line["message"] == "Returns"]
    assert "was not stable after 60 seconds" in returns["reason"]
    assert (returns["revision"], returns["failed"]) == (notified(end)["replaced"], notified(end)["revision"])
    assert [line["finding"] for line in lines if line["message"] == "Polled"][-1] == "STABLE"


def test_an_execution_that_changes_nothing_logs_why(
    model: EcsModel, service: Service, clock: Clock, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    execute({**REQUEST, "push": PUSH}, clock, name="one")
    logged()
    execute({**REQUEST, "push": {"id": "older", "time": "2026-01-31T11:00:00Z"}}, clock, name="two")
    (line,) = logged()
    assert line["outcome"]["outcome"] == "SUPERSEDED"
    assert "execution:EcsDeploy:one" in line["reasons"][0]
