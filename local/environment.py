"""The environments of the child processes: built up from nothing, so that the caller's AWS settings stay out.

A real account must never be reached by accident, and a proxy must never stand between this machine and itself.
"""

from __future__ import annotations

import os
from pathlib import Path

from local.project import ROOT

REGION = "us-east-1"
SECRET = "local"  # noqa: S105 - the emulator accepts any

SYSTEM = ("PATH", "LANG", "LC_ALL")


def emulator(state: Path, account: str, *, wait_scale: float, verbose: bool, docker: bool) -> dict[str, str]:
    """Give the environment of the emulator, which the workers of the functions inherit.

    Of the caller's AWS variables only `AWS_ENDPOINT_URL_<SERVICE>` pass: they are how a test puts itself between the
    functions and one service.
    """
    endpoints = {name: value for name, value in os.environ.items() if name.startswith("AWS_ENDPOINT_URL_")}
    log_level = "DEBUG" if verbose else "WARNING"
    docker_host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock") if docker else f"unix://{state}/none"
    return {
        **clean(state, account),
        **endpoints,
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        # Whoever does not sign, as the container tools at the registry, means this account.
        "MINISTACK_ACCOUNT_ID": account,
        "SFN_WAIT_SCALE": str(wait_scale),
        "LOG_LEVEL": log_level,
        "STATE_DIR": str(state / "persisted"),
        "S3_DATA_DIR": str(state / "s3"),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": docker_host,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def cdk(state: Path, account: str, endpoint: str) -> dict[str, str]:
    """Give the environment of the CDK command.

    It is the caller's but for AWS, because building the Lambda asset is the caller's pip with its settings. What the
    CDK itself keeps goes into the state directory.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    path = [str(ROOT / ".venv/bin"), str(ROOT / "node_modules/.bin"), os.environ.get("PATH", "")]
    direct = [*filter(None, [os.environ.get("NO_PROXY", "")]), "127.0.0.1"]
    return {
        **own,
        **clean(state, account),
        "HOME": str(Path.home()),
        "PATH": os.pathsep.join(path),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "lambda")]),
        "NO_PROXY": ",".join(direct),
        "no_proxy": ",".join(direct),
        "AWS_ENDPOINT_URL": endpoint,
        "CDK_HOME": str(state / "cdk"),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "NODE_NO_WARNINGS": "1",
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
    }


def clean(state: Path, account: str) -> dict[str, str]:
    """Give what every child process needs: no home, no temporary files, no AWS settings but these."""
    temporary = state / "tmp"
    temporary.mkdir(exist_ok=True)
    return {
        **{name: value for name, value in os.environ.items() if name in SYSTEM},
        "HOME": str(state),
        "TMPDIR": str(temporary),
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": str(state / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(state / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
