"""The first step: check the request, and register the revision it asks for or find it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from ecs_deploy import course, ecs, shell
from ecs_deploy.course import Answer, Outcome
from ecs_deploy.ecs import TaskDefinition
from ecs_deploy.errors import DeploymentFailed, InvalidRequest
from ecs_deploy.history import newest_stable_before, to_return_to
from ecs_deploy.model import Marks, Progress, instant, tag_value
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
    in_use = ecs.describe_task_definition(service.in_use)
    marks = _marks(request, event["execution"], to_return_to(service, in_use))
    if outcome := _NOTHING_TO_DO.get(standing(Marks.read(in_use.tags), marks)):
        wanted = str(request.wanted.image) if isinstance(request.wanted, NewImage) else None
        return course.stand_down(outcome, service, wanted, marks.started_at, shell.now())
    match request.wanted:
        case NewImage(image, container):
            revision, deployed = _register(event, home, in_use, marks, edit(in_use.document, image, container))
        case OldRevision(name):
            revision, deployed = _reuse(_existing(name), marks)
        case Revert():
            revision, deployed = _reuse(newest_stable_before(in_use), marks)
    return course.update(
        Progress(
            execution=event["execution"]["id"],
            cluster=service.cluster,
            service=service.name,
            image=deployed,
            revision=revision,
            replaced=marks.replaces,
            timeout=request.timeout,
            rollback=request.rollback,
            started_at=instant(marks.started_at),
        )
    )


def _register(event: shell.Event, home: Home, in_use: TaskDefinition, marks: Marks, change: Edit) -> tuple[str, str]:
    """Register the edited revision, unless an earlier try did; answers its ARN and its image."""
    tags = tags_for(in_use.tags, marks.as_tags())
    if ecr(change.image.domain) == Ecr(home.account, home.region):
        ecs.require_image(change.image)
    revision = _registered_before(event, in_use, marks) or ecs.register_task_definition(change.document, tags)
    shell.logger.info("Registered", revision=revision, replaces=marks.replaces, containers=change.containers)
    return revision, str(change.image)


def _reuse(old: TaskDefinition, marks: Marks) -> tuple[str, str]:
    """Mark a revision as asked for again: its place in the order of requests is new, what it replaced is history."""
    before = Marks.read(old.tags)
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


def _marks(request: Request, execution: Mapping[str, str], replaces: str) -> Marks:
    started_at = datetime.fromisoformat(execution["startedAt"])
    return Marks(
        request=request.push.id if request.push else tag_value(execution["name"]),
        execution=tag_value(execution["id"]),
        requested_at=request.push.time if request.push else started_at,
        started_at=started_at,
        replaces=replaces,
    )


def _registered_before(event: shell.Event, in_use: TaskDefinition, marks: Marks) -> str | None:
    """The revision that an earlier try of this step registered, where its answer was lost."""
    if not event["attempt"]:
        return None
    newest = ecs.describe_task_definition(in_use.document["family"])
    return newest.arn if standing(Marks.read(newest.tags), marks) == Standing.OWN else None
