"""The Lambda asset works by itself, is small, and is the same wherever and whenever it is made."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra import asset
from infra.workflow import STEPS

SDK = {"boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3"}

# What the functions do with their libraries, with nothing but the asset and the standard library to import from.
USE = """
import sys
root = sys.argv[1]
sys.path[:] = [path for path in sys.path if "site-packages" not in path and "dist-packages" not in path]
sys.path.insert(0, root)
import importlib, importlib.metadata
import boto3
for service in ("ecs", "ecr", "logs", "stepfunctions"):
    client = boto3.client(service, region_name="eu-central-1")
    assert client.meta.endpoint_url.endswith("amazonaws.com"), client.meta.endpoint_url
ecs = boto3.client("ecs", region_name="cn-north-1")
assert ecs.meta.endpoint_url.endswith("amazonaws.com.cn")
assert ecs.get_waiter("services_stable")
assert ecs.get_paginator("list_tasks")
assert boto3.client("ecr", region_name="eu-central-1").get_paginator("describe_images")
from aws_lambda_powertools import Logger, Metrics
Logger(service="s"), Metrics(namespace="n", service="s")
assert importlib.metadata.version("aws-lambda-powertools")
for handler in sys.argv[2:]:
    module, _, name = handler.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))
strangers = sorted(
    name for name, module in sys.modules.items()
    if "-packages" in (getattr(module, "__file__", None) or "")
)
assert not strangers, strangers
"""


@pytest.fixture(scope="module")
def built() -> Path:
    return asset.build()


def files(directory: Path) -> list[Path]:
    return sorted(path.relative_to(directory) for path in directory.rglob("*") if path.is_file())


def fingerprint(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in files(directory):
        digest.update(f"{path}\n".encode())
        digest.update((directory / path).read_bytes())
    return digest.hexdigest()


def test_the_asset_alone_is_enough(built: Path) -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "LAMBDA_TASK_ROOT": str(built),
    }
    # Without bytecode: the asset must stay what it is.
    command = [sys.executable, "-I", "-S", "-B", "-c", USE, str(built), *(step.handler for step in STEPS)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_nothing_is_compiled_and_nothing_differs_between_machines(built: Path) -> None:
    for path in files(built):
        assert path.suffix not in {".so", ".pyd", ".pyc", ".dylib", ".dll"}
        assert "__pycache__" not in path.parts
        assert path.parts[0] != "bin"
        assert path.name not in {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def test_it_holds_our_package_and_no_tests_of_it(built: Path) -> None:
    ours = [path for path in files(built) if path.parts[0] == "ecs_deploy"]
    assert ours == files_of_package()


def files_of_package() -> list[Path]:
    return sorted(path.relative_to(asset.PACKAGE.parent) for path in asset.PACKAGE.rglob("*.py"))


def test_it_is_small(built: Path) -> None:
    sizes = {True: io.BytesIO(), False: io.BytesIO()}
    archives = {of_sdk: zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) for of_sdk, file in sizes.items()}
    for path in files(built):
        archives[path.parts[0] in SDK].write(built / path, path)
    for archive in archives.values():
        archive.close()
    assert len(sizes[False].getvalue()) <= 5_000_000
    assert len(sizes[True].getvalue()) <= 5_000_000


def test_two_builds_at_once_make_the_same(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asset, "BUILD", tmp_path)
    with ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(asset.build) for _ in range(2))
        assert first.result() == second.result()
    assert first.result().name == built.name
    assert fingerprint(first.result()) == fingerprint(built)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.parent.name in {"asset", "asset-deps"}) == sorted(
        [built.name, *(path.name for path in (tmp_path / "asset-deps").iterdir())]
    )
    assert len(list((tmp_path / "asset-deps").iterdir())) == 1


def test_compiled_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(command: list[str], **_: object) -> None:
        target = Path(command[command.index("--target") + 1])
        for directory in ("botocore/data", "boto3/data", "fast"):
            (target / directory).mkdir(parents=True)
        (target / "fast" / "core.so").touch()

    monkeypatch.setattr(asset, "BUILD", tmp_path)
    monkeypatch.setattr(subprocess, "run", install)
    with pytest.raises(asset.CompiledDependency, match=r"must be pure Python, but holds core\.so"):
        asset.build()
    assert not list((tmp_path / "asset-deps").iterdir())


def test_what_pip_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command, output="no matching distribution")

    monkeypatch.setattr(asset, "BUILD", tmp_path)
    monkeypatch.setattr(subprocess, "run", install)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        asset.build()
    assert caught.value.__notes__ == ["no matching distribution"]
