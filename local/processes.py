"""Child processes that never outlive the work they are for.

Each one leads a process group of its own, so that a signal to the terminal's group reaches this process only, which
then ends the whole group: what a child started goes with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

# Real containers have to be stopped as well.
GRACE_SECONDS = 15.0
SETTLE_SECONDS = 0.5


class ProcessFailedError(Exception):
    """A child process ended with an error, which it has printed."""


class StoppedError(Exception):
    """The work was asked to stop."""


@contextmanager
def started(
    command: Sequence[str], environment: Mapping[str, str], directory: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command while the block runs, then end its whole group.

    All it prints goes to standard error. Its standard input ends with this process.
    """
    process = subprocess.Popen(  # noqa: S603 - the commands are this package's own
        command, env=environment, cwd=directory, stdin=subprocess.PIPE, stdout=sys.stderr, start_new_session=True
    )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process group: its leader politely, then what is left of it at once."""
    signal_group(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    signal_group(process, signal.SIGKILL)
    process.wait()
    # Its files are removed next. Where nobody reaps orphans, a dead one counts as one of the group for ever.
    deadline = time.monotonic() + SETTLE_SECONDS
    while signal_group(process, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if process.stdin:
        process.stdin.close()


def signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to a process group; say whether there is one left. The signal 0 only asks."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def run(command: Sequence[str], environment: Mapping[str, str], directory: Path, stop: threading.Event) -> None:
    """Run a command to its end.

    Raises ProcessFailedError when it fails and StoppedError when `stop` is set before it ends.
    """
    with started(command, environment, directory) as process:
        while process.poll() is None:
            if stop.wait(0.05):
                raise StoppedError
    if process.returncode:
        raise ProcessFailedError(f"{' '.join(command[:2])} ended with exit status {process.returncode}, see above")


def wait_for_exit(process: subprocess.Popen[bytes], stop: threading.Event) -> bool:
    """Wait until a process ends or `stop` is set; say whether the process ended."""
    while process.poll() is None:
        if stop.wait(0.1):
            return False
    return True


def wait_for_file(process: subprocess.Popen[bytes], file: Path, seconds: float, stop: threading.Event) -> None:
    """Wait some seconds for a process to make a file.

    Raises ProcessFailedError when it ends or takes longer, and StoppedError when `stop` is set before that.
    """
    deadline = time.monotonic() + seconds
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ProcessFailedError("the emulator did not start, see above")
        if stop.wait(0.05):
            raise StoppedError
