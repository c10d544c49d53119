"""The main job on this machine: a push becomes a deployment, a broken push is undone, a wrong request is refused.

Both pushes have the tag `latest`, so the return shows that what ran comes back, and not what the tag means by then.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from local import images, report
from local.cloud import Cloud, LocalCloud
from local.processes import ProcessFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

CLUSTER, SERVICE, REPOSITORY = "production1", "doorman-service", "doorman"
# Pushes of latest are deployed; 1.0.0, which the service starts with, is none of them.
TARGET = {"repository": REPOSITORY, "tags": ["latest"], "cluster": CLUSTER, "service": SERVICE, "timeout": 120}
LONGEST_SECONDS = 180.0
POLL_SECONDS = 0.5

console = Console(highlight=False, soft_wrap=True)


class DemoError(Exception):
    """The demo did not go as it must."""


@dataclass
class Snapshot:
    """What is to be observed of an execution at one moment."""

    state: str
    status: str
    polls: int
    seconds: float
    deployments: list[dict[str, Any]] = field(default_factory=list)

    def key(self) -> object:
        """What makes two snapshots different; the seconds alone do not."""
        return self.state, self.status, self.polls, str(self.deployments)


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
        self.headline("A wrong request: a service that is not there, a timeout that is no number")
        wrong = {"cluster": CLUSTER, "service": "no such service", "image": f"{REPOSITORY}:latest", "timeout": "ten"}
        console.print(f"start-execution --input '{json.dumps(wrong)}'")
        self.states.start_execution(stateMachineArn=self.cloud.state_machine, input=json.dumps(wrong))
        self.expect(self.follow(), "InvalidRequest")
        console.print()
        console.print(f"{SERVICE} runs [bold]{self.running()}[/].")

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

    def follow(self) -> dict[str, Any]:
        """Show the newest execution live to its end; answers how it ended."""
        arn = self.new_execution()
        shown: object = None
        with Live(console=console, auto_refresh=False) as live:
            for snapshot in self.snapshots(arn):
                if console.is_terminal:
                    live.update(picture(snapshot), refresh=True)
                elif snapshot.key() != shown:
                    console.print(line(snapshot))
                shown = snapshot.key()
        end: dict[str, Any] = self.states.describe_execution(executionArn=arn)
        return end

    def new_execution(self) -> str:
        deadline = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < deadline:
            if new := self.executions() - self.known:
                self.known |= new
                return new.pop()
            time.sleep(POLL_SECONDS)
        raise DemoError("the push started no execution")

    def snapshots(self, arn: str) -> Iterator[Snapshot]:
        started = time.monotonic()
        while (seconds := time.monotonic() - started) < LONGEST_SECONDS:
            status = self.states.describe_execution(executionArn=arn)["status"]
            history = self.states.get_execution_history(executionArn=arn, maxResults=1000)["events"]
            entered = [
                each["stateEnteredEventDetails"]["name"] for each in history if "stateEnteredEventDetails" in each
            ]
            state = entered[-1] if entered else "starting"
            yield Snapshot(state, status, entered.count("PollStability"), seconds, self.deployments())
            if status != "RUNNING":
                return
            time.sleep(POLL_SECONDS)
        raise DemoError(f"the execution did not end within {LONGEST_SECONDS:.0f} seconds")

    def expect(self, end: dict[str, Any], wanted: str) -> None:
        """Print how an execution ended; raises `DemoError` where it ended otherwise."""
        document = json.loads(end.get("cause") or end.get("output") or "{}")
        got = end.get("error") or document.get("outcome")
        console.print(f"[bold]{end['status']}: {got}[/]")
        console.print_json(data=document)
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


def picture(snapshot: Snapshot) -> RenderableType:
    """Draw a snapshot for a terminal."""
    table = Table(title=line(snapshot), title_justify="left", title_style="bold")
    for column in ("revision", "deployment", "rollout state", "running", "pending", "failed"):
        table.add_column(column)
    for each in snapshot.deployments:
        counts = [str(each.get(name, 0)) for name in ("runningCount", "pendingCount", "failedTasks")]
        table.add_row(short(each), each["status"], each.get("rolloutState", ""), *counts)
    return table


def line(snapshot: Snapshot) -> str:
    """Say a snapshot in one line."""
    tasks = ", ".join(f"{short(each)} {each['runningCount']} running" for each in snapshot.deployments)
    return f"{snapshot.seconds:5.1f} s  {snapshot.state:<24} polls {snapshot.polls:<3} {tasks}"


def short(deployment: dict[str, Any]) -> str:
    """Name a deployment's revision."""
    return str(deployment["taskDefinition"]).rpartition("/")[2]


if __name__ == "__main__":
    sys.exit(main())
