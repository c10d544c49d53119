"""What a start of the functions costs, and how large their asset is.

Speed is compared in one run and as a ratio, since machines are noisy: each step against `boto3.client("ecs")` alone,
alternating, each in a process of its own, by its CPU seconds.
"""

import io
import os
import statistics
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from infra import asset

RUNS = 15
STEPS = ("register_task_definition", "update_service", "poll_stability")
SDK = ("botocore", "jmespath", "dateutil", "python_dateutil", "urllib3", "six")
MOST_CPU_RATIO = 1.15
MOST_ZIPPED_BYTES = 5_000_000


def main() -> int:
    """Print the figures; answers 1 where one of them is over its bound."""
    worst = max(print_start_up())
    own = zipped(path for path in files() if not path.name.startswith(SDK) and path.parts[0] not in SDK)
    print(f"asset, zipped: {zipped(files()) / 1e6:.2f} MB, without the SDK {own / 1e6:.2f} MB")
    return int(worst > MOST_CPU_RATIO or own > MOST_ZIPPED_BYTES)


def print_start_up() -> Iterator[float]:
    """Measure every step; yields the ratios."""
    codes = {"boto3.client('ecs')": "import boto3; boto3.client('ecs')"}
    for step in STEPS:
        codes[step] = f"import ecs_deploy.{step}; from ecs_deploy import ecs; ecs.connect()"
    measured: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(RUNS):
        for name, code in codes.items():
            measured[name].append(cpu_seconds(code))
    alone, *_ = (statistics.median(seconds) for seconds in measured.values())
    for name, seconds in measured.items():
        ratio = statistics.median(seconds) / alone
        print(f"{name:<26} {statistics.median(seconds) * 1000:5.0f} ms of CPU, {ratio:.2f} times boto3 alone")
        yield ratio


def cpu_seconds(code: str) -> float:
    """CPU seconds of a new process that runs `code`."""
    environment = {"PYTHONPATH": os.environ["PYTHONPATH"], "AWS_DEFAULT_REGION": "us-east-1"}
    timed = f"{code}\nimport time; print(time.process_time())"
    answer = subprocess.run([sys.executable, "-c", timed], env=environment, check=True, capture_output=True, text=True)
    return float(answer.stdout)


def files() -> Iterator[Path]:
    """The files of the asset, by their path in it."""
    root = asset.build()
    return (path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file())


def zipped(paths: Iterator[Path]) -> int:
    """The size of a zip file of them, in bytes."""
    buffer, root = io.BytesIO(), asset.build()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(root / path, path)
    return len(buffer.getvalue())
