"""Real containers: the Docker engine of this machine, which finds the images of ECR in the emulator.

The emulator's ECR is a registry as well, to `docker push` to and to pull from, at the emulator's own address. A task
definition names its images by the address that ECR has on AWS, which the engine must never ask. On the way to the
engine one address becomes the other; the images of other registries are pulled as their names say. An engine trusts a
registry on 127.0.0.1 without TLS, and so has to run on this machine.

https://docs.docker.com/reference/cli/dockerd/#insecure-registries
"""

from __future__ import annotations

import importlib
import re
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.emulator.seams import Seams

ECS = "ministack.services.ecs"
REAPER = "ministack.core.container_reaper"

# No call to the engine takes longer than a pull, and a registry may be slow.
TIMEOUT_SECONDS = 60

REGISTRY = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?=/)")


class NoDockerError(Exception):
    """Real containers were asked for and cannot be had."""


def declare(seams: Seams) -> None:
    """Name what the emulator must still have for its containers to be found."""
    seams.attributes(ECS, "_docker")
    seams.attributes(REAPER, "INSTANCE_LABEL")
    seams.call(REAPER, "instance_id")


def connect(endpoint: str) -> None:
    """Give the emulator's ECS the engine of this machine. Raises NoDockerError with what is missing."""
    try:
        docker = importlib.import_module("docker")
    except ImportError:
        raise NoDockerError("--docker needs the Docker SDK: run `make setup`") from None
    try:
        client = docker.from_env(timeout=TIMEOUT_SECONDS)
        client.ping()
    except Exception as problem:  # noqa: BLE001 - the SDK raises what its transport raises
        raise NoDockerError(f"--docker needs a Docker engine: {problem}") from None
    registry = endpoint.partition("://")[2]
    importlib.import_module(ECS)._docker = Engine(client, registry)  # type: ignore[attr-defined]


def close() -> None:
    """Start no more containers, and remove those there are: the scheduler replaces them as long as it runs."""
    engine = importlib.import_module(ECS)._docker
    if isinstance(engine, Engine):
        # The engine may have ended first, and the emulator has to end all the same.
        with suppress(Exception):
            engine.containers.close()


class Engine:
    """The part of `docker.DockerClient` that the emulator's ECS uses."""

    def __init__(self, client: Any, registry: str) -> None:
        self.images = Images(client.images, registry)
        self.containers = Containers(client.containers, registry)


class Translated:
    """One of the client's collections, with the images of ECR at the emulator's address."""

    def __init__(self, original: Any, registry: str) -> None:
        self._original = original
        self._registry = registry

    def __getattr__(self, name: str) -> Any:
        """Leave everything else to the original."""
        return getattr(self._original, name)

    def at_emulator(self, image: str) -> str:
        """Give the name by which the engine finds an image."""
        return REGISTRY.sub(self._registry, image, count=1)


class Image(Translated):
    """A pulled image."""

    def tag(self, repository: str, tag: str | None = None) -> bool:
        """Name the image."""
        return bool(self._original.tag(self.at_emulator(repository), tag=tag))


class Images(Translated):
    """The images of the engine and of the registries."""

    def get(self, image: str) -> Image:
        """Find an image that the engine has."""
        return Image(self._original.get(self.at_emulator(image)), self._registry)

    def get_registry_data(self, image: str, **options: Any) -> Any:
        """Ask a registry for the digest of an image."""
        return self._original.get_registry_data(self.at_emulator(image), **options)

    def pull(self, image: str, **options: Any) -> Image:
        """Pull an image."""
        return Image(self._original.pull(self.at_emulator(image), **options), self._registry)


class Containers(Translated):
    """The containers of the engine."""

    def __init__(self, original: Any, registry: str) -> None:
        super().__init__(original, registry)
        self._starting = threading.Lock()
        self._closed = False

    def run(self, image: str, **options: Any) -> Any:
        """Start a container."""
        with self._starting:
            if self._closed:
                raise NoDockerError("the emulator ends")
            return self._original.run(self.at_emulator(image), **options)

    def close(self) -> None:
        """Remove all containers of this emulator, when the last one has started."""
        with self._starting:
            self._closed = True
        reaper = importlib.import_module(REAPER)
        label = f"{reaper.INSTANCE_LABEL}={reaper.instance_id()}"
        for container in self._original.list(all=True, ignore_removed=True, filters={"label": label}):
            # Another thread may be removing it.
            with suppress(Exception):
                container.remove(force=True, v=True)
