"""The report's story of an execution on the emulator: what it did, in order, and what its tasks did meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local import report
from tests.workflow.test_deployments import Deployer, request_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.cloud import Cloud
    from local.timeline import Story
    from tests.workflow.conftest import Service


def told(cloud: Cloud, arn: str) -> Story:
    name = arn.rpartition(":")[2]
    return next(story for story in report.stories(cloud) if story.name == name)


def bars(story: Story, label: str) -> list[str]:
    return [bar.text for row in story.rows if row.label == label for bar in row.bars]


def test_a_broken_push(cloud: Cloud, create_target: Callable[..., Service], tmp_path: Path) -> None:
    service, deployer = create_target(), Deployer(cloud)
    with deployer.new() as executions:
        service.push("v2", "crash")
    story = told(cloud, executions[0]["executionArn"])
    new, old = f"{service.name}:2", f"{service.name}:1"
    assert (story.end, story.status, story.before, story.after) == ("DeploymentFailed", "FAILED", old, old)
    assert [row.label for row in story.rows if not row.label.startswith("task of")] == [
        "push",
        "register",
        "update",
        "look",
        "verdict",
        "rollout",
        "roll back",
        "return",
    ]
    assert bars(story, "rollout") == [new]
    assert bars(story, "return") == [old]
    assert bars(story, "verdict") == ["DeploymentFailed", "DeploymentFailed"]
    died = [text for row in story.rows if row.label == f"task of {new}" for text in (bar.text for bar in row.bars)]
    assert any("Essential container" in text for text in died)
    for row in story.rows:
        for bar in row.bars:
            assert 0 <= bar.start <= bar.end <= story.seconds
    page = report.write(cloud, tmp_path / "report.html").read_text()
    assert f"{service.name} in {service.cluster}" in page
    assert story.name in page


def test_a_request_that_is_none(cloud: Cloud) -> None:
    execution = Deployer(cloud).start(["nothing", "<b>like</b>", "it"])
    story = told(cloud, execution["executionArn"])
    assert (story.end, story.where, story.rows[0].label) == ("InvalidRequest", "? in ?", "register")


def test_a_success_by_hand(cloud: Cloud, create_target: Callable[..., Service]) -> None:
    service = create_target()
    service.push("2")
    execution = Deployer(cloud).start(request_for(service, image=f"{service.repository}:2"))
    story = told(cloud, execution["executionArn"])
    assert (story.end, story.origin, story.after) == ("DEPLOYED", "start", f"{service.name}:2")
    assert bars(story, "verdict") == ["DEPLOYED"]
    assert any("running" in bars(story, row.label) for row in story.rows if row.label == f"task of {service.name}:2")
