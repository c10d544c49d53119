"""Pushes that go by versions: none leads back from what runs or rolls out, people do."""

from datetime import timedelta
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.doorman import SERVICE, state
from tests.support.ecs_model import CRASHES, HANGS, REGISTRY, EcsModel, Service, digest_of
from tests.support.workflow import End, execute

DOORMAN = f"{REGISTRY}/doorman"


@pytest.fixture
def service(model: EcsModel) -> Service:
    """A service that somebody has made, with version 1.5.0."""
    for tag in ("v1.4.0", "v1.5.0", "v1.6.0", "v1.9.0", "v1.10.0"):
        model.push_image("doorman", digest_of(tag), tag)
    containers = [{"name": "app", "image": f"{DOORMAN}:v1.5.0"}]
    made = model.add_service(
        "doorman-service", model.add_revision({"family": "doorman", "containerDefinitions": containers})
    )
    made.primary.created -= timedelta(hours=1)
    return made


def pushed(clock: Clock, tag: str, **more: Any) -> End:
    """Let a push of now go by versions."""
    event = {"id": f"push of {tag}", "time": clock.now().isoformat(), "digest": digest_of(tag), "policy": "semver:"}
    request = {**SERVICE, "image": f"{DOORMAN}:{tag}", "push": event, **more}
    return execute(request, clock, f"push-{clock.now():%H%M%S}")


def by_hand(clock: Clock, **what: Any) -> End:
    return execute({**SERVICE, **what}, clock, f"hand-{clock.now():%H%M%S}")


def outcome(end: End, clock: Clock) -> str:
    clock.advance(60)
    assert end.output, end.error
    name: str = end.output["outcome"]
    return name


def test_what_somebody_else_has_brought_in_is_not_led_back_from(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    end = pushed(clock, "v1.4.0")
    assert outcome(end, clock) == "SUPERSEDED"
    assert end.output
    assert end.output["reasons"] == ["the service runs v1.5.0 in app, and a push of v1.4.0 does not lead back from it"]
    assert model.writes == []
    assert outcome(pushed(clock, "v1.6.0"), clock) == "DEPLOYED"


def test_a_lower_version_that_is_pushed_later(model: EcsModel, service: Service, clock: Clock) -> None:
    assert outcome(pushed(clock, "v1.10.0"), clock) == "DEPLOYED"
    assert outcome(pushed(clock, "v1.9.0"), clock) == "SUPERSEDED"
    assert model.named(model.revision(service.primary.revision).document["containerDefinitions"][0]["image"]) == (
        f"{DOORMAN}:v1.10.0"
    )


def test_people_lead_back_and_pushes_go_on_from_there(model: EcsModel, service: Service, clock: Clock) -> None:
    assert outcome(pushed(clock, "v1.10.0"), clock) == "DEPLOYED"
    assert outcome(by_hand(clock, image=f"{DOORMAN}:v1.5.0"), clock) == "DEPLOYED"
    assert outcome(pushed(clock, "v1.4.0"), clock) == "SUPERSEDED"
    assert outcome(pushed(clock, "v1.6.0"), clock) == "DEPLOYED"


def test_a_revert_leads_back_and_pushes_go_on_from_there(model: EcsModel, service: Service, clock: Clock) -> None:
    for tag in ("v1.6.0", "v1.10.0"):
        assert outcome(pushed(clock, tag), clock) == "DEPLOYED"
    assert outcome(by_hand(clock, revert=True), clock) == "DEPLOYED"
    assert outcome(pushed(clock, "v1.5.0"), clock) == "SUPERSEDED"
    assert outcome(pushed(clock, "v1.9.0"), clock) == "DEPLOYED"


def test_one_image_with_two_versions_counts_as_the_higher(model: EcsModel, service: Service, clock: Clock) -> None:
    assert outcome(pushed(clock, "v1.6.0"), clock) == "DEPLOYED"
    # The same image again, as another version.
    model.push_image("doorman", digest_of("v1.6.0"), "v1.6.0", "v2.0.0")
    event = {"id": "retagged", "time": clock.now().isoformat(), "digest": digest_of("v1.6.0"), "policy": "semver:"}
    end = execute({**SERVICE, "image": f"{DOORMAN}:v2.0.0", "push": event}, clock, "retagged")
    assert outcome(end, clock) == "UNCHANGED"
    assert {each.tag for each in state(clock).deployed.values()} == {"v2.0.0"}
    assert outcome(pushed(clock, "v1.9.0"), clock) == "SUPERSEDED"


def test_what_has_failed_is_led_back_from(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[f"{DOORMAN}@{digest_of('v1.10.0')}"] = CRASHES
    assert pushed(clock, "v1.10.0").error == "DeploymentFailed"
    clock.advance(60)
    assert outcome(pushed(clock, "v1.9.0"), clock) == "DEPLOYED"


def test_a_service_that_runs_no_version(model: EcsModel, clock: Clock) -> None:
    model.push_image("doorman", digest_of("v1.4.0"), "v1.4.0")
    revision = model.add_revision(
        {"family": "doorman", "containerDefinitions": [{"name": "app", "image": f"{DOORMAN}:latest"}]}
    )
    model.push_image("doorman", digest_of("latest"), "latest")
    model.add_service("doorman-service", revision)
    clock.advance(60)
    assert outcome(pushed(clock, "v1.4.0"), clock) == "DEPLOYED"


def test_another_repository_knows_no_version_of_this_one(model: EcsModel, service: Service, clock: Clock) -> None:
    model.push_image("porter", digest_of("v1.4.0"), "v1.4.0")
    event = {"id": "porter", "time": clock.now().isoformat(), "digest": digest_of("v1.4.0"), "policy": "semver:"}
    end = execute({**SERVICE, "image": f"{REGISTRY}/porter:v1.4.0", "container": "app", "push": event}, clock, "porter")
    assert outcome(end, clock) == "DEPLOYED"


def test_what_somebody_else_has_led_back_from_counts_no_more(model: EcsModel, service: Service, clock: Clock) -> None:
    assert outcome(pushed(clock, "v1.10.0"), clock) == "DEPLOYED"
    containers = [{"name": "app", "image": f"{DOORMAN}:v1.5.0"}]
    model.start_deployment(service, model.add_revision({"family": "doorman", "containerDefinitions": containers}))
    clock.advance(600)
    assert outcome(pushed(clock, "v1.4.0"), clock) == "SUPERSEDED"
    assert outcome(pushed(clock, "v1.9.0"), clock) == "DEPLOYED"


def test_a_rollout_that_somebody_else_has_displaced_counts_no_more(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours[f"{DOORMAN}@{digest_of('v1.10.0')}"] = HANGS
    before = service.primary.revision

    def put_back(action: str, _body: dict[str, Any]) -> None:
        if action == "DescribeServices" and len(service.deployments) > 1:
            model.before_call = lambda *_: None
            model.start_deployment(service, before)

    model.before_call = put_back
    end = pushed(clock, "v1.10.0")
    assert outcome(end, clock) == "SUPERSEDED"
    clock.advance(600)
    assert outcome(pushed(clock, "v1.9.0"), clock) == "DEPLOYED"
