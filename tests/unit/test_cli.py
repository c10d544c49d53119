"""The command line by itself: what it asks for, what it shows, and its exit statuses."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from cli import aws, ends, follow, main, progress, script
from cli.shown import lines_of
from tests.support.rules import table

ROOT = Path(__file__).parents[2]
MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:EcsDeploy"
EXECUTION = f"{MACHINE.replace(':stateMachine:', ':execution:')}:one"
WHERE = ("-c", "production1", "-n", "doorman-service")
SERVICE = {"cluster": "production1", "service": "doorman-service"}
DEPLOYED = {
    "status": "SUCCEEDED",
    "output": json.dumps(
        {"outcome": "DEPLOYED", **SERVICE, "image": "doorman:v1", "revision": "arn:x/doorman:2", "seconds": 9.4}
    ),
}


class States:
    """A Step Functions that answers what a test says, in turn; the last answer stays."""

    def __init__(self, *described: Any) -> None:
        self.described = list(described)
        self.started: list[dict[str, Any]] = []
        self.listed: list[dict[str, Any]] = []

    def start_execution(self, *, stateMachineArn: str, input: str) -> dict[str, Any]:  # noqa: A002, N803
        assert stateMachineArn == MACHINE
        self.started.append(json.loads(input))
        return {"executionArn": EXECUTION}

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:  # noqa: N803
        said = self.described.pop(0) if len(self.described) > 1 else self.described[0]
        if isinstance(said, BaseException):
            raise said
        return {"startDate": datetime.now(UTC), "executionArn": executionArn, **said}

    def get_execution_history(self, **_: Any) -> dict[str, Any]:
        return {"events": []}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "get_execution_history"
        entered = {"name": "PollStability", "input": "{}"}
        done = {"name": "PollStability", "output": '{"next": "succeed", "outcome": {"outcome": "DEPLOYED"}}'}
        page = [
            {"timestamp": datetime.now(UTC), "stateEnteredEventDetails": entered},
            {"timestamp": datetime.now(UTC), "stateExitedEventDetails": done},
        ]
        return SimpleNamespace(paginate=lambda **_: [{"events": page[:1]}, {"events": page[1:]}])

    def list_executions(self, **_: Any) -> dict[str, Any]:
        return {"executions": self.listed}


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> States:
    made = States(DEPLOYED)

    def connect(machine: aws.Machine, *_: object) -> None:
        machine._states, machine._arn = made, MACHINE

    monkeypatch.setattr(aws.Machine, "__init__", connect)
    monkeypatch.setattr(follow, "EVERY", 0)
    return made


def run(*arguments: str, **variables: str) -> Result:
    """Run the command as a process would, with its exit status."""

    @click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
    @click.argument("given", nargs=-1, type=click.UNPROCESSED)
    def process(given: tuple[str, ...]) -> None:
        before, sys.argv = sys.argv, ["ecs-deploy", *given]
        try:
            main.run()
        finally:
            sys.argv = before

    return CliRunner().invoke(process, ["--", *arguments], env=variables)


@table(
    "arguments, wanted",
    {
        "as the script is called": (("-i", "doorman:v1"), {"image": "doorman:v1"}),
        "by its name": (("-i", "doorman"), {"image": "doorman"}),
        "a timeout": (("-i", "doorman", "-t", "240"), {"image": "doorman", "timeout": 240}),
        "a container": (("-i", "doorman", "--container", "app"), {"image": "doorman", "container": "app"}),
        "a revision": (("--revision", "doorman:7"), {"revision": "doorman:7"}),
        "flags": (
            ("-i", "doorman", "--no-rollback", "--require-rollback", "--no-pin", "--dry-run"),
            {"image": "doorman", "rollback": False, "requireRollback": True, "pin": False, "dryRun": True},
        ),
        "gates": (
            ("-i", "doorman", "--approval", "3600", "--before", "bin/migrate 'all of it'"),
            {"image": "doorman", "approval": 3600, "before": {"command": ["bin/migrate", "all of it"]}},
        ),
        "what follows": (
            ("-i", "doorman", "--after", "bin/test", "--watch", "60", "--alarm", "5xx", "--alarm", "load"),
            {
                "image": "doorman",
                "after": {"command": ["bin/test"]},
                "watch": {"seconds": 60, "alarms": ["5xx", "load"]},
            },
        ),
        "what changes nothing": (
            ("-i", "doorman", "--enable-rollback", "--copy-task-definition-tags", "--aws-instance-profile"),
            {"image": "doorman"},
        ),
        "a tag in the environment": (("-i", "doorman", "-e", "CI"), {"image": "doorman", "tag": "42"}),
        "an image with a tag": (("-i", "doorman:v1", "-e", "CI"), {"image": "doorman:v1"}),
        "nothing is evaluated": (("-i", "$(touch x)`id`"), {"image": "$(touch x)`id`"}),
    },
)
def test_what_is_asked_for(states: States, arguments: tuple[str, ...], wanted: dict[str, Any]) -> None:
    for verb in ((), ("deploy",)):
        assert run(*verb, *WHERE, *arguments, CI="42").exit_code == 0
        assert states.started.pop() == SERVICE | wanted


@table(
    "arguments, wanted",
    {
        "a revert": (("revert",), {"revert": True}),
        "to a revision": (("revert", "--to", "doorman:7", "-t", "60"), {"revision": "doorman:7", "timeout": 60}),
        "a hold": (("hold", "wet paint"), {"hold": "wet paint"}),
        "a yes": (("approve", "push-1"), {"approve": "push-1"}),
        "a yes to a hook": (("continue", "push-1"), {"approve": "push-1"}),
        "a no": (("reject", "push-1", "not on a Friday"), {"reject": "push-1", "why": "not on a Friday"}),
        "a release": (("release",), {"release": True}),
        "a status": (("status",), {"status": True}),
        "a history": (("history",), {"history": True}),
        "a revert that is not meant": (("revert", "--dry-run"), {"revert": True, "dryRun": True}),
    },
)
def test_the_other_verbs(states: States, arguments: tuple[str, ...], wanted: dict[str, Any]) -> None:
    assert run(arguments[0], *WHERE, *arguments[1:]).exit_code == 0
    assert states.started == [SERVICE | wanted]


def test_a_group(states: States) -> None:
    assert run("together", "shop", "-i", "doorman:v1").exit_code == 0
    assert states.started == [{"together": "shop", "image": "doorman:v1"}]
    assert run("together", "shop").exit_code == 8


@table(
    "arguments, code",
    {
        "no service": (("-c", "production1", "-i", "doorman"), 5),
        "no cluster": (("-n", "doorman-service", "-i", "doorman"), 7),
        "no image": (WHERE, 8),
        "a timeout that is no number": ((*WHERE, "-i", "doorman", "-t", "soon"), 3),
        "a command that cannot be taken apart": ((*WHERE, "-i", "doorman", "--before", "a 'b"), 3),
        "an alarm without a watch": ((*WHERE, "-i", "doorman", "--alarm", "5xx"), 3),
        "an option that nobody has": ((*WHERE, "-i", "doorman", "--fast"), 3),
        "a command that nobody has": (("deplyo",), 3),
        "a variable that is not set": ((*WHERE, "-i", "doorman", "-e", "NOT_SET"), 3),
        "nothing to follow": (("follow",), 3),
        "an execution and a push": (("follow", "one", "-i", "doorman"), 3),
        "a push to no service": (("follow", "-i", "doorman"), 5),
        "a push of no image": (("follow", "-n", "doorman-service"), 8),
    },
)
def test_a_wrong_command_line(states: States, arguments: tuple[str, ...], code: int) -> None:
    ran = run(*arguments)
    assert ran.exit_code == code
    assert "Error: " in ran.output
    assert states.started == []


@pytest.mark.parametrize("option", script.OPTIONS, ids=lambda option: str(option.names[-1]))
def test_each_option_of_the_script(states: States, option: script.Option) -> None:
    for name in option.names:
        values = {"-c": "production1", "-n": "doorman-service", "-i": "doorman", "-t": "60", "-e": "CI"}
        given = [name, *([values.get(option.names[0], "1")] if option.takes_value else [])]
        ran = run("-i", "doorman", *WHERE, *given, CI="42")
        if option.works:
            assert ran.exit_code == 0, ran.output
        else:
            assert ran.exit_code == 3
            assert option.instead[:40] in " ".join(ran.output.split())
            assert states.started == []


def test_the_migration_page_has_the_table_of_the_options() -> None:
    assert script.table() in (ROOT / "docs" / "migration.md").read_text()


def failed(error: str, message: str = "It broke.") -> dict[str, Any]:
    return {"status": "FAILED", "error": error, "cause": json.dumps({"message": message, "reasons": ["a", "b"]})}


@table(
    "execution, name, code",
    {
        "deployed": (DEPLOYED, "DEPLOYED", 0),
        **{
            each.lower(): ({"status": "SUCCEEDED", "output": json.dumps({"outcome": each})}, each, 0)
            for each in ("SUPERSEDED", "UNCHANGED", "HELD", "RELEASED", "REHEARSED", "STATUS", "HISTORY")
        },
        **{
            each: (failed(each), each, 1)
            for each in ("DeploymentFailed", "DeploymentTimedOut", "RollbackFailed", "AccessDenied", "ServiceNotFound")
        },
        "a wrong request": (
            failed("InvalidRequest", "The request is not valid. timeout: must be …"),
            "InvalidRequest",
            3,
        ),
        "a wrong image": (failed("InvalidRequest", "The request is not valid. image: is …"), "InvalidRequest", 13),
        "a wrong image, among others": (failed("InvalidRequest", "timeout: 9; image: is …"), "InvalidRequest", 13),
        "stopped": ({"status": "ABORTED"}, "ABORTED", 1),
        "out of time": ({"status": "TIMED_OUT"}, "TIMED_OUT", 1),
        "no cause": ({"status": "FAILED", "error": "States.Runtime"}, "States.Runtime", 1),
        "a cause that is no document": ({"status": "FAILED", "error": "X", "cause": "what?"}, "X", 1),
    },
)
def test_ends(states: States, execution: dict[str, Any], name: str, code: int) -> None:
    states.described = [execution]
    ran = run(*WHERE, "-i", "doorman")
    assert ran.exit_code == code
    assert f"{name}: " in ran.output
    ran = run(*WHERE, "-i", "doorman", "--json")
    assert ran.exit_code == code
    (line,) = ran.output.splitlines()
    assert (json.loads(line)["end"], json.loads(line)["execution"]) == (name, EXECUTION)


def test_without_waiting(states: States) -> None:
    states.described = [failed("DeploymentFailed")]
    assert (run(*WHERE, "-i", "doorman", "--no-wait").output, states.started) == (
        f"{EXECUTION}\n",
        [SERVICE | {"image": "doorman"}],
    )
    assert json.loads(run(*WHERE, "-i", "doorman", "--no-wait", "--json").output) == {"execution": EXECUTION}


class EndpointConnectionError(Exception):
    """As botocore names it."""


def test_a_lost_connection_is_said_once_and_goes_by(states: States) -> None:
    lost, runs = EndpointConnectionError("no route"), {"status": "RUNNING"}
    states.described = [runs, lost, lost, runs, DEPLOYED]
    ran = run(*WHERE, "-i", "doorman")
    assert ran.exit_code == 0
    assert ran.output.count("The connection to AWS is lost, and the execution goes on") == 1


def test_ctrl_c_in_a_pipe_leaves_it_running(states: States) -> None:
    states.described = [{"status": "RUNNING"}, KeyboardInterrupt()]
    ran = run(*WHERE, "-i", "doorman")
    assert ran.exit_code == 130
    assert f"ecs-deploy follow {EXECUTION}" in ran.output


@pytest.mark.parametrize("named", ["one", EXECUTION])
def test_an_execution_is_followed_by_its_name(states: States, named: str) -> None:
    ran = run("follow", named)
    assert ran.exit_code == 0
    assert f"Execution: {EXECUTION}" in ran.output


@table(
    "pushed, image, found",
    {
        "the image as it was pushed": ({"image": "r.x/doorman:v1", "push": {}}, "r.x/doorman:v1", True),
        "without its registry": ({"image": "r.x/doorman:v1", "push": {}}, "doorman:v1", True),
        "without a tag": ({"image": "r.x/doorman:latest", "push": {}}, "doorman", True),
        "another tag": ({"image": "r.x/doorman:v10", "push": {}}, "doorman:v1", False),
        "another repository": ({"image": "r.x/other-doorman:v1", "push": {}}, "doorman:v1", False),
        "by its digest": ({"image": "r.x:1/doorman:v1", "push": {"digest": "sha256:1"}}, "doorman@sha256:1", True),
        "whatever its tag": ({"image": "r.x/doorman:v1", "push": {"digest": "sha256:1"}}, "doorman:v2@sha256:1", True),
        "another digest": ({"image": "r.x/doorman:v1", "push": {"digest": "sha256:2"}}, "doorman@sha256:1", False),
        "by hand": ({"image": "r.x/doorman:v1"}, "doorman:v1", False),
        "another service": ({"image": "r.x/doorman:v1", "push": {}, "service": "other"}, "doorman:v1", False),
        "no request": ("text", "doorman:v1", False),
    },
)
def test_the_execution_of_a_push(
    states: States, monkeypatch: pytest.MonkeyPatch, pushed: Any, image: str, found: bool
) -> None:
    asked = SERVICE | pushed if isinstance(pushed, dict) else pushed
    states.described = [{**DEPLOYED, "input": json.dumps(asked)}]
    states.listed = [{"executionArn": EXECUTION, "startDate": datetime.now(UTC)}]
    monkeypatch.setattr(follow, "_PATIENCE", 0.05)
    ran = run("follow", "-n", "doorman-service", "-i", image)
    assert ran.exit_code == (0 if found else 1), ran.output
    states.listed = [{"executionArn": EXECUTION, "startDate": datetime.now(UTC) - timedelta(hours=1)}]
    assert run("follow", "-n", "doorman-service", "-i", image).exit_code == 1


class ClientError(Exception):
    """As botocore has it, with the code of AWS."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.response = {"Error": {"Code": code, "Message": message}}


class NoRegionError(Exception):
    """As botocore names it, where no region is known."""


class NoCredentialsError(Exception):
    """As botocore names it."""


class UnauthorizedSSOTokenError(Exception):
    """As botocore names it, where a sign-in has expired."""


@table(
    "error, said",
    {
        "no stack": (
            ClientError("ValidationError", "Stack with id X does not exist"),
            "There is no stack X in eu-west-1",
        ),
        "no region": (NoRegionError(), "Name the one of the stack with -r"),
        "no credentials": (NoCredentialsError(), "Set AWS_PROFILE"),
        "an expired session": (ClientError("ExpiredTokenException", "expired"), "Sign in again: aws sso login"),
        "an expired sign-in": (UnauthorizedSSOTokenError(), "Sign in again: aws sso login"),
        "no permission": (
            ClientError("AccessDeniedException", "not authorized"),
            "AWS does not allow it: not authorized",
        ),
        "no execution": (ClientError("ExecutionDoesNotExist", "one"), "There is no such execution"),
        "whatever else": (ClientError("Throttling", "Rate exceeded"), "AWS refuses it: Throttling: Rate exceeded."),
    },
)
def test_what_aws_refuses(error: Exception, said: str) -> None:
    with pytest.raises(aws.CliError, match=said) as caught, aws.explained("X", "eu-west-1"):
        raise error
    assert caught.value.code == ends.NO_AWS


def test_what_nobody_knows_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), aws.explained():
        raise ZeroDivisionError


def entered(name: str, **document: Any) -> dict[str, Any]:
    return {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": name, "input": json.dumps(document)}}


COUNTS = {"desired": 3, "running": 1, "pending": 2, "failed": 0}
ROLLOUT = {"target": "arn:x/doorman:2", "progress": COUNTS, "reason": None}
WOKEN = {"type": "TaskSucceeded", "taskSucceededEventDetails": {"resource": "updateItem.waitForTaskToken"}}
LEFT = {"type": "TaskStateExited", "stateExitedEventDetails": {"name": "WaitForRollout"}}


@table(
    "events, line",
    {
        "nothing yet": ([], "starting"),
        "no rollout": ([entered("RegisterTaskDefinition", request={})], "RegisterTaskDefinition"),
        "a rollout": (
            [{"type": "TaskScheduled"}, entered("WaitForRollout", rollout=ROLLOUT)],
            "WaitForRollout  doorman:2  1 of 3 running, 2 pending, 0 failed",
        ),
        "an event has ended the wait": (
            [entered("PollStability", rollout={**ROLLOUT, "progress": None}), LEFT, WOKEN],
            "PollStability  doorman:2  an event of ECS",
        ),
        "its time has": (
            [entered("PollStability", rollout={"target": "x/d:2"}), LEFT, {"type": "TaskTimedOut"}, WOKEN],
            "PollStability  d:2",
        ),
    },
)
def test_progress(events: list[dict[str, Any]], line: str) -> None:
    assert progress.moment_of(events).line() == line


def loaded(*arguments: str) -> str:
    """The modules that a command loads, which it lists on standard error."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stderr


@pytest.mark.parametrize(
    "arguments", [("--help",), ("deploy", "--help"), ("--version",), ("deploy",), (*WHERE, "-d", "x")]
)
def test_help_and_mistakes_load_no_sdk(arguments: tuple[str, ...]) -> None:
    assert "boto" not in loaded(*arguments)


COMMANDS = [
    "approve",
    "continue",
    "deploy",
    "follow",
    "history",
    "hold",
    "reject",
    "release",
    "revert",
    "status",
    "together",
]


@pytest.mark.parametrize("command", [(), *((each,) for each in COMMANDS)])
def test_help_teaches(command: tuple[str, ...]) -> None:
    ran = run(*command, "--help")
    assert ran.exit_code == 0
    assert "Usage: " in ran.output
    assert "production1" in ran.output or command


STATUS = {
    "containers": {"app": {"image": "doorman", "tag": None, "digest": None}},
    "deployments": [{"status": "PRIMARY", "revision": "d:2", "rolloutState": None, **COUNTS}],
    "newest": {"app": {"tag": "v2", "digest": "x", "by": "push", "requestedAt": "now", "failed": True}},
    "owner": "arn:x",
    "waiting": [{"execution": "push-2", "for": "approval", "since": "now"}],
    "held": ["wet paint"],
}
DONE = {
    "startedAt": "2026-01-31T12:00:00.000Z",
    "result": "DEPLOYED",
    "image": "r.x/doorman:v1",
    "revision": "d:2",
    "by": "push",
    "seconds": 9.6,
    "times": {"pull": 2.2, "shift": 0},
}
REHEARSED = {
    "revision": None,
    "base": "d:1",
    "containers": ["app"],
    "differences": [{"member": "app.image", "before": None, "after": "new"}, {"member": "app.command"}],
    "warnings": ["it may be gone"],
    "gates": {"approval": 60},
}


@table(
    "outcome, document, lines",
    {
        "a status": (
            "STATUS",
            STATUS,
            [
                "app: doorman:?  digest not known",
                "PRIMARY d:2 : 1 of 3 running, 2 pending, 0 failed",
                "newest of app: v2, by push at now, which failed",
                "deploys now: arn:x",
                "waits for approval since now: push-2",
                "pushes are held: wet paint",
            ],
        ),
        "a history": (
            "HISTORY",
            {"executions": [DONE, {**DONE, "result": None, "image": "", "seconds": None, "times": None}]},
            [
                "2026-01-31T12:00:00  DEPLOYED    doorman:v1  d:2  by push  10 s  pull 2 s",
                "2026-01-31T12:00:00  RUNNING     d:2  d:2  by push",
            ],
        ),
        "what would be": (
            "REHEARSED",
            REHEARSED,
            [
                "a new revision, from d:1, in app",
                "approval: 60",
                "+ app.image: new",
                "~ app.command (not shown: it may hold a secret)",
                "! it may be gone",
            ],
        ),
        "nothing": ("DEPLOYED", None, []),
        "what a later release shows": ("NEWS", {"a": 1}, []),
    },
)
def test_what_is_shown(outcome: str, document: dict[str, Any] | None, lines: list[str]) -> None:
    found = lines_of({"outcome": outcome} | ({"shown": document} if document else {}))
    assert [each.text for each in found] == lines


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.html"


def test_a_history_as_a_page(states: States, page: Path) -> None:
    """What Step Functions has forgotten is not on it."""
    ran = [{**DONE, "execution": f"{EXECUTION}-{number}"} for number in (1, 2)]
    shown = {"outcome": "HISTORY", **SERVICE, "shown": {"executions": ran}}
    told = {"name": "told", "status": "SUCCEEDED", "input": "{}", "output": '{"outcome": "DEPLOYED", "image": "a<b"}'}
    states.described = [
        {"status": "SUCCEEDED", "output": json.dumps(shown)},
        {**told, "stopDate": datetime.now(UTC)},
        ClientError("ExecutionDoesNotExist", "gone"),
    ]
    result = run("history", *WHERE, "--html", str(page))
    assert (result.exit_code, str(page) in result.stderr) == (0, True)
    text = page.read_text()
    assert "1 executions of doorman-service in production1" in text
    assert "a&lt;b" in text
    assert "verdict: DEPLOYED" in text


def test_a_page_that_cannot_be_written(states: States, page: Path) -> None:
    shown = {"outcome": "HISTORY", **SERVICE, "shown": {"executions": []}}
    states.described = [{"status": "SUCCEEDED", "output": json.dumps(shown)}]
    result = run("history", *WHERE, "--html", str(page / "nowhere"))
    assert (result.exit_code, "No such file" in result.stderr) == (ends.USAGE, True)


def test_no_page_of_a_history_that_failed(states: States, page: Path) -> None:
    states.described = [{"status": "FAILED", "error": "ServiceNotFound", "cause": '{"message": "no"}'}]
    assert run("history", *WHERE, "--html", str(page)).exit_code == ends.FAILURE
    assert not page.exists()
