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
FUNCTIONS = [*STATES, "Dispatcher", "WaitsEnd"]
DISPATCHER = {"MACHINE": "{WorkflowMachine}", "DEAD_LETTERS": "{DispatchDeadLetters}", "QUEUE": "{DispatchQueue}"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(template: dict[str, Any], name: str) -> None:
    function = resolve(of_type(template, "AWS::Lambda::Function")[f"{name}Function"])
    code = function.pop("Code")
    assert code["S3Key"].endswith(".zip")
    del function["Description"], function["Handler"]
    assert function == {
        "Architectures": ["arm64"],
        "Environment": {
            "Variables": {
                "POWERTOOLS_LOG_LEVEL": "INFO",
                "TABLE": "{Table}",
                **(DISPATCHER if name == "Dispatcher" else {}),
            }
        },
        "LoggingConfig": {"ApplicationLogLevel": "INFO", "LogFormat": "JSON", "LogGroup": f"{{{name}Logs}}"},
        "MemorySize": 1769,
        "Role": f"{{{name}Role.Arn}}",
        "Runtime": "python3.14",
        "Timeout": 60,
        "TracingConfig": {"Mode": "Active"},
    }


def test_all_functions_are_of_one_asset(template: dict[str, Any]) -> None:
    functions = of_type(template, "AWS::Lambda::Function")
    assert sorted(functions) == sorted(f"{name}Function" for name in FUNCTIONS)
    assert len({json.dumps(function["Code"]) for function in functions.values()}) == 1


@pytest.mark.parametrize(
    ("level", "application"),
    [(LogLevel.DEBUG, "DEBUG"), (LogLevel.INFO, "INFO"), (LogLevel.WARNING, "INFO"), (LogLevel.ERROR, "INFO")],
)
def test_lambda_lets_the_asked_log_level_through_and_always_the_metrics(level: LogLevel, application: str) -> None:
    for function in of_type(synthesize(CDK_JSON["context"]["targets"], level), "AWS::Lambda::Function").values():
        assert function["Environment"]["Variables"]["POWERTOOLS_LOG_LEVEL"] == level
        assert function["LoggingConfig"]["ApplicationLogLevel"] == application


def test_the_handlers_are_there() -> None:
    target = {"repository": "doorman", "cluster": "production1", "service": "doorman", "parameter": "/doorman/image"}
    functions = of_type(synthesize([target]), "AWS::Lambda::Function").values()
    handlers = {function["Handler"] for function in functions}
    modules = {"dispatcher", "end_waits", "write_parameter", *(step.module for step in STEPS)}
    assert handlers == {f"ecs_deploy.handlers.{module}.handler" for module in modules}
    for handler in handlers:
        module, _, name = handler.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


def test_every_log_ends(template: dict[str, Any]) -> None:
    groups = of_type(template, "AWS::Logs::LogGroup")
    assert sorted(groups) == sorted(f"{name}Logs" for name in (*FUNCTIONS, "Workflow"))
    assert {group["RetentionInDays"] for group in groups.values()} == {90}
    assert groups["WorkflowLogs"]["LogGroupName"] == "/aws/vendedlogs/states/EcsDeploy"


def test_the_table(template: dict[str, Any]) -> None:
    assert list(of_type(template, "AWS::DynamoDB::Table").values()) == [
        {
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        }
    ]


@pytest.mark.parametrize("policy", ["DeletionPolicy", "UpdateReplacePolicy"])
def test_the_table_alone_stays_when_the_stack_goes(template: dict[str, Any], policy: str) -> None:
    kept = [each["Type"] for each in template["Resources"].values() if each.get(policy) == "Retain"]
    assert kept == ["AWS::DynamoDB::Table"]


def test_machine(template: dict[str, Any]) -> None:
    machine = resolve(of_type(template, "AWS::StepFunctions::StateMachine")["WorkflowMachine"])
    definition = machine.pop("DefinitionString")
    assert machine == {
        "DefinitionSubstitutions": {"Partition": "aws", "Table": "{Table}"}
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


def test_outputs(template: dict[str, Any]) -> None:
    assert {name: resolve(output["Value"]) for name, output in template["Outputs"].items()} == {
        "StateMachineArn": "{WorkflowMachine}",
        "RegisterTaskDefinitionFunction": "{RegisterTaskDefinitionFunction}",
        "UpdateServiceFunction": "{UpdateServiceFunction}",
        "PollStabilityFunction": "{PollStabilityFunction}",
        "DispatcherFunction": "{DispatcherFunction}",
        "WaitsFunction": "{WaitsEndFunction}",
        "TableName": "{Table}",
        "QueueUrl": "{DispatchQueue}",
        "DeadLetterQueueUrl": "{DispatchDeadLetters}",
        "DashboardName": "{Dashboard}",
        "NotificationsTopicArn": "{NotificationsTopic}",
        "NotificationsDeadLetterQueueUrl": "{NotificationsDeadLetters}",
    }


def test_nothing_is_bound_to_a_partition(template: dict[str, Any]) -> None:
    text = json.dumps(template["Resources"])
    assert "arn:aws" not in text
    assert "amazonaws.com/" not in text
