"""What the deployer remembers, as tags on the revisions of task definitions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from ecs_deploy.notation import instant, short
from ecs_deploy.service import Service
from ecs_deploy.wait import Rhythm


class Proof(StrEnum):
    """What a deployment of a revision showed."""

    STABLE = "stable"
    FAILED = "failed"


_PROOF_TAG = "ecs-deploy:proof"
_SECONDS_TAG = "ecs-deploy:seconds"
_DEPLOYMENT_TAG = "ecs-deploy:deployment"
TAGS_OF_AN_END = (_PROOF_TAG, _SECONDS_TAG, _DEPLOYMENT_TAG)
"""The tags that a revision may earn when its rollout has ended."""


def proof_tag(proof: Proof, revision: str) -> dict[str, str]:
    """The tag that says of a revision that it was stable, or failed.

    Its value names the revision, because tags can be copied to another, as the console's "create new revision" does.
    """
    return {_PROOF_TAG: f"{short(revision)} {proof}"}


def is_proven(proof: Proof, revision: str, tags: Mapping[str, str]) -> bool:
    """Whether this is what `revision` itself showed, and not one that its tags were copied from."""
    return proof_tag(proof, revision).items() <= tags.items()


def seconds_tag(rhythm: Rhythm, elapsed: float) -> dict[str, str]:
    """The tag that says how long a rollout took which was seen complete after `elapsed` seconds."""
    return {_SECONDS_TAG: rhythm.memory(elapsed)}


def rhythm_of(revision: str, tags: Mapping[str, str]) -> Rhythm:
    """What `revision` tells about how long its service's rollouts take; nothing unless it was stable itself."""
    return Rhythm.remembered(tags.get(_SECONDS_TAG, "")) if is_proven(Proof.STABLE, revision, tags) else Rhythm()


def deployment_tag(service: Service) -> dict[str, str]:
    """The tag that says of the revision in use which deployment brought it in, the last time that the deployer did.

    Where ECS tells of another one, somebody else has decided what the service runs.
    """
    return {_DEPLOYMENT_TAG: service.deployment} if service.deployment else {}


def brought_in(service: Service, tags: Mapping[str, str]) -> bool:
    """Whether the deployer brought in what is in use, by what the tags of that revision tell."""
    tag = deployment_tag(service)
    return bool(tag) and tag.items() <= tags.items()


EVERY_CONTAINER = ("*",)
SWEEP = "sweep-"
"""What the request of a sweep begins with; the id of an event does not."""
_CONTAINERS_TAG = "ecs-deploy:containers"
_DIGEST_TAG = "ecs-deploy:digest"
_LONGEST_TAG_VALUE = 256


@dataclass(frozen=True, slots=True)
class Marks:
    """What the deployer remembers, as tags on the revision it registered.

    `containers` are those that the request changed; whoever deploys a whole revision changes `EVERY_CONTAINER`.
    `digest` is that of the image which was pushed, where a push asked for it.
    """

    service: str
    request: str
    execution: str
    requested_at: datetime
    started_at: datetime
    replaces: str
    containers: tuple[str, ...] = EVERY_CONTAINER
    digest: str = ""

    def as_tags(self) -> dict[str, str]:
        return {
            "ecs-deploy:service": self.service,
            "ecs-deploy:request": self.request,
            "ecs-deploy:execution": self.execution,
            "ecs-deploy:requested-at": instant(self.requested_at),
            "ecs-deploy:started-at": instant(self.started_at),
            "ecs-deploy:replaces": self.replaces,
            _CONTAINERS_TAG: self._containers_tag,
            **({_DIGEST_TAG: self.digest} if self.digest else {}),
        }

    @property
    def is_of_a_sweep(self) -> bool:
        """Whether a sweep has asked, for a push whose event was missed."""
        return self.request.startswith(SWEEP)

    @property
    def _containers_tag(self) -> str:
        text = " ".join(self.containers)
        return text if len(text) <= _LONGEST_TAG_VALUE else EVERY_CONTAINER[0]

    @classmethod
    def read(cls, revision: str, tags: Mapping[str, str]) -> Self | None:
        """The marks among a revision's tags, or None where the deployer did not write them, or not to this revision.

        A copy of a revision that has shown what it is, as the console's "create new revision" makes, is a person's.
        """
        if tags.get(_PROOF_TAG, short(revision)).partition(" ")[0] != short(revision):
            return None
        try:
            return cls(
                tags["ecs-deploy:service"],
                tags["ecs-deploy:request"],
                tags["ecs-deploy:execution"],
                datetime.fromisoformat(tags["ecs-deploy:requested-at"]),
                datetime.fromisoformat(tags["ecs-deploy:started-at"]),
                tags["ecs-deploy:replaces"],
                tuple(tags.get(_CONTAINERS_TAG, "").split()) or EVERY_CONTAINER,
                tags.get(_DIGEST_TAG, ""),
            )
        except (KeyError, ValueError):
            return None
