"""The acceptance suite on the emulator, which removes all that it made."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from local import environment, stack
from local.project import ROOT
from tests.acceptance import NAME, SCENARIOS, images, scenarios, suite

if TYPE_CHECKING:
    from pathlib import Path

    from local.cloud import Cloud

# Where the emulator is known to differ from AWS: docs/emulator.md.
DIFFERENT = {"failedTasks after containers that ran and then exited?"}


def test_what_the_models_say_holds(cloud: Cloud, tmp_path: Path) -> None:
    variables = environment.cdk(tmp_path, cloud.account, cloud.endpoint)
    cdk = partial(stack.cdk, directory=ROOT, variables=variables, stop=threading.Event())
    with suite.deployed(cdk, cloud.client, tmp_path, seconds=0.2, propagation=0) as account:
        facts = scenarios.run(account)
    assert {fact.scenario for fact in facts} == set(SCENARIOS)
    assert {fact.what for fact in facts if fact.differs} == DIFFERENT, suite.report(facts)
    repositories = cloud.client("ecr").describe_repositories()["repositories"]
    assert not [each for each in repositories if each["repositoryName"].startswith(NAME)]
    assert account.outputs["TableName"] not in cloud.client("dynamodb").list_tables()["TableNames"]
    assert cloud.client("ecs").list_task_definitions(familyPrefix=NAME)["taskDefinitionArns"] == []


@pytest.mark.skipif(not images.RUN_HERE, reason="the images are for x86-64 Linux, which this machine is not")
@pytest.mark.parametrize(("seconds", "code"), [(0, 0), (0, 3), (1, 7)])
def test_the_program_of_the_images_runs(tmp_path: Path, seconds: int, code: int) -> None:
    """No other machine can run it. CI's can, and needs nothing more: .github/workflows/ci.yml."""
    binary = tmp_path / "program"
    binary.write_bytes(images.program(seconds, code))
    binary.chmod(0o755)
    assert subprocess.run([binary], check=False).returncode == code


def test_nothing_is_created_without_the_account_s_confirmation() -> None:
    """The credentials reach nothing, so that a call would fail otherwise."""
    variables = {"PATH": "/usr/bin", "PYTHONPATH": str(ROOT), "AWS_CONFIG_FILE": "/nowhere", "HOME": "/nowhere"}
    variables |= {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_EC2_METADATA_DISABLED": "true"}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.acceptance"], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert f"the CloudFormation stack {NAME}" in ran.stdout
    assert "US$0." in ran.stdout
    assert "No account can be reached" in ran.stderr


def test_nothing_is_created_in_another_account_than_the_one_that_was_confirmed(cloud: Cloud) -> None:
    variables = {
        **os.environ,
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_ACCESS_KEY_ID": cloud.credentials["accessKeyId"],
        "AWS_SECRET_ACCESS_KEY": cloud.credentials["secretAccessKey"],
        "AWS_DEFAULT_REGION": cloud.region,
        "ACCOUNT": "123456789012",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "tests.acceptance"], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert f"Your credentials are of the account {cloud.account}" in ran.stderr
    assert f"make acceptance ACCOUNT={cloud.account}" in ran.stderr
    stacks = cloud.client("cloudformation").list_stacks()["StackSummaries"]
    assert not [each for each in stacks if each["StackName"] == NAME and each["StackStatus"] != "DELETE_COMPLETE"]
