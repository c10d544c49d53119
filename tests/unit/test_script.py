"""The bash script's own cases of images and task definitions; docs/migration.md has what differs.

https://github.com/sil-org/ecs-deploy/blob/develop/test.bats
"""

from typing import Any

import pytest

from cli.script import tag_of
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.image import ImageReference
from ecs_deploy.core.request import NewImage, parse
from ecs_deploy.core.task_definition import edit
from tests.support.rules import table

HERE = Environment("121212345678", "us-east-1")
HOST = "docker.domain.com"
ECR = "121212345678.dkr.ecr.us-east-1.amazonaws.com"
# The script takes digests of any length; these are whole.
DIGEST = f"@sha256:{'1234567890abcdef' * 4}"
BASES = [
    "mariadb",
    "repo/image",
    "repo/multi/level/image",
    f"{HOST}/repo/image",
    f"{HOST}/repo/multi/level/image",
    f"{HOST}:8080/repo/image",
    f"{HOST}:8080/repo/multi/level/image",
]


def image(text: str, variable: str = "") -> str:
    """The image that is deployed, as `-i` and `-e` say."""
    request = {"cluster": "c", "service": "s", "image": text}
    tag = tag_of(text, variable) if variable else None
    wanted = parse(request | ({"tag": tag} if tag else {}), HERE).wanted
    assert isinstance(wanted, NewImage)
    return str(wanted.image)


@pytest.mark.parametrize("base", BASES)
def test_images(base: str) -> None:
    assert image(base) == f"{base}:latest"
    assert image(f"{base}:v1.2.3") == f"{base}:v1.2.3"
    assert image(f"{base}{DIGEST}") == f"{base}{DIGEST}"


@pytest.mark.parametrize("base", [f"{HOST}:8080/repo/image", f"{HOST}:8080/repo/multi/level/image", f"{ECR}/acct/repo"])
def test_a_tag_of_the_environment(base: str) -> None:
    assert image(base, "1487623908") == f"{base}:1487623908"
    assert image(f"{base}{DIGEST}", "1487623908") == f"{base}:1487623908"
    assert image(f"{base}:v1", "1487623908") == f"{base}:v1"


def test_more_images() -> None:
    assert image(f"{ECR}/acct/repo") == f"{ECR}/acct/repo:latest"
    assert image("something:tag_123") == "something:tag_123"
    # The script refuses these, which Docker takes.
    assert image("my_app:1") == "my_app:1"
    assert image(f"app:1{DIGEST}") == f"app:1{DIGEST}"


@pytest.mark.parametrize("text", ["", "/something", "domain.com:abc/repo/image", "_something:tag123"])
def test_what_is_no_image(text: str) -> None:
    with pytest.raises(DeployError, match="image") as refused:
        parse({"cluster": "c", "service": "s", "image": text}, HERE)
    assert refused.value.error is Error.INVALID_REQUEST


def edited(wanted: str, *images: str, **more: Any) -> tuple[dict[str, Any], list[str]]:
    """A task definition with these images once one is deployed, and its images then."""
    containers = [{"name": f"c{number}", "image": each} for number, each in enumerate(images)]
    whole = {"family": "app", "containerDefinitions": containers, **more}
    changed = edit(whole, ImageReference.parse(wanted).with_default_tag(), None).document
    return changed, [each["image"] for each in changed["containerDefinitions"]]


@table(
    "wanted, images, after",
    {
        "one container": (f"{ECR}/repo:1111111111", [f"{ECR}/repo:1487623908"], [f"{ECR}/repo:1111111111"]),
        "two repositories, of which one begins like the other": (
            f"{ECR}/acct/repo:1111111111",
            [f"{ECR}/acct/repo:1487623908", f"{ECR}/acct/repo-two:1487623908"],
            [f"{ECR}/acct/repo:1111111111", f"{ECR}/acct/repo-two:1487623908"],
        ),
        "a sidecar": (f"{ECR}/repo:2", [f"{ECR}/repo:1", "redis:latest"], [f"{ECR}/repo:2", "redis:latest"]),
        # Where the script is wrong.
        "a digest": ("repo.ex/app:v2", [f"repo.ex/app{DIGEST}"], ["repo.ex/app:v2"]),
        "no tag": ("repo.ex/app:v2", ["repo.ex/app"], ["repo.ex/app:v2"]),
        "a name that ends like another": ("app:v2", ["app:v1", "myapp:v1"], ["app:v2", "myapp:v1"]),
        "a dot is a dot": ("a.b/app:v2", ["a.b/app:v1", "axb/app:v1"], ["a.b/app:v2", "axb/app:v1"]),
        "two containers of one repository": ("r.ex/app:v2", ["r.ex/app:v1", "r.ex/app:debug"], ["r.ex/app:v2"] * 2),
    },
)
def test_edits(wanted: str, images: list[str], after: list[str]) -> None:
    assert edited(wanted, *images)[1] == after


@pytest.mark.parametrize(
    ("wanted", "runs"), [("redis:7", "bitnami/redis:6"), ("other/app2:v2", "r.ex/app:v1"), ("r.ex/app:2", "r.ex/ap:1")]
)
def test_what_matches_nothing_is_an_error(wanted: str, runs: str) -> None:
    """The script changes nothing, or too much, and reports success."""
    with pytest.raises(DeployError) as refused:
        edited(wanted, runs)
    assert refused.value.error is Error.NO_MATCHING_CONTAINER


def test_all_that_a_task_definition_says_stays() -> None:
    more = {
        "networkMode": "awsvpc", "cpu": "256", "memory": "512", "requiresCompatibilities": ["FARGATE"],
        "executionRoleArn": "arn:x", "taskRoleArn": "arn:y", "volumes": [], "placementConstraints": [],
        "proxyConfiguration": {"type": "APPMESH"}, "runtimePlatform": {}, "ephemeralStorage": {"sizeInGiB": 30},
        "pidMode": "task", "ipcMode": "task", "enableFaultInjection": True,
    }  # fmt: skip
    changed, _ = edited("repo:2", "repo:1", **more)
    assert {key: changed[key] for key in more} == more
