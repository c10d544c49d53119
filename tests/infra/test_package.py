"""What `make package` writes: the same wherever it is made, and nothing that only the CDK would have."""

from __future__ import annotations

import json
import re
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from infra import asset, package
from tests.infra.synthesis import ROOT, of_type

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    archive, template = package.write(tmp_path_factory.mktemp("package") / "dist")
    return archive, json.loads(template.read_text())


def test_the_zip_file_is_the_asset(written: tuple[Path, dict[str, Any]]) -> None:
    archive, _ = written
    code = asset.build([])
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        assert {name: packed.read(name) for name in names} == {
            path.relative_to(code).as_posix(): path.read_bytes() for path in code.rglob("*") if path.is_file()
        }
        assert {each.external_attr >> 16 for each in packed.infolist()} == {0o644}
    assert json.loads((code / "targets.json").read_text()) == []


def test_it_is_the_same_each_time(written: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    archive, template = written
    again, other = package.write(tmp_path / "dist")
    assert (again.name, again.read_bytes()) == (archive.name, archive.read_bytes())
    assert json.loads(other.read_text()) == template
    assert sorted(each.name for each in again.parent.iterdir()) == sorted([archive.name, package.TEMPLATE])


def test_nothing_of_the_cdk_is_left(written: tuple[Path, dict[str, Any]]) -> None:
    archive, template = written
    text = json.dumps(template)
    assert "BootstrapVersion" not in template["Parameters"]
    assert "Rules" not in template
    assert "cdk-hnb659fds" not in text
    assert "AWS::CDK::Metadata" not in text
    assert template["Parameters"]["AssetKey"]["Default"] == archive.name
    for function in of_type(template, "AWS::Lambda::Function").values():
        assert function["Code"] == {"S3Bucket": {"Ref": "AssetBucket"}, "S3Key": {"Ref": "AssetKey"}}


def test_what_is_empty_makes_nothing(written: tuple[Path, dict[str, Any]]) -> None:
    _, template = written
    conditional = {name: each["Condition"] for name, each in template["Resources"].items() if "Condition" in each}
    assert sorted(conditional.values()) == ["SomeRegistries", "Somebody"]
    for name, parameter in (
        ("SomeRegistries", {"Fn::Join": [",", {"Ref": "Registries"}]}),
        ("Somebody", {"Ref": "NotifyEmail"}),
    ):
        assert template["Conditions"][name] == {"Fn::Not": [{"Fn::Equals": [parameter, ""]}]}


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("Roles", "arn:aws:iam::123456789012:role/ecs/*-task", "*-task"),
        ("Registries", "123456789012", "123456789012/eu-west-1"),
        ("NotifyEmail", "ops@example.com", "ops"),
    ],
)
def test_what_parameters_take(written: tuple[Path, dict[str, Any]], parameter: str, good: str, bad: str) -> None:
    pattern = written[1]["Parameters"][parameter]["AllowedPattern"]
    assert re.fullmatch(pattern, good)
    assert not re.fullmatch(pattern, bad)
    if parameter != "NotifyEmail":
        assert re.fullmatch(pattern, f"{good},{good}")
    assert bool(re.fullmatch(pattern, "")) == ("Default" in written[1]["Parameters"][parameter])


def test_every_parameter_is_in_the_guide(written: tuple[Path, dict[str, Any]]) -> None:
    guide = (ROOT / "docs" / "package.md").read_text()
    assert set(re.findall(r"^\| `(\w+)`", guide, re.MULTILINE)) == set(written[1]["Parameters"])
