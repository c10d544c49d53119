"""Every permission of every role is needed: it is taken away, and what then happens names the action.

The template's own test lists all statements; this one shows on the emulator, which enforces them, what each is for.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from local import images
from tests.workflow.conftest import WRITTEN, Service, eventually
from tests.workflow.deployer import Deployer, an_hour_later, losing_events, request_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cloud import Cloud

REGISTER, UPDATE, POLL = "register_task_definition", "update_service", "poll_stability"
DISPATCH, WAITS, WRITE = "dispatcher", "end_waits", "write_parameter"
STEPS = (REGISTER, UPDATE, POLL)
INDEX = "application/vnd.oci.image.index.v1+json"
FUNCTIONS = (*STEPS, DISPATCH, WAITS, WRITE)

# What the functions are given for Lambda's own sake; and what the emulator's ECS does not know.
NOT_SEEN_HERE = {
    "logs:CreateLogStream": "Lambda writes the log",
    "logs:PutLogEvents": "Lambda writes the log",
    "xray:PutTraceSegments": "Lambda sends the trace",
    "xray:PutTelemetryRecords": "Lambda sends the trace",
    "ecs:DescribeServiceDeployments": "the emulator has no service deployments",
    "ecs:DescribeServiceRevisions": "the emulator has no service deployments",
    "ecs:ContinueServiceDeployment": "no deployment of this service pauses",
    "ecs:StopServiceDeployment": "the emulator has no service deployments",
}


@dataclass
class Stage:
    """The stack, a service of it that has a history and roles, and what can be done to see a permission at work."""

    cloud: Cloud
    deployer: Deployer
    service: Service
    pushes: int = 100

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

    def settle(self) -> None:
        """Wait until nothing goes on that a function without a permission has left."""
        eventually(lambda: not self.deployer.all(statusFilter="RUNNING") and self.deployer.dispatched())
        if self.deployer.owner(self.service.key):
            self.deployer.send({"reconcile": [self.service.key]})
        eventually(lambda: self.deployer.dispatched() and self.deployer.settled(self.service.key))

    def _start(self, **more: object) -> str:
        return end_of(self.deployer.start(request_for(self.service, **more)))

    def deploy(self) -> str:
        """Deploy an image by hand; gives what a person reads of it."""
        return self._start(image=f"{self.service.repository}:good")

    def deploy_over_theirs(self) -> str:
        """Deploy on top of a person's revision, of which nobody knows what it runs; gives the log as well."""
        runs = self.service.ecs.describe_task_definition(taskDefinition=self.service.primary()["taskDefinition"])
        keys = ("family", "taskRoleArn", "executionRoleArn", "containerDefinitions")
        theirs = {key: runs["taskDefinition"][key] for key in keys}
        theirs["containerDefinitions"][0]["image"] = f"{self.cloud.registry}/{self.service.repository}:1"
        made = self.service.ecs.register_task_definition(**theirs)["taskDefinition"]["taskDefinitionArn"]
        # The emulator tells whole seconds, so that theirs could seem to be from before.
        judged = datetime.fromisoformat(self.deployer.state(self.service.key)["stable"]["at"])
        eventually(lambda: datetime.now(UTC) - judged > timedelta(seconds=1))
        self.service.update(made)
        self.service.wait_stable()
        before = len(self.deployer.log(REGISTER))
        return self.deploy() + self.deployer.log(REGISTER)[before:]

    def deploy_moved_tag(self) -> str:
        """Deploy a tag that has moved, so that what runs has none any more."""
        image = f"{self.service.repository}:moving"
        ends = []
        for _ in range(2):
            self.service.push("moving")
            ends.append(self._start(image=image))
        return ends[-1]

    def deploy_index(self) -> str:
        """Deploy an image for more than one platform."""
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": {"unique": now()}}
        self.cloud.client("ecr").put_image(
            repositoryName=self.service.repository,
            imageTag="index",
            imageManifest=json.dumps(index),
            imageManifestMediaType=INDEX,
        )
        return self._start(image=f"{self.service.repository}:index")

    def deploy_again(self) -> str:
        """Deploy it as the dispatcher does where an execution has died that may have registered a revision."""
        self.pushes += 1
        restart = {"request": f"request-{self.pushes}", "time": now()}
        return self._start(image=f"{self.service.repository}:good", restart=restart)

    def deploy_nothing(self) -> str:
        """Deploy an image that is not there."""
        return self._start(image=f"{self.service.repository}:nobody")

    def fail(self) -> str:
        """Deploy an image that crashes; gives what a person reads of it, in the end and in the log."""
        before = len(self.deployer.log(POLL))
        return self._start(image=f"{self.service.repository}:bad") + self.deployer.log(POLL)[before:]

    def _gated(self, function: str, **gates: object) -> str:
        """Deploy with gates; gives the log as well."""
        before = len(self.deployer.log(function))
        end = self._start(image=f"{self.service.repository}:good", **gates)
        return end + self.deployer.log(function)[before:]

    def migrate(self) -> str:
        return self._gated(REGISTER, before={"command": ["exit", "0"]})

    def migrate_badly(self) -> str:
        """Deploy after a task that fails."""
        return self._gated(REGISTER, before={"command": ["exit", "3"]})

    def migrate_without_end(self) -> str:
        """Deploy after a task that does not end."""
        return self._gated(REGISTER, before={"command": ["wait"], "timeout": 10})

    def smoke(self) -> str:
        """Deploy, and run a task after it."""
        return self._gated(POLL, after={"command": ["exit", "0"]})

    def smoke_without_end(self) -> str:
        """Deploy, and run a task after it that does not end."""
        return self._gated(POLL, after={"command": ["wait"], "timeout": 10})

    def reply(self) -> str:
        """Approve an execution that waits for nobody."""
        older = self.deployer.begin(request_for(self.service, image=f"{self.service.repository}:slow"))
        eventually(lambda: "WaitForRollout" in self.deployer.entered(older))
        end = self._start(approve=older)
        self._start(image=f"{self.service.repository}:good")
        return end

    def revert(self) -> str:
        return self._start(revert=True)

    def push(self) -> str:
        """Let the dispatcher have the event of a push."""
        return self._dispatch(self._lost_push())

    def miss(self) -> str:
        """Have the service reconciled, which misses a push."""
        self._lost_push()
        with an_hour_later(self.deployer, self.service.key):
            return self._dispatch({"reconcile": [self.service.key]})

    def free(self) -> str:
        """Have the service reconciled, whose execution was stopped."""
        arn = self.deployer.begin(request_for(self.service, image=f"{self.service.repository}:slow"))
        eventually(lambda: "WaitForRollout" in self.deployer.entered(arn))
        with losing_events(self.cloud, "Ended"):
            self.deployer.states.stop_execution(executionArn=arn)
        end = self._dispatch({"reconcile": [self.service.key]})
        return end if self.deployer.owner(self.service.key) else f"{end} FREE"

    def bury(self) -> str:
        """Let the dispatcher have a message that nobody can handle."""
        return self._dispatch({"source": "somebody"})

    def write(self) -> str:
        """Write the parameter of the service."""
        event = request_for(self.service, execution="by-hand", parameter=WRITTEN["parameter"], container="web")
        answer = self.deployer.invoke(WRITE, event)
        if isinstance(answer, str):
            return "DEPLOYED" if self.service.by_tag(answer) == self.service.images()[0] else answer
        return f"{answer['errorType']} {answer['errorMessage']}"

    def tell(self) -> str:
        """Let the function that ends waits have an event of the service."""
        detail = {"eventName": "SERVICE_DEPLOYMENT_COMPLETED"}
        event = {"id": "told", "detail-type": "ECS Deployment State Change", "time": now(), "detail": detail}
        answer = self.deployer.invoke(WAITS, {**event, "resources": [self.service.describe()["serviceArn"]]})
        return f"{answer['errorType']} {answer['errorMessage']}" if answer else "DEPLOYED"

    def take_over(self) -> str:
        """Deploy while an older execution deploys."""
        older = self.deployer.begin(request_for(self.service, image=f"{self.service.repository}:slow"))
        eventually(lambda: "WaitForRollout" in self.deployer.entered(older))
        return self.deploy()

    def deploy_unheard(self) -> str:
        """Deploy while no event of ECS arrives."""
        with losing_events(self.cloud, "WaitsRule"):
            return self.deploy()

    def give_up(self) -> str:
        """Deploy by a function that may not update the service."""
        with self.without(UPDATE, "ecs:UpdateService"):
            return self.deploy()

    def leave_token(self) -> None:
        """Let somebody have waited whose wait is over."""
        self.cloud.client("dynamodb").update_item(
            TableName=self.cloud.outputs["TableName"],
            Key={"pk": {"S": self.service.key}, "sk": {"S": "WAIT"}},
            UpdateExpression="SET someone = :token",
            ExpressionAttributeValues={":token": {"S": "a token"}},
        )

    def _lost_push(self) -> dict[str, Any]:
        """Push an image whose event does not come; gives the event."""
        self.pushes += 1
        with losing_events(self.cloud, "Push"):
            pushed = images.push(self.cloud.client("ecr"), self.service.repository, f"v{self.pushes}")
        detail = {"action-type": "PUSH", "result": "SUCCESS", "repository-name": pushed.repository}
        return {
            "source": "aws.ecr",
            "detail-type": "ECR Image Action",
            "account": self.cloud.account,
            "region": self.cloud.region,
            "id": f"event-{self.pushes}",
            "time": now(),
            "detail": {**detail, "image-tag": pushed.tag, "image-digest": pushed.digest},
        }

    def _dispatch(self, message: dict[str, Any]) -> str:
        """Let the dispatcher handle a message that comes for the last time.

        Gives what it answers, how what it starts ends, and why the message is among the dead letters.
        """
        before, body = self.deployer.all(), json.dumps(message)
        record = {"messageId": "one", "body": body, "attributes": {"ApproximateReceiveCount": "20"}}
        answer = self.deployer.invoke(DISPATCH, {"Records": [record]})
        ends = [end_of(self.deployer.ended(arn)) for arn in self.deployer.of(self.service.name, before)]
        reasons = [reason for text, reason in self.deployer.dead_letters() if text == body]
        return " ".join([json.dumps(answer), *ends, *reasons])


def actions(statement: dict[str, Any]) -> list[str]:
    allowed = statement["Action"]
    return [allowed] if isinstance(allowed, str) else allowed


def is_meant(statement: dict[str, Any], action: str, condition: str) -> bool:
    keys = {key for operator in statement.get("Condition", {}).values() for key in operator}
    return action in actions(statement) and (not condition or condition in keys)


def end_of(execution: dict[str, Any]) -> str:
    """The error and the cause of an execution, or its outcome."""
    return json.dumps([execution.get(key) for key in ("error", "cause", "output")])


def now() -> str:
    return datetime.now(UTC).isoformat()


# Without the action the execution, or the function, ends with what it may not do.
ENDS = [
    (REGISTER, "ecs:DescribeServices", "", Stage.deploy),
    (REGISTER, "ecs:DescribeTaskDefinition", "", Stage.deploy),
    (REGISTER, "ecr:DescribeImages", "", Stage.deploy),
    (REGISTER, "ecr:DescribePullThroughCacheRules", "", Stage.deploy_nothing),
    (REGISTER, "ecr:BatchGetImage", "", Stage.deploy_index),
    (REGISTER, "ecs:RegisterTaskDefinition", "", Stage.deploy),
    (REGISTER, "ecs:TagResource", "ecs:CreateAction", Stage.deploy),
    (REGISTER, "iam:PassRole", "iam:PassedToService", Stage.deploy),
    (REGISTER, "dynamodb:GetItem", "", Stage.deploy),
    (REGISTER, "dynamodb:PutItem", "", Stage.deploy),
    (REGISTER, "dynamodb:Query", "", Stage.revert),
    (REGISTER, "ecs:ListTaskDefinitions", "", Stage.deploy_again),
    (REGISTER, "ecs:RunTask", "", Stage.migrate),
    (REGISTER, "ecs:StopTask", "", Stage.migrate_without_end),
    (REGISTER, "ecs:ListServiceDeployments", "", Stage.reply),
    (UPDATE, "ecs:DescribeServices", "", Stage.deploy),
    (UPDATE, "ecs:UpdateService", "", Stage.deploy),
    (UPDATE, "iam:PassRole", "iam:PassedToService", Stage.deploy),
    (UPDATE, "dynamodb:GetItem", "", Stage.deploy),
    (UPDATE, "dynamodb:PutItem", "", Stage.deploy),
    (POLL, "ecs:DescribeServices", "", Stage.deploy),
    (POLL, "dynamodb:GetItem", "", Stage.deploy),
    (POLL, "dynamodb:PutItem", "", Stage.deploy),
    (DISPATCH, "ecr:BatchGetImage", "", Stage.push),
    (DISPATCH, "states:StartExecution", "", Stage.push),
    (DISPATCH, "states:DescribeExecution", "", Stage.free),
    (DISPATCH, "dynamodb:PutItem", "", Stage.free),
    (DISPATCH, "dynamodb:GetItem", "", Stage.miss),
    (DISPATCH, "dynamodb:Query", "", Stage.miss),
    (DISPATCH, "ecs:DescribeServices", "", Stage.miss),
    (DISPATCH, "ecs:DescribeTaskDefinition", "", Stage.miss),
    (DISPATCH, "ecr:DescribeImages", "", Stage.miss),
    (DISPATCH, "sqs:SendMessage", "", Stage.bury),
    (WAITS, "dynamodb:UpdateItem", "", Stage.tell),
    (WAITS, "states:SendTaskSuccess", "", Stage.tell),
    (WRITE, "ecs:DescribeServices", "", Stage.write),
    (WRITE, "ecs:DescribeTaskDefinition", "", Stage.write),
    (WRITE, "ssm:PutParameter", "", Stage.write),
]
# Without it the verdict stands, and so does the return; but the explanation, or the log, says what could not be done.
GOES_ON = [
    (POLL, "ecs:ListTasks", "", Stage.fail),
    (POLL, "ecs:DescribeTasks", "", Stage.fail),
    (POLL, "ecs:ListServiceDeployments", "", Stage.fail),
    (POLL, "ecs:DescribeTaskDefinition", "", Stage.fail),
    (POLL, "ecs:DeregisterTaskDefinition", "", Stage.fail),
    (POLL, "logs:GetLogEvents", "", Stage.fail),
    (POLL, "ecs:RunTask", "", Stage.smoke),
    (POLL, "iam:PassRole", "iam:PassedToService", Stage.smoke),
    (POLL, "ecs:StopTask", "", Stage.smoke_without_end),
]
# Without it nothing was deployed anyway; but the reason, or the log, says what could not be done.
TOLD = [
    (REGISTER, "logs:GetLogEvents", "", Stage.migrate_badly),
    (REGISTER, "ecs:DeregisterTaskDefinition", "", Stage.migrate_badly),
]
# Without it something stays unknown, and the outcome or the log says so.
UNKNOWN = [
    (REGISTER, "ecr:GetLifecyclePolicy", "", Stage.deploy_moved_tag),
    (REGISTER, "ecs:ListTasks", "", Stage.deploy_over_theirs),
    (REGISTER, "ecs:DescribeTasks", "", Stage.deploy_over_theirs),
]
# Without these the change of the owner stands, and who waits is woken by time; the log says so.
WAKES = [
    (REGISTER, Stage.take_over, "DEPLOYED"),
    (UPDATE, Stage.give_up, "AccessDenied"),
    (POLL, Stage.deploy_unheard, "DEPLOYED"),
    (DISPATCH, Stage.free, "FREE"),
]
TO_WAKE = ("dynamodb:UpdateItem", "states:SendTaskSuccess")
# Without it the function gets no message.
NOTHING_ARRIVES = [
    (DISPATCH, "sqs:ReceiveMessage", ""),
    (DISPATCH, "sqs:DeleteMessage", ""),
    (DISPATCH, "sqs:GetQueueAttributes", ""),
]
WITH_ALL = {
    "deploy_nothing": "ImageNotFound",
    "fail": '"rolledBack": true',
    "free": "FREE",
    "migrate_badly": "DeploymentFailed",
    "migrate_without_end": "DeploymentFailed",
    "smoke_without_end": '"rolledBack": true',
    "reply": "InvalidRequest",
    "bury": "KeyError: ",
}
"""What is to be read of an act that nothing is missing for, where it is not a deployment."""


@pytest.fixture(scope="module")
def prepared(cloud: Cloud, written: Service) -> Stage:
    """A service with roles and a log, to which an image was deployed."""
    service = written
    service.push("good")
    service.push("bad", "crash")
    service.push("slow", "hang")
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


@pytest.fixture
def stage(prepared: Stage) -> Iterator[Stage]:
    """The stage, on which nothing is left to go on."""
    yield prepared
    prepared.settle()


@pytest.mark.parametrize(
    ("function", "action", "condition", "act"), ENDS, ids=lambda value: getattr(value, "__name__", value)
)
def test_without_it_the_end_says_so(
    stage: Stage, function: str, action: str, condition: str, act: Callable[[Stage], str]
) -> None:
    stage.leave_token()
    with stage.without(function, action, condition):
        end = act(stage)
    assert f"may not call {action}" in end
    assert stage.policy(function)[0] in end
    assert function not in STEPS or end.startswith('["AccessDenied"')


@pytest.mark.parametrize(
    ("function", "action", "condition", "act"), GOES_ON, ids=lambda value: getattr(value, "__name__", value)
)
def test_without_it_the_return_goes_on(
    stage: Stage, function: str, action: str, condition: str, act: Callable[[Stage], str]
) -> None:
    stable = stage.deployer.state(stage.service.key)["stable"]["revision"]
    with stage.without(function, action, condition):
        end = act(stage)
    assert '"rolledBack": true' in end
    assert f"may not call {action}" in end
    assert stage.service.primary()["taskDefinition"] == stable


@pytest.mark.parametrize(
    ("function", "action", "condition", "act"), UNKNOWN, ids=lambda value: getattr(value, "__name__", value)
)
def test_without_it_the_deployment_goes_on(
    stage: Stage, function: str, action: str, condition: str, act: Callable[[Stage], str]
) -> None:
    with stage.without(function, action, condition):
        end = act(stage)
    assert "DEPLOYED" in end
    assert f"may not call {action}" in end


@pytest.mark.parametrize(("function", "action", "condition", "act"), TOLD)
def test_without_it_the_reason_says_so(
    stage: Stage, function: str, action: str, condition: str, act: Callable[[Stage], str]
) -> None:
    with stage.without(function, action, condition):
        end = act(stage)
    assert end.startswith('["DeploymentFailed"')
    assert f"may not call {action}" in end


@pytest.mark.parametrize("action", TO_WAKE)
@pytest.mark.parametrize(("function", "act", "expected"), WAKES, ids=lambda value: getattr(value, "__name__", value))
def test_without_it_nobody_is_woken(
    stage: Stage, function: str, act: Callable[[Stage], str], expected: str, action: str
) -> None:
    before = len(stage.deployer.log(function))
    with stage.without(function, action):
        stage.leave_token()
        assert expected in act(stage)
    log = stage.deployer.log(function)[before:]
    assert "Who waits could not be woken" in log
    assert f"may not call {action}" in log


@pytest.mark.parametrize(("function", "action", "condition"), NOTHING_ARRIVES)
def test_without_it_nothing_arrives(stage: Stage, function: str, action: str, condition: str) -> None:
    with stage.without(function, action, condition):
        stage.deployer.send("anything")
        assert eventually(stage.deployer.take) == "anything"


@pytest.mark.parametrize("act", dict.fromkeys(case[3] for case in [*ENDS, *GOES_ON, *TOLD, *UNKNOWN]))
def test_with_all_of_them_it_works(stage: Stage, act: Callable[[Stage], str]) -> None:
    end = act(stage)
    assert "may not call" not in end
    assert WITH_ALL.get(act.__name__, "DEPLOYED") in end


def test_every_permission_of_every_function_is_among_them(stage: Stage) -> None:
    tried = {case[:3] for case in [*ENDS, *GOES_ON, *TOLD, *UNKNOWN, *NOTHING_ARRIVES]}
    tried |= {(function, action, "") for function, *_ in WAKES for action in TO_WAKE}
    given = {
        (function, action, key)
        for function in FUNCTIONS
        for statement in stage.policy(function)[1]["Statement"]
        for action in actions(statement)
        for key in [next((key for operator in statement.get("Condition", {}).values() for key in operator), "")]
    }
    by_cluster = ("ecs:ListTasks", "ecs:DescribeTasks", "ecs:RunTask", "ecs:StopTask")
    cluster = {(function, action, "ecs:cluster") for function in (REGISTER, POLL) for action in by_cluster}
    assert {(*each[:2], "") if each in cluster else each for each in given if each[1] not in NOT_SEEN_HERE} == tried
    assert {action for _, action, _ in given} >= set(NOT_SEEN_HERE)


def test_what_is_refused_after_its_turn_stays_refused(stage: Stage) -> None:
    before = stage.deployer.all()
    with stage.without(REGISTER, "ecs:RegisterTaskDefinition"):
        assert "Nothing was changed" in stage.deploy()
    stage.settle()
    assert len(stage.deployer.of(stage.service.name, before)) == 1


def test_a_service_outside_of_the_targets_cannot_be_touched(
    stage: Stage, create_service: Callable[..., Service]
) -> None:
    other = create_service()
    before = other.describe()["deployments"]
    end = end_of(stage.deployer.start(request_for(other, image=f"{other.repository}:1")))
    assert "may not call ecs:DescribeServices" in end
    assert other.describe()["deployments"] == before
    # Nor by the function that updates, were it told to.
    services = f"arn:aws:ecs:{stage.cloud.region}:{stage.cloud.account}:service"
    assert allows(stage.cloud, "UpdateServiceRole", "ecs:UpdateService", f"{services}/{stage.service.key}")
    assert not allows(stage.cloud, "UpdateServiceRole", "ecs:UpdateService", f"{services}/{other.key}")


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


def test_the_state_machine_may_describe_the_targets_and_no_other_service(stage: Stage) -> None:
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
    assert not allows(cloud, "WorkflowRole", "lambda:InvokeFunction", f"{function}{cloud.functions[DISPATCH]}")
    assert not allows(cloud, "WorkflowRole", "lambda:InvokeFunction", f"{function}another")
    bus = f"arn:aws:events:{cloud.region}:{cloud.account}:event-bus/"
    assert allows(cloud, "WorkflowRole", "events:PutEvents", f"{bus}default", **{"events:source": "ecs-deploy"})
    assert not allows(cloud, "WorkflowRole", "events:PutEvents", f"{bus}default", **{"events:source": "mine"})
    assert not allows(cloud, "WorkflowRole", "events:PutEvents", f"{bus}another", **{"events:source": "ecs-deploy"})
    assert not allows(cloud, "WorkflowRole", "states:StartExecution", cloud.state_machine)


def test_the_schedules_may_send_to_the_queue_and_do_nothing_else(cloud: Cloud) -> None:
    sqs = cloud.client("sqs")
    queue, dead_letters = (
        sqs.get_queue_attributes(QueueUrl=cloud.outputs[name], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for name in ("QueueUrl", "DeadLetterQueueUrl")
    )
    assert allows(cloud, "DispatchRole", "sqs:SendMessage", queue)
    assert not allows(cloud, "DispatchRole", "sqs:SendMessage", dead_letters)
    assert not allows(cloud, "DispatchRole", "sqs:ReceiveMessage", queue)
    assert not allows(cloud, "DispatchRole", "states:StartExecution", cloud.state_machine)


def test_only_roles_of_tasks_are_passed(cloud: Cloud) -> None:
    def passes(role: str, service: str) -> bool:
        passed = f"arn:aws:iam::{cloud.account}:role/task"
        return allows(cloud, role, "iam:PassRole", passed, **{"iam:PassedToService": service})

    for role in ("RegisterTaskDefinitionRole", "UpdateServiceRole"):
        assert passes(role, "ecs-tasks.amazonaws.com")
        assert not passes(role, "lambda.amazonaws.com")
        assert not passes(role, "ec2.amazonaws.com")
