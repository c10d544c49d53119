"""The sweep on the emulator: its own schedule's target, role and input, for a push whose event is lost."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.workflow.conftest import Service, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cloud import Cloud


@contextmanager
def losing_events(cloud: Cloud, repository: str) -> Iterator[None]:
    """The events of a repository start nothing while the block runs."""
    events = cloud.client("events")
    rules = [rule for rule in events.list_rules()["Rules"] if f'"{repository}"' in rule.get("EventPattern", "")]
    assert rules
    for rule in rules:
        events.disable_rule(Name=rule["Name"])
    yield
    for rule in rules:
        events.enable_rule(Name=rule["Name"])


class Sweeper:
    """Lets the schedule of a service fire at once, which counts every push as missed."""

    def __init__(self, cloud: Cloud, service: str) -> None:
        self.cloud = cloud
        self.scheduler = cloud.client("scheduler")
        self.states = cloud.client("stepfunctions")
        self.schedule = next(each for each in self._schedules() if f'"service": "{service}"' in each["Target"]["Input"])
        self.fired = 0

    def _schedules(self) -> Iterator[dict[str, Any]]:
        for each in self.scheduler.list_schedules()["Schedules"]:
            yield self.scheduler.get_schedule(Name=each["Name"], GroupName=each["GroupName"])

    def fire(self, service: str) -> None:
        """Fire once, for one service only."""
        self.fired += 1
        event = json.loads(self.schedule["Target"]["Input"])
        targets = [each for each in event["targets"] if each["request"]["service"] == service]
        self.scheduler.create_schedule(
            Name=f"{service}-{self.fired}",
            GroupName=self.schedule["GroupName"],
            ScheduleExpression="at(2026-01-01T00:00:00)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={**self.schedule["Target"], "Input": json.dumps({**event, "grace": 0, "targets": targets})},
        )

    def started(self, service: str) -> list[dict[str, Any]]:
        """The executions that sweeps have started for a service."""
        listed = self.states.list_executions(stateMachineArn=self.cloud.state_machine)["executions"]
        swept = [each["executionArn"] for each in listed if each["name"].startswith("sweep-")]
        found = [self.states.describe_execution(executionArn=arn) for arn in swept]
        return [each for each in found if json.loads(each["input"])["service"] == service]


def test_a_push_whose_event_was_lost_is_deployed_once(cloud: Cloud, create_target: Callable[..., Service]) -> None:
    service = create_target()
    sweeper = Sweeper(cloud, service.name)
    with losing_events(cloud, service.repository):
        image = service.push("v2")
    assert sweeper.started(service.name) == []
    sweeper.fire(service.name)

    def ended() -> dict[str, Any] | None:
        executions = sweeper.started(service.name)
        return executions[0] if executions and executions[0]["status"] != "RUNNING" else None

    execution = eventually(ended)
    assert execution
    outcome = json.loads(execution["output"])
    assert (outcome["outcome"], outcome["image"]) == ("DEPLOYED", image)
    assert service.primary()["taskDefinition"] == outcome["revision"]
    digest = json.loads(execution["input"])["push"]["digest"]
    tags = service.ecs.describe_task_definition(taskDefinition=outcome["revision"], include=["TAGS"])["tags"]
    assert {"key": "ecs-deploy:digest", "value": digest} in tags

    log = cloud.client("logs")
    before = looked(log, cloud)
    sweeper.fire(service.name)
    eventually(lambda: looked(log, cloud) > before)
    assert len(sweeper.started(service.name)) == 1


def looked(log: Any, cloud: Cloud) -> int:
    """How often the function has run, by the lines that Lambda writes."""
    group = cloud.client("lambda").get_function(FunctionName=cloud.functions["sweep"])["Configuration"]["LoggingConfig"]
    events = log.filter_log_events(logGroupName=group["LogGroup"])["events"]
    return sum("REPORT" in each["message"] or "END" in each["message"] for each in events)
