"""From stage to stage on virtual time: what has soaked is taken over, and nothing that failed or was reverted."""

import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ecs_deploy.aws import dynamodb
from ecs_deploy.core.state import Result
from ecs_deploy.handlers import dispatcher
from tests.support.clock import Clock
from tests.support.ecs_model import CRASHES, REGISTRY, EcsModel, Service, digest_of
from tests.support.queue import Queue, ended, set_targets
from tests.support.workflow import Context, End, arn_of, execute

SOAK = 1_800
PLACE = {"cluster": "production1"}
STAGING = {**PLACE, "service": "staging", "repository": "doorman", "tags": ["v*"], "reconcile_minutes": 60}
STAGE = {**PLACE, "service": "staging", "soak": SOAK}
PRODUCTION = {
    **PLACE,
    "service": "production",
    "repository": "doorman",
    "reconcile_minutes": 60,
    "promoted_from": STAGE,
}


class Pipeline:
    """Two services, the dispatcher with its queue, and all the executions that it starts."""

    def __init__(self, model: EcsModel, clock: Clock) -> None:
        self.model, self.clock = model, clock
        self.events = Queue(model, clock)
        self.sent: list[tuple[datetime, str]] = []
        self.ends: dict[str, list[str]] = {"staging": [], "production": []}
        self.ran: dict[str, list[str]] = {"staging": [], "production": []}
        self.loses_ends = False

    def push(self, tag: str) -> None:
        """Push an image, which the dispatcher hears of."""
        self.model.push_image("doorman", digest_of(tag), tag)
        self._deliver(json.dumps(self.events.event(tag)))

    def by_hand(self, service: str, **wanted: Any) -> str:
        """Let a person start an execution."""
        return self._run(f"hand-{service}-{self.clock.now():%H%M%S%f}", {**PLACE, "service": service, **wanted})

    def reconcile(self) -> None:
        self._deliver(json.dumps({"reconcile": ["production1/staging", "production1/production"]}))

    def advance(self, seconds: float) -> None:
        """Let time pass, and deliver what comes meanwhile."""
        until = self.clock.now() + timedelta(seconds=seconds)
        while self.sent and min(self.sent)[0] <= until:
            self.sent.sort()
            due, body = self.sent.pop(0)
            self.clock.time = max(self.clock.now(), due)
            self._deliver(body)
        self.clock.time = max(self.clock.now(), until)

    def runs(self, service: str) -> str:
        """The tag of the image that a service runs."""
        primary = self.model.services["production1", service].primary
        (container,) = self.model.revision(primary.revision).document["containerDefinitions"]
        return self.model.named(container["image"]).rpartition(":")[2]

    def _deliver(self, body: str, times: int = 1) -> None:
        before = set(self.model.executions)
        for _ in range(times):
            record = {"messageId": "1", "body": body, "attributes": {"ApproximateReceiveCount": "1"}}
            context: Any = Context()
            assert dispatcher.handler({"Records": [record]}, context) == {"batchItemFailures": []}
        for message in self.model.sent:
            assert message["QueueUrl"].endswith("/queue"), message
            delay = timedelta(seconds=message.get("DelaySeconds", 0))
            self.sent.append((self.clock.now() + delay, message["MessageBody"]))
        self.model.sent.clear()
        for arn in [each for each in self.model.executions if each not in before]:
            self._run(arn.rpartition(":")[2], json.loads(self.model.executions[arn]))

    def _run(self, name: str, request: dict[str, Any]) -> str:
        end: End = execute(request, self.clock, name)
        status = "FAILED" if end.error else "SUCCEEDED"
        self.model.executions.setdefault(arn_of(name), json.dumps(request))
        self.model.statuses[arn_of(name)] = status
        how = end.error or str((end.output or {})["outcome"])
        self.ends[request["service"]].append(how)
        if how == "DEPLOYED":
            self.ran[request["service"]].append(self.runs(request["service"]))
        if not self.loses_ends:
            self._deliver(json.dumps(ended(name, request, status, end.output)), times=2)
        return how


def add(model: EcsModel, name: str) -> Service:
    containers = [{"name": "app", "image": f"{REGISTRY}/doorman:v0"}]
    revision = model.add_revision({"family": name, "containerDefinitions": containers})
    service = model.add_service(name, revision)
    service.primary.created -= timedelta(hours=1)
    return service


@pytest.fixture
def pipeline(model: EcsModel, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    set_targets(tmp_path, monkeypatch, STAGING, PRODUCTION)
    model.push_image("doorman", digest_of("v0"), "v0")
    for name in ("staging", "production"):
        add(model, name)
    clock.advance(60)
    made = Pipeline(model, clock)
    made.reconcile()
    clock.advance(60)
    return made


def test_what_has_soaked_is_taken_over_by_its_digest(pipeline: Pipeline, model: EcsModel) -> None:
    pipeline.push("v1")
    pipeline.advance(SOAK - 120)
    assert (pipeline.runs("staging"), pipeline.runs("production")) == ("v1", "v0")
    # The tag moves on meanwhile, to what nobody has deployed.
    model.push_image("doorman", digest_of("moved"), "v1")
    pipeline.advance(300)
    runs = model.services["production1", "production"].primary
    assert model.resolved(runs.revision) == {"app": digest_of("v1")}
    assert pipeline.ends["production"] == ["DEPLOYED"]


def test_a_push_alone_starts_nothing(pipeline: Pipeline) -> None:
    pipeline.push("v1")
    assert pipeline.ends == {"staging": ["DEPLOYED"], "production": []}


def test_what_failed_is_not_taken_over(pipeline: Pipeline, model: EcsModel) -> None:
    model.behaviours[f"{REGISTRY}/doorman:v1"] = CRASHES
    pipeline.push("v1")
    pipeline.advance(3 * SOAK)
    assert pipeline.ends["staging"] == ["DeploymentFailed"]
    assert (pipeline.runs("production"), pipeline.ran["production"]) == ("v0", [])


def test_what_was_reverted_is_not_taken_over(pipeline: Pipeline) -> None:
    pipeline.push("v1")
    pipeline.advance(SOAK + 60)
    pipeline.push("v2")
    pipeline.advance(600)
    assert pipeline.by_hand("staging", revert=True) == "DEPLOYED"
    assert pipeline.runs("staging") == "v1"
    pipeline.advance(3 * SOAK)
    pipeline.reconcile()
    assert pipeline.runs("production") == "v1"
    assert pipeline.ran["production"] == ["v1"]


def test_what_is_displaced_is_not_taken_over_and_the_newer_one_is(pipeline: Pipeline) -> None:
    pipeline.push("v1")
    pipeline.advance(SOAK - 300)
    pipeline.push("v2")
    pipeline.advance(SOAK - 120)
    assert pipeline.ran["production"] == []
    pipeline.advance(300)
    assert pipeline.ran["production"] == ["v2"]


def test_one_that_fails_does_not_keep_the_one_before_from_being_taken_over(pipeline: Pipeline, model: EcsModel) -> None:
    pipeline.push("v1")
    pipeline.advance(600)
    model.behaviours[f"{REGISTRY}/doorman:v2"] = CRASHES
    pipeline.push("v2")
    pipeline.advance(SOAK)
    assert pipeline.ran["production"] == ["v1"]


def test_a_lost_event_is_found_by_the_schedule(pipeline: Pipeline) -> None:
    pipeline.loses_ends = True
    pipeline.push("v1")
    pipeline.advance(SOAK - 120)
    pipeline.reconcile()
    assert pipeline.ran["production"] == []
    pipeline.advance(600)
    pipeline.reconcile()
    pipeline.reconcile()
    assert pipeline.ends["production"] == ["DEPLOYED"]
    assert pipeline.runs("production") == "v1"


def test_the_schedule_does_not_lead_back_what_was_decided_since(pipeline: Pipeline) -> None:
    pipeline.push("v1")
    pipeline.loses_ends = True
    pipeline.sent.clear()
    pipeline.advance(SOAK + 60)
    pipeline.model.push_image("doorman", digest_of("hotfix"), "hotfix")
    assert pipeline.by_hand("production", image=f"{REGISTRY}/doorman:hotfix") == "DEPLOYED"
    pipeline.advance(3_600)
    pipeline.reconcile()
    assert pipeline.runs("production") == "hotfix"


def test_what_a_person_reverts_does_not_come_again(pipeline: Pipeline) -> None:
    pipeline.push("v1")
    pipeline.advance(SOAK + 60)
    assert pipeline.runs("production") == "v1"
    assert pipeline.by_hand("production", revert=True) == "DEPLOYED"
    for _ in range(3):
        pipeline.advance(3_600)
        pipeline.reconcile()
    assert pipeline.runs("production") == "v0"


def test_a_held_one_is_taken_over_when_it_is_released(pipeline: Pipeline) -> None:
    pipeline.by_hand("production", hold="the weekend")
    pipeline.push("v1")
    pipeline.advance(SOAK + 60)
    assert pipeline.ends["production"] == ["HELD", "HELD"]
    pipeline.by_hand("production", release=True)
    assert (pipeline.runs("production"), pipeline.ends["production"][2:]) == ("v1", ["RELEASED", "DEPLOYED"])


@pytest.mark.parametrize("how", ["a revert", "a newer one"])
def test_what_was_held_and_has_gone_from_the_stage_is_not_taken_over(pipeline: Pipeline, how: str) -> None:
    pipeline.by_hand("production", hold="the weekend")
    pipeline.push("v1")
    pipeline.advance(SOAK + 60)
    if how == "a revert":
        pipeline.by_hand("staging", revert=True)
    else:
        pipeline.push("v2")
    pipeline.by_hand("production", release=True)
    assert pipeline.runs("production") == "v0"
    assert pipeline.ends["production"][-1] == "SUPERSEDED"


def test_what_runs_there_already_is_unchanged(pipeline: Pipeline) -> None:
    pipeline.push("v1")
    pipeline.by_hand("production", image=f"{REGISTRY}/doorman:v1")
    pipeline.advance(SOAK + 60)
    assert pipeline.ends["production"] == ["DEPLOYED", "UNCHANGED"]
    results = [each.result for each in dynamodb.read_history("production1/production")]
    assert results == [Result.UNCHANGED, Result.DEPLOYED]


@pytest.mark.parametrize("seed", range(20))
def test_any_timeline(pipeline: Pipeline, model: EcsModel, seed: int) -> None:
    """Pushes, failures, reverts and lost events: whatever comes to production has soaked in staging, by no revert."""
    random_ = random.Random(f"promotion {seed}")
    runs, since, is_reverted = "v0", pipeline.clock.now(), False
    for number in range(1, 10):
        action, before = random_.choice(["push", "push", "bad", "revert", "nothing"]), pipeline.runs("production")
        if action == "bad":
            model.behaviours[f"{REGISTRY}/doorman:v{number}"] = CRASHES
        if action in {"push", "bad"}:
            pipeline.push(f"v{number}")
        if action == "revert":
            pipeline.by_hand("staging", revert=True)
        if runs != pipeline.runs("staging"):
            runs, since, is_reverted = pipeline.runs("staging"), pipeline.clock.now(), action == "revert"
        pipeline.loses_ends = random_.random() < 0.3
        pipeline.advance(random_.choice([300, 900, SOAK + 120]))
        pipeline.reconcile()
        if before != pipeline.runs("production"):
            assert (pipeline.runs("production"), is_reverted) == (runs, False)
            assert pipeline.clock.now() - since >= timedelta(seconds=SOAK - 60)
