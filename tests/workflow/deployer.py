"""What the tests do with the stack: start executions, follow them to their ends, and read what the table keeps."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.support.chaos import forward
from tests.support.endpoint import Answer, Call, answering
from tests.workflow.conftest import Service, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cloud import Cloud

ENDED = {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}
STEPS = ("register_task_definition", "update_service", "poll_stability")
CAUSE = {"message", "reasons", "image", "digest", "revision", "replaced", "rolledBack"}
"""The members of each cause."""


class Deployer:
    """Starts and follows executions of the stack's state machine."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.states = cloud.client("stepfunctions")
        self._started: dict[str, tuple[datetime, Any]] = {}

    def begin(self, request: object, **more: str) -> str:
        """Start an execution by hand; gives its ARN."""
        started = self.states.start_execution(
            stateMachineArn=self.cloud.state_machine, input=json.dumps(request), **more
        )
        arn: str = started["executionArn"]
        return arn

    def start(self, request: object, **more: str) -> dict[str, Any]:
        """Start an execution by hand; gives it when it has ended."""
        return self.ended(self.begin(request, **more))

    def ended(self, arn: str) -> dict[str, Any]:
        """Give an execution when it has ended, its output and cause read."""

        def read() -> dict[str, Any] | None:
            execution: dict[str, Any] = self.states.describe_execution(executionArn=arn)
            return execution if execution["status"] in ENDED else None

        execution = eventually(read) or {}
        for key in ("output", "cause", "input"):
            if execution.get(key):
                execution[key] = _document(execution[key])
        return execution

    def all(self, **status: str) -> set[str]:
        """The ARNs of all executions, or of those with a `statusFilter`."""
        pages = self.states.get_paginator("list_executions").paginate(
            stateMachineArn=self.cloud.state_machine, PaginationConfig={"PageSize": 1_000}, **status
        )
        return {each["executionArn"] for page in pages for each in page["executions"]}

    def of(self, service: str, but: set[str] | None = None) -> list[str]:
        """The executions for a service, but for some, in the order of their starts."""
        wanted = [arn for arn in self.all() - (but or set()) if self._start_of(arn)[1] == service]
        return sorted(wanted, key=lambda arn: self._start_of(arn)[0])

    def _start_of(self, arn: str) -> tuple[datetime, Any]:
        """When an execution started and for which service; neither changes."""
        if arn not in self._started:
            execution = self.states.describe_execution(executionArn=arn)
            request = _document(execution["input"])
            service = request.get("service") if isinstance(request, dict) else None
            self._started[arn] = (execution["startDate"], service)
        return self._started[arn]

    @contextmanager
    def new(self, service: str, count: int = 1) -> Iterator[list[dict[str, Any]]]:
        """Gives the executions that the block starts for a service, once there are so many and they have ended."""
        before, found = self.all(), list[dict[str, Any]]()
        yield found
        started = eventually(lambda: new if len(new := self.of(service, before)) >= count else None)
        found += [self.ended(arn) for arn in started or ()]

    def entered(self, execution: str) -> list[str]:
        """The names of the states that an execution has entered."""
        pages = self.states.get_paginator("get_execution_history").paginate(executionArn=execution)
        events = [event for page in pages for event in page["events"]]
        return [each["stateEnteredEventDetails"]["name"] for each in events if "stateEnteredEventDetails" in each]

    def items(self, key: str) -> dict[str, dict[str, Any]]:
        """All that the table keeps of a service: its state and its history."""
        answer = self.cloud.client("dynamodb").query(
            TableName=self.cloud.outputs["TableName"],
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": key}},
            ConsistentRead=True,
        )
        return {item["sk"]["S"]: json.loads(item["value"]["S"]) for item in answer["Items"] if "value" in item}

    def state(self, key: str) -> dict[str, Any]:
        """The state of a service; empty where there is none."""
        return self.items(key).get("STATE", {})

    def owner(self, key: str) -> str | None:
        """The execution that deploys to a service now."""
        owner = self.state(key).get("owner")
        return owner["execution"] if owner else None

    def settled(self, key: str) -> bool:
        """Whether nothing goes on: all executions have ended, the table says how, and nothing is started again.

        The death of an execution is written down after the one that stands for it was started.
        """
        before = self.items(key)
        is_open = any(
            value["owner"] if place == "STATE" else value["result"] is None for place, value in before.items()
        )
        return not is_open and not self.all(statusFilter="RUNNING") and self.items(key) == before

    def send(self, message: object) -> None:
        """Send a message to the dispatcher's queue."""
        body = message if isinstance(message, str) else json.dumps(message)
        self.cloud.client("sqs").send_message(QueueUrl=self.cloud.outputs["QueueUrl"], MessageBody=body)

    def dispatched(self) -> bool:
        """Whether the dispatcher has handled all messages."""
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.cloud.client("sqs").get_queue_attributes(
            QueueUrl=self.cloud.outputs["QueueUrl"], AttributeNames=counts
        )["Attributes"]
        return all(found[each] == "0" for each in counts)

    def log(self, module: str) -> str:
        """All that a function has logged."""
        functions, logs = self.cloud.client("lambda"), self.cloud.client("logs")
        configuration = functions.get_function_configuration(FunctionName=self.cloud.functions[module])
        group = configuration["LoggingConfig"]["LogGroup"]
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        return "\n".join(event["message"] for page in pages for event in page["events"])

    def invoke(self, module: str, event: dict[str, Any]) -> Any:
        """Invoke a function; gives what it answers."""
        answer = self.cloud.client("lambda").invoke(
            FunctionName=self.cloud.functions[module], Payload=json.dumps(event)
        )
        return json.loads(answer["Payload"].read())

    def dead_letters(self) -> list[tuple[str, str]]:
        """Take what the dispatcher has sent to its dead-letter queue: bodies and reasons."""
        sqs, url = self.cloud.client("sqs"), self.cloud.outputs["DeadLetterQueueUrl"]
        found = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"], MaxNumberOfMessages=10)
        messages = found.get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [(each["Body"], each["MessageAttributes"]["reason"]["StringValue"]) for each in messages]

    def take(self) -> str | None:
        """Take a message from the dispatcher's queue before the dispatcher does; gives its body."""
        sqs, url = self.cloud.client("sqs"), self.cloud.outputs["QueueUrl"]
        for message in sqs.receive_message(QueueUrl=url).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return str(message["Body"])
        return None


def request_for(service: Service, **more: object) -> dict[str, Any]:
    """A request by hand."""
    return {"cluster": service.cluster, "service": service.name, **more}


@contextmanager
def elsewhere(cloud: Cloud, *modules: str, **endpoints: str) -> Iterator[None]:
    """Make the steps, or the functions of some modules, reach services at other endpoints, by the SDK's environment."""
    functions = cloud.client("lambda")
    names = [cloud.functions[module] for module in modules or STEPS]
    before = {
        name: functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"] for name in names
    }
    others = {f"AWS_ENDPOINT_URL_{service}": endpoint for service, endpoint in endpoints.items()}
    try:
        for name, variables in before.items():
            functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables | others})
        yield
    finally:
        for name, variables in before.items():
            functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


@contextmanager
def throttled(cloud: Cloud, module: str) -> Iterator[None]:
    """Let no invocation of a function begin while the block runs; the workflow tries again.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
    """
    functions, name = cloud.client("lambda"), cloud.functions[module]
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        yield
    finally:
        functions.delete_function_concurrency(FunctionName=name)


@contextmanager
def losing_events(cloud: Cloud, rule: str) -> Iterator[None]:
    """A rule of the stack, `Push`, `Ended` or `WaitsRule`, sends nothing while the block runs."""
    events = cloud.client("events")
    (name,) = {each["Name"] for each in events.list_rules()["Rules"] if re.search(f"-(Dispatch)?{rule}", each["Name"])}
    events.disable_rule(Name=name)
    try:
        yield
    finally:
        events.enable_rule(Name=name)


@contextmanager
def an_hour_later(deployer: Deployer, key: str) -> Iterator[None]:
    """What the table keeps of a service is an hour old, and for the dispatcher all images are half an hour old."""
    # A new configuration ends the invocations that run, here.
    eventually(deployer.dispatched)
    dynamodb, table = deployer.cloud.client("dynamodb"), deployer.cloud.outputs["TableName"]
    condition = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": key}}}
    for item in dynamodb.query(TableName=table, **condition)["Items"]:
        dynamodb.delete_item(TableName=table, Key={name: item[name] for name in ("pk", "sk")})
        for name in {"sk", "value"} & item.keys():
            item[name] = {"S": _MOMENT.sub(_an_hour_before, item[name]["S"])}
        dynamodb.put_item(TableName=table, Item=item)

    def answer(call: Call) -> Answer:
        status, body = forward(call, deployer.cloud.endpoint)
        document = json.loads(body)
        for image in document.get("imageDetails", ()):
            image["imagePushedAt"] -= 1_800
        return status, json.dumps(document).encode()

    with answering(answer) as endpoint, elsewhere(deployer.cloud, "dispatcher", ECR=endpoint):
        yield
        eventually(deployer.dispatched)


_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def _an_hour_before(found: re.Match[str]) -> str:
    before = datetime.fromisoformat(found[0]) - timedelta(hours=1)
    return before.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _document(text: str) -> Any:
    """Read a document; the cause that Step Functions or a person gives may be any text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
