"""The edit of a task definition: the image of the matching containers, and not one thing besides.

The document is ECS's own JSON. Nothing here lists the fields to keep, so that a field which AWS adds tomorrow
comes along.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ecs_deploy.errors import NoMatchingContainer, UnsupportedService
from ecs_deploy.image import ImageReference, InvalidImageReference
from ecs_deploy.marks import EVERY_CONTAINER, TAGS_OF_AN_END
from ecs_deploy.registry import ecr

# DescribeTaskDefinition answers these, RegisterTaskDefinition does not take them:
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskDefinition.html
WRITTEN_BY_ECS = frozenset(
    {
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
        "deregisteredAt",
    }
)
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html
MOST_TAGS = 50
OWN_TAG_PREFIX = "ecs-deploy:"
_RESERVED_TAG_PREFIX = "aws:"


class Edit(NamedTuple):
    """The document to register, the names of the containers that changed, and the image they now run."""

    document: dict[str, Any]
    containers: tuple[str, ...]
    image: ImageReference


def edit(document: Mapping[str, Any], image: ImageReference, container: str | None) -> Edit:
    """Put `image` into every container of its repository, or into the one that `container` names.

    Raises `NoMatchingContainer`.
    """
    copy = {
        key: _without_null(value) for key, value in document.items() if key not in WRITTEN_BY_ECS and value is not None
    }
    candidates = [each for each in copy["containerDefinitions"] if container in {None, each["name"]}]
    new_images = _new_images(candidates, image)
    if not new_images and container and candidates:
        new_images = {container: image}
    if not new_images:
        raise NoMatchingContainer(_no_match(copy["containerDefinitions"], image, container))
    for each in candidates:
        if each["name"] in new_images:
            each["image"] = str(new_images[each["name"]])
    return Edit(copy, tuple(new_images), next(iter(new_images.values())))


def image_of(document: Mapping[str, Any], repository: str | None, container: str | None) -> str | None:
    """The image of the container that is named, or of the first one of an ECR repository; None if there is none."""
    for each in document["containerDefinitions"]:
        image = each.get("image")
        parsed = _parse(image)
        if each["name"] == container or (parsed and parsed.path == repository and ecr(parsed.domain)):
            return str(image)
    return None


def images(document: Mapping[str, Any], containers: Collection[str]) -> dict[str, str | None]:
    """The images of these containers, or of all where `containers` says so, by container name."""
    return {
        each["name"]: each.get("image")
        for each in document["containerDefinitions"]
        if each["name"] in containers or tuple(containers) == EVERY_CONTAINER
    }


def differ_elsewhere(one: Mapping[str, Any], other: Mapping[str, Any], containers: Collection[str]) -> bool:
    """Whether two definitions differ in more than the images of these containers."""
    return _rest(one, containers) != _rest(other, containers)


def _rest(document: Mapping[str, Any], containers: Collection[str]) -> dict[str, Any]:
    rest = {key: _without_null(value) for key, value in document.items() if key not in WRITTEN_BY_ECS}
    mine = images(document, containers)
    rest["containerDefinitions"] = [
        {**each, "image": None} if each["name"] in mine else each for each in rest["containerDefinitions"]
    ]
    return rest


def tags_for(tags: Mapping[str, str], marks: Mapping[str, str]) -> dict[str, str]:
    """The tags of the new revision: those of the one it is made from, and the deployer's own marks.

    Raises `UnsupportedService` where both together are more than ECS takes.
    """
    kept = {key: value for key, value in tags.items() if not key.startswith((OWN_TAG_PREFIX, _RESERVED_TAG_PREFIX))}
    own = len(marks) + len(TAGS_OF_AN_END)
    if len(kept) + own > MOST_TAGS:
        raise UnsupportedService(
            f"The task definition has {len(kept)} tags and the deployer needs {own} of the {MOST_TAGS} that ECS "
            f"allows. Untag it of {len(kept) + own - MOST_TAGS} or more, and start again."
        )
    return {**kept, **marks}


def _without_null(value: Any) -> Any:
    """The same value without the members that are null: ECS reads null as absent, and absent stays absent."""
    if isinstance(value, dict):
        return {key: _without_null(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_null(each) for each in value]
    return value


def _new_images(containers: list[dict[str, Any]], image: ImageReference) -> dict[str, ImageReference]:
    """The new image of each container that matches, by container name."""
    present = {each["name"]: parsed for each in containers if (parsed := _parse(each.get("image")))}
    matching = {name: parsed for name, parsed in present.items() if parsed.repository == image.repository}
    if not matching and image.domain is None:
        same_path = {name: parsed for name, parsed in present.items() if parsed.path == image.path}
        if len({parsed.repository for parsed in same_path.values()}) == 1:
            matching = same_path
    return {name: parsed.versioned_as(image) for name, parsed in matching.items()}


def _parse(text: object) -> ImageReference | None:
    try:
        return ImageReference.parse(text) if isinstance(text, str) else None
    except InvalidImageReference:
        return None


def _no_match(containers: list[dict[str, Any]], image: ImageReference, container: str | None) -> str:
    there = ", ".join(f"{each['name']} ({each.get('image', 'no image')})" for each in containers)
    if container:
        return f"There is no container {container} in the task definition. There are: {there}."
    return (
        f"No container uses the image {image.name}. There are: {there}. "
        "Name one of these repositories in image, with its registry, or the container to change in container."
    )
