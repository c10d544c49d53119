"""The triggers: which push of which repository starts the workflow, and with what request.

A rule holds five targets at most, so targets that wait for the same tags of the same repository share rules by five:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html

The pattern asks for `image-tag`, because a push of a multi-architecture image makes one more event for each child,
without a tag: https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html

In the request, EventBridge puts quotes around a value of the event. We do not count on it to escape them: an id, a
time, a digest and a tag hold no character that JSON would escape, and only ECR can send events as `aws.ecr`.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aws_cdk import Aws, Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_stepfunctions as sfn

    from infra.targets import Target

TARGETS_OF_A_RULE = 5
EVENT_PATHS = {"id": "$.id", "time": "$.time", "digest": "$.detail.image-digest", "tag": "$.detail.image-tag"}


class Triggers(Construct):
    """The rules, their role, and the queue for events that could not start an execution."""

    def __init__(self, scope: Construct, machine: sfn.StateMachine, targets: Sequence[Target]) -> None:
        super().__init__(scope, "Triggers")
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        # One statement for all rules: a statement for each would outgrow a queue's policy at about twenty.
        self.dead_letters.add_to_resource_policy(
            iam.PolicyStatement(
                actions=["sqs:SendMessage"],
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                resources=[self.dead_letters.queue_arn],
                conditions={
                    "ArnLike": {
                        "aws:SourceArn": f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{Aws.ACCOUNT_ID}"
                        f":rule/{Aws.STACK_NAME}-*"
                    }
                },
            )
        )
        self.role = iam.Role(
            self,
            "Role",
            description="ecs-deploy: an image push starts the workflow",
            assumed_by=iam.ServicePrincipal("events.amazonaws.com"),
            inline_policies={
                "StartWorkflow": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(actions=["states:StartExecution"], resources=[machine.state_machine_arn])
                    ]
                )
            },
        )
        for number, group in enumerate(groups(targets), start=1):
            self._rule(f"Push{number}", machine, group)

    def _rule(self, name: str, machine: sfn.StateMachine, group: Sequence[Target]) -> None:
        # The L2 rule would add a statement to the queue's policy for each rule.
        events.CfnRule(
            self,
            name,
            description=f"ecs-deploy: a push to {group[0].repository}",
            event_pattern=pattern(group[0]),
            targets=[
                events.CfnRule.TargetProperty(
                    id=f"Target{number}",
                    arn=machine.state_machine_arn,
                    role_arn=self.role.role_arn,
                    input_transformer=events.CfnRule.InputTransformerProperty(
                        input_paths_map=EVENT_PATHS, input_template=request_template(target)
                    ),
                    # As long as EventBridge can: a late deployment is still of the newest push.
                    retry_policy=events.CfnRule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=86_400, maximum_retry_attempts=185
                    ),
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
                )
                for number, target in enumerate(group, start=1)
            ],
        )


def groups(targets: Sequence[Target]) -> list[list[Target]]:
    """The targets of each rule: those that a push starts, by what they wait for."""
    alike: dict[tuple[str, tuple[str, ...]], list[Target]] = {}
    for target in targets:
        if target.repository is not None:
            alike.setdefault((target.repository, target.tags), []).append(target)
    return [
        group[start : start + TARGETS_OF_A_RULE]
        for group in alike.values()
        for start in range(0, len(group), TARGETS_OF_A_RULE)
    ]


def pattern(target: Target) -> dict[str, Any]:
    """Match a finished push of a tagged image, to this account and region."""
    if "*" in target.tags:
        # A field that is missing matches nothing, and an empty tag is none.
        tags: list[Any] = [{"anything-but": [""]}]
    else:
        tags = [{"wildcard": tag} if "*" in tag else tag for tag in target.tags]
    return {
        "source": ["aws.ecr"],
        "detail-type": ["ECR Image Action"],
        "account": [Aws.ACCOUNT_ID],
        "region": [Aws.REGION],
        "detail": {
            "action-type": ["PUSH"],
            "result": ["SUCCESS"],
            "repository-name": [target.repository],
            "image-tag": tags,
        },
    }


def request_without_tag(target: Target) -> dict[str, Any]:
    """What a push asks for a target, but for the push."""
    return {
        "cluster": target.cluster,
        "service": target.service,
        "image": image_of(target),
        "timeout": target.timeout,
        "rollback": target.rollback,
        **({"container": target.container} if target.container else {}),
    }


def image_of(target: Target) -> str:
    """The image of a target's repository, without a tag."""
    return f"{Aws.ACCOUNT_ID}.dkr.ecr.{Aws.REGION}.{Aws.URL_SUFFIX}/{target.repository}"


def request_template(target: Target) -> str:
    """The request for a target, as an EventBridge input template with the variables of `EVENT_PATHS`."""
    request = {
        **request_without_tag(target),
        "image": f"{image_of(target)}:<tag>",
        "push": {
            "id": "<id>",
            "time": "<time>",
            "digest": "<digest>",
            "repository": target.repository,
            "tag": "<tag>",
        },
    }
    template = json.dumps(request)
    for variable in EVENT_PATHS:
        template = template.replace(f'"<{variable}>"', f"<{variable}>")
    return template
