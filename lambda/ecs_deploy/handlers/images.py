"""What has to be known of images before a service is touched: digests, platforms, whether what runs can come back."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from ecs_deploy.aws import ecr, ecs
from ecs_deploy.core import digests, lifecycle, platform, registry
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.image import ImageReference
from ecs_deploy.core.registry import Ecr
from ecs_deploy.core.request import Request
from ecs_deploy.core.service import Service
from ecs_deploy.core.state import Stable
from ecs_deploy.core.task_definition import Edit, images_of, pinned_digests
from ecs_deploy.handlers import runtime


class Found(NamedTuple):
    """An image that was looked up: its digest, empty where nobody tells before its tasks run.

    `parts` are the digests that it lists where it is an index, None where nobody tells. Of one in this account's ECR,
    also the `repository`, what may keep people from returning from it, the digests to return to that ECR has, and the
    `tags` of the digests that run, by digest.
    """

    digest: str = ""
    parts: tuple[str, ...] | None = None
    repository: str = ""
    warnings: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    tags: Mapping[str, tuple[str, ...]] = {}


def with_digests(stable: Stable, service: Service, base: ecs.TaskDefinition) -> Stable:
    """What was stable, with the digests that it runs with: as noted, as written down, or as its tasks report.

    `base` tells the containers, and the digests that are written down. Raises `DeployError`, `AwsUnavailable`.
    """
    pinned = pinned_digests(base.document) if base.arn == stable.revision else {}
    known = {**pinned, **stable.digests}
    names = {each["name"] for each in base.document["containerDefinitions"]}
    if names - known.keys():
        try:
            tasks = ecs.describe_tasks_of(service.cluster, service.name, stable.revision)
            known = {**digests.agreed(digests.reported(tasks, stable.revision)), **known}
        except DeployError as error:
            runtime.logger.warning("Which digests run could not be read", reason=error.message)
    run = {name: digest for name, digest in known.items() if name in names}
    # What somebody else has written may be an index.
    parts = {**dict.fromkeys(pinned.values()), **stable.parts}
    return stable._replace(digests=run, parts={each: parts[each] for each in run.values() if each in parts})


def find(
    requested: Request, digest: str, environment: Environment, change: Edit, stable: Stable | None, runs: Iterable[str]
) -> Found:
    """Look an image up, by its `digest` where that is known, and the digests that run of the same repository.

    Raises `DeployError`, `AwsUnavailable`.
    """
    image = change.image.pinned(digest) if digest else change.image
    if registry.ecr(image.domain) != Ecr(environment.account, environment.region):
        return Found(image.digest or "")
    known = stable.digests if stable and change.is_newer else {}
    ran = {name: known[name] for name in change.containers if name in known}
    looked_up = dict.fromkeys(each for each in (*ran.values(), *runs) if each != image.digest)
    stored, others = ecr.describe(image, *looked_up)
    if stored is None:
        return Found(image.digest or "")
    index = ecr.manifest(image.path, stored.digest) if stored.media_type in platform.INDEXES else ""
    if problem := platform.problem_with(index, change.document):
        raise DeployError(
            Error.IMAGE_NOT_FOUND, f"{change.image} cannot run here: {problem}. Build it for that platform, too."
        )
    replaced = dict.fromkeys(each for each in ran.values() if each != stored.digest)
    warnings = [
        problem
        for each in replaced
        if (problem := _problem_with(image.pinned(each), others.get(each), requested.retain))
    ]
    if stable and change.is_newer and requested.require_rollback:
        warnings += [f"which digest {each} runs is not known" for each in change.containers if each not in ran]
    if warnings and requested.require_rollback:
        raise DeployError(
            Error.IMAGE_NOT_FOUND,
            f"The request requires that the service can return, and {'; '.join(warnings)}. Push that image again, or "
            "deploy without requireRollback.",
        )
    keep = tuple(each for each in replaced if each in others)
    tags = {each.digest: each.tags for each in (stored, *others.values())}
    return Found(stored.digest, platform.parts(index), image.path, tuple(warnings), keep, tags)


def with_parts(stable: Stable, containers: Iterable[str], found: Found) -> Stable:
    """What was stable, with the digest that was found where a part of that index runs: both are one image."""
    parts = found.parts or ()
    same = {name: found.digest for name in containers if stable.digests.get(name) in parts}
    known = {found.digest: parts} if same else {}
    return stable._replace(digests={**stable.digests, **same}, parts={**stable.parts, **known})


def parts_of(
    document: Mapping[str, Any], ran: Mapping[str, str], environment: Environment
) -> dict[str, tuple[str, ...] | None]:  # fmt: skip
    """The digests that are listed in those that a document `ran` with; None where nobody tells.

    Raises `DeployError` where an image of the document is gone from this account's ECR, and `AwsUnavailable`.
    """
    parts: dict[str, tuple[str, ...] | None] = dict.fromkeys(ran.values())
    for image in images_of(document).values():
        if registry.ecr(image.domain) != Ecr(environment.account, environment.region):
            continue
        try:
            stored, _ = ecr.describe(image.with_default_tag())
            if stored and stored.digest in parts:
                index = ecr.manifest(image.path, stored.digest) if stored.media_type in platform.INDEXES else ""
                parts[stored.digest] = platform.parts(index)
        except DeployError as error:
            if error.error is not Error.ACCESS_DENIED:
                raise
    return parts


def _problem_with(image: ImageReference, stored: ecr.Stored | None, retained: bool) -> str | None:
    status, tags = (stored.status, stored.tags) if stored else (None, ())
    try:
        policy = ecr.lifecycle_policy(image.path) if stored and not tags and not retained else ""
    except DeployError as error:
        return f"whether a lifecycle rule takes the image to return to, {image}, could not be read: {error.message}"
    return lifecycle.problem_with(str(image), status, tags, policy)


def retain(requested: Request, found: Found) -> tuple[str, ...]:
    """Keep the images to return to by a tag of the deployer's own, one for each service; answers what it could not.

    Raises `DeployError` where the request requires it, and `AwsUnavailable`.
    """
    warnings = []
    for number, digest in enumerate(found.keep if requested.retain else ()):
        name = sha256(f"{requested.key}/{number}".encode()).hexdigest()[:16]
        try:
            ecr.retain(found.repository, digest, f"{lifecycle.OWN_TAG_PREFIX}{name}")
        except DeployError as error:
            if requested.require_rollback:
                raise
            warnings.append(f"the image to return to could not be kept: {error.message}")
    return tuple(warnings)
