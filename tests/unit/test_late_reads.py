"""What ECS shows late, refuses for a while, or has taken away: revisions that are new, full, or INACTIVE."""

from datetime import timedelta
from typing import Any

import pytest

from ecs_deploy.core.task_definition import is_same
from tests.support.clock import Clock
from tests.support.doorman import NEW_IMAGE, NEWER_IMAGE, OLD_IMAGE, REQUEST, SERVICE, add_doorman, add_theirs, images
from tests.support.ecs_model import CRASHES, HANGS, EcsModel
from tests.support.workflow import execute


@pytest.mark.parametrize("seconds", [1, 8, 45])
def test_a_revision_that_is_not_known_yet_is_asked_for_again(model: EcsModel, clock: Clock, seconds: int) -> None:
    service = add_doorman(model)
    clock.advance(120)
    model.unknown_seconds = seconds
    end = execute(REQUEST, clock)
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert images(model, service.primary.revision)[0] == NEW_IMAGE
    assert model.called("RegisterTaskDefinition") == ["RegisterTaskDefinition"]


def test_a_revision_that_stays_unknown_is_an_end(model: EcsModel, clock: Clock) -> None:
    service = add_doorman(model)
    before = service.primary.revision
    clock.advance(7_200)
    model.unknown_seconds = 3_600
    started = clock.now()
    end = execute(REQUEST, clock)
    assert end.error == "DeploymentFailed"
    assert "TaskDefinition not found" in (end.cause or {})["message"]
    assert service.primary.revision == before
    assert clock.now() - started < timedelta(minutes=3)


def test_five_active_deployments_are_waited_for(model: EcsModel, clock: Clock) -> None:
    service = add_doorman(model)
    hanging = [f"envoyproxy/envoy:hangs-{number}" for number in range(4)]
    containers = model.revision(service.primary.revision).document["containerDefinitions"]
    for image in hanging:
        model.behaviours[image] = HANGS
        model.start_deployment(
            service,
            model.add_revision(
                {"family": "doorman", "containerDefinitions": [*containers[:2], {**containers[2], "image": image}]}
            ),
        )
    gone = clock.now() + timedelta(minutes=5)

    def drain(_action: str, _body: dict[str, Any]) -> None:
        if clock.now() > gone and len(service.deployments) > 4:
            del service.deployments[3]

    model.before_call = drain
    end = execute({**REQUEST, "container": "app"}, clock)
    assert model.called("UpdateService")[1:], "it was not refused once"
    # What hangs is somebody else's change: it is the base, so it hangs on.
    assert end.error == "DeploymentTimedOut"


def is_back(model: EcsModel, revision: str) -> bool:
    """Whether the service runs what an INACTIVE revision defines, in a revision that is ACTIVE."""
    service = model.services["production1", "doorman-service"]
    runs = model.revision(service.primary.revision).document
    return runs["status"] == "ACTIVE" and is_same(runs, model.revision(revision).document)


@pytest.mark.parametrize("seconds", [0, 8, 45])
@pytest.mark.parametrize("strategy", ["ROLLING", "BLUE_GREEN"])
def test_a_call_of_ones_own_that_is_still_shown_is_nobody_elses(
    model: EcsModel, clock: Clock, seconds: int, strategy: str
) -> None:
    """A person changes the service in the moment of the update, so it is updated twice, and reads show the first."""
    service = add_doorman(model, strategy=strategy)
    model.stale_seconds = seconds
    calls: list[str] = []

    def change(action: str, _body: dict[str, Any]) -> None:
        calls.append(action)
        if calls.count("UpdateService") == 1 and action == "UpdateService":
            model.start_deployment(service, add_theirs(model))
            clock.advance(0.01)

    model.before_call = change
    end = execute(REQUEST, clock)
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert images(model, service.primary.revision)[0] == NEW_IMAGE


@pytest.mark.parametrize("status", ["INACTIVE", "DELETE_IN_PROGRESS"])
def test_the_return_to_what_is_inactive_registers_it_anew(model: EcsModel, clock: Clock, status: str) -> None:
    service = add_doorman(model)
    before = service.primary.revision
    model.revision(before).document |= {"status": status, "deregisteredAt": 1, "deleteRequestedAt": 2}
    model.behaviours |= {NEW_IMAGE: CRASHES, NEWER_IMAGE: CRASHES}
    for number, image in enumerate((NEW_IMAGE, NEWER_IMAGE)):
        end = execute({**SERVICE, "image": image}, clock, name=f"e{number}")
        assert (end.error, (end.cause or {})["rolledBack"]) == ("DeploymentFailed", True)
        assert is_back(model, before)
    # Two new images, and one revision to return to.
    assert model.called("RegisterTaskDefinition") == ["RegisterTaskDefinition"] * 3
    assert images(model, service.primary.revision)[0] == OLD_IMAGE


@pytest.mark.parametrize("moment", ["before_call", "after_call"])
def test_what_is_registered_anew_is_found_by_the_next_try(model: EcsModel, clock: Clock, moment: str) -> None:
    service = add_doorman(model)
    before = service.primary.revision
    model.revision(before).document["status"] = "INACTIVE"
    model.behaviours[NEW_IMAGE] = CRASHES
    left = [2]

    def lose(action: str, _body: dict[str, Any]) -> None:
        if action == "RegisterTaskDefinition":
            left[0] -= 1
            if left[0] == 0:
                raise ConnectionResetError

    setattr(model, moment, lose)
    assert execute(REQUEST, clock).error == "DeploymentFailed"
    assert is_back(model, before)
    registered = [each for each in model.families["doorman"] if is_same(each.document, model.revision(before).document)]
    assert len(registered) == 2


@pytest.mark.parametrize("strategy", ["ROLLING", "BLUE_GREEN"])
def test_the_revision_that_runs_is_unchanged(model: EcsModel, clock: Clock, strategy: str) -> None:
    service = add_doorman(model, strategy=strategy)
    runs = service.primary
    end = execute({**SERVICE, "revision": "doorman:1"}, clock)
    assert (end.output or {})["outcome"] == "UNCHANGED"
    assert "ran doorman:1 already" in (end.output or {})["reasons"][0]
    assert service.primary is runs
