"""A change of the tags of a service sends an event to the default bus, which the emulator does not.

https://docs.aws.amazon.com/tag-editor/latest/userguide/monitor-tag-changes.html

Whether one is sent for the tags that a service is created with, the page does not say; here it is.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from local.emulator import ecs_events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.emulator.seams import Function, Seams

ECS = "ministack.services.ecs"


def declare(seams: Seams) -> None:
    """Tell of the tags that are set and removed."""
    seams.attributes(ECS, "_tags")
    seams.replace(report_created, ECS, "_create_service", "data")
    seams.replace(report_tagged, ECS, "_tag_resource", "data")
    seams.replace(report_untagged, ECS, "_untag_resource", "data")


def report_created(original: Function) -> Function:
    """Tell of the tags that a service is created with."""

    def create_service(data: dict[str, Any]) -> object:
        before = {*importlib.import_module(ECS)._tags}
        answer = original(data)
        for arn in {*importlib.import_module(ECS)._tags} - before:
            report(arn, (each["key"] for each in data.get("tags", ())))
        return answer

    return create_service


def report_tagged(original: Function) -> Function:
    """Tell of the tags that are set."""

    def tag_resource(data: dict[str, Any]) -> object:
        answer = original(data)
        report(data.get("resourceArn", ""), (each.get("key", "") for each in data.get("tags", ())))
        return answer

    return tag_resource


def report_untagged(original: Function) -> Function:
    """Tell of the tags that are removed."""

    def untag_resource(data: dict[str, Any]) -> object:
        answer = original(data)
        report(data.get("resourceArn", ""), data.get("tagKeys", ()))
        return answer

    return untag_resource


def report(arn: str, keys: Iterable[str]) -> None:
    """Send the event of a service whose tags have changed."""
    changed = [*keys]
    if ":service/" not in arn or not changed:
        return
    tags = {each["key"]: each.get("value", "") for each in importlib.import_module(ECS)._tags.get(arn, [])}
    detail = {"changed-tag-keys": changed, "service": "ecs", "resource-type": "service", "tags": tags}
    ecs_events.send("Tag Change on Resource", arn, detail, source="aws.tag")
