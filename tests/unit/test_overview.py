"""What people ask to see: the status and the history of a service, and what a deployment would do."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ecs_deploy.core.task_definition import differences
from tests.support.clock import Clock
from tests.support.doorman import KEY, SERVICE
from tests.support.ecs_model import CRASHES, HANGS, REGISTRY, EcsModel, Service, digest_of
from tests.support.queue import set_targets
from tests.support.rules import table
from tests.support.workflow import End, execute, execute_together

DOORMAN = f"{REGISTRY}/doorman"


@pytest.fixture
def service(model: EcsModel) -> Service:
    for tag in ("v1", "v2", "v3"):
        model.push_image("doorman", digest_of(tag), tag)
    containers: list[dict[str, Any]] = [
        {
            "name": "app",
            "image": f"{DOORMAN}:v1",
            "cpu": 128,
            "environment": [{"name": "KEY", "value": "s3cret-value"}],
        },
        {"name": "proxy", "image": "envoyproxy/envoy:v1"},
    ]
    made = model.add_service(
        "doorman-service", model.add_revision({"family": "doorman", "containerDefinitions": containers})
    )
    made.primary.created -= timedelta(hours=1)
    return made


def run(clock: Clock, **wanted: Any) -> End:
    clock.advance(60)
    return execute({**SERVICE, **wanted}, clock, f"hand-{clock.now():%H%M%S}")


def shown(end: End, outcome: str) -> dict[str, Any]:
    """What an execution shows; nobody is notified of it."""
    assert end.output, end.error
    assert end.output["outcome"] == outcome
    assert end.answers[-1]["notification"]["repeated"] is True
    found: dict[str, Any] = end.output["shown"]
    return found


def test_the_status_of_a_service_that_nothing_was_deployed_to(model: EcsModel, service: Service, clock: Clock) -> None:
    found = shown(run(clock, status=True), "STATUS")
    assert found == {
        "revision": "doorman:1",
        "stable": None,
        "containers": {
            "app": {"image": DOORMAN, "tag": "v1", "digest": None},
            "proxy": {"image": "envoyproxy/envoy", "tag": "v1", "digest": None},
        },
        "newest": {},
        "held": [],
        "owner": None,
        "watches": False,
        "waiting": [],
        "deployments": [
            {
                "status": "PRIMARY",
                "revision": "doorman:1",
                "rolloutState": "COMPLETED",
                "desired": 2,
                "running": 2,
                "pending": 0,
                "failed": 0,
            }
        ],
    }
    assert model.writes == []
    assert model.table.items == {}


def test_the_status_after_a_deployment(
    model: EcsModel, service: Service, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_targets(tmp_path, monkeypatch, {**SERVICE, "repository": "doorman", "alarm": "errors"})
    model.alarms["errors"] = "ALARM"
    run(clock, image=f"{DOORMAN}:v2")
    run(clock, hold="wet paint")
    found = shown(run(clock, status=True), "STATUS")
    assert found["containers"]["app"] == {"image": DOORMAN, "tag": "v2", "digest": digest_of("v2")}
    assert (found["revision"], found["stable"]) == ("doorman:2", "doorman:2")
    assert found["held"] == ["wet paint", "the alarm errors is ALARM"]
    newest = found["newest"]["app"]
    assert (newest["tag"], newest["by"], newest["failed"]) == ("v2", "hand", False)


def test_the_status_during_a_rollout(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[f"{DOORMAN}@{digest_of('v2')}"] = HANGS
    deploys, asks = {**SERVICE, "image": f"{DOORMAN}:v2", "timeout": 120}, {**SERVICE, "status": True}
    ends = execute_together({"deploys": (0, deploys), "asks": (30, asks)}, clock)
    found = shown(ends["asks"], "STATUS")
    assert found["owner"].endswith(":deploys")
    assert [(each["revision"], each["running"]) for each in found["deployments"]] == [
        ("doorman:2", 0),
        ("doorman:1", 2),
    ]


def test_what_waits_for_what(model: EcsModel, service: Service, clock: Clock) -> None:
    asks = {**SERVICE, "image": f"{DOORMAN}:v2", "approval": 120, "before": {"command": ["migrate"]}}
    ends = execute_together(
        {
            "waits": (0, asks),
            "shows": (30, {**SERVICE, "status": True}),
            "says-yes": (40, {**SERVICE, "approve": "waits"}),
            "shows-it-again": (170, {**SERVICE, "status": True}),
        },
        clock,
    )
    (waits,) = shown(ends["shows"], "STATUS")["waiting"]
    assert (waits["execution"], waits["for"]) == ("waits", "approval")
    assert shown(ends["shows-it-again"], "STATUS")["waiting"] == []


def test_the_history(model: EcsModel, service: Service, clock: Clock) -> None:
    assert shown(run(clock, history=True), "HISTORY") == {"executions": []}
    model.behaviours[f"{DOORMAN}@{digest_of('v3')}"] = CRASHES
    run(clock, image=f"{DOORMAN}:v2")
    assert run(clock, image=f"{DOORMAN}:v3").error == "DeploymentFailed"
    failed, deployed = shown(run(clock, history=True), "HISTORY")["executions"]
    assert (failed["result"], failed["tag"], failed["revision"]) == ("FAILED", "v3", "doorman:3")
    assert (deployed["result"], deployed["revision"], deployed["replaced"]) == ("DEPLOYED", "doorman:2", "doorman:1")
    assert deployed["seconds"] > 0
    assert set(deployed["times"]) == {"pull", "start", "health", "shift", "drain"}
    for _ in range(25):
        run(clock, image=f"{DOORMAN}:v2")
    assert len(shown(run(clock, history=True), "HISTORY")["executions"]) == 20


@table(
    "wanted, then, revision, members",
    {
        "an image": ({"image": f"{DOORMAN}:v2"}, "it would be deployed", None, ["app.image"]),
        "a revision": ({"revision": "doorman:2"}, "it would be deployed", "doorman:2", ["app.cpu", "app.environment"]),
    },
)
def test_what_would_be_deployed(
    model: EcsModel, service: Service, clock: Clock, wanted: dict[str, Any], then: str, revision: str | None,
    members: list[str],
) -> None:  # fmt: skip
    document = model.revision(service.primary.revision).document
    other = [
        {**each, "cpu": 256} | ({"environment": []} if "environment" in each else {})
        for each in document["containerDefinitions"]
    ]
    model.add_revision(
        {"family": "doorman", "containerDefinitions": [{**other[0]}, document["containerDefinitions"][1]]}
    )
    end = run(clock, dryRun=True, **wanted)
    found = shown(end, "REHEARSED")
    assert end.output
    assert end.output["reasons"] == [then]
    assert (found["base"], found["revision"]) == ("doorman:1", revision)
    assert [each["member"] for each in found["differences"]] == members
    assert "s3cret" not in str(end.output)
    assert model.writes == []
    assert model.table.items == {}


def test_what_would_not_be_deployed(model: EcsModel, service: Service, clock: Clock) -> None:
    assert run(clock, image=f"{DOORMAN}:nowhere", dryRun=True).error == "ImageNotFound"
    assert run(clock, image="other:v1", dryRun=True).error == "NoMatchingContainer"
    run(clock, image=f"{DOORMAN}:v2")
    push = {"id": "late", "time": "2026-01-31T00:00:00Z", "digest": digest_of("v1")}
    end = run(clock, image=f"{DOORMAN}:v1", push=push, dryRun=True)
    assert end.output
    assert end.output["reasons"][0].startswith("it would end as SUPERSEDED: ")
    shown(end, "REHEARSED")


def test_a_revert_would_go_back(model: EcsModel, service: Service, clock: Clock) -> None:
    run(clock, image=f"{DOORMAN}:v2")
    before = dict(model.table.items)
    found = shown(run(clock, revert=True, dryRun=True), "REHEARSED")
    assert [each["member"] for each in found["differences"]] == ["app.image", "proxy.image"]
    assert found["differences"][0]["before"] == f"{DOORMAN}@{digest_of('v2')}"
    assert model.table.items == before


def test_differences_tell_no_secret() -> None:
    one = {"cpu": "256", "containerDefinitions": [{"name": "a", "image": "x:1", "command": ["--token=1"]}]}
    other = {
        "cpu": "512",
        "containerDefinitions": [{"name": "a", "image": "x:2", "command": ["--token=2"]}, {"name": "b", "image": "y"}],
    }
    assert differences(one, other) == [
        {"member": "a.command"},
        {"member": "a.image", "before": "x:1", "after": "x:2"},
        {"member": "b.image", "before": None, "after": "y"},
        {"member": "cpu", "before": "256", "after": "512"},
    ]
    assert differences(one, one) == []


@pytest.mark.parametrize("verb", ["status", "history"])
def test_a_service_that_is_not_there(model: EcsModel, clock: Clock, verb: str) -> None:
    assert run(clock, **{verb: True}).error == "ServiceNotFound"
    assert KEY not in str(model.table.items)
