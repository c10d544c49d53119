"""The first step: check the request, edit the revision in use, and register the result."""

from collections.abc import Mapping
from datetime import datetime

from ecs_deploy import course, ecs, shell
from ecs_deploy.course import Answer, Outcome
from ecs_deploy.ecs import TaskDefinition
from ecs_deploy.model import Marks, Progress, Service, instant, tag_value
from ecs_deploy.order import Standing, standing
from ecs_deploy.registry import Ecr, ecr
from ecs_deploy.request import Home, Request, parse
from ecs_deploy.support import require_supported
from ecs_deploy.task_definition import edit, tags_for

_NOTHING_TO_DO = {Standing.NEWER: Outcome.SUPERSEDED, Standing.SAME_REQUEST: Outcome.DUPLICATE}


@shell.step
def handler(event: shell.Event, home: Home) -> Answer:
    """Answer `update` with a registered revision, or the end of an execution that changes nothing."""
    request = parse(event["request"], home)
    service = ecs.describe_service(request.cluster, request.service)
    require_supported(service)
    in_use = ecs.describe_task_definition(service.primary.revision)
    marks = _marks(request, event["execution"], service)
    if outcome := _NOTHING_TO_DO.get(standing(Marks.read(in_use.tags), marks)):
        return course.stand_down(outcome, service, str(request.image), marks.started_at, shell.now())
    change = edit(in_use.document, request.image, request.container)
    tags = tags_for(in_use.tags, marks.as_tags())
    if ecr(change.image.domain) == Ecr(home.account, home.region):
        ecs.require_image(change.image)
    revision = _registered_before(event, in_use, marks) or ecs.register_task_definition(change.document, tags)
    shell.logger.info("Registered", revision=revision, replaces=marks.replaces, containers=change.containers)
    return course.update(
        Progress(
            execution=event["execution"]["id"],
            cluster=service.cluster,
            service=service.name,
            image=str(change.image),
            revision=revision,
            replaced=marks.replaces,
            timeout=request.timeout,
            rollback=request.rollback,
            started_at=instant(marks.started_at),
        )
    )


def _marks(request: Request, execution: Mapping[str, str], service: Service) -> Marks:
    started_at = datetime.fromisoformat(execution["startedAt"])
    return Marks(
        request=request.push.id if request.push else tag_value(execution["name"]),
        execution=tag_value(execution["id"]),
        requested_at=request.push.time if request.push else started_at,
        started_at=started_at,
        replaces=service.proven,
    )


def _registered_before(event: shell.Event, in_use: TaskDefinition, marks: Marks) -> str | None:
    """The revision that an earlier try of this step registered, where its answer was lost."""
    if not event["attempt"]:
        return None
    newest = ecs.describe_task_definition(in_use.document["family"])
    return newest.arn if standing(Marks.read(newest.tags), marks) == Standing.OWN else None
