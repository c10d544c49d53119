"""The delivery figures: what each end adds to them, counted from what the functions print."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.ecs_model import CRASHES, HANGS, REGISTRY, Behaviour, EcsModel, Service
from tests.support.execution import execute

IMAGE, OLD = f"{REGISTRY}/doorman:1.1.0", f"{REGISTRY}/doorman:1.0.0"
REQUEST: dict[str, Any] = {"cluster": "production1", "service": "doorman-service", "image": IMAGE}
Printed = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def service(model: EcsModel) -> Service:
    model.images |= {("doorman", "1.1.0"), ("doorman", "1.0.0")}
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": OLD}]}
    return model.add_service("doorman-service", model.add_revision(document))


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """What was printed since the last look in CloudWatch's embedded metric format."""

    def look() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [line for line in lines if "_aws" in line]

    return look


def delivery(metrics: list[dict[str, Any]]) -> dict[str, float]:
    """The figures of the service, each of which was printed once, with no dimension but the service."""
    found: dict[str, float] = {}
    for each in metrics:
        (directive,) = each["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "ecs-deploy"
        assert directive["Dimensions"] == [["service"]]
        if each["service"] == "ecs-deploy":
            continue
        assert each["service"] == "production1/doorman-service"
        values = {metric["Name"]: each[metric["Name"]][0] for metric in directive["Metrics"]}
        assert not found
        found = values
    return found


def test_a_deployment(service: Service, clock: Clock, printed: Printed) -> None:
    start = clock.now()
    execute({**REQUEST, "push": {"id": "event", "time": "2026-01-31T11:59:00Z"}}, clock)
    lead = (clock.now() - start).total_seconds() + 60
    assert delivery(printed()) == {"LeadTime": lead, "ChangeFailure": 0}


@pytest.mark.parametrize("behaviour", [CRASHES, HANGS])
@pytest.mark.parametrize("breaker", [False, True])
def test_a_failed_change_is_restored_when_the_return_is_complete(
    model: EcsModel, service: Service, clock: Clock, printed: Printed, behaviour: Behaviour, breaker: bool
) -> None:
    service.breaker = service.breaker_rolls_back = breaker
    model.behaviours[IMAGE] = behaviour
    start = clock.now()
    execute({**REQUEST, "timeout": 60}, clock)
    assert delivery(printed()) == {"ChangeFailure": 1, "TimeToRestore": (clock.now() - start).total_seconds()}


def test_a_change_that_is_left_broken_is_restored_by_the_next_one(
    model: EcsModel, service: Service, clock: Clock, printed: Printed
) -> None:
    start = clock.now()
    model.behaviours[IMAGE] = HANGS
    execute({**REQUEST, "timeout": 60, "rollback": False}, clock, name="one")
    assert delivery(printed()) == {"ChangeFailure": 1}
    clock.advance(3_600)
    asked = clock.now()
    execute({**REQUEST, "image": OLD}, clock, name="two")
    assert delivery(printed()) == {
        "LeadTime": (clock.now() - asked).total_seconds(),
        "ChangeFailure": 0,
        "TimeToRestore": (clock.now() - start).total_seconds(),
    }
    execute({**REQUEST, "image": OLD}, clock, name="three")
    assert "TimeToRestore" not in delivery(printed())


def test_a_return_that_fails_too_is_restored_by_the_next_push(
    model: EcsModel, service: Service, clock: Clock, printed: Printed
) -> None:
    start = clock.now()
    model.behaviours |= {IMAGE: CRASHES, OLD: CRASHES}
    assert execute({**REQUEST, "push": {"id": "one", "time": "2026-01-31T11:59:00Z"}}, clock).error == "RollbackFailed"
    assert delivery(printed()) == {"ChangeFailure": 1}
    clock.advance(600)
    model.images.add(("doorman", "1.2.0"))
    mended = {**REQUEST, "image": f"{REGISTRY}/doorman:1.2.0", "push": {"id": "two", "time": "2026-01-31T12:30:00Z"}}
    end = execute(mended, clock, name="mended")
    assert end.output
    assert delivery(printed())["TimeToRestore"] == (clock.now() - start).total_seconds()


@pytest.mark.parametrize("change", [{"timeout": 1}, {"service": "another"}, {"image": "windowman:1"}])
def test_a_refusal_changed_nothing(service: Service, clock: Clock, printed: Printed, change: dict[str, Any]) -> None:
    end = execute({**REQUEST, **change}, clock)
    metrics = printed()
    assert delivery(metrics) == {}
    assert [each[end.error or ""] for each in metrics] == [[1.0]]


def test_what_was_superseded_is_no_change(model: EcsModel, service: Service, clock: Clock, printed: Printed) -> None:
    theirs = model.add_revision({"family": "doorman", "containerDefinitions": [{"name": "app", "image": "x"}]})

    def displace(action: str, _body: dict[str, Any]) -> None:
        if action == "UpdateService":
            model.start_deployment(service, theirs)

    model.after_call = displace
    end = execute(REQUEST, clock)
    assert end.output
    assert end.output["outcome"] == "SUPERSEDED"
    assert delivery(printed()) == {}


def test_a_failed_change_counts_though_a_newer_one_takes_its_place(
    model: EcsModel, service: Service, clock: Clock, printed: Printed
) -> None:
    model.behaviours[IMAGE] = CRASHES
    theirs = model.add_revision({"family": "doorman", "containerDefinitions": [{"name": "app", "image": "x"}]})
    updates = 0

    def displace(action: str, _body: dict[str, Any]) -> None:
        nonlocal updates
        updates += action == "UpdateService"
        if updates == 2 and action == "UpdateService":
            model.start_deployment(service, theirs)

    model.after_call = displace
    end = execute(REQUEST, clock)
    assert end.output
    assert end.output["outcome"] == "SUPERSEDED"
    assert delivery(printed()) == {"ChangeFailure": 1}


def overdue(metrics: list[dict[str, Any]]) -> int:
    return sum("Overdue" in each for each in metrics)


def test_an_execution_within_its_timeouts_is_not_overdue(
    model: EcsModel, service: Service, clock: Clock, printed: Printed
) -> None:
    model.behaviours |= {IMAGE: HANGS, OLD: HANGS}
    assert execute({**REQUEST, "timeout": 900}, clock).error == "RollbackFailed"
    assert overdue(printed()) == 0


def test_an_execution_that_waits_for_aws_longer_than_its_timeout_is_overdue(
    model: EcsModel, service: Service, clock: Clock, printed: Printed
) -> None:
    model.behaviours[IMAGE] = Behaviour(start=200)
    calls = 0

    def delay(action: str, _body: dict[str, Any]) -> None:
        nonlocal calls
        calls += action == "DescribeServices"
        if calls == 1:
            # As if the first step had been tried again and again.
            clock.advance(1_000)

    model.before_call = delay
    assert execute(REQUEST, clock).output
    assert overdue(printed()) > 0
