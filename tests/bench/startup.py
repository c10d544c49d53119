"""What a start of the functions costs, and how large their asset is.

Speed is compared in one run and as a ratio, since machines are noisy: each step against `boto3.client("ecs")` alone,
in turns, each in a process of its own, by its CPU seconds. And once more from the asset, which has no bytecode: so
Lambda starts it, and compiles what it imports.
"""

import io
import os
import statistics
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra import asset

RUNS = 25
ALONE = "boto3.client('ecs')"
STEPS = ("register_task_definition", "update_service", "poll_stability")
SDK = ("boto3", "s3transfer", "botocore", "jmespath", "dateutil", "python_dateutil", "urllib3", "six")
MOST_CPU_RATIO = 1.15
MOST_ZIPPED_BYTES = 5_000_000
# With this much memory comes one whole CPU: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MEGABYTES_OF_A_CPU = 1769

_TOLD = "\nimport time; print(time.process_time())"
_ASSET_ONLY = "import sys; sys.path[:] = [sys.argv[1], *(p for p in sys.path if not p.endswith('-packages'))]\n"


@dataclass(frozen=True, slots=True)
class Start:
    """CPU seconds of one start, the ratio to boto3 alone, and CPU seconds where all is compiled first."""

    name: str
    cpu: float
    ratio: float
    compiled: float | None


def measure() -> list[Start]:
    """Start boto3 alone and each step, again and again."""
    codes = {ALONE: "import boto3; boto3.client('ecs')"}
    codes |= {step: f"import ecs_deploy.{step}; from ecs_deploy import ecs; ecs.connect()" for step in STEPS}
    warm: dict[str, list[float]] = {name: [] for name in codes}
    compiled: dict[str, list[float]] = {name: [] for name in STEPS}
    for _ in range(RUNS):
        for name, code in codes.items():
            warm[name].append(_cpu_seconds("-c", code + _TOLD))
        for name in STEPS:
            isolated = ("-I", "-S", "-B", "-c", _ASSET_ONLY + codes[name] + _TOLD, str(asset.build()))
            compiled[name].append(_cpu_seconds(*isolated))
    return [
        Start(
            name,
            statistics.median(seconds),
            statistics.median(one / alone for one, alone in zip(seconds, warm[ALONE], strict=True)),
            statistics.median(compiled[name]) if name in compiled else None,
        )
        for name, seconds in warm.items()
    ]


def _cpu_seconds(*arguments: str) -> float:
    """CPU seconds of a new Python, which prints them."""
    environment = {"PYTHONPATH": os.environ["PYTHONPATH"], "AWS_DEFAULT_REGION": "us-east-1"}
    command = [sys.executable, *arguments]
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(answer.stdout)


def sizes() -> tuple[int, int]:
    """Bytes of the zipped asset, and of what is not the SDK in it."""
    root = asset.build()
    paths = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
    return _zipped(root, paths), _zipped(root, _without_sdk(paths))


def _without_sdk(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in paths if not path.name.startswith(SDK) and path.parts[0] not in SDK)


def _zipped(root: Path, paths: Iterable[Path]) -> int:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(root / path, path)
    return len(buffer.getvalue())
