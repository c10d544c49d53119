"""Executions start once and end as on AWS.

The same name with the same input answers with the execution that runs; any other use of the name is
ExecutionAlreadyExists, and a name with characters that AWS refuses is InvalidName. A Succeed state may form the output.
Only an execution that succeeded has one. One that takes longer than its state machine allows ends TIMED_OUT; nothing
changes, or is added to, what has ended. Retries have their jitter and their longest delay. A callback has the time that
an expression gives it, and a token for each try. An event that a state sends names its execution and its state machine,
and one that EventBridge does not take fails the state.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
https://docs.aws.amazon.com/step-functions/latest/apireference/API_StopExecution.html
https://docs.aws.amazon.com/step-functions/latest/dg/statemachine-structure.html
https://docs.aws.amazon.com/step-functions/latest/dg/state-succeed.html
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token
https://docs.aws.amazon.com/step-functions/latest/dg/connect-eventbridge.html
"""

from __future__ import annotations

import contextvars
import importlib
import json
import random
import re
import threading
import uuid
from typing import TYPE_CHECKING, Any

from local.emulator import answers

if TYPE_CHECKING:
    from local.emulator.answers import Answer
    from local.emulator.seams import Function, Seams

STATES = "ministack.services.stepfunctions"

REFUSED = re.compile(r"""[\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]""")
LONGEST_NAME = 80
CALLBACK = ".waitForTaskToken"

# The ARNs of the execution whose task runs, and of its state machine.
_sender: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("sender", default=())


def declare(seams: Seams) -> None:
    """Change how executions start and end."""
    seams.attributes(STATES, "_executions", "_state_machines", "_ExecutionError")
    seams.call(STATES, "now_iso")
    seams.call(STATES, "_emit_execution_status_event", "execution")
    seams.call(STATES, "_resolve_state_machine_arn", "arn")
    seams.attributes(STATES, "_SFN_WAIT_SCALE")
    seams.call(STATES, "_apply_jsonata_template", "value", "raw_input", "ctx", "result", "error_output")
    seams.call(STATES, "_state_query_language", "state_def", "ctx")
    seams.call(STATES, "_apply_jsonata_output", "state_def", "raw_input", "ctx", "result", "error_output", "default")
    seams.replace(start_execution, STATES, "_start_execution", "data")
    seams.replace(describe_execution, STATES, "_describe_execution", "data")
    seams.replace(run_execution, STATES, "_run_execution", "exec_arn")
    seams.replace(fail_execution, STATES, "_fail_execution", "execution", "error", "cause")
    seams.replace(add_event, STATES, "_add_event", "execution", "event_type", "details")
    seams.replace(execute_task, STATES, "_execute_task", "state_def", "raw_input", "execution", "ctx")
    seams.replace(draw_token, STATES, "_apply_jsonata_arguments", "state_def", "raw_input", "ctx")
    seams.replace(put_events, STATES, "_invoke_events_put_events", "resource", "input_data")
    seams.replace(apply_output, STATES, "_apply_output_path", "state_def", "data", "ctx")
    seams.replace(spread_retries, STATES, "_find_matching_retrier", "retriers", "error", "retry_counts")


def start_execution(original: Function) -> Function:
    """Answer with the execution that already runs, and refuse names that AWS refuses."""

    def start(data: dict[str, Any]) -> Answer:
        name = data.get("name") or ""
        if REFUSED.search(name) or len(name) > LONGEST_NAME:
            return answers.error("InvalidName", f"Invalid Name: '{name}'")
        running = find_running(data)
        if running and running["input"] == data.get("input", "{}"):
            return answers.document({key: running[key] for key in ("executionArn", "startDate")})
        answer: Answer = original(data)
        return answer

    return start


def describe_execution(original: Function) -> Function:
    """Leave out the output of an execution that did not succeed."""

    def describe(data: dict[str, Any]) -> Answer:
        answer: Answer = original(data)
        if answer[0] != answers.OK:
            return answer
        described = answers.read(answer)
        hidden = set() if described["status"] == "SUCCEEDED" else {"output", "outputDetails"}
        return answers.document({key: value for key, value in described.items() if key not in hidden})

    return describe


def run_execution(original: Function) -> Function:
    """Give an execution no more time than its state machine does."""
    states = importlib.import_module(STATES)

    def run(arn: str) -> None:
        execution = states._executions[arn]
        machine = states._state_machines.get(execution["stateMachineArn"])
        seconds = machine and json.loads(machine["definition"]).get("TimeoutSeconds")
        timer = threading.Timer(seconds or 0, contextvars.copy_context().run, (time_out, execution))
        timer.daemon = True
        if seconds:
            timer.start()
        try:
            original(arn)
        finally:
            timer.cancel()

    return run


def time_out(execution: dict[str, Any]) -> None:
    """End an execution whose time has passed. Its error is in the history only."""
    states = importlib.import_module(STATES)
    if execution["status"] == "RUNNING":
        execution |= {"status": "TIMED_OUT", "stopDate": states.now_iso()}
        details = {"executionTimedOutEventDetails": {"error": "States.Timeout"}}
        states._add_event(execution, "ExecutionTimedOut", details)
        states._emit_execution_status_event(execution)


def fail_execution(original: Function) -> Function:
    """Leave an execution that was stopped, or has timed out, as it is: the state that ran meanwhile may fail."""

    def fail(execution: dict[str, Any], error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            original(execution, error, cause)

    return fail


def add_event(original: Function) -> Function:
    """Add nothing to the history of an execution that has ended."""

    def add(execution: dict[str, Any], event_type: str, details: dict[str, Any] | None = None) -> None:
        if execution["status"] == "RUNNING" or event_type.startswith("Execution"):
            original(execution, event_type, details)

    return add


def execute_task(original: Function) -> Function:
    """Remember whose task runs, and give a callback the time that its state says, which an expression may."""
    states = importlib.import_module(STATES)

    def execute(state: dict[str, Any], data: Any, execution: dict[str, Any], context: dict[str, Any]) -> Any:
        token = _sender.set((execution["executionArn"], execution["stateMachineArn"]))
        if CALLBACK in state["Resource"] and "TimeoutSeconds" in state:
            seconds = states._apply_jsonata_template(state["TimeoutSeconds"], data, context)
            state = {**state, "TimeoutSeconds": seconds * states._SFN_WAIT_SCALE}
        try:
            return original(state, data, execution, context)
        finally:
            _sender.reset(token)

    return execute


def draw_token(original: Function) -> Function:
    """Give each try of a callback a token of its own."""

    def arguments(state: dict[str, Any], data: Any, context: dict[str, Any] | None = None) -> Any:
        if context and CALLBACK in state.get("Resource", ""):
            context["Task"] = {"Token": str(uuid.uuid4())}
        return original(state, data, context)

    return arguments


def put_events(original: Function) -> Function:
    """Send events with the sender's ARNs, their details as text, and fail if one was not taken."""
    states = importlib.import_module(STATES)

    def put(resource: str, request: dict[str, Any]) -> Any:
        entries = [
            {
                **entry,
                "Detail": detail if isinstance(detail := entry.get("Detail"), str) else json.dumps(detail),
                "Resources": [*entry.get("Resources", []), *_sender.get()],
            }
            for entry in request["Entries"]
        ]
        result = original(resource, {**request, "Entries": entries})
        if result["FailedEntryCount"]:
            raise states._ExecutionError("EventBridge.FailedEntry", json.dumps(result))
        return result

    return put


def apply_output(original: Function) -> Function:
    """Evaluate the output of a Succeed state, which the emulator ends with its input."""
    states = importlib.import_module(STATES)

    def apply(state: dict[str, Any], data: Any, context: dict[str, Any] | None = None) -> Any:
        if state.get("Type") == "Succeed" and states._state_query_language(state, context) == "JSONata":
            return states._apply_jsonata_output(state, data, context, default=data)
        return original(state, data, context)

    return apply


def spread_retries(original: Function) -> Function:
    """Draw the delay before a retry with full jitter, and hold it to the longest."""

    def find_retrier(
        retriers: list[dict[str, Any]], error: str, retry_counts: dict[int, int]
    ) -> tuple[dict[str, Any] | None, int]:
        found: tuple[dict[str, Any] | None, int] = original(retriers, error, retry_counts)
        retrier, index = found
        if retrier is None or retrier.get("JitterStrategy") != "FULL":
            return found
        delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** retry_counts.get(index, 0)
        longest = min(delay, retrier.get("MaxDelaySeconds", delay))
        drawn = random.uniform(0, longest)  # noqa: S311 - nobody's secret
        return {**retrier, "IntervalSeconds": drawn, "BackoffRate": 1}, index

    return find_retrier


def find_running(data: dict[str, Any]) -> dict[str, Any] | None:
    """Find the running execution of the name that is asked for."""
    states = importlib.import_module(STATES)
    machine = states._resolve_state_machine_arn(data.get("stateMachineArn", ""))
    for execution in list(states._executions.values()):
        if (execution["stateMachineArn"], execution["name"]) == (machine, data.get("name")):
            return execution if execution["status"] == "RUNNING" else None
    return None
