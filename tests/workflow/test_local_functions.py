"""The emulator's Lambda and Step Functions, as AWS documents them.

https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
https://docs.aws.amazon.com/step-functions/latest/dg/statemachine-structure.html
https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.emulator.stepfunctions import spread_retries
from tests.workflow.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cloud import Cloud

HANDLER = '''
import json, os, time

class TooEarly(Exception):
    """Asks to be called again."""

class NeverMind(Exception):
    """Asks to be caught."""

def main(event, context):
    print(json.dumps({"level": "INFO", "message": "called"}))
    time.sleep(event.get("sleep", 0))
    if event.get("attempt") == 0:
        raise TooEarly("once more")
    if event.get("give up"):
        raise NeverMind("leave it")
    return {"arn": context.invoked_function_arn, "environment": dict(os.environ)}
'''

RETRY = [{"ErrorEquals": ["TooEarly"], "IntervalSeconds": 1, "MaxAttempts": 1}]
CATCH = [
    {
        "ErrorEquals": ["NeverMind"],
        "Next": "GivenUp",
        "Assign": {"why": "{% $parse($states.errorOutput.Cause).errorMessage %}"},
    }
]


@pytest.fixture(scope="module")
def role(cloud: Cloud) -> str:
    trusted = {"Effect": "Allow", "Principal": {"Service": ["lambda.amazonaws.com"]}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trusted]})
    arn: str = cloud.client("iam").create_role(RoleName="tests", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    return arn


@pytest.fixture(scope="module")
def function(cloud: Cloud, role: str) -> str:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", HANDLER)
    arn: str = cloud.client("lambda").create_function(
        FunctionName="tests",
        Runtime="python3.13",
        Handler="handler.main",
        Role=role,
        Code={"ZipFile": code.getvalue()},
        Timeout=60,
    )["FunctionArn"]
    return arn


@pytest.fixture
def machine(cloud: Cloud, role: str, numbers: Iterator[int]) -> Callable[..., str]:
    """Make a state machine of some states; gives its ARN."""

    def create(states: dict[str, Any], **more: Any) -> str:
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **more}
        answer = cloud.client("stepfunctions").create_state_machine(
            name=f"tests-{next(numbers)}", definition=json.dumps(definition), roleArn=role
        )
        arn: str = answer["stateMachineArn"]
        return arn

    return create


def start(cloud: Cloud, machine: str, document: dict[str, Any], **options: str) -> str:
    arn: str = cloud.client("stepfunctions").start_execution(
        stateMachineArn=machine, input=json.dumps(document), **options
    )["executionArn"]
    return arn


def result(cloud: Cloud, execution: str) -> dict[str, Any]:
    states = cloud.client("stepfunctions")

    def ended() -> dict[str, Any] | None:
        described: dict[str, Any] = states.describe_execution(executionArn=execution)
        return described if described["status"] != "RUNNING" else None

    return eventually(ended) or {}


def invoke(cloud: Cloud, function: str, document: dict[str, Any]) -> dict[str, Any]:
    answer = cloud.client("lambda").invoke(FunctionName=function, Payload=json.dumps(document))
    payload: dict[str, Any] = json.load(answer["Payload"])
    return payload


def test_an_exception_reads_as_on_aws(cloud: Cloud, function: str) -> None:
    payload = invoke(cloud, function, {"give up": True})
    assert (payload["errorType"], payload["errorMessage"]) == ("NeverMind", "leave it")
    assert "in main" in payload["stackTrace"][0]


def test_retry_and_catch_go_by_the_name_of_the_exception(
    cloud: Cloud, function: str, machine: Callable[..., str]
) -> None:
    arguments = {
        "FunctionName": function,
        "Payload": "{% $merge([$states.input, {'attempt': $states.context.State.RetryCount}]) %}",
    }
    arn = machine(
        {
            "Call": {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke",
                "Arguments": arguments,
                "Output": "{% $states.result.Payload.arn %}",
                "Retry": RETRY,
                "Catch": CATCH,
                "End": True,
            },
            "GivenUp": {"Type": "Fail", "Error": "{% 'Given' & 'Up' %}", "Cause": "{% $why %}"},
        }
    )
    good, bad = start(cloud, arn, {}), start(cloud, arn, {"give up": True})
    assert json.loads(result(cloud, good)["output"]) == function
    failed = result(cloud, bad)
    assert (failed["error"], failed["cause"]) == ("GivenUp", "leave it")


def test_functions_see_lambda_and_not_the_caller_or_the_emulator(cloud: Cloud, function: str) -> None:
    environment = invoke(cloud, function, {})["environment"]
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "tests"
    assert environment["AWS_ENDPOINT_URL"] == cloud.endpoint
    assert environment["AWS_REGION"] == cloud.region
    assert not {"LOG_LEVEL", "SFN_WAIT_SCALE", "VIRTUAL_ENV", "PYTHONPATH"} & environment.keys()


def test_functions_may_do_what_their_role_allows(cloud: Cloud, function: str, role: str) -> None:
    environment = invoke(cloud, function, {})["environment"]
    own: Any = boto3.Session(
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
        environment["AWS_SESSION_TOKEN"],
        region_name=cloud.region,
    )
    assert own.client("sts", endpoint_url=cloud.endpoint).get_caller_identity()["Arn"].endswith("role/tests/tests")
    resource = f"arn:aws:ecs:{cloud.region}:{cloud.account}:service/production1/doorman-*"
    allowed = {"Effect": "Allow", "Action": "ecs:DescribeServices", "Resource": resource}
    cluster = {"ArnEquals": {"ecs:cluster": f"arn:aws:ecs:{cloud.region}:{cloud.account}:cluster/production1"}}
    listed = {"Effect": "Allow", "Action": "ecs:ListTasks", "Resource": "*", "Condition": cluster}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed, listed]})
    cloud.client("iam").put_role_policy(RoleName="tests", PolicyName="tests", PolicyDocument=policy)
    cloud.client("ecs").create_cluster(clusterName="production1")
    ecs = own.client("ecs", endpoint_url=cloud.endpoint)
    assert ecs.describe_services(cluster="production1", services=["doorman-service"])["failures"]
    assert "taskArns" in ecs.list_tasks(cluster="production1")
    with pytest.raises(ClientError, match="AccessDenied"):
        ecs.list_tasks(cluster="other")
    with pytest.raises(ClientError, match="AccessDenied"):
        ecs.describe_services(cluster="production1", services=["other"])
    with pytest.raises(ClientError, match="AccessDenied"):
        ecs.update_service(cluster="production1", service="doorman-service")


def test_a_new_configuration_takes_effect_on_the_next_invocation(cloud: Cloud, function: str) -> None:
    variables = {"AWS_ENDPOINT_URL_ECS": "http://127.0.0.1:1"}
    functions = cloud.client("lambda")
    invoke(cloud, function, {})
    functions.update_function_configuration(FunctionName="tests", Environment={"Variables": variables})
    eventually(lambda: functions.get_function_configuration(FunctionName="tests")["LastUpdateStatus"] == "Successful")
    assert variables.items() <= invoke(cloud, function, {})["environment"].items()


def test_functions_log_to_cloudwatch(cloud: Cloud, function: str) -> None:
    invoke(cloud, function, {})
    events = cloud.client("logs").filter_log_events(logGroupName="/aws/lambda/tests")["events"]
    assert {"level": "INFO", "message": "called"} in [
        json.loads(event["message"]) for event in events if event["message"].startswith("{")
    ]


def test_executions_run_side_by_side(cloud: Cloud, function: str, machine: Callable[..., str]) -> None:
    call = {"Type": "Task", "Resource": function, "Output": "{% $states.result.arn %}", "End": True}
    arn = machine({"Call": call})
    executions = [start(cloud, arn, {"number": number}) for number in range(6)]
    assert {result(cloud, one)["status"] for one in executions} == {"SUCCEEDED"}


def test_an_execution_that_runs_is_started_once(cloud: Cloud, machine: Callable[..., str]) -> None:
    states = cloud.client("stepfunctions")
    arn = machine({"Wait": {"Type": "Wait", "Seconds": "{% $states.input.seconds %}", "End": True}})
    first = start(cloud, arn, {"seconds": 600}, name="one")
    assert start(cloud, arn, {"seconds": 600}, name="one") == first
    with pytest.raises(states.exceptions.ExecutionAlreadyExists):
        start(cloud, arn, {"seconds": 601}, name="one")
    states.stop_execution(executionArn=first)
    with pytest.raises(states.exceptions.ExecutionAlreadyExists):
        start(cloud, arn, {"seconds": 600}, name="one")


@pytest.mark.parametrize("name", ["a/b", "a:b", "a b", "a,b", 'a"b', "a\\b", "a\nb", "a\x7fb"])
def test_a_name_of_an_execution_is_one_that_aws_takes(cloud: Cloud, machine: Callable[..., str], name: str) -> None:
    states = cloud.client("stepfunctions")
    arn = machine({"End": {"Type": "Succeed"}})
    with pytest.raises(states.exceptions.InvalidName):
        start(cloud, arn, {}, name=name)
    assert start(cloud, arn, {}, name="Push.1-2_3+é@=()!'").endswith(":Push.1-2_3+é@=()!'")


@pytest.fixture
def ends(cloud: Cloud, numbers: Iterator[int]) -> Callable[[str], list[dict[str, Any]]]:
    """Keep the events that say how executions end; gives those of one."""
    name = f"ends-{next(numbers)}"
    sqs, events = cloud.client("sqs"), cloud.client("events")
    arn = f"arn:aws:sqs:{cloud.region}:{cloud.account}:{name}"
    allowed = {"Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **allowed}]})
    url = sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]
    status = ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
    pattern = {"source": ["aws.states"], "detail-type": ["Step Functions Execution Status Change"]}
    events.put_rule(Name=name, EventPattern=json.dumps({**pattern, "detail": {"status": status}}))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    kept: list[dict[str, Any]] = []

    def ends_of(execution: str) -> list[dict[str, Any]]:
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                kept.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [event["detail"] for event in kept if event["resources"] == [execution]]

    return ends_of


SLOW = {"Type": "Wait", "Seconds": 60, "End": True}


def test_each_end_of_an_execution_is_one_event(
    cloud: Cloud, machine: Callable[..., str], ends: Callable[[str], list[dict[str, Any]]]
) -> None:
    good = start(cloud, machine({"End": {"Type": "Succeed", "Output": {"done": True}}}), {"a": 1})
    bad = start(cloud, machine({"End": {"Type": "Fail", "Error": "Bad", "Cause": "it is"}}), {})
    late = start(cloud, machine({"Wait": SLOW}, TimeoutSeconds=1), {})
    for execution, status in ((good, "SUCCEEDED"), (bad, "FAILED"), (late, "TIMED_OUT")):
        described = result(cloud, execution)
        (detail,) = eventually(lambda execution=execution: ends(execution))  # type: ignore[misc]
        assert described["status"] == detail["status"] == status
        for name in ("executionArn", "stateMachineArn", "name", "input"):
            assert detail[name] == described[name]
        assert detail["stopDate"] == round(described["stopDate"].timestamp() * 1000)
    assert ends(good)[0] | {"output": '{"done": true}', "error": None, "cause": None} == ends(good)[0]
    assert ends(good)[0]["inputDetails"] == ends(good)[0]["outputDetails"] == {"included": True}
    assert ends(bad)[0] | {"output": None, "error": "Bad", "cause": "it is"} == ends(bad)[0]
    assert ends(late)[0] | {"output": None, "error": None, "cause": None} == ends(late)[0]
    assert not {"error", "cause", "output"} & result(cloud, late).keys()
    assert timedelta(seconds=0.9) < lasted(result(cloud, late)) < timedelta(seconds=2)


def lasted(execution: dict[str, Any]) -> timedelta:
    duration: timedelta = execution["stopDate"] - execution["startDate"]
    return duration


def test_what_was_stopped_stays_stopped_whatever_its_state_does(
    cloud: Cloud, function: str, machine: Callable[..., str], ends: Callable[[str], list[dict[str, Any]]]
) -> None:
    states = cloud.client("stepfunctions")
    call = {"Type": "Task", "Resource": function, "Arguments": {"give up": True, "sleep": 1}, "End": True}
    arn = start(cloud, machine({"Call": call}), {})

    def types() -> list[str]:
        return [event["type"] for event in states.get_execution_history(executionArn=arn)["events"]]

    eventually(lambda: "TaskStateEntered" in types())
    states.stop_execution(executionArn=arn, error="Enough", cause="a person said so")
    before = types()
    time.sleep(2)
    assert types() == before
    assert before[-1] == "ExecutionAborted"
    described = states.describe_execution(executionArn=arn)
    assert (described["status"], described["cause"]) == ("ABORTED", "a person said so")
    assert [detail["status"] for detail in ends(arn)] == ["ABORTED"]


def test_the_delays_of_retries_are_drawn_where_the_jitter_says_so() -> None:
    retrier = {"IntervalSeconds": 1, "BackoffRate": 2, "MaxDelaySeconds": 60, "JitterStrategy": "FULL"}
    find = spread_retries(lambda retriers, _error, _counts: (retriers[0], 0))
    for count, longest in ((0, 1), (3, 8), (50, 60)):
        drawn = [find([retrier], "AwsUnavailable", {0: count})[0] for _ in range(100)]
        delays = [each["IntervalSeconds"] * each["BackoffRate"] ** count for each in drawn]
        assert 0 <= min(delays) < longest / 2 < max(delays) <= longest
    assert find([{"IntervalSeconds": 5}], "AwsUnavailable", {0: 3}) == ({"IntervalSeconds": 5}, 0)


def test_a_state_machine_waits_for_another(cloud: Cloud, machine: Callable[..., str]) -> None:
    context = "{% {'name': $states.context.Execution.Name, 'start': $states.context.Execution.StartTime} %}"
    inner = machine({"Say": {"Type": "Pass", "Output": context, "End": True}})
    outer = machine(
        {
            "Run": {
                "Type": "Task",
                "Resource": "arn:aws:states:::states:startExecution.sync:2",
                "Arguments": {"StateMachineArn": inner, "Input": {}},
                "Assign": {"inner": "{% $states.result.Output.name %}"},
                "Output": "{% $states.result.Output.start %}",
                "Next": "End",
            },
            "End": {"Type": "Succeed", "Output": "{% {'inner': $inner, 'start': $states.input} %}"},
        }
    )
    output = json.loads(result(cloud, start(cloud, outer, {}))["output"])
    assert output["inner"]
    assert output["start"].endswith("Z")
