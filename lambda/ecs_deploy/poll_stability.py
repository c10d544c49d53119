"""The third step, again and again: look at the service and judge the deployment."""

from datetime import datetime

from ecs_deploy import course, ecs, shell
from ecs_deploy.course import Answer
from ecs_deploy.ecs import TaskDefinition
from ecs_deploy.errors import AwsUnavailable, DeployError, ServiceNotFound
from ecs_deploy.history import fallbacks, find, newer
from ecs_deploy.home import Home
from ecs_deploy.marks import deployment_tag
from ecs_deploy.notation import family, number
from ecs_deploy.order import is_newer
from ecs_deploy.progress import Explanation, Phase, Progress
from ecs_deploy.service import Service
from ecs_deploy.task_definition import differ_elsewhere, images
from ecs_deploy.verdict import Finding, Verdict, is_ours, judge, judge_before_ours, judge_shift, settle

_NOTHING_TO_EXPLAIN = Explanation("", ())


@shell.step
def handler(event: shell.Event, _home: Home) -> Answer:
    """Answer what follows from the state of the rollout."""
    progress = Progress.from_json(event["progress"]).polled(retried=event["attempt"] > 0)
    if event["attempt"]:
        # The time of the tries before is not the rollout's.
        entered_at = datetime.fromisoformat(event["enteredAt"])
        progress = progress.delayed((shell.now() - entered_at).total_seconds())
    try:
        service = ecs.describe_service(progress.cluster, progress.service)
    except ServiceNotFound:
        return course.after_deletion(progress)
    progress, verdict = _judge(progress, service)
    verdict = _look_closer(progress, service, verdict)
    shell.logger.info("Polled", finding=verdict.finding.name, reason=verdict.reason, polls=progress.polls)
    shell.logger.debug("Deployments", deployments=[each._asdict() for each in service.deployments])
    said = verdict.reason or progress.reason or "the service gives no reason"
    explanation = _explain(progress, service, said) if course.is_failure(verdict) else _NOTHING_TO_EXPLAIN
    _mark(progress.target, course.proof(progress, verdict, service, shell.now()))
    if course.has_returned(progress, verdict, service):
        _mark_return(service)
    others = _fallbacks(progress) if course.needs_fallbacks(progress, verdict) else []
    if progress.phase == Phase.ROLLING_BACK and verdict.finding == Finding.STABLE and _failed_with_its_base(progress):
        shell.logger.info("Starts anew, since the revision before failed by itself", base=progress.base)
        return course.start_anew()
    return course.after_poll(progress, verdict, explanation, others, service, shell.now())


def _explain(progress: Progress, service: Service, said: str) -> Explanation:
    # Most rollouts never need it, and every start would wait for it.
    from ecs_deploy.evidence import explain  # noqa: PLC0415

    return explain(progress, service, said)


def _fallbacks(progress: Progress) -> list[str]:
    """The revisions to return to; the one that was stable where the others cannot be seen."""
    try:
        return fallbacks(progress)
    except DeployError as error:
        shell.logger.warning("The revisions could not be read", reason=error.message)
        return [progress.replaced]


def _failed_with_its_base(progress: Progress) -> bool:
    """Whether the revision was made from one that failed too, for what it changed in other containers."""
    base = _read(progress.base)
    if base is None or not base.has_failed:
        return False
    stable = _read(progress.target)
    return stable is not None and differ_elsewhere(base.document, stable.document, progress.containers)


def _look_closer(progress: Progress, service: Service, verdict: Verdict) -> Verdict:
    """Settle what the service alone does not tell: by the tasks, or by the marks of the revision that is in use."""
    if verdict.finding == Finding.TASKS_KEEP_FAILING:
        return _settle(progress)
    if progress.may_insist and _came_late(progress, service, verdict.finding):
        return Verdict(Finding.OVERTAKEN, verdict.reason)
    if verdict.finding == Finding.ECS_ROLLED_BACK and _failed_in_between(progress, service):
        return Verdict(Finding.DISPLACED, verdict.reason)
    return verdict


def _came_late(progress: Progress, service: Service, finding: Finding) -> bool:
    """Whether what is in use is there because another execution was late, or undid more than was its own."""
    if progress.phase == Phase.ROLLING_BACK:
        return finding != Finding.GONE and service.in_use in {progress.revision, *progress.tried} - {progress.target}
    if finding == Finding.DISPLACED:
        return _is_older(progress, service.in_use)
    seen_back = finding in {Finding.ECS_IS_ROLLING_BACK, Finding.ECS_ROLLED_BACK}
    if not seen_back or not progress.interrupted or _is_seen_to_fail(progress, service):
        return False
    # The execution of the revision that was interrupted undid this one instead. It gives it back, unless it dies.
    other = find(progress.interrupted)
    return other is not None and other.has_failed


def _failed_in_between(progress: Progress, service: Service) -> bool:
    """Whether a newer revision took this one's place, failed, and ECS returned from it to what was before both."""
    if progress.phase == Phase.ROLLING_BACK or _is_seen_to_fail(progress, service):
        return False
    return bool(newer(progress.revision, progress.marks))


def _is_seen_to_fail(progress: Progress, service: Service) -> bool:
    return any(each.revision == progress.revision and each.rollout_state == "FAILED" for each in service.deployments)


def _is_older(progress: Progress, revision: str) -> bool:
    """Whether the revision in use is of an older request, and was not made on top of the progress's own."""
    theirs = find(revision)
    if theirs is None or theirs.marks is None or is_newer(theirs.marks, progress.marks):
        return False
    mine = find(progress.revision)
    if mine is None or family(revision) != family(mine.arn) or number(revision) < number(mine.arn):
        return True
    return images(theirs.document, progress.containers) != images(mine.document, progress.containers)


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
        progress = progress.begun_anew(service) if service.is_active else progress
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


def _mark_return(service: Service) -> None:
    """Note that no person decided what the service runs now. What the deployer did not register stays as it is."""
    there = _read(service.in_use)
    if there and there.marks:
        _mark(there.arn, deployment_tag(service))


def _read(revision: str) -> TaskDefinition | None:
    """Read a revision; None also where that is not allowed, for a verdict stands without it."""
    try:
        return find(revision)
    except DeployError as error:
        shell.logger.warning("A revision could not be read", revision=revision, reason=error.message)
        return None


def _mark(revision: str, tags: dict[str, str]) -> None:
    """Tag the revision with its verdict, for those who look for one to return to; the verdict stands without it."""
    try:
        if tags:
            ecs.tag(revision, tags)
    except (DeployError, AwsUnavailable) as error:
        shell.logger.warning("The revision could not be marked", revision=revision, tags=tags, reason=str(error))
