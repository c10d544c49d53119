"""The images of the acceptance suite run in real containers, on the machines that they are for: CI's is one."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from tests.acceptance import images
from tests.e2e.docker import DockerError, docker

pytestmark = pytest.mark.skipif(
    not images.RUN_HERE, reason="the images are for x86-64 Linux, which this machine is not"
)


def load(behaviour: images.Behaviour, seconds: int) -> str:
    """Load an image of the suite; gives its name."""
    name = f"acceptance:{behaviour}"
    layer = images.layer_of(images.program(seconds, images.EXIT_CODE))
    config = images.config_of(layer, images.ENTRYPOINTS[behaviour])
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar.gz"]}]).encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in (("manifest.json", manifest), ("config.json", config), ("layer.tar.gz", layer)):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    docker("load", stdin=archive.getvalue())
    return name


def test_a_crash_runs_and_exits_with_its_code() -> None:
    identifier = docker("run", "--detach", "--network=none", load("crash", 1))
    assert docker("wait", identifier) == str(images.EXIT_CODE)


def test_what_runs_goes_on() -> None:
    identifier = docker("run", "--detach", "--network=none", load("run", images.SECONDS["run"]))
    assert docker("inspect", "--format={{.State.Running}}", identifier) == "true"
    docker("rm", "--force", identifier)


def test_what_is_broken_cannot_start() -> None:
    with pytest.raises(DockerError, match="/missing"):
        docker("run", "--rm", "--network=none", load("broken", 0))
