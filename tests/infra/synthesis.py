"""Synthesizes the stack as `app.py` does, and reads templates as CloudFormation would."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_cdk import App, assertions

from infra import checks
from infra.context import Discovery, LogLevel, Notify
from infra.stack import EcsDeployStack
from infra.targets import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
CDK_JSON = json.loads((ROOT / "cdk.json").read_text())
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "EcsDeploy",
    "AWS::URLSuffix": "amazonaws.com",
}

NOBODY_YET = Notify()


def synthesize(
    targets: Sequence[dict[str, Any]],
    log_level: LogLevel = LogLevel.INFO,
    notify: Notify | None = NOBODY_YET,
    discovery: Discovery | None = None,
    registries: Sequence[str] = (),
) -> dict[str, Any]:
    """The template for some targets, with the feature flags of cdk.json; raises when cdk-nag has a finding."""
    with tempfile.TemporaryDirectory() as output:
        app = App(context=CDK_JSON["context"], outdir=output)
        stack = EcsDeployStack(
            app,
            targets=parse(list(targets), registries, may_be_empty=discovery is not None),
            log_level=log_level,
            notify=notify,
            discovery=discovery,
            registries=registries,
        )
        checks.enforce(app)
        return dict(assertions.Template.from_stack(stack).to_json())


def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The properties of every resource of a type, by logical id without its hash."""
    return {
        name[:-8]: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def resolve(value: Any) -> Any:
    """A value with its intrinsic functions evaluated; a resource is known by its logical id without its hash."""
    match value:
        case {"Ref": name}:
            return PSEUDO.get(name) or f"{{{name[:-8]}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"{{{name[:-8]}.{attribute}}}"
        case {"Fn::Join": [separator, parts]}:
            return separator.join(resolve(part) for part in parts)
        case dict():
            return {key: resolve(inner) for key, inner in value.items()}
        case list():
            return [resolve(inner) for inner in value]
    return value
