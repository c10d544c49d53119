"""The edit changes the image of the matching containers and nothing else."""

import re
from typing import Any

import pytest

from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.image import ImageReference
from ecs_deploy.core.task_definition import (
    MOST_TAGS,
    WRITTEN_BY_ECS,
    Edit,
    edit,
    image_of,
    is_of_request,
    is_same,
    own_tags,
    tags_for,
)

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
DUAL_STACK, FIPS = "123456789012.dkr-ecr.eu-west-1.on.aws", "123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com"
OTHER_REGION = "123456789012.dkr.ecr.eu-west-2.amazonaws.com"
OTHER = "registry.example.com:5000"
SHA256 = "sha256:" + "a" * 64


def definition(*images: str) -> dict[str, Any]:
    return {
        "family": "f",
        "containerDefinitions": [{"name": f"c{n}", "image": image} for n, image in enumerate(images)],
    }


def edited(images: list[str], request: str, container: str | None = None) -> list[str]:
    change = edit(definition(*images), ImageReference.parse(request).with_default_tag(), container)
    return [each["image"] for each in change.document["containerDefinitions"]]


def refusal(error: Error, document: dict[str, Any], request: str, container: str | None = None) -> str:
    with pytest.raises(DeployError) as caught:
        edit(document, ImageReference.parse(request), container)
    assert caught.value.error is error
    return caught.value.message


@pytest.mark.parametrize(
    ("images", "request_image", "expected"),
    [
        (["app:1"], "app:2", ["app:2"]),
        (["app"], "app:2", ["app:2"]),
        (["app:1"], "app", ["app:latest"]),
        ([f"app@{SHA256}"], "app:2", ["app:2"]),
        ([f"app:1@{SHA256}"], "app:2", ["app:2"]),
        (["app:1"], f"app@{SHA256}", [f"app@{SHA256}"]),
        (["app:1", "app:1", "other:1"], "app:2", ["app:2", "app:2", "other:1"]),
        # Text matching gets these wrong.
        (
            ["myapp:v1", "app:v1", "app-two:v1", "team/app:v1"],
            "app:v2",
            ["myapp:v1", "app:v2", "app-two:v1", "team/app:v1"],
        ),
        (["bitnami/redis:6", "redis:6"], "redis:7", ["bitnami/redis:6", "redis:7"]),
        ([f"{OTHER}/app:1", f"{ECR}/app:1"], f"{ECR}/app:2", [f"{OTHER}/app:1", f"{ECR}/app:2"]),
        # Docker Hub has several names for one image; how it was written is kept.
        (["docker.io/library/nginx:1"], "nginx:2", ["docker.io/library/nginx:2"]),
        (["nginx:1"], "index.docker.io/library/nginx:2", ["nginx:2"]),
        # A request without a registry keeps the one that is there, if it is one only.
        ([f"{ECR}/app:1"], "app:2", [f"{ECR}/app:2"]),
        ([f"{ECR}/app:1", f"{ECR}/app:3"], "app:2", [f"{ECR}/app:2", f"{ECR}/app:2"]),
        ([f"{ECR}/app:1", "app:1"], "app:2", [f"{ECR}/app:1", "app:2"]),
        ([f"{OTHER}/team/app:1"], "team/app:2", [f"{OTHER}/team/app:2"]),
        # The hosts of one ECR registry are one registry, and each container keeps its own.
        ([f"{DUAL_STACK}/app:1", f"{FIPS}/app:1"], f"{ECR}/app:2", [f"{DUAL_STACK}/app:2", f"{FIPS}/app:2"]),
        ([f"{ECR}/app:1"], f"{DUAL_STACK}/app:2", [f"{ECR}/app:2"]),
        ([f"{ECR}/app:1", f"{DUAL_STACK}/app:1"], "app:2", [f"{ECR}/app:2", f"{DUAL_STACK}/app:2"]),
        (
            [f"{OTHER_REGION}/app:1", f"{DUAL_STACK}/app:1"],
            f"{ECR}/app:2",
            [f"{OTHER_REGION}/app:1", f"{DUAL_STACK}/app:2"],
        ),
        # What cannot be read as a reference is left alone.
        (["${IMAGE}", "app:1"], "app:2", ["${IMAGE}", "app:2"]),
    ],
)
def test_only_matching_containers_change(images: list[str], request_image: str, expected: list[str]) -> None:
    assert edited(images, request_image) == expected


@pytest.mark.parametrize(
    ("images", "request_image"),
    [
        (["app-two:1"], "app:2"),
        ([f"{ECR}/app:1"], f"{OTHER}/app:2"),
        ([f"{ECR}/app:1"], "docker.io/app:2"),
        ([f"{ECR}/app:1", f"{OTHER}/app:1"], "app:2"),
        ([f"{ECR}/team/app:1"], "app:2"),
        (["bitnami/redis:6"], "redis:7"),
    ],
)
def test_no_match_is_an_error_that_lists_what_is_there(images: list[str], request_image: str) -> None:
    message = refusal(Error.NO_MATCHING_CONTAINER, definition(*images), request_image)
    for image in images:
        assert image in message


@pytest.mark.parametrize(
    ("images", "request_image", "expected"),
    [
        (["app:1", "app:1"], "app:2", ["app:1", "app:2"]),
        (["app:1", "quite/other:1"], "app:2", ["app:1", "app:2"]),
        (["app:1", f"{ECR}/app:1"], "app:2", ["app:1", f"{ECR}/app:2"]),
        (["app:1", "${IMAGE}"], "app:2", ["app:1", "app:2"]),
        (["app:1", f"{DUAL_STACK}/app:1"], f"{ECR}/app:2", ["app:1", f"{DUAL_STACK}/app:2"]),
    ],
)
def test_a_named_container_changes_whatever_it_is_now(
    images: list[str], request_image: str, expected: list[str]
) -> None:
    assert edited(images, request_image, "c1") == expected


def test_an_unknown_container_is_an_error() -> None:
    assert "no container c9" in refusal(Error.NO_MATCHING_CONTAINER, definition("app:1"), "app:2", "c9")


def test_the_edit_says_what_it_changed() -> None:
    change: Edit = edit(definition("app:1", "x:1", f"{ECR}/app:1"), ImageReference.parse("app:2"), None)
    assert (change.containers, str(change.image)) == (("c0",), "app:2")


def test_containers_that_are_not_among_those_whose_turn_it_is_stay() -> None:
    change = edit(definition("app:1", "app:1", "app:1"), ImageReference.parse("app:2"), None, ("c0", "c2"))
    assert [each["image"] for each in change.document["containerDefinitions"]] == ["app:2", "app:1", "app:2"]
    assert change.containers == ("c0", "c2")


@pytest.mark.parametrize(
    ("repository", "container", "image"),
    [
        ("team/app", None, f"{ECR}/team/app:1"),
        (None, "c0", "team/app:0"),
        # The first one of the document that is meant by either.
        ("team/app", "c2", f"{ECR}/team/app:1"),
        ("app", None, None),
        (None, "c9", None),
    ],
)
def test_the_image_of_a_container_or_of_an_ecr_repository(
    repository: str | None, container: str | None, image: str | None
) -> None:
    document = definition("team/app:0", f"{ECR}/team/app:1", "x:1", "${IMAGE}")
    assert image_of(document, repository, container) == image


def test_what_only_ecs_writes_is_left_out_and_null_is_absent() -> None:
    document = {**definition("app:1"), **dict.fromkeys(WRITTEN_BY_ECS, "x"), "taskRoleArn": None, "cpu": "256"}
    document["containerDefinitions"][0]["command"] = None
    change = edit(document, ImageReference.parse("app:2"), None)
    assert change.document == {**definition("app:2"), "cpu": "256"}


def test_the_original_is_not_changed() -> None:
    document = definition("app:1")
    edit(document, ImageReference.parse("app:2"), None)
    assert document == definition("app:1")


OWN = own_tags("production1/doorman-service", "event", "arn:aws:states:r:1:execution:m:one", f"{ECR}/app:2")


def test_tags_go_along_but_the_deployers_own_and_reserved_ones_are_new() -> None:
    before = {"team": "door", "aws:stack": "x", "ecs-deploy:execution": "old", "ecs-deploy:of-another-release": "x"}
    assert tags_for(before, OWN) == {"team": "door", **OWN}


def test_as_many_tags_as_ecs_takes_and_not_one_more() -> None:
    most = {f"k{n}": "v" for n in range(MOST_TAGS - len(OWN))}
    assert len(tags_for({**most, "ecs-deploy:execution": "old"}, OWN)) == MOST_TAGS
    with pytest.raises(DeployError, match="of 2 or more") as caught:
        tags_for({**most, "one": "v", "more": "v"}, OWN)
    assert caught.value.error is Error.UNSUPPORTED_SERVICE


@pytest.mark.parametrize(
    ("service", "request_id", "is_the_same"),
    [
        ("production1/doorman-service", "event", True),
        ("production1/doorman-service", "another", False),
        ("production1/another-service", "event", False),
        ("production1/doorman-service/", "event", False),
    ],
)
def test_a_revision_is_found_by_the_request_and_the_service_that_it_was_registered_for(
    service: str, request_id: str, is_the_same: bool
) -> None:
    # Who started it, and how the image was written, may differ: it was started again.
    there = own_tags(service, request_id, "arn:aws:states:r:1:execution:m:another", "app:2")
    assert is_of_request({"team": "door", **there}, OWN) is is_the_same


def test_a_revision_without_tags_is_nobodys() -> None:
    assert not is_of_request({}, OWN)


def test_what_ecs_takes_as_the_value_of_a_tag_stays_readable_and_the_rest_stays_different() -> None:
    texts = ["a~b", "a=7Eb", "a*b", "a<b>", "a%b", "a&b", "a'b", "é"]
    values = [own_tags("c/s", text, "e", "i")["ecs-deploy:request"] for text in texts]
    assert len(set(values)) == len(texts)
    for value in values:
        assert re.fullmatch(r"[A-Za-z0-9 +=._:/@-]{1,256}", value)
    assert OWN["ecs-deploy:image"] == f"{ECR}/app:2"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"revision": 7, "status": "INACTIVE", "taskRoleArn": None}, True),
        ({"cpu": "512"}, False),
        ({"containerDefinitions": [{"name": "c0", "image": "app:2"}]}, False),
    ],
)
def test_two_documents_are_the_same_but_for_what_ecs_writes(change: dict[str, Any], same: bool) -> None:
    document = {**definition("app:1"), "cpu": "256", "revision": 6}
    assert is_same(document, {**document, **change}) is same
