"""Whom to notify: what can be meant is read, what cannot be is reported, all of it at once."""

from __future__ import annotations

import json

import pytest

from infra.context import InvalidContext, Notify, notify

CHANNEL = "arn:aws:chatbot::123456789012:chat-configuration/slack-channel/deployments"


def test_everybody() -> None:
    teams = "arn:aws-us-gov:chatbot::123456789012:chat-configuration/microsoft-teams-channel/Ops_1"
    listed = ["ops@example.com", CHANNEL, "https://hooks.example.com/a?token=b", "a.b+c@mail.example.com", teams]
    assert notify(listed) == Notify(
        emails=("ops@example.com", "a.b+c@mail.example.com"),
        urls=("https://hooks.example.com/a?token=b",),
        channels=(CHANNEL, teams),
    )
    assert notify(json.dumps(listed)) == notify(listed)


def test_nobody_yet_is_not_nobody() -> None:
    assert notify([]) == Notify()
    assert notify(None) is None


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "ops",
        "ops@example",
        "ops@@example.com",
        "Ops <ops@example.com>",
        "ops@example.com\n",
        "mailto:ops@example.com",
        "http://hooks.example.com/",
        "https://",
        "https:///path",
        "https://[bad",
        "https://hooks.example.com/a b",
        f"https://hooks.example.com/{'a' * 2_000}",
        "arn:aws:sns:us-east-1:123456789012:topic",
        "arn:aws:chatbot::123456789012:chat-configuration/slack-channel/",
        "arn:aws:chatbot:us-east-1:123456789012:chat-configuration/slack-channel/deployments",
        5,
        None,
        ["ops@example.com"],
        {"email": "ops@example.com"},
    ],
)
def test_an_entry_that_cannot_be_meant(wrong: object) -> None:
    with pytest.raises(InvalidContext, match=r"^cdk\.json, notify\[0\]: must be an email address, an https URL"):
        notify([wrong])


def test_every_wrong_entry_is_reported_at_once() -> None:
    with pytest.raises(InvalidContext) as caught:
        notify(["ops", "ops@example.com", 5, "ops@example.com"])
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "cdk.json, notify[0]",
        "cdk.json, notify[2]",
        "cdk.json, notify[3]",
    ]
    assert "says the same as notify[1]" in caught.value.problems[2]


@pytest.mark.parametrize("wrong", ["ops@example.com", "{}", "[", {}, 5, True])
def test_what_is_no_list(wrong: object) -> None:
    with pytest.raises(InvalidContext, match=r"^cdk\.json, notify: "):
        notify(wrong)
