"""What the history of a service tells: the revision before the one that it runs, and with which digests it ran."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.formats import short
from ecs_deploy.core.state import Entry, Result


def revision_before(current: str, history: Sequence[Entry], last_stable: str) -> str:
    """The revision that was stable before `current`; `last_stable` may have been brought in by somebody else.

    To go back to a revision takes away what came after it, so to revert twice goes back twice; a copy that was
    registered to go back is what it is a copy of. Raises `DeployError`.
    """
    copies = {new: old for each in history for new, old in each.copies.items()}
    stable: list[str] = []
    names: dict[str, str] = {}

    def original(revision: str) -> str:
        return original(copies[revision]) if revision in copies else revision

    def came(revision: str) -> None:
        first = original(revision)
        names[first] = revision
        if first in stable:
            del stable[stable.index(first) + 1 :]
        else:
            stable.append(first)

    for each in _deployed(history):
        for revision in filter(None, (each.replaced, each.revision)):
            came(revision)
    if original(last_stable) not in stable:
        came(last_stable)
    if (first := original(current)) in stable:
        del stable[stable.index(first) :]
    if not stable:
        raise DeployError(
            Error.NOTHING_TO_REVERT_TO,
            f"No revision before {short(current)} is known to have been stable. Name the one to deploy in revision.",
        )
    return names[stable[-1]]


class Ran(NamedTuple):
    """What a revision ran with: the digests by container, and the image that it was made for, with its digest."""

    digests: Mapping[str, str] = {}
    image: str = ""
    digest: str = ""


def ran_with(revision: str, history: Iterable[Entry]) -> Ran:
    """What a revision ran with when it was stable last, as far as the history knows."""
    known = Ran()
    for each in _deployed(history):
        if each.revision == revision:
            known = Ran(each.digests or known.digests, each.image, each.candidate.digest)
        elif each.replaced == revision and not known.digests:
            known = Ran(each.replaced_digests)
    return known


def _deployed(history: Iterable[Entry]) -> list[Entry]:
    """What was deployed, the oldest first."""
    done = [(each.ended_at, each) for each in history if each.ended_at and each.result is Result.DEPLOYED]
    return [each for _, each in sorted(done, key=lambda pair: pair[0])]
