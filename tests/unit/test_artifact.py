"""What is an image is told by media types: whatever else is pushed with a tag deploys nothing."""

import json
from typing import Any

import pytest

from ecs_deploy.core.artifact import is_image, may_be_image
from tests.support.ecs_model import digest_of
from tests.support.queue import Queue
from tests.support.rules import table
from tests.unit import test_dispatcher
from tests.unit.test_dispatcher import GRACE, HOUR

service, queue, seen = test_dispatcher.service, test_dispatcher.queue, test_dispatcher.seen

OCI, DOCKER = "application/vnd.oci.image", "application/vnd.docker"
CONFIG, DOCKER_CONFIG = f"{OCI}.config.v1+json", f"{DOCKER}.container.image.v1+json"
LAYER = f"{OCI}.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"
Document = dict[str, Any]


def artifact(config: str, *layers: str, **more: Any) -> Document:
    return {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": {"mediaType": config},
        "layers": [{"mediaType": each} for each in layers],
        **more,
    }


def index(*entries: Document, **more: Any) -> Document:
    return {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": list(entries), **more}


def entry(os: str = "linux", **more: Any) -> Document:
    platform = {"architecture": "amd64" if os != "unknown" else "unknown", "os": os}
    return {"mediaType": f"{OCI}.manifest.v1+json", "platform": platform, **more}


ATTESTATION = entry("unknown", annotations={"vnd.docker.reference.type": "attestation-manifest"})
SUBJECT = {"mediaType": f"{OCI}.manifest.v1+json", "digest": "sha256:0"}
SIGNATURE = artifact(CONFIG, "application/vnd.dev.cosign.simplesigning.v1+json")
CACHE = artifact("application/vnd.buildkit.cacheconfig.v0", LAYER)
CHART = artifact("application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip")
IMAGE = artifact(CONFIG, LAYER)

NO_IMAGES = {
    "a signature of cosign": SIGNATURE,
    "an attestation of cosign": artifact(CONFIG, "application/vnd.dsse.envelope.v1+json"),
    "an SBOM of cosign": artifact(CONFIG, "spdx+json"),
    "a signature as a referrer": artifact(EMPTY, "application/vnd.dev.sigstore.bundle.v0.3+json", subject=SUBJECT),
    "a signature of Notation": artifact("application/vnd.cncf.notary.signature", "application/jose+json"),
    "a cache of BuildKit": CACHE,
    "a cache of BuildKit as an index": index(
        {"mediaType": LAYER}, {"mediaType": "application/vnd.buildkit.cacheconfig.v0"}
    ),
    "a chart of Helm": CHART,
    "a WebAssembly module": artifact("application/vnd.wasm.config.v0+json", "application/wasm"),
    "an artifact with a type of its own": artifact(EMPTY, EMPTY, artifactType="application/vnd.example+type"),
    "an artifact that looks like an image but for its type": {**IMAGE, "artifactType": "application/vnd.example+type"},
    "what is about another image": {**IMAGE, "subject": SUBJECT},
    "an index of attestations": index(ATTESTATION),
    "the referrers of an image": index(entry(artifactType="application/vnd.example+type")),
    "an index of SOCI": artifact("application/vnd.amazon.soci.index.v1+json", "application/octet-stream"),
    "an empty index": index(),
    "something else": {},
}
IMAGES = {
    "an image": IMAGE,
    "an image of Docker": artifact(DOCKER_CONFIG, f"{DOCKER}.image.rootfs.diff.tar.gzip"),
    "an image for Windows": artifact(
        DOCKER_CONFIG, f"{DOCKER}.image.rootfs.foreign.diff.tar.gzip", f"{DOCKER}.image.rootfs.diff.tar.gzip"
    ),
    "an image whose layers are compressed otherwise": artifact(CONFIG, f"{OCI}.layer.v1.tar+zstd"),
    "an image without layers": artifact(CONFIG),
    "an index": index(entry(), entry()),
    "an index with attestations": index(entry(), ATTESTATION),
    "an index without platforms": index({"mediaType": f"{DOCKER}.distribution.manifest.v2+json"}),
    "a list of Docker": index(entry(), mediaType=f"{DOCKER}.distribution.manifest.list.v2+json"),
    "an image of the first version of Docker's manifests": {"schemaVersion": 1, "fsLayers": []},
}


@pytest.mark.parametrize("name", [*IMAGES, *NO_IMAGES])
def test_manifests(name: str) -> None:
    assert is_image(json.dumps({**IMAGES, **NO_IMAGES}[name])) is (name in IMAGES)


@table(
    "artifact_type, has_subject, may_be",
    {
        "nothing is said": (None, False, True),
        "an empty text": ("", False, True),
        "an image": (CONFIG, False, True),
        "an image of Docker": (DOCKER_CONFIG, False, True),
        "an index that is called one": (f"{OCI}.index.v1+json", False, True),
        "about another image": (None, True, False),
        "a chart": ("application/vnd.cncf.helm.config.v1+json", False, False),
    },
)
def test_what_ecr_says(artifact_type: str | None, has_subject: bool, may_be: bool) -> None:
    assert may_be_image(artifact_type, has_subject=has_subject) is may_be


@pytest.mark.parametrize("name", NO_IMAGES)
@pytest.mark.parametrize("says", [True, False])
def test_a_push_of_what_is_no_image_starts_nothing(queue: Queue, name: str, says: bool) -> None:
    event = queue.push("v3")
    manifest = NO_IMAGES[name]
    queue.model.manifests[digest_of("v3")] = manifest
    said = {"artifact-media-type": manifest.get("config", {}).get("mediaType", "")} if says else {}
    assert queue.starts({**event, "detail": {**event["detail"], **said}}) == []


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("kind", ["push", "replication"])
def test_a_push_or_replication_of_an_image_starts_an_execution(queue: Queue, name: str, kind: str) -> None:
    event = queue.push("v3")
    queue.model.manifests[digest_of("v3")] = IMAGES[name]
    if kind == "replication":
        event["detail-type"] = "ECR Replication Action"
        event["detail"]["action-type"] = "REPLICATE"
    assert len(queue.starts(event)) == 1


def test_an_image_with_the_tag_of_a_signature(queue: Queue) -> None:
    event = queue.push("v3")
    event["detail"]["image-tag"] = f"v-sha256-{'0' * 64}.sig"
    assert len(queue.starts(event)) == 1


def test_what_cannot_be_seen_is_not_started_in_silence(queue: Queue) -> None:
    queue.model.refused.add("BatchGetImage")
    event = queue.push("v3")
    assert queue.deliver(event) == []
    (letter,) = queue.model.sent
    assert "BatchGetImage" in letter["MessageAttributes"]["reason"]["StringValue"]
    assert queue.model.executions == {}


@pytest.mark.parametrize("says", [True, False])
def test_the_newest_image_is_found_behind_what_is_none(seen: Queue, says: bool) -> None:
    seen.push("v2")
    for number, manifest in enumerate((CACHE, SIGNATURE, CHART), start=3):
        seen.clock.advance(1)
        seen.push(f"v{number}")
        seen.model.manifests[digest_of(f"v{number}")] = manifest
        if says:
            seen.model.pushed["doorman"][-1]["artifactMediaType"] = manifest["config"]["mediaType"]
    seen.clock.advance(GRACE)
    (name,) = seen.reconcile()
    assert seen.request(name)["push"]["digest"] == digest_of("v2")
    assert seen.reconcile() == []


def test_what_is_about_another_image_is_not_missed(seen: Queue) -> None:
    seen.push("v2")
    seen.model.pushed["doorman"][-1]["subjectManifestDigest"] = digest_of("v1")
    seen.clock.advance(GRACE + HOUR)
    assert seen.reconcile() == []
