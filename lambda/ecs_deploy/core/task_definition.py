"""The edit of a task definition: the image of the matching containers, and not one thing besides.

The document is ECS's own JSON. Nothing here lists the fields to keep, so that a field which AWS adds tomorrow
comes along.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.formats import tag_value
from ecs_deploy.core.image import ImageReference, InvalidImageReference
from ecs_deploy.core.registry import ecr

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
        "deleteRequestedAt",
    }
)
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html
MOST_TAGS = 50
OWN_TAG_PREFIX = "ecs-deploy:"
_RESERVED_TAG_PREFIX = "aws:"


class Edit(NamedTuple):
    """The document to register, the names of the containers that changed, and the image they now run.

    `is_newer` is whether they ran an image of the same repository before.
    """

    document: dict[str, Any]
    containers: tuple[str, ...]
    image: ImageReference
    is_newer: bool = True


def edit(
    document: Mapping[str, Any], image: ImageReference, container: str | None, among: Collection[str] = ()
) -> Edit:
    """Put `image` into every container of its repository, or into the one that `container` names.

    With `among`, the others are left alone. Raises `DeployError`.
    """
    copy = defined(document)
    candidates = [
        each
        for each in copy["containerDefinitions"]
        if container in {None, each["name"]} and (not among or each["name"] in among)
    ]
    new_images = _new_images(candidates, image)
    is_newer = bool(new_images)
    if not new_images and container and candidates:
        new_images = {container: image}
    if not new_images:
        raise DeployError(Error.NO_MATCHING_CONTAINER, _no_match(copy["containerDefinitions"], image, container))
    for each in candidates:
        if each["name"] in new_images:
            each["image"] = str(new_images[each["name"]])
    return Edit(copy, tuple(new_images), next(iter(new_images.values())), is_newer)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where two documents differ, by the names of their members; with the values of what holds no secret."""
    found: list[dict[str, Any]] = []
    one, other = (_by_container(defined(each)) for each in (before, after))
    for path in sorted(one.keys() | other.keys()):
        if one.get(path) != other.get(path):
            values = {"before": one.get(path), "after": other.get(path)}
            is_plain = path.rpartition(".")[2] in _PLAIN_MEMBERS
            found.append({"member": path, **(values if is_plain else {})})
    return found


# The environment, commands, labels and options of logs may hold what nobody else is to read.
_PLAIN_MEMBERS = frozenset(
    {"image", "cpu", "memory", "memoryReservation", "essential", "taskRoleArn", "executionRoleArn"}
)


def _by_container(document: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a document, and those of its containers by their names."""
    members = {key: value for key, value in document.items() if key != "containerDefinitions"}
    for each in document["containerDefinitions"]:
        members |= {f"{each['name']}.{key}": value for key, value in each.items() if key != "name"}
    return members


def pinned(document: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, Any]:
    """What a document defines, with the digest of each container whose digest is known, by its name."""
    copy = defined(document)
    for each in copy["containerDefinitions"]:
        image = _parse(each.get("image"))
        if image and each["name"] in digests:
            each["image"] = str(image.pinned(digests[each["name"]]))
    return copy


def images_of(document: Mapping[str, Any]) -> dict[str, ImageReference]:
    """The images of a document, by the names of their containers; what is no reference is left out."""
    parsed = {each["name"]: _parse(each.get("image")) for each in document["containerDefinitions"]}
    return {name: image for name, image in parsed.items() if image}


def pinned_digests(document: Mapping[str, Any]) -> dict[str, str]:
    """The digests that are written in a document, by the names of their containers."""
    return {name: image.digest for name, image in images_of(document).items() if image.digest}


def references(document: Mapping[str, Any]) -> dict[str, str]:
    """The images that are not pinned, as they are written, by the names of their containers."""
    return {name: str(image) for name, image in images_of(document).items() if not image.digest}


def unpinned(document: Mapping[str, Any], digests: Mapping[str, str], written: Mapping[str, str]) -> dict[str, Any]:
    """What a document defines, with the images as they were `written` where `pinned` has changed nothing else."""
    copy = defined(document)
    for each in copy["containerDefinitions"]:
        image = _parse(written.get(each["name"]))
        digest = digests.get(each["name"])
        if image and digest and each.get("image") == str(image.pinned(digest)):
            each["image"] = written[each["name"]]
    return copy


def image_of(document: Mapping[str, Any], repository: str | None, container: str | None) -> str | None:
    """The image of the container that is named, or of the first one of an ECR repository; None if there is none."""
    for each in document["containerDefinitions"]:
        image = each.get("image")
        parsed = _parse(image)
        if each["name"] == container or (parsed and parsed.path == repository and ecr(parsed.domain)):
            return str(image)
    return None


def is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two documents define the same, but for what ECS writes."""
    return defined(one) == defined(other)


def defined(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a document defines, as RegisterTaskDefinition takes it: without what ECS writes."""
    return {
        key: _without_null(value) for key, value in document.items() if key not in WRITTEN_BY_ECS and value is not None
    }


def own_tags(service: str, request: str, execution: str, image: str) -> dict[str, str]:
    """The tags of a new revision, for people: what it was registered for, by whom, and the image as it was requested.

    By the first, a step whose answer was lost finds the revision that it has registered.
    """
    return {
        f"{OWN_TAG_PREFIX}request": tag_value(f"{service}/{request}"),
        f"{OWN_TAG_PREFIX}execution": tag_value(execution),
        f"{OWN_TAG_PREFIX}image": tag_value(image),
    }


def is_of_request(tags: Mapping[str, str], own: Mapping[str, str]) -> bool:
    """Whether a revision with these tags was registered for the same request as one with the tags `own`."""
    return tags.get(f"{OWN_TAG_PREFIX}request") == own[f"{OWN_TAG_PREFIX}request"]


def tags_for(tags: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The tags of the new revision: those of the one that it is made from, and its own.

    Raises `DeployError` where they are more than ECS takes.
    """
    kept = {key: value for key, value in tags.items() if not key.startswith((OWN_TAG_PREFIX, _RESERVED_TAG_PREFIX))}
    if (excess := len(kept) + len(own) - MOST_TAGS) > 0:
        raise DeployError(
            Error.UNSUPPORTED_SERVICE,
            f"The task definition has {len(kept)} tags and the deployer needs {len(own)} of the {MOST_TAGS} that ECS "
            f"allows. Untag it of {excess} or more, and start again.",
        )
    return {**kept, **own}


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
    matching = {name: parsed for name, parsed in present.items() if _repository(parsed) == _repository(image)}
    if not matching and image.domain is None:
        same_path = {name: parsed for name, parsed in present.items() if parsed.path == image.path}
        if len({_repository(parsed) for parsed in same_path.values()}) == 1:
            matching = same_path
    return {name: parsed.versioned_as(image) for name, parsed in matching.items()}


def _repository(image: ImageReference) -> tuple[object, str]:
    """The registry and the repository that an image is of: all hosts of one ECR registry are that registry."""
    domain, path = image.repository
    return ecr(domain) or domain, path


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
