"""The Lambda asset: our package, its locked dependencies and the targets, as plain files for any processor.

pip installs for no platform at all, so a wheel with compiled code cannot come in, and bundling needs no Docker. What
the functions never open is left out: most of botocore is models of services they do not call.

Both directories are named after what they were made from and appear complete, by a rename. So two synths at once
cannot see each other's halves, and the same content always gives the same asset hash.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from infra.targets import as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infra.targets import Target

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements" / "lambda.txt"
PACKAGE = ROOT / "lambda" / "ecs_deploy"
BUILD = ROOT / ".build"
PYTHON = "3.14"

_SERVICES = {"cloudwatch", "dynamodb", "ecr", "ecs", "logs", "resourcegroupstaggingapi", "sqs", "ssm", "stepfunctions"}
_COMPILED = {".so", ".pyd", ".dylib", ".dll"}


class CompiledDependency(RuntimeError):
    """A dependency brought compiled code, which would tie the asset to one processor."""


def build(targets: Sequence[Target]) -> Path:
    """Make the asset, or find it made; returns its directory.

    Raises `CompiledDependency`, and `subprocess.CalledProcessError` with pip's output when pip cannot install the lock.
    """
    dependencies = _once(BUILD / "asset-deps" / _digest([LOCK, Path(__file__)]), _install)
    sources = sorted(PACKAGE.rglob("*.py"))
    served = as_json(targets)

    def assemble(directory: Path) -> None:
        # A link costs no space, and nobody writes to either side again.
        shutil.copytree(dependencies, directory, copy_function=os.link, dirs_exist_ok=True)
        for source in sources:
            copy = directory / source.relative_to(PACKAGE.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
        (directory / "targets.json").write_text(served)

    return _once(BUILD / "asset" / _digest([LOCK, Path(__file__), *sources], served), assemble)


def _once(directory: Path, fill: Callable[[Path], None]) -> Path:
    """The directory, filled by whoever comes first."""
    if directory.exists():
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".") as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        fill(made)
        try:
            made.rename(directory)
        except OSError:
            # Another synth was quicker; what it made is the same.
            if not directory.exists():
                raise
    return directory


def _install(directory: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--require-hashes", "--no-deps", "--no-compile", "--only-binary=:all:"]
    command += ["--platform", "any", "--implementation", "py", "--abi", "none", "--python-version", PYTHON]
    try:
        subprocess.run(  # noqa: S603  # every word of the command is ours
            [*command, "--target", str(directory), "--requirement", str(LOCK)],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        error.add_note(error.output)
        raise
    _prune(directory)
    compiled = sorted(path.name for path in directory.rglob("*") if path.suffix in _COMPILED)
    if compiled:
        raise CompiledDependency(f"The Lambda asset must be pure Python, but holds {', '.join(compiled)}.")


def _prune(directory: Path) -> None:
    """Leave what the functions open. Versions are read from METADATA; RECORD and its like differ between machines."""
    shutil.rmtree(directory / "bin", ignore_errors=True)
    for models in (directory / "botocore" / "data", directory / "boto3" / "data"):
        for service in models.iterdir():
            if service.is_dir() and service.name not in _SERVICES:
                shutil.rmtree(service)
    for info in directory.glob("*.dist-info"):
        for path in info.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "METADATA":
                path.unlink()


def _digest(files: list[Path], text: str = "") -> str:
    digest = hashlib.sha256(text.encode())
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(ROOT).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]
