"""A revert deploys what the service's own history says was stable before; a revision can be asked for by its name."""

from typing import Any

import pytest

from ecs_deploy.core.task_definition import is_same
from tests.support.clock import Clock
from tests.support.doorman import add_doorman, add_theirs, push
from tests.support.ecs_model import CRASHES, HANGS, REGISTRY, Behaviour, EcsModel, Service
from tests.support.workflow import End, execute, execute_together

ANOTHER = "windowman"


@pytest.fixture
def service(model: EcsModel) -> Service:
    return add_doorman(model)


class Deployer:
    """Starts executions, each with a name of its own and a minute after the one before."""

    def __init__(self, model: EcsModel, clock: Clock) -> None:
        self.model, self.clock = model, clock
        self.started = 0

    def __call__(self, service: str = "doorman-service", **request: Any) -> End:
        self.started += 1
        self.clock.advance(60)
        request = {"cluster": "production1", "service": service, **request}
        return execute(request, self.clock, name=f"e{self.started}")

    def version(self, number: int, **request: Any) -> End:
        """Deploy a version of the doorman to all its containers."""
        self.model.images.add(("doorman", f"{number}"))
        return self(image=image(number), **request)


def image(number: int) -> str:
    return f"{REGISTRY}/doorman:{number}"


@pytest.fixture
def deploy(model: EcsModel, clock: Clock) -> Deployer:
    return Deployer(model, clock)


def short(revision: str) -> str:
    return revision.rpartition("/")[2]


def deployed(end: End) -> str:
    assert end.output, (end.error, end.cause)
    assert end.output["outcome"] == "DEPLOYED"
    return short(end.output["revision"])


def refused(end: End, error: str) -> str:
    assert end.error == error
    assert end.cause
    message: str = end.cause["message"]
    assert "othing was changed" in message
    return message


def test_a_revert_goes_to_the_revision_before(model: EcsModel, service: Service, deploy: Deployer) -> None:
    before = f"{REGISTRY}/doorman:1.0.0"
    deploy.version(2)
    end = deploy(revert=True)
    assert deployed(end) == "doorman:1"
    assert end.output
    # Nobody deployed it by a tag, so that the image is as it is written.
    assert (model.named(end.output["image"]), end.output["digest"]) == (before, model.digest_of(before))
    assert service.primary.rollout_state == "COMPLETED"
    assert len(model.families["doorman"]) == 2, "a revert registers nothing"


def test_reverts_go_further_back_and_end(model: EcsModel, service: Service, deploy: Deployer) -> None:
    for number in (2, 3, 4):
        deploy.version(number)
    assert [deployed(deploy(revert=True)) for _ in range(3)] == ["doorman:3", "doorman:2", "doorman:1"]
    writes = list(model.writes)
    refused(deploy(revert=True), "NothingToRevertTo")
    assert model.writes == writes


def test_after_a_revert_and_a_deployment_a_revert_goes_back_over_what_was_reverted(
    service: Service, deploy: Deployer
) -> None:
    deploy.version(2)
    deploy.version(3)
    assert deployed(deploy(revert=True)) == "doorman:2"
    assert deployed(deploy.version(5)) == "doorman:4"
    # The third one was taken back, so it is passed over.
    assert [deployed(deploy(revert=True)) for _ in range(2)] == ["doorman:2", "doorman:1"]


def test_a_service_that_was_never_deployed_to_has_nothing_to_revert_to(
    model: EcsModel, service: Service, deploy: Deployer
) -> None:
    message = refused(deploy(revert=True), "NothingToRevertTo")
    assert "doorman:1" in message
    assert model.writes == []


def test_a_revision_that_failed_is_never_reverted_to(model: EcsModel, service: Service, deploy: Deployer) -> None:
    model.behaviours[image(3)] = CRASHES
    for number in (2, 3, 4):
        deploy.version(number)
    assert deployed(deploy(revert=True)) == "doorman:2"


def test_a_revision_that_somebody_else_displaced_before_it_was_stable_is_never_reverted_to(
    model: EcsModel, service: Service, deploy: Deployer
) -> None:
    deploy.version(2)
    theirs = add_theirs(model)

    def change(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService":
            model.start_deployment(service, theirs)

    model.after_call = change
    end = deploy.version(3)
    model.after_call = lambda _action, _body: None
    assert end.output
    assert end.output["outcome"] == "SUPERSEDED"
    deploy.clock.advance(60)
    assert deployed(deploy(revert=True)) == "doorman:2"


def test_a_service_reverts_to_what_it_ran_itself_though_another_one_shares_the_family(
    model: EcsModel, service: Service, deploy: Deployer
) -> None:
    model.add_service(ANOTHER, service.primary.revision)
    deploy.clock.advance(60)
    model.images |= {("doorman", "2"), ("doorman", "3")}
    assert deployed(deploy(ANOTHER, image=image(2))) == "doorman:2"
    assert deployed(deploy(image=image(3))) == "doorman:3"
    assert deployed(deploy(revert=True)) == "doorman:1"
    assert short(model.services["production1", ANOTHER].primary.revision) == "doorman:2"
    assert deployed(deploy(ANOTHER, revert=True)) == "doorman:1"


def test_from_what_a_person_has_brought_in_a_revert_goes_to_what_was_stable_by_the_deployer(
    model: EcsModel, service: Service, deploy: Deployer
) -> None:
    deploy.version(2)
    ours = model.revision(service.primary.revision)
    # Made from ours in the console, which copies the tags.
    theirs = model.add_revision(ours.document, model.tags(service.primary.revision))
    model.start_deployment(service, theirs)
    deploy.clock.advance(60)
    assert deployed(deploy(revert=True)) == "doorman:2"


def test_a_return_skips_a_failed_revision_that_was_left_running(
    model: EcsModel, service: Service, deploy: Deployer
) -> None:
    model.behaviours |= {image(2): HANGS, image(3): HANGS}
    assert deploy.version(2, rollback=False, timeout=30).error == "DeploymentTimedOut"
    end = deploy.version(3, timeout=30)
    assert end.cause
    assert short(end.cause["replaced"]) == "doorman:1"
    assert short(service.primary.revision) == "doorman:1"


def test_a_revert_during_a_rollout_takes_over_and_goes_to_what_was_stable(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours[image(2)] = Behaviour(start=300)
    model.images.add(("doorman", "2"))
    names = {"cluster": "production1", "service": "doorman-service"}
    ends = execute_together({"new": (0, {**names, "image": image(2)}), "back": (30, {**names, "revert": True})}, clock)
    assert ends["new"].output
    assert ends["new"].output["outcome"] == "SUPERSEDED"
    assert deployed(ends["back"]) == "doorman:1"
    assert ends["back"].output
    assert ends["back"].output["seconds"] < 60


def test_a_revision_by_name(model: EcsModel, service: Service, deploy: Deployer) -> None:
    for number in (2, 3):
        deploy.version(number)
    end = deploy(revision="doorman:1")
    assert deployed(end) == "doorman:1"
    assert end.output
    assert short(end.output["replaced"]) == "doorman:3"
    assert len(model.families["doorman"]) == 3


@pytest.mark.parametrize("revision", ["doorman:9", "porter:1"])
def test_a_revision_that_is_not_there(model: EcsModel, service: Service, deploy: Deployer, revision: str) -> None:
    assert revision in refused(deploy(revision=revision), "InvalidRequest")
    assert model.writes == []
    assert model.table.items == {}


def test_a_revision_of_another_family_is_not_the_services_own(
    model: EcsModel, service: Service, deploy: Deployer
) -> None:
    model.add_revision({"family": "doorman-2", "containerDefinitions": [{"name": "app", "image": "x"}]})
    message = refused(deploy(revision="doorman-2:1"), "InvalidRequest")
    assert "doorman-2:1 is not of the family doorman" in message
    assert model.writes == []


def test_a_revision_that_was_deregistered_is_refused(model: EcsModel, service: Service, deploy: Deployer) -> None:
    deploy.version(2)
    model.families["doorman"][0].document["status"] = "INACTIVE"
    writes = list(model.writes)
    message = refused(deploy(revision="doorman:1"), "InvalidRequest")
    assert "doorman:1 is INACTIVE" in message
    assert model.writes == writes


@pytest.mark.parametrize("status", ["INACTIVE", "DELETE_IN_PROGRESS"])
def test_a_revert_to_what_was_deregistered_registers_it_anew(
    model: EcsModel, service: Service, deploy: Deployer, status: str
) -> None:
    deploy.version(2)
    before = model.families["doorman"][0].document
    before |= {"status": status, "deregisteredAt": 1, "deleteRequestedAt": 2}
    end = deploy(revert=True)
    assert (end.output or {})["outcome"] == "DEPLOYED"
    runs = model.revision(service.primary.revision).document
    assert (runs["revision"], is_same(runs, before), "deleteRequestedAt" in runs) == (3, True, False)


@pytest.mark.parametrize("request_", [{"revert": True}, {"revision": "doorman:1"}])
def test_what_was_there_before_stays_registered_though_it_fails_now(
    model: EcsModel, service: Service, deploy: Deployer, request_: dict[str, Any]
) -> None:
    deploy.version(2)
    model.behaviours[f"{REGISTRY}/doorman:1.0.0"] = CRASHES
    end = deploy(**request_)
    assert end.error == "DeploymentFailed"
    assert end.cause
    assert (short(end.cause["revision"]), end.cause["rolledBack"]) == ("doorman:1", True)
    assert short(service.primary.revision) == "doorman:2"
    assert "DeregisterTaskDefinition" not in model.writes


def test_an_older_push_does_not_undo_a_revert(model: EcsModel, service: Service, deploy: Deployer) -> None:
    deploy.version(2)
    deploy(revert=True)
    late = deploy.version(3, **push("late", "11:59:00"))
    assert late.output
    assert late.output["outcome"] == "SUPERSEDED"
    assert short(service.primary.revision) == "doorman:1"
