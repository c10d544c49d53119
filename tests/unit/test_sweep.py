"""What a sweep starts: the newest push, if its event was lost and nobody has decided otherwise since."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ecs_deploy import sweep
from ecs_deploy.sweep import SweepIncomplete
from tests.support.clock import Clock
from tests.support.ecs_model import ACCOUNT, CRASHES, HANGS, REGION, REGISTRY, EcsModel, Service
from tests.support.execution import Context, End, execute

MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:EcsDeploy"
GRACE = 900
HOUR = 3600
CONTEXT: Any = Context()
REQUEST: dict[str, Any] = {
    "cluster": "production1",
    "service": "doorman-service",
    "image": f"{REGISTRY}/doorman",
    "timeout": 300,
    "rollback": True,
}


@pytest.fixture
def service(model: EcsModel, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setenv("MACHINE", MACHINE)
    model.push_image("doorman", "sha256:1", "v1")
    containers = [
        {"name": "app", "image": f"{REGISTRY}/doorman:v1"},
        {"name": "proxy", "image": f"{REGISTRY}/proxy:v1"},
    ]
    return model.add_service(
        "doorman-service", model.add_revision({"family": "doorman", "containerDefinitions": containers})
    )


def swept(model: EcsModel, clock: Clock, **change: Any) -> list[End]:
    """The ends of the executions that a sweep starts now."""
    target = {"request": {**REQUEST, **change.pop("request", {})}, "tags": ["v*"], **change}
    started = sweep.handler({"grace": GRACE, "targets": [target]}, CONTEXT)
    return [execute(json.loads(model.executions[arn]), clock, arn.rpartition(":")[2]) for arn in started]


def arrive(clock: Clock, model: EcsModel, name: str, tag: str, digest: str, repository: str = "doorman") -> End:
    """The execution of a push whose event arrives."""
    now = clock.now().isoformat().replace("+00:00", "Z")
    push = {"id": name, "time": now, "digest": digest, "repository": repository, "tag": tag}
    model.push_image(repository, digest, tag)
    clock.advance(2)
    return execute({**REQUEST, "image": f"{REGISTRY}/{repository}:{tag}", "push": push}, clock, name)


def pushing(model: EcsModel, clock: Clock, action: str, tag: str) -> Callable[[str, object], None]:
    """Pushes an image once, right before a call."""

    def push(called: str, _body: object) -> None:
        if called == action and ("doorman", tag) not in model.images:
            clock.advance(1)
            model.push_image("doorman", f"sha256:{tag}", tag)

    return push


def image_in_use(model: EcsModel, service: Service, container: int = 0) -> str:
    image: str = model.revision(service.primary.revision).document["containerDefinitions"][container]["image"]
    return image.rpartition("/")[2]


def test_a_push_whose_event_was_lost(model: EcsModel, service: Service, clock: Clock) -> None:
    clock.advance(HOUR)
    model.push_image("doorman", "sha256:2", "v2", "latest")
    pushed_at = clock.now()
    clock.advance(GRACE)
    (end,) = swept(model, clock)
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert image_in_use(model, service) == "doorman:v2"
    tags = model.tags(service.primary.revision)
    assert tags["ecs-deploy:requested-at"] == pushed_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert tags["ecs-deploy:digest"] == "sha256:2"
    clock.advance(HOUR)
    assert swept(model, clock) == []


def test_the_first_event_may_still_come(model: EcsModel, service: Service, clock: Clock) -> None:
    clock.advance(HOUR)
    model.push_image("doorman", "sha256:2", "v2")
    clock.advance(GRACE - 1)
    assert swept(model, clock) == []


def test_nothing_was_pushed_since(model: EcsModel, service: Service, clock: Clock) -> None:
    clock.advance(HOUR)
    assert swept(model, clock) == []
    assert arrive(clock, model, "event", "v2", "sha256:2").output
    clock.advance(HOUR)
    assert swept(model, clock) == []


def test_a_push_during_the_deployment_of_another_one(model: EcsModel, service: Service, clock: Clock) -> None:
    clock.advance(HOUR)
    model.before_call = pushing(model, clock, "RegisterTaskDefinition", "v3")
    assert arrive(clock, model, "event", "v2", "sha256:2").output
    clock.advance(GRACE)
    (end,) = swept(model, clock)
    assert end.output
    assert image_in_use(model, service) == "doorman:v3"


def test_what_failed_is_not_tried_again(model: EcsModel, service: Service, clock: Clock) -> None:
    clock.advance(HOUR)
    assert arrive(clock, model, "good", "v2", "sha256:2").output
    clock.advance(HOUR)
    model.behaviours[f"{REGISTRY}/doorman:v3"] = CRASHES
    assert arrive(clock, model, "bad", "v3", "sha256:3").error == "DeploymentFailed"
    clock.advance(HOUR)
    assert swept(model, clock) == []
    assert image_in_use(model, service) == "doorman:v2"


@pytest.mark.parametrize("by_ecs", [False, True])
def test_a_push_while_another_one_fails(model: EcsModel, service: Service, clock: Clock, by_ecs: bool) -> None:
    clock.advance(HOUR)
    assert arrive(clock, model, "good", "v2", "sha256:2").output
    clock.advance(HOUR)
    service.breaker = service.breaker_rolls_back = by_ecs
    model.behaviours[f"{REGISTRY}/doorman:v3"] = CRASHES
    model.before_call = pushing(model, clock, "UpdateService", "v4")
    failed = arrive(clock, model, "bad", "v3", "sha256:3")
    assert failed.cause
    assert failed.cause["rolledBack"] is True
    clock.advance(GRACE)
    (end,) = swept(model, clock)
    assert end.output
    assert image_in_use(model, service) == "doorman:v4"


def test_what_was_left_broken_is_replaced(model: EcsModel, service: Service, clock: Clock) -> None:
    clock.advance(HOUR)
    model.push_image("doorman", "sha256:2", "v2")
    service.breaker = True
    model.behaviours[f"{REGISTRY}/doorman:v2"] = CRASHES
    model.before_call = pushing(model, clock, "RegisterTaskDefinition", "v3")
    end = execute({**REQUEST, "image": f"{REGISTRY}/doorman:v2", "rollback": False}, clock, "by-hand")
    assert end.error == "DeploymentFailed"
    clock.advance(GRACE)
    (end,) = swept(model, clock)
    assert end.output
    assert image_in_use(model, service) == "doorman:v3"


def test_a_rollout_is_not_disturbed(model: EcsModel, service: Service, clock: Clock) -> None:
    clock.advance(HOUR)
    model.behaviours[f"{REGISTRY}/doorman:v1"] = HANGS
    person = model.add_revision(
        {
            key: value
            for key, value in model.revision(service.primary.revision).document.items()
            if key in {"family", "containerDefinitions"}
        }
    )
    model.start_deployment(service, person)
    clock.advance(60)
    model.push_image("doorman", "sha256:2", "v2")
    clock.advance(GRACE)
    assert swept(model, clock) == []


def test_a_revert_is_not_fought(model: EcsModel, service: Service, clock: Clock) -> None:
    for number in (2, 3):
        clock.advance(HOUR)
        assert arrive(clock, model, f"event-{number}", f"v{number}", f"sha256:{number}").output
    clock.advance(HOUR)
    model.push_image("doorman", "sha256:4", "v4")
    clock.advance(60)
    asked = {key: REQUEST[key] for key in ("cluster", "service")}
    assert execute({**asked, "revert": True}, clock, "revert").output
    clock.advance(HOUR)
    assert swept(model, clock) == []
    assert image_in_use(model, service) == "doorman:v2"
    model.push_image("doorman", "sha256:5", "v5")
    clock.advance(HOUR)
    assert len(swept(model, clock)) == 1
    assert image_in_use(model, service) == "doorman:v5"


@pytest.mark.parametrize("an_old_one", [False, True])
def test_a_persons_change_is_not_fought(model: EcsModel, service: Service, clock: Clock, an_old_one: bool) -> None:
    first = service.primary.revision
    clock.advance(HOUR)
    assert arrive(clock, model, "two", "v2", "sha256:2").output
    second = service.primary.revision
    clock.advance(HOUR)
    assert arrive(clock, model, "three", "v3", "sha256:3").output
    clock.advance(HOUR)
    model.push_image("doorman", "sha256:4", "v4")
    clock.advance(60)
    model.start_deployment(service, second if an_old_one else first)
    clock.advance(HOUR)
    assert swept(model, clock) == []
    model.push_image("doorman", "sha256:5", "v5")
    clock.advance(HOUR)
    assert len(swept(model, clock)) == 1


def test_what_was_pushed_before_the_deployer_was_installed(model: EcsModel, service: Service, clock: Clock) -> None:
    clock.advance(HOUR)
    model.push_image("doorman", "sha256:2", "v2")
    clock.advance(HOUR)
    model.installed = clock.now()
    clock.advance(HOUR)
    assert swept(model, clock) == []


def test_only_tags_of_the_target_count(model: EcsModel, service: Service, clock: Clock) -> None:
    clock.advance(HOUR)
    model.push_image("doorman", "sha256:2", "main-2")
    clock.advance(HOUR)
    assert swept(model, clock) == []
    assert len(swept(model, clock, tags=["main-*", "v*"])) == 1
    assert image_in_use(model, service) == "doorman:main-2"


def test_a_tag_that_has_moved(model: EcsModel, service: Service, clock: Clock) -> None:
    for number in range(2, 6):
        clock.advance(60)
        model.push_image("doorman", f"sha256:{number}", "vlatest")
    clock.advance(HOUR)
    (end,) = swept(model, clock)
    assert end.output
    assert model.tags(service.primary.revision)["ecs-deploy:digest"] == "sha256:5"


def test_another_sweep_does_not_start_it_again(model: EcsModel, service: Service, clock: Clock) -> None:
    clock.advance(HOUR)
    model.push_image("doorman", "sha256:2", "v2")
    model.images.discard(("doorman", "v2"))
    clock.advance(GRACE)
    (end,) = swept(model, clock)
    assert end.error == "ImageNotFound"
    clock.advance(HOUR)
    assert swept(model, clock) == []


def test_an_event_that_comes_after_all_is_a_duplicate(model: EcsModel, service: Service, clock: Clock) -> None:
    clock.advance(HOUR)
    model.push_image("doorman", "sha256:2", "v2")
    push = {"id": "late", "time": clock.now().isoformat(), "digest": "sha256:2", "repository": "doorman", "tag": "v2"}
    clock.advance(GRACE)
    (end,) = swept(model, clock)
    assert end.output
    request = {**REQUEST, "image": f"{REGISTRY}/doorman:v2", "push": push}
    late = execute(request, clock, "late").output
    assert late
    assert late["outcome"] == "DUPLICATE"
    again = {**push, "id": "pushed-again", "time": clock.now().isoformat()}
    repeated = execute({**request, "push": again}, clock, "again").output
    assert repeated
    assert repeated["outcome"] == "DEPLOYED"


def test_a_sweep_that_meets_the_event(model: EcsModel, service: Service, clock: Clock) -> None:
    clock.advance(HOUR)
    model.push_image("doorman", "sha256:2", "v2")
    pushed_at = clock.now().isoformat()
    clock.advance(GRACE)
    (arn,) = sweep.handler({"grace": GRACE, "targets": [{"request": REQUEST, "tags": ["v*"]}]}, CONTEXT)
    push = {"id": "late", "time": pushed_at, "digest": "sha256:2", "repository": "doorman", "tag": "v2"}
    assert execute({**REQUEST, "image": f"{REGISTRY}/doorman:v2", "push": push}, clock, "late").output
    mine = execute(json.loads(model.executions[arn]), clock, arn.rpartition(":")[2]).output
    assert mine
    assert mine["outcome"] == "DUPLICATE"


def test_each_container_has_its_own_pushes(model: EcsModel, service: Service, clock: Clock) -> None:
    model.push_image("proxy", "sha256:p1", "v1")
    clock.advance(HOUR)
    model.push_image("proxy", "sha256:p2", "v2")
    clock.advance(60)
    assert arrive(clock, model, "app", "v2", "sha256:2").output
    clock.advance(HOUR)
    assert arrive(clock, model, "app-again", "v3", "sha256:3").output
    clock.advance(HOUR)
    assert swept(model, clock) == []
    # The first of the deployer's revisions carries what a person had put there an hour before the push.
    assert len(swept(model, clock, request={"image": f"{REGISTRY}/proxy"})) == 1
    assert [image_in_use(model, service, each) for each in (0, 1)] == ["doorman:v3", "proxy:v2"]
    clock.advance(HOUR)
    assert swept(model, clock) == swept(model, clock, request={"image": f"{REGISTRY}/proxy"}) == []


@pytest.mark.parametrize(
    "change",
    [{"service": "not-there-yet"}, {"cluster": "staging"}, {"image": f"{REGISTRY}/other"}, {"container": "other"}],
)
def test_a_target_with_nothing_to_deploy_to(
    model: EcsModel, service: Service, clock: Clock, change: dict[str, Any]
) -> None:
    clock.advance(HOUR)
    model.push_image("doorman", "sha256:2", "v2")
    model.push_image("other", "sha256:o", "v2")
    clock.advance(GRACE)
    assert swept(model, clock, request=change) == []


def test_an_empty_repository(model: EcsModel, service: Service, clock: Clock) -> None:
    clock.advance(HOUR)
    del model.pushed["doorman"]
    assert swept(model, clock) == []


def test_a_target_that_cannot_be_seen_does_not_hold_up_the_others(
    model: EcsModel, service: Service, clock: Clock
) -> None:
    clock.advance(HOUR)
    model.push_image("doorman", "sha256:2", "v2")
    clock.advance(GRACE)
    hidden = {"request": {**REQUEST, "image": f"{REGISTRY}/proxy"}, "tags": ["v*"]}

    def refuse(action: str, body: dict[str, Any]) -> None:
        model.refused = {"DescribeImages"} if body.get("repositoryName") == "proxy" else set()

    model.before_call = refuse
    with pytest.raises(
        SweepIncomplete, match=r"1 of 2 targets: doorman-service of the cluster production1: .*x:Describe"
    ):
        sweep.handler({"grace": GRACE, "targets": [hidden, {"request": REQUEST, "tags": ["v*"]}]}, CONTEXT)
    (arn,) = (each for each in model.executions if ":EcsDeploy:" in each)
    assert json.loads(model.executions[arn])["image"] == f"{REGISTRY}/doorman:v2"


def test_where_traffic_is_shifted(model: EcsModel, service: Service, clock: Clock) -> None:
    service.strategy = "BLUE_GREEN"
    clock.advance(HOUR)
    model.push_image("doorman", "sha256:2", "v2")
    clock.advance(GRACE)
    # Nobody can tell since when it runs what it does.
    assert swept(model, clock) == []
    assert arrive(clock, model, "event", "v3", "sha256:3").output
    clock.advance(HOUR)
    model.push_image("doorman", "sha256:4", "v4")
    clock.advance(GRACE)
    assert len(swept(model, clock)) == 1
    assert image_in_use(model, service) == "doorman:v4"
