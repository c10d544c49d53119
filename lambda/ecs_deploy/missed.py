"""Which push was missed: the newest image that a target waits for, if it came after what the service was told to run.

The events of ECR are best effort, and one that is lost leaves no trace but the image itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any, NamedTuple

from ecs_deploy.image import ImageReference
from ecs_deploy.marks import SWEEP
from ecs_deploy.notation import instant


class Image(NamedTuple):
    """An image of a repository with its tags, and when it was pushed.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html
    """

    digest: str
    tags: tuple[str, ...]
    pushed_at: datetime


def newest(images: Iterable[Image], patterns: Sequence[str]) -> Image | None:
    """The image that was pushed last of those with a tag that matches one of `patterns`; only such tags are kept.

    A pattern is a tag in which `*` stands for any characters, as EventBridge reads it.
    """
    matching = []
    for image in images:
        tags = tuple(tag for tag in sorted(image.tags) if any(fnmatchcase(tag, pattern) for pattern in patterns))
        if tags:
            matching.append(Image(image.digest, tags, image.pushed_at))
    return max(matching, key=lambda image: (image.pushed_at, image.digest), default=None)


def request_for(asked: Mapping[str, Any], image: Image) -> dict[str, Any]:
    """The request that the event of the push would have made of `asked`, the request of a target without a tag.

    Of several tags that match it has the first one in the order of the alphabet.
    """
    tag = image.tags[0]
    reference = ImageReference.parse(asked["image"])
    push = {
        "id": execution_name(asked, image),
        "time": instant(image.pushed_at),
        "digest": image.digest,
        "repository": reference.path,
        "tag": tag,
    }
    return {**asked, "image": str(reference.with_tag(tag)), "push": push}


def execution_name(asked: Mapping[str, Any], image: Image) -> str:
    """The name of the execution: the same for the same push, so that no sweep starts a second one.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    what = (asked["cluster"], asked["service"], asked.get("container", ""), image.digest, instant(image.pushed_at))
    return SWEEP + sha256("\n".join(what).encode()).hexdigest()
