"""Whether ECR keeps the image to return to: its own state, and the lifecycle policy of its repository.

A tag that moves leaves the image that runs without a tag, and a rule for untagged images takes it:
aws/containers-roadmap#2687. https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html
"""

import json
from collections.abc import Sequence

ACTIVE = "ACTIVE"
OWN_TAG_PREFIX = "ecs-deploy."
"""Of the tags that keep images: a push with one starts nothing."""


def takes_untagged(policy: str) -> bool:
    """Whether a rule of a lifecycle policy expires or archives images that have no tag."""
    rules = json.loads(policy).get("rules", ()) if policy else ()
    return any(each.get("selection", {}).get("tagStatus") in {"untagged", "any"} for each in rules)


def problem_with(image: str, status: str | None, tags: Sequence[str], policy: str) -> str | None:
    """Why a return to `image` may not be possible; `status` is ECR's, None where it has no such image."""
    if status is None:
        return f"the image to return to, {image}, is not in ECR any more"
    if status != ACTIVE:
        return f"the image to return to, {image}, is {status} in ECR, and cannot be pulled"
    if not tags and takes_untagged(policy):
        return f"the image to return to, {image}, has no tag any more, and a lifecycle rule of its repository takes it"
    return None
