"""The start of an execution of the workflow."""

from ecs_deploy.aws import stepfunctions
from ecs_deploy.core.policy import Start
from ecs_deploy.handlers import runtime


def start(wanted: Start | None) -> str | None:
    """Start an execution; None where there is none to start, or its name was used."""
    if wanted is None:
        return None
    execution = stepfunctions.start(runtime.machine(), wanted.name, wanted.request)
    runtime.logger.info(
        "Started" if execution else "Was started before", execution_name=wanted.name, request=wanted.request
    )
    return execution
