"""The events that end waits: which match, and whom they reach."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.eventbridge import matches
from tests.infra.synthesis import of_type, resolve

SERVICE = "arn:aws:ecs:us-east-1:123456789012:service/production1/doorman-service"


def event(kind: str, **detail: Any) -> dict[str, Any]:
    return {
        "source": "aws.ecs",
        "detail-type": f"ECS {kind} State Change",
        "account": "123456789012",
        "region": "us-east-1",
        "resources": [SERVICE],
        "detail": detail,
    }


def task(**detail: Any) -> dict[str, Any]:
    failed = {"lastStatus": "STOPPED", "stoppedReason": "Essential container in task exited"}
    return event("Task", **{"group": "service:doorman-service", **failed, **detail})


COMPLETED = event("Deployment", eventName="SERVICE_DEPLOYMENT_COMPLETED", deploymentId="ecs-svc/1")


@pytest.mark.parametrize(
    ("event", "is_wanted"),
    [
        (COMPLETED, True),
        (event("Deployment", eventName="SERVICE_DEPLOYMENT_IN_PROGRESS"), True),
        (event("Hook", eventName="whatever AWS calls it"), True),
        (task(), True),
        (task(stoppedReason="Task failed ELB health checks in (target-group 1)"), True),
        ({**task(), "detail": {"group": "service:doorman-service", "lastStatus": "STOPPED"}}, True),
        (task(lastStatus="RUNNING"), False),
        (task(stoppedReason="Scaling activity initiated by (deployment ecs-svc/1)"), False),
        (task(group="family:cron"), False),
        (event("Container Instance"), False),
        ({**COMPLETED, "account": "999999999999"}, False),
        ({**COMPLETED, "region": "eu-west-1"}, False),
        ({**COMPLETED, "source": "mine"}, False),
    ],
)
def test_which_events_match(template: dict[str, Any], event: dict[str, Any], is_wanted: bool) -> None:
    rule = resolve(of_type(template, "AWS::Events::Rule")["WaitsRule"])
    assert matches(rule["EventPattern"], event) is is_wanted


def test_whom_they_reach(template: dict[str, Any]) -> None:
    rule = resolve(of_type(template, "AWS::Events::Rule")["WaitsRule"])
    (target,) = rule["Targets"]
    assert target["Arn"] == "{WaitsEndFunction.Arn}"
    (permission,) = (resolve(each) for each in of_type(template, "AWS::Lambda::Permission").values())
    assert permission["SourceArn"] == "{WaitsRule.Arn}"
    assert permission["FunctionName"] == "{WaitsEndFunction}"
    (config,) = (resolve(each) for each in of_type(template, "AWS::Lambda::EventInvokeConfig").values())
    # What comes later than the polls is of no use.
    assert config["MaximumEventAgeInSeconds"] == target["RetryPolicy"]["MaximumEventAgeInSeconds"] == 300
