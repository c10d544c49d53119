"""What a deployment asks of ECS, and how soon it knows: the real handlers over the model, in virtual time."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from ecs_deploy.progress import Progress
from ecs_deploy.service import Deployment, Service
from ecs_deploy.wait import Rhythm, Stage
from tests.support.clock import Clock
from tests.support.ecs_model import AwsError, Behaviour, EcsModel
from tests.support.ecs_model import Service as ModelService
from tests.support.execution import End, execute

REQUEST: dict[str, Any] = {"cluster": "production1", "service": "doorman-service", "image": "doorman:2"}
SECONDS = "ecs-deploy:seconds"
# Besides the polls: the service, the revision, the new one, the update, the tag.
MOST_OTHER_CALLS = 5


@pytest.fixture
def service(model: EcsModel) -> ModelService:
    document = {"family": "doorman", "containerDefinitions": [{"name": "app", "image": "doorman:1"}]}
    return model.add_service("doorman-service", model.add_revision(document))


def deployed(model: EcsModel, clock: Clock, service: ModelService, name: str = "one") -> tuple[int, int, float]:
    """Deploy; gives the calls, the polls among them, and how late the end was seen."""
    model.calls.clear()
    end = execute(REQUEST, clock, name=name)
    assert end.output
    assert end.output["outcome"] == "DEPLOYED"
    assert service.primary.completed
    return len(model.calls), end.output["polls"], (clock.now() - service.primary.completed).total_seconds()


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
    model.behaviours["doorman:2"], service.drain = Behaviour(start=start), complete - start
    calls, polls, lag = deployed(model, clock, service, name)
    assert calls <= most_calls
    assert calls - polls <= MOST_OTHER_CALLS
    assert lag <= most_lag


def test_the_second_deployment_knows_how_long_the_first_one_took(
    model: EcsModel, service: ModelService, clock: Clock
) -> None:
    model.behaviours["doorman:2"], service.drain = Behaviour(start=150), 150
    _, first, _ = deployed(model, clock, service, "one")
    start, end = (int(part) for part in model.tags(service.primary.revision)[SECONDS].split("+"))
    assert start == pytest.approx(150, abs=15)
    assert end == pytest.approx(150, abs=20)
    clock.advance(3600)
    model.behaviours["doorman:2"], service.drain = Behaviour(start=165), 140
    calls, second, lag = deployed(model, clock, service, "two")
    assert second <= 15 < first
    assert lag <= 10
    assert calls - second <= MOST_OTHER_CALLS


def test_what_a_copied_or_a_failed_revision_took_is_not_believed(
    model: EcsModel, service: ModelService, clock: Clock
) -> None:
    deployed(model, clock, service)
    ours = model.revision(service.primary.revision)
    model.start_deployment(service, model.add_revision(ours.document, model.tags(service.primary.revision)))
    clock.advance(600)
    progress = rhythm_at_start(execute({**REQUEST, "timeout": 60}, clock, name="two"))
    assert progress == Rhythm()


def test_a_rollback_is_not_waited_for_like_a_rollout(model: EcsModel, service: ModelService, clock: Clock) -> None:
    deployed(model, clock, service)
    clock.advance(600)
    model.behaviours["doorman:3"] = Behaviour(start=2, life=1, exit_code=1)
    end = execute({**REQUEST, "image": "doorman:3"}, clock, name="two")
    assert end.error == "DeploymentFailed"
    rhythms = [each["progress"]["rhythm"] for each in end.answers if each["next"] == "wait"]
    known = [each["start"] + each["end"] > 0 for each in rhythms]
    assert known == sorted(known, reverse=True)
    assert (known[0], known[-1]) == (True, False)


def rhythm_at_start(end: End) -> Rhythm:
    return Rhythm(**end.answers[0]["progress"]["rhythm"])


def test_polls_that_aws_throttles_come_less_often_and_then_more_often_again(
    model: EcsModel, service: ModelService, clock: Clock
) -> None:
    model.behaviours["doorman:2"] = Behaviour(start=300)
    throttled = [8, 9, 10]

    def throttle(action: str, _body: dict[str, Any]) -> None:
        looks = model.called("DescribeServices")
        if action == "DescribeServices" and len(looks) in throttled:
            raise AwsError("ThrottlingException", "Rate exceeded")

    model.before_call = throttle
    end = execute(REQUEST, clock)
    assert end.output
    paces = [each["progress"]["rhythm"]["pace"] for each in end.answers if each["next"] == "wait"]
    assert max(paces) == 2
    assert paces.index(2) > 0
    assert paces[-1] == 1
    waits = [each["wait"] for each in end.answers if each["next"] == "wait"]
    slow = paces.index(2)
    assert waits[slow] > 1.5 * waits[slow - 1]


def test_progress_keeps_its_rhythm_on_its_way_through_the_states(
    model: EcsModel, service: ModelService, clock: Clock
) -> None:
    end = execute(REQUEST, clock)
    progress = Progress.from_json(end.answers[1]["progress"])
    assert progress.rhythm == Rhythm(looked=0)
    kept = dataclasses.replace(progress, rhythm=Rhythm(40, 60, 12.5, 6.5, None, 2))
    assert Progress.from_json(kept.as_json()) == kept


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
