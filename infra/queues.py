"""The queues: encrypted, reached by TLS only, and written to by whom they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Construct


def dead_letters(scope: Construct) -> sqs.Queue:
    """A queue for what could not be delivered, kept as long as SQS can."""
    return sqs.Queue(
        scope,
        "DeadLetters",
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=Duration.days(14),
    )


def otherwise(queue: sqs.Queue) -> dict[str, Any]:
    """The settings of a rule's target that is tried as long as EventBridge can, and whose events go to `queue` then."""
    return {
        "retry_policy": events.CfnRule.RetryPolicyProperty(
            maximum_event_age_in_seconds=86_400, maximum_retry_attempts=185
        ),
        "dead_letter_config": events.CfnRule.DeadLetterConfigProperty(arn=queue.queue_arn),
    }


def accept(queue: sqs.Queue, service: str, sources: Sequence[str]) -> None:
    """Let a service of AWS send what comes from the `sources`, which are ARNs."""
    queue.add_to_resource_policy(
        iam.PolicyStatement(
            actions=["sqs:SendMessage"],
            principals=[iam.ServicePrincipal(f"{service}.amazonaws.com")],
            resources=[queue.queue_arn],
            conditions={"ArnEquals": {"aws:SourceArn": list(sources)}},
        )
    )
