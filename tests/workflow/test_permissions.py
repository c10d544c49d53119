"""Every permission of every role is needed: it is taken away, and what then happens names the action.

The template's own test lists all statements; this one shows on the emulator, which enforces them, what each is for.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.workflow.conftest import WRITTEN, Service
from tests.workflow.test_deployments import Deployer, image_of, request_for
from tests.workflow.test_sweep import losing_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cloud import Cloud

REGISTER, UPDATE, POLL = "register_task_definition", "update_service", "poll_stability"
SWEEP, WRITE = "sweep", "write_parameter"
FUNCTIONS = (REGISTER, UPDATE, POLL, SWEEP, WRITE)

# What the functions are given for Lambda's own sake; and what the emulator's ECS does not know.
NOT_SEEN_HERE = {
    "logs:CreateLogStream": "Lambda writes the log",
    "logs:PutLogEvents": "Lambda writes the log",
    "xray:PutTraceSegments": "Lambda sends the trace",
    "xray:PutTelemetryRecords": "Lambda sends the trace",
    "ecs:DescribeServiceDeployments": "the emulator has no service deployments",
    "ecs:DescribeServiceRevisions": "the emulator has no service deployments",
}


@dataclass
class Stage:
    """The stack, a service of it that has a history and roles, and what can be done to see a permission at work."""

    cloud: Cloud
    deployer: Deployer
    service: Service
    pushes: int = 1

    def policy(self, function: str) -> tuple[str, dict[str, Any]]:
        """The name of a function's role, and its policy."""
        configuration = self.cloud.client("lambda").get_function_configuration(
            FunctionName=self.cloud.functions[function]
        )
        role = configuration["Role"].rpartition("/")[2]
        return role, self.cloud.client("iam").get_role_policy(RoleName=role, PolicyName="Step")["PolicyDocument"]

    @contextmanager
    def without(self, function: str, action: str, condition: str = "") -> Iterator[None]:
        """Take one action away from a function's role, in the statement with this condition key."""
        role, before = self.policy(function)
        assert any(is_meant(statement, action, condition) for statement in before["Statement"])
        statements = [
            {**statement, "Action": [each for each in actions(statement) if each != action]}
            if is_meant(statement, action, condition)
            else statement
            for statement in before["Statement"]
        ]
        self._put(role, {**before, "Statement": [each for each in statements if each["Action"]]})
        try:
            yield
        finally:
            self._put(role, before)

    def _put(self, role: str, policy: dict[str, Any]) -> None:
        self.cloud.client("iam").put_role_policy(RoleName=role, PolicyName="Step", PolicyDocument=json.dumps(policy))

    def log(self, function: str) -> str:
        """All that a function has logged."""
        configuration = self.cloud.client("lambda").get_function_configuration(
            FunctionName=self.cloud.functions[function]
        )
        events = self.cloud.client("logs").filter_log_events(logGroupName=configuration["LoggingConfig"]["LogGroup"])
        return "\n".join(event["message"] for event in events["events"])

    def deploy(self) -> str:
        """Deploy an image by hand; gives what a person reads of it."""
        return told(self.deployer.start(request_for(self.service, image=f"{self.service.repository}:good")))

    def fail(self) -> str:
        """Deploy an image that crashes; gives what a person reads of it, in the end and in the log."""
        before = len(self.log(POLL))
        end = told(self.deployer.start(request_for(self.service, image=f"{self.service.repository}:bad")))
        return end + self.log(POLL)[before:]

    def revert(self) -> str:
        return told(self.deployer.start(request_for(self.service, revert=True)))

    def push(self, times: int = 1) -> str:
        """An event, so many times."""
        self.pushes += 1
        push = {"id": f"event-{self.pushes}", "time": datetime.now(UTC).isoformat()}
        request = request_for(self.service, image=f"{self.service.repository}:good", push=push)
        return told([self.deployer.start(request) for _ in range(times)][-1])

    def push_twice(self) -> str:
        return self.push(times=2)

    def update_again(self) -> str:
        """Try the second step again, of an execution whose first try of it was lost."""
        execution = self.deployer.start(request_for(self.service, image=f"{self.service.repository}:good"))
        assert execution["output"]["outcome"] == "DEPLOYED"
        history = self.deployer.states.get_execution_history(executionArn=execution["executionArn"])["events"]
        entered = (each.get("stateEnteredEventDetails", {}) for each in history)
        (progress,) = (json.loads(each["input"])["progress"] for each in entered if each.get("name") == "UpdateService")
        answer = self.invoke(UPDATE, {"progress": progress, "attempt": 1, "enteredAt": progress["started_at"]})
        assert answer["next"] in {"wait", "fail"}
        return json.dumps(answer.get("failure", "DEPLOYED"))

    def sweep(self) -> str:
        """Let a push be missed."""
        self.service.wait_stable()
        with losing_events(self.cloud, self.service.repository):
            self.pushes += 1
            self.service.push(f"v{self.pushes}")
        asked = request_for(self.service, image=f"{self.cloud.registry}/{self.service.repository}")
        answer = self.invoke(SWEEP, {"grace": 0, "targets": [{"request": asked, "tags": ["v*"]}]})
        if isinstance(answer, list):
            (arn,) = answer
            return told(self.deployer.ended(arn))
        return f"{answer['errorType']} AccessDenied {answer['errorMessage']}"

    def write(self) -> str:
        """Write the parameter of the service."""
        event = request_for(self.service, execution="by-hand", parameter=WRITTEN["parameter"], container="web")
        answer = self.invoke(WRITE, event)
        if isinstance(answer, str):
            return "DEPLOYED" if answer == image_of(self.service) else answer
        return f"{answer['errorType']} {answer['errorMessage']}"

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        answer = self.cloud.client("lambda").invoke(
            FunctionName=self.cloud.functions[function], Payload=json.dumps(event)
        )
        return json.loads(answer["Payload"].read())


def actions(statement: dict[str, Any]) -> list[str]:
    said = statement["Action"]
    return [said] if isinstance(said, str) else said


def is_meant(statement: dict[str, Any], action: str, condition: str) -> bool:
    keys = {key for operator in statement.get("Condition", {}).values() for key in operator}
    return action in actions(statement) and (not condition or condition in keys)


def told(execution: dict[str, Any]) -> str:
    """The error and the cause of an execution, or its outcome."""
    return json.dumps([execution.get(key) for key in ("error", "cause", "output")])


# Without the action the execution, or the sweep, ends as AccessDenied.
ENDS = [
    (REGISTER, "ecs:DescribeServices", "", Stage.deploy),
    (REGISTER, "ecs:DescribeTaskDefinition", "", Stage.deploy),
    (REGISTER, "ecr:DescribeImages", "", Stage.deploy),
    (REGISTER, "ecs:RegisterTaskDefinition", "", Stage.deploy),
    (REGISTER, "ecs:TagResource", "ecs:CreateAction", Stage.deploy),
    (REGISTER, "iam:PassRole", "iam:PassedToService", Stage.deploy),
    (REGISTER, "ecs:ListTaskDefinitions", "", Stage.revert),
    (REGISTER, "ecs:TagResource", "aws:TagKeys", Stage.revert),
    (REGISTER, "states:StartExecution", "", Stage.push),
    (REGISTER, "states:DescribeExecution", "", Stage.push_twice),
    (UPDATE, "ecs:UpdateService", "", Stage.deploy),
    (UPDATE, "ecs:DescribeServices", "", Stage.update_again),
    (UPDATE, "ecs:DescribeTaskDefinition", "", Stage.update_again),
    (UPDATE, "ecs:ListTaskDefinitions", "", Stage.update_again),
    (POLL, "ecs:DescribeServices", "", Stage.deploy),
    (SWEEP, "states:DescribeStateMachine", "", Stage.sweep),
    (SWEEP, "states:StartExecution", "", Stage.sweep),
    (SWEEP, "ecs:DescribeServices", "", Stage.sweep),
    (SWEEP, "ecs:DescribeTaskDefinition", "", Stage.sweep),
    (SWEEP, "ecs:ListTaskDefinitions", "", Stage.sweep),
    (SWEEP, "ecr:DescribeImages", "", Stage.sweep),
    (WRITE, "ecs:DescribeServices", "", Stage.write),
    (WRITE, "ecs:DescribeTaskDefinition", "", Stage.write),
    (WRITE, "ssm:PutParameter", "", Stage.write),
]
# Without it the verdict stands, and so does the return; but the explanation, or the log, says what could not be done.
GOES_ON = [
    (POLL, "ecs:ListTasks", "", Stage.fail),
    (POLL, "ecs:DescribeTasks", "", Stage.fail),
    (POLL, "ecs:DescribeTaskDefinition", "", Stage.fail),
    (POLL, "ecs:ListTaskDefinitions", "", Stage.fail),
    (POLL, "ecs:TagResource", "aws:TagKeys", Stage.fail),
    (POLL, "logs:GetLogEvents", "", Stage.fail),
]


@pytest.fixture(scope="module")
def stage(cloud: Cloud, written: Service) -> Stage:
    """A service with roles and a log, to which an image was deployed."""
    service = written
    for tag in ("good", "bad"):
        service.push(tag, "run" if tag == "good" else "crash")
    trusted = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = cloud.client("iam").create_role(
        RoleName="task", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trusted]})
    )["Role"]["Arn"]
    log = {"awslogs-group": "/tasks", "awslogs-stream-prefix": "door", "awslogs-region": cloud.region}
    cloud.client("logs").create_log_group(logGroupName="/tasks")
    container = {"name": "web", "image": f"{cloud.registry}/{service.repository}:1", "essential": True, "memory": 128}
    container["logConfiguration"] = {"logDriver": "awslogs", "options": log}
    revision = service.ecs.register_task_definition(
        family=service.name,
        taskRoleArn=role,
        executionRoleArn=role,
        containerDefinitions=[container],
        tags=[{"key": "team", "value": "door"}],
    )["taskDefinition"]["taskDefinitionArn"]
    service.update(revision)
    service.wait_stable()
    stage = Stage(cloud, Deployer(cloud), service)
    for _ in range(2):
        assert "DEPLOYED" in stage.deploy()
    return stage


@pytest.mark.parametrize(
    ("function", "action", "condition", "act"), ENDS, ids=lambda value: getattr(value, "__name__", value)
)
def test_without_it_the_end_says_so(
    stage: Stage, function: str, action: str, condition: str, act: Callable[[Stage], str]
) -> None:
    with stage.without(function, action, condition):
        end = act(stage)
    assert "AccessDenied" in end
    assert f"may not call {action}" in end
    assert stage.policy(function)[0] in end


@pytest.mark.parametrize(
    ("function", "action", "condition", "act"), GOES_ON, ids=lambda value: getattr(value, "__name__", value)
)
def test_without_it_the_return_goes_on(
    stage: Stage, function: str, action: str, condition: str, act: Callable[[Stage], str]
) -> None:
    running = image_of(stage.service)
    with stage.without(function, action, condition):
        end = act(stage)
    assert '"rolledBack": true' in end
    assert f"may not call {action}" in end
    assert image_of(stage.service) == running


@pytest.mark.parametrize("act", dict.fromkeys(case[3] for case in [*ENDS, *GOES_ON]))
def test_with_all_of_them_it_works(stage: Stage, act: Callable[[Stage], str]) -> None:
    end = act(stage)
    assert "may not call" not in end
    wanted = {"fail": '"rolledBack": true', "push_twice": "DUPLICATE"}.get(act.__name__, "DEPLOYED")
    assert wanted in end


def test_every_permission_of_every_function_is_among_them(stage: Stage) -> None:
    tried = {(function, action, condition) for function, action, condition, _ in [*ENDS, *GOES_ON]}
    given = {
        (function, action, key)
        for function in FUNCTIONS
        for statement in stage.policy(function)[1]["Statement"]
        for action in actions(statement)
        for key in [next((key for operator in statement.get("Condition", {}).values() for key in operator), "")]
    }
    cluster = {(POLL, "ecs:ListTasks", "ecs:cluster"), (POLL, "ecs:DescribeTasks", "ecs:cluster")}
    assert {(*each[:2], "") if each in cluster else each for each in given if each[1] not in NOT_SEEN_HERE} == tried
    assert {action for _, action, _ in given} >= set(NOT_SEEN_HERE)


def test_a_service_outside_of_the_targets_cannot_be_touched(
    stage: Stage, create_service: Callable[..., Service]
) -> None:
    other = create_service()
    before = other.describe()["deployments"]
    end = told(stage.deployer.start(request_for(other, image=f"{other.repository}:1")))
    assert "may not call ecs:DescribeServices" in end
    # Nor by the function that updates, were it told to.
    progress = {**_progress(stage), "cluster": other.cluster, "service": other.name}
    answer = stage.invoke(UPDATE, {"progress": progress, "attempt": 0, "enteredAt": progress["started_at"]})
    assert "may not call ecs:UpdateService" in json.dumps(answer)
    assert other.describe()["deployments"] == before


def role_of(cloud: Cloud, logical_id: str) -> str:
    """The ARN of a role of the stack, by its name in the template."""
    resources = cloud.client("cloudformation").describe_stack_resources(StackName="EcsDeploy")["StackResources"]
    (name,) = {
        each["PhysicalResourceId"]
        for each in resources
        if each["ResourceType"] == "AWS::IAM::Role" and each["LogicalResourceId"].startswith(logical_id)
    }
    return f"arn:aws:iam::{cloud.account}:role/{name}"


def allows(cloud: Cloud, role: str, action: str, resource: str, **keys: str) -> bool:
    """Whether the policies of a role allow an action, by IAM's own simulation."""
    context = [
        {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]} for key, value in keys.items()
    ]
    (result,) = cloud.client("iam").simulate_principal_policy(
        PolicySourceArn=role_of(cloud, role), ActionNames=[action], ResourceArns=[resource], ContextEntries=context
    )["EvaluationResults"]
    return bool(result["EvalDecision"] == "allowed")


def test_the_state_machine_may_look_at_the_targets_and_at_no_other_service(stage: Stage) -> None:
    cloud, service = stage.cloud, stage.service
    services = f"arn:aws:ecs:{cloud.region}:{cloud.account}:service/{service.cluster}/"
    assert allows(cloud, "WorkflowRole", "ecs:DescribeServices", f"{services}{service.name}")
    assert not allows(cloud, "WorkflowRole", "ecs:DescribeServices", f"{services}another")
    assert not allows(cloud, "WorkflowRole", "ecs:UpdateService", f"{services}{service.name}")


def test_the_state_machine_may_do_what_its_states_do_and_nothing_more(cloud: Cloud) -> None:
    described = cloud.client("stepfunctions").describe_state_machine(stateMachineArn=cloud.state_machine)
    tasks = [state for state in json.loads(described["definition"])["States"].values() if state["Type"] == "Task"]
    invoked = {state["Arguments"]["FunctionName"] for state in tasks if state["Resource"].endswith("lambda:invoke")}
    sources = {
        entry["Source"]
        for state in tasks
        if state["Resource"].endswith("events:putEvents")
        for entry in state["Arguments"]["Entries"]
    }
    assert (len(invoked), sources) == (3, {"ecs-deploy"})
    for function in invoked:
        assert allows(cloud, "WorkflowRole", "lambda:InvokeFunction", function)
    function = f"arn:aws:lambda:{cloud.region}:{cloud.account}:function:"
    assert not allows(cloud, "WorkflowRole", "lambda:InvokeFunction", f"{function}{cloud.functions[SWEEP]}")
    assert not allows(cloud, "WorkflowRole", "lambda:InvokeFunction", f"{function}another")
    bus = f"arn:aws:events:{cloud.region}:{cloud.account}:event-bus/"
    assert allows(cloud, "WorkflowRole", "events:PutEvents", f"{bus}default", **{"events:source": "ecs-deploy"})
    assert not allows(cloud, "WorkflowRole", "events:PutEvents", f"{bus}default", **{"events:source": "mine"})
    assert not allows(cloud, "WorkflowRole", "events:PutEvents", f"{bus}another", **{"events:source": "ecs-deploy"})
    assert not allows(cloud, "WorkflowRole", "states:StartExecution", cloud.state_machine)


def test_the_rules_and_the_schedules_may_start_one_thing_each(cloud: Cloud) -> None:
    sweep = f"arn:aws:lambda:{cloud.region}:{cloud.account}:function:{cloud.functions[SWEEP]}"
    other = f"arn:aws:lambda:{cloud.region}:{cloud.account}:function:{cloud.functions[UPDATE]}"
    assert allows(cloud, "TriggersRole", "states:StartExecution", cloud.state_machine)
    assert not allows(cloud, "TriggersRole", "states:StartExecution", f"{cloud.state_machine}2")
    assert allows(cloud, "SweepRole", "lambda:InvokeFunction", sweep)
    assert not allows(cloud, "SweepRole", "lambda:InvokeFunction", other)
    assert not allows(cloud, "ClaimsRole", "states:StartExecution", cloud.state_machine)


def test_only_roles_of_tasks_are_passed(cloud: Cloud) -> None:
    def passes(service: str) -> bool:
        role = f"arn:aws:iam::{cloud.account}:role/task"
        return allows(cloud, "RegisterTaskDefinitionRole", "iam:PassRole", role, **{"iam:PassedToService": service})

    assert passes("ecs-tasks.amazonaws.com")
    assert not passes("lambda.amazonaws.com")
    assert not passes("ec2.amazonaws.com")


def _progress(stage: Stage) -> dict[str, Any]:
    execution = stage.deployer.start(request_for(stage.service, image=f"{stage.service.repository}:good"))
    history = stage.deployer.states.get_execution_history(executionArn=execution["executionArn"])["events"]
    entered = (each.get("stateEnteredEventDetails", {}) for each in history)
    progress: dict[str, Any] = next(
        json.loads(each["input"])["progress"] for each in entered if each.get("name") == "UpdateService"
    )
    return progress
