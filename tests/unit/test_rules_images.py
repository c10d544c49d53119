"""Which digests run, which platform an index has, and whether ECR keeps the image to return to."""

import json
from typing import Any

import pytest

from ecs_deploy.core import lifecycle, platform
from ecs_deploy.core.digests import Proof, agreed, prove, reported
from ecs_deploy.core.errors import DeployError
from ecs_deploy.core.history import Ran, ran_with, revision_before
from ecs_deploy.core.policy import Target
from ecs_deploy.core.service import Container, Task
from ecs_deploy.core.state import Entry, Result
from ecs_deploy.core.task_definition import pinned, pinned_digests, references, unpinned
from tests.support.rules import asked, at, table, td

ONE, TWO, PART = (f"sha256:{letter * 64}" for letter in "12c")


def task(revision: int, status: str = "RUNNING", **digests: str) -> Task:
    """A task whose containers report these digests."""
    containers = tuple(Container(name, None, None, digest=digest) for name, digest in digests.items())
    return Task("arn", td(revision), status, "", None, None, None, None, None, "", containers)


@table(
    "tasks, found",
    {
        "none runs": ([], {}),
        "of this revision": ([task(1, app=ONE), task(2, app=TWO)], {"app": {TWO}}),
        "that run": ([task(2, "PENDING", app=ONE), task(2, "STOPPED", app=ONE), task(2, app=TWO)], {"app": {TWO}}),
        "that report one": ([task(2, app=TWO, proxy="")], {"app": {TWO}}),
        "more than one": ([task(2, app=ONE), task(2, app=TWO)], {"app": {ONE, TWO}}),
    },
)
def test_what_tasks_report(tasks: list[Task], found: dict[str, set[str]]) -> None:
    assert reported(tasks, td(2)) == found


def test_what_tasks_agree_on() -> None:
    assert agreed({"app": frozenset({ONE, TWO}), "proxy": frozenset({ONE})}) == {"proxy": ONE}


APP_RUNS_TWO = f"app runs {TWO} instead of {ONE}"
UNPROVEN = f"no task reports the digest of app: nothing proves that {ONE} runs"


@table(
    "found, parts, proof",
    {
        "it runs": ({"app": {ONE}}, {}, Proof({"app": ONE})),
        "a part of it runs": ({"app": {PART}}, {ONE: (PART,)}, Proof({"app": ONE})),
        "it, and a part of it": ({"app": {ONE, PART}}, {ONE: (PART,)}, Proof({"app": ONE})),
        "another one runs": ({"app": {TWO}}, {ONE: (PART,)}, Proof({"app": ONE}, (APP_RUNS_TWO,))),
        "two others run": (
            {"app": {TWO, PART}},
            {},
            Proof({"app": ONE}, (f"app runs {TWO} and {PART} instead of {ONE}",)),
        ),
        "another one runs as well": ({"app": {ONE, TWO}}, {}, Proof({"app": ONE}, (APP_RUNS_TWO,))),
        "a part of another one": ({"app": {TWO}}, {TWO: (PART,)}, Proof({"app": ONE}, (APP_RUNS_TWO,))),
        "nobody tells what it lists": (
            {"app": {PART}},
            {ONE: None},
            Proof({"app": ONE}, (), (f"app runs {PART}: nothing tells whether that is a part of {ONE}",)),
        ),
        "nobody tells what it lists, and it runs": ({"app": {ONE}}, {ONE: None}, Proof({"app": ONE})),
        "nobody tells": ({}, {}, Proof({"app": ONE}, (), (UNPROVEN,))),
        "what else runs is noted": ({"app": {ONE}, "proxy": {TWO}}, {}, Proof({"app": ONE, "proxy": TWO})),
    },
)
def test_proof(found: dict[str, set[str]], parts: dict[str, tuple[str, ...] | None], proof: Proof) -> None:
    tasks = {name: frozenset(each) for name, each in found.items()}
    assert prove(tasks, {"app": ONE}, parts, ["app"]) == proof
    assert prove(tasks, {"app": ONE}, parts, ["*"]) == proof
    # Of a container that was not changed, only what differs matters.
    assert prove(tasks, {"app": ONE}, parts, ["proxy"]) == proof._replace(unproven=())


def document(*images: str, **members: Any) -> dict[str, Any]:
    """A task definition with a container for each image, c0 being the first."""
    return {"containerDefinitions": [{"name": f"c{i}", "image": image} for i, image in enumerate(images)], **members}


@table(
    "image, pinned_image",
    {
        "a tag": ("doorman:v1", f"doorman@{ONE}"),
        "no tag": ("doorman", f"doorman@{ONE}"),
        "another digest": (f"doorman@{TWO}", f"doorman@{ONE}"),
        "both": (f"doorman:v1@{TWO}", f"doorman@{ONE}"),
        "a host with a port": ("registry.example:5000/team/doorman:v1", f"registry.example:5000/team/doorman@{ONE}"),
        "no reference": ("NOT A REFERENCE", "NOT A REFERENCE"),
    },
)
def test_an_image_is_pinned(image: str, pinned_image: str) -> None:
    written = document(image, "proxy:v1", cpu="256", revision=3)
    assert pinned(written, {"c0": ONE}) == document(pinned_image, "proxy:v1", cpu="256")
    assert written["containerDefinitions"][0]["image"] == image


def test_what_is_written_in_a_document() -> None:
    written = document("doorman:v1", f"proxy@{ONE}", "no reference!", f"gate:v1@{TWO}")
    assert references(written) == {"c0": "doorman:v1"}
    assert pinned_digests(written) == {"c1": ONE, "c3": TWO}


@table(
    "image, written, result",
    {
        "what was pinned is as it was": (f"doorman@{ONE}", {"c0": "doorman:v1"}, "doorman:v1"),
        "somebody has changed it since": (f"doorman@{TWO}", {"c0": "doorman:v1"}, f"doorman@{TWO}"),
        "somebody has named another repository": (f"guard@{ONE}", {"c0": "doorman:v1"}, f"guard@{ONE}"),
        "it was not pinned": (f"doorman@{ONE}", {}, f"doorman@{ONE}"),
        "another container was": (f"doorman@{ONE}", {"c1": "doorman:v1"}, f"doorman@{ONE}"),
    },
)
def test_references_come_back(image: str, written: dict[str, str], result: str) -> None:
    assert unpinned(document(image), {"c0": ONE, "c1": ONE}, written) == document(result)


def test_nothing_is_known_to_be_pinned() -> None:
    assert unpinned(document(f"doorman@{ONE}"), {}, {"c0": "doorman:v1"}) == document(f"doorman@{ONE}")


def listing(*platforms: str) -> str:
    """An index with a manifest for each platform."""
    manifests = [
        {"digest": f"digest of {each}", "platform": dict(zip(("os", "architecture"), each.split("/"), strict=True))}
        for each in platforms
    ]
    return json.dumps({"manifests": manifests})


AMD, ARM = "linux/amd64", "linux/arm64"
X86 = {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"}


@table(
    "index, wanted, problem",
    {
        "it has it": (listing(ARM, AMD), X86, None),
        "it has another processor only": (listing(ARM), X86, "it is for linux/arm64"),
        "it has another system only": (
            listing(AMD),
            {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"},
            "asks for windows/*",
        ),
        "any processor of that system": (
            listing("windows/amd64"),
            {"operatingSystemFamily": "WINDOWS_SERVER_2025_FULL"},
            None,
        ),
        "any system with that processor": (listing(ARM), {"cpuArchitecture": "ARM64"}, None),
        "another processor, whatever the system": (listing(AMD), {"cpuArchitecture": "ARM64"}, "asks for */arm64"),
        "one that AWS may add": (listing("linux/riscv64"), {"cpuArchitecture": "riscv64"}, None),
        "one that AWS may add, and another image": (listing(AMD), {"cpuArchitecture": "riscv64"}, "asks for */riscv64"),
        "two others": (listing(ARM, "linux/s390x"), X86, "it is for linux/arm64, linux/s390x, and"),
        "it tells no processor": (
            json.dumps({"manifests": [{"digest": ONE, "platform": {"os": "linux"}}]}),
            X86,
            "it is for linux/?, and",
        ),
        "the definition says nothing": (listing(ARM), {}, None),
        "attestations are of no platform": (listing(ARM, "unknown/unknown"), X86, "it is for linux/arm64, and"),
        "it tells no platforms": (json.dumps({"manifests": [{"digest": ONE}]}), X86, None),
        "it is no index": ("", X86, None),
        "it lists nothing": (json.dumps({}), X86, None),
    },
)
def test_platforms(index: str, wanted: dict[str, str], problem: str | None) -> None:
    found = platform.problem_with(index, document(runtimePlatform=wanted))
    assert (found is None) is (problem is None)
    assert (problem or "") in (found or "")
    assert platform.problem_with(index, document()) is None


def test_the_parts_of_an_index() -> None:
    assert platform.parts(listing(AMD, ARM)) == (f"digest of {AMD}", f"digest of {ARM}")
    assert platform.parts("") == ()


def rules(*statuses: str) -> str:
    return json.dumps({"rules": [{"selection": {"tagStatus": each}} for each in statuses]})


@table(
    "status, tags, policy, problem",
    {
        "it is there": ("ACTIVE", ["v1"], "", None),
        "it is gone": (None, [], "", "not in ECR any more"),
        "it is archived": ("ARCHIVED", ["v1"], "", "is ARCHIVED"),
        "it is about to be there again": ("ACTIVATING", ["v1"], "", "is ACTIVATING"),
        "it has no tag, and nobody takes it": ("ACTIVE", [], "", None),
        "a rule takes what has no tag": ("ACTIVE", [], rules("tagged", "untagged"), "a lifecycle rule"),
        "a rule takes anything": ("ACTIVE", [], rules("any"), "a lifecycle rule"),
        "a rule takes what has a tag": ("ACTIVE", [], rules("tagged"), None),
        "it has a tag": ("ACTIVE", ["v1"], rules("untagged", "any"), None),
        "a policy without rules": ("ACTIVE", [], "{}", None),
        "a rule that selects nothing": ("ACTIVE", [], json.dumps({"rules": [{"action": {"type": "expire"}}]}), None),
    },
)
def test_what_ecr_keeps(status: str | None, tags: list[str], policy: str, problem: str | None) -> None:
    found = lifecycle.problem_with("doorman@sha256:1", status, tags, policy)
    assert (found is None) is (problem is None)
    assert (problem or "") in (found or "")
    assert found is None or "doorman@sha256:1" in found


def entry(minutes: float, revision: int, replaced: int, result: Result = Result.DEPLOYED, **digests: str) -> Entry:
    """An execution that has ended, and left what its revision ran with."""
    return Entry(
        candidate=asked("by", minutes, digest=f"of {revision}"),
        containers=("app",),
        again={},
        image=f"doorman:v{revision}",
        revision=td(revision),
        replaced=td(replaced),
        result=result,
        ended_at=at(minutes),
        digests=digests,
        replaced_digests={"app": f"before {revision}"},
    )


def copied(
    minutes: float, revision: int, replaced: int, copies: dict[int, int], result: Result = Result.DEPLOYED
) -> Entry:
    """An execution that has registered copies of other revisions."""
    made = entry(minutes, revision, replaced, result)
    return made._replace(copies={td(new): td(old) for new, old in copies.items()})


@table(
    "history, ran",
    {
        "nothing": ([], Ran()),
        "it was deployed": ([entry(1, 2, 1, app=TWO)], Ran({"app": TWO}, "doorman:v2", "of 2")),
        "the last time counts": (
            [entry(5, 2, 1, app=ONE), entry(1, 2, 1, app=TWO)],
            Ran({"app": ONE}, "doorman:v2", "of 2"),
        ),
        "nobody told the last time": (
            [entry(1, 2, 1, app=TWO), entry(5, 2, 1)],
            Ran({"app": TWO}, "doorman:v2", "of 2"),
        ),
        "it was replaced": ([entry(1, 3, 2, app=ONE)], Ran({"app": "before 3"})),
        "it was deployed and replaced": (
            [entry(1, 2, 1, app=TWO), entry(2, 3, 2, app=ONE)],
            Ran({"app": TWO}, "doorman:v2", "of 2"),
        ),
        "it failed": ([entry(1, 2, 1, Result.FAILED, app=TWO)], Ran()),
    },
)
def test_what_a_revision_ran_with(history: list[Entry], ran: Ran) -> None:
    assert ran_with(td(2), history) == ran


@table(
    "history, current, before",
    {
        "a copy is what it is a copy of": ([entry(1, 2, 1), copied(2, 3, 2, {3: 1})], 3, None),
        "to revert twice goes back twice": (
            [entry(1, 2, 1), entry(2, 3, 2), copied(3, 4, 3, {4: 2})],
            4,
            1,
        ),
        "a copy that was registered to return": (
            [entry(1, 2, 1), copied(2, 3, 2, {4: 2}, Result.FAILED), entry(3, 5, 4)],
            5,
            4,
        ),
        "and before that": ([entry(1, 2, 1), copied(2, 3, 2, {4: 2}, Result.FAILED), entry(3, 5, 4)], 4, 1),
        "somebody has brought in a copy's original": (
            [entry(1, 2, 1), copied(2, 3, 2, {4: 2}, Result.FAILED)],
            2,
            1,
        ),
        "a copy of a copy": (
            [entry(1, 2, 1), copied(2, 3, 2, {4: 2}, Result.FAILED), copied(3, 5, 4, {6: 4}, Result.FAILED)],
            6,
            1,
        ),
    },
)
def test_copies_lead_no_revert_astray(history: list[Entry], current: int, before: int | None) -> None:
    if before is None:
        with pytest.raises(DeployError):
            revision_before(td(current), history, td(current))
    else:
        assert revision_before(td(current), history, td(current)) == td(before)


def test_what_was_stable_last_is_a_copy_of_what_is_known() -> None:
    history = [entry(1, 2, 1), copied(2, 3, 2, {4: 2}, Result.FAILED)]
    # It is no newer than what it is a copy of, so that the one before is the first.
    assert revision_before(td(3), history, td(4)) == td(2)
    assert revision_before(td(2), history, td(4)) == td(1)


@pytest.mark.parametrize("name", [f"{lifecycle.OWN_TAG_PREFIX}0123456789abcdef", lifecycle.OWN_TAG_PREFIX])
def test_a_tag_of_the_deployers_own_starts_nothing(name: str) -> None:
    assert not Target("production1", "doorman", tags=("*", name)).policy_of(name) is not None
