"""Why pushes to a service wait now, besides what its state says: a closed window, an alarm that is not OK.

What cannot be read is a reason too: nobody knows that a push may start.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ecs_deploy.core.errors import DeployError
from ecs_deploy.handlers import runtime

if TYPE_CHECKING:
    from ecs_deploy.core.policy import Target


def observed(wanted: Iterable["Target"]) -> tuple[str, ...]:
    """The reasons of the targets of a service. Raises `AwsUnavailable`."""
    targets = list(wanted)
    windows = dict.fromkeys(each.window for each in targets if each.window)
    alarms = dict.fromkeys(each.alarm for each in targets if each.alarm)
    reasons = [_reason("calendar", each, _of_window) for each in windows]
    reasons += [_reason("alarm", each, _of_alarm) for each in alarms]
    return tuple(filter(None, reasons))


def _reason(what: str, name: str, read: Callable[[str], str]) -> str:
    try:
        return read(name)
    except DeployError as error:
        runtime.logger.warning("What pushes wait for could not be read", kind=what, which=name, reason=error.message)
        return f"the {what} {name} could not be read: {error.message}"


def _of_window(name: str) -> str:
    # Few services have a window, and each start would wait for the SDK's client.
    from ecs_deploy.aws import ssm  # noqa: PLC0415

    calendar = ssm.state_of(name)
    until = f" until {calendar.until}" if calendar.until else ""
    return "" if calendar.is_open else f"the calendar {name} is closed{until}"


def _of_alarm(name: str) -> str:
    from ecs_deploy.aws import cloudwatch  # noqa: PLC0415

    state = cloudwatch.state_of(name)
    if state == "OK":
        return ""
    return f"the alarm {name} is {state}" if state else f"there is no alarm {name}"
