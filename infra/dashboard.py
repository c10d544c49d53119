"""The dashboard: how the delivery goes, by service, and how the deployer is.

The delivery metrics are found by a search, so each service has its line from its first deployment on, and the dashboard
stays the same however many there are: a graph shows 500 of them.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.alarms import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_sqs as sqs

    from infra.machine import Machine

WIDTH = 24
SHOWN = Duration.days(28)
DAY = Duration.days(1)


def search(metric: str, statistic: str) -> str:
    """A metric of each service, day by day."""
    return f"""SEARCH('{{"{NAMESPACE}",service}} MetricName="{metric}"', '{statistic}', {DAY.to_seconds():.0f})"""


DORA_METRICS = (
    ("Deployments a day", search("LeadTime", "SampleCount"), ""),
    ("Lead time, push to stable: half take less (p50)", search("LeadTime", "p50"), "seconds"),
    ("Lead time, push to stable: nine in ten take less (p90)", search("LeadTime", "p90"), "seconds"),
    ("Change failure rate", f"100 * {search('ChangeFailure', 'Average')}", "%"),
    ("Time to restore", search("TimeToRestore", "Average"), "seconds"),
)


class Dashboard(Construct):
    """The dashboard, which has the name of the stack."""

    def __init__(
        self,
        scope: Construct,
        workflow: Machine,
        functions: Mapping[str, lambda_.Function],
        dead_letters: Mapping[str, sqs.Queue],
        alarms: Sequence[cloudwatch.Alarm],
    ) -> None:
        super().__init__(scope, "Dashboard")
        machine = workflow.machine
        ends = (
            (machine.metric_succeeded(), "succeeded"),
            (machine.metric_failed(), "failed or refused"),
            (machine.metric_aborted(), "stopped"),
            (machine.metric_timed_out(), "timed out"),
        )
        trouble = [
            (metric, f"{name}: {what}")
            for name, function in functions.items()
            for metric, what in ((function.metric_errors(), "errors"), (function.metric_throttles(), "throttles"))
        ]
        waiting = [
            (queue.metric_approximate_number_of_messages_visible(), name) for name, queue in dead_letters.items()
        ]
        self.dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=Stack.of(self).stack_name,
            default_interval=SHOWN,
            widgets=[
                [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=alarms, width=WIDTH, height=3)],
                [_dora_metric(*each, width=WIDTH // 3) for each in DORA_METRICS[:3]],
                [_dora_metric(*each, width=WIDTH // 2) for each in DORA_METRICS[3:]],
                [
                    _counts("Executions a day", ends),
                    _counts("Errors and throttles of the functions a day", trouble),
                    _counts("Dead letters", waiting, "Maximum"),
                ],
            ],
        )


def _dora_metric(title: str, expression: str, unit: str, width: int) -> cloudwatch.GraphWidget:
    by_service = cloudwatch.MathExpression(
        expression=expression, using_metrics={}, label="${PROP('Dim.service')}", period=DAY
    )
    axis = cloudwatch.YAxisProps(min=0, label=unit, show_units=False)
    return cloudwatch.GraphWidget(title=title, left=[by_service], left_y_axis=axis, width=width, height=6)


def _counts(
    title: str, metrics: Iterable[tuple[cloudwatch.Metric, str]], statistic: str = "Sum"
) -> cloudwatch.GraphWidget:
    daily = [metric.with_(label=label, period=DAY, statistic=statistic) for metric, label in metrics]
    axis = cloudwatch.YAxisProps(min=0, show_units=False)
    return cloudwatch.GraphWidget(title=title, left=daily, left_y_axis=axis, width=WIDTH // 3, height=6)
