"""AWS on this machine: the emulator as a process, and this very stack deployed to it.

`LocalCloud` is the whole of it as a context manager. Everything it needs is in one temporary directory, and everything
it starts is in process groups of its own; when the block ends, in whatever way, both are gone.
"""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import environment, processes, running, stack
from local.project import EMULATOR_PYTHON, ROOT

if TYPE_CHECKING:
    import subprocess
    from types import TracebackType

# How long the emulator may take to do what it does at once.
START_SECONDS = 60.0

# The files by which the emulator says where it listens, and that it enforces permissions.
ENDPOINT = "endpoint"
ENFORCING = "enforcing"


@dataclass(frozen=True, slots=True)
class Cloud:
    """How to reach an emulator, and what is deployed to it."""

    endpoint: str
    region: str
    account: str
    credentials: dict[str, str]
    stateMachine: str  # noqa: N815 - the names of the JSON line
    functions: dict[str, str]
    registry: str
    pid: int
    outputs: dict[str, str]

    @property
    def state_machine(self) -> str:
        """The ARN of the state machine."""
        return self.stateMachine

    def client(self, service: str) -> Any:
        """Give a boto3 client that reaches the emulator, and never anything else."""
        return client(service, self.endpoint, self.account)


@functools.cache
def client(service: str, endpoint: str, account: str) -> Any:
    """Give a boto3 client for an endpoint of this machine."""
    import boto3  # noqa: PLC0415 - the slowest import of all, and `up` does not need it
    from botocore.config import Config  # noqa: PLC0415

    # The service is known at run time only, so no overload of the stubs applies.
    session: Any = boto3.Session()
    return session.client(
        service,
        endpoint_url=endpoint,
        region_name=environment.REGION,
        aws_access_key_id=account,
        aws_secret_access_key=environment.SECRET,
        config=Config(proxies={}, retries={"mode": "standard"}),
    )


class LocalCloud:
    """Starts the emulator, deploys the stack, and leaves nothing behind.

    Args:
        targets: what the stack serves; None for the targets of cdk.json.
        port: of 127.0.0.1; 0 for one the operating system chooses.
        wait_scale: how long Wait states and retries take, as a factor.
        start_seconds: what a task takes from its start to RUNNING, half of it to pull its image.
        enforce: hold the functions to the policies of their roles, once the stack is deployed.
        docker: run real containers with the Docker engine of this machine, of images pushed to the emulator.
        verbose: log what the emulator and the functions do to standard error.
        stop: when set during the start, the start ends with `processes.StoppedError`.

    """

    def __init__(
        self,
        targets: list[dict[str, Any]] | None = None,
        *,
        port: int = 0,
        wait_scale: float = 1.0,
        start_seconds: float = 2.0,
        enforce: bool = False,
        docker: bool = False,
        verbose: bool = False,
        stop: threading.Event | None = None,
    ) -> None:
        self._targets = targets
        self._port = port
        self._wait_scale = wait_scale
        self._start_seconds = start_seconds
        self._enforce = enforce
        self._docker = docker
        self._verbose = verbose
        self._stop = stop or threading.Event()
        self._exit = ExitStack()
        self.emulator: subprocess.Popen[bytes]

    def __enter__(self) -> Cloud:
        """Start; raises ProcessFailedError or StoppedError, and then leaves nothing behind either."""
        with ExitStack() as starting:
            cloud = self._start(starting)
            self._exit = starting.pop_all()
            return cloud

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def _start(self, starting: ExitStack) -> Cloud:
        state = Path(tempfile.mkdtemp(prefix=running.PREFIX))
        starting.callback(shutil.rmtree, state, ignore_errors=True)
        # The CDK command remembers accounts by access key: no two emulators may share one.
        account = str(secrets.randbelow(9 * 10**11) + 10**11)
        variables = environment.emulator(
            state, account, wait_scale=self._wait_scale, verbose=self._verbose, docker=self._docker
        )
        command = [str(EMULATOR_PYTHON), "-m", "local.emulator.launcher", "--state", str(state)]
        command += ["--port", str(self._port), "--start-seconds", str(self._start_seconds)]
        command += ["--docker"] if self._docker else []
        self.emulator = starting.enter_context(processes.started(command, variables, ROOT))
        processes.wait_for_file(self.emulator, state / ENDPOINT, START_SECONDS, self._stop)
        endpoint = (state / ENDPOINT).read_text()
        print(f"emulator: {endpoint}", file=sys.stderr)  # noqa: T201 - progress
        outputs = stack.deploy(state, account, endpoint, self._targets, self._stop)
        if self._enforce:
            self.emulator.send_signal(signal.SIGUSR1)
            processes.wait_for_file(self.emulator, state / ENFORCING, START_SECONDS, self._stop)
        cloud = Cloud(
            endpoint=endpoint,
            region=environment.REGION,
            account=account,
            credentials={"accessKeyId": account, "secretAccessKey": environment.SECRET},
            stateMachine=outputs["StateMachineArn"],
            functions={name: outputs[output] for name, output in stack.FUNCTIONS.items() if output in outputs},
            registry=f"{account}.dkr.ecr.{environment.REGION}.amazonaws.com",
            pid=os.getpid(),
            outputs=outputs,
        )
        running.announce(state, asdict(cloud))
        return cloud

    def serve(self) -> bool:
        """Wait until `stop` is set; say whether the emulator ended before that."""
        return processes.wait_for_exit(self.emulator, self._stop)
