"""The package on the emulator, by the commands of docs/package.md and with the AWS CLI alone: no CDK, no Node."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from infra import package
from local import environment
from local.project import ROOT
from tests.workflow.conftest import Service, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.cloud import Cloud

GUIDE = (ROOT / "docs" / "package.md").read_text()
CLUSTER, BUCKET = "packaged", "my-artifacts"
ROLES = "arn:aws:iam::{account}:role/doorman-*"


@dataclass(frozen=True)
class Cli:
    """A shell that has the AWS CLI, and nothing else of ours."""

    directory: Path
    variables: dict[str, str]

    def run(self, script: str) -> str:
        """Run commands, all of which succeed; gives what they print."""
        ran = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", script],
            cwd=self.directory,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{script}\n{ran.stdout}{ran.stderr}"
        return ran.stdout


def commands(section: str) -> str:
    """The commands of a section of the guide."""
    text = GUIDE[GUIDE.index(f"## {section}") :]
    block = re.search(r"```console\n(.*?)```", text, re.DOTALL)
    assert block
    return "\n".join(line.removeprefix("$ ").strip() for line in block[1].replace("\\\n", " ").splitlines())


@pytest.fixture(scope="module")
def cli(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The CLI, in a directory that has what `make package` writes."""
    directory = tmp_path_factory.mktemp("package")
    package.write(directory / "dist")
    tools = directory / "bin"
    tools.mkdir()
    # The command finds its own Python by its first line, and its path holds neither the CDK nor Node.
    (tools / "aws").write_text(f'#!/bin/sh\nexec {sys.executable} -I -m awscli "$@"\n')
    (tools / "aws").chmod(0o755)
    variables = environment.clean(directory, cloud.account) | {
        "PATH": os.pathsep.join([str(tools), "/usr/bin", "/bin"]),
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "ROLES": ROLES.format(account=cloud.account),
        "BUCKET": BUCKET,
    }
    made = Cli(directory, variables)
    made.run(f"aws s3 mb s3://{BUCKET}")
    return made


@pytest.fixture(scope="module")
def outputs(cli: Cli, cloud: Cloud) -> dict[str, str]:
    """The outputs of the stack, once it is deployed as the guide says."""
    cli.run(commands("Deploy it with the AWS CLI"))
    (stack,) = cloud.client("cloudformation").describe_stacks(StackName="ecs-deploy")["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


@pytest.fixture
def unlisted(cloud: Cloud, outputs: dict[str, str], numbers: Iterator[int]) -> Service:
    """A service that no target lists, and that has not opted in."""
    name = f"packaged-{next(numbers)}"
    ecs = cloud.client("ecs")
    made = Service(cloud, ecs, CLUSTER, name, name)
    ecs.create_cluster(clusterName=CLUSTER)
    trust = json.dumps({"Statement": {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}})
    role = cloud.client("iam").create_role(RoleName=f"doorman-{name}", AssumeRolePolicyDocument=trust)["Role"]
    revision = made.register(made.push("v1"), taskRoleArn=role["Arn"])
    ecs.create_service(cluster=CLUSTER, serviceName=name, taskDefinition=revision, desiredCount=1)
    made.wait_stable()
    return made


def tag(service: Service, **tags: str) -> None:
    """Let a service opt in, and wait until the deployer knows."""
    pairs = [{"key": f"ecs-deploy:{key}", "value": value} for key, value in tags.items()]
    service.ecs.tag_resource(resourceArn=service.describe()["serviceArn"], tags=pairs)


def known(service: Service, outputs: dict[str, str]) -> bool:
    """Whether the deployer has noted a service."""
    key = {"pk": {"S": service.key}, "sk": {"S": "STATE"}}
    found = service.cloud.client("dynamodb").get_item(TableName=outputs["TableName"], Key=key, ConsistentRead=True)
    return "Item" in found


def outcome(cloud: Cloud, machine: str, name: str) -> dict[str, Any]:
    """The last execution of a service, once it has ended."""
    sfn = cloud.client("stepfunctions")

    def last() -> dict[str, Any] | None:
        for each in sfn.list_executions(stateMachineArn=machine)["executions"]:
            found: dict[str, Any] = sfn.describe_execution(executionArn=each["executionArn"])
            if f'"{name}"' in found["input"] and found["status"] != "RUNNING":
                return found
        return None

    return eventually(last) or {}


def test_from_the_package_to_a_deployed_push(cloud: Cloud, outputs: dict[str, str], unlisted: Service) -> None:
    tag(unlisted, repository=unlisted.repository, tags="semver:@from 1.0 / @not @any-debug")
    eventually(lambda: known(unlisted, outputs))
    unlisted.push("2.0.0-debug")
    pushed = unlisted.push("1.1.0")
    unlisted.wait(lambda service: unlisted.images()[0] == pushed and len(service["deployments"]) == 1)
    assert outcome(cloud, outputs["StateMachineArn"], unlisted.name)["status"] == "SUCCEEDED"


def test_an_untagged_service_cannot_be_updated(cloud: Cloud, outputs: dict[str, str], unlisted: Service) -> None:
    before = unlisted.primary()["taskDefinition"]
    request = {"cluster": unlisted.cluster, "service": unlisted.name, "image": unlisted.push("v2")}
    sfn, machine = cloud.client("stepfunctions"), outputs["StateMachineArn"]
    sfn.start_execution(stateMachineArn=machine, input=json.dumps(request))
    ended = outcome(cloud, machine, unlisted.name)
    assert ended["error"] == "AccessDenied"
    assert "tag ecs-deploy:repository" in ended["cause"]
    # The functions' own roles may not, whatever they are asked for.
    assert unlisted.primary()["taskDefinition"] == before
    tag(unlisted, repository=unlisted.repository)
    eventually(lambda: known(unlisted, outputs))
    sfn.start_execution(stateMachineArn=machine, input=json.dumps(request))
    unlisted.wait(lambda service: unlisted.images()[0] == request["image"] and len(service["deployments"]) == 1)


def test_a_wrong_tag_is_said_where_the_owner_sees_it(cloud: Cloud, outputs: dict[str, str], unlisted: Service) -> None:
    tag(unlisted, repository=unlisted.repository, timeout="soon")
    ended = outcome(cloud, outputs["StateMachineArn"], unlisted.name)
    assert ended["error"] == "InvalidRequest"
    assert "ecs-deploy:timeout: must be a whole number of seconds" in ended["cause"]


def test_the_schedule_finds_services_and_an_alarm_holds(
    cloud: Cloud, outputs: dict[str, str], unlisted: Service
) -> None:
    name = f"errors-of-{unlisted.name}"
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=name, Namespace="tests", MetricName="errors", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    cloud.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    tag(unlisted, repository=unlisted.repository, alarm=name)
    discover = json.dumps({"discover": True})
    cloud.client("sqs").send_message(QueueUrl=outputs["QueueUrl"], MessageBody=discover)
    eventually(lambda: known(unlisted, outputs))
    pushed = unlisted.push("v2")
    held = outcome(cloud, outputs["StateMachineArn"], unlisted.name)
    assert f"the alarm {name} is ALARM" in held["output"]
    cloud.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="OK", StateReason="test")
    fine = {"source": "aws.cloudwatch", "detail": {"alarmName": name, "state": {"value": "OK"}}, "resources": []}
    cloud.client("sqs").send_message(QueueUrl=outputs["QueueUrl"], MessageBody=json.dumps(fine))
    unlisted.wait(lambda service: unlisted.images()[0] == pushed and len(service["deployments"]) == 1)


def test_it_is_removed_by_the_command_of_the_guide(cli: Cli, cloud: Cloud, outputs: dict[str, str]) -> None:
    cli.run(commands("Remove it"))
    stacks = cloud.client("cloudformation").list_stacks()["StackSummaries"]
    assert not [each for each in stacks if each["StackName"] == "ecs-deploy" and "DELETE" not in each["StackStatus"]]
    assert outputs["TableName"] in cloud.client("dynamodb").list_tables()["TableNames"]
