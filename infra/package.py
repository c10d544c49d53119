"""`make package`: the deployer as a zip file and a plain CloudFormation template, for whoever has neither CDK nor Node.

There are no targets: services opt in by tags. What `cdk.json` would say is parameters of the template.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from aws_cdk import (
    Annotations,
    App,
    Aws,
    CfnCondition,
    CfnOutput,
    CfnParameter,
    DefaultStackSynthesizer,
    Fn,
    Stack,
)
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from infra import asset, checks
from infra.context import Discovery, Notify
from infra.deployer import EcsDeploy
from infra.dispatch import Registries

TEMPLATE = "ecs-deploy.template.json"
# The first moment that a zip file can say.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_ROLE = r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@*/-]{1,576}"
_EMAIL = r"[^@ ]+@[^@ ]+\.[^@ ]+"


class PackagedStack(Stack):
    """The stack whose asset is `key` in a bucket that a parameter names."""

    def __init__(self, scope: App, key: str) -> None:
        super().__init__(
            scope,
            "EcsDeploy",
            description="ecs-deploy: push an image to ECR, and the ECS services that use it run it",
            synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
        )
        bucket = CfnParameter(self, "AssetBucket", description=f"The bucket that has {key}, in the stack's region")
        place = CfnParameter(self, "AssetKey", default=key, description="Its key in that bucket")
        roles = CfnParameter(
            self,
            "Roles",
            type="CommaDelimitedList",
            allowed_pattern=f"{_ROLE}(,{_ROLE})*",
            description="ARNs of the roles that services which opt in may carry; * for any characters",
        )
        email = CfnParameter(
            self,
            "NotifyEmail",
            default="",
            allowed_pattern=f"({_EMAIL})?",
            description="Who is notified of outcomes and alarms. Others subscribe to the topic of the outputs",
        )
        accounts = CfnParameter(
            self,
            "Registries",
            type="CommaDelimitedList",
            default="",
            # Whether it is held to each account or to the list, it fits.
            allowed_pattern="([0-9]{12}(,[0-9]{12})*)?",
            description="Other accounts whose pushes count, once they are forwarded",
        )
        made = EcsDeploy(
            self,
            "Default",
            targets=[],
            notify=Notify(),
            discovery=Discovery(tuple(roles.value_as_list)),
            registries=self._registries(accounts.value_as_list),
            code=lambda_.Code.from_bucket(
                s3.Bucket.from_bucket_name(self, "Bucket", bucket.value_as_string), place.value_as_string
            ),
        )
        Annotations.of(self).acknowledge_warning(
            "@aws-cdk/aws-lambda:codeFromBucketObjectVersionNotSpecified", "The key is named after the content."
        )
        for name, value in made.outputs.items():
            CfnOutput(self, name, value=value)
        self._subscribe(email.value_as_string, made.outputs["NotificationsTopicArn"])

    def _registries(self, accounts: list[str]) -> Registries:
        text = Fn.join(",", accounts)
        some = CfnCondition(self, "SomeRegistries", expression=Fn.condition_not(Fn.condition_equals(text, "")))
        return Registries(text, accounts, Fn.split(",", Fn.join(",", [Aws.ACCOUNT_ID, text])), some)

    def _subscribe(self, email: str, topic: str) -> None:
        somebody = CfnCondition(self, "Somebody", expression=Fn.condition_not(Fn.condition_equals(email, "")))
        subscription = sns.CfnSubscription(self, "Email", topic_arn=topic, protocol="email", endpoint=email)
        subscription.cfn_options.condition = somebody


def write(directory: Path) -> tuple[Path, Path]:
    """Write the zip file and the template; answer both. What was there before is removed."""
    code = asset.build([])
    archive = directory / f"ecs-deploy-{code.name}.zip"
    with tempfile.TemporaryDirectory() as output:
        context = json.loads((asset.ROOT / "cdk.json").read_text())["context"]
        app = App(analytics_reporting=False, context=context, outdir=output)
        stack = PackagedStack(app, archive.name)
        checks.enforce(app)
        app.synth()
        template = json.loads((Path(output) / f"{stack.stack_name}.template.json").read_text())
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / TEMPLATE).write_text(json.dumps(template, indent=1) + "\n")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(each for each in code.rglob("*") if each.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(code).as_posix(), _NO_TIME)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, path.read_bytes())
    return archive, directory / TEMPLATE


if __name__ == "__main__":
    for made in write(asset.ROOT / sys.argv[1]):
        print(made.relative_to(asset.ROOT))  # noqa: T201 - what the command is for
