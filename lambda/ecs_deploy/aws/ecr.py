"""The calls to ECR."""

from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

from ecs_deploy.aws.client import ONE_TRY, translating
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.image import ImageReference
from ecs_deploy.core.policy import Image

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

_NO_SUCH_IMAGE = frozenset({"ImageNotFoundException", "RepositoryNotFoundException"})


def digest_of(image: ImageReference) -> str:
    """The digest of an image of this account's ECR. Raises `DeployError`, `AwsUnavailable`.

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
    if not found:
        raise DeployError(
            Error.IMAGE_NOT_FOUND, f"There is no image {image} in ECR. Push it, or correct the repository and the tag."
        )
    return found[0]["imageDigest"]


def tagged_images(repository: str) -> list[Image]:
    """The images of a repository of this account that have a tag; none where there is no such repository.

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
    return [Image(each["imageDigest"], tuple(each.get("imageTags", ())), each["imagePushedAt"]) for each in found]


@cache
def connect() -> "ECRClient":
    """The client for ECR, made when an image is there to be looked for."""
    return boto3.client("ecr", config=ONE_TRY)
