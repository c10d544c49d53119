"""The rule of promotion: what a target takes over from an earlier stage, and when."""

from collections.abc import Callable
from typing import Any

from ecs_deploy.core.environment import Environment
from ecs_deploy.core.formats import instant
from ecs_deploy.core.image import ImageReference
from ecs_deploy.core.policy import Stage, Start, Target, execution_name
from ecs_deploy.core.promotion import Later, Nothing, promote, runs
from ecs_deploy.core.service import Service
from ecs_deploy.core.state import State
from tests.support.rules import asked, at, deployment, displaced, owned, pushed, service, shifting, stable, state, table

HERE = Environment("123456789012", "eu-west-1")
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
ELSEWHERE = "999999999999.dkr.ecr.eu-west-1.amazonaws.com"
DIGEST_2, DIGEST_3, DIGEST_9 = (f"sha256:{digit * 64}" for digit in "239")
TARGET = Target(
    "production1", "doorman-service", "doorman", promoted_from=Stage("staging1", "doorman-service", 1800), timeout=900
)
V2 = pushed("v2", 0, digest=DIGEST_2)._replace(tag="v2")
STABLE = stable(2, 1, digests={"app": DIGEST_2, "proxy": DIGEST_9})
STAGE = state(newest={"app": V2}, deployed={"app": V2}, stable=STABLE)
RUNS = service(deployment(2))
IMAGES = {
    "app": ImageReference.parse(f"{REGISTRY}/doorman@{DIGEST_2}"),
    "proxy": ImageReference.parse("envoyproxy/envoy:v1"),
}
HAND = asked("by-hand", 0.5, digest=DIGEST_2)


def _unnamed(start: Start) -> Start:
    return start._replace(name="", request={**start.request, "push": {**start.request["push"], "id": ""}})


def found(
    stage: State = STAGE, runs: Service = RUNS, minutes: float = 31, target: Target = TARGET, **images: str
) -> Any:  # fmt: skip
    listed = IMAGES | {name: ImageReference.parse(image) for name, image in images.items()}
    made = promote(target, stage, runs, listed, at(minutes), HERE)
    return _unnamed(made) if isinstance(made, Start) else made


def start(image: str = f"{REGISTRY}/doorman:v2", tag: str = "v2") -> Start:
    place = {"cluster": "production1", "service": "doorman-service", "image": image, "timeout": 900, "rollback": True}
    push = {"id": "", "time": instant(at(31)), "digest": DIGEST_2, "repository": "doorman", "tag": tag}
    return Start("", {**place, "push": push, "promotedFrom": "staging1/doorman-service"})


@table(
    "made, expected",
    {
        "it has run for long enough": (found, start()),
        "and for longer": (lambda: found(minutes=600), start()),
        "it has not yet": (lambda: found(minutes=30.9), Later(at(31))),
        "somebody deploys to it": (lambda: found(STAGE._replace(owner=owned("v3"))), Nothing("v3 deploys to it")),
        "nothing was deployed to it": (lambda: found(state()), Nothing("nothing was deployed to it yet")),
        "the table does not know what was": (
            lambda: found(STAGE._replace(deployed={})),
            Nothing("nothing was deployed to it yet"),
        ),
        "its last deployment has failed": (
            lambda: found(STAGE._replace(broken_since=at(20))),
            Nothing("its last deployment has failed"),
        ),
        "it runs something else": (
            lambda: found(runs=service(deployment(3))),
            Nothing("it does not run what was deployed to it last"),
        ),
        "it rolls out": (
            lambda: found(runs=service(deployment(2), displaced(1))),
            Nothing("it does not run what was deployed to it last"),
        ),
        "its tasks are not all there": (
            lambda: found(runs=service(deployment(2, rollout="IN_PROGRESS"))),
            Nothing("it does not run what was deployed to it last"),
        ),
        "its traffic is shifted": (lambda: found(runs=shifting(2)), start()),
        "its traffic is shifted to something else": (
            lambda: found(runs=shifting(3)),
            Nothing("it does not run what was deployed to it last"),
        ),
        "it runs no such image": (
            lambda: found(app=f"{REGISTRY}/gate:v1"),
            Nothing("it runs no image of doorman that was deployed to it"),
        ),
        "it runs that of another registry": (
            lambda: found(app=f"{ELSEWHERE}/doorman:v1"),
            Nothing("it runs no image of doorman that was deployed to it"),
        ),
        "another container was deployed": (
            lambda: found(STAGE._replace(deployed={"proxy": V2})),
            Nothing("it runs no image of doorman that was deployed to it"),
        ),
        "it was reverted": (
            lambda: found(STAGE._replace(deployed={"app": V2, "*": HAND})),
            Nothing("by-hand has deployed a whole revision to it"),
        ),
        "it was reverted before": (lambda: found(STAGE._replace(deployed={"app": V2, "*": asked("old", -9)})), start()),
        "a person has deployed it": (
            lambda: found(STAGE._replace(deployed={"app": HAND})),
            start(f"{REGISTRY}/doorman@{DIGEST_2}", "latest"),
        ),
        "another digest runs": (
            lambda: found(STAGE._replace(stable=STABLE._replace(digests={"app": DIGEST_3}))),
            Nothing("the digest that it runs is not known to be the one that was deployed to it"),
        ),
        "a part of the image runs": (
            lambda: found(
                STAGE._replace(stable=STABLE._replace(digests={"app": DIGEST_3}, parts={DIGEST_2: (DIGEST_3,)}))
            ),
            start(),
        ),
        "no digest is known": (
            lambda: found(STAGE._replace(stable=STABLE._replace(digests={}), deployed={"app": V2._replace(digest="")})),
            Nothing("the digest that it runs is not known to be the one that was deployed to it"),
        ),
        "the same image elsewhere in this account": (
            lambda: found(
                target=TARGET._replace(registry=ELSEWHERE),
                app=f"{ELSEWHERE}/doorman@{DIGEST_2}",
            ),
            start(f"{ELSEWHERE}/doorman:v2"),
        ),
        "a name without a registry": (lambda: found(app="doorman:v2"), start()),
        "nobody knows the digest that was asked for": (
            lambda: found(STAGE._replace(deployed={"app": V2._replace(digest="")}, stable=STABLE._replace(digests={}))),
            Nothing("the digest that it runs is not known to be the one that was deployed to it"),
        ),
        "it takes over from nobody": (
            lambda: found(target=TARGET._replace(promoted_from=None)),
            Nothing("it takes over from no other service"),
        ),
    },
)
def test_what_is_taken_over(made: Callable[[], Any], expected: Any) -> None:
    assert made() == expected


def name_of(stage: State = STAGE, target: Target = TARGET) -> str:
    made = promote(target, stage, RUNS, IMAGES, at(600), HERE)
    assert isinstance(made, Start)
    return made.name


@table(
    "name, is_same",
    {
        "the same at another time": (name_of, True),
        "another container was deployed since": (
            lambda: name_of(STAGE._replace(stable=STABLE._replace(at=at(5)))),
            True,
        ),
        "another request": (lambda: name_of(STAGE._replace(deployed={"app": V2._replace(request="again")})), False),
        "another target": (lambda: name_of(target=TARGET._replace(service="other")), False),
        "another container of it": (lambda: name_of(target=TARGET._replace(container="app")), False),
    },
)
def test_it_is_taken_over_once(name: Callable[[], str], is_same: bool) -> None:
    assert (name() == name_of()) is is_same


def test_no_push_starts_it() -> None:
    assert TARGET.policy_of("v2") is None
    assert TARGET._replace(promoted_from=None).policy_of("v2") == ""


def test_the_push_is_named_as_the_execution() -> None:
    made = promote(TARGET, STAGE, RUNS, IMAGES, at(31), HERE)
    assert isinstance(made, Start)
    assert made.request["push"]["id"] == made.name
    assert made.name == execution_name("promote", V2.request, V2.digest, TARGET.key, "")


def test_where_nothing_is_stable_nothing_runs() -> None:
    assert runs(None, DIGEST_2) is False
