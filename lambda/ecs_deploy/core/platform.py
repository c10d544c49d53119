"""Whether an image for several platforms has the one that a task definition asks for.

A single manifest names no platform; only an index lists them:
https://github.com/opencontainers/image-spec/blob/main/image-index.md
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RuntimePlatform.html
"""

import json
from collections.abc import Mapping
from typing import Any

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_ARCHITECTURES = {"X86_64": "amd64", "ARM64": "arm64"}


def parts(index: str) -> tuple[str, ...]:
    """The digests that an index lists; none where there is no index."""
    return tuple(each["digest"] for each in _listed(index))


def problem_with(index: str, document: Mapping[str, Any]) -> str | None:
    """Why an index has nothing for a task definition, and what it has; None where there is no index."""
    wanted = document.get("runtimePlatform", {})
    family, cpu = wanted.get("operatingSystemFamily"), wanted.get("cpuArchitecture")
    system = ("windows" if family.startswith("WINDOWS") else family.lower()) if family else None
    architecture = _ARCHITECTURES.get(cpu, cpu)
    platforms = [each.get("platform", {}) for each in _listed(index)]
    there = [each for each in platforms if each.get("os", "unknown") != "unknown"]
    if not there or any(
        system in {None, each["os"]} and architecture in {None, each.get("architecture")} for each in there
    ):
        return None
    names = sorted({f"{each['os']}/{each.get('architecture', '?')}" for each in there})
    return f"it is for {', '.join(names)}, and the task definition asks for {system or '*'}/{architecture or '*'}"


def _listed(index: str) -> list[dict[str, Any]]:
    manifests: list[dict[str, Any]] = json.loads(index).get("manifests", []) if index else []
    return manifests
