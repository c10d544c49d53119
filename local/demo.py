"""The main job on this machine: a push becomes a deployment, a broken push is undone, a wrong request is refused.

The command line shows it, as it would show a deployment on AWS.

Both pushes have the tag `latest`, so the return shows that what ran comes back, and not what the tag means by then.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from typing import Any

from rich.console import Console

from local import environment, images, report
from local.cloud import Cloud, LocalCloud
from local.processes import ProcessFailedError
from local.project import ROOT

CLUSTER, SERVICE, REPOSITORY = "production1", "doorman-service", "doorman"
# Pushes of latest are deployed; 1.0.0, which the service starts with, is none of them.
TARGET = {"repository": REPOSITORY, "tags": ["latest"], "cluster": CLUSTER, "service": SERVICE, "timeout": 120}
LONGEST_SECONDS = 180.0
POLL_SECONDS = 0.5

console = Console(highlight=False, soft_wrap=True)


class DemoError(Exception):
    """The demo did not go as it must."""


def main() -> int:
    """Run the demo; answers its exit status."""
    # Both end the block of the emulator, which leaves nothing running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console.print("Starting AWS on this machine and deploying the stack to it (its log: .build/demo.log) …")
    try:
        with LocalCloud([TARGET], start_seconds=1.0, enforce=True) as cloud:
            try:
                Demo(cloud).run()
            finally:
                console.print(f"What happened, as a page to look at: {report.write(cloud)}")
    except (DemoError, ProcessFailedError) as problem:
        console.print(f"[red]The demo failed:[/] {problem}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


class Demo:
    """The three acts."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.ecs = cloud.client("ecs")
        self.ecr = cloud.client("ecr")
        self.states = cloud.client("stepfunctions")

    def run(self) -> None:
        self.create_service()
        self.headline(f"A push: {REPOSITORY}:latest")
        good = images.push(self.ecr, REPOSITORY, "latest")
        self.expect(self.follow(), "DEPLOYED")
        self.headline(f"A broken push: {REPOSITORY}:latest again, which crashes when it is started")
        images.push(self.ecr, REPOSITORY, "latest", "crash")
        self.expect(self.follow(), "DeploymentFailed")
        self.expect_running(good.digest)
        self.headline("A wrong request: a name that is none, a timeout that is too short")
        self.command("-c", CLUSTER, "-n", "no such service", "-i", f"{REPOSITORY}:latest", "-t", "5")
        self.expect(self.new_execution(), "InvalidRequest")
        self.headline("What runs")
        self.command("status", "-c", CLUSTER, "-n", SERVICE)

    def create_service(self) -> None:
        image = images.push(self.ecr, REPOSITORY, "1.0.0").image
        self.ecs.create_cluster(clusterName=CLUSTER)
        container = {"name": "doorman", "image": image, "memory": 64, "essential": True}
        self.ecs.register_task_definition(family=REPOSITORY, containerDefinitions=[container])
        self.ecs.create_service(cluster=CLUSTER, serviceName=SERVICE, taskDefinition=REPOSITORY, desiredCount=2)
        self.headline(f"{SERVICE} of the cluster {CLUSTER}: two tasks of {REPOSITORY}:1.0.0")
        deadline = time.monotonic() + LONGEST_SECONDS
        while self.deployments()[0]["rolloutState"] != "COMPLETED":
            if time.monotonic() > deadline:
                raise DemoError("the service did not become stable")
            time.sleep(POLL_SECONDS)
        console.print(f"It runs [bold]{self.running()}[/].")
        self.known = self.executions()

    def follow(self) -> str:
        """Follow the newest execution to its end, as a person would; answers its ARN."""
        arn = self.new_execution()
        self.command("follow", arn.rpartition(":")[2])
        return arn

    def command(self, *arguments: str) -> None:
        """Run the command line against the emulator, on the terminal of the demo."""
        console.print(f"$ ecs-deploy {shlex.join(arguments)}")
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        variables = own | {
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            "AWS_DEFAULT_REGION": self.cloud.region,
            "AWS_ACCESS_KEY_ID": self.cloud.account,
            "AWS_SECRET_ACCESS_KEY": environment.SECRET,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        command = [sys.executable, "-m", "cli", *arguments]
        # Its exit status says how the execution ended, which the demo reads itself.
        subprocess.run(command, cwd=ROOT, env=variables, timeout=LONGEST_SECONDS, check=False)  # noqa: S603

    def new_execution(self) -> str:
        deadline = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < deadline:
            if new := self.executions() - self.known:
                self.known |= new
                return new.pop()
            time.sleep(POLL_SECONDS)
        raise DemoError("the push started no execution")

    def expect(self, arn: str, wanted: str) -> None:
        """Raise `DemoError` where an execution has not ended as it must."""
        end = self.states.describe_execution(executionArn=arn)
        got = end.get("error") or json.loads(end.get("output") or "{}").get("outcome")
        if got != wanted:
            raise DemoError(f"{wanted} was to be expected, not {got}")

    def expect_running(self, digest: str) -> None:
        """Print which digest all running tasks report; raises `DemoError` where it is another one."""
        tasks = self.ecs.list_tasks(cluster=CLUSTER, serviceName=SERVICE)["taskArns"]
        described = self.ecs.describe_tasks(cluster=CLUSTER, tasks=tasks)["tasks"]
        found = {each["containers"][0].get("imageDigest", "no digest") for each in described}
        console.print(f"The tasks run [bold]{', '.join(sorted(found))}[/], which was pushed first.")
        if found != {digest}:
            raise DemoError(f"{digest} was to be expected, which was pushed first")

    def executions(self) -> set[str]:
        listed = self.states.list_executions(stateMachineArn=self.cloud.state_machine)["executions"]
        return {each["executionArn"] for each in listed}

    def deployments(self) -> list[dict[str, Any]]:
        service = self.ecs.describe_services(cluster=CLUSTER, services=[SERVICE])["services"][0]
        return sorted(service["deployments"], key=lambda each: each["status"] != "PRIMARY")

    def running(self) -> str:
        revision = self.deployments()[0]["taskDefinition"]
        definition = self.ecs.describe_task_definition(taskDefinition=revision)["taskDefinition"]
        return f"{revision.rpartition('/')[2]} ({definition['containerDefinitions'][0]['image']})"

    def headline(self, text: str) -> None:
        console.print()
        console.rule(text, align="left")


if __name__ == "__main__":
    sys.exit(main())
