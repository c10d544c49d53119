"""The third step, again and again: look at the service and judge the deployment."""

from dataclasses import asdict

from ecs_deploy import course, ecs, shell
from ecs_deploy.course import Answer
from ecs_deploy.errors import AwsUnavailable, DeployError, ServiceNotFound
from ecs_deploy.evidence import explain
from ecs_deploy.history import marks_of
from ecs_deploy.model import Explanation, Progress, Service
from ecs_deploy.order import yields
from ecs_deploy.request import Home
from ecs_deploy.verdict import Finding, Verdict, is_ours, judge, judge_before_ours, judge_shift, settle

_NOTHING_TO_EXPLAIN = Explanation("", ())


@shell.step
def handler(event: shell.Event, _home: Home) -> Answer:
    """Answer what follows from the state of the rollout."""
    progress = Progress.from_json(event["progress"]).polled()
    try:
        service = ecs.describe_service(progress.cluster, progress.service)
    except ServiceNotFound:
        return course.after_deletion(progress)
    progress, verdict = _judge(progress, service)
    verdict = _look_closer(progress, service, verdict)
    shell.logger.info("Polled", finding=verdict.finding.name, reason=verdict.reason, polls=progress.polls)
    shell.logger.debug("Deployments", deployments=[asdict(each) for each in service.deployments])
    said = verdict.reason or progress.reason or "the service gives no reason"
    explanation = explain(progress, service, said) if course.is_failure(verdict) else _NOTHING_TO_EXPLAIN
    _mark(progress.revision, course.mark(progress, verdict))
    return course.after_poll(progress, verdict, explanation, service, shell.now())


def _look_closer(progress: Progress, service: Service, verdict: Verdict) -> Verdict:
    """Settle what the service alone does not tell: by the tasks, or by the marks of the revision that is in use."""
    if verdict.finding == Finding.TASKS_KEEP_FAILING:
        return _settle(progress)
    displaced = verdict.finding == Finding.DISPLACED
    if displaced and progress.may_insist and not yields(progress.marks, marks_of(service.in_use)):
        return Verdict(Finding.OVERTAKEN, verdict.reason)
    return verdict


def _settle(progress: Progress) -> Verdict:
    """Ask the tasks; where they cannot be read nothing is settled, and the deadline stands."""
    try:
        return settle(ecs.describe_tasks(progress.cluster, progress.service), progress.target)
    except (DeployError, AwsUnavailable) as error:
        shell.logger.warning("The tasks could not be read", reason=str(error))
        return Verdict(Finding.IN_PROGRESS)


def _judge(progress: Progress, service: Service) -> tuple[Progress, Verdict]:
    """Judge by the deployment that UpdateService made; where ECS shifts traffic, by its service deployment."""
    now = shell.now()
    if service.is_rolling or not service.is_active:
        return progress, judge(
            service,
            deployment=progress.deployment,
            revision=progress.target,
            before=progress.before,
            overdue=now >= progress.deadline,
        )
    arn = progress.deployment or service.service_deployment
    seen = ecs.describe_service_deployment(arn) if arn else None
    at = progress.updated_at_time
    if seen is None or not is_ours(seen, followed=progress.deployment, revision=progress.target, updated_at=at):
        return progress, judge_before_ours(now - at)
    return progress.following(seen.arn), judge_shift(service, seen, overdue=now >= progress.deadline)


def _mark(revision: str, tags: dict[str, str]) -> None:
    """Tag the revision with its verdict, for those who look for one to return to; the verdict stands without it."""
    try:
        if tags:
            ecs.tag(revision, tags)
    except (DeployError, AwsUnavailable) as error:
        shell.logger.warning("The revision could not be marked", revision=revision, tags=tags, reason=str(error))
