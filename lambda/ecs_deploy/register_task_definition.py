"""The first step: check the request, and register the revision it asks for or find it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from ecs_deploy import course, ecs, shell
from ecs_deploy.course import Answer, Outcome
from ecs_deploy.ecs import TaskDefinition
from ecs_deploy.errors import DeploymentFailed, InvalidRequest
from ecs_deploy.history import Known, between, know, newest_stable_before, to_return_to
from ecs_deploy.model import Marks, Progress, Service, instant, tag_value
from ecs_deploy.order import Standing, standing
from ecs_deploy.registry import Ecr, ecr
from ecs_deploy.request import Home, NewImage, OldRevision, Request, Revert, parse
from ecs_deploy.support import require_supported
from ecs_deploy.task_definition import Edit, edit, tags_for

_NOTHING_TO_DO = {Standing.NEWER: Outcome.SUPERSEDED, Standing.SAME_REQUEST: Outcome.DUPLICATE}


@shell.step
def handler(event: shell.Event, home: Home) -> Answer:
    """Answer `update` with a registered revision, or the end of an execution that changes nothing."""
    request = parse(event["request"], home)
    service = ecs.describe_service(request.cluster, request.service)
    require_supported(service)
    # An event can be doubled and a step retried; only then may somebody have registered for this request already.
    known = know(service, others=request.push is not None or event["attempt"] > 0)
    marks = _marks(request, event["execution"], service, to_return_to(service, known.in_use))
    claim = known.claim(marks)
    for there in filter(None, (known.in_use, claim)):
        if outcome := _NOTHING_TO_DO.get(standing(there.marks, marks)):
            return _stand_down(outcome, service, request, marks)
    match request.wanted:
        case NewImage(image, container):
            change = edit(known.in_use.document, image, container)
            revision, deployed = claim.arn if claim else _register(home, known.in_use, marks, change), str(change.image)
            if request.push and _was_claimed_meanwhile(known, revision, marks):
                return _stand_down(Outcome.DUPLICATE, service, request, marks)
        case OldRevision(name):
            revision, deployed = _reuse(_existing(name), marks)
        case Revert():
            revision, deployed = _reuse(newest_stable_before(known.in_use), marks)
    return course.update(
        Progress(
            execution=marks.execution,
            cluster=service.cluster,
            service=service.name,
            image=deployed,
            revision=revision,
            base=known.in_use.arn,
            replaced=marks.replaces,
            timeout=request.timeout,
            rollback=request.rollback,
            request=marks.request,
            requested_at=instant(marks.requested_at),
            started_at=instant(marks.started_at),
        )
    )


def _was_claimed_meanwhile(known: Known, revision: str, marks: Marks) -> bool:
    """Whether another execution of the same event was the first to register, after this one had looked."""
    since = between(known.newest, revision, known.in_use)
    return any(standing(each.marks, marks) == Standing.SAME_REQUEST for each in since)


def _stand_down(outcome: Outcome, service: Service, request: Request, marks: Marks) -> Answer:
    image = str(request.wanted.image) if isinstance(request.wanted, NewImage) else None
    return course.stand_down(outcome, service, image, marks.started_at, shell.now())


def _register(home: Home, in_use: TaskDefinition, marks: Marks, change: Edit) -> str:
    """Register the edited revision; answers its ARN."""
    tags = tags_for(in_use.tags, marks.as_tags())
    if ecr(change.image.domain) == Ecr(home.account, home.region):
        ecs.require_image(change.image)
    revision = ecs.register_task_definition(change.document, tags)
    shell.logger.info("Registered", revision=revision, replaces=marks.replaces, containers=change.containers)
    return revision


def _reuse(old: TaskDefinition, marks: Marks) -> tuple[str, str]:
    """Mark a revision as asked for again: its place in the order of requests is new, what it replaced is history."""
    before = old.marks
    ecs.tag(old.arn, replace(marks, replaces=before.replaces if before else marks.replaces).as_tags())
    shell.logger.info("Reused", revision=old.arn, replaces=marks.replaces)
    return old.arn, old.document["containerDefinitions"][0]["image"]


def _existing(name: str) -> TaskDefinition:
    try:
        old = ecs.describe_task_definition(name)
    except DeploymentFailed as error:
        raise InvalidRequest(f"The revision {name} cannot be deployed. {error.message}") from error
    if old.document.get("status") == "INACTIVE":
        raise InvalidRequest(f"The revision {name} is INACTIVE. Name one that is registered.")
    return old


def _marks(request: Request, execution: Mapping[str, str], service: Service, replaces: str) -> Marks:
    started_at = datetime.fromisoformat(execution["startedAt"])
    return Marks(
        service=f"{service.cluster}/{service.name}",
        request=request.push.id if request.push else tag_value(execution["name"]),
        execution=tag_value(execution["id"]),
        requested_at=request.push.time if request.push else started_at,
        started_at=started_at,
        replaces=replaces,
    )
