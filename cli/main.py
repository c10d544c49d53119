"""The commands, as click reads them."""

from __future__ import annotations

import os
import shlex
import sys
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

import click

from . import __version__, ends, script

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .aws import Machine
    from .ends import End

    Command = Callable[..., Any]

_EXAMPLES = """
\b
Examples:
  ecs-deploy -c production1 -n doorman-service -i doorman:v1.1.0
  ecs-deploy follow -n doorman-service -i doorman:v1.1.0
  ecs-deploy revert -c production1 -n doorman-service
  ecs-deploy hold -c production1 -n doorman-service "no deployments before Monday"
"""


class _Commands(click.Group):
    """The commands; plain options, as the bash script has them, are those of `deploy`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in {"--help", "--version"}:
            args = ["deploy", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Commands, epilog=_EXAMPLES, context_settings={"help_option_names": ["--help"]})
@click.version_option(__version__, "--version", prog_name="ecs-deploy")
def main() -> None:
    """Deploy an image to a service on Amazon ECS, and follow the deployment to its end.

    Each command starts an execution of the state machine of ecs-deploy, or follows one. Without the name of a command,
    the options are those of deploy.
    """


def _where(command: Command) -> Command:
    """The options that find the machine."""
    command = click.option("--stack", default="EcsDeploy", show_default=True, help="The name of the stack.")(command)
    command = click.option("-r", "--region", help="The region of the stack; else that of your configuration.")(command)
    return click.option("-p", "--profile", help="A profile of the AWS CLI's configuration.")(command)


def _service(command: Command) -> Command:
    """The options that name the service."""
    command = click.option("-n", "--service-name", "service", help="The service: its name or its ARN.")(command)
    return click.option("-c", "--cluster", help="The cluster: its name or its ARN.")(command)


def _shown(command: Command) -> Command:
    """The options of what is shown."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")(command)
    return click.option("--no-wait", is_flag=True, help="Start the execution, print its ARN, and end.")(command)


def _as_the_script(command: Command) -> Command:
    """The script's options that are refused, with what to use instead; and those that change nothing here."""
    for each in script.OPTIONS:
        name = each.names[-1].lstrip("-").replace("-", "_")
        settings: dict[str, Any] = {"hidden": True, "expose_value": False}
        if not each.takes_value:
            settings["is_flag"] = True
        if not each.works:
            command = click.option(*each.names, name, callback=_refused(each), **settings)(command)
        elif each.names[0] in {"--enable-rollback", "--copy-task-definition-tags", "--aws-instance-profile"}:
            command = click.option(*each.names, name, **settings)(command)
    return command


def _refused(option: script.Option) -> Callable[[click.Context, click.Parameter, Any], None]:
    def refuse(_context: click.Context, _parameter: click.Parameter, value: object) -> None:
        if value:
            names = ", ".join(option.names)
            raise _usage(f"{names} is an option of the bash script that this command does not have. {option.instead}")

    return refuse


@main.command()
@_service
@click.option("-i", "--image", help="The image, in Docker's format; without a tag it is latest.")
@click.option(
    "-e", "--tag-env-var", metavar="VARIABLE", help="Take the tag from this variable, unless the image has one."
)
@click.option("-t", "--timeout", type=int, metavar="SECONDS", help="How long the rollout may take; 600 by default.")
@click.option("--container", help="Change this container only.")
@click.option("--revision", help="Deploy this revision as it is, instead of an image: family:number.")
@click.option("--no-rollback", is_flag=True, help="Do not return to what was stable, whatever happens.")
@click.option("--require-rollback", is_flag=True, help="Refuse what could not be returned from.")
@click.option("--no-pin", is_flag=True, help="Let the revision name the tag, not the digest.")
@click.option("--approval", type=int, metavar="SECONDS", help="Wait for somebody to approve it, for so long.")
@click.option("--before", metavar="COMMAND", help="Run a task of the new revision first, which has to end with 0.")
@click.option("--after", metavar="COMMAND", help="Run a task once it is stable, and return unless it ends with 0.")
@click.option("--watch", type=int, metavar="SECONDS", help="Watch it for so long once it is stable.")
@click.option("--alarm", "alarms", multiple=True, metavar="NAME", help="Return where this alarm goes off meanwhile.")
@click.option("--dry-run", is_flag=True, help="Check, show what would be deployed, and write nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Print each state as a line, on a terminal too.")
@_shown
@_where
@_as_the_script
@click.version_option(__version__, "--version", prog_name="ecs-deploy")
def deploy(*, no_wait: bool, as_json: bool, verbose: bool, **given: Any) -> None:
    """Deploy an image, or a revision, to a service."""
    image, revision = given["image"], given["revision"]
    if not (image or revision):
        raise _usage("Name the image with -i, or a revision with --revision.", ends.NO_IMAGE)
    request = _named(given["cluster"], given["service"])
    said = {
        "image": image,
        "revision": revision,
        "container": given["container"],
        "timeout": given["timeout"],
        "rollback": False if given["no_rollback"] else None,
        "requireRollback": given["require_rollback"] or None,
        "pin": False if given["no_pin"] else None,
        "dryRun": given["dry_run"] or None,
        "approval": given["approval"],
        "before": _task(given["before"]),
        "after": _task(given["after"]),
        "watch": _watch(given["watch"], given["alarms"]),
        "tag": _tag(image or "", given["tag_env_var"]) if given["tag_env_var"] else None,
    }
    request |= {key: value for key, value in said.items() if value is not None}
    _execute(request, given, no_wait=no_wait, as_json=as_json, verbose=verbose)


@main.command()
@_service
@click.option("--to", "revision", metavar="REVISION", help="This revision, not the one that was stable before.")
@click.option("-t", "--timeout", type=int, metavar="SECONDS", help="How long the rollout may take; 600 by default.")
@click.option("--dry-run", is_flag=True, help="Check, show what would be deployed, and write nothing.")
@_shown
@_where
def revert(
    cluster: str | None, service: str | None, revision: str | None, timeout: int | None, *, dry_run: bool,
    no_wait: bool, as_json: bool, **where: Any,
) -> None:  # fmt: skip
    """Deploy what was stable before, with the digests that it ran."""
    request = _named(cluster, service) | ({"revision": revision} if revision else {"revert": True})
    request |= {"timeout": timeout} if timeout is not None else {}
    request |= {"dryRun": True} if dry_run else {}
    _execute(request, where, no_wait=no_wait, as_json=as_json)


@main.command()
@_service
@click.argument("why")
@_shown
@_where
def hold(
    cluster: str | None, service: str | None, why: str, *, no_wait: bool, as_json: bool, **where: Any
) -> None:  # fmt: skip
    """Let pushes to a service wait, for a reason."""
    _execute(_named(cluster, service) | {"hold": why}, where, no_wait=no_wait, as_json=as_json)


@main.command()
@_service
@_shown
@_where
def release(cluster: str | None, service: str | None, *, no_wait: bool, as_json: bool, **where: Any) -> None:
    """Let pushes go on; the newest that was held starts."""
    _execute(_named(cluster, service) | {"release": True}, where, no_wait=no_wait, as_json=as_json)


@main.command()
@click.argument("group")
@click.option("-i", "--image", help="The image, in Docker's format; without a tag it is latest.")
@_shown
@_where
def together(group: str, image: str | None, *, no_wait: bool, as_json: bool, **where: Any) -> None:
    """Deploy an image to the services of a group as one."""
    if not image:
        raise _usage("Name the image with -i.", ends.NO_IMAGE)
    _execute({"together": group, "image": image}, where, no_wait=no_wait, as_json=as_json)


@main.command()
@click.argument("execution")
@_service
@_shown
@_where
def approve(
    execution: str, cluster: str | None, service: str | None, *, no_wait: bool, as_json: bool, **where: Any
) -> None:  # fmt: skip
    """Let an execution go on that waits for approval, or at a hook of ECS."""
    _execute(_named(cluster, service) | {"approve": execution}, where, no_wait=no_wait, as_json=as_json)


main.add_command(approve, "continue")


@main.command()
@click.argument("execution")
@click.argument("why")
@_service
@_shown
@_where
def reject(
    execution: str, why: str, cluster: str | None, service: str | None, *, no_wait: bool, as_json: bool, **where: Any
) -> None:  # fmt: skip
    """End an execution that waits for approval, for a reason; at a hook of ECS, roll back."""
    request = _named(cluster, service) | {"reject": execution, "why": why}
    _execute(request, where, no_wait=no_wait, as_json=as_json)


@main.command()
@_service
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_where
def status(cluster: str | None, service: str | None, *, as_json: bool, **where: Any) -> None:
    """Show what runs, what is newest, what is held and what rolls out."""
    _execute(_named(cluster, service) | {"status": True}, where, no_wait=False, as_json=as_json)


@main.command()
@_service
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--html", type=click.File("w", encoding="utf-8", lazy=True, atomic=True), help="Write them as a page of timelines."
)
@_where
def history(
    cluster: str | None, service: str | None, html: IO[str] | None, *, as_json: bool, **where: Any
) -> None:  # fmt: skip
    """Show the last 20 executions: what, by whom, how it ended, and how long each part took."""
    request = _named(cluster, service) | {"history": True}
    machine, end = _follow(_started(request), where, as_json=as_json, request=request)
    if html and end.code == ends.SUCCESS:
        _draw(machine, end, html)
    sys.exit(end.code)


@main.command()
@click.argument("execution", required=False)
@_service
@click.option("-i", "--image", help="Wait for the execution that a push of this image starts.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@_where
def follow(
    execution: str | None, cluster: str | None, service: str | None, image: str | None, *, as_json: bool, **where: Any
) -> None:  # fmt: skip
    """Follow an execution, by its name or its ARN; or the one that a push starts, by -n and -i."""
    if bool(execution) == bool(service or image):
        raise _usage("Name an execution, or the service and the image of a push with -n and -i.")
    if not execution and not service:
        raise _usage("Name the service with -n.", ends.NO_SERVICE)
    if not execution and not image:
        raise _usage("Name the image with -i.", ends.NO_IMAGE)

    def find(machine: Machine, shown: Any) -> str:
        # The SDK comes with it.
        from .follow import started_by_push  # noqa: PLC0415

        if execution:
            return machine.execution(execution)
        return started_by_push(machine, cluster, str(service), str(image), shown)

    _, end = _follow(find, where, as_json=as_json)
    sys.exit(end.code)


def _named(cluster: str | None, service: str | None) -> dict[str, Any]:
    if not service:
        raise _usage("Name the service with -n.", ends.NO_SERVICE)
    if not cluster:
        raise _usage("Name the cluster with -c.", ends.NO_CLUSTER)
    return {"cluster": cluster, "service": service}


def _task(command: str | None) -> dict[str, Any] | None:
    """A task of a request: the words of its command, as a shell would take them apart."""
    try:
        return None if command is None else {"command": shlex.split(command)}
    except ValueError as error:
        raise _usage(f"The command {command} cannot be read: {error}.") from error


def _watch(seconds: int | None, alarms: tuple[str, ...]) -> dict[str, Any] | None:
    if alarms and seconds is None:
        raise _usage("--alarm goes with --watch, which says for how long.")
    return None if seconds is None else {"seconds": seconds, **({"alarms": [*alarms]} if alarms else {})}


def _tag(image: str, variable: str) -> str | None:
    value = os.environ.get(variable, "")
    if not value:
        raise _usage(f"-e names the variable {variable}, which is not set or empty.")
    return script.tag_of(image, value)


def _execute(
    request: Mapping[str, Any], where: Mapping[str, Any], *, no_wait: bool, as_json: bool, verbose: bool = False
) -> None:
    if no_wait:
        machine = _machine(where)
        arn = _once(lambda: machine.start(request))
        click.echo(f'{{"execution": "{arn}"}}' if as_json else arn)
        return
    _, end = _follow(_started(request), where, as_json=as_json, verbose=verbose, request=request)
    sys.exit(end.code)


def _started(request: Mapping[str, Any]) -> Callable[[Machine, Any], str]:
    return lambda machine, _: _once(lambda: machine.start(request))


def _draw(machine: Machine, end: End, file: IO[str]) -> None:
    """Write the page of the executions that a history has shown."""
    from .report import render, stories  # noqa: PLC0415 - the SDK comes with it

    executions = [each["execution"] for each in end.document["shown"]["executions"]]
    of = f"of {end.document['service']} in {end.document['cluster']}"
    file.write(render([*stories(machine, executions)], of, datetime.now(UTC)))
    click.echo(f"The page is {file.name}.", err=True)


def _follow(
    find: Callable[[Machine, Any], str], where: Mapping[str, Any], *, as_json: bool, verbose: bool = False,
    request: Mapping[str, Any] | None = None,
) -> tuple[Machine, End]:  # fmt: skip
    """Show an execution until it ends; answer its machine and its end."""
    from . import follow as following  # noqa: PLC0415 - the SDK comes with it
    from .view import Plain, view  # noqa: PLC0415

    machine = _machine(where)
    shown = Plain() if verbose and not as_json else view(as_json=as_json)
    with shown:
        execution = find(machine, shown)
        shown.began(execution)
        while True:
            try:
                end = following.follow(machine, execution, shown)
            except KeyboardInterrupt:
                shown.__exit__(None, None, None)
                execution = _interrupted(machine, execution, request)
                shown.__enter__()
                continue
            break
        shown.ended(end)
    return machine, end


def _interrupted(machine: Machine, execution: str, request: Mapping[str, Any] | None) -> str:
    """What to do at Ctrl-C: the execution to follow from now on. Ends the command unless there is one."""
    keeps = {"hold", "release", "status", "history", "approve", "reject", "dryRun", "together"}
    can_return = request is not None and not keeps & request.keys()
    if sys.stdin.isatty() and sys.stdout.isatty():
        choices = "[w]atch on, [l]eave it running" + (", [r]oll back" if can_return else "")
        answer = click.prompt(f"\n{choices}", default="l", show_default=False).strip().lower()[:1]
        if answer == "w":
            return execution
        if answer == "r" and request is not None and can_return:
            return machine.start({"cluster": request["cluster"], "service": request["service"], "revert": True})
    click.echo(f"The execution goes on: ecs-deploy follow {execution}", err=True)
    sys.exit(ends.INTERRUPTED)


def _machine(where: Mapping[str, Any]) -> Machine:
    from .aws import Machine  # noqa: PLC0415 - the SDK comes with it

    return Machine(where["stack"], where["region"], where["profile"])


def _once(call: Callable[[], str]) -> str:
    from .aws import CliError, ConnectionLostError  # noqa: PLC0415

    try:
        return call()
    except ConnectionLostError as error:
        raise CliError(f"AWS cannot be reached: {error}. Nothing was started, as far as can be seen.") from error


class _UsageError(click.UsageError):
    """A wrong command line, with the script's exit status for it."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, click.get_current_context(silent=True))
        self.code = code


def _usage(message: str, code: int = ends.USAGE) -> click.UsageError:
    return _UsageError(message, code)


def run() -> None:
    """The command `ecs-deploy`."""
    try:
        main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(ends.INTERRUPTED)
    except click.UsageError as error:
        error.show()
        sys.exit(error.code if isinstance(error, _UsageError) else ends.USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(ends.USAGE)
    except KeyboardInterrupt:
        sys.exit(ends.INTERRUPTED)
    except Exception as error:
        code = getattr(error, "code", None)
        if type(error).__name__ not in {"CliError", "ConnectionLostError"}:
            raise
        click.echo(f"Error: {error}", err=True)
        sys.exit(code if isinstance(code, int) else ends.NO_AWS)
