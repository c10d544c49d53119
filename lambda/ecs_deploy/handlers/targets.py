"""The targets: data in the functions' own asset and, with discovery, the tags of services.

Where a service is in both, the asset counts.
"""

import json
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from ecs_deploy.core.codec import decode
from ecs_deploy.core.policy import Target


@cache
def served() -> tuple[Target, ...]:
    """The targets of the deployer."""
    file = Path(os.environ["LAMBDA_TASK_ROOT"]) / "targets.json"
    return tuple(decode(Target, each) for each in json.loads(file.read_text()))


def discovers() -> bool:
    """Whether services may opt in by tags."""
    return os.environ.get("DISCOVERY") == "true"


def registries() -> list[str]:
    """The accounts, with their region or in any, whose pushes count besides those of this one."""
    return [each for each in os.environ.get("REGISTRIES", "").split(",") if each]


def of(key: str, read_tags: Callable[[], Mapping[str, str]]) -> tuple[Target, ...]:
    """The targets of a service, whose tags are read if they count. What is wrong with them is said elsewhere."""
    listed = tuple(each for each in served() if each.key == key)
    if listed or not discovers():
        return listed
    # Most deployers go without it, and each start would wait for it.
    from ecs_deploy.core.discovery import InvalidTags, target_of  # noqa: PLC0415

    cluster, _, service = key.partition("/")
    try:
        target = target_of(cluster, service, read_tags())
    except InvalidTags:
        return ()
    return (target,) if target else ()
