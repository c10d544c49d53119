"""`make acceptance`: the suite on an AWS account, once its owner has confirmed which one and at what cost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tests.acceptance import NAME, SCENARIOS, scenarios, suite

HOURS = 0.75
# US dollars an hour in us-east-1, of a task with 0.25 vCPU and 0.5 GB, and of its public address:
# https://aws.amazon.com/fargate/pricing/ and https://aws.amazon.com/vpc/pricing/
TASK, ADDRESS = 0.25 * 0.04048 + 0.5 * 0.004445, 0.005
# Old and new tasks run side by side.
TASKS = 2 * len(SCENARIOS)
BILL = f"""\
The acceptance suite would create, in the account and region of your credentials:
  - the CloudFormation stack {NAME}: a VPC without NAT gateways, the cluster {NAME},
    {len(SCENARIOS)} repositories {NAME}/*, {len(SCENARIOS) + 1} roles for tasks, a queue and a rule for the events of
    ECS, and the deployer itself
  - {len(SCENARIOS)} Fargate services of one task (0.25 vCPU, 0.5 GB, a public address):
    {", ".join(SCENARIOS)}
  - a Deny of iam:PassRole on one of its own roles, for some minutes
It takes about half an hour and removes all of it at the end, the deployer's table too.
It costs about US${TASKS * HOURS * (TASK + ADDRESS):.2f} for {TASKS} tasks in {HOURS * 60:.0f} minutes.
The account has to be bootstrapped for the CDK (cdk bootstrap).
"""


def main() -> int:
    """Say what it would cost and create; run the suite when the account is the one that was confirmed."""
    print(BILL, flush=True)  # noqa: T201
    try:
        identity = boto3.client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as problem:
        print(f"No account can be reached with your credentials: {problem}", file=sys.stderr)  # noqa: T201
        return 2
    account = identity["Account"]
    if os.environ.get("ACCOUNT") != account:
        where = f"the account {account}, as {identity['Arn']}"
        print(f"Your credentials are of {where}. To go on: make acceptance ACCOUNT={account}", file=sys.stderr)  # noqa: T201
        return 2
    with (
        tempfile.TemporaryDirectory() as directory,
        suite.deployed(cdk, client, Path(directory), seconds=5, propagation=60) as created,
    ):
        facts = scenarios.run(created)
        # Before all is removed: what fails then hides nothing.
        print(suite.report(facts), flush=True)  # noqa: T201
    return int(any(fact.differs for fact in facts))


@cache
def client(service: str) -> Any:
    """Give a client of the caller's own account."""
    session: Any = boto3.Session()
    return session.client(service)


def cdk(arguments: list[str]) -> None:
    """Run the CDK's command with the caller's credentials."""
    subprocess.run(["cdk", *arguments, "--no-notices"], check=True)  # noqa: S607


if __name__ == "__main__":
    sys.exit(main())
