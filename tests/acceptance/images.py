"""Images that run on AWS, made and pushed without Docker: one static program that sleeps and then exits.

The program is 64-bit ELF for x86-64 Linux, of two system calls (https://man7.org/linux/man-pages/man5/elf.5.html). The
layers go to ECR by its API, https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_UploadLayerPart.html.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import platform
import secrets
import struct
import sys
import tarfile
from typing import TYPE_CHECKING, Any, Literal

from local.images import ANNOTATION, CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

Behaviour = Literal["run", "crash", "broken"]

RUN_HERE = platform.machine() == "x86_64" and sys.platform == "linux"
"""Whether this machine can run them: Fargate does on x86-64 Linux, if a task definition names no other platform.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RuntimePlatform.html
"""

EXIT_CODE = 1
# A crash comes after the container has run, which ECS does not count as a failed task; what is broken never runs.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html (failedTasks)
SECONDS: dict[Behaviour, int] = {"run": 10**9, "crash": 5, "broken": 0}
ENTRYPOINTS: dict[Behaviour, str] = {"run": "/program", "crash": "/program", "broken": "/missing"}

_ADDRESS = 0x400000
_HEADERS = 64 + 56


def push(ecr: ECRClient, repository: str, tag: str, behaviour: Behaviour) -> str:
    """Push an image that no other push has made; gives its digest. The emulator goes by the annotation."""
    layer = layer_of(program(SECONDS[behaviour], EXIT_CODE))
    config = config_of(layer, ENTRYPOINTS[behaviour])
    upload(ecr, repository, layer)
    upload(ecr, repository, config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": described(CONFIG_TYPE, config),
        "layers": [described(LAYER_TYPE, layer)],
        "annotations": {ANNOTATION: "run" if behaviour == "run" else "crash"},
    }
    answer = ecr.put_image(
        repositoryName=repository,
        imageTag=tag,
        imageManifest=json.dumps(manifest),
        imageManifestMediaType=MANIFEST_TYPE,
    )
    return answer["image"]["imageId"]["imageDigest"]


def program(seconds: int, code: int) -> bytes:
    """Make a program that sleeps and then exits with a code."""
    instructions = (
        b"\x48\x8d\x3d" + struct.pack("<i", 21)  # lea rdi, [the time to sleep]
        + b"\x31\xf6\xb8" + struct.pack("<i", 35) + b"\x0f\x05"  # xor esi, esi; mov eax, nanosleep; syscall
        + b"\xbf" + struct.pack("<i", code) + b"\xb8" + struct.pack("<i", 60) + b"\x0f\x05"  # exit
        + struct.pack("<qq", seconds, 0)
    )  # fmt: skip
    size = _HEADERS + len(instructions)
    file = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, _ADDRESS + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _ADDRESS, _ADDRESS, size, size, 4096)
    return file + segment + instructions


def layer_of(binary: bytes) -> bytes:
    """Make the layer of a program."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("program")
        entry.size, entry.mode = len(binary), 0o755
        tar.addfile(entry, io.BytesIO(binary))
    return gzip.compress(archive.getvalue(), mtime=0)


def config_of(layer: bytes, entrypoint: str) -> bytes:
    """Make the configuration of an image that runs a program of a layer, as no other image has it."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": [entrypoint], "Labels": {"push": secrets.token_hex(16)}},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(gzip.decompress(layer))]},
    }
    return json.dumps(config).encode()


def upload(ecr: ECRClient, repository: str, blob: bytes) -> None:
    """Upload a layer or a configuration, which may be there already."""
    upload_id = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    ecr.upload_layer_part(
        repositoryName=repository,
        uploadId=upload_id,
        partFirstByte=0,
        partLastByte=len(blob) - 1,
        layerPartBlob=blob,
    )
    with contextlib.suppress(ecr.exceptions.LayerAlreadyExistsException):
        ecr.complete_layer_upload(repositoryName=repository, uploadId=upload_id, layerDigests=[digest_of(blob)])


def described(media_type: str, blob: bytes) -> dict[str, Any]:
    """Describe a blob as a manifest does."""
    return {"mediaType": media_type, "size": len(blob), "digest": digest_of(blob)}


def digest_of(blob: bytes) -> str:
    """Give the digest of a blob."""
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"
