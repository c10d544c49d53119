"""The call to the tagging API, which finds services by their tags."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import boto3

from ecs_deploy.aws.client import ONE_TRY, translating

if TYPE_CHECKING:
    from mypy_boto3_resourcegroupstaggingapi import ResourceGroupsTaggingAPIClient


def services_with(tag: str) -> Iterator[str]:
    """The services of this account and region that have a tag, each as `cluster/name`.

    They come from an index that is eventually consistent. A service with an old ARN, without its cluster, is left out.
    Raises `DeployError`, `AwsUnavailable`.
    https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
    """
    pages = connect().get_paginator("get_resources")
    with translating():
        for page in pages.paginate(TagFilters=[{"Key": tag}], ResourceTypeFilters=["ecs:service"]):
            for each in page["ResourceTagMappingList"]:
                key = each["ResourceARN"].partition(":service/")[2]
                if "/" in key:
                    yield key


@cache
def connect() -> "ResourceGroupsTaggingAPIClient":
    """The client for the tagging API."""
    return boto3.client("resourcegroupstaggingapi", config=ONE_TRY)
