"""A request is read whole or refused whole, with every wrong key named."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.image import ImageReference
from ecs_deploy.core.request import Hold, NewImage, OldRevision, Release, Request, Revert, parse

ENVIRONMENT = Environment("123456789012", "eu-west-1")
SERVICE = {"cluster": "production1", "service": "doorman-service"}
VALID = {**SERVICE, "image": "doorman:1.1.0"}
ARN = "arn:aws:ecs:eu-west-1:123456789012"
FOREIGN = "arn:aws:ecs:eu-west-1:999999999999"
DIGEST = "sha256:" + "a" * 64
PUSH = {"id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "time": "2026-01-31T12:00:00Z", "digest": DIGEST}
RESTART = {"request": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "time": "2026-01-31T12:00:00Z"}


def read(document: object) -> Request:
    return parse(document, ENVIRONMENT)


def refusal(document: object) -> str:
    with pytest.raises(DeployError) as caught:
        read(document)
    assert caught.value.error is Error.INVALID_REQUEST
    return caught.value.message


def test_the_policy_of_a_push() -> None:
    request = read({**VALID, "push": {**PUSH, "policy": "main-{n}-*"}})
    assert request.push
    assert request.push.policy == "main-{n}-*"
    assert request.as_json()["push"]["policy"] == "main-{n}-*"
    assert "push.policy" in refusal({**VALID, "push": {**PUSH, "policy": "newest"}})


def test_defaults() -> None:
    request = read(VALID)
    assert (request.timeout, request.rollback, request.push, request.restart) == (600, True, None, None)
    assert request.wanted == NewImage(ImageReference.parse("doorman:1.1.0"), None)


@pytest.mark.parametrize(
    "service", ["doorman-service", f"{ARN}:service/production1/doorman-service", f"{ARN}:service/doorman-service"]
)
@pytest.mark.parametrize("cluster", ["production1", f"{ARN}:cluster/production1"])
def test_names_and_arns_mean_the_same(cluster: str, service: str) -> None:
    request = read({**VALID, "cluster": cluster, "service": service})
    assert (request.cluster, request.service) == ("production1", "doorman-service")


@pytest.mark.parametrize(
    ("image", "tag", "deployed"),
    [
        ("doorman", None, "doorman:latest"),
        ("doorman:1", None, "doorman:1"),
        ("doorman:1", "2", "doorman:2"),
        (f"doorman@{DIGEST}", "2", "doorman:2"),
    ],
)
def test_a_separate_tag_overrides(image: str, tag: str | None, deployed: str) -> None:
    document = {**VALID, "image": image} | ({"tag": tag} if tag else {})
    wanted = read(document).wanted
    assert isinstance(wanted, NewImage)
    assert str(wanted.image) == deployed


@pytest.mark.parametrize("revision", ["doorman:7", f"{ARN}:task-definition/doorman:7"])
def test_a_revision_instead_of_an_image(revision: str) -> None:
    assert read({**SERVICE, "revision": revision}).wanted == OldRevision("doorman:7")


@pytest.mark.parametrize(
    ("verb", "wanted"),
    [
        ({"revert": True}, Revert()),
        ({"hold": "the doors are being painted"}, Hold("the doors are being painted")),
        ({"release": True}, Release()),
    ],
)
def test_another_verb_instead_of_an_image(verb: dict[str, Any], wanted: object) -> None:
    found = read({**SERVICE, **verb}).wanted
    assert (type(found), found) == (type(wanted), wanted)


@pytest.mark.parametrize("verb", ["revert", "release"])
def test_a_verb_that_is_false_is_not_said(verb: str) -> None:
    assert isinstance(read({**VALID, verb: False}).wanted, NewImage)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({**VALID, "revert": True}, "image and revert: exclude one another"),
        ({**VALID, "revision": "doorman:7"}, "image and revision: exclude one another"),
        ({**VALID, "hold": "wet paint"}, "image and hold: exclude one another"),
        ({**SERVICE, "hold": "wet paint", "release": True}, "hold and release: exclude one another"),
        ({**SERVICE, "hold": "wet paint", "revert": True}, "revert and hold: exclude one another"),
        ({**SERVICE, "revision": "doorman:7", "tag": "1"}, "tag: does not go with revision"),
        ({**SERVICE, "revert": True, "container": "app"}, "container: does not go with revert"),
        ({**SERVICE, "revert": False}, "image: is missing"),
        ({**SERVICE, "revert": "yes"}, "revert: must be true or false"),
        ({**SERVICE, "release": "yes"}, "release: must be true or false"),
        ({**SERVICE, "release": 1}, "release: must be true or false"),
        ({**SERVICE, "hold": True}, "hold: must be a string"),
        ({**SERVICE, "hold": ["wet paint"]}, "hold: must be a string"),
        ({**SERVICE, "hold": None}, "hold: must be a string"),
        ({**VALID, "hold": False}, "hold: must be a string"),
        ({**VALID, "revision": False}, "revision: must be a string"),
        ({**SERVICE, "revert": True, "image": False}, "image: must be a string"),
        ({**SERVICE, "hold": ""}, "hold: must not be empty"),
        ({**SERVICE, "hold": "x" * 501}, "hold: must have at most 500 characters"),
        ({**SERVICE, "revision": "doorman"}, "revision: "),
        ({**SERVICE, "revision": "doorman:0"}, "revision: "),
        ({**SERVICE, "revision": f"{FOREIGN}:task-definition/doorman:7"}, "revision: is in account 999999999999"),
    ],
)
def test_the_verbs_exclude_one_another(document: dict[str, Any], named: str) -> None:
    assert named in refusal(document)


@pytest.mark.parametrize("verb", [{"hold": "wet paint"}, {"release": True}])
@pytest.mark.parametrize(
    "of_a_deployment",
    [{"tag": "1"}, {"container": "app"}, {"timeout": 60}, {"rollback": True}, {"push": PUSH}, {"restart": RESTART}],
)
def test_what_is_about_a_deployment_does_not_go_with_what_deploys_nothing(
    verb: dict[str, Any], of_a_deployment: dict[str, Any]
) -> None:
    (key,), (name,) = of_a_deployment, verb
    assert f"{key}: does not go with {name}" in refusal({**SERVICE, **verb, **of_a_deployment})


def test_the_longest_reason_of_a_hold() -> None:
    assert read({**SERVICE, "hold": "x" * 500}).wanted == Hold("x" * 500)


WRONG: list[tuple[tuple[str, ...], list[Any]]] = [
    (("cluster", "service", "image"), [None, "", 1, True, [], {}, "a b", "\N{LATIN SMALL LETTER A WITH DIAERESIS}"]),
    (("tag",), [None, "", 1, "-a", "a b", []]),
    (("container",), [None, "", 1, "a b", "a/b"]),
    (("timeout",), [None, 9, 86_401, -1, True, "600", 600.5, [600]]),
    (("rollback",), [None, 0, 1, "true", []]),
    (("push",), [None, "id", [], {}]),
    (("cluster",), [f"{ARN}:cluster/", f"{ARN}:service/production1/doorman-service", f"{FOREIGN}:cluster/production1"]),
    (("service",), [f"{FOREIGN}:service/production1/doorman-service", f"{ARN}:service/staging/doorman-service"]),
    (("service",), ["{% $states.context %}", "'; drop table"]),
    (("image",), ["Doorman:1", "x" * 10_000]),
    (("no-such-key",), ["1"]),
]


@pytest.mark.parametrize(("key", "value"), [(key, value) for keys, values in WRONG for key in keys for value in values])
def test_each_wrong_key_is_named(key: str, value: Any) -> None:
    message = refusal({**VALID, key: value})
    assert f"{key}" in message
    assert len(message) < 500


@pytest.mark.parametrize("missing", ["cluster", "service", "image"])
def test_each_missing_key_is_named(missing: str) -> None:
    assert f"{missing}: is missing" in refusal({key: value for key, value in VALID.items() if key != missing})


def test_every_wrong_key_is_named_at_once() -> None:
    message = refusal(
        {
            "cluster": 1,
            "service": "",
            "image": ":",
            "tag": "-",
            "timeout": 5,
            "rollback": 1,
            "Tag": "x",
            "push": 1,
            "restart": {"request": "event"},
        }
    )
    for key in ("cluster", "service", "image", "tag", "timeout", "rollback", "Tag", "push", "restart.time"):
        assert f"{key}: " in message


def test_of_very_many_unknown_keys_only_the_number_is_named() -> None:
    many = {f"key-{number:05}": 1 for number in range(20_000)}
    message = refusal({**VALID, **many, "push": {**PUSH, **many}})
    assert "key-00000: is not a key of a request" in message
    assert "; 19980 more: each is not a key of a request" in message
    assert "; 19980 more: each is not a key of a push" in message
    assert len(message) < 5_000


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"container": "app"},
        {"push": PUSH},
        {"push": {key: value for key, value in PUSH.items() if key != "digest"}},
        {"image": "doorman", "tag": "1"},
        {"timeout": 60},
        {"rollback": False},
    ],
)
def test_a_request_as_it_was_understood_means_the_same(change: dict[str, Any]) -> None:
    request = read({**VALID, **change})
    assert read(request.as_json()) == request


@pytest.mark.parametrize(
    "verb", [{"revision": "doorman:7"}, {"revert": True}, {"hold": "wet paint"}, {"release": True}]
)
def test_another_verb_as_it_was_understood_means_the_same(verb: dict[str, Any]) -> None:
    request = read({**SERVICE, **verb})
    assert read(request.as_json()) == request


@pytest.mark.parametrize("document", [None, 1, "text", [], [VALID], True, {}])
def test_what_is_no_request_at_all(document: object) -> None:
    assert "cluster" in refusal(document)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"id": ""}, "push.id"),
        ({"id": 1}, "push.id"),
        ({"id": "a;b"}, "push.id"),
        ({"id": "a" * 257}, "push.id"),
        ({"time": "yesterday"}, "push.time"),
        ({"time": "2026-01-31T12:00:00"}, "push.time"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "push.time"),
        ({"digest": 5}, "push.digest"),
        ({"digest": "latest"}, "push.digest"),
        ({"digest": "sha256:" + "a" * 200_000}, "push.digest"),
        ({"nonce": "x"}, "push.nonce"),
    ],
)
def test_a_wrong_push_is_named(change: dict[str, Any], named: str) -> None:
    assert f"{named}: " in refusal({**VALID, "push": {**PUSH, **change}})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"request": ""}, "restart.request"),
        ({"request": "a;b"}, "restart.request"),
        ({"time": "yesterday"}, "restart.time"),
        ({"time": ""}, "restart.time"),
        ({"id": "x"}, "restart.id"),
    ],
)
def test_a_wrong_restart_is_named(change: dict[str, Any], named: str) -> None:
    assert f"{named}: " in refusal({**VALID, "restart": {**RESTART, **change}})


@pytest.mark.parametrize("member", ["push", "restart"])
def test_the_time_of_a_request_is_read_in_utc(member: str) -> None:
    time = "2026-01-31T14:00:00+02:00"
    request = read({**VALID, "push": {**PUSH, "time": time}, "restart": {**RESTART, "time": time}})
    assert getattr(request, member).time.isoformat() == "2026-01-31T12:00:00+00:00"


def test_a_push_without_a_digest_is_one() -> None:
    push = read({**VALID, "push": {**PUSH, "digest": ""}}).push
    assert push
    assert push.digest == ""


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        *("cluster", "service", "image", "tag", "container", "timeout", "rollback", "push", "x"),
        *("revision", "revert", "hold", "release", "restart"),
    ]
)


@given(
    json_values | st.dictionaries(keys, json_values) | st.dictionaries(keys, json_values).map(lambda d: {**VALID, **d})
)
def test_any_json_is_read_or_refused(document: object) -> None:
    try:
        read(document)
    except DeployError:
        assert len(refusal(document)) < 10_000
