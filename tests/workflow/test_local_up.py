"""The command line: several emulators side by side, and nothing left of any."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local import images, running
from tests.workflow.conftest import QUICK, eventually, local_up, ready, run_local

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cloud import Cloud


def processes_of(directory: Path) -> list[str]:
    """Find the processes whose environment names a directory: a leftover's `TMPDIR` would be inside it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if str(directory).encode() in environment:
            found.append(process.name)
    return found


def clean_after(process: subprocess.Popen[str], directory: Path) -> bool:
    """Tell whether a command has ended and left no process and no file."""
    return process.poll() is not None and not processes_of(directory) and not list(directory.iterdir())


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Other]:
    """A second emulator, with the targets of cdk.json, and settings of its caller that must not reach it."""
    directory = tmp_path_factory.mktemp("other")
    temporary = directory / "tmp"
    temporary.mkdir()
    log = directory / "up.log"
    settings = {
        "TMPDIR": str(temporary),
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:2",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }
    report = directory / "report.html"
    with local_up(log, *QUICK, "--report", str(report), **settings) as process:
        yield Other(process, ready(process, log), temporary, report)


@dataclass(frozen=True)
class Other:
    """An emulator that runs, and where it keeps what it keeps."""

    process: subprocess.Popen[str]
    cloud: Cloud
    temporary: Path
    report: Path


def test_emulators_run_side_by_side(cloud: Cloud, other: Other) -> None:
    images.push(other.cloud.client("ecr"), "only-there", "v1")
    assert other.cloud.account != cloud.account
    assert cloud.client("sts").get_caller_identity()["Account"] == cloud.account
    assert other.cloud.client("sts").get_caller_identity()["Account"] == other.cloud.account
    repositories = cloud.client("ecr").describe_repositories()["repositories"]
    assert "only-there" not in {one["repositoryName"] for one in repositories}


def test_the_stack_is_deployed(other: Other) -> None:
    described = other.cloud.client("stepfunctions").describe_state_machine(stateMachineArn=other.cloud.state_machine)
    assert described["status"] == "ACTIVE"
    functions = other.cloud.client("lambda")
    for name in ("register_task_definition", "update_service", "poll_stability", "dispatcher"):
        assert functions.get_function(FunctionName=other.cloud.functions[name])


def test_it_listens_on_this_machine_only(other: Other) -> None:
    port = int(other.cloud.endpoint.rpartition(":")[2])
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if " 0A " in line]
    assert [one for one in listening if one.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_functions_inherit_the_endpoints_of_services_and_nothing_else(other: Other) -> None:
    (worker, *_) = [
        Path(f"/proc/{one}/environ").read_bytes().decode().split("\0")
        for one in processes_of(other.temporary)
        if b"local.emulator" in Path(f"/proc/{one}/cmdline").read_bytes()
    ]
    assert "AWS_ENDPOINT_URL_SSM=http://127.0.0.1:2" in worker
    assert not {"AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"} & {one.partition("=")[0] for one in worker}


def test_push_finds_the_only_emulator(other: Other) -> None:
    done = run_local("push", "doorman", "v7", TMPDIR=str(other.temporary))
    assert done.returncode == 0, done.stderr
    pushed = json.loads(done.stdout)
    assert (pushed["repository"], pushed["tag"]) == ("doorman", "v7")
    assert pushed["image"] == f"{other.cloud.registry}/doorman:v7"
    assert pushed["digest"].startswith("sha256:")
    assert done.stdout.count("\n") == 1


def test_push_takes_the_emulator_it_is_told(other: Other) -> None:
    beside = {"TMPDIR": str(other.temporary)}
    by_option = run_local("push", "doorman", "v8", "--endpoint", other.cloud.endpoint, **beside)
    by_environment = run_local("push", "doorman", "v9", "--broken", AWS_ENDPOINT_URL=other.cloud.endpoint, **beside)
    assert (by_option.returncode, by_environment.returncode) == (0, 0)
    ecr = other.cloud.client("ecr")
    (broken,) = ecr.batch_get_image(repositoryName="doorman", imageIds=[{"imageTag": "v9"}])["images"]
    assert json.loads(broken["imageManifest"])["annotations"] == {"local.behaviour": "crash"}
    nobody = run_local("push", "doorman", "v9", "--endpoint", "http://127.0.0.1:1", **beside)
    assert nobody.returncode == 1
    assert nobody.stderr.startswith("error: no emulator runs at http://127.0.0.1:1")


def test_push_does_not_choose_between_emulators(cloud: Cloud, other: Other, tmp_path: Path) -> None:
    for number, one in enumerate((cloud, other.cloud)):
        state = tmp_path / f"{running.PREFIX}{number}"
        state.mkdir()
        running.announce(state, asdict(one))
    done = run_local("push", "doorman", "v7", TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert "several emulators run, choose one with --endpoint" in done.stderr
    assert cloud.endpoint in done.stderr


def test_push_says_that_none_runs(cloud: Cloud, tmp_path: Path) -> None:
    stale = tmp_path / f"{running.PREFIX}stale"
    stale.mkdir()
    ended = run_local("push", "--help")
    assert ended.returncode == 0
    with subprocess.Popen(["true"]) as process:  # noqa: S607
        pass
    running.announce(stale, asdict(cloud) | {"pid": process.pid})
    done = run_local("push", "doorman", "v7", TMPDIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: no emulator runs: start one with `python -m local up`\n"


def test_a_file_without_targets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "targets.json").write_text('{"repository": "doorman"}')
    done = run_local("up", "--targets", str(tmp_path / "targets.json"))
    assert done.returncode == 1
    assert done.stderr.endswith("targets.json must hold a JSON list of targets\n")


def test_a_start_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    log = tmp_path / "up.log"
    with local_up(log, TMPDIR=str(temporary)) as process:
        # In the middle of `cdk deploy` and what it started.
        eventually(lambda: list(temporary.glob("*/cdk.out/manifest.json")))
        process.send_signal(signal.SIGTERM)
        eventually(lambda: clean_after(process, temporary))
        assert process.returncode == 0
        assert process.stdout
        assert process.stdout.read() == ""


def test_a_start_that_fails_leaves_nothing(cloud: Cloud, tmp_path: Path) -> None:
    port = cloud.endpoint.rpartition(":")[2]
    done = run_local("up", "--port", port, TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert f"error: cannot listen on port {port}: Address already in use" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_end_leaves_nothing_but_the_report(other: Other) -> None:
    # The pushes above start executions, which find no service.
    states, machine = other.cloud.client("stepfunctions"), other.cloud.state_machine
    eventually(lambda: states.list_executions(stateMachineArn=machine, statusFilter="FAILED")["executions"])
    payload = json.dumps({}).encode()
    other.cloud.client("lambda").invoke(FunctionName=other.cloud.functions["poll_stability"], Payload=payload)
    assert len(processes_of(other.temporary)) > 1
    other.process.send_signal(signal.SIGTERM)
    eventually(lambda: clean_after(other.process, other.temporary))
    assert other.process.returncode == 0
    assert re.search(r">ServiceNotFound</span> doorman-service in production1</h2>", other.report.read_text())
