"""A task definition comes back as it was registered: every member of the request, and no other but those of ECS.

The emulator keeps the members it knows and adds empty ones; a deployer that copies revisions would lose the first and
be refused for the second.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTaskDefinition.html
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from local.emulator import answers

if TYPE_CHECKING:
    from local.emulator.answers import Answer
    from local.emulator.seams import Function, Seams

ECS = "ministack.services.ecs"

# What ECS finds out about a task definition, and refuses in a request.
REQUIRED_ATTRIBUTES = [{"name": "com.amazonaws.ecs.capability.docker-remote-api.1.18"}]


def declare(seams: Seams) -> None:
    """Keep task definitions as they are."""
    seams.call(ECS, "_resolve_td_key", "ref")
    seams.replace(register, ECS, "_register_task_definition", "data")
    seams.replace(describe, ECS, "_describe_task_definition", "data")


def register(original: Function) -> Function:
    """Store what the request carries, and nothing empty beside it."""

    def register_task_definition(data: dict[str, Any]) -> Answer:
        if any(data.get(role) == "" for role in ("taskRoleArn", "executionRoleArn")):
            return answers.error("ClientException", "Role is not valid")
        answer: Answer = original(data)
        if answer[0] != answers.OK:
            return answer
        made = answers.read(answer)["taskDefinition"]
        stored = importlib.import_module(ECS)._task_defs[f"{made['family']}:{made['revision']}"]
        for key in [key for key, value in stored.items() if key not in data and value in ("", None)]:
            del stored[key]
        stored.update({key: value for key, value in data.items() if key not in {*stored, "tags"}})
        stored["requiresAttributes"] = REQUIRED_ATTRIBUTES
        return answers.document({"taskDefinition": stored, **tags_of(data)})

    return register_task_definition


def describe(original: Function) -> Function:
    """Give the tags to who asks for them."""

    def describe_task_definition(data: dict[str, Any]) -> Answer:
        answer: Answer = original(data)
        if answer[0] != answers.OK:
            return answers.error("ClientException", "Unable to describe task definition.")
        found = answers.read(answer)
        tags = tags_of(found) if "TAGS" in data.get("include", []) else {}
        return answers.document({"taskDefinition": found["taskDefinition"], **tags})

    return describe_task_definition


def tags_of(document: dict[str, Any]) -> dict[str, Any]:
    """Give the tags beside a task definition; ECS leaves out what is empty."""
    return {"tags": document["tags"]} if document.get("tags") else {}


def problem_with(reference: str) -> Answer | None:
    """Refuse a revision that does not exist or is no longer active."""
    ecs = importlib.import_module(ECS)
    definition = ecs._task_defs.get(ecs._resolve_td_key(reference))
    if definition is None:
        return answers.error("ClientException", "TaskDefinition not found.")
    if definition["status"] != "ACTIVE":
        return answers.error("ClientException", "TaskDefinition is inactive")
    return None
