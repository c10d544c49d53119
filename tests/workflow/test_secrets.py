"""Nothing of a task definition that may be a secret leaves the functions.

Not by logs, histories, events, errors, or the table.

A canary in every member of a task definition is searched for over the model: tests/unit/test_secrets.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.workflow.conftest import eventually
from tests.workflow.deployer import Deployer, elsewhere, request_for
from tests.workflow.mailbox import Mailbox

if TYPE_CHECKING:
    from local.cloud import Cloud
    from tests.workflow.conftest import Service

CANARY = "canary-in-the-mine"


def test_no_canary_is_found(cloud: Cloud, service: Service) -> None:
    deployer = Deployer(cloud)
    events = Mailbox(cloud, "events-about-canaries")
    events.listen(cloud, "events-about-canaries", "ecs-deploy")
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
    requests = {tag: request_for(service, image=f"{service.repository}:{tag}") for tag in ("good", "bad", "missing")}
    executions = [deployer.start(request) for request in requests.values()]
    executions.append(deployer.start(request_for(service, image="another:1")))
    with elsewhere(cloud, "poll_stability", ECS="no endpoint at all"):
        executions.append(deployer.start(requests["good"]))
    ends = [each.get("error") or each["output"]["outcome"] for each in executions]
    assert ends == ["DEPLOYED", "DeploymentFailed", "ImageNotFound", "NoMatchingContainer", "DeploymentFailed"]
    deployer.send({"reconcile": [service.key]})
    eventually(lambda: deployer.dispatched() and deployer.settled(service.key))
    texts = [json.dumps(execution, default=str) for execution in executions]
    for arn in deployer.of(service.name):
        pages = deployer.states.get_paginator("get_execution_history").paginate(executionArn=arn)
        texts += [json.dumps(page, default=str) for page in pages]
        texts += events.about(arn)
    texts += [deployer.log(module) for module in cloud.functions]
    texts.append(json.dumps(cloud.client("dynamodb").scan(TableName=cloud.outputs["TableName"])["Items"]))
    assert any("Registered" in text for text in texts)
    assert service.key in texts[-1]
    assert [text for text in texts if CANARY in text] == []
