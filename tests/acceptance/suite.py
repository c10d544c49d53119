"""Make the throwaway stack, run the scenarios in it, and remove all that was made, whatever happened."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.acceptance import NAME, SCENARIOS
from tests.acceptance.account import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.acceptance.scenarios import Fact

APP = f"{sys.executable} -m tests.acceptance.stack"


@contextmanager
def deployed(
    cdk: Callable[[list[str]], None],
    client: Callable[[str], Any],
    directory: Path,
    *,
    seconds: float,
    propagation: float,
) -> Iterator[Account]:
    """Deploy the stack for the block; `cdk` runs the CDK's command."""
    assembly, outputs = directory / "cdk.out", directory / "outputs.json"
    cdk(["synth", NAME, "--quiet", "--app", APP, "--output", str(assembly)])
    app = ["--app", str(assembly)]
    try:
        cdk(["deploy", NAME, *app, "--require-approval", "never", "--outputs-file", str(outputs)])
        yield Account(client, json.loads(outputs.read_text())[NAME], seconds, propagation)
    finally:
        table = table_of(client)
        try:
            remove_services(client)
        finally:
            cdk(["destroy", NAME, *app, "--force"])
        if table:
            # The stack keeps it.
            client("dynamodb").delete_table(TableName=table)


def table_of(client: Callable[[str], Any]) -> str | None:
    """Give the name of the stack's table, if it is there."""
    formation = client("cloudformation")
    try:
        (stack,) = formation.describe_stacks(StackName=NAME)["Stacks"]
    except formation.exceptions.ClientError:
        return None
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}
    return outputs.get("TableName")


def remove_services(client: Callable[[str], Any]) -> None:
    """Remove the services and their revisions."""
    ecs = client("ecs")
    found = ecs.describe_clusters(clusters=[NAME])["clusters"]
    if any(each["status"] == "ACTIVE" for each in found):
        services = ecs.list_services(cluster=NAME)["serviceArns"]
        for each in services:
            ecs.delete_service(cluster=NAME, service=each, force=True)
        if services:
            # A cluster with a service that drains cannot be deleted:
            # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteCluster.html
            ecs.get_waiter("services_inactive").wait(cluster=NAME, services=services)
    for scenario in SCENARIOS:
        family = f"{NAME}-{scenario}"
        for each in ecs.list_task_definitions(familyPrefix=family)["taskDefinitionArns"]:
            ecs.deregister_task_definition(taskDefinition=each)
        inactive = ecs.list_task_definitions(familyPrefix=family, status="INACTIVE")["taskDefinitionArns"]
        if inactive:
            # Ten at most: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteTaskDefinitions.html
            ecs.delete_task_definitions(taskDefinitions=inactive[:10])


def report(facts: Sequence[Fact]) -> str:
    """Put what was observed into words, what differs from the models last."""
    lines = [f"{'DIFFERS' if fact.differs else 'ok':8}{fact.scenario:12}{fact.what}: {fact.observed}" for fact in facts]
    different = [fact for fact in facts if fact.differs]
    lines += ["", f"{len(facts)} facts, of which {len(different)} differ from the models"]
    lines += [
        f"  {each.scenario}: {each.what}: expected {each.expected}, observed {each.observed}" for each in different
    ]
    return "\n".join(lines)
