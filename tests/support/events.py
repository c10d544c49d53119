"""The events as EventBridge delivers them, held to the schemas in docs/."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.support.ecs_model import ACCOUNT, REGION

DOCS = Path(__file__).parents[2] / "docs"
OUTCOME, STARTED, PAUSED = "ECS Deploy Outcome", "ECS Deploy Started", "ECS Deploy Paused"
APPROVAL = "ECS Deploy Approval"
SCHEMAS = {
    OUTCOME: "outcome-event.schema.json",
    STARTED: "started-event.schema.json",
    APPROVAL: "approval-event.schema.json",
    PAUSED: "paused-event.schema.json",
}


@cache
def validator(detail_type: str) -> Any:
    """What checks events of a kind; made once, the schema itself checked."""
    schema = json.loads((DOCS / SCHEMAS[detail_type]).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def hold(event: dict[str, Any]) -> None:
    """Fail unless an event is as its schema says, and says nothing that the schema does not know."""
    checker = validator(event["detail-type"])
    problems = [f"{error.json_path}: {error.message}" for error in checker.iter_errors(event)]
    assert not problems, problems
    assert set(event["detail"]) == set(checker.schema["$defs"]["detail"]["properties"])


def as_event(detail_type: str, detail: dict[str, Any]) -> dict[str, Any]:
    """What EventBridge makes of a detail that Step Functions sends."""
    return {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "source": "ecs-deploy",
        "detail-type": detail_type,
        "account": ACCOUNT,
        "time": "2026-01-31T12:00:00Z",
        "region": REGION,
        "resources": [
            detail["execution"],
            detail["execution"].replace(":execution:", ":stateMachine:").rpartition(":")[0],
        ],
        "detail": json.loads(json.dumps(detail)),
    }


def hold_notifications(answers: list[dict[str, Any]]) -> None:
    """Hold the notifications of an execution's answers: when it asks, starts to deploy, is paused, and ends; no other.

    An execution may wait for its turn before it starts.
    """
    *before, end = answers
    hold(as_event(OUTCOME, end["notification"]))
    asked = [answer for answer in before if answer["next"] == "notify_approval"]
    begun = [answer for answer in before if answer["next"] not in {"wait_for_turn", "notify_approval"}]
    paused = [answer for answer in before if answer["next"] == "notify_pause"]
    notified = [answer for answer in before if "notification" in answer and answer not in [*asked, *paused]]
    assert notified == begun[:1]
    assert [answer for answer in before if answer["next"] == "announce"] == notified
    for start in notified:
        hold(as_event(STARTED, start["notification"]))
    for each in asked:
        hold(as_event(APPROVAL, each["notification"]))
    for pause in paused:
        hold(as_event(PAUSED, pause["notification"]))
