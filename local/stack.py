"""Deploys this very stack to the emulator, with the real CDK command."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from local import environment, processes
from local.project import CDK, ROOT

if TYPE_CHECKING:
    import threading
    from pathlib import Path

STACK = "EcsDeploy"
FUNCTIONS = {
    "register_task_definition": "RegisterTaskDefinitionFunction",
    "update_service": "UpdateServiceFunction",
    "poll_stability": "PollStabilityFunction",
    "dispatcher": "DispatcherFunction",
    "end_waits": "WaitsFunction",
    "write_parameter": "ParameterFunction",
}


def deploy(
    state: Path, account: str, endpoint: str, targets: list[dict[str, Any]] | None, stop: threading.Event
) -> dict[str, str]:
    """Bootstrap the account and deploy the stack; give its outputs.

    Without targets, those of cdk.json. Raises ProcessFailedError or StoppedError.
    """
    variables = environment.cdk(state, account, endpoint)
    assembly, outputs = state / "cdk.out", state / "outputs.json"
    context = [] if targets is None else ["--context", f"targets={json.dumps(targets)}"]
    bootstrap = ["bootstrap", f"aws://{account}/{environment.REGION}"]
    synth = ["synth", STACK, "--quiet", "--output", str(assembly), *context]
    # Neither needs the other, and both mostly wait.
    with ThreadPoolExecutor() as pool:
        # Where there is no cdk.json, bootstrapping does not run the app.
        steps = [pool.submit(cdk, *step, variables, stop) for step in ((bootstrap, state), (synth, ROOT))]
    for step in steps:
        step.result()
    cdk(
        ["deploy", STACK, "--app", str(assembly), "--require-approval", "never", "--outputs-file", str(outputs)],
        ROOT,
        variables,
        stop,
    )
    found: dict[str, str] = json.loads(outputs.read_text())[STACK]
    return found


def cdk(arguments: list[str], directory: Path, variables: dict[str, str], stop: threading.Event) -> None:
    """Run the project's own CDK command."""
    processes.run([str(CDK), *arguments, "--no-notices", "--no-version-reporting"], variables, directory, stop)
