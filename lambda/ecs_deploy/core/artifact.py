"""Whether what was pushed to ECR is an image, by the media types of its manifest and never by its name.

Signatures, attestations, caches, charts and SBOMs are pushed with tags too. A signature may have the configuration
of an image, so its layers tell.
https://github.com/opencontainers/image-spec/blob/main/manifest.md
https://github.com/opencontainers/image-spec/blob/main/image-index.md
"""

import json
from collections.abc import Mapping
from typing import Any

_CONFIGURATIONS = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)
_LAYERS = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


def may_be_image(artifact_type: str | None, *, has_subject: bool = False) -> bool:
    """Whether what ECR says of an artifact leaves it open: its type is unknown, of an image, or of a manifest.

    What has a subject is about another image. An index need not have a type.
    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html
    """
    return not has_subject and (not artifact_type or artifact_type in _CONFIGURATIONS or artifact_type in MANIFESTS)


def is_image(manifest: str) -> bool:
    """Whether a manifest is that of an image, or an index of at least one."""
    document = json.loads(manifest)
    if "manifests" in document:
        return may_be_image(document.get("artifactType")) and any(map(_lists_image, document["manifests"]))
    if "layers" not in document:
        # The first version of Docker's manifests knows nothing but images.
        return "fsLayers" in document
    types = [document.get("artifactType"), document.get("config", {}).get("mediaType")]
    layers = [each.get("mediaType", "") for each in document["layers"]]
    has_subject = document.get("subject") is not None
    return all(may_be_image(each, has_subject=has_subject) for each in types) and all(
        each.startswith(_LAYERS) for each in layers
    )


def _lists_image(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of an index is a manifest of an image; an attestation is of no platform."""
    platform = entry.get("platform", {}).get("os", "")
    return entry.get("mediaType") in MANIFESTS and platform != "unknown" and may_be_image(entry.get("artifactType"))
