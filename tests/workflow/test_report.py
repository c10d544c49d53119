"""The report's story of an execution on the emulator: what it did, in order, and what its tasks did meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli.report import render
from local import report
from tests.workflow.conftest import eventually
from tests.workflow.deployer import Deployer, request_for, throttled

if TYPE_CHECKING:
    from cli.timeline import Story
    from local.cloud import Cloud
    from tests.workflow.conftest import Service


def story_of(cloud: Cloud, arn: str) -> Story:
    name = arn.rpartition(":")[2]
    return next(story for story in report.stories(cloud) if story.name == name)


def bars(story: Story, label: str) -> list[str]:
    return [bar.text for row in story.rows if row.label == label for bar in row.bars]


def labels(story: Story) -> list[str]:
    """The rows but for those of tasks."""
    return [row.label for row in story.rows if not row.label.startswith("task of")]


def test_a_broken_push(cloud: Cloud, service: Service) -> None:
    deployer = Deployer(cloud)
    with deployer.new(service.name) as executions:
        service.push("v2", "crash")
    story = story_of(cloud, executions[0]["executionArn"])
    # What ran comes back with its digests, as a revision of its own.
    old, new, back = (f"{service.name}:{number}" for number in (1, 2, 3))
    assert (story.end, story.status, story.before, story.after) == ("DeploymentFailed", "FAILED", old, back)
    assert labels(story) == ["push", "register", "update", "poll", "verdict", "rollout", "roll back", "return"]
    assert bars(story, "rollout") == [new]
    assert bars(story, "return") == [back]
    assert bars(story, "verdict") == ["DeploymentFailed", "DeploymentFailed"]
    died = [text for row in story.rows if row.label == f"task of {new}" for text in (bar.text for bar in row.bars)]
    assert any("Essential container" in text for text in died)
    for row in story.rows:
        for bar in row.bars:
            assert 0 <= bar.start <= bar.end <= story.seconds
    page = render([story], "on the emulator", datetime.now(UTC))
    assert f"{service.name} in {service.cluster}" in page
    assert story.name in page


def test_a_request_that_is_none(cloud: Cloud) -> None:
    execution = Deployer(cloud).start(["nothing", "<b>like</b>", "it"])
    story = story_of(cloud, execution["executionArn"])
    assert (story.end, story.where, story.rows[0].label) == ("InvalidRequest", "? in ?", "register")


def test_a_success_by_hand_after_a_wait_for_the_turn(cloud: Cloud, pair: Service) -> None:
    deployer = Deployer(cloud)
    for repository in (pair.repository, f"{pair.repository}-proxy"):
        pair.push("2", repository=repository)
    with throttled(cloud, "poll_stability"):
        first = deployer.begin(request_for(pair, image=f"{pair.repository}:2"))
        eventually(lambda: deployer.owner(pair.key) == first)
        second = deployer.begin(request_for(pair, image=f"{pair.repository}-proxy:2"))
        eventually(lambda: "WaitForTurn" in deployer.entered(second))
    deployer.ended(second)
    story = story_of(cloud, second)
    assert (story.end, story.origin, story.before, story.after) == (
        "DEPLOYED",
        "start",
        f"{pair.name}:2",
        f"{pair.name}:3",
    )
    assert labels(story) == ["register", "turn", "update", "poll", "verdict", "rollout"]
    assert bars(story, "verdict") == ["DEPLOYED"]
    assert any("running" in bars(story, row.label) for row in story.rows if row.label == f"task of {pair.name}:3")
