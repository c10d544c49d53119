"""Which digests run: what the tasks report, held against what was asked for.

A tag is resolved when a deployment begins, and it may have moved by then. On EC2, a task reports the digest of the
index of an image for many platforms, elsewhere it may be that of the platform's manifest, or none:
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Container.html (imageDigest), aws/amazon-ecs-agent#3576
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from ecs_deploy.core.service import Task
from ecs_deploy.core.state import EVERY_CONTAINER

Reported = Mapping[str, frozenset[str]]
"""The digests that a revision's running tasks report, by container."""


class Proof(NamedTuple):
    """What is known of what runs: digests by container, what differs from what was asked for, and what nobody tells.

    `tasks` are those that were read for it.
    """

    digests: Mapping[str, str]
    differences: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()


NOTHING_KNOWN = Proof({})


def reported(tasks: Iterable[Task], revision: str) -> dict[str, frozenset[str]]:
    """The digests that the running tasks of a revision report; a container that reports none is left out."""
    found: dict[str, set[str]] = {}
    for task in tasks:
        if task.revision == revision and task.status == "RUNNING":
            for container in task.containers:
                if container.digest:
                    found.setdefault(container.name, set()).add(container.digest)
    return {name: frozenset(digests) for name, digests in found.items()}


def agreed(found: Reported) -> dict[str, str]:
    """The digests of the containers whose tasks all report the same."""
    return {name: next(iter(digests)) for name, digests in found.items() if len(digests) == 1}


def prove(
    found: Reported, wanted: Mapping[str, str], parts: Mapping[str, Collection[str] | None], changed: Collection[str]
) -> Proof:  # fmt: skip
    """Compare what is reported with what is `wanted`, by container.

    `parts` are the digests that an index lists, None where nobody tells what it lists. What is not proven matters of
    the containers that were `changed`: the others have the digest in their definition.
    """
    differences, unproven = [], []
    for name, digest in wanted.items():
        listed = parts.get(digest, ())
        is_changed = name in changed or EVERY_CONTAINER in changed
        if name not in found and is_changed:
            unproven.append(f"no task reports the digest of {name}: nothing proves that {digest} runs")
        elif others := found.get(name, frozenset()) - {digest, *(listed or ())}:
            reported = " and ".join(sorted(others))
            if listed is None and is_changed:
                unproven.append(f"{name} runs {reported}: nothing tells whether that is a part of {digest}")
            elif listed is not None:
                differences.append(f"{name} runs {reported} instead of {digest}")
    return Proof({**agreed(found), **wanted}, tuple(differences), tuple(unproven))
