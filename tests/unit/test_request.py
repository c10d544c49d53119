"""A request is read whole or refused whole, with every wrong key named."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.errors import InvalidRequest
from ecs_deploy.home import Home
from ecs_deploy.image import ImageReference
from ecs_deploy.request import NewImage, OldRevision, Revert, parse

HOME = Home("123456789012", "eu-west-1")
SERVICE = {"cluster": "production1", "service": "doorman-service"}
VALID = {**SERVICE, "image": "doorman:1.1.0"}
ARN = "arn:aws:ecs:eu-west-1:123456789012"
FOREIGN = "arn:aws:ecs:eu-west-1:999999999999"
PUSH = {"id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "time": "2026-01-31T12:00:00Z"}


def refusal(document: object) -> str:
    with pytest.raises(InvalidRequest) as caught:
        parse(document, HOME)
    return caught.value.message


def test_defaults() -> None:
    request = parse(VALID, HOME)
    assert (request.timeout, request.rollback, request.push) == (600, True, None)
    assert request.wanted == NewImage(ImageReference.parse("doorman:1.1.0"), None)


@pytest.mark.parametrize(
    "service", ["doorman-service", f"{ARN}:service/production1/doorman-service", f"{ARN}:service/doorman-service"]
)
@pytest.mark.parametrize("cluster", ["production1", f"{ARN}:cluster/production1"])
def test_names_and_arns_mean_the_same(cluster: str, service: str) -> None:
    request = parse({**VALID, "cluster": cluster, "service": service}, HOME)
    assert (request.cluster, request.service) == ("production1", "doorman-service")


@pytest.mark.parametrize(
    ("image", "tag", "deployed"),
    [
        ("doorman", None, "doorman:latest"),
        ("doorman:1", None, "doorman:1"),
        ("doorman:1", "2", "doorman:2"),
        ("doorman@sha256:" + "a" * 64, "2", "doorman:2"),
    ],
)
def test_a_separate_tag_overrides(image: str, tag: str | None, deployed: str) -> None:
    document = {**VALID, "image": image} | ({"tag": tag} if tag else {})
    wanted = parse(document, HOME).wanted
    assert isinstance(wanted, NewImage)
    assert str(wanted.image) == deployed


@pytest.mark.parametrize("revision", ["doorman:7", f"{ARN}:task-definition/doorman:7"])
def test_a_revision_instead_of_an_image(revision: str) -> None:
    assert parse({**SERVICE, "revision": revision}, HOME).wanted == OldRevision("doorman:7")


def test_a_revert_instead_of_an_image() -> None:
    assert parse({**SERVICE, "revert": True}, HOME).wanted == Revert()
    assert isinstance(parse({**VALID, "revert": False}, HOME).wanted, NewImage)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({**VALID, "revert": True}, "image and revert: exclude one another"),
        ({**VALID, "revision": "doorman:7"}, "image and revision: exclude one another"),
        ({**SERVICE, "revision": "doorman:7", "tag": "1"}, "tag: goes with image only"),
        ({**SERVICE, "revert": True, "container": "app"}, "container: goes with image only"),
        ({**SERVICE, "revert": False}, "image: is missing"),
        ({**SERVICE, "revert": "yes"}, "revert: must be true or false"),
        ({**SERVICE, "revision": "doorman"}, "revision: "),
        ({**SERVICE, "revision": "doorman:0"}, "revision: "),
        ({**SERVICE, "revision": f"{FOREIGN}:task-definition/doorman:7"}, "revision: is in account 999999999999"),
    ],
)
def test_the_ways_to_say_what_to_deploy_exclude_one_another(document: dict[str, Any], named: str) -> None:
    assert named in refusal(document)


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
        {"cluster": 1, "service": "", "image": ":", "tag": "-", "timeout": 5, "rollback": 1, "Tag": "x", "push": 1}
    )
    for key in ("cluster", "service", "image", "tag", "timeout", "rollback", "Tag", "push"):
        assert f"{key}: " in message


def test_of_very_many_unknown_keys_only_the_number_is_told() -> None:
    many = {f"key-{number:05}": 1 for number in range(20_000)}
    message = refusal({**VALID, **many, "push": {**PUSH, **many}})
    assert "key-00000: is not a key of a request" in message
    assert "; 19980 more: each is not a key of a request" in message
    assert "; 19980 more: each is not a key of a push" in message
    assert len(message) < 5_000


@pytest.mark.parametrize(
    "change", [{}, {"container": "app"}, {"push": PUSH}, {"image": "doorman", "tag": "1"}, {"timeout": 60}]
)
def test_a_request_as_it_was_understood_means_the_same(change: dict[str, Any]) -> None:
    request = parse({**VALID, **change}, HOME)
    assert parse(request.as_json(), HOME) == request


@pytest.mark.parametrize("wanted", [{"revision": "doorman:7"}, {"revert": True}])
def test_another_wish_as_it_was_understood_means_the_same(wanted: dict[str, Any]) -> None:
    request = parse({**SERVICE, **wanted}, HOME)
    assert parse(request.as_json(), HOME) == request


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
        ({"nonce": "x"}, "push.nonce"),
    ],
)
def test_a_wrong_push_is_named(change: dict[str, Any], named: str) -> None:
    assert f"{named}: " in refusal({**VALID, "push": {**PUSH, **change}})


def test_a_push_is_read_in_utc() -> None:
    push = parse({**VALID, "push": {**PUSH, "time": "2026-01-31T14:00:00+02:00"}}, HOME).push
    assert push
    assert push.time.isoformat() == "2026-01-31T12:00:00+00:00"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["cluster", "service", "image", "tag", "container", "timeout", "rollback", "push", "x"])


@given(
    json_values | st.dictionaries(keys, json_values) | st.dictionaries(keys, json_values).map(lambda d: {**VALID, **d})
)
def test_any_json_is_read_or_refused(document: object) -> None:
    try:
        parse(document, HOME)
        refused = ""
    except InvalidRequest as error:
        refused = error.message
    assert len(refused) < 10_000
