"""The report's timeline of an execution, from its history alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cli.timeline import Story, story

START = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)
REVISION = "arn:aws:ecs:us-east-1:123456789012:task-definition/door:{}"
REQUEST = {"cluster": "production1", "service": "door", "image": "door:2"}
PLAN = {"cluster": "production1", "service": "door", "revision": REVISION.format(3), "replaced": REVISION.format(2)}
FAILURE = {"error": "DeploymentFailed", "message": "it crashes", "reasons": []}


def rollout(phase: str, number: int, failure: object = None) -> dict[str, Any]:
    return {"plan": PLAN, "rollout": {"phase": phase, "target": REVISION.format(number), "failure": failure}}


def visits(*states: tuple[str, str, object, object]) -> list[dict[str, Any]]:
    """A history in which each state takes a second, and nothing happens between two."""
    history: list[dict[str, Any]] = [{"type": "ExecutionStarted", "timestamp": START}]
    for count, (kind, name, given, answer) in enumerate(states):
        entered = {"name": name, "input": json.dumps(given)}
        left = {"name": name, "output": json.dumps(answer)}
        at = START + timedelta(seconds=count)
        history += [
            {"type": f"{kind}StateEntered", "timestamp": at, "stateEnteredEventDetails": entered},
            {
                "type": f"{kind}StateExited",
                "timestamp": at + timedelta(seconds=1),
                "stateExitedEventDetails": left,
            },
        ]
    return history


def shown_as(history: list[dict[str, Any]], request: object = REQUEST, **end: Any) -> Story:
    execution = {"name": "one", "input": json.dumps(request), "startDate": START, **end}
    return story(execution, history, ())


def bars(shown: Story) -> list[tuple[str, str, float, float]]:
    return [(row.label, bar.text, bar.start, bar.end) for row in shown.rows for bar in row.bars]


def test_a_deployment_that_waits_for_its_turn_and_is_rolled_back() -> None:
    first, back = rollout("DEPLOYING", 3), rollout("RETURNING", 2, FAILURE)
    wait = {"next": "wait_for_rollout", "wait": 5}
    cause = {"message": "no", "revision": PLAN["revision"], "replaced": PLAN["replaced"], "rolledBack": True}
    history = visits(
        ("Task", "RegisterTaskDefinition", REQUEST, {"next": "wait_for_turn", "wait": 5, "turn": {}}),
        ("Wait", "WaitForTurn", {}, {"resumed": {"turn": {}}}),
        ("Task", "RegisterTaskDefinition", {"resumed": {"turn": {}}}, {"next": "announce", **first}),
        ("Task", "NotifyStart", first, first),
        ("Task", "UpdateService", first, {**wait, **first}),
        ("Wait", "WaitForRollout", first, first),
        ("Task", "PollStability", first, {"next": "update", **back}),
        ("Task", "UpdateService", back, {**wait, **back}),
        ("Wait", "WaitForRollout", back, back),
        ("Task", "PollStability", back, {"next": "fail", "failure": {"error": "DeploymentFailed", "cause": cause}}),
    )
    shown = shown_as(history, status="FAILED", error="DeploymentFailed", cause=json.dumps(cause))
    assert (shown.end, shown.before, shown.after, shown.origin) == ("DeploymentFailed", "door:2", "door:2", "start")
    assert bars(shown) == [
        ("register", "register", 0, 1),
        ("register", "register", 2, 3),
        ("turn", "waits for its turn", 1, 2),
        ("update", "update", 4, 5),
        ("poll", "poll", 7, 7),
        ("poll", "poll", 10, 10),
        ("verdict", "DeploymentFailed", 7, 7),
        ("verdict", "DeploymentFailed", 10, 10),
        ("rollout", "door:3", 5, 7),
        ("roll back", "roll back", 7, 8),
        ("return", "door:2", 8, 10),
    ]


def test_the_parts_of_a_rollout_are_drawn_where_the_outcome_has_them() -> None:
    first = rollout("DEPLOYING", 3)
    times = {"pull": 0.5, "start": 0.25, "health": 0.75, "shift": 0.0, "drain": 9.0}
    outcome = {"outcome": "DEPLOYED", "image": "door:3", "revision": PLAN["revision"], "replaced": PLAN["replaced"]}
    history = visits(
        ("Task", "UpdateService", first, {"next": "wait_for_rollout", "wait": 5, **first}),
        ("Task", "WaitForRollout", first, first),
        ("Task", "PollStability", first, {"next": "succeed", "outcome": outcome}),
    )
    shown = shown_as(history, status="SUCCEEDED", output=json.dumps({**outcome, "times": times, "slow": ["it drains"]}))
    assert shown.slow == ("it drains",)
    assert [bar for bar in bars(shown) if bar[0] == "rollout"] == [
        ("rollout", "door:3 pulls the image, 0.5 s", 1, 1.5),
        ("rollout", "door:3 starts the new tasks, 0.2 s", 1.5, 1.75),
        ("rollout", "door:3 checks their health, 0.8 s", 1.75, 2.5),
        # The clocks of ECS and of the workflow differ.
        ("rollout", "door:3 drains the old tasks, 9.0 s", 2.5, 3),
    ]


def test_what_it_waits_for_before_and_after() -> None:
    first, stable = rollout("DEPLOYING", 3), rollout("DEPLOYING", 3)
    stable["rollout"]["stable_at"] = "2026-11-26T12:00:09.000Z"
    wait = {"next": "wait_for_rollout", "wait": 5}
    history = visits(
        ("Task", "WaitForTurn", {"turn": {"members": []}}, {}),
        ("Task", "WaitForTurn", {"turn": {"has_asked": True}}, {}),
        ("Task", "WaitForTurn", {"turn": {"has_asked": False}}, {}),
        ("Task", "UpdateService", first, {**wait, **first}),
        ("Task", "PollStability", first, {**wait, **stable}),
        ("Task", "WaitForRollout", stable, stable),
        ("Task", "PollStability", stable, {"next": "succeed", "outcome": {}}),
    )
    shown = shown_as(history, status="SUCCEEDED")
    found = [bar for bar in bars(shown) if bar[0] in {"members", "gate", "turn", "rollout", "watch"}]
    assert found == [
        ("members", "waits for the members of the group", 0, 1),
        ("gate", "waits for approval, or for its task before the update", 1, 2),
        ("turn", "waits for its turn", 2, 3),
        ("rollout", "door:3", 4, 5),
        ("watch", "tests and watches what is stable", 5, 7),
    ]


def test_a_rollout_that_was_over_at_once_is_drawn_whole() -> None:
    first, times = rollout("DEPLOYING", 3), dict.fromkeys(("pull", "start", "health", "shift", "drain"), 0.0)
    history = visits(
        ("Task", "UpdateService", first, {"next": "wait_for_rollout", "wait": 5, **first}),
        ("Task", "WaitForRollout", first, first),
        ("Task", "PollStability", first, {"next": "succeed", "outcome": {}}),
    )
    outcome = {"outcome": "DEPLOYED", "image": "door:3", "revision": PLAN["revision"], "replaced": PLAN["replaced"]}
    shown = shown_as(history, status="SUCCEEDED", output=json.dumps({**outcome, "times": times}))
    assert [bar for bar in bars(shown) if bar[0] == "rollout"] == [("rollout", "door:3", 1, 3)]


def test_times_count_from_the_push() -> None:
    push = {"id": "event", "time": (START - timedelta(seconds=2)).isoformat()}
    outcome = {"outcome": "UNCHANGED", "image": "door:2", "revision": None, "replaced": None}
    answer = {"next": "succeed", "outcome": outcome}
    history = visits(("Task", "RegisterTaskDefinition", REQUEST, answer))
    shown = shown_as(history, {**REQUEST, "push": push}, status="SUCCEEDED", output=json.dumps(outcome))
    assert (shown.end, shown.origin, shown.after) == ("UNCHANGED", "push", "")
    assert bars(shown) == [("push", "push", 0, 0), ("register", "register", 2, 3)]


def test_what_others_ended() -> None:
    history = visits(("Task", "RegisterTaskDefinition", REQUEST, {}))
    assert shown_as(history, status="ABORTED", cause="a person said so").end == "ABORTED"
    assert shown_as(history, status="TIMED_OUT").end == "TIMED_OUT"
    taken_over = json.dumps({"message": "no", "revision": PLAN["revision"], "replaced": "", "rolledBack": None})
    shown = shown_as(history, status="FAILED", error="DeploymentFailed", cause=taken_over)
    assert (shown.after, shown.where) == ("not known", "door in production1")


def test_a_request_that_is_none() -> None:
    shown = shown_as(visits(("Task", "RegisterTaskDefinition", [], {})), [], status="FAILED", error="InvalidRequest")
    assert (shown.end, shown.where) == ("InvalidRequest", "? in ?")
