"""The calls to ECR."""

from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

from ecs_deploy.aws.client import ONE_TRY, translating
from ecs_deploy.core import artifact
from ecs_deploy.core.artifact import may_be_image
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.image import ImageReference
from ecs_deploy.core.policy import Image

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

_NO_SUCH_IMAGE = frozenset({"ImageNotFoundException", "RepositoryNotFoundException"})


def digest_of(image: ImageReference) -> str:
    """The digest of an image of this account's ECR; none for one that a pull through a cache will bring in.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
    """
    with translating():
        try:
            found = connect().describe_images(
                repositoryName=image.path,
                imageIds=[{"imageDigest": image.digest} if image.digest else {"imageTag": image.tag or ""}],
            )["imageDetails"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NO_SUCH_IMAGE:
                raise
            found = []
    if not found and _is_pulled_through(image.path):
        # ECS pulls it into the cache.
        return ""
    if not found:
        raise DeployError(
            Error.IMAGE_NOT_FOUND, f"There is no image {image} in ECR. Push it, or correct the repository and the tag."
        )
    return found[0]["imageDigest"]


def tagged_images(repository: str) -> list[Image]:
    """What has a tag in a repository of this account and may be an image; none where there is no such repository.

    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
    """
    pages = connect().get_paginator("describe_images")
    with translating():
        try:
            found = [
                each
                for page in pages.paginate(
                    repositoryName=repository, filter={"tagStatus": "TAGGED"}, PaginationConfig={"PageSize": 1000}
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


def is_image(repository: str, digest: str) -> bool:
    """Whether what has this digest is an image, as far as can be seen. Raises `DeployError`, `AwsUnavailable`.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html
    """
    with translating():
        try:
            found = connect().batch_get_image(
                repositoryName=repository, imageIds=[{"imageDigest": digest}], acceptedMediaTypes=[*artifact.MANIFESTS]
            )["images"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NO_SUCH_IMAGE:
                raise
            found = []
    return not found or artifact.is_image(found[0]["imageManifest"])


def _is_pulled_through(repository: str) -> bool:
    """Whether a rule of the registry brings in what is pulled from a repository.

    https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html
    """
    pages = connect().get_paginator("describe_pull_through_cache_rules")
    with translating():
        rules = [each for page in pages.paginate() for each in page["pullThroughCacheRules"]]
    prefixes = [each["ecrRepositoryPrefix"] for each in rules]
    return any(each == "ROOT" or repository.startswith(f"{each}/") for each in prefixes)


@cache
def connect() -> "ECRClient":
    """The client for ECR, made when an image is there to be looked for."""
    return boto3.client("ecr", config=ONE_TRY)
