"""Simulated containers behind the interface of the Docker SDK.

The emulator's ECS has a complete scheduler, and reaches Docker through one client object and a dozen calls. This
stand-in for that client brings the scheduler to life without Docker: images take time to be pulled, containers take
time to start and run until they are stopped. Images of the emulator's own ECR registry must exist there, and how their
containers behave is written in the manifest's annotation `local.behaviour`. The command `exit N` ends one with N.
"""

from __future__ import annotations

import importlib
import itertools
import json
import re
import secrets
import sys
import threading
import time
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.emulator.seams import Seams

ECS = "ministack.services.ecs"
ECR = "ministack.services.ecr"
ANNOTATION = "local.behaviour"
RUN, CRASH, HANG = "run", "crash", "hang"

# Less than what the scheduler waits before it calls a task stable.
CRASH_SECONDS = 0.3

REGISTRY = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/"
    r"(?P<repository>[^@:]+)(:(?P<tag>[^@]+))?(@(?P<digest>sha256:[0-9a-f]+))?"
)


class ImageNotFoundError(Exception):
    """The name is the Docker SDK's: the emulator catches it by `docker.errors.ImageNotFound`."""


class NotFoundError(Exception):
    """No container has this id."""


def declare(seams: Seams) -> None:
    """Name what the emulator must still have for the stand-in to take part."""
    seams.attributes(ECS, "_docker")
    seams.attributes(ECR, "_images.get_scoped")
    seams.call(ECS, "_get_docker")


def simulate(start_seconds: float, is_wanted: Callable[[str], bool]) -> None:
    """Give the emulator's ECS the stand-in as its Docker client.

    Only `docker.errors` is importable, and nothing else of the SDK: the emulator must find no other client.
    """
    sys.modules["docker"] = None  # type: ignore[assignment]
    errors = types.ModuleType("docker.errors")
    errors.ImageNotFound = ImageNotFoundError  # type: ignore[attr-defined]
    sys.modules["docker.errors"] = errors
    importlib.import_module(ECS)._docker = Engine(start_seconds / 2, start_seconds / 2, is_wanted)  # type: ignore[attr-defined]


class Container:
    """One simulated container."""

    def __init__(self, address: str, exits_after: float | None, code: int = 1) -> None:
        self.id = secrets.token_hex(32)
        self.attrs = {"NetworkSettings": {"Networks": {"bridge": {"IPAddress": address}}}}
        self._started = time.monotonic()
        self._exits_after = exits_after
        self._code = code
        self._stopped = threading.Event()

    @property
    def status(self) -> str:
        """The word Docker has for it."""
        return "exited" if self._stopped.is_set() or self._has_exited() else "running"

    def _has_exited(self) -> bool:
        return self._exits_after is not None and time.monotonic() - self._started >= self._exits_after

    def reload(self) -> None:
        """Nothing is cached."""

    def wait(self) -> dict[str, int]:
        """Give the exit code of a container that has ended."""
        return {"StatusCode": self._code if self._has_exited() else 0}

    def logs(self, *, stream: bool = False, **_options: object) -> bytes | Iterator[bytes]:
        """Give what the container wrote."""
        text = b"started\n"
        if self._exits_after is not None:
            text = b"fatal: this image was pushed broken\n" if self._code else b"done\n"
        return iter([text]) if stream else text

    def stop(self, timeout: int = 0) -> None:  # noqa: ARG002 - the SDK's signature
        """Stop it, at once."""
        self._stopped.set()

    def remove(self, **_options: object) -> None:
        """Nothing is kept."""
        self._stopped.set()


class Image:
    """A pulled image."""

    def __init__(self, digest: str) -> None:
        self.id = digest

    def tag(self, repository: str, tag: str | None = None) -> bool:  # noqa: ARG002 - the SDK's signature
        """Accept the tag: no image is cached."""
        return True


class Images:
    """The registry as the container engine sees it."""

    def __init__(self, pull_seconds: float) -> None:
        self._pull_seconds = pull_seconds
        self._task = threading.local()

    def get(self, image: str) -> Image:
        """Look in the local cache, which is always empty."""
        raise ImageNotFoundError(image)

    def get_registry_data(self, image: str, **_options: object) -> Image:
        """Resolve an image to the digest of its manifest."""
        return Image(resolve(image)[0])

    def pull(self, image: str, **_options: object) -> Image:
        """Pull an image; raises ImageNotFoundError with the text ECS shows when its registry does not have it."""
        # A task pulls its images side by side; its thread in the scheduler does it one by one.
        if not hasattr(self._task, "has_pulled"):
            time.sleep(self._pull_seconds)
            self._task.has_pulled = True
        return Image(resolve(image)[0])


class Containers:
    """The containers of this engine."""

    def __init__(self, start_seconds: float, is_wanted: Callable[[str], bool]) -> None:
        self._start_seconds = start_seconds
        self._is_wanted = is_wanted
        self._task = threading.local()
        self._containers: dict[str, Container] = {}
        self._numbers = itertools.count(1)

    def run(self, image: str, **options: Any) -> Container:
        """Start a container as its image behaves."""
        behaviour = resolve(image)[1]
        task = options.get("labels", {}).get("com.amazonaws.ecs.task-arn", "")
        if not hasattr(self._task, "has_started"):
            time.sleep(self._start_seconds)
            self._task.has_started = True
        while behaviour == HANG and self._is_wanted(task):
            time.sleep(0.1)
        number = next(self._numbers)
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        match options.get("command"):
            case ["exit", code]:
                container = Container(address, CRASH_SECONDS, int(code))
            case _:
                container = Container(address, CRASH_SECONDS if behaviour == CRASH else None)
        self._containers[container.id] = container
        return container

    def get(self, container_id: str) -> Container:
        """Find a container by its id."""
        try:
            return self._containers[container_id]
        except KeyError:
            raise NotFoundError(container_id) from None

    def list(self, **_options: object) -> list[Container]:
        """List none: the emulator asks in order to remove what another process left."""
        return []


class Engine:
    """The part of `docker.DockerClient` that the emulator's ECS uses. Times are in seconds."""

    def __init__(self, pull_seconds: float, start_seconds: float, is_wanted: Callable[[str], bool]) -> None:
        self.images = Images(pull_seconds)
        self.containers = Containers(start_seconds, is_wanted)


def resolve(image: str) -> tuple[str, str]:
    """Give the digest of an image and how its containers behave.

    Images of other registries simply run: nothing can be known of them without a network. Raises ImageNotFoundError.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_cannot_pull_image.html
    """
    match = REGISTRY.fullmatch(image)
    if not match:
        return "sha256:" + "0" * 64, RUN
    records = importlib.import_module(ECR)._images.get_scoped(match["account"], match["region"], match["repository"])
    for record in records or []:
        same = (
            record["imageDigest"] == match["digest"]
            if match["digest"]
            else (match["tag"] or "latest") in record.get("imageTags", [])
        )
        if same:
            return record["imageDigest"], behaviour_of(record["imageManifest"])
    raise ImageNotFoundError(
        f"pull image manifest has been retried 1 time(s): failed to resolve ref {image}: {image}: not found"
    )


def behaviour_of(manifest: str) -> str:
    """Read the behaviour from a manifest; an image without the annotation runs."""
    annotations = json.loads(manifest).get("annotations") or {}
    return str(annotations.get(ANNOTATION, RUN))
