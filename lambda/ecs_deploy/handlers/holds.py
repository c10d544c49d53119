"""Why pushes to a service wait now, besides what its state says: a closed window, an alarm that is not OK.

What cannot be read is a reason too: nobody knows that a push may start.
"""

from collections.abc import Iterable
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
    return tuple(filter(None, (*map(_of_window, windows), *map(_of_alarm, alarms))))


def _of_window(name: str) -> str | None:
    # Few services have a window, and each start would wait for the SDK's client.
    from ecs_deploy.aws import ssm  # noqa: PLC0415

    try:
        calendar = ssm.state_of(name)
    except DeployError as error:
        runtime.logger.warning("A calendar could not be read", calendar=name, reason=error.message)
        return f"whether the calendar {name} is open could not be read: {error.message}"
    if calendar.is_open:
        return None
    return f"the calendar {name} is closed{f' until {calendar.until}' if calendar.until else ''}"


def _of_alarm(name: str) -> str | None:
    from ecs_deploy.aws import cloudwatch  # noqa: PLC0415

    try:
        state = cloudwatch.state_of(name)
    except DeployError as error:
        runtime.logger.warning("An alarm could not be read", alarm=name, reason=error.message)
        return f"whether the alarm {name} is OK could not be read: {error.message}"
    return None if state == "OK" else f"the alarm {name} is {state}" if state else f"there is no alarm {name}"
