"""The page of the executions that an emulator ran, with the tasks that it remembers."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.report import render
from cli.timeline import story
from local.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.timeline import Story
    from local.cloud import Cloud

REPORT = ROOT / ".build" / "report.html"
MOST_EXECUTIONS = 200
# As many as DescribeTasks takes at once: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
TASKS_OF_A_CALL = 100


def write(cloud: Cloud, file: Path = REPORT) -> Path:
    """Write the report of an emulator that runs; gives the file, which appears complete."""
    page = render([*stories(cloud)], "on the emulator", datetime.now(UTC))
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as temporary:
        temporary.write(page)
    Path(temporary.name).chmod(0o644)
    os.replace(temporary.name, file)  # noqa: PTH105 - it takes the place of another one
    return file


def stories(cloud: Cloud) -> Iterator[Story]:
    """Give the stories of the executions of the state machine, the newest first."""
    states = cloud.client("stepfunctions")
    listed = states.list_executions(stateMachineArn=cloud.state_machine, maxResults=MOST_EXECUTIONS)["executions"]
    tasks: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for each in sorted(listed, key=lambda each: each["startDate"], reverse=True):
        execution = states.describe_execution(executionArn=each["executionArn"])
        pages = states.get_paginator("get_execution_history").paginate(executionArn=each["executionArn"])
        history = [event for page in pages for event in page["events"]]
        service = _service(history)
        if service and service not in tasks:
            tasks[service] = list(_tasks(cloud, *service))
        yield story(execution, history, tasks[service] if service else ())


def _service(history: list[dict[str, Any]]) -> tuple[str, str] | None:
    """Cluster and service of an execution that has planned to update it; else there are no tasks to show."""
    for event in history:
        entered = event.get("stateEnteredEventDetails", {})
        if entered.get("name") == "UpdateService":
            plan = json.loads(entered["input"])["plan"]
            return plan["cluster"], plan["service"]
    return None


def _tasks(cloud: Cloud, cluster: str, service: str) -> Iterator[dict[str, Any]]:
    """The tasks of a service: those that run, and those that the emulator still remembers."""
    ecs = cloud.client("ecs")
    for status in ("RUNNING", "STOPPED"):
        pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, serviceName=service, desiredStatus=status)
        arns = [arn for page in pages for arn in page["taskArns"]]
        for start in range(0, len(arns), TASKS_OF_A_CALL):
            yield from ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + TASKS_OF_A_CALL])["tasks"]
