"""What the command line does: one JSON line on standard output, everything else on standard error."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from local import images, report, running
from local.cloud import LocalCloud, client
from local.processes import ProcessFailedError, StoppedError


def main() -> int:
    """Run a command; give its exit status."""
    arguments = parse()
    try:
        status: int = arguments.command(arguments)
    except (ProcessFailedError, running.NotRunningError, UsageError) as problem:
        say(f"error: {problem}")
        return 1
    return status


class UsageError(Exception):
    """What was requested makes no sense."""


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m local", description="AWS on this machine")
    commands = parser.add_subparsers(required=True)

    up = commands.add_parser("up", help="start the emulator, deploy the stack to it, serve until SIGINT or SIGTERM")
    up.add_argument("--targets", metavar="FILE", type=Path, help="a JSON list of targets instead of those of cdk.json")
    up.add_argument("--port", metavar="N", type=int, default=0, help="of 127.0.0.1; by default one that is free")
    up.add_argument("--wait-scale", metavar="X", type=float, default=1.0, help="factor of Wait states and retries")
    up.add_argument(
        "--start-seconds", metavar="S", type=float, default=2.0, help="what a task takes from its start to RUNNING"
    )
    up.add_argument(
        "--enforce", action="store_true", help="hold the functions to the policies of their roles, as AWS does"
    )
    up.add_argument("--docker", action="store_true", help="run real containers, of images pushed by `docker push`")
    up.add_argument(
        "--report",
        metavar="FILE",
        type=Path,
        default=report.REPORT,
        help="where to write the report, at the end",
    )
    up.add_argument("--verbose", action="store_true", help="log what the emulator and the functions do")
    up.set_defaults(command=run_up)

    push = commands.add_parser("push", help="push an image to the running emulator's ECR")
    push.add_argument("repository", metavar="REPOSITORY")
    push.add_argument("tag", metavar="TAG")
    behaviour = push.add_mutually_exclusive_group()
    behaviour.add_argument("--behaviour", choices=["run", "crash", "hang"], default="run", help="of its containers")
    behaviour.add_argument(
        "--broken", dest="behaviour", action="store_const", const="crash", help="the same as --behaviour crash"
    )
    push.add_argument("--endpoint", metavar="URL", default=os.environ.get("AWS_ENDPOINT_URL"))
    push.set_defaults(command=run_push)
    return parser.parse_args()


def run_up(arguments: argparse.Namespace) -> int:
    """Serve until a signal asks to stop."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    local = LocalCloud(
        read_targets(arguments.targets),
        port=arguments.port,
        wait_scale=arguments.wait_scale,
        start_seconds=arguments.start_seconds,
        enforce=arguments.enforce,
        docker=arguments.docker,
        verbose=arguments.verbose,
        stop=stop,
    )
    try:
        with local as cloud:
            print(json.dumps(asdict(cloud)), flush=True)  # noqa: T201
            say("ready; Ctrl-C stops it")
            if local.serve():
                raise ProcessFailedError("the emulator ended by itself, see above")
            say(f"report: {report.write(cloud, arguments.report)}")
    except StoppedError:
        pass
    return 0


def read_targets(file: Path | None) -> list[dict[str, Any]] | None:
    """Read a file of targets. Raises UsageError when it holds no JSON list."""
    if file is None:
        return None
    try:
        targets = json.loads(file.read_text())
    except (OSError, ValueError) as problem:
        raise UsageError(f"{file} cannot be read: {problem}") from None
    if not isinstance(targets, list):
        raise UsageError(f"{file} must hold a JSON list of targets")
    return targets


def run_push(arguments: argparse.Namespace) -> int:
    """Push one image."""
    cloud = running.find(arguments.endpoint)
    ecr = client("ecr", cloud["endpoint"], cloud["account"])
    pushed = images.push(ecr, arguments.repository, arguments.tag, arguments.behaviour)
    print(json.dumps(asdict(pushed)))  # noqa: T201
    return 0


def say(text: str) -> None:
    """Print to standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201
