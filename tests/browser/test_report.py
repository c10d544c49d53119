"""The report in headless Chromium: it shows what happened, fits a phone, runs nothing and loads nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from html import escape, unescape
from typing import TYPE_CHECKING, Any

import pytest

from cli.report import render
from cli.timeline import Bar, Row, Story

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = '<script>parent.pwned = true</script><img src=x onerror="parent.pwned = true">'
LONG = "arn:aws:states:us-east-1:123456789012:execution:" + "WorkflowMachine" * 12
STORY = Story(
    name="5a0f7b1e-0d0e-4f0c-8f3b-0b1d3a1c2e01",
    status="FAILED",
    end="DeploymentFailed",
    where="doorman-service in production1",
    image="123456789012.dkr.ecr.us-east-1.amazonaws.com/team/doorman:2026-11-23-0123456789abcdef",
    message="doorman:3 did not become stable: a container exits on its start. The service was returned to doorman:2.",
    reasons=("3 x stopped: EssentialContainerExited", HOSTILE, LONG),
    before="doorman:2",
    after="doorman:2",
    seconds=12.0,
    rows=(
        Row("push", (Bar("moment", 0, 0, "push"),)),
        Row("turn", (Bar("turn", 0.2, 0.4, "waits for its turn"),)),
        Row("update", (Bar("update", 0.4, 0.6, "update"),)),
        Row("poll", (Bar("poll", 5, 5, "poll"),)),
        Row(
            "rollout",
            (Bar("pull", 0.6, 3, "doorman:3 pulls the image"), Bar("drain", 3, 5, "doorman:3 drains the old tasks")),
        ),
        Row("verdict", (Bar("verdict", 5, 5, "DeploymentFailed"),)),
        Row("roll back", (Bar("roll back", 5, 5.2, "roll back"),)),
        Row("task of doorman:3", (Bar("pending", 0.6, 2, "pending"), Bar("died", 2, 2, HOSTILE))),
        Row("task of doorman:2", (Bar("running", 0, 12, "running"),)),
    ),
    origin="push",
    slow=("draining took 301 s: by default a target group waits 300 s", HOSTILE),
)
STORIES = [
    STORY,
    replace(STORY, name="one", status="SUCCEEDED", end="DEPLOYED", message="", reasons=(), after="doorman:3"),
    replace(STORY, name="two", where=HOSTILE, image=LONG, rows=(), before="", after=""),
]
# Measured in the page around the report, whose frame is as wide as a screen.
MEASURE = """
window.onload = () => {
  const measured = [...document.querySelectorAll("iframe")].map((frame) => {
    const page = frame.contentDocument, root = page.documentElement;
    const all = [...page.body.querySelectorAll("*")];
    const texts = all.filter((each) => [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
    const inside = [...page.querySelectorAll(".bar")].every((bar) => {
      const own = bar.getBoundingClientRect(), track = bar.parentElement.getBoundingClientRect();
      return own.width > 0 && own.left >= track.left - 1 && own.left <= track.right + 1;
    });
    return {
      width: frame.clientWidth,
      needs: root.scrollWidth,
      smallest: Math.min(...texts.map((each) => parseFloat(frame.contentWindow.getComputedStyle(each).fontSize))),
      track: Math.min(...[...page.querySelectorAll(".track")].map((each) => each.getBoundingClientRect().width)),
      tap: Math.min(...[...page.querySelectorAll("summary")].map((each) => each.getBoundingClientRect().height)),
      inside,
      articles: page.querySelectorAll("article").length,
      bars: page.querySelectorAll(".bar").length,
      text: page.body.innerText,
      executed: window.pwned === true || page.scripts.length > 0 || page.images.length > 0,
    };
  });
  document.body.dataset.measured = JSON.stringify(measured);
};
"""
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """What a browser makes of the report, by the width of the screen in pixels."""
    chromium = shutil.which("chromium")
    assert chromium, "there is no chromium; tests/browser/with-chromium installs one"
    directory = tmp_path_factory.mktemp("browser")
    report = escape(render(STORIES, "on the emulator", datetime(2026, 1, 31, tzinfo=UTC)))
    frames = [
        f'<iframe style="width: {width}px; height: 800px; border: 0" srcdoc="{report}"></iframe>'
        for width in (360, 1280)
    ]
    page = directory / "page.html"
    page.write_text(f"<!doctype html><body>{''.join(frames)}<script>{MEASURE}</script>")
    command = [
        chromium,
        *FLAGS,
        f"--user-data-dir={directory / 'profile'}",
        "--virtual-time-budget=10000",
        "--dump-dom",
    ]
    ran = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r'data-measured="([^"]*)"', ran.stdout)
    assert found, ran.stderr[-2000:]
    return {each["width"]: each for each in json.loads(unescape(found[1]))}


@pytest.mark.parametrize("width", [360, 1280])
def test_it_shows_every_execution(measured: dict[int, dict[str, Any]], width: int) -> None:
    shown = measured[width]
    assert shown["articles"] == len(STORIES)
    assert shown["bars"] == sum(len(row.bars) for story in STORIES for row in story.rows)
    assert shown["inside"]
    for text in ("DeploymentFailed", "DEPLOYED", "doorman-service in production1", "doorman:2", STORY.message):
        assert text in shown["text"]


def test_it_fits_a_phone(measured: dict[int, dict[str, Any]]) -> None:
    phone = measured[360]
    assert phone["needs"] <= 360
    assert phone["smallest"] >= 12
    assert phone["track"] >= 250
    # https://www.w3.org/WAI/WCAG22/Understanding/target-size-minimum.html
    assert phone["tap"] >= 24


def test_nothing_in_it_is_executed_or_loaded(measured: dict[int, dict[str, Any]]) -> None:
    assert not any(shown["executed"] for shown in measured.values())
    assert HOSTILE.partition(">")[0] in measured[1280]["text"]
    page = render(
        [replace(STORY, reasons=(), slow=(), rows=STORY.rows[:7])], "on the emulator", datetime(2026, 1, 31, tzinfo=UTC)
    )
    assert not re.findall(r"<(?:script|link|img|iframe|object)|\s(?:src|href)=|url\(|@import", page)


def test_the_report_of_nothing(tmp_path: Path) -> None:
    assert "Nothing was started." in render([], "on the emulator", datetime(2026, 1, 31, tzinfo=UTC))
