"""Starts the emulator with the changes of this package, on 127.0.0.1 only.

Runs in .venv-emulator, as a child of `local up`, in a clean environment: the workers of the functions inherit it. It
writes where it listens into the state directory, and ends with its parent, which holds the other end of its standard
input.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from local.emulator import (
    bus_policies,
    containers,
    deployments,
    ecr,
    ecs_events,
    engine,
    eventbridge,
    functions,
    permissions,
    service_deployments,
    simulation,
    single_tasks,
    stepfunctions,
    tags,
    task_definitions,
)
from local.emulator.seams import SeamError, Seams

HOST = "127.0.0.1"


def main() -> None:
    """Serve until SIGTERM, or until the parent has gone."""
    arguments = parse()
    state: Path = arguments.state
    try:
        listener = socket.create_server((HOST, arguments.port), backlog=128)
    except OSError as problem:
        sys.exit(f"error: cannot listen on port {arguments.port}: {problem.strerror}")
    endpoint = f"http://{HOST}:{listener.getsockname()[1]}"
    # The emulator reads them when it is imported.
    os.environ |= {"GATEWAY_PORT": str(listener.getsockname()[1]), "AWS_ENDPOINT_URL": endpoint}
    try:
        prepare(state, endpoint, start_seconds=arguments.start_seconds, docker=arguments.docker)
    except (SeamError, engine.NoDockerError) as problem:
        sys.exit(f"error: {problem}")
    announce(state, endpoint)
    threading.Thread(target=end_with_parent, args=(state,), daemon=True).start()
    asyncio.run(serve(listener, state))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the directory everything is kept in")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--start-seconds", type=float, default=2.0, help="from the start of a task to RUNNING")
    parser.add_argument("--docker", action="store_true")
    return parser.parse_args()


def prepare(state: Path, endpoint: str, *, start_seconds: float, docker: bool) -> None:
    """Change the emulator. Raises SeamError or NoDockerError."""
    declare(state).install()
    bus_policies.add()
    if docker:
        engine.connect(endpoint)
    else:
        containers.simulate(start_seconds, deployments.is_wanted)


def declare(state: Path) -> Seams:
    """Name all that is changed, and all that is used for it."""
    seams = Seams()
    functions.declare(seams, state)
    ecr.declare(seams)
    task_definitions.declare(seams)
    # Before the one that runs all of the scheduler alone, and words why tasks stop.
    service_deployments.declare(seams)
    deployments.declare(seams)
    single_tasks.declare(seams)
    ecs_events.declare(seams)
    eventbridge.declare(seams)
    stepfunctions.declare(seams)
    containers.declare(seams)
    engine.declare(seams)
    permissions.declare(seams)
    bus_policies.declare(seams)
    tags.declare(seams)
    simulation.declare(seams)
    return seams


def announce(state: Path, endpoint: str) -> None:
    """Write down where this listens. The socket is bound: whoever reads it may connect already."""
    (state / "endpoint.new").write_text(endpoint)
    (state / "endpoint.new").rename(state / "endpoint")


async def serve(listener: socket.socket, state: Path) -> None:
    """Serve on a socket that is already bound: no other process can take its port in between."""
    application = importlib.import_module("ministack.app")
    hypercorn = importlib.import_module("hypercorn.asyncio")
    config = importlib.import_module("hypercorn.config").Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 0.1
    config.loglevel = logging.getLevelName(logging.getLogger("ministack").getEffectiveLevel())
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, enforce, state)
    await hypercorn.serve(application.app, config, shutdown_trigger=stopping.wait)
    functions.stop_workers()
    engine.close()
    # Executions and schedulers are threads that have nothing to finish.
    os._exit(0)


def enforce(state: Path) -> None:
    """Hold the functions to their roles, and say so."""
    permissions.enforce()
    (state / "enforcing").touch()


def end_with_parent(state: Path) -> None:
    """Wait for the end of standard input. A parent that was killed cannot clean up after itself."""
    sys.stdin.buffer.read()
    # Containers are children of the engine: no signal reaches them.
    engine.close()
    # Executions that still run start new workers: all of the group must be gone before its files are.
    command = ["sh", "-c", 'sleep 1; rm -rf -- "$0"', str(state)]
    subprocess.Popen(command, start_new_session=True)  # noqa: S603
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
