"""The parameters: after each success, the image that a service runs, for whatever defines the service to read.

A rule for each target that names a parameter invokes a function beside the workflow, so that no deployment waits for it
or fails by it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aws_cdk import Aws
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra import permissions
from infra.context import InvalidContext
from infra.functions import Function
from infra.notifications import outcome_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_stepfunctions as sfn

    from infra.functions import Package
    from infra.targets import Target


GREATEST_NUMBER = 250
"""Each has a rule of its own, and an event bus holds 300 by default:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html"""


class Parameters(Construct):
    """The function, and the rules that invoke it."""

    def __init__(
        self, scope: Construct, machine: sfn.StateMachine, targets: Sequence[Target], package: Package
    ) -> None:
        super().__init__(scope, "Parameters")
        self.writer = Function(
            self,
            "Write",
            module="write_parameter",
            doing="writing what a service runs to a parameter",
            package=package,
            environment={},
            allowed=permissions.of_parameters(targets),
        )
        # One statement for all rules: a statement for each would outgrow the function's policy.
        lambda_.CfnPermission(
            self,
            "Permission",
            action="lambda:InvokeFunction",
            function_name=self.writer.function.function_name,
            principal="events.amazonaws.com",
            source_arn=f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{Aws.ACCOUNT_ID}:rule/{Aws.STACK_NAME}-*",
        )
        for number, target in enumerate(targets, start=1):
            self._rule(f"Deployed{number}", machine, target)

    def _rule(self, name: str, machine: sfn.StateMachine, target: Target) -> None:
        transformer = events.CfnRule.InputTransformerProperty(
            input_paths_map={"execution": "$.detail.execution"}, input_template=template(target)
        )
        events.CfnRule(
            self,
            name,
            description=f"ecs-deploy: {target.service} of the cluster {target.cluster} runs a new revision",
            event_pattern=pattern(machine.state_machine_arn, target),
            targets=[
                events.CfnRule.TargetProperty(
                    id="Write", arn=self.writer.function.function_arn, input_transformer=transformer
                )
            ],
        )


def with_parameters(targets: Sequence[Target]) -> list[Target]:
    """The targets that name a parameter; of those that differ in their tags only, one."""
    found: dict[tuple[str | None, ...], Target] = {}
    for target in targets:
        if target.parameter:
            found.setdefault((target.cluster, target.service, target.parameter), target)
    if len(found) > GREATEST_NUMBER:
        raise InvalidContext(
            f"cdk.json, targets: {len(found)} name a parameter, but the stack writes {GREATEST_NUMBER} at most. "
            "Take the others out."
        )
    return list(found.values())


def pattern(machine: str, target: Target) -> dict[str, Any]:
    """Match a success at the service of a target."""
    deployed = {"outcome": ["DEPLOYED"], "cluster": [target.cluster], "service": [target.service]}
    return {**outcome_pattern(machine), "detail": deployed}


def template(target: Target) -> str:
    """The event of the function, as an EventBridge input template."""
    whose = {"container": target.container} if target.container else {"repository": target.repository}
    event = {
        "execution": "<execution>",
        "cluster": target.cluster,
        "service": target.service,
        "parameter": target.parameter,
        **whose,
    }
    return json.dumps(event).replace('"<execution>"', "<execution>")
