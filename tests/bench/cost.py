"""What a deployment of five minutes costs, from executions on the emulator that take five minutes.

The rollouts take as long as they say, and the workflow waits as long as it does on AWS. Counted is what is billed:
states that were entered and steps that were retried; requests of the functions and their seconds times their memory,
those beside the workflow among them; the messages of its queue; the events that notify; and what is read from the table
and written to it, which a proxy before it counts by its size.
"""

import itertools
import json
import math
import os
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from unittest import mock

from local.cloud import Cloud, LocalCloud
from tests.bench import emulator
from tests.bench.startup import MEGABYTES_OF_A_CPU
from tests.support.chaos import forward
from tests.support.endpoint import Answer, Call, answering

# How long the tasks of the emulator take to start, and with them the rollout.
START_SECONDS = 297
SERVICE = "app"
MOST_DOLLARS = 0.0010
# The push and the end of its execution; each is sent, received and deleted.
MESSAGE_REQUESTS = 3 * 2
READ_UNIT, WRITE_UNIT = 4096, 1024
UNITS_OF_A_TRANSACTION = UNITS_OF_A_TOKEN = 2


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for one unit, in us-east-1 where the region matters, and where it is written."""

    of: str
    dollars: float
    page: str


TRANSITION = Price("state transition", 0.025 / 1000, "https://aws.amazon.com/step-functions/pricing/")
REQUEST = Price("request", 0.20 / 1e6, "https://aws.amazon.com/lambda/pricing/")
GB_SECOND = Price("GB-second on arm64", 0.0000133334, "https://aws.amazon.com/lambda/pricing/")
EVENT = Price("event", 1.00 / 1e6, "https://aws.amazon.com/eventbridge/pricing/")
MESSAGE_REQUEST = Price("request for a message", 0.40 / 1e6, "https://aws.amazon.com/sqs/pricing/")
READ = Price("unit read from the table", 0.125 / 1e6, "https://aws.amazon.com/dynamodb/pricing/on-demand/")
WRITE = Price("unit written to it", 0.625 / 1e6, "https://aws.amazon.com/dynamodb/pricing/on-demand/")
RUNNER_MINUTE = Price(
    "minute of a Linux runner",
    0.006,
    "https://docs.github.com/en/billing/reference/actions-runner-pricing",
)
PIPELINE_MINUTE = Price("minute of an action (V2)", 0.002, "https://aws.amazon.com/codepipeline/pricing/")
LOG_GIGABYTE = Price("GB of logs", 0.50, "https://aws.amazon.com/cloudwatch/pricing/")
PRICES = (
    TRANSITION,
    REQUEST,
    GB_SECOND,
    EVENT,
    MESSAGE_REQUEST,
    READ,
    WRITE,
    LOG_GIGABYTE,
    RUNNER_MINUTE,
    PIPELINE_MINUTE,
)
PRICES_NOTED = "November 2026"


@dataclass(frozen=True, slots=True)
class Units:
    """What was read from the table and written to it."""

    read: int = 0
    written: int = 0


@dataclass(frozen=True, slots=True)
class Bill:
    """What one deployment is billed by, and how long its execution took."""

    transitions: int
    requests: int
    events: int
    gb_seconds: float
    table: Units
    polls: int
    seconds: float
    history_bytes: int

    @property
    def dollars(self) -> float:
        return (
            self.transitions * TRANSITION.dollars
            + self.requests * REQUEST.dollars
            + self.events * EVENT.dollars
            + self.gb_seconds * GB_SECOND.dollars
            + MESSAGE_REQUESTS * MESSAGE_REQUEST.dollars
            + self.table.read * READ.dollars
            + self.table.written * WRITE.dollars
        )

    @property
    def dollars_of_logs(self) -> float:
        """What the state machine's own log adds, which holds every event with its data."""
        return self.history_bytes / 1e9 * LOG_GIGABYTE.dollars

    @property
    def minutes(self) -> int:
        """What a runner or an action that waits as long is billed."""
        return math.ceil(self.seconds / 60)


class Meter:
    """Counts the units of the table, by the service that they are for; stands between the functions and DynamoDB."""

    def __init__(self) -> None:
        self.upstream = ""
        self.units: dict[str, Units] = {}
        self._lock = threading.Lock()

    def answer(self, call: Call) -> Answer:
        """Pass a call on, and count it if it was answered."""
        status, answer = forward(call, self.upstream)
        if status == HTTPStatus.OK:
            service, used = units(call.action, json.loads(call.body), json.loads(answer))
            with self._lock:
                before = self.units.get(service, Units())
                self.units[service] = Units(before.read + used.read, before.written + used.written)
        return status, answer


def measure(is_up: threading.Event) -> Bill:
    """Deploy once; sets `is_up` when the emulator is, or will never be."""
    meter = Meter()
    with ExitStack() as running:
        running.callback(is_up.set)
        proxy = running.enter_context(answering(meter.answer))
        with mock.patch.dict(os.environ, AWS_ENDPOINT_URL_DYNAMODB=proxy):
            cloud = running.enter_context(
                LocalCloud(emulator.targets([SERVICE]), start_seconds=START_SECONDS, enforce=True)
            )
        meter.upstream = cloud.endpoint
        is_up.set()
        emulator.create_services(cloud, [SERVICE], desired=2)
        emulator.make_cold(cloud)
        pushed = emulator.push(cloud, SERVICE, "v2")
        execution, outcome = emulator.outcome_of(cloud, SERVICE, "v2")
        emulator.wait_until_dispatched(cloud)
        beside = [*_seconds_of(cloud, "dispatcher", pushed), *_seconds_of(cloud, "end_waits", pushed)]
        return billed(
            emulator.history_of(cloud, execution),
            table=meter.units[f"{emulator.CLUSTER}/{SERVICE}"],
            beside=beside,
            polls=outcome["polls"],
        )


def _seconds_of(cloud: Cloud, function: str, since: float) -> list[float]:
    """What each invocation of a function took, which Lambda reports in its log."""
    configuration = cloud.client("lambda").get_function_configuration(FunctionName=cloud.functions[function])
    pages = (
        cloud.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=configuration["LoggingConfig"]["LogGroup"], startTime=int(since * 1000))
    )
    reports = (re.search(r"Billed Duration: (\d+) ms", event["message"]) for page in pages for event in page["events"])
    return [int(report[1]) / 1000 for report in reports if report]


def billed(events: list[dict[str, Any]], *, table: Units, beside: Sequence[float], polls: int) -> Bill:
    """Read the bill of a deployment from the history of its execution.

    `beside` are the seconds of each invocation of the functions that are no steps: the dispatcher, and what ends waits.
    A wait writes its token to the table by itself, in two units at most.
    """
    entered = [event for event in events if event["type"].endswith("StateEntered")]
    tried = [event for event in events if event["type"] == "TaskScheduled"]
    retries = len(tried) - sum(event["type"] == "TaskStateEntered" for event in entered)
    states = [_state_of(each, events) for each in tried]
    requests = [event for event in tried if event["taskScheduledEventDetails"]["resourceType"] == "lambda"]
    ran = sum(
        (after["timestamp"] - before["timestamp"]).total_seconds()
        for before, after in itertools.pairwise(events)
        if before in requests
    )
    waits = sum(state.startswith("Wait") for state in states)
    return Bill(
        transitions=len(entered) + retries,
        requests=len(requests) + len(beside),
        events=sum(state.startswith("Notify") for state in states),
        gb_seconds=(ran + sum(beside)) * MEGABYTES_OF_A_CPU / 1024,
        table=Units(table.read, table.written + UNITS_OF_A_TOKEN * waits),
        polls=polls,
        seconds=(events[-1]["timestamp"] - events[0]["timestamp"]).total_seconds(),
        history_bytes=len(json.dumps(events, default=str)),
    )


def _state_of(event: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> str:
    """The state that a task is of: the last one that was entered before."""
    before = itertools.takewhile(lambda each: each is not event, events)
    entered = [each["stateEnteredEventDetails"]["name"] for each in before if "stateEnteredEventDetails" in each]
    return str(entered[-1])


def units(action: str, body: Mapping[str, Any], answer: Mapping[str, Any]) -> tuple[str, Units]:
    """The service that a call is about, and the units that its answer is billed by.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
    """
    if action == "TransactWriteItems":
        items = [each["Put"]["Item"] for each in body["TransactItems"]]
        written = sum(UNITS_OF_A_TRANSACTION * math.ceil(_size(item) / WRITE_UNIT) for item in items)
        return items[0]["pk"]["S"], Units(written=written)
    if action == "UpdateItem":
        size = max(_size(answer.get("Attributes", {})), 1)
        return body["Key"]["pk"]["S"], Units(written=math.ceil(size / WRITE_UNIT))
    key = body["Key"]["pk"] if action == "GetItem" else body["ExpressionAttributeValues"][":pk"]
    read = [answer.get("Item", {})] if action == "GetItem" else answer["Items"]
    return key["S"], Units(read=max(1, math.ceil(sum(map(_size, read)) / READ_UNIT)))


def _size(item: Mapping[str, Mapping[str, str]]) -> int:
    """The bytes of an item: its names and its values."""
    return sum(len(name) + sum(len(text.encode()) for text in value.values()) for name, value in item.items())
