"""The DORA metrics: what each end adds to them, counted from what the functions print."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.aws_error import AwsError
from tests.support.clock import Clock
from tests.support.ecs_model import CRASHES, HANGS, REGISTRY, Behaviour, EcsModel, Service
from tests.support.workflow import execute, execute_together

IMAGE, OLD = f"{REGISTRY}/doorman:1.1.0", f"{REGISTRY}/doorman:1.0.0"
REQUEST: dict[str, Any] = {"cluster": "production1", "service": "doorman-service", "image": IMAGE}
Printed = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def service(model: EcsModel) -> Service:
    model.images |= {("doorman", "1.1.0"), ("doorman", "1.0.0")}
    containers = [{"name": "app", "image": OLD}, {"name": "proxy", "image": "envoy:1"}]
    document = {"family": "doorman", "containerDefinitions": containers}
    return model.add_service("doorman-service", model.add_revision(document))


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """What was printed since it was read last in CloudWatch's embedded metric format."""

    def read() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [line for line in lines if "_aws" in line]

    return read


def delivery(metrics: list[dict[str, Any]]) -> dict[str, float]:
    """The metrics of the service, each of which was printed once, with no dimension but the service."""
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
    requested = clock.now()
    execute({**REQUEST, "image": OLD}, clock, name="two")
    assert delivery(printed()) == {
        "LeadTime": (clock.now() - requested).total_seconds(),
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


def test_a_failed_change_counts_though_somebody_changes_the_service_during_the_return(
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
    assert end.cause
    assert end.cause["rolledBack"] is None
    assert service.primary.revision == theirs
    assert delivery(printed()) == {"ChangeFailure": 1}


def test_a_failed_change_counts_though_a_newer_request_takes_over_during_the_return(
    model: EcsModel, service: Service, clock: Clock, printed: Printed
) -> None:
    model.behaviours[IMAGE] = CRASHES
    model.images.add(("doorman", "1.2.0"))
    newer = {**REQUEST, "image": f"{REGISTRY}/doorman:1.2.0"}
    start = clock.now()
    ends = execute_together({"broken": (0, REQUEST), "newer": (70, newer)}, clock)
    assert "update" in [each["next"] for each in ends["broken"].answers], "it had begun to return"
    assert ends["broken"].cause
    assert ends["broken"].cause["rolledBack"] is None
    assert ends["newer"].output
    counted = [each for each in printed() if each["service"] != "ecs-deploy"]
    assert [each["ChangeFailure"] for each in counted] == [[1.0], [0.0]]
    assert counted[1]["TimeToRestore"] == [(clock.now() - start).total_seconds()]


def overdue(metrics: list[dict[str, Any]]) -> int:
    return sum("Overdue" in each for each in metrics)


def test_an_execution_within_its_timeouts_is_not_overdue(
    model: EcsModel, service: Service, clock: Clock, printed: Printed
) -> None:
    model.behaviours |= {IMAGE: HANGS, OLD: HANGS}
    assert execute({**REQUEST, "timeout": 900}, clock).error == "RollbackFailed"
    assert overdue(printed()) == 0


def test_a_rollout_that_is_followed_longer_than_its_timeout_is_overdue(
    model: EcsModel, service: Service, clock: Clock, printed: Printed
) -> None:
    model.behaviours[IMAGE] = Behaviour(start=565)
    calls = 0

    def delay(action: str, _body: dict[str, Any]) -> None:
        nonlocal calls
        calls += action == "DescribeServices"
        if action == "DescribeServices" and 3 <= calls <= 11:
            # The poll is tried again and again.
            raise AwsError("ThrottlingException", "Rate exceeded")

    model.before_call = delay
    assert execute({**REQUEST, "timeout": 60}, clock).output
    assert overdue(printed()) > 0


def test_an_execution_that_waited_for_its_turn_is_not_overdue(
    model: EcsModel, service: Service, clock: Clock, printed: Printed
) -> None:
    model.behaviours["envoy:2"] = HANGS
    hangs = {**REQUEST, "image": "envoy:2", "timeout": 1_800, "rollback": False}
    ends = execute_together({"hangs": (0, hangs), "waits": (10, REQUEST)}, clock)
    assert ends["hangs"].error == "DeploymentTimedOut"
    assert ends["waits"].output
    assert ends["waits"].output["outcome"] == "DEPLOYED"
    assert ends["waits"].output["seconds"] > 1_700
    assert overdue(printed()) == 0
