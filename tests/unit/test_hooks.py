"""What ECS itself waits for is not the image's time: lifecycle hooks, bake time, steps of a shift, load balancers."""

from datetime import timedelta
from typing import Any

import pytest

from ecs_deploy.core.service import Service as Described
from tests.support.clock import Clock
from tests.support.doorman import NEW_IMAGE, REQUEST, add_doorman
from tests.support.ecs_model import HANGS, Behaviour, EcsModel
from tests.support.workflow import End, execute

PAUSE: dict[str, Any] = {"hookId": "hook-1", "targetType": "PAUSE", "status": "AWAITING_ACTION"}
FUNCTION: dict[str, Any] = {
    "hookId": "hook-2",
    "targetType": "AWS_LAMBDA",
    "targetArn": "arn:aws:lambda:eu-west-1:123456789012:function:check",
    "status": "IN_PROGRESS",
}
DAY = timedelta(days=1)


def deploy(model: EcsModel, clock: Clock, hook: dict[str, Any], until: timedelta, strategy: str, **request: Any) -> End:
    """Deploy where a hook holds the new tasks back until then."""
    opens = clock.now() + until
    service = add_doorman(model, strategy=strategy)
    service.hooks = [{**hook, "expiresAt": (clock.now() + 14 * DAY).timestamp(), "timeoutAction": "ROLLBACK"}]
    model.behaviours[NEW_IMAGE] = Behaviour(start=until.total_seconds() + 5)

    def open_hook(_action: str, _body: dict[str, Any]) -> None:
        if clock.now() >= opens:
            service.hooks = [{**hook, "status": "SUCCEEDED"}]

    model.before_call = open_hook
    return execute({**REQUEST, **request}, clock)


@pytest.mark.parametrize("strategy", ["ROLLING", "BLUE_GREEN"])
@pytest.mark.parametrize("until", [timedelta(minutes=20), DAY, 13 * DAY])
@pytest.mark.parametrize("hook", [PAUSE, FUNCTION])
def test_a_hook_stops_the_clock(
    model: EcsModel,
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
    hook: dict[str, Any],
    until: timedelta,
    strategy: str,
) -> None:
    started = clock.now()
    end = deploy(model, clock, hook, until, strategy)
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert clock.now() - started < until * 1.15 + timedelta(minutes=1)
    assert (end.output or {})["polls"] < 400
    paused = [answer["notification"] for answer in end.answers if answer["next"] == "notify_pause"]
    if hook is FUNCTION:
        assert paused == []
        return
    assert "Overdue" not in capsys.readouterr().out
    (notification,) = paused
    assert (notification["hook"], notification["timeoutAction"]) == ("hook-1", "ROLLBACK")
    assert notification["expiresAt"]
    assert "ECS rolls back by itself" in notification["message"]
    assert "--hook-id hook-1 --action CONTINUE" in notification["message"]
    assert ":service-deployment/production1/doorman-service/" in notification["message"]


def test_what_hangs_after_a_pause_is_still_undone_at_its_own_time(model: EcsModel, clock: Clock) -> None:
    started = clock.now()
    service = add_doorman(model)
    service.hooks = [PAUSE]
    model.behaviours[NEW_IMAGE] = HANGS

    def open_hook(_action: str, _body: dict[str, Any]) -> None:
        if clock.now() >= started + timedelta(hours=1):
            service.hooks = [{**PAUSE, "status": "SUCCEEDED"}]

    model.before_call = open_hook
    end = execute({**REQUEST, "timeout": 300}, clock)
    assert end.error == "DeploymentTimedOut"
    took = clock.now() - started
    assert timedelta(hours=1, seconds=300) <= took < timedelta(hours=1, seconds=900)


def test_a_hook_that_failed_is_named(model: EcsModel, clock: Clock) -> None:
    service = add_doorman(model, breaker=True)
    service.hooks = [{**FUNCTION, "status": "FAILED"}]
    model.behaviours[NEW_IMAGE] = Behaviour(start=2, life=0, stop_code="TaskFailedToStart", reason="no")
    end = execute(REQUEST, clock)
    assert any("the hook check has failed" in each for each in (end.cause or {})["reasons"])


LISTENER = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/{}/doorman/1/2"


@pytest.mark.parametrize(
    ("strategy", "kind", "minutes"), [("BLUE_GREEN", "net", 25), ("BLUE_GREEN", "app", 5), ("ROLLING", "net", 5)]
)
def test_the_time_that_ecs_takes_behind_a_network_load_balancer(strategy: str, kind: str, minutes: int) -> None:
    described = Described.described(
        {
            "serviceName": "s",
            "clusterArn": "c/c",
            "status": "ACTIVE",
            "deploymentConfiguration": {"strategy": strategy, "bakeTimeInMinutes": 5},
            "loadBalancers": [{"advancedConfiguration": {"productionListenerRule": LISTENER.format(kind)}}, {}],
        }
    )
    assert described.own_time == timedelta(minutes=minutes)


def test_the_outcome_says_that_nothing_was_started(model: EcsModel, clock: Clock) -> None:
    add_doorman(model, desired=0)
    end = execute(REQUEST, clock)
    assert (end.output or {})["outcome"] == "DEPLOYED"
    assert "the desired count is 0" in (end.output or {})["reasons"][0]
    assert "the desired count is 0" in end.answers[-1]["notification"]["message"]
