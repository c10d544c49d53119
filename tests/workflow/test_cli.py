"""The command line on the emulator, installed as pip installs it: from a pipe, and from a real terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from local import environment
from local.project import ROOT
from tests.workflow.conftest import eventually
from tests.workflow.deployer import Deployer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.cloud import Cloud
    from tests.workflow.conftest import Service


# Whoever runs the tests in the background lets them ignore Ctrl-C, and so would all that they start.
INTERRUPTIBLE = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)


@dataclass(frozen=True)
class Cli:
    """The installed command, in an environment that has nothing but the emulator."""

    command: str
    variables: dict[str, str]

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, in a pipe."""
        return subprocess.run(
            [self.command, *arguments], env=self.variables | variables, capture_output=True, text=True, check=False
        )

    @contextmanager
    def begun(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Let it run in a pipe, while the block runs."""
        command = [sys.executable, "-c", INTERRUPTIBLE, self.command, *arguments]
        with subprocess.Popen(command, env=self.variables, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def on_terminal(self, *arguments: str, types: dict[str, str] | None = None) -> tuple[int, str]:
        """Run it on a terminal of its own, and type what answers a text; Ctrl-C is the key `^C`."""
        pid, terminal = pty.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            variables = self.variables | {"TERM": "xterm", "COLUMNS": "200"}
            os.execve(self.command, [self.command, *arguments], variables)  # noqa: S606 - a shell would read them
        shown, waiting = "", dict(types or {})
        while True:
            try:
                read = os.read(terminal, 65_536)
            except OSError:
                break
            shown += read.decode(errors="replace")
            for text, typed in list(waiting.items()):
                if text in shown:
                    del waiting[text]
                    os.write(terminal, b"\x03" if typed == "^C" else f"{typed}\n".encode())
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), shown


@pytest.fixture(scope="module")
def cli(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The command, from the wheel of this checkout; its dependencies are those of the tests."""
    directory = tmp_path_factory.mktemp("cli")
    source = directory / "source"
    source.mkdir()
    for name in ("cli", "pyproject.toml"):
        (source / name).symlink_to(ROOT / name)
    installed = directory / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    install += ["--no-build-isolation", "--no-index", "--target", str(installed), str(source)]
    subprocess.run(install, check=True)
    variables = environment.clean(directory, cloud.account) | {
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "PYTHONPATH": str(installed),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return Cli(str(installed / "bin" / "ecs-deploy"), variables)


@pytest.fixture
def service(written: Service) -> Service:
    """The service that all of this deploys to, one after another."""
    return written


def where(service: Service) -> tuple[str, ...]:
    return "-c", service.cluster, "-n", service.name


def test_a_deployment_from_a_pipe(cli: Cli, service: Service) -> None:
    # The tag is none that the target waits for, so nobody else deploys it.
    image = service.push("by-hand")
    ran = cli.run(*where(service), "-i", image.rpartition(":")[0], "-e", "CI_TAG", CI_TAG="by-hand")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("Execution: arn:aws:states:")
    assert any("WaitForRollout" in line for line in lines)
    assert lines[-1].startswith(f"DEPLOYED: {service.name} in {service.cluster}: {image} ({service.name}:")
    assert service.images()[0] == image
    assert "\x1b" not in ran.stdout


def test_a_failed_deployment_on_a_terminal(cli: Cli, service: Service) -> None:
    image = service.push("broken", "crash")
    code, shown = cli.on_terminal(*where(service), "-i", image)
    assert code == 1
    assert "DeploymentFailed" in shown
    assert "\x1b[" in shown
    assert "exits on its start" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("-i", "_broken"), 13, "is not an image reference"),
        (("-i", "doorman", "-t", "1"), 3, "timeout"),
        (("-i", "elsewhere:v1"), 1, "ImageNotFound|NoMatchingContainer|AccessDenied"),
        (("-i", "doorman", "--stack", "Nowhere"), 2, "There is no stack Nowhere"),
    ],
)
def test_what_is_wrong(cli: Cli, service: Service, arguments: tuple[str, ...], code: int, says: str) -> None:
    ran = cli.run(*where(service), *arguments)
    assert ran.returncode == code
    assert any(each in ran.stdout + ran.stderr for each in says.split("|"))


def test_a_job_waits_for_its_push(cli: Cli, service: Service) -> None:
    with cli.begun("follow", "-n", service.name, "-i", f"{service.repository}:v7", "--json") as waits:
        time.sleep(1)
        service.push("v7")
        output, _ = waits.communicate(timeout=120)
    assert waits.returncode == 0
    assert json.loads(output)["outcome"] == "DEPLOYED"


def test_hold_release_and_revert(cli: Cli, cloud: Cloud, service: Service) -> None:
    deployer = Deployer(cloud)
    assert "wet paint" in cli.run("hold", *where(service), "wet paint").stdout
    with deployer.new(service.name) as executions:
        pushed = service.push("v2")
    assert executions[0]["output"]["outcome"] == "HELD"
    assert cli.run("release", *where(service)).returncode == 0
    service.wait(lambda _: service.images()[0] == pushed)
    service.wait_stable()
    eventually(lambda: not deployer.all(statusFilter="RUNNING"))
    ran = cli.run("revert", *where(service), "--json")
    assert json.loads(ran.stdout)["end"] == "DEPLOYED", ran.stdout
    assert service.images()[0] != pushed


def test_ctrl_c_leaves_it_running_in_a_pipe(cli: Cli, cloud: Cloud, service: Service) -> None:
    with cli.begun(*where(service), "-i", service.push("slow", "hang"), "-t", "60") as runs:
        assert runs.stdout
        execution = runs.stdout.readline().removeprefix("Execution: ").strip()
        time.sleep(0.5)
        runs.send_signal(signal.SIGINT)
        runs.communicate(timeout=60)
    assert runs.returncode == 130
    assert cloud.client("stepfunctions").describe_execution(executionArn=execution)["status"] == "RUNNING"
    # Somebody else may follow it, by its name.
    cloud.client("stepfunctions").stop_execution(executionArn=execution)
    followed = cli.run("follow", execution.rpartition(":")[2])
    assert (followed.returncode, "ABORTED" in followed.stdout) == (1, True)


def test_ctrl_c_rolls_back_on_a_terminal(cli: Cli, service: Service) -> None:
    good = service.push("good")
    assert cli.run(*where(service), "-i", good).returncode == 0
    image = service.push("slower", "hang")
    code, shown = cli.on_terminal(
        *where(service), "-i", image, "-t", "60", types={"WaitForRollout": "^C", "[r]oll back": "r"}
    )
    assert "DEPLOYED" in shown, shown
    assert code == 0
    assert service.images()[0] == good


def test_what_runs_what_ran_and_what_would_run(cli: Cli, service: Service, tmp_path: Path) -> None:
    image = service.push("shown")
    tried = cli.run(*where(service), "-i", image, "--dry-run")
    assert tried.returncode == 0, tried.stdout
    assert "+ web.image: " in tried.stdout
    assert service.images()[0] != image
    assert cli.run(*where(service), "-i", image).returncode == 0
    status = cli.run("status", *where(service)).stdout
    assert f"web: {image}  sha256:" in status
    page = tmp_path / "page.html"
    history = cli.run("history", *where(service), "--html", str(page)).stdout.splitlines()
    newest = next(line for line in history if line.startswith("  20"))
    assert f"DEPLOYED    {image.rpartition('/')[2]}" in newest
    assert f"rollout: {service.name}:" in page.read_text()


def test_one_execution_without_waiting(cli: Cli, cloud: Cloud, service: Service) -> None:
    ran = cli.run(*where(service), "-i", service.push("quick"), "--no-wait")
    assert ran.returncode == 0
    Deployer(cloud).ended(ran.stdout.strip())


def test_it_starts_soon(cli: Cli, tmp_path: Path) -> None:
    """The CPU seconds until the first output, beside those of the SDK: other work on this machine does not count."""

    def seconds(*command: str) -> float:
        before = os.times()
        subprocess.run(command, env=cli.variables, capture_output=True, check=False)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    sdk = min(seconds(sys.executable, "-c", "import boto3") for _ in range(3))
    start = min(seconds(cli.command, "-c", "c", "-n", "s", "-i", "doorman", "--stack", "Nowhere") for _ in range(3))
    assert start - sdk < 0.5
