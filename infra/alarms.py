"""The alarms: what a person has to know of, although no one asked. docs/operating.md says what to do for each.

Each watches one metric, by its own name, and is quiet while there is no data: most metrics have none until it happens.
https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.workflow import NOT_NOTIFIED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_sns as sns
    from aws_cdk import aws_sqs as sqs

    from infra.machine import Machine

NAMESPACE = "ecs-deploy"
# A step that AWS throttles is tried again, and about nine times within five minutes while it goes on.
PERIOD, ERRORS_THAT_LAST = Duration.minutes(5), 5


class Alarms(Construct):
    """The alarms, which are published to the topics."""

    def __init__(
        self,
        scope: Construct,
        workflow: Machine,
        functions: Mapping[str, lambda_.Function],
        dead_letters: Mapping[str, sqs.Queue],
        topics: Sequence[sns.Topic],
    ) -> None:
        super().__init__(scope, "Alarms")
        self.alarms: list[cloudwatch.Alarm] = []
        self._topics = topics
        machine = workflow.machine
        self._alarm("ExecutionsFailed", machine.metric_failed(), "A deployment failed or was refused")
        self._alarm("ExecutionsTimedOut", machine.metric_timed_out(), "An execution ran for days and was ended")
        self._alarm("ExecutionsAborted", machine.metric_aborted(), "An execution was stopped")
        overdue = cloudwatch.Metric(namespace=NAMESPACE, metric_name="Overdue", dimensions_map={"service": NAMESPACE})
        self._alarm("Overdue", overdue, "An execution runs longer than its timeout allows")
        entered = " || ".join(f'($.details.name = "{state}")' for state in NOT_NOTIFIED)
        not_notified = logs.MetricFilter(
            self,
            "Filter",
            log_group=workflow.log_group,
            # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
            filter_pattern=logs.FilterPattern.literal(f'{{ ($.type = "PassStateEntered") && ({entered}) }}'),
            metric_namespace=NAMESPACE,
            metric_name="NotNotified",
            metric_value="1",
        )
        self._alarm("NotNotified", not_notified.metric(), "EventBridge did not take the event of an execution")
        for name, queue in dead_letters.items():
            visible = queue.metric_approximate_number_of_messages_visible()
            self._alarm(name, visible, "What could not be delivered or dispatched is kept", statistic="Maximum")
        for name, function in functions.items():
            for kind, metric in (("Errors", function.metric_errors()), ("Throttles", function.metric_throttles())):
                what = f"The function {name} has {kind.lower()} that last"
                self._alarm(f"{name}{kind}", metric, what, threshold=ERRORS_THAT_LAST)

    def watch(self, name: str, function: lambda_.Function, what: str) -> None:
        """Watch for events of a function beside the workflow that Lambda has tried three times in vain.

        https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
        """
        self._alarm(name, function.metric("AsyncEventsDropped"), what)

    def _alarm(
        self, name: str, metric: cloudwatch.Metric, what: str, *, threshold: int = 1, statistic: str = "Sum"
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_name=f"{Stack.of(self).stack_name}-{name}",
            alarm_description=f"ecs-deploy: {what}. What to do stands in docs/operating.md, under {name}.",
            metric=metric.with_(period=PERIOD, statistic=statistic),
            threshold=threshold,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(*(actions.SnsAction(topic) for topic in self._topics))
        self.alarms.append(alarm)
