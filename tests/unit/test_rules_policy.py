"""What the dispatcher starts: for a push, and for a push that was missed."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from ecs_deploy.core.environment import Environment
from ecs_deploy.core.policy import (
    Image,
    Start,
    Target,
    image_of,
    missed_push,
    services_of,
    starts_for_push,
    waiting_for,
)
from tests.support.rules import (
    at,
    table,
)

EVENTS = Path(__file__).parents[1] / "infra" / "events"
HERE = Environment("123456789012", "us-east-1")
REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/doorman"
DIGEST = "sha256:7f5b2640fe6fb4f46592dfd3410c4a79dac4f89e4782432e0378abcd12345678"
TARGET = Target("production1", "doorman-service", "doorman", ("v*",))
KEY = TARGET.key


def event(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return read


def with_detail(name: str, **change: Any) -> dict[str, Any]:
    """An event with another detail; what is None is left out."""
    whole = event(name)
    detail = {key: value for key, value in {**whole["detail"], **change}.items() if value is not None}
    return {**whole, "detail": detail}


def named(kind: str, *parts: str) -> str:
    return f"{kind}-{sha256(chr(10).join(parts).encode()).hexdigest()}"


REQUEST = {
    "cluster": "production1",
    "service": "doorman-service",
    "image": f"{REPOSITORY}:v1.2",
    "timeout": 600,
    "rollback": True,
    "push": {
        "id": "13cde686-328b-6117-af20-0e5566167482",
        "time": "2026-11-16T01:54:34Z",
        "digest": DIGEST,
        "repository": "doorman",
        "tag": "v1.2",
    },
}


def test_the_execution_for_a_push() -> None:
    name = named("push", "13cde686-328b-6117-af20-0e5566167482", KEY, "")
    pushed_at = datetime(2026, 11, 16, 1, 54, 34, tzinfo=UTC)
    assert starts_for_push(event("push"), [TARGET], HERE) == [Start(name, REQUEST, pushed_at)]
    (start,) = starts_for_push(event("push"), [TARGET._replace(min_age=90)], HERE)
    assert start == Start(name, REQUEST, pushed_at + timedelta(seconds=90))


def test_the_execution_for_a_replication() -> None:
    (start,) = starts_for_push(event("replication"), [TARGET], HERE)
    assert start.name == named("push", "c8b133b1-6029-ee73-e2a1-4f466b8ba999", KEY, "")
    assert start.request == {**REQUEST, "push": {**REQUEST["push"], "id": event("replication")["id"]}}  # type: ignore[dict-item]


def test_what_a_target_says_is_in_the_request() -> None:
    target = TARGET._replace(container="app", timeout=60, rollback=False)
    (start,) = starts_for_push(event("push"), [target], HERE)
    assert start.name == named("push", event("push")["id"], KEY, "app")
    assert start.request == {**REQUEST, "container": "app", "timeout": 60, "rollback": False}
    target = TARGET._replace(pin=False, require_rollback=True, retain=True)
    (start,) = starts_for_push(event("push"), [target], HERE)
    assert start.request == {**REQUEST, "pin": False, "requireRollback": True, "retain": True}


@table(
    "event",
    {
        "a deletion": event("delete"),
        "a push that failed": event("push_that_failed"),
        "a push with an empty tag": event("push_with_an_empty_tag"),
        "a push without a tag": event("push_of_a_multi_architecture_child"),
        "a push in another account": event("push_in_another_account"),
        "a push in another region": event("push_in_another_region"),
        "a push of another repository": event("push_of_another_repository"),
        "a push of another tag": event("push_of_another_tag"),
        "a scan": event("scan"),
        "a pull through the cache": event("pull_through_cache"),
        "a pull through the cache that says it was a push": with_detail(
            "pull_through_cache", **{"result": "SUCCESS", "action-type": "PUSH"}
        ),
        "an event of another kind that says nothing": with_detail("pull_through_cache", result="SUCCESS"),
        "a replication that failed": with_detail("replication", result="FAILURE"),
        "a replication that is a push": with_detail("replication", **{"action-type": "PUSH"}),
        "a push that is a replication": with_detail("push", **{"action-type": "REPLICATE"}),
        "a push without a result": with_detail("push", result=None),
        "a push of what says that it is no image": with_detail(
            "push", **{"artifact-media-type": "application/vnd.cncf.helm.config.v1+json"}
        ),
    },
)
def test_what_is_no_push(event: dict[str, Any]) -> None:
    assert starts_for_push(event, [TARGET], HERE) == []


ELSEWHERE = TARGET._replace(registry="210987654321.dkr.ecr.us-east-1.amazonaws.com")


@table(
    "target, registries, event, image",
    {
        "an account that is listed": (ELSEWHERE, ["210987654321"], "push_in_another_account", ELSEWHERE.registry),
        "with its region": (ELSEWHERE, ["210987654321/us-east-1"], "push_in_another_account", ELSEWHERE.registry),
        "with another region": (ELSEWHERE, ["210987654321/eu-west-1"], "push_in_another_account", None),
        "an account that is not listed": (ELSEWHERE, [], "push_in_another_account", None),
        "the same repository of this account": (ELSEWHERE, ["210987654321"], "push", None),
        "a target of this account": (TARGET, ["210987654321"], "push_in_another_account", None),
        "this account, as ever": (TARGET, ["210987654321"], "push", REPOSITORY.partition("/")[0]),
        "another region of this account": (
            TARGET._replace(registry="123456789012.dkr.ecr.eu-central-1.amazonaws.com"),
            ["123456789012/eu-central-1"],
            "push_in_another_region",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
        ),
    },
)
def test_registries_elsewhere(target: Target, registries: list[str], event: str, image: str | None) -> None:
    pushed = json.loads((EVENTS / f"{event}.json").read_text())
    starts = starts_for_push(pushed, [target], HERE, registries)
    assert [each.request["image"].partition("/")[0] for each in starts] == ([image] if image else [])


def test_each_service_that_wants_a_push_gets_its_own_execution() -> None:
    targets = [
        TARGET,
        TARGET._replace(service="other"),
        TARGET._replace(cluster="staging"),
        TARGET._replace(container="worker"),
        TARGET._replace(service="not-this-tag", tags=("main",)),
        TARGET._replace(service="not-this-repository", repository="proxy"),
        TARGET._replace(service="no-repository", repository=None),
    ]
    starts = starts_for_push(event("push"), targets, HERE)
    assert [(each.request["cluster"], each.request["service"], each.request.get("container")) for each in starts] == [
        ("production1", "doorman-service", None),
        ("production1", "other", None),
        ("staging", "doorman-service", None),
        ("production1", "doorman-service", "worker"),
    ]
    assert len({each.name for each in starts}) == 4


def test_a_doubled_event_gets_the_same_name_and_another_event_another_one() -> None:
    (first,), (second,) = (starts_for_push(event("push"), [TARGET], HERE) for _ in range(2))
    (other,) = starts_for_push({**event("push"), "id": "another"}, [TARGET], HERE)
    assert first == second
    assert other.name != first.name


def test_a_name_is_one_that_step_functions_takes() -> None:
    (start,) = starts_for_push(event("push"), [TARGET], HERE)
    assert len(start.name) <= 80
    assert start.name.replace("-", "").isalnum()


def test_the_image_of_a_target() -> None:
    assert image_of(TARGET, HERE) == REPOSITORY
    assert image_of(TARGET, Environment("1", "cn-north-1")) == "1.dkr.ecr.cn-north-1.amazonaws.com.cn/doorman"


OLD, NEW = Image("sha256:old", ("v1",), at(3)), Image("sha256:new", ("v2",), at(5))
UNWANTED = Image("sha256:unwanted", ("main",), at(6))


@table(
    "images, known, digest",
    {
        "the newest one": ((OLD, NEW), set(), "sha256:new"),
        "in whatever order ECR tells them": ((NEW, OLD), set(), "sha256:new"),
        "of those with a tag that the target waits for": ((NEW, UNWANTED), set(), "sha256:new"),
        "pushed in the last moment that counts": ((NEW._replace(pushed_at=at(8)),), set(), "sha256:new"),
        "pushed in the moment of the decision": ((NEW._replace(pushed_at=at(1)),), set(), None),
        "pushed right after it": ((NEW._replace(pushed_at=at(1, 0.001)),), set(), "sha256:new"),
        "pushed before it": ((NEW._replace(pushed_at=at(0)),), set(), None),
        "its event may still come": ((NEW._replace(pushed_at=at(8, 0.001)),), set(), None),
        "the event of a newer one may still come": ((OLD, NEW._replace(pushed_at=at(9))), set(), None),
        "an execution has had it": ((OLD, NEW), {"sha256:new"}, None),
        "an execution has had an older one": ((OLD, NEW), {"sha256:old"}, "sha256:new"),
        "none has a tag that the target waits for": ((UNWANTED,), set(), None),
        "there is none": ((), set(), None),
        "of two at once, the greater digest": (
            (NEW._replace(digest="sha256:b"), NEW._replace(digest="sha256:a")),
            set(),
            "sha256:b",
        ),
    },
)
def test_missed_push(images: tuple[Image, ...], known: set[str], digest: str | None) -> None:
    start = missed_push(TARGET, images, lambda _: at(1), at(8), known, HERE)
    assert (start and start.request["push"]["digest"]) == digest


VERSIONS = TARGET._replace(tags=("semver:*", "main"))
LOW, HIGH = Image("sha256:low", ("v1.9.0",), at(5)), Image("sha256:high", ("1.10.0", "v1.2.0"), at(3))


@table(
    "images, known, tag",
    {
        "the highest version, not the newest image": ((LOW, HIGH), set(), "1.10.0"),
        "an execution has had it": ((LOW, HIGH), {"sha256:high"}, None),
        "of one version, the newest image": ((LOW, LOW._replace(pushed_at=at(4), digest="sha256:z")), set(), "v1.9.0"),
        "what goes by another policy, if that is newest": ((LOW, HIGH, UNWANTED), set(), "main"),
        "not if it is older": ((LOW, HIGH, UNWANTED._replace(pushed_at=at(2))), set(), "1.10.0"),
        "its event may still come": ((LOW, HIGH._replace(pushed_at=at(9))), set(), None),
    },
)
def test_a_missed_push_by_version(images: tuple[Image, ...], known: set[str], tag: str | None) -> None:
    decided = {"semver:": at(1), "": at(4)}
    start = missed_push(VERSIONS, images, decided.__getitem__, at(8), known, HERE)
    assert (start and start.request["push"]["tag"]) == tag
    assert start is None or start.request["push"].get("policy") == ("semver:" if tag != "main" else None)
    assert start is None or start.request["push"]["digest"] != "sha256:z"


def test_a_push_by_version() -> None:
    event = with_detail("push", **{"image-tag": "v1.2.3"})
    (start,) = starts_for_push(event, [TARGET._replace(tags=("semver:^1",))], HERE)
    assert start.request["push"]["policy"] == "semver:"
    assert starts_for_push(event, [TARGET._replace(tags=("semver:^2",))], HERE) == []


CALENDAR = "arn:aws:ssm:us-east-1:123456789012:document/office"
WAITING = [
    TARGET._replace(window="office"),
    TARGET._replace(window="office", container="app"),
    TARGET._replace(service="by-arn", window=CALENDAR),
    TARGET._replace(service="nights", window="nights"),
    TARGET._replace(service="alarmed", alarm="errors"),
    TARGET._replace(service="quiet", alarm="others"),
    TARGET._replace(service="neither"),
]


@table(
    "source, resources, detail, services",
    {
        "a calendar, by its name and by its ARN": ("aws.ssm", [CALENDAR], {}, ["doorman-service", "by-arn"]),
        "another calendar": ("aws.ssm", [CALENDAR.replace("office", "nights")], {}, ["nights"]),
        "a calendar that nobody has": ("aws.ssm", [f"{CALENDAR}-2"], {}, []),
        "no calendar": ("aws.ssm", ["arn:aws:ssm:us-east-1:123456789012:parameter/office"], {}, []),
        "an alarm": ("aws.cloudwatch", [], {"alarmName": "errors"}, ["alarmed"]),
        "an alarm that nobody has": ("aws.cloudwatch", [], {"alarmName": "office"}, []),
    },
)
def test_who_waits(source: str, resources: list[str], detail: dict[str, str], services: list[str]) -> None:
    event = {"source": source, "resources": resources, "detail": detail}
    assert waiting_for(event, WAITING) == [f"production1/{each}" for each in services]


def test_whose_tags_have_changed() -> None:
    ecs = "arn:aws:ecs:us-east-1:123456789012"
    # The last two: an old ARN, which names no cluster, and no service.
    names = [
        f"{ecs}:service/production1/doorman",
        f"{ecs}:service/gate/a:service/b",
        f"{ecs}:service/old",
        f"{ecs}:cluster/c/d",
    ]
    assert services_of({"resources": names}) == ["production1/doorman", "gate/a:service/b"]


def test_the_execution_for_a_missed_push() -> None:
    image = Image("sha256:new", ("v2", "latest", "v10"), at(5))
    target = TARGET._replace(container="app", timeout=60, rollback=False)
    name = named("missed", "sha256:new", "2026-01-31T12:05:00.000Z", KEY, "app")
    assert missed_push(target, [image], lambda _: at(1), at(8), set(), HERE) == Start(
        name,
        {
            "cluster": "production1",
            "service": "doorman-service",
            "container": "app",
            "image": f"{REPOSITORY}:v10",
            "timeout": 60,
            "rollback": False,
            "push": {
                "id": name,
                "time": "2026-01-31T12:05:00.000Z",
                "digest": "sha256:new",
                "repository": "doorman",
                "tag": "v10",
            },
        },
    )


def test_the_name_of_a_missed_push_is_for_its_target() -> None:
    targets = [TARGET, TARGET._replace(service="other"), TARGET._replace(container="app")]
    starts = [missed_push(each, [NEW], lambda _: at(1), at(8), set(), HERE) for each in targets]
    pushed_again = missed_push(TARGET, [NEW._replace(pushed_at=at(6))], lambda _: at(1), at(8), set(), HERE)
    assert len({each.name for each in (*starts, pushed_again) if each}) == 4


def test_what_is_named_after_a_moment_goes_by_the_millisecond() -> None:
    late = [NEW._replace(pushed_at=NEW.pushed_at + timedelta(milliseconds=each)) for each in (0, 1)]
    names = {start.name for each in late if (start := missed_push(TARGET, [each], lambda _: at(1), at(8), set(), HERE))}
    assert len(names) == 2
