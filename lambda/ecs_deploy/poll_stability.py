"""The third step, again and again: look at the service and judge the deployment."""

from dataclasses import asdict

from ecs_deploy import course, ecs, shell
from ecs_deploy.course import Answer
from ecs_deploy.model import Progress
from ecs_deploy.request import Home
from ecs_deploy.verdict import judge


@shell.step
def handler(event: shell.Event, _home: Home) -> Answer:
    """Answer what follows from the state of the rollout."""
    progress = Progress.from_json(event["progress"]).polled()
    service = ecs.describe_service(progress.cluster, progress.service)
    verdict = judge(
        service,
        deployment=progress.deployment,
        revision=progress.target,
        replaced=progress.other,
        overdue=shell.now() >= progress.deadline,
    )
    shell.logger.info("Polled", finding=verdict.finding.name, reason=verdict.reason, polls=progress.polls)
    shell.logger.debug("Deployments", deployments=[asdict(each) for each in service.deployments])
    return course.after_poll(progress, verdict, shell.now())
