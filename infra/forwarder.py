"""The forwarder: a stack in the account and the region of a registry, which sends its pushes to the deployer's bus.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-region.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aws_cdk import Aws, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam

from infra.context import InvalidContext
from infra.dispatch import push_pattern

if TYPE_CHECKING:
    from constructs import Construct

_BUS = re.compile(r"arn:aws[a-z-]*:events:[a-z0-9-]+:[0-9]{12}:event-bus/default")


def bus(value: object) -> str:
    """Read the context key `forwardTo`: the ARN of the default event bus of the deployer's account and region.

    Raises `InvalidContext`.
    """
    if not isinstance(value, str) or not _BUS.fullmatch(value):
        raise InvalidContext(
            "forwardTo: must be the ARN of the default event bus where the deployer is, such as "
            f"arn:aws:events:us-east-1:123456789012:event-bus/default, but is {value!r}."
        )
    return value


class ForwarderStack(Stack):
    """A rule, and the role by which it sends to the bus."""

    def __init__(self, scope: Construct, *, to: str) -> None:
        super().__init__(
            scope, "EcsDeployForwarder", description="ecs-deploy: pushes to this registry are sent to the deployer"
        )
        arn = f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{Aws.ACCOUNT_ID}:rule/{Aws.STACK_NAME}-*"
        role = iam.Role(
            self,
            "Role",
            description="ecs-deploy: pushes are sent to the deployer",
            # https://docs.aws.amazon.com/eventbridge/latest/userguide/cross-service-confused-deputy-prevention.html
            assumed_by=iam.ServicePrincipal(
                "events.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}, "ArnLike": {"aws:SourceArn": arn}},
            ),
            inline_policies={
                "Send": iam.PolicyDocument(
                    statements=[iam.PolicyStatement(actions=["events:PutEvents"], resources=[to])]
                )
            },
        )
        events.CfnRule(
            self,
            "Push",
            description="ecs-deploy: an image was pushed or replicated",
            event_pattern=push_pattern(),
            targets=[events.CfnRule.TargetProperty(id="Bus", arn=to, role_arn=role.role_arn)],
        )
