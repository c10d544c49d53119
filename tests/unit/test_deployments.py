"""What a deployment does to ECS: the real handlers over real HTTP, judged by the state that ECS is left in."""

import itertools
from typing import Any

import pytest

from ecs_deploy.aws import dynamodb
from ecs_deploy.core.state import Result
from tests.support import dynamodb_model, ecs_model
from tests.support.clock import Clock
from tests.support.doorman import (
    KEY,
    NEW_IMAGE,
    NEW_PROXY,
    OLD_IMAGE,
    OLD_PROXY,
    REQUEST,
    SERVICE,
    add_doorman,
    add_theirs,
    images,
    push,
    state,
)
from tests.support.ecs_model import CANNOT_BE_PULLED, CRASHES, HANGS, REGISTRY, Behaviour, EcsModel, Service
from tests.support.workflow import End, arn_of, execute

DEPLOYED = ["RegisterTaskDefinition", "UpdateService"]
RETURNED = ["RegisterTaskDefinition", "UpdateService", "UpdateService", "DeregisterTaskDefinition"]
MOST_CALLS_TO_ECS, MOST_CALLS_TO_THE_TABLE = 8, 12


@pytest.fixture
def service(model: EcsModel) -> Service:
    return add_doorman(model)


def digest_of(model: EcsModel, tag: str) -> str:
    body = {"repositoryName": "doorman", "imageIds": [{"imageTag": tag}]}
    found: str = model.call("DescribeImages", body)["imageDetails"][0]["imageDigest"]
    return found


def test_a_deployment(model: EcsModel, service: Service, clock: Clock) -> None:
    before = service.primary.revision
    end = execute(REQUEST, clock)
    polls = model.called("DescribeServices").count("DescribeServices") - 2
    assert end.output == {
        **SERVICE,
        "outcome": "DEPLOYED",
        "image": NEW_IMAGE,
        "digest": digest_of(model, "1.1.0"),
        "revision": service.primary.revision,
        "replaced": before,
        "deployment": service.primary.id,
        "seconds": (clock.now() - service.primary.created).total_seconds(),
        "polls": polls,
        "times": {"pull": 0, "start": 6.0, "health": 0, "shift": 0, "drain": 3.0},
        "slow": [],
        "reasons": [],
    }
    assert service.primary.rollout_state == "COMPLETED"
    assert images(model, service.primary.revision) == [NEW_IMAGE, NEW_IMAGE, OLD_PROXY]
    assert model.writes == DEPLOYED


def test_a_deployment_without_incident_takes_few_calls_however_many_revisions_there_are(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    for _ in range(50):
        model.add_revision({"family": "doorman", "containerDefinitions": [{"name": "app", "image": "x"}]})
    polls = (execute(REQUEST, clock).output or {})["polls"]
    table = model.called(*dynamodb_model.ACTIONS)
    ecs = [action for action in model.called() if action not in {*dynamodb_model.ACTIONS, "DescribeImages"}]
    assert len(ecs) - polls <= MOST_CALLS_TO_ECS
    assert len(table) - polls <= MOST_CALLS_TO_THE_TABLE
    assert model.called("DescribeImages") == ["DescribeImages"]
    # A poll reads the service once.
    *others, list_tasks, describe_tasks = ecs
    assert others[-polls:] == ["DescribeServices"] * polls
    # The last one also reads which digests run.
    assert (list_tasks, describe_tasks) == ("ListTasks", "DescribeTasks")


def test_the_tags_of_a_revision_tell_people_where_it_is_from(model: EcsModel, service: Service, clock: Clock) -> None:
    execute({**REQUEST, **push("6a7e8feb-b491", "11:59:58")}, clock, name="pushed")
    assert model.tags(service.primary.revision) == {
        "team": "door",
        "ecs-deploy:request": f"{KEY}/6a7e8feb-b491",
        "ecs-deploy:execution": arn_of("pushed"),
        "ecs-deploy:image": NEW_IMAGE,
    }


def test_by_hand_the_same_tag_again_is_an_identical_revision_and_a_new_deployment(
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
    ("change", "error", "texts"),
    [
        ({"cluster": "Production 1", "timeout": "600"}, "InvalidRequest", ["cluster: ", "timeout: "]),
        ({"cluster": "staging"}, "ServiceNotFound", ["doorman-service", "staging"]),
        ({"service": "doorman"}, "ServiceNotFound", ["doorman", "production1"]),
        ({"image": f"{REGISTRY}/doorman:9.9.9"}, "ImageNotFound", ["doorman:9.9.9"]),
        ({"image": f"{REGISTRY}/doorman@sha256:{'0' * 64}"}, "ImageNotFound", ["doorman@sha256:"]),
        ({"image": "doorman:9.9.9"}, "ImageNotFound", ["doorman:9.9.9"]),
        ({"image": "windowman:1.1.0"}, "NoMatchingContainer", ["windowman", "/doorman@sha256:", "envoy@sha256:"]),
        ({"container": "sidecar"}, "NoMatchingContainer", ["sidecar", "app", "proxy"]),
    ],
)
def test_a_wrong_request_changes_nothing(
    model: EcsModel, service: Service, clock: Clock, change: dict[str, Any], error: str, texts: list[str]
) -> None:
    model.has_every_digest = False
    end = execute({**REQUEST, **change}, clock)
    assert end.error == error
    assert end.cause
    for text in texts:
        assert text in end.cause["message"]
    assert "othing was changed" in end.cause["message"]
    assert end.cause == {
        "message": end.cause["message"],
        "image": {**REQUEST, **change}["image"],
        **dict.fromkeys(("digest", "revision", "replaced", "rolledBack")),
        "reasons": [],
    }
    assert model.writes == []
    assert model.table.items == {}


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({"deploymentController": {"type": "CODE_DEPLOY"}}, "CODE_DEPLOY"),
        ({"deploymentController": {"type": "EXTERNAL"}, "deployments": []}, "EXTERNAL"),
        ({"status": "DRAINING"}, "DRAINING"),
        ({"status": "INACTIVE", "deployments": []}, "INACTIVE"),
    ],
)
def test_a_service_that_cannot_be_served_is_left_alone(
    model: EcsModel, service: Service, clock: Clock, extra: dict[str, Any], text: str
) -> None:
    service.extra = extra
    end = execute(REQUEST, clock)
    assert end.error == "UnsupportedService"
    assert end.cause
    assert text in end.cause["message"]
    assert model.writes == []
    assert model.table.items == {}


def test_an_image_of_another_account_is_left_to_ecs_to_find(model: EcsModel, service: Service, clock: Clock) -> None:
    foreign = "999999999999.dkr.ecr.eu-west-1.amazonaws.com/doorman:1"
    end = execute({**REQUEST, "image": foreign, "container": "app"}, clock)
    assert end.output
    # Its tasks report the digest.
    assert (end.output["image"], end.output["digest"]) == (foreign, model.digest_of(foreign))
    assert images(model, service.primary.revision) == [foreign, OLD_IMAGE, OLD_PROXY]
    assert "DescribeImages" not in model.called()


def test_the_digest_of_a_push_is_the_events_whatever_its_tag_means_by_now(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.push_image("doorman", f"sha256:{'2' * 64}", "1.1.0")
    pushed = push("event", "11:59:00", digest="1")
    end = execute({**REQUEST, **pushed}, clock)
    assert end.output
    assert (end.output["image"], end.output["digest"]) == (NEW_IMAGE, pushed["push"]["digest"])


def hold_returned(end: End, error: str, service: Service, before: str) -> None:
    assert end.error == error
    assert end.cause
    assert (end.cause["image"], end.cause["rolledBack"], end.cause["replaced"]) == (NEW_IMAGE, True, before)
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
    hold_returned(end, "DeploymentFailed", service, before)
    assert (clock.now() - started).total_seconds() < 120
    assert model.writes == RETURNED
    assert end.cause
    assert end.cause["digest"] == digest_of(model, "1.1.0")


def test_a_failed_revision_is_nobodys_latest_once_the_service_is_back(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE] = CRASHES
    ran: list[tuple[str, str | None]] = []

    def deregister(action: str, _body: dict[str, Any]) -> None:
        if action == "DeregisterTaskDefinition":
            ran.append((service.primary.revision, service.primary.rollout_state))

    model.before_call = deregister
    end = execute(REQUEST, clock)
    assert end.cause
    assert ran == [(end.cause["replaced"], "COMPLETED")]
    statuses = {each.document["taskDefinitionArn"]: each.document["status"] for each in model.families["doorman"]}
    assert statuses == {end.cause["replaced"]: "ACTIVE", end.cause["revision"]: "INACTIVE"}


def test_an_end_stands_though_the_failed_revision_cannot_be_deregistered(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    before = service.primary.revision
    model.behaviours[NEW_IMAGE] = CRASHES
    model.refused.add("DeregisterTaskDefinition")
    hold_returned(execute(REQUEST, clock), "DeploymentFailed", service, before)


def test_a_deployment_of_which_only_some_tasks_fail_goes_on_where_the_tasks_cannot_be_read(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE] = itertools.chain([Behaviour()], itertools.repeat(Behaviour(life=8)))
    model.refused.add("ListTasks")
    end = execute({**REQUEST, "timeout": 120}, clock)
    assert end.error == "DeploymentTimedOut"
    assert end.cause
    assert end.cause["rolledBack"] is True


def test_the_return_of_ecs_itself_is_awaited_and_not_called_a_success(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    before, service.breaker, service.breaker_rolls_back = service.primary.revision, True, True
    model.behaviours[NEW_IMAGE] = CANNOT_BE_PULLED
    end = execute(REQUEST, clock)
    hold_returned(end, "DeploymentFailed", service, before)
    assert model.writes == [*DEPLOYED, "DeregisterTaskDefinition"]
    assert end.cause
    assert any("circuit breaker" in reason for reason in end.cause["reasons"])


def test_a_deployment_that_hangs_is_undone_at_its_deadline(model: EcsModel, service: Service, clock: Clock) -> None:
    before = service.primary.revision
    model.behaviours[NEW_IMAGE] = HANGS
    started = clock.now()
    end = execute({**REQUEST, "timeout": 60}, clock)
    hold_returned(end, "DeploymentTimedOut", service, before)
    assert 60 <= (clock.now() - started).total_seconds() < 120


def test_without_rollback_the_service_is_left_and_the_message_says_so(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE] = HANGS
    end = execute({**REQUEST, "timeout": 60, "rollback": False}, clock)
    assert end.error == "DeploymentTimedOut"
    assert end.cause
    assert end.cause["rolledBack"] is False
    assert "ECS goes on trying doorman:2" in end.cause["message"]
    assert service.primary.revision == end.cause["revision"]
    # It is what runs: it stays registered.
    assert model.writes == DEPLOYED


def test_a_return_that_fails_too_says_what_runs(model: EcsModel, service: Service, clock: Clock) -> None:
    model.behaviours[NEW_IMAGE] = CRASHES
    model.behaviours[OLD_IMAGE] = CRASHES
    end = execute(REQUEST, clock)
    assert end.error == "RollbackFailed"
    assert end.cause
    assert end.cause["rolledBack"] is False
    assert "doorman:1 is PRIMARY, 0 of its tasks run" in end.cause["message"]


@pytest.mark.parametrize("behaviour", [Behaviour(), CRASHES, HANGS])
def test_a_failed_deployment_returns_to_what_was_stable_and_not_to_what_was_left_broken(
    model: EcsModel, service: Service, clock: Clock, behaviour: Behaviour
) -> None:
    stable = service.primary.revision
    model.behaviours |= {NEW_IMAGE: HANGS, NEW_PROXY: behaviour}
    execute({**REQUEST, "timeout": 30, "rollback": False}, clock, name="one")
    clock.advance(60)
    end = execute({**SERVICE, "image": NEW_PROXY, "timeout": 60}, clock, name="two")
    assert images(model, service.primary.revision)[:2] == [OLD_IMAGE, OLD_IMAGE]
    assert (end.output or end.cause or {})["replaced"] == stable
    assert service.primary.rollout_state == "COMPLETED"


def test_a_failed_deployment_on_top_of_a_change_that_was_not_stable_yet_says_that_it_goes_too(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    before = service.primary.revision
    model.behaviours |= {NEW_IMAGE: CRASHES, "envoyproxy/envoy:theirs": Behaviour(start=600)}
    model.start_deployment(service, add_theirs(model))
    clock.advance(10)
    end = execute(REQUEST, clock)
    hold_returned(end, "DeploymentFailed", service, before)
    assert end.cause
    assert "doorman:2, which somebody else had brought in" in end.cause["message"]
    assert model.revision(service.deployments[0].revision).document["status"] == "ACTIVE"


def test_a_failed_deployment_on_top_of_a_stable_change_returns_to_that(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    execute({**SERVICE, "image": NEW_PROXY}, clock, name="ours")
    theirs = add_theirs(model, proxy=model.pinned("envoyproxy/envoy:theirs"))
    model.start_deployment(service, theirs)
    clock.advance(60)
    model.behaviours[NEW_IMAGE] = CRASHES
    hold_returned(execute(REQUEST, clock, name="broken"), "DeploymentFailed", service, theirs)


def test_somebody_elses_change_is_respected(model: EcsModel, service: Service, clock: Clock) -> None:
    theirs = add_theirs(model)

    def change(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService":
            model.start_deployment(service, theirs)

    model.after_call = change
    end = execute(REQUEST, clock)
    assert end.output
    assert end.output["outcome"] == "SUPERSEDED"
    assert service.primary.revision == theirs
    assert model.writes == DEPLOYED


@pytest.mark.parametrize("breaker", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("after", [0, 20, 90])
def test_what_ran_before_is_somebodys_change_too_if_they_bring_it_back(
    model: EcsModel, service: Service, clock: Clock, after: float, breaker: tuple[bool, bool]
) -> None:
    before = service.primary.revision
    service.breaker, service.breaker_rolls_back = breaker
    model.behaviours[NEW_IMAGE] = Behaviour(start=200)
    started = clock.now()

    def bring_back(action: str, _body: dict[str, Any]) -> None:
        late_enough = (clock.now() - started).total_seconds() >= after
        if action == "DescribeServices" and late_enough and "UpdateService" in model.called():
            model.start_deployment(service, before)

    model.before_call = bring_back
    end = execute(REQUEST, clock)
    assert end.output
    assert end.output["outcome"] == "SUPERSEDED"
    assert service.primary.revision == before
    assert model.writes == DEPLOYED


@pytest.mark.parametrize("moment", ["RegisterTaskDefinition", "UpdateService"])
def test_somebody_elses_change_of_the_very_moment_runs_with_ours(
    model: EcsModel, service: Service, clock: Clock, moment: str
) -> None:
    theirs = add_theirs(model)

    def change_once(action: str, _body: dict[str, Any]) -> None:
        if action == moment and model.called(moment) == [moment]:
            model.start_deployment(service, theirs)

    model.before_call = change_once
    end = execute(REQUEST, clock)
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert end.output["revision"] == service.primary.revision
    assert images(model, service.primary.revision) == [NEW_IMAGE, NEW_IMAGE, "envoyproxy/envoy:theirs"]


def test_somebody_who_keeps_changing_the_service_is_left_to_it(
    model: EcsModel, service: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecs_model, "MOST_DEPLOYMENTS", 100)
    changes: list[str] = []

    def change_again(action: str, body: dict[str, Any]) -> None:
        if action == "UpdateService":
            changes.append(add_theirs(model, proxy=f"envoyproxy/envoy:theirs-{len(changes)}"))
            model.start_deployment(service, changes[-1])

    model.before_call = change_again
    end = execute(REQUEST, clock)
    assert end.error == "DeploymentFailed"
    assert end.cause
    assert "omebody else keeps changing the service" in end.cause["message"]
    assert service.primary.revision in changes
    assert len(changes) <= 6


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


@pytest.mark.parametrize("desired", [2, 0])
def test_what_was_just_written_may_be_shown_late(model: EcsModel, service: Service, clock: Clock, desired: int) -> None:
    service.desired = desired
    for name, stale_seconds in (("first", 8), ("quick", 8), ("slow", 45)):
        model.stale_seconds = stale_seconds
        end = execute(REQUEST, clock, name=name)
        assert end.output
        assert end.output["outcome"] == "DEPLOYED"
        assert (end.output["revision"], end.output["deployment"]) == (service.primary.revision, service.primary.id)
        clock.advance(120)


def test_a_return_that_is_shown_late_is_awaited(model: EcsModel, service: Service, clock: Clock) -> None:
    before = service.primary.revision
    model.behaviours[NEW_IMAGE] = CRASHES
    model.stale_seconds = 8
    hold_returned(execute(REQUEST, clock), "DeploymentFailed", service, before)
    assert model.writes == RETURNED


def test_a_service_without_rollout_state_is_judged_by_its_counts(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    service.has_rollout_state = False
    assert execute(REQUEST, clock).output
    assert [each.revision for each in service.deployments] == [service.primary.revision]


@pytest.mark.parametrize(
    ("behaviour", "rollback", "result"),
    [
        (Behaviour(), True, Result.DEPLOYED),
        (CRASHES, True, Result.FAILED),
        (HANGS, False, Result.FAILED),
    ],
)
def test_an_end_is_in_the_history_and_leaves_the_service_to_the_next_one(
    model: EcsModel, service: Service, clock: Clock, behaviour: Behaviour, rollback: bool, result: Result
) -> None:
    model.behaviours[NEW_IMAGE] = behaviour
    end = execute({**REQUEST, "timeout": 30, "rollback": rollback}, clock)
    (entry,) = dynamodb.read_history(KEY)
    assert (entry.result, entry.ended_at) == (result, clock.now())
    assert (entry.image, entry.revision) == (NEW_IMAGE, (end.output or end.cause or {})["revision"])
    assert state(clock).owner is None


def test_where_the_time_went_is_in_the_outcome(model: EcsModel, clock: Clock) -> None:
    doorman = add_doorman(model, drain=310)
    doorman.extra = {"loadBalancers": [{"targetGroupArn": "doorman"}]}
    model.behaviours[NEW_IMAGE] = Behaviour(start=40)
    outcome = execute(REQUEST, clock).output or {}
    times, slow = outcome["times"], outcome["slow"]
    assert list(times) == ["pull", "start", "health", "shift", "drain"]
    assert (times["start"], times["drain"]) == (pytest.approx(40, abs=2), pytest.approx(310, abs=2))
    assert [each.partition(" took")[0] for each in slow] == ["draining"]


def test_no_time_is_told_where_nothing_was_rolled_out(model: EcsModel, clock: Clock) -> None:
    add_doorman(model, desired=0)
    outcome = execute(REQUEST, clock).output or {}
    assert (outcome["times"], outcome["slow"]) == (None, [])
