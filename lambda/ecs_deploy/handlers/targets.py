"""The targets, which are data in the functions' own asset."""

import json
import os
from functools import cache
from pathlib import Path

from ecs_deploy.core.codec import decode
from ecs_deploy.core.policy import Target


@cache
def served() -> tuple[Target, ...]:
    """The targets of the deployer."""
    file = Path(os.environ["LAMBDA_TASK_ROOT"]) / "targets.json"
    return tuple(decode(Target, each) for each in json.loads(file.read_text()))
