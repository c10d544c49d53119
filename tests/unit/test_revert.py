"""A revert deploys the newest earlier revision that was stable; a revision can be asked for by its name."""

from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.ecs_model import CRASHES, HANGS, EcsModel, Service
from tests.support.execution import End, execute

SERVICE = {"cluster": "production1", "service": "doorman-service"}


@pytest.fixture
def service(model: EcsModel) -> Service:
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": "doorman:1"}]}
    return model.add_service("doorman-service", model.add_revision(document))


class Deployer:
    """Starts executions, each with a name of its own."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.started = 0

    def __call__(self, **request: Any) -> End:
        self.started += 1
        self.clock.advance(60)
        return execute({**SERVICE, **request}, self.clock, name=f"e{self.started}")


@pytest.fixture
def deploy(clock: Clock) -> Deployer:
    return Deployer(clock)


def family(revision: str) -> str:
    return revision.rpartition("/")[2]


def test_a_revert_goes_to_the_revision_before(model: EcsModel, service: Service, deploy: Deployer) -> None:
    deploy(image="doorman:2")
    end = deploy(revert=True)
    assert end.output
    assert (family(end.output["revision"]), end.output["image"]) == ("doorman:1", "doorman:1")
    assert service.primary.rollout_state == "COMPLETED"
    assert len(model.families["doorman"]) == 2, "a revert registers nothing"


def test_reverts_go_further_back_and_end(model: EcsModel, service: Service, deploy: Deployer) -> None:
    for tag in (2, 3):
        deploy(image=f"doorman:{tag}")
    reverted = [deploy(revert=True), deploy(revert=True)]
    assert [family(end.output["revision"]) for end in reverted if end.output] == ["doorman:2", "doorman:1"]
    writes = list(model.writes)
    last = deploy(revert=True)
    assert last.error == "NothingToRevertTo"
    assert model.writes == writes


def test_a_revision_that_failed_is_never_reverted_to(model: EcsModel, service: Service, deploy: Deployer) -> None:
    model.behaviours["doorman:3"] = CRASHES
    for tag in (2, 3, 4):
        deploy(image=f"doorman:{tag}")
    end = deploy(revert=True)
    assert end.output
    assert family(end.output["revision"]) == "doorman:2"


def test_a_revision_of_a_person_is_not_known_to_have_been_stable(
    model: EcsModel, service: Service, deploy: Deployer
) -> None:
    deploy(image="doorman:2")
    stable = dict(model.tags(service.primary.revision))
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": "doorman:x"}]}
    # Made from ours in the console, which copies the tags.
    model.add_revision(document, stable)
    theirs = model.add_revision(document)
    model.start_deployment(service, theirs)
    deploy.clock.advance(60)
    end = deploy(revert=True)
    assert end.output
    assert family(end.output["revision"]) == "doorman:2"


def test_a_return_skips_a_failed_revision_that_was_left_running(
    model: EcsModel, service: Service, deploy: Deployer
) -> None:
    model.behaviours["doorman:2"] = model.behaviours["doorman:3"] = HANGS
    assert deploy(image="doorman:2", rollback=False, timeout=30).error == "DeploymentTimedOut"
    end = deploy(image="doorman:3", timeout=30)
    assert end.cause
    assert family(end.cause["replaced"]) == "doorman:1"
    assert family(service.primary.revision) == "doorman:1"


def test_a_revision_by_name(model: EcsModel, service: Service, deploy: Deployer) -> None:
    for tag in (2, 3):
        deploy(image=f"doorman:{tag}")
    end = deploy(revision="doorman:1")
    assert end.output
    assert (family(end.output["revision"]), family(end.output["replaced"])) == ("doorman:1", "doorman:3")


def test_a_revision_that_is_not_there(model: EcsModel, service: Service, deploy: Deployer) -> None:
    end = deploy(revision="doorman:9")
    assert end.error == "InvalidRequest"
    assert end.cause
    assert "doorman:9" in end.cause["message"]
    assert "othing was changed" in end.cause["message"]
    assert model.writes == []


def test_a_revision_that_was_deregistered(model: EcsModel, service: Service, deploy: Deployer) -> None:
    deploy(image="doorman:2")
    model.families["doorman"][0].document["status"] = "INACTIVE"
    assert deploy(revision="doorman:1").error == "InvalidRequest"
    assert deploy(revert=True).error == "NothingToRevertTo"


def test_an_older_push_does_not_undo_a_revert(model: EcsModel, service: Service, deploy: Deployer) -> None:
    deploy(image="doorman:2")
    deploy(revert=True)
    late = {"id": "late", "time": "2026-01-31T11:59:00Z"}
    end = deploy(image="doorman:3", push=late)
    assert end.output
    assert end.output["outcome"] == "SUPERSEDED"
    assert family(service.primary.revision) == "doorman:1"
