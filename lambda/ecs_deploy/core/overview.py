"""What people are shown of a service: its status, and its history. JSON, for the output of an execution."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ecs_deploy.core.formats import instant, short
from ecs_deploy.core.image import ImageReference
from ecs_deploy.core.service import Service
from ecs_deploy.core.state import Candidate, Entry, Gate, State


def status_of(
    service: Service, images: Mapping[str, ImageReference], state: State, held: Sequence[str]
) -> dict[str, Any]:  # fmt: skip
    """What runs with which digest, what is newest, what rolls out and how far, and why pushes wait.

    `images` are those of the revision that the service runs, by the names of its containers.
    """
    stable = state.stable if state.stable and state.stable.revision == service.current else None
    digests = {name: image.digest or (stable.digests.get(name) if stable else None) for name, image in images.items()}
    return {
        "revision": short(service.current),
        "stable": short(state.stable.revision) if state.stable else None,
        "containers": {
            name: {"image": image.name, "tag": image.tag or _tag_of(digests[name], state), "digest": digests[name]}
            for name, image in images.items()
        },
        "newest": {name: _candidate(each) for name, each in state.newest.items()},
        "held": list(held),
        "owner": state.owner.execution if state.owner else None,
        "watches": state.owner is not None and state.owner.watched is not None,
        "waiting": [
            {"execution": name.rpartition(":")[2], "for": _waits_for(gate), "since": instant(gate.since)}
            for name, gate in state.gates.items()
        ],
        "deployments": [
            {
                "status": each.status,
                "revision": short(each.revision),
                "rolloutState": each.rollout_state,
                "desired": each.desired,
                "running": each.running,
                "pending": each.pending,
                "failed": each.failed_tasks,
            }
            for each in service.deployments
        ],
    }


def history_of(entries: Iterable[Entry]) -> dict[str, Any]:
    """What ran when, by whose request, how it ended, and how long each part took; the newest first."""
    return {"executions": [_entry(each) for each in entries]}


def _waits_for(gate: Gate) -> str:
    if gate.is_asking and gate.answer is None:
        return "approval"
    return "its task" if gate.task and not gate.task.is_over else "its turn"


def _tag_of(digest: str | None, state: State) -> str | None:
    """The tag by which an image was asked for, as far as that is known."""
    known = (*state.deployed.values(), *state.newest.values())
    return next((each.tag for each in known if digest and each.digest == digest and each.tag), None)


def _candidate(each: Candidate) -> dict[str, Any]:
    return {
        "tag": each.tag or None,
        "digest": each.digest or None,
        "requestedAt": instant(each.requested_at),
        "by": "push" if each.is_push else "hand",
        "execution": each.execution,
        "failed": each.failed_at is not None,
    }


def _entry(entry: Entry) -> dict[str, Any]:
    outcome = (entry.answer or {}).get("outcome") or {}
    return {
        **_candidate(entry.candidate),
        "startedAt": instant(entry.candidate.started_at),
        "endedAt": instant(entry.ended_at) if entry.ended_at else None,
        "image": entry.image,
        "containers": list(entry.containers),
        "revision": short(entry.revision) or None,
        "replaced": short(entry.replaced) or None,
        "result": entry.result,
        "seconds": outcome.get("seconds"),
        "times": outcome.get("times"),
    }
