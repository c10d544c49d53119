"""Deployers as they are, each in processes of its own, on rollouts that take as long as they take.

Nothing is sped up: neither the clock nor a deployer's intervals. All of them run side by side, started one after the
other, so that no start waits for the processor.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from tests.bench.scenarios import CLUSTER, CONTAINER, FAMILY, NEW_IMAGE, SCENARIOS, SERVICE, Measured, World, judged
from tests.support.clock import RealClock
from tests.support.dynamodb_model import TABLE
from tests.support.ecs_model import REGION
from tests.support.endpoint import serve
from tests.support.waits import Waits
from tests.support.workflow import Time, execute

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".build/peers/bin"
OURS, FABFUEL, AWS_CLI = "ecs-deploy (this)", "fabfuel/ecs-deploy", "AWS CLI"
# What a start takes, and a little.
STAGGER_SECONDS = 1.5


class Waiting(RealClock):
    """The time that passes, waited for."""

    def advance(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class Run:
    """A deployer's processes: their environment, and the CPU seconds that those which ended took."""

    endpoint: str
    folder: Path
    cpu: float = 0
    open: dict[str, "subprocess.Popen[str]"] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "TABLE": TABLE,
            "LAMBDA_TASK_ROOT": str(self.folder),
        }

    def start(self, *command: str, **more: str) -> "subprocess.Popen[str]":
        with (self.folder / "log").open("a") as log:
            return subprocess.Popen(
                command,
                env=self.environment | more,
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def end(self, process: "subprocess.Popen[str]") -> int:
        """Wait for a process; gives its exit status, and adds up its CPU seconds."""
        if process.stdin:
            process.stdin.close()
        if process.stdout:
            (self.folder / "out").write_text(process.stdout.read())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu += usage.ru_utime + usage.ru_stime
        return process.returncode

    def invoke(self, module: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Let one of our functions answer an event; it is started by the first one."""
        if module not in self.open:
            path = os.pathsep.join([str(ROOT), str(ROOT / "lambda")])
            self.open[module] = self.start(
                sys.executable, "-m", "tests.bench.function", module, PYTHONPATH=path, POWERTOOLS_LOG_LEVEL="WARNING"
            )
        function = self.open[module]
        assert function.stdin
        assert function.stdout
        function.stdin.write(json.dumps(event) + "\n")
        function.stdin.flush()
        answer: dict[str, Any] = json.loads(function.stdout.readline())
        return answer


def ours(run: Run, world: World) -> bool:
    """This deployer: its functions, and what the workflow and EventBridge do between them."""

    def step(module: ModuleType, event: dict[str, Any], clock: Time) -> dict[str, Any]:
        return run.invoke(module.__name__, {**event, "attempt": 0, "enteredAt": clock.now().isoformat()})

    request = {"cluster": CLUSTER, "service": SERVICE, "image": NEW_IMAGE, "timeout": world.scenario.timeout}
    (run.folder / "targets.json").write_text(json.dumps([{"cluster": CLUSTER, "service": SERVICE}]))
    waits = Waits(world.model, Waiting())
    waits.invoke = partial(run.invoke, "ecs_deploy.handlers.end_waits")
    end = execute(request, Waiting(), step=step, wait=waits)
    for function in run.open.values():
        run.end(function)
    return end.output is not None


def fabfuel(run: Run, world: World) -> bool:
    """The command line in Python."""
    command = [str(PEERS / "ecs"), "deploy", CLUSTER, SERVICE, "--image", CONTAINER, NEW_IMAGE]
    return run.end(run.start(*command, "--timeout", str(world.scenario.timeout))) == 0


def aws_cli(run: Run, _world: World) -> bool:
    """AWS's own command line: register a revision from a file, update the service, wait until it is stable."""
    container = {"name": CONTAINER, "image": NEW_IMAGE, "essential": True, "memory": 64}
    definition = {"family": FAMILY, "containerDefinitions": [container]}
    commands = [
        ["register-task-definition", "--cli-input-json", json.dumps(definition)],
        ["update-service", "--cluster", CLUSTER, "--service", SERVICE, "--task-definition", FAMILY],
        ["wait", "services-stable", "--cluster", CLUSTER, "--services", SERVICE],
    ]
    return all(run.end(run.start(str(PEERS / "aws"), "ecs", *command)) == 0 for command in commands)


DEPLOYERS: dict[str, Callable[[Run, World], bool]] = {OURS: ours, FABFUEL: fabfuel, AWS_CLI: aws_cli}


def measure(say: Callable[[str], None]) -> list[Measured]:
    """Run all deployers in all scenarios, the longest first; takes as long as the longest."""
    # The crash loop is a long one for whoever does not notice it.
    runs = [(scenario, deployer) for scenario in reversed(SCENARIOS) for deployer in DEPLOYERS]
    with ThreadPoolExecutor(len(runs)) as pool:
        futures = []
        for scenario, deployer in runs:
            futures.append(pool.submit(_measure, scenario.world(RealClock()), deployer, say))
            time.sleep(STAGGER_SECONDS)
        return [future.result() for future in futures]


def _measure(world: World, deployer: str, say: Callable[[str], None]) -> Measured:
    with serve(world.model) as endpoint, TemporaryDirectory(prefix="ecs-deploy-bench-") as folder:
        run, started = Run(endpoint, Path(folder)), datetime.now(UTC)
        succeeded = DEPLOYERS[deployer](run, world)
        measured = judged(world, deployer, started=started, ended=datetime.now(UTC), succeeded=succeeded, cpu=run.cpu)
    say(f"{deployer}: {world.scenario.name}: {measured.calls} calls, {measured.seconds:.0f} s")
    return measured
