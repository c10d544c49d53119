"""ECR tells EventBridge about its images, and misses the images it does not have.

https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html
https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html
https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
"""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

from local.emulator import answers

if TYPE_CHECKING:
    from local.emulator.answers import Answer
    from local.emulator.seams import Function, Seams

ECR = "ministack.services.ecr"
EVENTS = "ministack.services.eventbridge"
SCOPE = "ministack.core.responses"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
CREATED = 201


def declare(seams: Seams) -> None:
    """Emit the events of ECR and raise its errors."""
    seams.call(EVENTS, "_put_events", "data", "allow_aws_source")
    seams.call(ECR, "_find_image", "repo_name", "image_id")
    seams.call(SCOPE, "get_account_id")
    seams.replace(put_image, ECR, "_put_image", "data")
    seams.replace(put_manifest, ECR, "_v2_put_manifest", "name", "ref", "headers", "body")
    seams.replace(batch_delete_image, ECR, "_batch_delete_image", "data")
    seams.replace(describe_images, ECR, "_describe_images", "data")
    seams.replace(handle_request, ECR, "handle_request", "method", "path", "headers", "body", "query_params")


def put_image(original: Function) -> Function:
    """Tell about an image that was pushed through the API."""

    def put(data: dict[str, Any]) -> Answer:
        answer: Answer = original(data)
        if answer[0] == answers.OK:
            emit("PUSH", answers.read(answer)["image"], data.get("imageTag"))
        return answer

    return put


def put_manifest(original: Function) -> Function:
    """Tell about an image that was pushed by a container tool."""

    def put(name: str, ref: str, headers: dict[str, str], body: bytes) -> Answer:
        answer: Answer = original(name, ref, headers, body)
        if answer[0] == CREATED:
            image = find(name, {"imageDigest": answer[1]["Docker-Content-Digest"]})
            emit("PUSH", image, None if ref.startswith("sha256:") else ref)
        return answer

    return put


def batch_delete_image(original: Function) -> Function:
    """Tell about images that were deleted. Only the last tag takes the image along."""

    def delete(data: dict[str, Any]) -> Answer:
        name = data.get("repositoryName", "")
        untagged, rest = [], []
        for image_id in data.get("imageIds", []):
            image = find(name, image_id)
            tag = image_id.get("imageTag")
            if image and "imageDigest" not in image_id and len(image["imageTags"]) > 1:
                image["imageTags"].remove(tag)
                untagged.append({"imageDigest": image["imageDigest"], "imageTag": tag})
            else:
                rest.append(image_id)
            emit("DELETE", image, tag)
        answer: Answer = original({**data, "imageIds": rest})
        if answer[0] != answers.OK:
            return answer
        result = answers.read(answer)
        return answers.document({**result, "imageIds": [*untagged, *result["imageIds"]]})

    return delete


def describe_images(original: Function) -> Function:
    """Refuse to describe an image that is not there."""

    def describe(data: dict[str, Any]) -> Answer:
        name = data.get("repositoryName", "")
        answer: Answer = original(data)
        missing = [image_id for image_id in data.get("imageIds") or [] if not find(name, image_id)]
        if answer[0] != answers.OK or not missing:
            return answer
        digest, tag = (missing[0].get(key, "null") for key in ("imageDigest", "imageTag"))
        registry = importlib.import_module(SCOPE).get_account_id()
        return answers.error(
            "ImageNotFoundException",
            f"The image with imageId {{imageDigest:'{digest}', imageTag:'{tag}'}} does not exist within the "
            f"repository with name '{name}' in the registry with id '{registry}'",
        )

    return describe


def handle_request(original: Function) -> Function:
    """Know the rules for pulling through a cache, of which this registry has none.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribePullThroughCacheRules.html
    """

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query_params: object) -> Answer:
        if headers.get("x-amz-target", "").endswith(".DescribePullThroughCacheRules"):
            return answers.document({"pullThroughCacheRules": []})
        answer: Answer = await original(method, path, headers, body, query_params)
        return answer

    return handle


def find(repository: str, image_id: dict[str, str]) -> dict[str, Any] | None:
    """Find the record of an image in the registry of the request."""
    record: dict[str, Any] | None = importlib.import_module(ECR)._find_image(repository, image_id)
    return record


def emit(action: str, image: dict[str, Any] | None, tag: str | None) -> None:
    """Put an image action on the default event bus. An image without a tag makes an event without one."""
    if image is None:
        return
    config = json.loads(image["imageManifest"]).get("config", {})
    detail = {
        "action-type": action,
        "result": "SUCCESS",
        "repository-name": image["repositoryName"],
        "image-digest": image["imageId"]["imageDigest"],
        "manifest-media-type": image["imageManifestMediaType"],
        "artifact-media-type": config.get("mediaType", CONFIG_TYPE),
        **({"image-tag": tag} if tag else {}),
    }
    entry = {"Source": "aws.ecr", "DetailType": "ECR Image Action", "Detail": json.dumps(detail), "Resources": []}
    importlib.import_module(EVENTS)._put_events({"Entries": [entry]}, allow_aws_source=True)
