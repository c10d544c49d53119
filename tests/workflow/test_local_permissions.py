"""What the emulator asks a role for, as AWS does: which actions on which resources, and what a call implies.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
https://docs.aws.amazon.com/step-functions/latest/dg/concept-create-iam-advanced.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.dynamodb_conformance import TABLE, item, unchanged, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cloud import Cloud
    from tests.workflow.conftest import Service

    Statement = tuple[str, str] | tuple[str, str, dict[str, Any]]


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@dataclass
class Role:
    """A role, and clients that act in its name."""

    cloud: Cloud
    name: str
    session: Any

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.cloud.endpoint)

    def may(self, *statements: Statement) -> None:
        """Allow these actions on these resources, some under a condition, and nothing else."""
        allowed = [
            {"Effect": "Allow", "Action": action, "Resource": resource, **({"Condition": more[0]} if more else {})}
            for action, resource, *more in statements
        ]
        self.cloud.client("iam").put_role_policy(
            RoleName=self.name, PolicyName="own", PolicyDocument=document(*allowed)
        )

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.cloud.region}:{self.cloud.account}:{resource}"

    def needs(self, call: Callable[[], object], *statements: Statement) -> None:
        """The call needs all of the statements; what AWS answers without one names its action and its resource."""
        for missing in statements:
            self.may(*[each for each in statements if each != missing], ("sqs:ListQueues", "*"))
            with pytest.raises(ClientError, match="AccessDenied") as denied:
                call()
            action, resource = missing[:2]
            assert f"is not authorized to perform: {action} on resource: {resource}" in str(denied.value)
            assert f":assumed-role/{self.name}/" in str(denied.value)
        self.may(*statements)
        call()


@pytest.fixture
def role(cloud: Cloud, numbers: Iterator[int]) -> Role:
    name = f"role-{next(numbers)}"
    trusted = {"Effect": "Allow", "Principal": {"AWS": cloud.account}, "Action": "sts:AssumeRole"}
    arn = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document(trusted))["Role"]["Arn"]
    given = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="tests")["Credentials"]
    keys = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    return Role(cloud, name, boto3.Session(*keys, region_name=cloud.region))


def task_role(cloud: Cloud, name: str) -> str:
    trusted = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    arn: str = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document(trusted))["Role"]["Arn"]
    return arn


def test_a_transaction_is_checked_as_the_writes_that_it_makes(cloud: Cloud, role: Role) -> None:
    cloud.client("dynamodb").create_table(TableName=role.name, **TABLE)
    table, dynamodb = role.arn("dynamodb", f"table/{role.name}"), role.client("dynamodb")
    put = ("dynamodb:PutItem", table)
    role.needs(lambda: dynamodb.put_item(TableName=role.name, Item=item("a", rev={"N": "1"})), put)
    writes = [write(role.name, item("a", rev={"N": "1"}), **unchanged(1)), write(role.name, item("a", "HISTORY#1"))]
    role.needs(lambda: dynamodb.transact_write_items(TransactItems=writes), put)
    role.needs(
        lambda: dynamodb.get_item(TableName=role.name, Key=item("a"), ConsistentRead=True), ("dynamodb:GetItem", table)
    )
    condition = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": "a"}}}
    role.needs(lambda: dynamodb.query(TableName=role.name, **condition), ("dynamodb:Query", table))
    with pytest.raises(ClientError, match="AccessDenied"):
        dynamodb.query(TableName=f"{role.name}-other", **condition)


def test_an_update_passes_the_roles_of_the_revision(
    cloud: Cloud, role: Role, create_service: Callable[..., Service]
) -> None:
    service = create_service(desired=0)
    roles = {
        "taskRoleArn": task_role(cloud, f"{role.name}-task"),
        "executionRoleArn": task_role(cloud, f"{role.name}-x"),
    }
    revision = service.register(service.push("v2"), **roles)
    update = {"cluster": service.cluster, "service": service.name}
    passed = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    own = ("ecs:UpdateService", role.arn("ecs", f"service/{service.cluster}/{service.name}"))
    passing: list[Statement] = [("iam:PassRole", arn, passed) for arn in roles.values()]
    ecs = role.client("ecs")
    role.needs(lambda: ecs.update_service(**update, taskDefinition=revision), own, *passing)
    role.needs(lambda: ecs.update_service(**update, taskDefinition=service.name), own, *passing)
    # What brings in no revision passes nothing, nor does a revision without roles.
    role.needs(lambda: ecs.update_service(**update, desiredCount=0), own)
    bare = service.register(service.push("v3"))
    role.needs(lambda: ecs.update_service(**update, taskDefinition=bare), own)
    role.may(own, *[("iam:PassRole", arn, elsewhere()) for arn in roles.values()])
    with pytest.raises(ClientError, match="iam:PassRole"):
        ecs.update_service(**update, taskDefinition=revision)


def elsewhere() -> dict[str, Any]:
    return {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}


def test_a_registration_needs_every_resource(cloud: Cloud, role: Role) -> None:
    ecs, passes = role.client("ecs"), task_role(cloud, f"{role.name}-task")
    containers = [{"name": "web", "image": "nginx:1", "memory": 64}]
    register = ("ecs:RegisterTaskDefinition", "*")
    request = {"family": role.name, "containerDefinitions": containers}
    role.needs(lambda: ecs.register_task_definition(**request), register)
    role.needs(lambda: ecs.register_task_definition(**request, taskRoleArn=passes), register, ("iam:PassRole", passes))
    revisions = role.arn("ecs", f"task-definition/{role.name}:*")
    role.needs(
        lambda: ecs.register_task_definition(**request, tags=[{"key": "team", "value": "doors"}]),
        register,
        ("ecs:TagResource", revisions),
    )
    role.may(("ecs:RegisterTaskDefinition", revisions))
    with pytest.raises(ClientError, match="AccessDenied"):
        ecs.register_task_definition(**request)
    role.needs(
        lambda: ecs.deregister_task_definition(taskDefinition=f"{role.name}:1"), ("ecs:DeregisterTaskDefinition", "*")
    )


def test_service_deployments_and_revisions_need_their_service_too(role: Role) -> None:
    ecs, service = role.client("ecs"), role.arn("ecs", "service/production1/doorman")
    deployment = role.arn("ecs", "service-deployment/production1/doorman/abc")
    revision = role.arn("ecs", "service-revision/production1/doorman/123")
    role.needs(
        lambda: ecs.describe_service_deployments(serviceDeploymentArns=[deployment]),
        ("ecs:DescribeServiceDeployments", deployment),
        ("ecs:DescribeServiceDeployments", service),
    )
    role.needs(
        lambda: ecs.describe_service_revisions(serviceRevisionArns=[revision]),
        ("ecs:DescribeServiceRevisions", revision),
        ("ecs:DescribeServiceRevisions", service),
    )


def test_every_service_that_is_described_is_asked_for(cloud: Cloud, role: Role) -> None:
    cloud.client("ecs").create_cluster(clusterName="production1")
    names = ["doorman", "porter"]
    role.needs(
        lambda: role.client("ecs").describe_services(cluster="production1", services=names),
        *[("ecs:DescribeServices", role.arn("ecs", f"service/production1/{name}")) for name in names],
    )


def test_executions_are_started_by_machine_and_described_by_execution(cloud: Cloud, role: Role) -> None:
    states = cloud.client("stepfunctions")
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}
    machine = states.create_state_machine(
        name=role.name, definition=json.dumps(definition), roleArn=task_role(cloud, f"{role.name}-machine")
    )["stateMachineArn"]
    own = role.client("stepfunctions")
    role.needs(lambda: own.start_execution(stateMachineArn=machine, name="one"), ("states:StartExecution", machine))
    execution = role.arn("states", f"execution:{role.name}:one")
    role.needs(lambda: own.describe_execution(executionArn=execution), ("states:DescribeExecution", execution))
    states.stop_execution(executionArn=execution)


def test_a_message_is_sent_by_who_may_and_over_tls(cloud: Cloud, role: Role) -> None:
    tls_only = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    url = cloud.client("sqs").create_queue(QueueName=role.name, Attributes={"Policy": document(tls_only)})["QueueUrl"]
    own = role.client("sqs")
    role.needs(
        lambda: own.send_message(QueueUrl=url, MessageBody="{}"), ("sqs:SendMessage", role.arn("sqs", role.name))
    )
