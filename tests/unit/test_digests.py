"""What was pushed is what runs, and what ran comes back, whatever becomes of the tags meanwhile."""

from datetime import timedelta
from typing import Any

import pytest

from ecs_deploy.core.lifecycle import OWN_TAG_PREFIX
from tests.support.clock import Clock
from tests.support.doorman import KEY, SERVICE, push, state
from tests.support.dynamodb_model import ACTIONS
from tests.support.ecs_model import CRASHES, HANGS, IMAGE_MANIFEST, REGISTRY, EcsModel, Service, digest_of
from tests.support.workflow import End, execute

LATEST, SIDECAR = f"{REGISTRY}/doorman:latest", "envoyproxy/envoy:v1"
DOORMAN = f"{REGISTRY}/doorman"
GOOD, BAD, BETTER = (f"sha256:{number * 64}" for number in "123")
BY_HAND: dict[str, Any] = {**SERVICE, "image": LATEST}
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


@pytest.fixture
def model(model: EcsModel) -> EcsModel:
    model.has_every_digest = False
    model.push_image("doorman", GOOD, "latest", "v1")
    return model


def add_latest(model: EcsModel, **settings: Any) -> Service:
    """A service that somebody has made, with tags that move; Terraform knows no digests."""
    containers = [{"name": "app", "image": LATEST}, {"name": "proxy", "image": SIDECAR}]
    revision = model.add_revision({"family": "doorman", "containerDefinitions": containers})
    service = model.add_service("doorman-service", revision, **settings)
    service.primary.created -= timedelta(hours=1)
    return service


def pushed(number: int, digest: str, tag: str = "latest") -> dict[str, Any]:
    """The request of a push, which is one of that minute."""
    event = push(f"push-{number}", f"11:{number:02}:00")
    return {**SERVICE, "image": f"{DOORMAN}:{tag}", "push": {**event["push"], "digest": digest}}


def deploy(model: EcsModel, clock: Clock, number: int, digest: str, *, broken: bool = False, **more: Any) -> End:
    """Push `latest` anew, and let the execution run to its end."""
    model.push_image("doorman", digest, "latest", f"v{number}")
    if broken:
        model.behaviours[f"{DOORMAN}@{digest}"] = CRASHES
    return execute({**pushed(number, digest), **more}, clock, f"push-{number}")


def running(model: EcsModel, clock: Clock, service: Service) -> set[str]:
    """The digests that the app's tasks run, once all is quiet."""
    clock.advance(900)
    model.call("DescribeServices", {"cluster": "production1", "services": ["doorman-service"]})
    assert service.primary.rollout_state == "COMPLETED"
    assert len(service.deployments) == 1
    return {each.digests["app"] for each in service.primary.tasks}


def images(model: EcsModel, service: Service) -> list[str]:
    """What the service's revision says."""
    return [each["image"] for each in model.revision(service.primary.revision).document["containerDefinitions"]]


@pytest.mark.parametrize("tenth", [False, True], ids=["first", "tenth"])
@pytest.mark.parametrize("breaker", [(False, False), (True, False), (True, True)], ids=["none", "breaker", "returns"])
@pytest.mark.parametrize("strategy", ["ROLLING", "BLUE_GREEN", "LINEAR"])
@pytest.mark.parametrize("tells", [True, False], ids=["tasks tell", "nobody tells"])
def test_after_a_bad_push_of_a_tag_that_moves_the_good_image_runs(
    model: EcsModel, clock: Clock, strategy: str, breaker: tuple[bool, bool], tenth: bool, tells: bool
) -> None:
    model.reports_digests = tells or not tenth
    service = add_latest(model, strategy=strategy, breaker=breaker[0], breaker_rolls_back=breaker[1], bake_minutes=2)
    good = GOOD
    for number in range(2, 10 if tenth else 2):
        good = f"sha256:{number:064}"
        assert (deploy(model, clock, number, good).output or {})["outcome"] == "DEPLOYED"
    model.reports_digests = tells or not tenth
    end = deploy(model, clock, 20, BAD, broken=True)
    assert (end.error, (end.cause or {})["rolledBack"]) == ("DeploymentFailed", True)
    assert running(model, clock, service) == {good}


def test_a_push_runs_though_its_tag_has_moved_on(model: EcsModel, clock: Clock) -> None:
    service = add_latest(model)
    model.push_image("doorman", BETTER, "latest")
    model.push_image("doorman", BAD, "latest")
    end = execute(pushed(3, BETTER), clock)
    assert (end.output or {})["digest"] == BETTER
    assert (end.output or {})["image"] == LATEST
    assert running(model, clock, service) == {BETTER}
    assert images(model, service) == [f"{DOORMAN}@{BETTER}", SIDECAR]
    assert model.tags(service.primary.revision)["ecs-deploy:image"] == LATEST


def test_by_hand_the_digest_is_what_ecr_answers(model: EcsModel, clock: Clock) -> None:
    service = add_latest(model)
    model.push_image("doorman", BETTER, "latest")
    end = execute(BY_HAND, clock)
    assert ((end.output or {})["image"], (end.output or {})["digest"]) == (LATEST, BETTER)
    assert images(model, service)[0] == f"{DOORMAN}@{BETTER}"


def test_without_pin_the_tag_stays_and_a_tag_that_has_moved_is_an_error(model: EcsModel, clock: Clock) -> None:
    service = add_latest(model)
    model.push_image("doorman", BETTER, "latest")
    end = execute({**pushed(3, BETTER), "pin": False}, clock, "as it was")
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert images(model, service)[0] == LATEST
    model.push_image("doorman", BAD, "latest")
    model.push_image("doorman", GOOD, "latest")
    end = execute({**pushed(4, BAD), "pin": False}, clock, "moved")
    assert end.error == "DeploymentFailed"
    assert GOOD in (end.cause or {})["message"]
    assert BAD in (end.cause or {})["message"]


def test_another_registrys_digest_is_what_the_tasks_report(model: EcsModel, clock: Clock) -> None:
    service = add_latest(model)
    end = execute({**SERVICE, "image": "envoyproxy/envoy:v2"}, clock)
    assert (end.output or {})["digest"] == digest_of("v2")
    assert images(model, service)[1] == "envoyproxy/envoy:v2"
    stable = state(clock).stable
    assert stable
    assert stable.digests == {"app": GOOD, "proxy": digest_of("v2")}


def test_what_no_task_reports_is_said_to_be_unproven(model: EcsModel, clock: Clock) -> None:
    add_latest(model)
    model.reports_digests = False
    end = deploy(model, clock, 3, BETTER)
    (reason,) = (end.output or {})["reasons"]
    assert "no task reports the digest of app" in reason
    assert BETTER in reason


CHILD = f"sha256:{'c' * 64}"


def index(*platforms: str) -> dict[str, Any]:
    """An index with a manifest for each platform."""
    manifests = []
    for each in platforms:
        system, _, architecture = each.partition("/")
        platform = {"os": system, "architecture": architecture}
        manifests.append({"mediaType": IMAGE_MANIFEST["mediaType"], "digest": CHILD, "platform": platform})
    return {"mediaType": INDEX_TYPE, "manifests": manifests}


def test_a_part_of_the_index_that_was_pushed_is_what_was_pushed(model: EcsModel, clock: Clock) -> None:
    service = add_latest(model)
    model.manifests[BETTER] = index("linux/amd64")
    model.reports_children = {BETTER: CHILD}
    end = deploy(model, clock, 3, BETTER)
    assert ((end.output or {})["outcome"], (end.output or {})["reasons"]) == ("DEPLOYED", [])
    assert deploy(model, clock, 4, BAD, broken=True).cause
    assert running(model, clock, service) == {BETTER}
    # What it is compared with is what was pushed.
    assert (execute(pushed(5, BETTER), clock, "again").output or {})["outcome"] == "UNCHANGED"


def test_what_somebody_else_has_pinned_may_be_an_index(model: EcsModel, clock: Clock) -> None:
    """Nobody tells what the index of the sidecar lists, so that another digest is no difference."""
    service = add_latest(model)
    theirs = model.revision(service.primary.revision).document["containerDefinitions"]
    for each, digest in zip(theirs, (GOOD, digest_of("v1")), strict=True):
        each["image"] = f"{each['image'].rpartition(':')[0]}@{digest}"
    model.start_deployment(service, model.add_revision({"family": "doorman", "containerDefinitions": theirs}))
    clock.advance(60)
    model.reports_children = {GOOD: CHILD, digest_of("v1"): CHILD}
    assert (deploy(model, clock, 3, BAD, broken=True).cause or {})["rolledBack"] is True
    end = deploy(model, clock, 4, BETTER)
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert (end.output or {})["reasons"] == []


def test_the_index_of_one_container_is_known_when_another_one_is_deployed(model: EcsModel, clock: Clock) -> None:
    service = add_latest(model)
    model.manifests[BETTER] = index("linux/amd64")
    model.reports_children = {BETTER: CHILD}
    deploy(model, clock, 3, BETTER)
    end = execute({**SERVICE, "image": "envoyproxy/envoy:v2"}, clock, "proxy")
    assert ((end.output or {})["outcome"], (end.output or {})["reasons"]) == ("DEPLOYED", [])
    stable = state(clock).stable
    assert stable
    assert stable.digests["app"] == BETTER
    model.behaviours["envoyproxy/envoy:v3"] = CRASHES
    end = execute({**SERVICE, "image": "envoyproxy/envoy:v3"}, clock, "bad proxy")
    assert (end.cause or {})["rolledBack"] is True
    assert running(model, clock, service) == {BETTER}


@pytest.mark.parametrize(
    ("platform", "error"),
    [
        ({"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"}, None),
        ({"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}, "ImageNotFound"),
        ({"cpuArchitecture": "ARM64"}, "ImageNotFound"),
        ({"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}, "ImageNotFound"),
        ({}, None),
    ],
)
def test_an_index_has_to_have_the_platform_of_the_definition(
    model: EcsModel, clock: Clock, platform: dict[str, str], error: str | None
) -> None:
    service = add_latest(model)
    model.revision(service.primary.revision).document["runtimePlatform"] = platform
    model.manifests[BETTER] = index("linux/amd64", "unknown/unknown")
    end = deploy(model, clock, 3, BETTER)
    assert end.error == error
    if error:
        assert "linux/amd64" in (end.cause or {})["message"]
        assert model.writes == []
        assert model.table.items == {}


def test_the_first_push_of_the_index_whose_part_runs_is_unchanged(model: EcsModel, clock: Clock) -> None:
    add_latest(model)
    model.manifests[GOOD] = index("linux/amd64")
    model.reports_children = {GOOD: CHILD}
    assert (execute(pushed(3, GOOD), clock).output or {})["outcome"] == "UNCHANGED"
    assert model.writes == []


def test_an_image_that_is_archived_is_not_deployed(model: EcsModel, clock: Clock) -> None:
    add_latest(model)
    model.archived.add(BETTER)
    end = deploy(model, clock, 3, BETTER)
    assert end.error == "ImageNotFound"
    assert "is ARCHIVED in ECR" in (end.cause or {})["message"]
    assert model.writes == []


@pytest.mark.parametrize("strategy", ["ROLLING", "BLUE_GREEN"])
def test_a_return_freezes_no_sidecar_and_brings_back_no_tag_that_means_the_broken_image(
    model: EcsModel, clock: Clock, strategy: str
) -> None:
    service = add_latest(model, strategy=strategy)
    service.shifts.clear()
    deploy(model, clock, 3, BAD, broken=True)
    assert running(model, clock, service) == {GOOD}
    assert images(model, service) == [f"{DOORMAN}@{GOOD}", f"envoyproxy/envoy@{digest_of('v1')}"]
    # A push of the sidecar's alone leaves the app's digest; one of the app's lets the sidecar be as it was written.
    assert (execute({**SERVICE, "image": "envoyproxy/envoy:v2"}, clock, "proxy").output or {})["outcome"] == "DEPLOYED"
    assert images(model, service) == [f"{DOORMAN}@{GOOD}", "envoyproxy/envoy:v2"]


def test_the_next_deployment_has_the_sidecar_as_it_was_written(model: EcsModel, clock: Clock) -> None:
    service = add_latest(model)
    for number in (3, 5):
        deploy(model, clock, number, f"sha256:{number:064}", broken=True)
        assert running(model, clock, service) == {GOOD}
    assert (deploy(model, clock, 6, BETTER).output or {})["outcome"] == "DEPLOYED"
    assert images(model, service) == [f"{DOORMAN}@{BETTER}", SIDECAR]


def test_ecs_itself_rolls_back_where_it_goes_to_just_what_was_stable(model: EcsModel, clock: Clock) -> None:
    service = add_latest(model, strategy="BLUE_GREEN", bake_minutes=10)
    model.behaviours[f"{DOORMAN}@{BAD}"] = HANGS
    began = clock.now()
    end = deploy(model, clock, 3, BAD, timeout=60)
    assert (end.error, (end.cause or {})["rolledBack"]) == ("DeploymentTimedOut", True)
    assert model.called("StopServiceDeployment") == ["StopServiceDeployment"]
    assert len(model.called("UpdateService")) == 1
    assert len(model.families["doorman"]) == 2, "nothing was registered to return"
    # The timeout and the bake of the failed one, and no second bake.
    assert (clock.now() - began).total_seconds() < 60 + 600 + 60
    assert running(model, clock, service) == {GOOD}


@pytest.mark.parametrize("what", ["refused", "somebody else's is the last successful", "it fails"])
def test_where_ecs_does_not_go_back_to_just_that_the_deployer_does(model: EcsModel, clock: Clock, what: str) -> None:
    service = add_latest(model, strategy="BLUE_GREEN")
    model.behaviours[f"{DOORMAN}@{BAD}"] = HANGS
    if what == "refused":
        model.refused.add("StopServiceDeployment")
    elif what == "it fails":
        model.fails_to_roll_back = True
    else:
        service.shifts.clear()
    end = deploy(model, clock, 3, BAD, timeout=60)
    assert (end.cause or {})["rolledBack"] is True
    assert len(model.called("UpdateService")) == 2
    assert running(model, clock, service) == {GOOD}


def test_a_rollback_of_ecs_to_another_digest_is_mended(model: EcsModel, clock: Clock) -> None:
    """Where version consistency is off, ECS resolves the tag anew when it rolls back."""
    service = add_latest(model, breaker=True, breaker_rolls_back=True)
    model.behaviours[f"{DOORMAN}@{BETTER}"] = CRASHES

    def forget(action: str, _body: dict[str, Any]) -> None:
        if action == "DescribeServices" and service.primary.rollout_state == "IN_PROGRESS":
            service.last_digests = {**service.last_digests, "app": BAD}

    model.before_call = forget
    end = deploy(model, clock, 3, BETTER)
    model.before_call = lambda _action, _body: None
    assert (end.error, (end.cause or {})["rolledBack"]) == ("DeploymentFailed", True)
    assert running(model, clock, service) == {GOOD}


def test_a_revert_brings_back_what_ran_though_the_tag_has_moved(model: EcsModel, clock: Clock) -> None:
    service = add_latest(model)
    deploy(model, clock, 3, BETTER)
    end = execute({**SERVICE, "revert": True}, clock, "revert")
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert running(model, clock, service) == {GOOD}
    # The sidecar did not change, so that it is as it was written with the next deployment.
    model.push_image("doorman", BAD, "latest")
    execute(BY_HAND, clock, "next")
    assert images(model, service) == [f"{DOORMAN}@{BAD}", SIDECAR]


def test_a_revert_to_a_revision_of_ours_has_its_tag_and_its_digest(model: EcsModel, clock: Clock) -> None:
    service = add_latest(model)
    deploy(model, clock, 3, BETTER)
    deploy(model, clock, 4, BAD)
    end = execute({**SERVICE, "revert": True}, clock, "revert")
    assert ((end.output or {})["image"], (end.output or {})["digest"]) == (LATEST, BETTER)
    assert running(model, clock, service) == {BETTER}


def test_what_brings_back_what_was_stable_after_a_death_has_its_digests(model: EcsModel, clock: Clock) -> None:
    """The dispatcher starts what was stable again, by its revision, where the execution that returned has died."""
    service = add_latest(model)
    model.behaviours[f"{DOORMAN}@{BAD}"] = CRASHES
    model.push_image("doorman", BAD, "latest")
    before = service.primary.revision.rpartition("/")[2]
    execute({**pushed(3, BAD), "rollback": False}, clock, "left")
    again = {"request": "return-1", "time": "2026-01-31T11:30:00Z"}
    end = execute({**SERVICE, "revision": before, "restart": again}, clock, "return")
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert running(model, clock, service) == {GOOD}


def test_a_container_that_gets_another_repository_has_nothing_to_look_for(model: EcsModel, clock: Clock) -> None:
    add_latest(model)
    model.push_image("guard", BETTER, "v1")
    request = {**SERVICE, "image": f"{REGISTRY}/guard:v1", "container": "app", "requireRollback": True}
    end = execute(request, clock)
    assert ((end.output or {})["outcome"], (end.output or {})["reasons"]) == ("DEPLOYED", [])


def test_to_revert_twice_goes_back_twice_though_copies_are_registered(model: EcsModel, clock: Clock) -> None:
    service = add_latest(model)
    deploy(model, clock, 3, BETTER)
    deploy(model, clock, 4, BAD)
    for digest in (BETTER, GOOD):
        assert (execute({**SERVICE, "revert": True}, clock, f"to {digest}").output or {})["outcome"] == "DEPLOYED"
        assert running(model, clock, service) == {digest}
    assert execute({**SERVICE, "revert": True}, clock, "to nothing").error == "NothingToRevertTo"


def test_a_revert_to_an_image_that_is_gone_touches_nothing(model: EcsModel, clock: Clock) -> None:
    add_latest(model)
    deploy(model, clock, 3, BETTER)
    writes = list(model.writes)
    model.pushed["doorman"] = [each for each in model.pushed["doorman"] if each["imageDigest"] != GOOD]
    model.images -= {("doorman", GOOD)}
    end = execute({**SERVICE, "revert": True}, clock, "revert")
    assert end.error == "ImageNotFound"
    assert GOOD in (end.cause or {})["message"]
    assert model.writes == writes


UNTAGGED = {"rules": [{"selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countNumber": 1}}]}
TAGGED = {"rules": [{"selection": {"tagStatus": "tagged", "tagPrefixList": ["v"], "countNumber": 5}}]}


def lose(model: EcsModel, how: str) -> None:
    """Let the image that runs be one that cannot come back, or may not."""
    (good,) = (each for each in model.pushed["doorman"] if each["imageDigest"] == GOOD)
    if how == "gone":
        model.pushed["doorman"].remove(good)
        model.images -= {("doorman", GOOD)}
    elif how == "archived":
        model.archived.add(GOOD)
    else:
        good["imageTags"] = []
        model.lifecycle_policies["doorman"] = UNTAGGED if how == "about to go" else TAGGED


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("gone", "is not in ECR any more"),
        ("archived", "is ARCHIVED in ECR"),
        ("about to go", "a lifecycle rule of its repository takes it"),
        ("kept by its policy", None),
    ],
)
@pytest.mark.parametrize("required", [False, True])
def test_whether_the_image_to_return_to_is_there(
    model: EcsModel, clock: Clock, how: str, text: str | None, required: bool
) -> None:
    add_latest(model)
    lose(model, how)
    model.push_image("doorman", BETTER, "latest")
    end = execute({**pushed(3, BETTER), "requireRollback": required}, clock)
    if text and required:
        assert end.error == "ImageNotFound"
        assert text in (end.cause or {})["message"]
        assert GOOD in (end.cause or {})["message"]
        assert model.writes == []
        assert model.table.items == {}
        return
    assert (end.output or {})["outcome"] == "DEPLOYED"
    started = end.answers[0]["notification"]
    assert [text in each for each in (end.output or {})["reasons"] if text] == [True] * bool(text)
    assert [text in each for each in started["reasons"] if text] == [True] * bool(text)
    assert (text or "") in started["message"]


@pytest.mark.parametrize("required", [False, True])
def test_a_policy_that_may_not_be_read_is_said(model: EcsModel, clock: Clock, required: bool) -> None:
    add_latest(model)
    lose(model, "about to go")
    model.refused.add("GetLifecyclePolicy")
    end = deploy(model, clock, 3, BETTER, requireRollback=required)
    assert end.error == ("ImageNotFound" if required else None)
    said = (end.cause or {"message": str((end.output or {})["reasons"])})["message"]
    assert "could not be read" in said
    assert "GetLifecyclePolicy" in said


def test_what_is_required_to_return_to_has_to_be_known(model: EcsModel, clock: Clock) -> None:
    add_latest(model, desired=0).shifts.clear()
    end = execute({**BY_HAND, "requireRollback": True}, clock)
    assert end.error == "ImageNotFound"
    assert "which digest app runs is not known" in (end.cause or {})["message"]


def test_the_image_to_return_to_is_kept_by_a_tag_that_starts_nothing(model: EcsModel, clock: Clock) -> None:
    add_latest(model)
    lose(model, "about to go")
    end = deploy(model, clock, 3, BETTER, retain=True, requireRollback=True)
    assert ((end.output or {})["outcome"], (end.output or {})["reasons"]) == ("DEPLOYED", [])
    (good,) = (each for each in model.pushed["doorman"] if each["imageDigest"] == GOOD)
    (kept,) = good["imageTags"]
    assert kept.startswith(OWN_TAG_PREFIX)
    deploy(model, clock, 4, BAD, retain=True)
    # One for each service: it moves on to what is to be returned to now.
    assert good["imageTags"] == []
    assert [kept in each["imageTags"] for each in model.pushed["doorman"]] == [False, True, False]


def test_what_cannot_be_kept_is_said(model: EcsModel, clock: Clock) -> None:
    add_latest(model)
    lose(model, "about to go")
    model.refused.add("PutImage")
    (reason,) = (deploy(model, clock, 3, BETTER, retain=True).output or {})["reasons"]
    assert "could not be kept" in reason
    assert "PutImage" in reason


def test_one_image_under_two_tags_is_one_rollout(model: EcsModel, clock: Clock) -> None:
    add_latest(model)
    model.push_image("doorman", BETTER, "latest", "v3")
    assert (execute(pushed(3, BETTER), clock, "one").output or {})["outcome"] == "DEPLOYED"
    assert (execute(pushed(4, BETTER, "v3"), clock, "two").output or {})["outcome"] == "UNCHANGED"
    assert model.called("UpdateService") == ["UpdateService"]


def test_the_first_push_of_what_runs_already_is_unchanged(model: EcsModel, clock: Clock) -> None:
    add_latest(model)
    assert (execute(pushed(3, GOOD), clock).output or {})["outcome"] == "UNCHANGED"
    assert model.writes == []


def test_an_old_image_that_is_put_back_under_the_tag_is_a_deployment(model: EcsModel, clock: Clock) -> None:
    service = add_latest(model)
    deploy(model, clock, 3, BETTER)
    end = deploy(model, clock, 4, GOOD)
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert running(model, clock, service) == {GOOD}


def test_the_history_has_the_digests(model: EcsModel, clock: Clock) -> None:
    add_latest(model)
    deploy(model, clock, 3, BETTER)
    entry = next(each for key, each in model.table.items.items() if KEY in str(key) and "replaced_digests" in str(each))
    assert GOOD in str(entry)
    assert BETTER in str(entry)


def test_the_tasks_of_a_large_service_are_not_all_read(model: EcsModel, clock: Clock) -> None:
    add_latest(model, desired=350)
    assert (deploy(model, clock, 3, BETTER).output or {})["outcome"] == "DEPLOYED"
    # Once for what ran, and once for what runs.
    assert model.called("ListTasks") == ["ListTasks"] * 2
    assert model.called("DescribeTasks") == ["DescribeTasks"] * 2


def test_few_calls_to_ecs_and_ecr(model: EcsModel, clock: Clock) -> None:
    service = add_latest(model)
    document = model.revision(service.primary.revision).document
    document["runtimePlatform"] = {"cpuArchitecture": "X86_64"}
    model.manifests[BETTER] = index("linux/amd64")
    lose(model, "kept by its policy")
    polls = (deploy(model, clock, 3, BETTER).output or {})["polls"]
    ecr = ["DescribeImages", "BatchGetImage", "GetLifecyclePolicy"]
    assert sorted(model.called(*ecr)) == sorted(ecr)
    others = {*ecr, *ACTIONS}
    assert len([each for each in model.called() if each not in others]) - polls <= 9
    model.calls.clear()
    model.push_image("doorman", BAD, "latest")
    polls = (execute(pushed(4, BAD), clock, "next").output or {})["polls"]
    assert len([each for each in model.called() if each not in others]) - polls <= 7
