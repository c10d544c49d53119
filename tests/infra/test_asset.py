"""The Lambda asset works by itself, is small, and is the same wherever and whenever it is made."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra import asset
from infra.targets import parse
from infra.workflow import STEPS
from tests.infra.synthesis import CDK_JSON

TARGETS = parse(CDK_JSON["context"]["targets"])
HANDLERS = [
    f"ecs_deploy.handlers.{name}.handler"
    for name in ("dispatcher", "write_parameter", *(step.module for step in STEPS))
]
SDK = {"boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3"}

# What the functions do with their libraries, with nothing but the asset and the standard library to import from.
USE = """
import sys
root = sys.argv[1]
sys.path[:] = [path for path in sys.path if "site-packages" not in path and "dist-packages" not in path]
sys.path.insert(0, root)
import importlib, importlib.metadata
import boto3
for service in ("dynamodb", "ecr", "ecs", "logs", "sqs", "ssm", "stepfunctions"):
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
    return asset.build(TARGETS)


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
    command = [sys.executable, "-I", "-S", "-B", "-c", USE, str(built), *HANDLERS]
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
    assert ours == sorted(path.relative_to(asset.PACKAGE.parent) for path in asset.PACKAGE.rglob("*.py"))


NO_WAITS: dict[str, object] = {
    "min_age": 0,
    "window": None,
    "alarm": None,
    "sticky_revert": False,
    "registry": None,
    "gates": {},
    "promoted_from": None,
    "together": "",
    "order": 0,
}


def test_it_holds_what_the_dispatcher_reads(built: Path) -> None:
    listed: list[dict[str, Any]] = [
        {"repository": "doorman", "tags": ["v*"], "cluster": "production1", "service": "doorman", "container": "web"},
        {"cluster": "production1", "service": "by-hand", "timeout": 60, "rollback": False, "roles": []},
    ]
    directory = asset.build(parse(listed))
    assert json.loads((directory / "targets.json").read_text()) == [
        {
            "cluster": "production1",
            "service": "doorman",
            "repository": "doorman",
            "tags": ["v*"],
            "timeout": 600,
            "rollback": True,
            "container": "web",
            "pin": True,
            "require_rollback": False,
            "retain": False,
            "reconcile_minutes": 60,
            **NO_WAITS,
        },
        {
            "cluster": "production1",
            "service": "by-hand",
            "repository": None,
            "tags": ["*"],
            "timeout": 60,
            "rollback": False,
            "container": None,
            "pin": True,
            "require_rollback": False,
            "retain": False,
            "reconcile_minutes": None,
            **NO_WAITS,
        },
    ]
    # What only the stack uses makes no other asset.
    assert asset.build(parse([listed[0] | {"parameter": "/image"}, listed[1] | {"roles": ["task"]}])) == directory
    assert built != directory


def test_every_package_of_ours_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "ecs_deploy"
    for name in ("__init__.py", "core/__init__.py", "core/order.py", "core/deep/er.py", "core/__pycache__/order.pyc"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).touch()
    monkeypatch.setattr(asset, "PACKAGE", package)
    monkeypatch.setattr(asset, "ROOT", Path("/"))
    monkeypatch.setattr(asset, "BUILD", tmp_path / "build")
    monkeypatch.setattr(asset, "_install", lambda _: None)
    copied = [str(path) for path in files(asset.build(TARGETS))]
    ours = ["__init__.py", "core/__init__.py", "core/deep/er.py", "core/order.py"]
    assert copied == [*(f"ecs_deploy/{name}" for name in ours), "targets.json"]


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
        first, second = (pool.submit(asset.build, TARGETS) for _ in range(2))
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
        asset.build(TARGETS)
    assert not list((tmp_path / "asset-deps").iterdir())


def test_what_pip_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command, output="no matching distribution")

    monkeypatch.setattr(asset, "BUILD", tmp_path)
    monkeypatch.setattr(subprocess, "run", install)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        asset.build(TARGETS)
    assert caught.value.__notes__ == ["no matching distribution"]
