"""The calls to Systems Manager."""

from typing import NamedTuple

import boto3

from ecs_deploy.aws.client import ONE_TRY, translating


class Calendar(NamedTuple):
    """Whether a change calendar is open now, and until when, as AWS writes it."""

    is_open: bool
    until: str = ""


def state_of(calendar: str) -> Calendar:
    """Read a change calendar, by its name or its ARN. Raises `DeployError`, `AwsUnavailable`.

    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCalendarState.html
    """
    with translating():
        answer = boto3.client("ssm", config=ONE_TRY).get_calendar_state(CalendarNames=[calendar])
    return Calendar(answer["State"] == "OPEN", answer.get("NextTransitionTime", ""))


def put_parameter(name: str, value: str) -> None:
    """Write a parameter, whether it is there already or not. Raises `DeployError`, `AwsUnavailable`.

    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
    """
    with translating():
        boto3.client("ssm", config=ONE_TRY).put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
