"""Images that ECR does not have, of a pull through a cache or of nobody; and registries of other accounts."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.doorman import SERVICE
from tests.support.ecs_model import REGION, REGISTRY, EcsModel, digest_of
from tests.support.queue import Queue, set_targets
from tests.support.workflow import End, execute

NGINX = f"{REGISTRY}/docker-hub/library/nginx"


def deploy(model: EcsModel, clock: Clock, image: str) -> End:
    containers: list[dict[str, Any]] = [{"name": "app", "image": f"{NGINX}:1.28"}]
    revision = model.add_revision({"family": "doorman", "containerDefinitions": containers})
    model.add_service("doorman-service", revision)
    return execute({**SERVICE, "image": image}, clock)


@pytest.mark.parametrize("prefix", ["docker-hub", "docker-hub/library", "ROOT"])
def test_what_is_not_in_the_cache_yet_is_left_to_ecs(model: EcsModel, clock: Clock, prefix: str) -> None:
    model.cached_prefixes = ["quay", prefix]
    end = deploy(model, clock, f"{NGINX}:1.29")
    assert (end.output or {})["outcome"] == "DEPLOYED"
    # Its tasks report the digest, and nobody knows it before.
    assert (end.output or {})["digest"] == model.digest_of(f"{NGINX}:1.29")
    runs = model.revision(model.services["production1", "doorman-service"].primary.revision)
    assert runs.document["containerDefinitions"][0]["image"] == f"{NGINX}:1.29"


@pytest.mark.parametrize("prefixes", [[], ["docker"], ["docker-hub/library/nginx"], ["hub"]])
def test_what_no_rule_brings_in_is_not_found(model: EcsModel, clock: Clock, prefixes: list[str]) -> None:
    model.cached_prefixes = prefixes
    end = deploy(model, clock, f"{NGINX}:1.29")
    assert end.error == "ImageNotFound"
    assert model.writes == []


def test_a_refusal_names_the_repository_and_what_to_change(model: EcsModel, clock: Clock) -> None:
    model.refusals["DescribeImages"] = (
        "User: arn:aws:sts::123456789012:assumed-role/EcsDeploy-Register/function is not authorized to perform: "
        "ecr:DescribeImages on resource: arn:aws:ecr:eu-west-1:123456789012:repository/docker-hub/library/nginx"
    )
    end = deploy(model, clock, f"{NGINX}:1.29")
    assert end.error == "AccessDenied"
    message = (end.cause or {})["message"]
    assert "EcsDeploy-Register may not call ecr:DescribeImages on arn:aws:ecr:eu-west-1" in message
    assert "Name the repository in a target" in message


def test_a_refusal_names_the_role_to_pass(model: EcsModel, clock: Clock) -> None:
    model.cached_prefixes = ["docker-hub"]
    model.refusals["UpdateService"] = (
        "User: arn:aws:sts::123456789012:assumed-role/EcsDeploy-Update/function is not authorized to perform: "
        "iam:PassRole on resource: arn:aws:iam::123456789012:role/task"
    )
    end = deploy(model, clock, f"{NGINX}:1.29")
    message = (end.cause or {})["message"]
    assert "may not call iam:PassRole on arn:aws:iam::123456789012:role/task" in message
    assert "Name the role in roles of the service's target" in message


OTHER = "210987654321"
ELSEWHERE = f"{OTHER}.dkr.ecr.{REGION}.amazonaws.com"


@pytest.fixture
def elsewhere(model: EcsModel, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """The queue of a service that runs an image of another account's registry."""
    monkeypatch.setenv("REGISTRIES", OTHER)
    target = {**SERVICE, "repository": "doorman", "registry": ELSEWHERE, "tags": ["v*"], "reconcile_minutes": 60}
    set_targets(tmp_path, monkeypatch, target)
    model.push_image("doorman", digest_of("v1"), "v1")
    containers = [{"name": "app", "image": f"{ELSEWHERE}/doorman:v1"}]
    revision = model.add_revision({"family": "doorman", "containerDefinitions": containers})
    model.add_service("doorman-service", revision)
    queue = Queue(model, clock)
    assert queue.reconcile() == []
    clock.advance(60)
    return queue


def pushed(queue: Queue, tag: str, account: str = OTHER) -> dict[str, Any]:
    return {**queue.push(tag), "account": account}


def runs(model: EcsModel) -> str:
    document = model.revision(model.services["production1", "doorman-service"].primary.revision).document
    image: str = document["containerDefinitions"][0]["image"]
    return image


@pytest.mark.parametrize("refused", [[], ["BatchGetImage", "DescribeImages"]])
def test_a_push_to_a_registry_that_is_listed(elsewhere: Queue, model: EcsModel, refused: list[str]) -> None:
    model.refused |= {*refused}
    assert elsewhere.run_all(*elsewhere.starts(pushed(elsewhere, "v2"))) == {"doorman:v2": "DEPLOYED"}
    assert runs(model) == f"{ELSEWHERE}/doorman@{digest_of('v2')}"


def test_what_is_no_image_there_starts_nothing(elsewhere: Queue, model: EcsModel) -> None:
    event = pushed(elsewhere, "v2")
    chart = {"schemaVersion": 2, "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json"}}
    model.manifests[digest_of("v2")] = chart
    assert elsewhere.starts(event) == []


def test_pushes_to_other_registries_start_nothing(
    elsewhere: Queue, model: EcsModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert elsewhere.starts(pushed(elsewhere, "v2", account="999999999999")) == []
    assert elsewhere.starts(pushed(elsewhere, "v2", account="123456789012")) == []
    monkeypatch.delenv("REGISTRIES")
    assert elsewhere.starts(pushed(elsewhere, "v2")) == []


def test_a_push_that_was_missed_there_is_found(elsewhere: Queue, clock: Clock, model: EcsModel) -> None:
    pushed(elsewhere, "v2")
    clock.advance(3600)
    model.calls.clear()
    assert elsewhere.run_all(*elsewhere.reconcile()) == {"doorman:v2": "DEPLOYED"}
    (read,) = [body for action, body in model.calls if action == "DescribeImages"]
    assert read["registryId"] == OTHER


def test_where_the_repository_does_not_let_us_look_the_log_says_so(
    elsewhere: Queue, clock: Clock, model: EcsModel, caplog: pytest.LogCaptureFixture
) -> None:
    pushed(elsewhere, "v2")
    clock.advance(3600)
    model.refused.add("DescribeImages")
    assert elsewhere.reconcile() == []
    assert "Pushes that were missed cannot be found" in caplog.text
