"""A task definition comes back as it was registered: every member of the request, and no other but those of ECS.

The emulator keeps the members it knows and adds empty ones; a deployer that copies revisions would lose the first and
be refused for the second. It takes a family for its newest revision, where ECS takes the newest ACTIVE one, and lists
the families that begin like it as well.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTaskDefinition.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTaskDefinitions.html
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
    seams.attributes(ECS, "_task_defs")
    seams.replace(resolve, ECS, "_resolve_td_key", "ref")
    seams.replace(list_family, ECS, "_list_task_definitions", "data")
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


def resolve(original: Function) -> Function:
    """Take a family for its newest ACTIVE revision."""

    def key_of(reference: str | None) -> str | None:
        key: str | None = original(reference)
        family = (reference or "").rpartition("/")[2]
        if ":" in family:
            return key
        definitions = importlib.import_module(ECS)._task_defs.values()
        active = [each["revision"] for each in definitions if each["family"] == family and each["status"] == "ACTIVE"]
        return f"{family}:{max(active)}" if active else key

    return key_of


def list_family(original: Function) -> Function:
    """List the revisions of one family."""

    def list_task_definitions(data: dict[str, Any]) -> Answer:
        answer: Answer = original(data)
        if answer[0] != answers.OK or "familyPrefix" not in data:
            return answer
        found = answers.read(answer)
        own = [arn for arn in found["taskDefinitionArns"] if f"/{data['familyPrefix']}:" in arn]
        return answers.document({**found, "taskDefinitionArns": own})

    return list_task_definitions


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
