"""What a start of the functions costs, and how large their asset is.

Speed is compared in one run and as a ratio, since machines are noisy: each function with the clients that it uses,
against the making of these clients alone; in turns, each in a process of its own, by its CPU seconds. And once more
from the asset, which has no bytecode: so Lambda starts it, and compiles what it imports.
"""

import io
import json
import os
import statistics
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra import asset, targets

RUNS = 15
# Of a push that goes well; what a function needs where something was missed or has failed, it makes then.
CLIENTS = {
    "dispatcher": ("stepfunctions", "ecr"),
    "register_task_definition": ("dynamodb", "ecs", "ecr"),
    "update_service": ("dynamodb", "ecs"),
    "poll_stability": ("dynamodb", "ecs"),
    "write_parameter": ("ecs", "ssm"),
}
SDK = ("boto3", "s3transfer", "botocore", "jmespath", "dateutil", "python_dateutil", "urllib3", "six")
MOST_CPU_RATIO = 1.15
MOST_ZIPPED_BYTES = 5_000_000
# With this much memory comes one whole CPU: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MEGABYTES_OF_A_CPU = 1769

_PRINT_CPU = "import time; print(time.process_time())"
_ASSET_ONLY = "import sys; sys.path[:] = [sys.argv[1], *(p for p in sys.path if not p.endswith('-packages'))]"


@dataclass(frozen=True, slots=True)
class Start:
    """CPU seconds of one start, of its clients alone, their ratio, and CPU seconds where all is compiled first."""

    name: str
    clients: tuple[str, ...]
    cpu: float
    alone: float
    ratio: float
    compiled: float


def measure() -> list[Start]:
    """Start each function and make its clients alone, again and again."""
    built = str(_asset())
    runs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in CLIENTS}
    for _ in range(RUNS):
        for name, clients in CLIENTS.items():
            make = [f"boto3.client({client!r})" for client in clients]
            alone = _cpu_seconds("-c", _program("import boto3", *make))
            start = (f"import ecs_deploy.handlers.{name}", "import boto3", *make)
            started = _cpu_seconds("-c", _program(*start))
            compiled = _cpu_seconds("-I", "-S", "-B", "-c", _program(_ASSET_ONLY, *start), built)
            runs[name].append((started, alone, compiled))
    return [_start(name, measured) for name, measured in runs.items()]


def _start(name: str, runs: Sequence[tuple[float, float, float]]) -> Start:
    cpu, alone, compiled = (statistics.median(each) for each in zip(*runs, strict=True))
    ratio = statistics.median(started / clients for started, clients, _ in runs)
    return Start(name, CLIENTS[name], cpu, alone, ratio, compiled)


def _program(*lines: str) -> str:
    return "\n".join((*lines, _PRINT_CPU))


def _cpu_seconds(*arguments: str) -> float:
    """CPU seconds of a new Python, which prints them."""
    environment = {"PYTHONPATH": os.environ["PYTHONPATH"], "AWS_DEFAULT_REGION": "us-east-1"}
    command = [sys.executable, *arguments]
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(answer.stdout)


def sizes() -> tuple[int, int]:
    """Bytes of the zipped asset, and of what is not the SDK in it."""
    root = _asset()
    paths = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
    return _zipped(root, paths), _zipped(root, _without_sdk(paths))


def _asset() -> Path:
    """The asset of the targets in cdk.json."""
    context = json.loads((asset.ROOT / "cdk.json").read_text())["context"]
    return asset.build(targets.parse(context["targets"]))


def _without_sdk(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in paths if not path.name.startswith(SDK) and path.parts[0] not in SDK)


def _zipped(root: Path, paths: Iterable[Path]) -> int:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(root / path, path)
    return len(buffer.getvalue())
