"""The template, resource by resource, and where it has to agree with the functions."""

from __future__ import annotations

import importlib
import json
import re
from typing import Any

import pytest

from infra.context import LogLevel
from infra.workflow import FUNCTION_TIMEOUT, STEPS
from tests.infra.synthesis import CDK_JSON, of_type, resolve, synthesize

STATES = ["RegisterTaskDefinition", "UpdateService", "PollStability"]


@pytest.mark.parametrize("state", STATES)
def test_function(template: dict[str, Any], state: str) -> None:
    function = resolve(of_type(template, "AWS::Lambda::Function")[f"{state}Function"])
    code = function.pop("Code")
    assert code["S3Key"].endswith(".zip")
    del function["Description"], function["Handler"]
    assert function == {
        "Architectures": ["arm64"],
        "Environment": {
            "Variables": {
                "POWERTOOLS_LOG_LEVEL": "INFO",
                **({"CLAIMS": "{ClaimsMachine}"} if state == "RegisterTaskDefinition" else {}),
            }
        },
        "LoggingConfig": {"ApplicationLogLevel": "INFO", "LogFormat": "JSON", "LogGroup": f"{{{state}Logs}}"},
        "MemorySize": 1769,
        "Role": f"{{{state}Role.Arn}}",
        "Runtime": "python3.14",
        "Timeout": 60,
        "TracingConfig": {"Mode": "Active"},
    }


def test_sweep(template: dict[str, Any]) -> None:
    function = resolve(of_type(template, "AWS::Lambda::Function")["SweepLookFunction"])
    assert function["Environment"]["Variables"] == {"POWERTOOLS_LOG_LEVEL": "INFO", "MACHINE": "{WorkflowMachine}"}
    assert function["Handler"] == "ecs_deploy.sweep.handler"
    assert function["Timeout"] == 300


def test_all_functions_are_of_one_asset(template: dict[str, Any]) -> None:
    functions = of_type(template, "AWS::Lambda::Function")
    assert sorted(functions) == sorted([*(f"{state}Function" for state in STATES), "SweepLookFunction"])
    assert len({json.dumps(function["Code"]) for function in functions.values()}) == 1


@pytest.mark.parametrize(("level", "application"), [(LogLevel.DEBUG, "DEBUG"), (LogLevel.WARNING, "WARN")])
def test_lambda_lets_the_asked_log_level_through(level: LogLevel, application: str) -> None:
    for function in of_type(synthesize(CDK_JSON["context"]["targets"], level), "AWS::Lambda::Function").values():
        assert function["Environment"]["Variables"]["POWERTOOLS_LOG_LEVEL"] == level
        assert function["LoggingConfig"]["ApplicationLogLevel"] == application


def test_the_handlers_are_there(template: dict[str, Any]) -> None:
    handlers = {function["Handler"] for function in of_type(template, "AWS::Lambda::Function").values()}
    assert handlers == {"ecs_deploy.sweep.handler", *(step.handler for step in STEPS)}
    for handler in handlers:
        module, _, name = handler.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


def test_every_log_ends(template: dict[str, Any]) -> None:
    groups = of_type(template, "AWS::Logs::LogGroup")
    assert sorted(groups) == sorted([*(f"{state}Logs" for state in STATES), "SweepLookLogs", "WorkflowLogs"])
    assert {group["RetentionInDays"] for group in groups.values()} == {90}
    assert groups["WorkflowLogs"]["LogGroupName"] == "/aws/vendedlogs/states/EcsDeploy"


def test_nothing_stays_when_the_stack_goes(template: dict[str, Any]) -> None:
    assert "Retain" not in {resource.get("DeletionPolicy") for resource in template["Resources"].values()}


def test_machine(template: dict[str, Any]) -> None:
    machine = resolve(of_type(template, "AWS::StepFunctions::StateMachine")["WorkflowMachine"])
    definition = machine.pop("DefinitionString")
    assert machine == {
        "DefinitionSubstitutions": {"Partition": "aws"}
        | {f"{state}Function": f"{{{state}Function.Arn}}" for state in STATES},
        "LoggingConfiguration": {
            "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": "{WorkflowLogs.Arn}"}}],
            "IncludeExecutionData": True,
            "Level": "ALL",
        },
        "RoleArn": "{WorkflowRole.Arn}",
        "TracingConfiguration": {"Enabled": True},
    }
    assert set(re.findall(r"\$\{(\w+)\}", definition)) == set(machine["DefinitionSubstitutions"])


def test_a_task_outlives_its_function(template: dict[str, Any]) -> None:
    machine = of_type(template, "AWS::StepFunctions::StateMachine")["WorkflowMachine"]
    states = json.loads(machine["DefinitionString"])["States"]
    for state in STATES:
        assert FUNCTION_TIMEOUT < states[state]["TimeoutSeconds"] <= FUNCTION_TIMEOUT + 10


def test_dead_letters(template: dict[str, Any]) -> None:
    kept = {"MessageRetentionPeriod": 14 * 24 * 3600, "SqsManagedSseEnabled": True}
    assert of_type(template, "AWS::SQS::Queue") == {"TriggersDeadLetters": kept, "NoticesDeadLetters": kept}
    policy = of_type(template, "AWS::SQS::QueuePolicy")["TriggersDeadLettersPolicy"]
    deny, allow = resolve(policy["PolicyDocument"])["Statement"]
    assert deny["Effect"] == "Deny"
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert allow == {
        "Effect": "Allow",
        "Action": "sqs:SendMessage",
        "Principal": {"Service": "events.amazonaws.com"},
        "Resource": "{TriggersDeadLetters.Arn}",
        "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:events:us-east-1:123456789012:rule/EcsDeploy-*"}},
    }


def test_outputs(template: dict[str, Any]) -> None:
    assert {name: resolve(output["Value"]) for name, output in template["Outputs"].items()} == {
        "StateMachineArn": "{WorkflowMachine}",
        "RegisterTaskDefinitionFunction": "{RegisterTaskDefinitionFunction}",
        "UpdateServiceFunction": "{UpdateServiceFunction}",
        "PollStabilityFunction": "{PollStabilityFunction}",
        "SweepFunction": "{SweepLookFunction}",
        "DeadLetterQueueUrl": "{TriggersDeadLetters}",
        "DashboardName": "{Dashboard}",
        "NoticesTopicArn": "{NoticesTopic}",
        "NoticesDeadLetterQueueUrl": "{NoticesDeadLetters}",
    }


def test_nothing_is_bound_to_a_partition(template: dict[str, Any]) -> None:
    text = json.dumps(template["Resources"])
    assert "arn:aws" not in text
    assert "amazonaws.com/" not in text
