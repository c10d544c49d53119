"""Services that opt in by their own tags."""

import json
from pathlib import Path
from typing import Any

import pytest

from ecs_deploy.aws import index
from ecs_deploy.core.discovery import InvalidTags, complaint, target_of
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.policy import Stage, Target
from ecs_deploy.core.request import parse
from ecs_deploy.handlers import discovery
from tests.support.clock import Clock
from tests.support.ecs_model import ACCOUNT, REGION, REGISTRY, EcsModel, Service, digest_of
from tests.support.queue import Queue, set_targets
from tests.support.rules import table
from tests.unit.test_rules_policy import HERE

REPOSITORY = {"ecs-deploy:repository": "doorman"}
ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/production1"
TARGET = Target("production1", "doorman-service", "doorman", reconcile_minutes=60)


@table(
    "tags, target",
    {
        "the repository is enough": ({}, TARGET),
        "tags of others mean nothing": ({"team": "door", "ecs": "deploy"}, TARGET),
        "patterns in words": (
            {"ecs-deploy:tags": "semver:@from 1.2 @below 2 / @not @any-debug"},
            TARGET._replace(tags=("semver:>=1.2 <2", "!*-debug")),
        ),
        "all of them": (
            {
                "ecs-deploy:container": "app", "ecs-deploy:timeout": "900", "ecs-deploy:rollback": "false",
                "ecs-deploy:pin": "false", "ecs-deploy:requireRollback": "true", "ecs-deploy:reconcile": "never",
                "ecs-deploy:minAge": "2 hours", "ecs-deploy:window": "office", "ecs-deploy:alarm": "errors",
                "ecs-deploy:stickyRevert": "true",
            },
            TARGET._replace(
                container="app", timeout=900, rollback=False, pin=False, require_rollback=True, reconcile_minutes=None,
                min_age=7200, window="office", alarm="errors", sticky_revert=True,
            ),
        ),
        "what pushes have to pass": (
            {
                "ecs-deploy:approval": "3600", "ecs-deploy:before": "bin/migrate  --all",
                "ecs-deploy:after": "bin/test", "ecs-deploy:watch": "600",
            },
            TARGET._replace(
                gates={
                    "approval": 3600, "before": {"command": ["bin/migrate", "--all"]},
                    "after": {"command": ["bin/test"]}, "watch": {"seconds": 600},
                }
            ),
        ),
        "an earlier stage": (
            {"ecs-deploy:promotedFrom": "staging1/doorman-service", "ecs-deploy:soak": "2 days"},
            TARGET._replace(promoted_from=Stage("staging1", "doorman-service", 172_800)),
        ),
        "a repository elsewhere": (
            {"ecs-deploy:repository": "999999999999.dkr.ecr.eu-west-1.amazonaws.com/team/doorman"},
            TARGET._replace(repository="team/doorman", registry="999999999999.dkr.ecr.eu-west-1.amazonaws.com"),
        ),
    },
)  # fmt: skip
def test_what_tags_say(tags: dict[str, str], target: Target) -> None:
    assert target_of("production1", "doorman-service", REPOSITORY | tags) == target


def test_without_a_repository_a_service_has_not_opted_in() -> None:
    assert target_of("production1", "doorman-service", {"ecs-deploy:timeout": "soon"}) is None


@table(
    "key, value",
    {
        "a tag of the image": ("repository", "doorman:latest"),
        "another registry than ECR": ("repository", "ghcr.io/doorman"),
        "no repository": ("repository", ""),
        "a pattern that means nothing": ("tags", "v@every"),
        "a range that is none": ("tags", "semver:newest"),
        "a time that is no number": ("timeout", "soon"),
        "too short a time": ("timeout", "9"),
        "too long a time": ("timeout", "86401"),
        "a word that is no flag": ("rollback", "yes"),
        "capital letters": ("stickyRevert", "True"),
        "a name that is none": ("container", "my app"),
        "another rate": ("reconcile", "30 minutes"),
        "too old": ("minAge", "15 days"),
        "no age": ("minAge", "0 days"),
        "too little time for an answer": ("approval", "59"),
        "an answer soon": ("approval", "soon"),
        "an empty command": ("before", " "),
        "a watch of some time": ("watch", "soon"),
        "a stage without its cluster": ("promotedFrom", "doorman-service"),
        "a soak that is no time": ("soak", "soon"),
        "a stage without a soak": ("promotedFrom", "staging1/doorman-service"),
        "nothing": ("window", " "),
        "nothing at all": ("alarm", ""),
        "what only a target may have": ("parameter", "/doorman/image"),
        "a slip": ("tag", "v@any"),
    },
)
def test_what_cannot_be_meant(key: str, value: str) -> None:
    tags = REPOSITORY | {f"ecs-deploy:{key}": value}
    with pytest.raises(InvalidTags) as caught:
        target_of("production1", "doorman-service", tags)
    (problem,) = caught.value.problems
    assert problem.startswith(f"ecs-deploy:{key}: ")
    start = complaint("production1", "doorman-service", tags | {"team": "door"})
    assert start == complaint("production1", "doorman-service", tags)
    with pytest.raises(DeployError) as refused:
        parse(dict(start.request), HERE)
    assert refused.value.error is Error.INVALID_REQUEST
    assert f"doorman-service in production1: the tags of the service are wrong. ecs-deploy:{key}: " in (
        refused.value.message
    )


def test_another_mistake_is_another_complaint() -> None:
    names = {complaint("c", "s", REPOSITORY | {"ecs-deploy:timeout": value}).name for value in ("soon", "later")}
    assert len(names | {complaint("c", "other", REPOSITORY | {"ecs-deploy:timeout": "soon"}).name}) == 3


@pytest.mark.parametrize("tags", [REPOSITORY, "doorman", 7, None, [1]])
def test_a_complaint_about_nothing_is_refused_too(tags: object) -> None:
    with pytest.raises(DeployError, match="serviceTags: "):
        parse({"cluster": "production1", "service": "doorman-service", "serviceTags": tags}, HERE)


def add(model: EcsModel, name: str, **tags: str) -> Service:
    """A service that runs the image of the doorman, with tags of the deployer."""
    if "doorman" not in model.families:
        model.push_image("doorman", digest_of("v1"), "v1")
        containers = [{"name": "app", "image": f"{REGISTRY}/doorman:v1"}]
        model.add_revision({"family": "doorman", "containerDefinitions": containers})
    revision = model.families["doorman"][0].document["taskDefinitionArn"]
    service = model.add_service(name, revision)
    service.tags = {f"ecs-deploy:{key}": value for key, value in tags.items()}
    return service


def retagged(*names: str) -> dict[str, Any]:
    """The event that tags of services have changed.

    https://docs.aws.amazon.com/tag-editor/latest/userguide/monitor-tag-changes.html
    """
    detail = {"service": "ecs", "resource-type": "service", "changed-tag-keys": ["ecs-deploy:repository"], "tags": {}}
    resources = [f"{ARN}/{name}" for name in names]
    return {"source": "aws.tag", "detail-type": "Tag Change on Resource", "resources": resources, "detail": detail}


@pytest.fixture
def queue(model: EcsModel, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setenv("DISCOVERY", "true")
    return Queue(model, clock)


def settle(queue: Queue, *messages: object) -> list[str]:
    """Deliver messages, and those that the dispatcher sends itself; answers the executions that are started."""
    started: list[str] = []
    waiting = list(messages)
    while waiting:
        before = set(queue.model.executions)
        assert queue.deliver(waiting.pop(0)) == []
        started += [arn.rpartition(":")[2] for arn in queue.model.executions if arn not in before]
        assert all(each["QueueUrl"].endswith("/queue") for each in queue.model.sent), queue.model.sent
        waiting += [json.loads(each["MessageBody"]) for each in queue.model.sent]
        queue.model.sent.clear()
    return started


DISCOVER = {"discover": True}


@pytest.mark.parametrize("message", [DISCOVER, retagged("doorman-service")])
def test_a_service_that_has_opted_in_runs_what_is_pushed(
    queue: Queue, clock: Clock, model: EcsModel, message: dict[str, Any]
) -> None:
    add(model, "doorman-service", repository="doorman", tags="v@any", timeout="300")
    assert settle(queue, message) == []
    clock.advance(60)
    (name,) = settle(queue, queue.push("v2"))
    assert queue.request(name)["timeout"] == 300
    assert queue.run_all(name) == {"doorman:v2": "DEPLOYED"}
    assert settle(queue, queue.push("main")) == []


def test_without_discovery_tags_mean_nothing(
    queue: Queue, clock: Clock, model: EcsModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(model, "doorman-service", repository="doorman")
    settle(queue, DISCOVER)
    monkeypatch.delenv("DISCOVERY")
    assert settle(queue, queue.push("v2")) == []


def test_only_the_services_of_the_repository_are_looked_at(queue: Queue, model: EcsModel) -> None:
    add(model, "doorman-service", repository="doorman")
    add(model, "other", repository="doorman-proxy")
    add(model, "nobodys")
    settle(queue, DISCOVER)
    model.calls.clear()
    (name,) = settle(queue, queue.push("v2"))
    assert queue.request(name)["service"] == "doorman-service"
    assert [body["services"] for action, body in model.calls if action == "DescribeServices"] == [["doorman-service"]]
    # What nobody waits for costs no call to ECS.
    model.calls.clear()
    assert settle(queue, queue.push("v2", "porter")) == []
    assert model.called("DescribeServices", "GetResources") == []


def test_what_ecs_shows_counts(queue: Queue, clock: Clock, model: EcsModel) -> None:
    gone, moved, deleted = (add(model, name, repository="doorman") for name in ("gone", "moved", "deleted"))
    settle(queue, DISCOVER)
    gone.tags, moved.tags = {}, {"ecs-deploy:repository": "other"}
    del model.services["production1", deleted.name]
    assert settle(queue, queue.push("v2")) == []
    assert index.read() == []
    assert settle(queue, retagged("moved")) == []
    assert [each.key for each in index.read("other")] == ["production1/moved"]


def test_a_late_index_is_no_obstacle(queue: Queue, clock: Clock, model: EcsModel) -> None:
    add(model, "doorman-service", repository="doorman")
    model.unindexed.add("doorman-service")
    assert settle(queue, DISCOVER) == []
    assert settle(queue, queue.push("v2")) == []
    # The next search finds the service, and the one after that its push.
    model.unindexed.clear()
    assert settle(queue, DISCOVER) == []
    clock.advance(60)
    queue.push("v3")
    clock.advance(3600)
    assert queue.run_all(*settle(queue, DISCOVER)) == {"doorman:v3": "DEPLOYED"}


def test_a_wrong_tag_is_said_once_and_deploys_nothing(queue: Queue, clock: Clock, model: EcsModel) -> None:
    service = add(model, "doorman-service", repository="doorman", timeout="soon")
    (name,) = settle(queue, DISCOVER)
    end, _ = queue.run(name)
    assert end.error == "InvalidRequest"
    assert end.cause
    assert "ecs-deploy:timeout: must be a whole number" in end.cause["message"]
    for message in (DISCOVER, retagged("doorman-service"), queue.push("v2")):
        assert settle(queue, message) == []
    service.tags["ecs-deploy:timeout"] = "600"
    settle(queue, retagged("doorman-service"))
    clock.advance(60)
    assert queue.run_all(*settle(queue, queue.push("v3"))) == {"doorman:v3": "DEPLOYED"}
    # Spoilt later, it deploys nothing until it is mended.
    service.tags["ecs-deploy:timeout"] = "never"
    (complaint_name,) = settle(queue, queue.push("v4"))
    assert queue.run(complaint_name)[0].error == "InvalidRequest"


def test_what_cdk_json_lists_wins(
    queue: Queue, clock: Clock, model: EcsModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(model, "doorman-service", repository="doorman", tags="never", timeout="20")
    add(model, "other", repository="doorman", timeout="30")
    listed = {"cluster": "production1", "service": "doorman-service", "repository": "doorman", "timeout": 60}
    set_targets(tmp_path, monkeypatch, listed)
    settle(queue, DISCOVER)
    timeouts = {
        queue.request(each)["service"]: queue.request(each)["timeout"] for each in settle(queue, queue.push("v2"))
    }
    assert timeouts == {"doorman-service": 60, "other": 30}


def test_many_services(queue: Queue, clock: Clock, model: EcsModel) -> None:
    for number in range(230):
        add(model, f"service-{number}", repository="doorman")
    settle(queue, DISCOVER)
    model.calls.clear()
    assert len(settle(queue, queue.push("v2"))) == 230
    assert len(model.called("DescribeServices")) == 23
    # What is known is not written again.
    model.calls.clear()
    discovery.refresh()
    assert model.called("PutItem", "DeleteItem") == []


@pytest.mark.parametrize(
    ("tags", "event"),
    [
        (
            {"alarm": "errors"},
            {"source": "aws.cloudwatch", "detail": {"alarmName": "errors", "state": {"value": "OK"}}, "resources": []},
        ),
        (
            {"window": "office"},
            {
                "source": "aws.ssm",
                "detail": {"state": "OPEN"},
                "resources": [f"arn:aws:ssm:{REGION}:{ACCOUNT}:document/office"],
            },
        ),
    ],
)
def test_pushes_wait_for_what_tags_name(
    queue: Queue, clock: Clock, model: EcsModel, tags: dict[str, str], event: dict[str, Any]
) -> None:
    add(model, "doorman-service", repository="doorman", **tags)
    settle(queue, DISCOVER)
    model.alarms["errors"], model.calendars["office"] = "ALARM", "CLOSED"
    clock.advance(60)
    assert queue.run_all(*settle(queue, queue.push("v2"))) == {"doorman:v2": "HELD"}
    model.alarms["errors"], model.calendars["office"] = "OK", "OPEN"
    assert queue.run_all(*settle(queue, event)) == {"doorman:v2": "DEPLOYED"}


def test_a_cluster_that_is_gone(queue: Queue, clock: Clock, model: EcsModel) -> None:
    add(model, "doorman-service", repository="doorman")
    settle(queue, DISCOVER)
    model.clusters.clear()
    assert settle(queue, queue.push("v2")) == []
    assert index.read() == []


def test_what_cannot_be_read_is_tried_again(queue: Queue, clock: Clock, model: EcsModel) -> None:
    add(model, "doorman-service", repository="doorman")
    settle(queue, DISCOVER)
    model.refused.add("DescribeServices")
    assert queue.deliver(queue.push("v2")) == []
    (dead,) = model.sent
    assert dead["QueueUrl"].endswith("dead-letters")
