"""Python functions run as on AWS: through the Runtime API, by AWS's own runtime interface client.

The emulator's own Python worker reports every exception as `Runtime.HandlerError`, so that no Retry or Catch by name
ever matches. Its `provided.*` runtimes speak the real Runtime API; a Python function becomes one of them by a
`bootstrap` that executes awslambdaric, which reports errorType, errorMessage and stackTrace as AWS does.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.emulator.seams import Function, Seams, Wrap

logger = logging.getLogger("function")

RUNTIME = "ministack.core.lambda_runtime"
SERVICE = "ministack.services.lambda_svc"

# The function's own packages come before those of the emulator's environment, as they come before the runtime's.
BOOTSTRAP = """\
#!/bin/sh
exec '{python}' -c 'import os, sys; sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
from awslambdaric.__main__ import main; main(["awslambdaric", os.environ["_HANDLER"]])'
"""

# Settings of the emulator's own process that a function must not see, or would even obey.
EMULATOR_SETTINGS = {
    "DOCKER_HOST",
    "GATEWAY_PORT",
    "IOT_MTLS_ENABLED",
    "LOG_LEVEL",
    "MINISTACK_HOST",
    "MINISTACK_REGION",
    "PYTHONDONTWRITEBYTECODE",
    "S3_DATA_DIR",
    "SFN_WAIT_SCALE",
    "SFTP_ENABLED",
    "STATE_DIR",
}


def declare(seams: Seams, state: Path) -> None:
    """Send Python functions through the Runtime API. The bootstrap lives in `state`."""
    bootstrap = state / "bootstrap"
    bootstrap.write_text(BOOTSTRAP.format(python=sys.executable))
    bootstrap.chmod(0o755)
    seams.attributes(RUNTIME, "ProvidedWorker", "_workers")
    seams.call(SERVICE, "_execute_function_provided_warm", "func", "event", "request_id")
    seams.call(RUNTIME, "kill_workers", "workers")
    seams.replace(run, SERVICE, "_execute_function_warm", "func", "event", "request_id")
    seams.replace(choose_worker, RUNTIME, "_worker_class_for", "config")
    seams.replace(extract(bootstrap), SERVICE, "_provided_runtime_code_dir", "code_zip")
    seams.replace(set_environment, SERVICE, "_provided_worker_env", "config", "code_dir", "port")


def run(original: Function) -> Function:
    """Run a Python function as one of a provided runtime, and log what it printed."""
    service = importlib.import_module(SERVICE)

    def run_function(func: dict[str, Any], event: object, request_id: str) -> dict[str, Any]:
        config = func.get("config") or func
        execute = service._execute_function_provided_warm if is_python(config) else original
        result: dict[str, Any] = execute(func, event, request_id)
        for line in result.get("log", "").splitlines():
            logger.debug("%s: %s", config["FunctionName"], line)
        return result

    return run_function


def choose_worker(original: Function) -> Function:
    """Choose the worker that speaks the Runtime API."""
    provided = importlib.import_module(RUNTIME).ProvidedWorker
    return lambda config: provided if is_python(config) else original(config)


def extract(bootstrap: Path) -> Wrap:
    """Put the bootstrap beside the code of every function that brings none."""

    def wrap(original: Function) -> Function:
        def extract_code(code_zip: bytes) -> str:
            directory: str = original(code_zip)
            # A link: a file that is open for writing while another worker forks cannot be executed.
            with contextlib.suppress(FileExistsError):
                (Path(directory) / "bootstrap").symlink_to(bootstrap)
            return directory

        return extract_code

    return wrap


def set_environment(original: Function) -> Function:
    """Give a worker the environment of the Python runtime instead of the emulator's own."""

    def worker_environment(config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
        variables: dict[str, str] = original(config, code_dir, port)
        if not is_python(config):
            return variables
        own = (config.get("Environment") or {}).get("Variables") or {}
        hidden = EMULATOR_SETTINGS - own.keys()
        kept = {name: value for name, value in variables.items() if name not in hidden}
        return kept | runtime_variables(config)

    return worker_environment


def is_python(config: dict[str, Any]) -> bool:
    """Tell whether a function's configuration names a Python runtime."""
    return str(config.get("Runtime", "")).startswith("python")


def runtime_variables(config: dict[str, Any]) -> dict[str, str]:
    """Give the variables of the Python runtime that the emulator leaves out."""
    logs = config.get("LoggingConfig") or {}
    variables = {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": logs.get("LogGroup") or f"/aws/lambda/{config['FunctionName']}",
        "TZ": ":UTC",
        # No X-Ray daemon listens here.
        "POWERTOOLS_TRACE_DISABLED": "true",
        "AWS_XRAY_SDK_ENABLED": "false",
    }
    if logs.get("LogFormat") == "JSON":
        variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        variables["AWS_LAMBDA_LOG_LEVEL"] = logs.get("ApplicationLogLevel") or "INFO"
    return variables


def stop_workers() -> None:
    """End every worker process of every function."""
    runtime = importlib.import_module(RUNTIME)
    runtime.kill_workers([worker for pool in list(runtime._workers.values()) for worker in pool])
