"""The dispatcher behind its queue: what a push, a schedule and the end of an execution start."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ecs_deploy.core.errors import AwsUnavailable
from ecs_deploy.core.policy import Target
from ecs_deploy.core.reconciliation import MOST_RESTARTS
from ecs_deploy.core.state import Phase, Result
from ecs_deploy.handlers import dispatcher
from ecs_deploy.handlers.targets import served
from tests.support.aws_error import AwsError
from tests.support.clock import Clock
from tests.support.ecs_model import CRASHES, REGISTRY, EcsModel, Service, digest_of
from tests.support.queue import EVENTS, KEY, Queue, ended, set_targets
from tests.support.rules import table
from tests.support.workflow import Document, arn_of, execute

GRACE, HOUR = 900, 3600
TARGET = {
    "cluster": "production1",
    "service": "doorman-service",
    "repository": "doorman",
    "tags": ["v*"],
    "reconcile_minutes": 60,
}
WANTED: dict[str, Any] = {"cluster": "production1", "service": "doorman-service", "timeout": 300}
HOLD = {"cluster": "production1", "service": "doorman-service", "hold": "the weekend"}
RELEASE = {"cluster": "production1", "service": "doorman-service", "release": True}
THROTTLED = AwsError("ThrottlingException", "Rate exceeded")


@pytest.fixture
def service(model: EcsModel, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service that is stable, an hour after it was made, and two targets: one for each of its containers."""
    set_targets(tmp_path, monkeypatch, TARGET, {**TARGET, "repository": "proxy"})
    for repository in ("doorman", "proxy"):
        model.push_image(repository, digest_of("v1"), "v1")
    containers = [
        {"name": "app", "image": f"{REGISTRY}/doorman:v1"},
        {"name": "proxy", "image": f"{REGISTRY}/proxy:v1"},
    ]
    made = model.add_service(
        "doorman-service", model.add_revision({"family": "doorman", "containerDefinitions": containers})
    )
    clock.advance(HOUR)
    return made


@pytest.fixture
def queue(model: EcsModel, clock: Clock, service: Service) -> Queue:
    return Queue(model, clock)


@pytest.fixture
def seen(queue: Queue, clock: Clock) -> Queue:
    """The queue, once the service was seen for the first time."""
    assert queue.reconcile() == []
    clock.advance(60)
    return queue


def images(model: EcsModel, service: Service) -> list[str]:
    """What the service runs."""
    document = model.revision(service.primary.revision).document
    return [model.named(each["image"]).rpartition("/")[2] for each in document["containerDefinitions"]]


def failing(model: EcsModel, action: str, error: Exception) -> None:
    """Let the calls of an action fail from now on."""

    def fail(called: str, _body: Document) -> None:
        if called == action:
            raise error

    model.before_call = fail


# Pushes


def test_a_push_starts_an_execution(queue: Queue, clock: Clock, model: EcsModel) -> None:
    (name,) = queue.starts(queue.push("v2"))
    time = clock.now().isoformat().replace("+00:00", "Z")
    assert queue.request(name) == {
        "cluster": "production1",
        "service": "doorman-service",
        "image": f"{REGISTRY}/doorman:v2",
        "timeout": 600,
        "rollback": True,
        "push": {
            "id": "push-of-doorman-v2",
            "time": time,
            "digest": digest_of("v2"),
            "repository": "doorman",
            "tag": "v2",
        },
    }


def test_the_execution_deploys_what_was_pushed(queue: Queue, model: EcsModel, service: Service) -> None:
    end, more = queue.run(*queue.starts(queue.push("v2")))
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert images(model, service) == ["doorman:v2", "proxy:v1"]
    assert more == []


def test_a_doubled_event_starts_nothing_more(queue: Queue) -> None:
    event = queue.push("v2")
    assert len(queue.starts(event, event)) == 1
    assert queue.starts(event) == []


def test_a_push_to_several_services(queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["one", "two", "three"]
    targets: list[dict[str, Any]] = [{**TARGET, "service": name} for name in names]
    unwanted: list[dict[str, Any]] = [{**TARGET, "tags": ["main"]}, {**TARGET, "repository": None}]
    set_targets(tmp_path, monkeypatch, *targets, *unwanted)
    started = queue.starts(queue.push("v2"))
    assert [queue.request(name)["service"] for name in started] == names


def test_the_targets_are_read_once(queue: Queue, tmp_path: Path) -> None:
    queue.starts(queue.push("v2"))
    (tmp_path / "targets.json").unlink()
    assert len(queue.starts(queue.push("v3"))) == 1


def test_members_of_a_target_that_are_absent_have_their_defaults(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_targets(tmp_path, monkeypatch, {**TARGET, "container": None, "reconcile_minutes": 60})
    assert served() == (Target("production1", "doorman-service", "doorman", ("v*",), reconcile_minutes=60),)


@table(
    "change",
    {
        "a deletion": {"action-type": "DELETE"},
        "a push that failed": {"result": "FAILURE"},
        "a push without a tag": {"image-tag": None},
        "a push with an empty tag": {"image-tag": ""},
        "a tag that nobody waits for": {"image-tag": "main"},
        "a repository that nobody waits for": {"repository-name": "other"},
    },
)
def test_events_that_start_nothing(queue: Queue, change: dict[str, Any]) -> None:
    event = queue.push("v2")
    assert queue.starts({**event, "detail": {**event["detail"], **change}}) == []


@pytest.mark.parametrize("change", [{"region": "us-east-1"}, {"account": "210987654321"}])
def test_events_of_somewhere_else_start_nothing(queue: Queue, change: dict[str, str]) -> None:
    assert queue.starts({**queue.push("v2"), **change}) == []


# The batch, and the dead letters


def test_only_what_was_not_handled_comes_again(queue: Queue, model: EcsModel) -> None:
    def throttle(action: str, body: Document) -> None:
        if action == "StartExecution" and "doorman:v3" in body["input"]:
            raise THROTTLED

    model.before_call = throttle
    assert queue.deliver(queue.push("v2"), queue.push("v3"), queue.push("v4")) == ["1"]
    assert sorted(json.loads(each)["push"]["tag"] for each in model.executions.values()) == ["v2", "v4"]
    assert model.sent == []
    model.before_call = lambda *_: None
    assert len(queue.starts(queue.event("v3"))) == 1


@table(
    "error",
    {
        "it is throttled": THROTTLED,
        "AWS has failed": AwsError("InternalFailure", "Oops", status=500),
        "the answer is lost": ConnectionAbortedError(),
    },
)
def test_what_may_go_by_comes_again_until_the_last_time(queue: Queue, model: EcsModel, error: Exception) -> None:
    failing(model, "StartExecution", error)
    assert queue.deliver(queue.push("v2")) == ["0"]
    assert queue.deliver(queue.event("v2"), received=dispatcher.MOST_RECEIVES - 1) == ["0"]
    assert model.sent == []
    assert queue.deliver(queue.event("v2"), received=dispatcher.MOST_RECEIVES) == []
    (sent,) = model.sent
    assert sent["MessageAttributes"]["reason"]["StringValue"].startswith("AwsUnavailable: ")


def test_a_lost_answer_of_a_start_starts_it_once(queue: Queue, model: EcsModel) -> None:
    lost = iter([True])

    def lose(action: str, _body: Document) -> None:
        if action == "StartExecution" and next(lost, False):
            raise ConnectionAbortedError

    model.after_call = lose
    assert queue.deliver(queue.push("v2")) == ["0"]
    assert queue.deliver(queue.event("v2")) == []
    assert len(model.executions) == 1


@table(
    "body, reason",
    {
        "no JSON": ("}{", "JSONDecodeError: "),
        "an event of nobody": ('{"detail": {}}', "KeyError: 'source'"),
        "a push without a repository": (
            json.dumps({**json.loads((EVENTS / "push.json").read_text()), "detail": {}}),
            "",
        ),
        "a list": ("[]", "TypeError: "),
    },
)
def test_what_cannot_be_read_goes_to_the_dead_letters(queue: Queue, model: EcsModel, body: str, reason: str) -> None:
    assert queue.deliver(body, queue.push("v2")) == []
    assert len(model.executions) == 1
    if reason:
        (sent,) = model.sent
        assert sent["QueueUrl"] == "https://sqs/dead-letters"
        assert sent["MessageBody"] == body
        assert sent["MessageAttributes"]["reason"]["StringValue"].startswith(reason)
        assert sent["MessageAttributes"]["reason"]["DataType"] == "String"
    else:
        assert model.sent == []


def test_what_may_not_be_started_goes_to_the_dead_letters_with_its_reason(
    queue: Queue, model: EcsModel, capsys: pytest.CaptureFixture[str]
) -> None:
    model.refused = {"StartExecution"}
    event = queue.push("v2")
    assert queue.deliver(event) == []
    (sent,) = model.sent
    assert json.loads(sent["MessageBody"]) == event
    assert "may not call x:StartExecution" in sent["MessageAttributes"]["reason"]["StringValue"]
    assert '"DeadLetter":[1.0]' in capsys.readouterr().out.replace(" ", "")


def test_a_long_reason_is_shortened(queue: Queue, model: EcsModel) -> None:
    failing(model, "StartExecution", AwsError("AccessDeniedException", "no " * 1000))
    assert queue.deliver(queue.push("v2")) == []
    (sent,) = model.sent
    assert len(sent["MessageAttributes"]["reason"]["StringValue"]) == 1000


def test_what_the_dead_letters_do_not_take_comes_again(queue: Queue, model: EcsModel) -> None:
    failing(model, "SendMessage", THROTTLED)
    with pytest.raises(Exception, match="Rate exceeded"):
        queue.deliver("}{")


# The schedule


def test_the_first_time_only_notes_that_the_service_is_there(queue: Queue, clock: Clock) -> None:
    """What was pushed before is not rolled forward: it may have been rolled back on purpose."""
    queue.push("v2")
    clock.advance(HOUR)
    first_seen = clock.now()
    assert queue.reconcile() == []
    assert queue.state().since == first_seen
    clock.advance(HOUR)
    assert queue.reconcile() == []
    assert queue.state().since == first_seen
    queue.push("v3")
    clock.advance(HOUR)
    (name,) = queue.reconcile()
    assert queue.request(name)["push"]["tag"] == "v3"


def test_a_service_that_somebody_else_sees_first(queue: Queue, model: EcsModel) -> None:
    """The state is written by an execution between the dispatcher's read and its write."""
    once = iter([True])

    def write_first(action: str, body: Document) -> None:
        if action == "TransactWriteItems" and next(once, False):
            model.table.call(action, body)

    model.before_call = write_first
    assert queue.deliver({"reconcile": [KEY]}) in ([], ["0"])
    assert model.sent == []
    assert queue.reconcile() == []


def test_a_missed_push_is_started_once(seen: Queue, clock: Clock, model: EcsModel, service: Service) -> None:
    seen.push("v2")
    clock.advance(GRACE)
    (name,) = seen.reconcile()
    assert seen.request(name)["push"]["digest"] == digest_of("v2")
    assert seen.reconcile() == []
    end, more = seen.run(name)
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert more == []
    assert images(model, service) == ["doorman:v2", "proxy:v1"]
    clock.advance(HOUR)
    assert seen.reconcile() == []


def test_a_missed_push_is_counted(seen: Queue, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    seen.push("v2")
    clock.advance(GRACE)
    assert len(seen.reconcile()) == 1
    assert '"MissedPush":[1.0]' in capsys.readouterr().out.replace(" ", "")
    seen.reconcile()
    assert "MissedPush" not in capsys.readouterr().out


def test_an_event_may_still_come(seen: Queue, clock: Clock) -> None:
    event = seen.push("v2")
    clock.advance(GRACE - 1)
    assert seen.reconcile() == []
    (name,) = seen.starts(event)
    seen.run(name)
    clock.advance(HOUR)
    assert seen.reconcile() == []


def test_an_event_that_comes_after_all_changes_nothing(seen: Queue, clock: Clock) -> None:
    event = seen.push("v2")
    clock.advance(GRACE)
    seen.run(*seen.reconcile())
    end, _ = seen.run(*seen.starts(event))
    assert end.output
    assert end.output["outcome"] == "UNCHANGED"


def test_each_container_has_its_own_pushes(seen: Queue, clock: Clock, model: EcsModel, service: Service) -> None:
    seen.push("v2")
    seen.push("v3", "proxy")
    clock.advance(GRACE)
    app, proxy = seen.reconcile()
    assert seen.run_all(app, proxy) == {"doorman:v2": "DEPLOYED", "proxy:v3": "DEPLOYED"}
    assert images(model, service) == ["doorman:v2", "proxy:v3"]
    clock.advance(HOUR)
    assert seen.reconcile() == []


def test_what_has_failed_is_not_started_again(seen: Queue, clock: Clock, model: EcsModel) -> None:
    model.behaviours[f"{REGISTRY}/doorman:v2"] = CRASHES
    end, more = seen.run(*seen.starts(seen.push("v2")))
    assert end.error == "DeploymentFailed"
    assert more == []
    clock.advance(HOUR)
    assert seen.reconcile() == []


def test_a_revert_is_not_fought(seen: Queue, clock: Clock, model: EcsModel, service: Service) -> None:
    for tag in ("v2", "v3"):
        seen.run(*seen.starts(seen.push(tag)))
        clock.advance(60)
    seen.push("v4")
    clock.advance(60)
    end, _ = seen.run("revert", request={**WANTED, "revert": True})
    assert end.output
    clock.advance(HOUR)
    assert seen.reconcile() == []
    assert images(model, service) == ["doorman:v2", "proxy:v1"]


def test_a_persons_change_is_not_fought(seen: Queue, clock: Clock, model: EcsModel, service: Service) -> None:
    seen.push("v2")
    clock.advance(60)
    document = model.revision(service.primary.revision).document
    theirs = {key: document[key] for key in ("family", "containerDefinitions")}
    model.start_deployment(service, model.add_revision(theirs))
    clock.advance(HOUR)
    assert seen.reconcile() == []
    seen.push("v3")
    clock.advance(HOUR)
    assert len(seen.reconcile()) == 1


def test_a_rollout_is_not_disturbed(seen: Queue, clock: Clock, model: EcsModel) -> None:
    name = rolls_out(seen, clock)
    seen.push("v3")
    clock.advance(HOUR)
    assert seen.reconcile() == []
    owner = seen.state().owner
    assert owner
    assert owner.execution == arn_of(name)


@table(
    "target",
    {
        "no such service": {"service": "not-there-yet"},
        "no such cluster": {"cluster": "staging"},
        "no such container": {"container": "other"},
        "no container of the repository": {"repository": "other"},
        "no such repository": {"repository": "not-there-yet"},
        "no repository": {"repository": None},
        "no schedule": {"repository": "proxy", "reconcile_minutes": None},
    },
)
def test_a_target_with_nothing_to_deploy_to(
    queue: Queue, clock: Clock, model: EcsModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: dict[str, Any]
) -> None:
    whole = {**TARGET, **target}
    set_targets(tmp_path, monkeypatch, whole, TARGET)
    keys = [f"{whole['cluster']}/{whole['service']}", KEY]
    model.push_image("other", digest_of("o1"), "v1")
    assert queue.starts({"reconcile": keys}) == []
    clock.advance(60)
    queue.push("v2")
    for repository in ("other", "proxy"):
        model.push_image(repository, digest_of(repository), "v2")
    clock.advance(HOUR)
    queue.starts({"reconcile": keys})
    assert [json.loads(each)["push"]["repository"] for each in model.executions.values()] == ["doorman"]


def test_a_service_that_cannot_be_read_does_not_keep_the_others_waiting(
    queue: Queue, clock: Clock, model: EcsModel, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_targets(tmp_path, monkeypatch, {**TARGET, "service": "hidden"}, TARGET)
    model.services["production1", "hidden"] = service
    message = {"reconcile": ["production1/hidden", KEY]}
    queue.starts(message)
    clock.advance(60)
    queue.push("v2")
    clock.advance(HOUR)

    def hide(action: str, body: Document) -> None:
        if action == "DescribeServices" and body["services"] == ["hidden"]:
            raise AwsError("AccessDeniedException", "User: x is not authorized to perform: ecs:DescribeServices")

    model.before_call = hide
    assert queue.deliver(message) == ["0"]
    assert [json.loads(each)["service"] for each in model.executions.values()] == ["doorman-service"]
    assert queue.deliver(message, received=dispatcher.MOST_RECEIVES) == []
    (sent,) = model.sent
    assert "production1/hidden: " in sent["MessageAttributes"]["reason"]["StringValue"]
    assert KEY not in sent["MessageAttributes"]["reason"]["StringValue"]


def test_where_traffic_is_shifted(seen: Queue, clock: Clock, model: EcsModel, service: Service) -> None:
    service.strategy = "BLUE_GREEN"
    seen.push("v2")
    clock.advance(GRACE)
    end, _ = seen.run(*seen.reconcile())
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    clock.advance(HOUR)
    seen.push("v3")
    clock.advance(GRACE)
    seen.run(*seen.reconcile())
    assert images(model, service) == ["doorman:v3", "proxy:v1"]


# Executions that have ended without a verdict


def rolls_out(
    queue: Queue,
    clock: Clock,
    tag: str = "v2",
    repository: str = "doorman",
    until: str = "wait_for_rollout",
    phase: Phase = Phase.DEPLOYING,
) -> str:
    """Begin the execution of a push, which rolls out unless `until` says otherwise, and pauses there."""
    (name,) = queue.starts(queue.push(tag, repository))
    queue.model.statuses[arn_of(name)] = "RUNNING"
    queue.walk(name).go(until, phase)
    clock.advance(10)
    return name


def waits(queue: Queue, clock: Clock, tag: str, repository: str = "doorman") -> str:
    """Begin the execution of a push that waits for its turn."""
    return rolls_out(queue, clock, tag, repository, until="wait_for_turn")


def test_what_was_superseded_by_what_failed_is_started_again(
    seen: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    """v2 is rolling, and v3 takes over and fails: v2 was never judged."""
    v2 = rolls_out(seen, clock)
    model.behaviours[f"{REGISTRY}/doorman:v3"] = CRASHES
    v3 = rolls_out(seen, clock, "v3")
    end, nothing = seen.run(v2)
    assert end.output
    assert (end.output["outcome"], nothing) == ("SUPERSEDED", [])
    assert seen.run_all(v3) == {"doorman:v3": "DeploymentFailed", "doorman:v2": "DEPLOYED"}
    assert images(model, service) == ["doorman:v2", "proxy:v1"]
    clock.advance(HOUR)
    assert seen.reconcile() == []


def test_what_is_superseded_by_what_has_failed_already_is_started_again(
    seen: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    """v2 sleeps between two polls until v3, which has taken over, has failed."""
    v2 = rolls_out(seen, clock)
    model.behaviours[f"{REGISTRY}/doorman:v3"] = CRASHES
    v3 = rolls_out(seen, clock, "v3")
    end, nothing = seen.run(v3)
    assert (end.error, nothing) == ("DeploymentFailed", [])
    assert seen.run_all(v2) == {"doorman:v2": "DEPLOYED"}
    assert images(model, service) == ["doorman:v2", "proxy:v1"]


def test_all_that_a_failed_request_has_superseded(seen: Queue, clock: Clock, model: EcsModel, service: Service) -> None:
    """A push for each container, and a request for all of them, which fails: in the end both pushes run."""
    broken = model.add_revision(
        {"family": "doorman", "containerDefinitions": [{"name": "app", "image": f"{REGISTRY}/doorman:broken"}]}
    )
    model.behaviours[f"{REGISTRY}/doorman:broken"] = CRASHES
    app, proxy = rolls_out(seen, clock), waits(seen, clock, "v3", "proxy")
    request = {**WANTED, "revision": broken.rpartition("/")[2]}
    by_hand = seen.walk("by-hand", request)
    model.statuses[arn_of("by-hand")] = "RUNNING"
    by_hand.go("wait_for_rollout")
    clock.advance(10)
    superseded = [seen.run(name) for name in (app, proxy)]
    assert [((end.output or {})["outcome"], started) for end, started in superseded] == [("SUPERSEDED", [])] * 2
    end, started = seen.run("by-hand", request=request)
    assert end.error == "DeploymentFailed"
    assert seen.run_all(*started) == {"doorman:v2": "DEPLOYED", "proxy:v3": "DEPLOYED"}
    assert images(model, service) == ["doorman:v2", "proxy:v3"]


def test_what_was_held_is_started_when_it_is_released(
    seen: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    assert seen.run("hold", request=HOLD)[1] == []
    for tag in ("v2", "v3"):
        clock.advance(10)
        end, more = seen.run(*seen.starts(seen.push(tag)))
        assert end.output
        assert (end.output["outcome"], more) == ("HELD", [])
    clock.advance(HOUR)
    assert seen.reconcile() == []
    _, started = seen.run("release", request=RELEASE)
    assert seen.run_all(*started) == {"doorman:v3": "DEPLOYED"}
    assert images(model, service) == ["doorman:v3", "proxy:v1"]
    clock.advance(HOUR)
    assert seen.reconcile() == []


def test_what_was_held_in_both_containers_is_started_when_it_is_released(
    seen: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    seen.run("hold", request=HOLD)
    seen.run(*seen.starts(seen.push("v2")))
    clock.advance(10)
    seen.run(*seen.starts(seen.push("v3", "proxy")))
    clock.advance(10)
    _, started = seen.run("release", request=RELEASE)
    seen.run_all(*started)
    assert images(model, service) == ["doorman:v2", "proxy:v3"]


def test_what_was_held_and_is_what_the_service_runs(
    seen: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    """The image gets another tag while pushes are held."""
    seen.run(*seen.starts(seen.push("v2")))
    seen.run("hold", request=HOLD)
    clock.advance(10)
    event = seen.push("v3")
    event["detail"]["image-digest"] = digest_of("v2")
    seen.run(*seen.starts(event))
    clock.advance(10)
    _, started = seen.run("release", request=RELEASE)
    assert set(seen.run_all(*started).values()) <= {"UNCHANGED"}
    for _ in range(2):
        clock.advance(60)
        assert seen.reconcile() == []


def test_what_was_released_while_a_request_by_hand_came(
    seen: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    seen.run("hold", request=HOLD)
    seen.run(*seen.starts(seen.push("v2")))
    clock.advance(10)
    model.push_image("doorman", digest_of("mine"), "mine")
    seen.run("by-hand", request={**WANTED, "image": f"{REGISTRY}/doorman:mine"})
    clock.advance(10)
    _, started = seen.run("release", request=RELEASE)
    assert started == []
    assert images(model, service) == ["doorman:mine", "proxy:v1"]


# Dead owners


def test_an_owner_that_a_person_has_stopped_is_not_started_again(seen: Queue, clock: Clock, model: EcsModel) -> None:
    name = rolls_out(seen, clock)
    assert seen.dies(name, "ABORTED") == []
    assert seen.state().owner is None
    assert seen.results() == [Result.STOPPED]
    assert seen.history()[0].ended_at == clock.now()
    clock.advance(HOUR)
    assert seen.reconcile() == []
    (newer,) = seen.starts(seen.push("v3"))
    assert seen.run_all(newer) == {"doorman:v3": "DEPLOYED"}


def test_a_death_that_cannot_be_written_down_at_once(seen: Queue, clock: Clock, model: EcsModel) -> None:
    """Somebody else writes in the same moment."""
    name = rolls_out(seen, clock)
    model.statuses[arn_of(name)] = "ABORTED"
    event = ended(name, seen.request(name), "ABORTED")
    once = iter([True])

    def meet(action: str, _body: Document) -> None:
        if action == "TransactWriteItems" and next(once, False):
            reasons = {"CancellationReasons": [{"Code": "TransactionConflict"}]}
            raise AwsError("TransactionCanceledException", "Transaction cancelled", more=reasons)

    model.before_call = meet
    if again := seen.deliver(event):
        assert again == ["0"]
        assert seen.deliver(event) == []
    assert model.sent == []
    assert seen.state().owner is None
    assert seen.results() == [Result.STOPPED]


def test_an_owner_that_was_stopped_is_found_by_the_schedule(seen: Queue, clock: Clock, model: EcsModel) -> None:
    name = rolls_out(seen, clock)
    model.statuses[arn_of(name)] = "ABORTED"
    clock.advance(HOUR)
    assert seen.reconcile() == []
    assert seen.state().owner is None
    assert seen.results() == [Result.STOPPED]


@pytest.mark.parametrize("status", ["TIMED_OUT", "FAILED"])
def test_an_owner_that_has_died_is_started_again(
    seen: Queue, clock: Clock, model: EcsModel, service: Service, status: str
) -> None:
    name = rolls_out(seen, clock)
    began = service.primary.id
    (again,) = seen.dies(name, status)
    assert seen.results() == [Result.DIED]
    assert seen.state().owner is None
    assert seen.request(again)["restart"]["request"] == "push-of-doorman-v2"
    assert seen.reconcile() == []
    assert seen.run_all(again) == {"doorman:v2": "DEPLOYED"}
    assert images(model, service) == ["doorman:v2", "proxy:v1"]
    # What it began is followed.
    assert service.primary.id == began


def test_a_dead_owner_is_found_by_the_schedule(seen: Queue, clock: Clock, model: EcsModel) -> None:
    name = rolls_out(seen, clock)
    model.statuses[arn_of(name)] = "TIMED_OUT"
    clock.advance(HOUR)
    (again,) = seen.reconcile()
    assert seen.run_all(again) == {"doorman:v2": "DEPLOYED"}


def test_what_dies_again_and_again_is_given_up(seen: Queue, clock: Clock) -> None:
    name = rolls_out(seen, clock)
    for _ in range(MOST_RESTARTS):
        (name,) = seen.dies(name)
        seen.walk(name).go("wait_for_rollout")
        clock.advance(10)
    assert seen.dies(name) == []
    assert seen.state().owner is None
    assert seen.results() == [Result.DIED] * (MOST_RESTARTS + 1)
    clock.advance(HOUR)
    assert seen.reconcile() == []


@table(
    "status, seconds, dead",
    {
        "it is not shown yet": (None, 100, False),
        "it is not shown any more": (None, 121, True),
        "it runs": ("RUNNING", HOUR, False),
        "it is about to be redriven": ("PENDING_REDRIVE", HOUR, False),
        "it has succeeded, and left nothing": ("SUCCEEDED", HOUR, True),
    },
)
def test_whether_an_owner_is_dead(
    seen: Queue, clock: Clock, model: EcsModel, status: str | None, seconds: float, dead: bool
) -> None:
    name = rolls_out(seen, clock)
    owner = seen.state().owner
    assert owner
    model.statuses.pop(arn_of(name))
    if status:
        model.statuses[arn_of(name)] = status
    clock.time = owner.since
    clock.advance(seconds)
    assert len(seen.reconcile()) == dead
    assert (seen.state().owner is None) is dead


def test_one_that_waits_for_its_turn_and_dies_is_started_again(
    seen: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    app, proxy = rolls_out(seen, clock), waits(seen, clock, "v3", "proxy")
    started = seen.dies(proxy)
    # The owner lives, and goes on.
    owner = seen.state().owner
    assert owner
    assert owner.execution == arn_of(app)
    end, more = seen.run(app)
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    clock.advance(HOUR)
    assert seen.run_all(*started, *more, *seen.reconcile()) == {"proxy:v3": "DEPLOYED"}
    assert images(model, service) == ["doorman:v2", "proxy:v3"]


def test_what_was_superseded_by_one_that_was_stopped_before_its_turn(
    seen: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    """Another container is deployed; v2 and v3 wait, v3 is stopped by a person: v2 is the newest that is wanted."""
    proxy = rolls_out(seen, clock, "v9", "proxy")
    v2, v3 = (waits(seen, clock, tag) for tag in ("v2", "v3"))
    end, started = seen.run(v2)
    assert end.output
    assert (end.output["outcome"], started) == ("SUPERSEDED", [])
    started = seen.dies(v3, "ABORTED")
    end, more = seen.run(proxy)
    assert end.output
    clock.advance(HOUR)
    assert seen.run_all(*started, *more, *seen.reconcile()) == {"doorman:v2": "DEPLOYED"}
    assert images(model, service) == ["doorman:v2", "proxy:v9"]


def test_an_owner_that_has_died_while_it_returned(seen: Queue, clock: Clock, model: EcsModel, service: Service) -> None:
    """What was stable is brought back, and what failed is not tried again."""
    model.behaviours[f"{REGISTRY}/doorman:v2"] = CRASHES
    name = rolls_out(seen, clock, until="update", phase=Phase.RETURNING)
    assert images(model, service) == ["doorman:v2", "proxy:v1"]
    (back,) = seen.dies(name)
    assert seen.request(back)["revision"] == "doorman:1"
    assert seen.results() == [Result.FAILED]
    end, more = seen.run(back)
    assert end.output
    assert (end.output["outcome"], more) == ("DEPLOYED", [])
    assert images(model, service) == ["doorman:v1", "proxy:v1"]
    clock.advance(HOUR)
    assert seen.reconcile() == []


def test_an_owner_that_a_person_has_stopped_while_it_returned(
    seen: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    model.behaviours[f"{REGISTRY}/doorman:v2"] = CRASHES
    name = rolls_out(seen, clock, until="update", phase=Phase.RETURNING)
    assert seen.dies(name, "ABORTED") == []
    assert seen.state().owner is None
    clock.advance(HOUR)
    assert seen.reconcile() == []


def test_an_owner_that_ends_while_the_dispatcher_looks_has_not_died(
    seen: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    """It returns, and is through between the read of the state and the question whether it runs."""
    model.behaviours[f"{REGISTRY}/doorman:v2"] = CRASHES
    name = rolls_out(seen, clock, until="update", phase=Phase.RETURNING)

    def end(action: str, _body: Document) -> None:
        if action == "DescribeExecution":
            model.before_call = lambda *_: None
            assert seen.walk(name).go().error == "DeploymentFailed"
            model.statuses[arn_of(name)] = "FAILED"

    model.before_call = end
    assert seen.reconcile() == []
    assert seen.results() == [Result.FAILED]


def test_a_return_that_has_died_gives_way_to_a_newer_push(
    seen: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    model.behaviours[f"{REGISTRY}/doorman:v2"] = CRASHES
    name = rolls_out(seen, clock, until="update", phase=Phase.RETURNING)
    (v3,) = seen.starts(seen.push("v3"))
    (back,) = seen.dies(name)
    assert seen.run_all(v3) == {"doorman:v3": "DEPLOYED"}
    end, _ = seen.run(back)
    assert end.output
    assert end.output["outcome"] == "SUPERSEDED"
    assert images(model, service) == ["doorman:v3", "proxy:v1"]


def loses_the_call(queue: Queue, clock: Clock, service: Service) -> tuple[str, str]:
    """An execution that dies in its call of UpdateService, which ECS has not applied yet: its name and its revision."""
    lost: list[str] = []

    def lose(action: str, body: Document) -> None:
        if action == "UpdateService":
            lost.append(body["taskDefinition"])
            raise ConnectionAbortedError

    queue.model.before_call = lose
    (name,) = queue.starts(queue.push("v2"))
    with pytest.raises(AssertionError, match="in vain"):
        execute(queue.request(name), clock, name)
    queue.model.before_call = lambda *_: None
    queue.model.statuses[arn_of(name)] = "TIMED_OUT"
    return name, lost[0]


def test_what_lands_after_the_end_is_repaired(seen: Queue, clock: Clock, model: EcsModel, service: Service) -> None:
    """The owner dies in its call; a newer push takes over and is stable; then ECS applies the call of the dead one."""
    name, revision = loses_the_call(seen, clock, service)
    v3 = seen.starts(seen.push("v3"))
    assert seen.run_all(*v3) == {"doorman:v3": "DEPLOYED"}
    assert seen.starts(ended(name, seen.request(name), "TIMED_OUT")) == []
    model.start_deployment(service, revision)
    assert images(model, service) == ["doorman:v2", "proxy:v1"]
    clock.advance(HOUR)
    (back,) = seen.reconcile()
    assert seen.reconcile() == []
    end, more = seen.run(back)
    assert end.output
    assert (end.output["outcome"], more) == ("DEPLOYED", [])
    assert images(model, service) == ["doorman:v3", "proxy:v1"]
    clock.advance(HOUR)
    assert seen.reconcile() == []


def test_a_call_of_its_own_that_lands_late(seen: Queue, clock: Clock, model: EcsModel, service: Service) -> None:
    """A call is lost; a person changes the service; the image is put on top of that; then ECS applies the lost call."""
    lost: list[str] = []

    def lose(action: str, body: Document) -> None:
        if action == "UpdateService" and not lost:
            lost.append(body["taskDefinition"])
            raise ConnectionAbortedError

    model.before_call = lose
    (name,) = seen.starts(seen.push("v2"))
    walk = seen.walk(name)
    with pytest.raises(AwsUnavailable):
        walk.go()
    theirs = copy.deepcopy(model.revision(service.primary.revision).document["containerDefinitions"])
    theirs[0]["environment"] = [{"name": "THEIRS", "value": "yes"}]
    model.start_deployment(service, model.add_revision({"family": "doorman", "containerDefinitions": theirs}))
    clock.advance(60)
    walk.go("wait_for_rollout")
    assert images(model, service) == ["doorman:v2", "proxy:v1"]
    model.start_deployment(service, lost[0])
    end, started = seen.run(name)
    assert end.output
    clock.advance(HOUR)
    for each in (*started, *seen.reconcile()):
        seen.run(each)
    assert images(model, service) == ["doorman:v2", "proxy:v1"]
    assert "environment" in model.revision(service.primary.revision).document["containerDefinitions"][0]
    assert end.output["outcome"] == "DEPLOYED"


def test_what_is_started_again_is_not_repaired_too(
    seen: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    """The owner dies in its call, which ECS applies; it is started again, which is all."""
    _, revision = loses_the_call(seen, clock, service)
    model.start_deployment(service, revision)
    clock.advance(HOUR)
    started = seen.reconcile()
    assert [seen.request(each).get("image") for each in started] == [f"{REGISTRY}/doorman:v2"]
    assert seen.run_all(*started) == {"doorman:v2": "DEPLOYED"}


def test_what_is_refused_is_not_started_again_and_again(seen: Queue, clock: Clock, model: EcsModel) -> None:
    """Two tags of one image; the newer push comes first, waits for its turn, and is stopped by a person."""
    older, newer = seen.push("v2"), seen.push("v2final")
    older["time"] = "2026-01-31T12:00:00Z"
    older["detail"]["image-digest"] = newer["detail"]["image-digest"]
    rolls_out(seen, clock, "v9", "proxy")
    (name,) = seen.starts(newer)
    model.statuses[arn_of(name)] = "RUNNING"
    seen.walk(name).go("wait_for_turn")
    clock.advance(10)
    end, started = seen.run(*seen.starts(older))
    assert end.output
    assert (end.output["outcome"], started) == ("SUPERSEDED", [])
    seen.run(next(iter(seen.walks)))
    started = seen.dies(name, "ABORTED")
    for _ in range(5):
        started = [more for each in started for more in seen.run(each)[1]]
    assert started == []


def test_what_may_not_be_registered_is_not_started_again(
    seen: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    model.refused = {"RegisterTaskDefinition"}
    end, more = seen.run(*seen.starts(seen.push("v2")))
    assert end.error == "AccessDenied"
    assert more == []
    assert seen.state().owner is None
    clock.advance(HOUR)
    assert seen.reconcile() == []


def test_what_cannot_be_done_again_does_not_keep_others_waiting(
    seen: Queue, clock: Clock, model: EcsModel, service: Service
) -> None:
    """Of two that were held, the newest is not there any more when it is released: the other one is deployed."""
    seen.run("hold", request=HOLD)
    for tag in ("v2", "v3"):
        seen.run(*seen.starts(seen.push(tag)))
        clock.advance(10)
    model.has_every_digest = False
    model.images -= {("doorman", "v3"), ("doorman", digest_of("v3"))}
    model.pushed["doorman"].pop()
    _, started = seen.run("release", request=RELEASE)
    assert seen.run_all(*started)["doorman:v3"] == "ImageNotFound"
    for _ in range(3):
        clock.advance(HOUR)
        seen.run_all(*seen.reconcile())
    assert images(model, service) == ["doorman:v2", "proxy:v1"]


# The end of an execution


@table(
    "asked",
    {
        "no request": "hello",
        "a request that was not valid": {"cluster": "production1"},
        "a request for a service that nobody knows": {"cluster": "production1", "service": "x", "image": "doorman:v1"},
    },
)
def test_the_end_of_an_execution_that_has_changed_nothing(queue: Queue, asked: Any) -> None:
    assert queue.starts(ended("by-hand", asked, "FAILED")) == []


def test_the_end_of_an_execution_whose_input_is_not_told(queue: Queue) -> None:
    event = ended("by-hand", {}, "FAILED")
    del event["detail"]["input"]
    assert queue.starts(event) == []


def test_a_state_that_is_not_the_deployers_goes_to_the_dead_letters(queue: Queue, model: EcsModel) -> None:
    model.table.items[KEY, "STATE"] = {"pk": {"S": KEY}, "sk": {"S": "STATE"}, "value": {"S": "{}"}, "rev": {"N": "1"}}
    request = {**WANTED, "image": f"{REGISTRY}/doorman:v1"}
    assert queue.deliver(ended("by-hand", request, "FAILED")) == []
    (sent,) = model.sent
    assert "is not the deployer's" in sent["MessageAttributes"]["reason"]["StringValue"]
