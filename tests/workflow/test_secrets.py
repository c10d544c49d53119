"""Nothing of a task definition that may be a secret leaves the functions: not by logs, histories, events or errors.

A canary in every member of a task definition is looked for over the model: tests/unit/test_secrets.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.workflow.test_deployments import Deployer, ecs_elsewhere, request_for
from tests.workflow.test_notices import Mailbox, events

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cloud import Cloud
    from tests.workflow.conftest import Service

__all__ = ["events"]

CANARY = "canary-in-the-mine"


def test_no_canary_is_sighted(
    cloud: Cloud,
    create_target: Callable[..., Service],
    events: Mailbox,
) -> None:
    service, deployer = create_target(), Deployer(cloud)
    cloud.client("ssm").put_parameter(Name=f"/{CANARY}", Value=CANARY, Type="SecureString")
    container = {
        "name": "web",
        "image": f"{cloud.registry}/{service.repository}:1",
        "memory": 128,
        "command": ["--password", CANARY],
        "environment": [{"name": CANARY, "value": CANARY}],
        "secrets": [{"name": CANARY, "valueFrom": f"arn:aws:ssm:{cloud.region}:{cloud.account}:parameter/{CANARY}"}],
        "dockerLabels": {CANARY: CANARY},
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/tasks-of-canaries"}},
    }
    revision = service.ecs.register_task_definition(family=service.name, containerDefinitions=[container])
    service.update(revision["taskDefinition"]["taskDefinitionArn"])
    service.wait_stable()
    service.push("good")
    service.push("bad", "crash")
    asked = {tag: request_for(service, image=f"{service.repository}:{tag}") for tag in ("good", "bad", "missing")}
    executions = [deployer.start(request) for request in asked.values()]
    executions.append(deployer.start(request_for(service, image="another:1")))
    with ecs_elsewhere(cloud, "no endpoint at all", "poll_stability"):
        executions.append(deployer.start(asked["good"]))
    ends = [each.get("error") or each["output"]["outcome"] for each in executions]
    assert ends == ["DEPLOYED", "DeploymentFailed", "ImageNotFound", "NoMatchingContainer", "DeploymentFailed"]
    told = [json.dumps(execution, default=str) for execution in executions]
    for execution in executions:
        arn = execution["executionArn"]
        pages = deployer.states.get_paginator("get_execution_history").paginate(executionArn=arn)
        told += [json.dumps(page, default=str) for page in pages]
        told += events.about(arn)
    for name in cloud.functions.values():
        configuration = cloud.client("lambda").get_function_configuration(FunctionName=name)
        pages = cloud.client("logs").get_paginator("filter_log_events")
        for page in pages.paginate(logGroupName=configuration["LoggingConfig"]["LogGroup"]):
            told += [event["message"] for event in page["events"]]
    assert any("Registered" in text for text in told)
    assert [text for text in told if CANARY in text] == []
