"""The other origins: how a stack of somebody else starts the machine, on a schedule or as a step of a workflow."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack, assertions
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as scheduler_targets
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks

from tests.infra.synthesis import CDK_JSON, of_type, resolve

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:WorkflowMachine"
REQUEST = {"cluster": "production1", "service": "doorman-service", "image": "doorman:nightly"}


class Origins(Stack):
    """Starts the machine by its ARN, the output StateMachineArn of the stack EcsDeploy."""

    def __init__(self, scope: App) -> None:
        super().__init__(scope, "Origins", env=Environment(account="123456789012", region="us-east-1"))
        machine = sfn.StateMachine.from_state_machine_arn(self, "EcsDeploy", MACHINE)
        scheduler.Schedule(
            self,
            "Nightly",
            schedule=scheduler.ScheduleExpression.cron(hour="3", minute="0"),
            target=scheduler_targets.StepFunctionsStartExecution(
                machine, input=scheduler.ScheduleTargetInput.from_object(REQUEST)
            ),
        )
        deploy = tasks.StepFunctionsStartExecution.jsonata(
            self,
            "Deploy",
            state_machine=machine,
            integration_pattern=sfn.IntegrationPattern.RUN_JOB,
            input=sfn.TaskInput.from_object({**REQUEST, "image": "{% $states.input.image %}"}),
            outputs="{% $states.result.Output %}",
        )
        sfn.StateMachine(
            self,
            "Release",
            definition_body=sfn.DefinitionBody.from_chainable(deploy),
            query_language=sfn.QueryLanguage.JSONATA,
        )


@pytest.fixture(scope="module")
def origins() -> dict[str, Any]:
    return dict(assertions.Template.from_stack(Origins(App(context=CDK_JSON["context"]))).to_json())


def test_a_schedule(origins: dict[str, Any]) -> None:
    (schedule,) = of_type(origins, "AWS::Scheduler::Schedule").values()
    assert schedule["Target"]["Arn"] == MACHINE
    assert json.loads(schedule["Target"]["Input"]) == REQUEST


def test_a_step_of_another_workflow(origins: dict[str, Any]) -> None:
    (release,) = of_type(origins, "AWS::StepFunctions::StateMachine").values()
    step = json.loads(resolve(release["DefinitionString"]))["States"]["Deploy"]
    assert step["Resource"] == "arn:aws:states:::states:startExecution.sync:2"
    assert step["Arguments"]["StateMachineArn"] == MACHINE
    assert step["Arguments"]["Input"] == {**REQUEST, "image": "{% $states.input.image %}"}


def test_both_may_start_it(origins: dict[str, Any]) -> None:
    allowed = [
        statement
        for policy in of_type(origins, "AWS::IAM::Policy").values()
        for statement in resolve(policy["PolicyDocument"])["Statement"]
        if statement["Action"] == "states:StartExecution"
    ]
    assert [statement["Resource"] for statement in allowed] == [MACHINE, MACHINE]
