"""The Docker engine as a test sees it: images made from nothing but a static shell, and the containers that exist.

The command line is used, not an SDK: it finds the engine as the user's other commands do.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

SHELL = "busybox"


class DockerError(Exception):
    """The engine refused, or cannot be reached."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a task: whether it runs, what it was made of, and what the emulator wrote on it."""

    status: str
    image: str
    labels: dict[str, str]


def missing() -> str | None:
    """Say in a sentence what these tests need and this machine does not have; None when it has all."""
    if not shutil.which("docker"):
        return "The docker command is not installed."
    if not shutil.which(SHELL):
        return f"{SHELL} is not installed; the images are made of it, so it must be a static one."
    try:
        docker("version")
    except DockerError as problem:
        return f"No Docker engine answers; start one, or set DOCKER_HOST to one that runs on this machine. {problem}"
    return None


def docker(*arguments: str, stdin: bytes = b"") -> str:
    """Run a Docker command; gives what it prints. Raises DockerError."""
    done = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, check=False)  # noqa: S607
    if done.returncode:
        raise DockerError(f"docker {arguments[0]}: {done.stderr.decode().strip()}")
    return done.stdout.decode().strip()


def make_image(name: str, script: str) -> str:
    """Make an image whose containers run a shell script; gives its id."""
    content = Path(shutil.which(SHELL) or SHELL).read_bytes()
    file = tarfile.TarInfo("bin/sh")
    file.size, file.mode = len(content), 0o755
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as layer:
        layer.addfile(file, io.BytesIO(content))
    command = json.dumps(["/bin/sh", "-c", script])
    return docker("import", "--change", f"CMD {command}", "-", name, stdin=archive.getvalue())


def push_image(name: str, script: str) -> str:
    """Make an image and push it to the registry its name begins with; gives its id."""
    made = make_image(name, script)
    docker("push", "--quiet", name)
    # As on AWS: what runs the containers has to pull what was built elsewhere.
    docker("image", "rm", name)
    return made


def containers(**labels: str) -> list[Container]:
    """List the containers that carry these labels, those that have ended too. Underscores stand for dots."""
    wanted = [f"--filter=label={name.replace('_', '.')}={value}" for name, value in labels.items()]
    found = []
    for identifier in docker("ps", "--all", "--quiet", "--no-trunc", *wanted).split():
        try:
            (document,) = json.loads(docker("inspect", "--type=container", identifier))
        except DockerError:
            # Removed since it was listed.
            continue
        found.append(Container(document["State"]["Status"], document["Image"], document["Config"]["Labels"]))
    return found
