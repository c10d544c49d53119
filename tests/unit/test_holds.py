"""Pushes that wait: for a person, a calendar, an alarm, after a revert, and until their image is old enough."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ecs_deploy.core.state import Result
from tests.support.clock import Clock
from tests.support.ecs_model import REGISTRY, EcsModel, Service, digest_of
from tests.support.queue import KEY, Queue, set_targets

SERVICE = {"cluster": "production1", "service": "doorman-service"}
TARGET: dict[str, Any] = {**SERVICE, "repository": "doorman", "tags": ["v*"], "reconcile_minutes": 60}
CALENDAR = "arn:aws:ssm:eu-west-1:123456789012:document/office"
HELD: dict[str, dict[str, Any]] = {"window": {"window": "office"}, "alarm": {"alarm": "errors"}}
HOLD, RELEASE, REVERT = ({**SERVICE, **each} for each in ({"hold": "wet paint"}, {"release": True}, {"revert": True}))


@pytest.fixture
def service(model: EcsModel, clock: Clock) -> Service:
    for tag in ("v1", "mine"):
        model.push_image("doorman", digest_of(tag), tag)
    containers = [{"name": "app", "image": f"{REGISTRY}/doorman:v1"}]
    revision = model.add_revision({"family": "doorman", "containerDefinitions": containers})
    made = model.add_service("doorman-service", revision)
    model.calendars, model.alarms = {"office": "OPEN", CALENDAR: "OPEN"}, {"errors": "OK"}
    clock.advance(3600)
    return made


@pytest.fixture
def queue(
    request: pytest.FixtureRequest, model: EcsModel, service: Service, clock: Clock, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Queue:  # fmt: skip
    """The queue of a target, to which a test may add members."""
    set_targets(tmp_path, monkeypatch, {**TARGET, **getattr(request, "param", {})})
    made = Queue(model, clock)
    assert made.reconcile() == []
    clock.advance(60)
    return made


def runs(model: EcsModel, service: Service) -> str:
    document = model.revision(service.primary.revision).document
    return model.named(document["containerDefinitions"][0]["image"]).rpartition("/")[2]


def pushed(queue: Queue, clock: Clock, tag: str) -> tuple[str, list[str], bool]:
    """Push, and let the execution end: its outcome, its reasons, and whether people are told nothing new."""
    clock.advance(10)
    (name,) = queue.starts(queue.push(tag))
    end, _ = queue.run(name)
    assert end.output, end.error
    return end.output["outcome"], end.output["reasons"], queue.walks[name].answers[-1]["notification"]["repeated"]


def by_hand(queue: Queue, clock: Clock, name: str, **what: Any) -> dict[str, Any]:
    clock.advance(10)
    end, _ = queue.run(name, request={**SERVICE, **what})
    assert end.output, end.error
    return end.output


def closes(model: EcsModel, kind: str) -> None:
    if kind == "window":
        model.calendars |= {"office": "CLOSED", CALENDAR: "CLOSED"}
    else:
        model.alarms["errors"] = "ALARM"


def opens(model: EcsModel, kind: str) -> dict[str, Any]:
    """The event that pushes may go on."""
    if kind == "window":
        model.calendars |= {"office": "OPEN", CALENDAR: "OPEN"}
        # https://docs.aws.amazon.com/systems-manager/latest/userguide/monitoring-systems-manager-event-examples.html
        detail: dict[str, Any] = {"state": "OPEN", "atTime": "2026-02-02T08:00:00Z"}
        return {
            "source": "aws.ssm", "detail-type": "Calendar State Change", "resources": [CALENDAR], "detail": detail
        }  # fmt: skip
    model.alarms["errors"] = "OK"
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    detail = {"alarmName": "errors", "state": {"value": "OK"}, "previousState": {"value": "ALARM"}}
    return {
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "resources": [],
        "detail": detail,
    }


def delivered(queue: Queue, event: object) -> list[str]:
    """The executions that an event starts, by the messages that the dispatcher sends itself."""
    assert queue.deliver(event) == []
    messages = [json.loads(each["MessageBody"]) for each in queue.model.sent if each["QueueUrl"].endswith("/queue")]
    queue.model.sent.clear()
    return [name for message in messages for name in queue.starts(message)]


@pytest.mark.parametrize(
    ("queue", "kind", "reason"),
    [
        (HELD["window"], "window", "the calendar office is closed until 2026-02-02T08:00:00Z"),
        ({"window": CALENDAR}, "window", f"the calendar {CALENDAR} is closed until 2026-02-02T08:00:00Z"),
        (HELD["alarm"], "alarm", "the alarm errors is ALARM"),
    ],
    indirect=["queue"],
)
def test_pushes_wait_and_the_newest_goes_on_at_once(
    queue: Queue, clock: Clock, model: EcsModel, service: Service, kind: str, reason: str
) -> None:
    closes(model, kind)
    assert pushed(queue, clock, "v2") == ("HELD", [f"pushes are held: {reason}"], False)
    # People are told once.
    assert pushed(queue, clock, "v3") == ("HELD", [f"pushes are held: {reason}"], True)
    assert runs(model, service) == "doorman:v1"
    # The schedule starts nothing that would wait again.
    clock.advance(3600)
    assert queue.reconcile() == []
    started = delivered(queue, opens(model, kind))
    assert queue.run_all(*started) == {"doorman:v3": "DEPLOYED"}
    assert runs(model, service) == "doorman:v3"
    assert delivered(queue, opens(model, kind)) == []
    # The next time is news again.
    closes(model, kind)
    assert pushed(queue, clock, "v4")[::2] == ("HELD", False)


@pytest.mark.parametrize(("queue", "kind"), [(HELD[each], each) for each in HELD], indirect=["queue"])
def test_what_has_reopened_without_an_event_is_found_by_the_schedule(
    queue: Queue, clock: Clock, model: EcsModel, service: Service, kind: str
) -> None:
    closes(model, kind)
    assert pushed(queue, clock, "v2")[0] == "HELD"
    opens(model, kind)
    clock.advance(3600)
    assert queue.run_all(*queue.reconcile()) == {"doorman:v2": "DEPLOYED"}


@pytest.mark.parametrize(("queue", "kind"), [(HELD[each], each) for each in HELD], indirect=["queue"])
def test_each_reason_by_itself(queue: Queue, clock: Clock, model: EcsModel, service: Service, kind: str) -> None:
    closes(model, kind)
    queue.run("hold", request=HOLD)
    assert pushed(queue, clock, "v2")[1][0].startswith("pushes are held: wet paint; the ")
    # The last reason that goes lets the push go on, whichever it is.
    clock.advance(10)
    end, started = queue.run("release", request=RELEASE)
    assert end.output
    assert started == []
    assert end.output["reasons"][0].startswith("pushes are still held: the ")
    clock.advance(10)
    queue.run("hold again", request=HOLD)
    assert delivered(queue, opens(model, kind)) == []
    clock.advance(10)
    _, started = queue.run("release again", request=RELEASE)
    assert queue.run_all(*started) == {"doorman:v2": "DEPLOYED"}


@pytest.mark.parametrize(("queue", "kind"), [(HELD[each], each) for each in HELD], indirect=["queue"])
def test_requests_by_hand_go_on_with_a_warning(
    queue: Queue, clock: Clock, model: EcsModel, service: Service, kind: str
) -> None:
    closes(model, kind)
    assert pushed(queue, clock, "v2")[0] == "HELD"
    outcome = by_hand(queue, clock, "mine", image=f"{REGISTRY}/doorman:mine")
    assert outcome["outcome"] == "DEPLOYED"
    assert any("which a request by hand passes: the " in each for each in outcome["reasons"])
    # What was held before is older than that.
    assert delivered(queue, opens(model, kind)) == []
    assert runs(model, service) == "doorman:mine"


@pytest.mark.parametrize(
    ("queue", "reason"),
    [
        ({"window": "nowhere"}, "the calendar nowhere could not be read: "),
        ({"alarm": "nowhere"}, "there is no alarm nowhere"),
    ],
    indirect=["queue"],
)
def test_what_cannot_be_read_holds(queue: Queue, clock: Clock, model: EcsModel, service: Service, reason: str) -> None:
    outcome, (why,), _ = pushed(queue, clock, "v2")
    assert outcome == "HELD"
    assert why.startswith(f"pushes are held: {reason}")


@pytest.mark.parametrize("queue", [HELD["alarm"]], indirect=True)
def test_an_alarm_without_data_is_not_ok(queue: Queue, clock: Clock, model: EcsModel, service: Service) -> None:
    model.alarms["errors"] = "INSUFFICIENT_DATA"
    assert pushed(queue, clock, "v2")[:2] == ("HELD", ["pushes are held: the alarm errors is INSUFFICIENT_DATA"])


@pytest.mark.parametrize("queue", [HELD["window"]], indirect=True)
def test_a_calendar_of_the_same_name_elsewhere_opens_nothing_here(
    queue: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    closes(model, "window")
    assert pushed(queue, clock, "v2")[0] == "HELD"
    other = opens(model, "window") | {"resources": [CALENDAR + "-of-others"]}
    assert delivered(queue, other) == []


@pytest.mark.parametrize("queue", [{"sticky_revert": True}], indirect=True)
def test_a_revert_holds(queue: Queue, clock: Clock, model: EcsModel, service: Service) -> None:
    for tag in ("v2", "v3"):
        assert pushed(queue, clock, tag)[0] == "DEPLOYED"
    outcome = by_hand(queue, clock, "revert", revert=True)
    assert (outcome["outcome"], runs(model, service)) == ("DEPLOYED", "doorman:v2")
    (reason,) = outcome["reasons"]
    assert reason.startswith("pushes to the service are held, which a request by hand passes: the service was reverted")
    assert pushed(queue, clock, "v4")[0] == "HELD"
    clock.advance(10)
    _, started = queue.run("release", request=RELEASE)
    assert queue.run_all(*started) == {"doorman:v4": "DEPLOYED"}
    assert queue.state().revert_hold is None


def test_a_revert_holds_nothing_unless_it_is_to(queue: Queue, clock: Clock, model: EcsModel, service: Service) -> None:
    for tag in ("v2", "v3"):
        assert pushed(queue, clock, tag)[0] == "DEPLOYED"
    assert by_hand(queue, clock, "revert", revert=True)["reasons"] == []
    assert pushed(queue, clock, "v4")[0] == "DEPLOYED"


@pytest.mark.parametrize("queue", [{"sticky_revert": True}], indirect=True)
def test_a_push_does_not_take_over_from_a_revert_that_holds(
    queue: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    for tag in ("v2", "v3"):
        assert pushed(queue, clock, tag)[0] == "DEPLOYED"
    clock.advance(10)
    walk = queue.walk("revert", REVERT)
    walk.go("wait_for_rollout")
    assert pushed(queue, clock, "v4")[0] == "HELD"
    end = walk.go()
    assert end.output
    assert (end.output["outcome"], runs(model, service)) == ("DEPLOYED", "doorman:v2")


@pytest.mark.parametrize("queue", [{"min_age": 3600}], indirect=True)
def test_a_push_waits_until_it_is_old_enough(queue: Queue, clock: Clock, model: EcsModel, service: Service) -> None:
    event = queue.push("v2")
    for delay in (900, 900, 900, 900):
        assert queue.deliver(event) == []
        assert model.executions == {}
        (message,) = model.sent
        assert (message["DelaySeconds"], json.loads(message["MessageBody"])) == (delay, event)
        model.sent.clear()
        clock.advance(delay)
    assert queue.run_all(*queue.starts(event)) == {"doorman:v2": "DEPLOYED"}


@pytest.mark.parametrize("queue", [{"min_age": 1000}], indirect=True)
def test_the_last_delay_is_what_is_left(queue: Queue, clock: Clock, model: EcsModel, service: Service) -> None:
    event = queue.push("v2")
    clock.advance(900.5)
    assert queue.deliver(event) == []
    assert model.sent[0]["DelaySeconds"] in {99, 100}


@pytest.mark.parametrize("queue", [{"min_age": 7200}], indirect=True)
def test_what_was_missed_is_found_once_it_is_old_enough(
    queue: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    queue.push("v2")
    clock.advance(3600)
    queue.push("v3")
    assert queue.reconcile() == []
    clock.advance(3700)
    assert queue.run_all(*queue.reconcile()) == {"doorman:v2": "DEPLOYED"}
    clock.advance(3600)
    assert queue.run_all(*queue.reconcile()) == {"doorman:v3": "DEPLOYED"}
    assert queue.results() == [Result.DEPLOYED, Result.DEPLOYED]


def test_one_push_to_services_of_different_ages(
    queue: Queue, model: EcsModel, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_targets(tmp_path, monkeypatch, TARGET, {**TARGET, "service": "other", "min_age": 60})
    event = queue.push("v2")
    assert queue.deliver(event) == []
    assert len(model.executions) == len(model.sent) == 1
    model.sent.clear()
    clock.advance(timedelta(seconds=60).total_seconds())
    assert len(queue.starts(event)) == 1


@pytest.mark.parametrize("queue", [HELD["alarm"]], indirect=True)
def test_many_services_that_have_waited(
    queue: Queue, model: EcsModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [{**TARGET, "service": f"service-{number}", "alarm": "errors"} for number in range(45)]
    set_targets(tmp_path, monkeypatch, *many, many[0], {**TARGET, "alarm": "other"})
    assert queue.deliver(opens(model, "alarm")) == []
    groups = [json.loads(each["MessageBody"])["reconcile"] for each in model.sent]
    assert [len(each) for each in groups] == [20, 20, 5]
    assert KEY not in {key for group in groups for key in group}
