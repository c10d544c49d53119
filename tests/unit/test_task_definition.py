"""The edit changes the image of the matching containers and nothing else."""

from typing import Any

import pytest

from ecs_deploy.errors import NoMatchingContainer, UnsupportedService
from ecs_deploy.image import ImageReference
from ecs_deploy.task_definition import WRITTEN_BY_ECS, Edit, edit, tags_for

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
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
    with pytest.raises(NoMatchingContainer) as caught:
        edited(images, request_image)
    for image in images:
        assert image in caught.value.message


@pytest.mark.parametrize(
    ("images", "request_image", "expected"),
    [
        (["app:1", "app:1"], "app:2", ["app:1", "app:2"]),
        (["app:1", "quite/other:1"], "app:2", ["app:1", "app:2"]),
        (["app:1", f"{ECR}/app:1"], "app:2", ["app:1", f"{ECR}/app:2"]),
        (["app:1", "${IMAGE}"], "app:2", ["app:1", "app:2"]),
    ],
)
def test_a_named_container_changes_whatever_it_is_now(
    images: list[str], request_image: str, expected: list[str]
) -> None:
    assert edited(images, request_image, "c1") == expected


def test_an_unknown_container_is_an_error() -> None:
    with pytest.raises(NoMatchingContainer, match="no container c9"):
        edited(["app:1"], "app:2", "c9")


def test_the_edit_tells_what_it_changed() -> None:
    change: Edit = edit(definition("app:1", "x:1", f"{ECR}/app:1"), ImageReference.parse("app:2"), None)
    assert (change.containers, str(change.image)) == (("c0",), "app:2")


def test_what_only_ecs_writes_is_left_out_and_null_is_absent() -> None:
    document = {**definition("app:1"), **dict.fromkeys(WRITTEN_BY_ECS, "x"), "taskRoleArn": None, "cpu": "256"}
    document["containerDefinitions"][0]["command"] = None
    change = edit(document, ImageReference.parse("app:2"), None)
    assert change.document == {**definition("app:2"), "cpu": "256"}


def test_the_original_is_not_changed() -> None:
    document = definition("app:1")
    edit(document, ImageReference.parse("app:2"), None)
    assert document == definition("app:1")


def test_tags_go_along_but_marks_and_reserved_ones_are_new() -> None:
    tags = tags_for({"team": "door", "aws:stack": "x", "ecs-deploy:execution": "old"}, {"ecs-deploy:execution": "new"})
    assert tags == {"team": "door", "ecs-deploy:execution": "new"}


def test_more_tags_than_ecs_takes_are_refused_before_anything_is_written() -> None:
    with pytest.raises(UnsupportedService, match="of 4 or more"):
        tags_for({f"k{n}": "v" for n in range(50)}, {"ecs-deploy:execution": "new"})
