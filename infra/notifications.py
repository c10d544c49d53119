"""Notifications: how every execution ended, and every alarm, by a topic of SNS to whoever wants to know.

A rule takes the outcome events of the state machine. Another one takes what Step Functions says of executions that
cannot send an event of their own: those that were stopped, that ran out of time, and that Step Functions itself failed.
https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html

The topic is encrypted with a key of its own, since EventBridge and CloudWatch cannot use the one of SNS. A condition in
the statements for EventBridge would drop every notification, in the topic's policy as in the key's; for CloudWatch
there is one: https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#compatibility-with-aws-services
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sns-permissions

A chat shows no plain texts. It has a topic of its own, with the notifications in the form it knows:
https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aws_cdk import Aws, RemovalPolicy
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra import queues
from infra.workflow import APPROVAL, OUTCOME, PAUSED, SOURCE

if TYPE_CHECKING:
    from aws_cdk import aws_stepfunctions as sfn

    from infra.context import Notify

OUTCOME_PATHS = {"title": "$.detail.title", "message": "$.detail.message", "execution": "$.detail.execution"}
APPROVAL_PATHS = {
    **OUTCOME_PATHS,
    "cluster": "$.detail.cluster",
    "service": "$.detail.service",
    "name": "$.detail.approve.approve",
}
SILENT_PATHS = {"status": "$.detail.status", "execution": "$.detail.executionArn"}
SILENT_TITLE = "<status>: an execution that sent no event of its own"
SILENT_MESSAGE = (
    "It was stopped, ran out of time, or was ended by Step Functions. ECS goes on with the last update, and nobody "
    "watches it. Look at the service in ECS, then start another execution."
)


class Notifications(Construct):
    """The topics, their key, the rules that feed them, and the queue for notifications that reached nobody."""

    def __init__(self, scope: Construct, machine: sfn.StateMachine, notify: Notify) -> None:
        super().__init__(scope, "Notifications")
        self.key = kms.Key(
            self,
            "Key",
            description="ecs-deploy: the notifications",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.DESTROY,
        )
        for statement in _for_publishers(["kms:Decrypt", "kms:GenerateDataKey*"], "*"):
            self.key.add_to_resource_policy(statement)
        self.topic = self._topic("Topic")
        self.chat = self._topic("Chat") if notify.channels else None
        self.dead_letters = queues.dead_letters(self)
        for protocol, endpoints in (("email", notify.emails), ("https", notify.urls)):
            for number, endpoint in enumerate(endpoints, start=1):
                sns.CfnSubscription(
                    self,
                    f"{protocol.capitalize()}{number}",
                    topic_arn=self.topic.topic_arn,
                    protocol=protocol,
                    endpoint=endpoint,
                    redrive_policy={"deadLetterTargetArn": self.dead_letters.queue_arn},
                )
        arn = machine.state_machine_arn
        rules = [
            self._rule(
                "Outcome",
                "how an execution ended, or what it waits for",
                {
                    **outcome_pattern(arn),
                    "detail-type": [OUTCOME, PAUSED],
                    # A pause has no such member.
                    "detail": {"repeated": [{"exists": False}, False]},
                },
                OUTCOME_PATHS,
            ),
            self._rule(
                "Approval",
                "what waits for approval",
                {**outcome_pattern(arn), "detail-type": [APPROVAL]},
                APPROVAL_PATHS,
            ),
            self._rule("Silent", "an execution ended without an event of its own", silent_pattern(arn), SILENT_PATHS),
        ]
        queues.accept(self.dead_letters, "events", [rule.attr_arn for rule in rules])
        queues.accept(self.dead_letters, "sns", [self.topic.topic_arn])

    @property
    def topics(self) -> list[sns.Topic]:
        """Where an alarm is published."""
        return [self.topic, *([self.chat] if self.chat else [])]

    def _topic(self, name: str) -> sns.Topic:
        topic = sns.Topic(self, name, display_name="ecs-deploy", master_key=self.key, enforce_ssl=True)
        for statement in _for_publishers(["sns:Publish"], topic.topic_arn):
            topic.add_to_resource_policy(statement)
        return topic

    def _rule(self, name: str, what: str, pattern: dict[str, Any], paths: dict[str, str]) -> events.CfnRule:
        text = ("<title>", "<message>") if "title" in paths else (SILENT_TITLE, SILENT_MESSAGE)
        # What a custom action of the chat takes from a notification, to answer it with a button.
        context: dict[str, str] = {key: f"<{key}>" for key in ("cluster", "service", "name") if key in paths}
        chat = [(self.chat, chat_message(*text, context))] if self.chat else []
        templates = [(self.topic, plain_text(*text)), *chat]
        return events.CfnRule(
            self,
            name,
            description=f"ecs-deploy: {what}",
            event_pattern=pattern,
            targets=[
                events.CfnRule.TargetProperty(
                    id=f"Target{number}",
                    arn=topic.topic_arn,
                    input_transformer=events.CfnRule.InputTransformerProperty(
                        input_paths_map=paths, input_template=template
                    ),
                    **queues.otherwise(self.dead_letters),
                )
                for number, (topic, template) in enumerate(templates, start=1)
            ],
        )


def outcome_pattern(machine: str) -> dict[str, Any]:
    """Match the outcomes that executions of this state machine send, and nobody who may send from another account."""
    return {"source": [SOURCE], "detail-type": [OUTCOME], "account": [Aws.ACCOUNT_ID], "resources": [machine]}


def silent_pattern(machine: str) -> dict[str, Any]:
    """Match the ends that Step Functions alone knows of; an error of its own name is none of the workflow's."""
    return {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {
            "stateMachineArn": [machine],
            "$or": [
                {"status": ["ABORTED", "TIMED_OUT"]},
                {"status": ["FAILED"], "error": [{"prefix": "States."}]},
            ],
        },
    }


def plain_text(title: str, message: str) -> str:
    """A notification for people, as an EventBridge input template: three lines, each a text in quotes."""
    return "\n".join(json.dumps(line) for line in (title, message, "Execution: <execution>"))


def chat_message(title: str, message: str, context: dict[str, str]) -> str:
    """A notification for a chat, as an EventBridge input template, with a `context` for custom actions.

    https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-actions.html
    """
    content = {"textType": "client-markdown", "title": title, "description": f"{message}\n<execution>"}
    metadata = {"metadata": {"additionalContext": context}} if context else {}
    return json.dumps({"version": "1.0", "source": "custom", "content": content, **metadata})


def _for_publishers(actions: list[str], resource: str) -> list[iam.PolicyStatement]:
    alarms = f"arn:{Aws.PARTITION}:cloudwatch:{Aws.REGION}:{Aws.ACCOUNT_ID}:alarm:{Aws.STACK_NAME}-*"
    own = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}, "ArnLike": {"aws:SourceArn": alarms}}
    return [
        iam.PolicyStatement(
            actions=actions,
            principals=[iam.ServicePrincipal(f"{service}.amazonaws.com")],
            resources=[resource],
            conditions=conditions,
        )
        for service, conditions in (("events", {}), ("cloudwatch", own))
    ]
