"""Images to push: as small as an image can be, each with a digest of its own.

A manifest with a configuration and one layer is all that ECR and ECS look at here. How the simulated containers of an
image behave is an annotation of its manifest: "run", "crash" shortly after the start, or "hang" and never start.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

Behaviour = Literal["run", "crash", "hang"]

ANNOTATION = "local.behaviour"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, slots=True)
class PushedImage:
    """What was pushed: `image` is the full reference, with the tag."""

    repository: str
    tag: str
    digest: str
    image: str


def push(ecr: ECRClient, repository: str, tag: str, behaviour: Behaviour = "run") -> PushedImage:
    """Push a new image, into a new repository if need be."""
    try:
        found = ecr.describe_repositories(repositoryNames=[repository])["repositories"][0]
    except ecr.exceptions.RepositoryNotFoundException:
        found = ecr.create_repository(repositoryName=repository)["repository"]
    answer = ecr.put_image(
        repositoryName=repository,
        imageTag=tag,
        imageManifest=json.dumps(manifest(behaviour)),
        imageManifestMediaType=MANIFEST_TYPE,
    )
    digest = answer["image"]["imageId"]["imageDigest"]
    return PushedImage(repository, tag, digest, f"{found['repositoryUri']}:{tag}")


def manifest(behaviour: Behaviour) -> dict[str, Any]:
    """Make the manifest of an image that no other push has made."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": blob(CONFIG_TYPE),
        "layers": [blob(LAYER_TYPE)],
        **({} if behaviour == "run" else {"annotations": {ANNOTATION: behaviour}}),
    }


def blob(media_type: str) -> dict[str, Any]:
    """Describe a blob that exists nowhere."""
    content = secrets.token_bytes(32)
    return {
        "mediaType": media_type,
        "size": len(content),
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
    }
