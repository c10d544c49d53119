"""The calls to ECR."""

import json
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from botocore.exceptions import ClientError

from ecs_deploy.aws.client import ONE_TRY, translating
from ecs_deploy.core import artifact
from ecs_deploy.core.artifact import may_be_image
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.image import ImageReference
from ecs_deploy.core.lifecycle import ACTIVE
from ecs_deploy.core.policy import Image
from ecs_deploy.core.registry import Ecr

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecr.type_defs import ImageIdentifierTypeDef

_NO_SUCH_IMAGE = frozenset({"ImageNotFoundException", "RepositoryNotFoundException"})


class Stored(NamedTuple):
    """An image as ECR keeps it; `status` is ACTIVE where it can be pulled.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html
    """

    digest: str
    tags: tuple[str, ...]
    status: str
    media_type: str


def describe(image: ImageReference, *others: str) -> tuple[Stored | None, dict[str, Stored]]:
    """Read an image of this account's ECR and, of the same repository, those with `others` as digests, by digest.

    The image is None where a pull through a cache will bring it in. Raises `DeployError`, also for what is archived,
    and `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
    """
    wanted = [image, *(image.pinned(each) for each in others)]
    found = _describe(image.path, *wanted)
    if found is None and others:
        # One of them is missing, and the answer is an error for all.
        found = [stored for each in wanted for stored in _describe(image.path, each) or ()]
    mine = [each for each in found or () if (image.digest or image.tag) in {each.digest, *each.tags}]
    if not mine and _is_pulled_through(image.path):
        # ECS pulls it into the cache.
        return None, {}
    if not mine:
        raise DeployError(
            Error.IMAGE_NOT_FOUND, f"There is no image {image} in ECR. Push it, or correct the repository and the tag."
        )
    if mine[0].status != ACTIVE:
        raise DeployError(
            Error.IMAGE_NOT_FOUND, f"The image {image} is {mine[0].status} in ECR, and cannot be pulled. Restore it."
        )
    return mine[0], {each.digest: each for each in found or () if each.digest in others}


def _describe(repository: str, *images: ImageReference) -> list[Stored] | None:
    """Read images of a repository; None where one of them, or the repository, is not there."""
    ids: list[ImageIdentifierTypeDef] = [
        {"imageDigest": each.digest} if each.digest else {"imageTag": each.tag or ""} for each in images
    ]
    with translating():
        try:
            found = connect().describe_images(repositoryName=repository, imageIds=ids)["imageDetails"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NO_SUCH_IMAGE:
                raise
            return None
    return [
        Stored(
            each["imageDigest"],
            tuple(each.get("imageTags", ())),
            each.get("imageStatus", "ACTIVE"),
            each.get("imageManifestMediaType", ""),
        )
        for each in found
    ]


def manifest(repository: str, digest: str, registry: Ecr | None = None) -> str:
    """The manifest with a digest; empty where there is none. Raises `DeployError`, `AwsUnavailable`.

    The repository is of another `registry` where one is named.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html
    """
    with translating():
        try:
            found = _client(registry).batch_get_image(
                repositoryName=repository,
                imageIds=[{"imageDigest": digest}],
                acceptedMediaTypes=[*artifact.MANIFESTS],
                **_of(registry),
            )["images"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NO_SUCH_IMAGE:
                raise
            found = []
    return found[0]["imageManifest"] if found else ""


def lifecycle_policy(repository: str) -> str:
    """The lifecycle policy of a repository; empty where it has none. Raises `DeployError`, `AwsUnavailable`.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetLifecyclePolicy.html
    """
    with translating():
        try:
            return connect().get_lifecycle_policy(repositoryName=repository)["lifecyclePolicyText"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"LifecyclePolicyNotFoundException", *_NO_SUCH_IMAGE}:
                raise
            return ""


def retain(repository: str, digest: str, tag: str) -> None:
    """Give an image a tag, which it may have already. Raises `DeployError`, `AwsUnavailable`.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html
    """
    text = manifest(repository, digest)
    media_type = json.loads(text).get("mediaType") if text else None
    more: dict[str, Any] = {"imageManifestMediaType": media_type} if media_type else {}
    with translating():
        try:
            connect().put_image(repositoryName=repository, imageManifest=text, imageTag=tag, imageDigest=digest, **more)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ImageAlreadyExistsException":
                raise


def tagged_images(repository: str, registry: Ecr | None = None) -> list[Image]:
    """What has a tag in a repository and may be an image; none where there is no such repository.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
    """
    pages = _client(registry).get_paginator("describe_images")
    with translating():
        try:
            found = [
                each
                for page in pages.paginate(
                    repositoryName=repository,
                    filter={"tagStatus": "TAGGED"},
                    PaginationConfig={"PageSize": 1000},
                    **_of(registry),
                )
                for each in page["imageDetails"]
            ]
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NO_SUCH_IMAGE:
                raise
            found = []
    return [
        Image(each["imageDigest"], tuple(each.get("imageTags", ())), each["imagePushedAt"])
        for each in found
        if may_be_image(each.get("artifactMediaType"), has_subject="subjectManifestDigest" in each)
    ]


def is_image(repository: str, digest: str, registry: Ecr | None = None) -> bool:
    """Whether what has this digest is an image, as far as can be seen. Raises `DeployError`, `AwsUnavailable`."""
    text = manifest(repository, digest, registry)
    return not text or artifact.is_image(text)


def _is_pulled_through(repository: str) -> bool:
    """Whether a rule of the registry brings in what is pulled from a repository.

    https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html
    """
    pages = connect().get_paginator("describe_pull_through_cache_rules")
    with translating():
        rules = [each for page in pages.paginate() for each in page["pullThroughCacheRules"]]
    prefixes = [each["ecrRepositoryPrefix"] for each in rules]
    return any(each == "ROOT" or repository.startswith(f"{each}/") for each in prefixes)


def _client(registry: Ecr | None) -> "ECRClient":
    return _connect_to(registry.region) if registry else connect()


def _of(registry: Ecr | None) -> dict[str, Any]:
    return {"registryId": registry.account} if registry else {}


@cache
def _connect_to(region: str) -> "ECRClient":
    return boto3.client("ecr", region_name=region, config=ONE_TRY)


@cache
def connect() -> "ECRClient":
    """The client for ECR, made when an image is there to be looked for."""
    return boto3.client("ecr", config=ONE_TRY)
