"""What a deployment asks of AWS, and how soon it knows: the real handlers over the model, in virtual time."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ecs_deploy.core import crash_loop
from ecs_deploy.core.codec import decode
from ecs_deploy.core.poll_schedule import PollSchedule, Stage
from ecs_deploy.core.service import Deployment, Service
from tests.support import dynamodb_model
from tests.support.aws_error import AwsError
from tests.support.clock import Clock
from tests.support.doorman import (
    NEW_IMAGE,
    NEWER_IMAGE,
    NEWER_REQUEST,
    PROXY_REQUEST,
    REQUEST,
    add_doorman,
    add_theirs,
    state,
)
from tests.support.ecs_model import CRASHES, Behaviour, EcsModel
from tests.support.ecs_model import Service as ModelService
from tests.support.workflow import End, execute, execute_together

# Besides the polls: the service twice, the revision, the new one, the update.
MOST_OTHER_CALLS = 5


@pytest.fixture
def service(model: EcsModel) -> ModelService:
    return add_doorman(model)


def deployed(model: EcsModel, clock: Clock, service: ModelService, name: str = "one") -> tuple[int, int, float]:
    """Deploy; gives the calls to ECS, the polls among them, and how late the end was noticed."""
    model.calls.clear()
    end = execute(REQUEST, clock, name=name)
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert service.primary.completed
    # Looks at the tasks are a share of the polls: core/crash_loop.py.
    assert len(model.called("ListTasks")) <= end.output["polls"] / crash_loop.EVERY
    others = {*dynamodb_model.ACTIONS, "DescribeImages", "ListTasks", "DescribeTasks"}
    calls = [action for action in model.called() if action not in others]
    return len(calls), end.output["polls"], (clock.now() - service.primary.completed).total_seconds()


@pytest.mark.parametrize(
    ("start", "complete", "most_calls", "most_lag"),
    [(20, 35, 20, 3), (40, 100, 25, 5)],
)
@pytest.mark.parametrize("name", [f"execution {number}" for number in range(20)])
def test_two_rollouts_that_peers_were_measured_on(
    model: EcsModel,
    service: ModelService,
    clock: Clock,
    start: int,
    complete: int,
    most_calls: int,
    most_lag: int,
    name: str,
) -> None:
    model.behaviours[NEW_IMAGE], service.drain = Behaviour(start=start), complete - start
    calls, polls, lag = deployed(model, clock, service, name)
    assert calls <= most_calls
    assert calls - polls <= MOST_OTHER_CALLS
    assert lag <= most_lag


def test_the_second_deployment_knows_how_long_the_first_one_took(
    model: EcsModel, service: ModelService, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE], service.drain = Behaviour(start=150), 150
    _, first, _ = deployed(model, clock, service, "one")
    stable = state(clock).stable
    assert stable
    start, end = (int(part) for part in stable.took.split("+"))
    assert start == pytest.approx(150, abs=15)
    assert end == pytest.approx(150, abs=20)
    clock.advance(3600)
    model.behaviours[NEW_IMAGE], service.drain = Behaviour(start=165), 140
    calls, second, lag = deployed(model, clock, service, "two")
    assert second <= 15 < first
    assert lag <= 10
    assert calls - second <= MOST_OTHER_CALLS


def schedules(end: End) -> list[PollSchedule]:
    """What the waits of an execution went by, from its start on."""
    return [decode(PollSchedule, each["rollout"]["schedule"]) for each in end.answers if "rollout" in each]


def is_known(schedule: PollSchedule) -> bool:
    return schedule.start + schedule.end > 0


def test_what_somebody_else_has_brought_in_says_nothing_of_how_long_it_took(
    model: EcsModel, service: ModelService, clock: Clock
) -> None:
    deployed(model, clock, service)
    model.start_deployment(service, add_theirs(model))
    clock.advance(600)
    assert schedules(execute(REQUEST, clock, name="two"))[0] == PollSchedule()


def test_a_failed_rollout_is_not_remembered(model: EcsModel, service: ModelService, clock: Clock) -> None:
    deployed(model, clock, service)
    before = state(clock).stable
    model.behaviours[NEWER_IMAGE] = Behaviour(start=100, life=1, exit_code=1)
    assert execute(NEWER_REQUEST, clock, name="two").error == "DeploymentFailed"
    assert state(clock).stable == before
    assert is_known(schedules(execute(REQUEST, clock, name="three"))[0])


def test_the_polls_of_a_return_do_not_wait_for_what_a_rollout_took(
    model: EcsModel, service: ModelService, clock: Clock
) -> None:
    deployed(model, clock, service)
    clock.advance(600)
    model.behaviours[NEWER_IMAGE] = CRASHES
    end = execute(NEWER_REQUEST, clock, name="two")
    assert end.error == "DeploymentFailed"
    known = [is_known(each) for each in schedules(end)]
    assert known == sorted(known, reverse=True)
    assert (known[0], known[-1]) == (True, False)


def test_who_waits_for_its_turn_asks_ecs_nothing_and_the_table_ever_more_rarely(
    model: EcsModel, service: ModelService, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE] = Behaviour(start=800)
    owner, waits_for_it = {**REQUEST, "timeout": 900}, {**PROXY_REQUEST, "timeout": 900}
    ends = execute_together({"owner": (0, owner), "waits": (10, waits_for_it)}, clock)
    waits = [each["wait"] for each in ends["waits"].answers if each["next"] == "wait_for_turn"]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (5, 60)
    assert len(waits) <= 45
    deployments = [each for each in ends.values() if each.output]
    assert len(deployments) == 2
    # Each has read the service at its start, before its update, and at its polls; the one that waited, once more.
    polls = sum(each.output["polls"] for each in deployments if each.output)
    assert model.called("DescribeServices").count("DescribeServices") == polls + 2 * 2 + 1


def test_polls_that_aws_throttles_come_less_often_and_then_more_often_again(
    model: EcsModel, service: ModelService, clock: Clock
) -> None:
    model.behaviours[NEW_IMAGE] = Behaviour(start=300)
    throttled = [8, 9, 10]

    def throttle(action: str, _body: dict[str, Any]) -> None:
        if action == "DescribeServices" and len(model.called(action)) in throttled:
            raise AwsError("ThrottlingException", "Rate exceeded")

    model.before_call = throttle
    end = execute(REQUEST, clock)
    assert end.output
    waiting = [each for each in end.answers if each["next"] == "wait_for_rollout"]
    backoffs = [each["rollout"]["schedule"]["backoff"] for each in waiting]
    assert max(backoffs) == 2
    assert backoffs.index(2) > 0
    assert backoffs[-1] == 1
    waits = [each["wait"] for each in waiting]
    slow = backoffs.index(2)
    assert waits[slow] > 1.5 * waits[slow - 1]


def service_of(*deployments: tuple[str, int, int], strategy: str = "ROLLING") -> Service:
    """A service with deployments of a status, a desired and a running count."""
    at = datetime(2026, 1, 31, tzinfo=UTC)
    described = [
        Deployment(f"ecs-svc/{index}", status, f"doorman:{index}", desired, 0, running, 0, "IN_PROGRESS", None, at)
        for index, (status, desired, running) in enumerate(deployments)
    ]
    whole = Service.described({"serviceName": "s", "clusterArn": "c/production1", "status": "ACTIVE"})
    return whole._replace(deployments=tuple(described), strategy=strategy)


@pytest.mark.parametrize(
    ("service", "stage"),
    [
        (service_of(("PRIMARY", 2, 0), ("ACTIVE", 0, 2)), Stage.STARTING),
        (service_of(("PRIMARY", 2, 1), ("ACTIVE", 0, 1)), Stage.STARTING),
        # Where all old tasks may go first, nothing is left to wait for once the new ones run.
        (service_of(("PRIMARY", 2, 1), ("ACTIVE", 0, 0)), Stage.ENDING),
        (service_of(("PRIMARY", 2, 0)), Stage.ENDING),
        (service_of(("PRIMARY", 2, 2), ("ACTIVE", 0, 1)), Stage.ENDING),
        (service_of(("PRIMARY", 2, 2), ("ACTIVE", 0, 0)), Stage.ENDING),
        (service_of(("PRIMARY", 0, 0), ("ACTIVE", 0, 2)), Stage.ENDING),
        (service_of(("PRIMARY", 2, 2)), Stage.ALONE),
        (service_of(("PRIMARY", 0, 0)), Stage.ALONE),
        (service_of(strategy="CANARY"), Stage.ENDING),
    ],
)
def test_the_stage_of_a_rollout_is_read_from_its_counts(service: Service, stage: Stage) -> None:
    assert service.stage is stage
