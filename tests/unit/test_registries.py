"""Images that ECR does not have: of a pull through a cache, of nobody, of a repository that may not be read."""

from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.doorman import SERVICE
from tests.support.ecs_model import REGISTRY, EcsModel
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
