"""What a deployment does to ECS: the real handlers over real HTTP, judged by the state that ECS is left in."""

import itertools
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.ecs_model import (
    CANNOT_BE_PULLED,
    CRASHES,
    HANGS,
    REGISTRY,
    AwsError,
    Behaviour,
    EcsModel,
    Service,
)
from tests.support.execution import End, execute

OLD_IMAGE, NEW_IMAGE = f"{REGISTRY}/doorman:1.0.0", f"{REGISTRY}/doorman:1.1.0"
REQUEST: dict[str, Any] = {"cluster": "production1", "service": "doorman-service", "image": NEW_IMAGE}
DEPLOYED = ["RegisterTaskDefinition", "UpdateService", "TagResource"]
UNDONE = ["RegisterTaskDefinition", "UpdateService", "TagResource", "UpdateService"]
PROOF = "ecs-deploy:proof"
DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/EcsDeploy-Step/step is not authorized to perform: "
    "ecs:{action} on resource: * because no identity-based policy allows it"
)


@pytest.fixture
def service(model: EcsModel) -> Service:
    model.images.add(("doorman", "1.1.0"))
    document = {
        "family": "doorman",
        "containerDefinitions": [
            {"name": "app", "image": OLD_IMAGE, "environment": [{"name": "MODE", "value": "door"}]},
            {"name": "worker", "image": OLD_IMAGE},
            {"name": "proxy", "image": "envoyproxy/envoy:v1"},
        ],
    }
    return model.add_service("doorman-service", model.add_revision(document, {"team": "door"}))


def test_a_deployment(model: EcsModel, service: Service, clock: Clock) -> None:
    before = service.primary.revision
    end = execute(REQUEST, clock)
    assert end.output == {
        "outcome": "DEPLOYED",
        "cluster": "production1",
        "service": "doorman-service",
        "image": NEW_IMAGE,
        "revision": service.primary.revision,
        "replaced": before,
        "deployment": service.primary.id,
        "seconds": end.output["seconds"] if end.output else None,
        "polls": model.called().count("DescribeServices") - 1,
    }
    assert service.primary.rollout_state == "COMPLETED"
    containers = model.revision(service.primary.revision).document["containerDefinitions"]
    assert [each["image"] for each in containers] == [NEW_IMAGE, NEW_IMAGE, "envoyproxy/envoy:v1"]
    assert model.writes == DEPLOYED
    assert len(model.calls) - end.output["polls"] <= 5 + 1  # five of ECS, one of ECR


def test_what_the_deployer_remembers_stands_in_tags(model: EcsModel, service: Service, clock: Clock) -> None:
    push = {
        "id": "6a7e8feb-b491",
        "time": "2026-01-31T11:59:58Z",
        "digest": "sha256:x",
        "repository": "doorman",
        "tag": "1.1.0",
    }
    end = execute({**REQUEST, "push": push}, clock, name="pushed")
    assert end.output
    assert model.tags(service.primary.revision) == {
        "team": "door",
        "ecs-deploy:service": "production1/doorman-service",
        "ecs-deploy:request": "6a7e8feb-b491",
        "ecs-deploy:execution": "arn:aws:states:eu-west-1:123456789012:execution:EcsDeploy:pushed",
        "ecs-deploy:requested-at": "2026-01-31T11:59:58.000Z",
        "ecs-deploy:started-at": "2026-01-31T12:00:00.000Z",
        "ecs-deploy:replaces": end.output["replaced"],
        "ecs-deploy:containers": "app worker",
        "ecs-deploy:digest": "sha256:x",
        "ecs-deploy:deployment": service.primary.id.rpartition("/")[2],
        PROOF: "doorman:2 stable",
        "ecs-deploy:seconds": "4+5",
    }


def test_the_same_tag_again_is_an_identical_revision_and_a_new_deployment(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    first = execute(REQUEST, clock, name="one").output
    second = execute(REQUEST, clock, name="two").output
    assert first
    assert second
    assert first["revision"] != second["revision"]
    assert first["deployment"] != second["deployment"]
    documents = [model.revision(each["revision"]).document["containerDefinitions"] for each in (first, second)]
    assert documents[0] == documents[1]


def test_a_slow_rollout_is_awaited_up_to_the_timeout(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[NEW_IMAGE] = Behaviour(start=550)
    end = execute(REQUEST, clock)
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert 550 <= end.output["seconds"] <= 550 * 1.1 + service.drain + 1


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"cluster": "Production 1", "timeout": "600"}, "InvalidRequest", ["cluster: ", "timeout: "]),
        ({"cluster": "staging"}, "ServiceNotFound", ["doorman-service", "staging"]),
        ({"service": "doorman"}, "ServiceNotFound", ["doorman", "production1"]),
        ({"image": f"{REGISTRY}/doorman:9.9.9"}, "ImageNotFound", ["doorman:9.9.9"]),
        ({"image": f"{REGISTRY}/doorman@sha256:{'0' * 64}"}, "ImageNotFound", ["doorman@sha256:"]),
        ({"image": "doorman:9.9.9"}, "ImageNotFound", ["doorman:9.9.9"]),
        ({"image": "windowman:1.1.0"}, "NoMatchingContainer", ["windowman", OLD_IMAGE, "envoyproxy/envoy:v1"]),
        ({"container": "sidecar"}, "NoMatchingContainer", ["sidecar", "app", "proxy"]),
    ],
)
def test_a_wrong_request_changes_nothing(
    model: EcsModel, service: Service, clock: Clock, change: dict[str, Any], error: str, told: list[str]
) -> None:
    end = execute({**REQUEST, **change}, clock)
    assert end.error == error
    assert end.cause
    for text in told:
        assert text in end.cause["message"]
    assert "othing was changed" in end.cause["message"]
    assert set(end.cause) == {"message", "reasons", "revision", "replaced", "rolledBack"}
    assert model.writes == []


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"deploymentController": {"type": "CODE_DEPLOY"}}, "CODE_DEPLOY"),
        ({"deploymentController": {"type": "EXTERNAL"}, "deployments": []}, "EXTERNAL"),
        ({"status": "DRAINING"}, "DRAINING"),
        ({"status": "INACTIVE", "deployments": []}, "INACTIVE"),
    ],
)
def test_a_service_that_cannot_be_served_is_left_alone(
    model: EcsModel, service: Service, clock: Clock, extra: dict[str, Any], told: str
) -> None:
    service.extra = extra
    end = execute(REQUEST, clock)
    assert end.error == "UnsupportedService"
    assert end.cause
    assert told in end.cause["message"]
    assert model.writes == []


def test_an_image_of_another_account_is_left_to_ecs_to_find(model: EcsModel, service: Service, clock: Clock) -> None:
    foreign = "999999999999.dkr.ecr.eu-west-1.amazonaws.com/doorman:1"
    end = execute({**REQUEST, "image": foreign, "container": "app"}, clock)
    assert end.output
    assert "DescribeImages" not in model.called()


def undone(end: End, error: str, service: Service, before: str) -> None:
    assert end.error == error
    assert end.cause
    assert end.cause["rolledBack"] is True
    assert end.cause["replaced"] == before
    assert service.primary.revision == before
    assert service.primary.rollout_state == "COMPLETED"


@pytest.mark.parametrize("behaviour", [CRASHES, CANNOT_BE_PULLED])
@pytest.mark.parametrize("breaker", [False, True])
def test_a_failed_deployment_is_undone_before_its_deadline(
    model: EcsModel, service: Service, clock: Clock, behaviour: Behaviour, breaker: bool
) -> None:
    before, service.breaker = service.primary.revision, breaker
    model.behaviours[NEW_IMAGE] = behaviour
    started = clock.now()
    end = execute(REQUEST, clock)
    undone(end, "DeploymentFailed", service, before)
    assert (clock.now() - started).total_seconds() < 120
    assert model.writes == UNDONE
    assert end.cause
    assert model.tags(end.cause["revision"])[PROOF] == "doorman:2 failed"


def test_a_deployment_of_which_only_some_tasks_fail_goes_on_where_the_tasks_cannot_be_read(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE] = itertools.chain([Behaviour()], itertools.repeat(Behaviour(life=8)))
    model.refused.add("ListTasks")
    end = execute({**REQUEST, "timeout": 120}, clock)
    assert end.error == "DeploymentTimedOut"
    assert end.cause
    assert end.cause["rolledBack"] is True


def test_the_calls_for_a_request_by_hand_are_few_however_many_revisions_there_are(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": "x"}]}
    for _ in range(5):
        model.add_revision(document)
    end = execute(REQUEST, clock)
    assert end.output
    assert len(model.calls) - end.output["polls"] <= 5 + 1


def test_the_return_of_ecs_itself_is_awaited_and_not_called_a_success(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    before, service.breaker, service.breaker_rolls_back = service.primary.revision, True, True
    model.behaviours[NEW_IMAGE] = CRASHES
    end = execute(REQUEST, clock)
    undone(end, "DeploymentFailed", service, before)
    assert model.writes == DEPLOYED
    assert end.cause
    assert any("circuit breaker" in reason for reason in end.cause["reasons"])


def test_a_deployment_that_hangs_is_undone_at_its_deadline(model: EcsModel, service: Service, clock: Clock) -> None:
    before = service.primary.revision
    model.behaviours[NEW_IMAGE] = HANGS
    started = clock.now()
    end = execute({**REQUEST, "timeout": 60}, clock)
    undone(end, "DeploymentTimedOut", service, before)
    assert 60 <= (clock.now() - started).total_seconds() < 90


def test_without_rollback_the_service_is_left_and_the_message_says_so(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE] = HANGS
    end = execute({**REQUEST, "timeout": 60, "rollback": False}, clock)
    assert end.error == "DeploymentTimedOut"
    assert end.cause
    assert end.cause["rolledBack"] is False
    assert "goes on" in end.cause["message"]
    assert service.primary.revision == end.cause["revision"]


def test_a_return_that_fails_too_is_told(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[NEW_IMAGE] = CRASHES
    model.behaviours[OLD_IMAGE] = CRASHES
    end = execute(REQUEST, clock)
    assert end.error == "RollbackFailed"
    assert end.cause
    assert end.cause["rolledBack"] is False
    assert "doorman:1 is PRIMARY, 0 of its tasks run" in end.cause["message"]


def test_somebody_elses_change_is_respected(model: EcsModel, service: Service, clock: Clock) -> None:
    theirs = model.add_revision({"family": "doorman", "containerDefinitions": [{"name": "app", "image": "x"}]})

    def change(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService":
            model.start_deployment(service, theirs)

    model.after_call = change
    end = execute(REQUEST, clock)
    assert end.output
    assert end.output["outcome"] == "SUPERSEDED"
    assert service.primary.revision == theirs
    assert model.writes == ["RegisterTaskDefinition", "UpdateService"]


@pytest.mark.parametrize("extra", [{"status": "DRAINING"}, {"status": "INACTIVE", "deployments": []}, None])
def test_a_service_that_is_deleted_meanwhile(
    model: EcsModel, service: Service, clock: Clock, extra: dict[str, Any] | None
) -> None:
    def delete(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService" and extra:
            service.extra = extra
        elif action == "UpdateService":
            model.services.clear()

    model.after_call = delete
    end = execute(REQUEST, clock)
    assert end.error == "DeploymentFailed"
    assert end.cause
    assert end.cause["rolledBack"] is None
    assert end.cause["reasons"]
    assert model.called("UpdateService") == ["UpdateService"]


def test_an_older_push_that_comes_late_changes_nothing(model: EcsModel, service: Service, clock: Clock) -> None:
    newer = {"id": "newer", "time": "2026-01-31T11:59:00Z"}
    older = {"id": "older", "time": "2026-01-31T11:58:00Z"}
    execute({**REQUEST, "push": newer}, clock, name="one")
    running = service.primary.revision
    late = execute({**REQUEST, "push": older}, clock, name="two")
    assert late.output
    assert (late.output["outcome"], late.output["revision"]) == ("SUPERSEDED", None)
    assert service.primary.revision == running
    assert model.writes == DEPLOYED


def test_the_same_push_event_again_changes_nothing(model: EcsModel, service: Service, clock: Clock) -> None:
    push = {"id": "event", "time": "2026-01-31T11:59:00Z"}
    execute({**REQUEST, "push": push}, clock, name="one")
    again = execute({**REQUEST, "push": push}, clock, name="two")
    assert again.output
    assert again.output["outcome"] == "DUPLICATE"
    assert model.writes == DEPLOYED


def test_the_same_push_event_after_it_ended_badly_changes_nothing(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    push = {"id": "event", "time": "2026-01-31T11:59:00Z"}
    model.behaviours[NEW_IMAGE] = CRASHES
    assert execute({**REQUEST, "push": push}, clock, name="one").error == "DeploymentFailed"
    writes = list(model.writes)
    again = execute({**REQUEST, "push": push}, clock, name="two")
    assert again.output
    assert again.output["outcome"] == "DUPLICATE"
    assert model.writes == writes


def test_a_late_and_older_revision_of_ours_is_overtaken_again(model: EcsModel, service: Service, clock: Clock) -> None:
    """The execution that brought it in died before it could give back what it displaced."""
    first = service.primary.revision
    execute({**REQUEST, "push": {"id": "old", "time": "2026-01-31T11:00:00Z"}}, clock, name="old")
    old = service.primary.revision
    model.start_deployment(service, first)
    clock.advance(60)
    late = False

    def update_late(action: str, _body: dict[str, Any]) -> None:
        nonlocal late
        if action == "UpdateService" and not late:
            late = True
            model.start_deployment(service, old)

    model.after_call = update_late
    end = execute({**REQUEST, "push": {"id": "new", "time": "2026-01-31T11:59:00Z"}}, clock, name="new")
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert service.primary.revision == end.output["revision"]


def test_a_copy_of_our_revision_is_a_persons(model: EcsModel, service: Service, clock: Clock) -> None:
    push = {"id": "event", "time": "2026-01-31T11:59:00Z"}
    execute({**REQUEST, "push": push}, clock, name="one")
    ours = model.revision(service.primary.revision)
    copied = model.add_revision(ours.document, model.tags(service.primary.revision))
    model.start_deployment(service, copied)
    clock.advance(60)
    # Read as the push's own revision it would be newer than this one.
    earlier = {"id": "earlier", "time": "2026-01-31T11:58:30Z"}
    again = execute({**REQUEST, "push": earlier}, clock, name="two")
    assert again.output
    assert again.output["outcome"] == "DEPLOYED"


class Fault:
    """Breaks the first call of an action, before or after it took effect."""

    def __init__(self, action: str, error: Exception) -> None:
        self.action, self.error, self.done = action, error, False

    def __call__(self, action: str, _body: dict[str, Any]) -> None:
        if action == self.action and not self.done:
            self.done = True
            raise self.error


ACTIONS = ["DescribeServices", "DescribeTaskDefinition", "DescribeImages", "RegisterTaskDefinition", "UpdateService"]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("moment", "error"),
    [
        ("before_call", AwsError("ThrottlingException", "Rate exceeded")),
        ("before_call", AwsError("ServerException", "Service Unavailable", 500)),
        (
            "before_call",
            AwsError(
                "ClientException", "Too many concurrent attempts to create a new revision of the specified family."
            ),
        ),
        ("before_call", ConnectionAbortedError()),
        ("after_call", ConnectionAbortedError()),
    ],
)
def test_a_single_fault_makes_no_second_revision_or_deployment(
    model: EcsModel, service: Service, clock: Clock, action: str, moment: str, error: Exception
) -> None:
    fault = Fault(action, error)
    setattr(model, moment, fault)
    end = execute(REQUEST, clock)
    assert fault.done
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert len(model.families["doorman"]) == 2
    assert service.primary.id == end.output["deployment"]
    assert service.primary.id == f"ecs-svc/{2:019d}", "the second deployment that the service ever had"


@pytest.mark.parametrize("moment", ["before_call", "after_call"])
def test_an_older_push_that_was_held_up_leaves_the_newer_one(
    model: EcsModel, service: Service, clock: Clock, moment: str
) -> None:
    """It died in its update; the newer push is deployed, and its execution over, when it is tried again."""
    model.images.add(("doorman", "1.2.0"))
    newer: list[End] = []

    def deploy_newer(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService" and not newer:
            newer.append(End())
            push = {"id": "newer", "time": "2026-01-31T11:59:30Z"}
            newer[0] = execute({**REQUEST, "image": f"{REGISTRY}/doorman:1.2.0", "push": push}, clock, name="newer")
            raise ConnectionAbortedError

    setattr(model, moment, deploy_newer)
    older = execute({**REQUEST, "push": {"id": "older", "time": "2026-01-31T11:59:00Z"}}, clock, name="older")
    assert older.output
    assert older.output["outcome"] == "SUPERSEDED"
    assert newer[0].output
    assert service.primary.id == newer[0].output["deployment"]
    assert [each.rollout_state for each in service.deployments] == ["COMPLETED"]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_refused_call_is_told_and_changes_nothing_more(
    model: EcsModel, service: Service, clock: Clock, action: str
) -> None:
    model.before_call = Fault(action, AwsError("AccessDeniedException", DENIED.format(action=action)))
    end = execute(REQUEST, clock)
    assert end.error == "AccessDenied"
    assert end.cause
    assert f"ecs:{action}" in end.cause["message"]
    assert "EcsDeploy-Step" in end.cause["message"]
    assert service.primary.rollout_state == "COMPLETED"
    assert model.writes in ([], ["RegisterTaskDefinition"], ["RegisterTaskDefinition", "UpdateService"])


def test_a_poller_that_may_not_see_says_that_the_deployment_goes_on(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    updated: list[str] = []

    def deny(action: str, _body: dict[str, Any]) -> None:
        if action == "DescribeServices" and "UpdateService" in updated:
            raise AwsError("AccessDeniedException", DENIED.format(action=action))
        updated.append(action)

    model.before_call = deny
    end = execute(REQUEST, clock)
    assert end.error == "AccessDenied"
    assert end.cause
    assert "nobody watches it" in end.cause["message"]
    assert end.cause["revision"] == service.primary.revision
    assert model.writes == ["RegisterTaskDefinition", "UpdateService"]


def test_an_update_that_cannot_see_what_it_displaced_says_that_the_deployment_goes_on(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    theirs = model.add_revision(model.revision(service.primary.revision).document)

    def interfere(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService":
            model.start_deployment(service, theirs)
        if action == "DescribeTaskDefinition" and "UpdateService" in model.called():
            raise AwsError("AccessDeniedException", DENIED.format(action=action))

    model.before_call = interfere
    end = execute(REQUEST, clock)
    assert end.error == "AccessDenied"
    assert end.cause
    assert end.cause["revision"] == service.primary.revision
    assert "nobody watches it" in end.cause["message"]


def test_an_error_that_will_not_go_away_is_not_retried(model: EcsModel, service: Service, clock: Clock) -> None:
    model.before_call = Fault("RegisterTaskDefinition", AwsError("ClientException", "Role is not valid"))
    end = execute(REQUEST, clock)
    assert end.error == "DeploymentFailed"
    assert end.cause
    assert "Role is not valid" in end.cause["message"]
    assert model.writes == ["RegisterTaskDefinition"]


def test_a_service_without_rollout_state_is_judged_by_its_counts(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    service.has_rollout_state = False
    assert execute(REQUEST, clock).output
    assert [each.revision for each in service.deployments] == [service.primary.revision]
