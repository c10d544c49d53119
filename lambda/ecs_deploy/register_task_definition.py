"""The first step: check the request, and register the revision it asks for or find it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from ecs_deploy import course, ecs, executions, shell
from ecs_deploy.course import Answer, Outcome
from ecs_deploy.ecs import TaskDefinition
from ecs_deploy.errors import DeploymentFailed, InvalidRequest
from ecs_deploy.history import broken_since, in_use_since, newest_stable_before, own, supersedes, to_return_to
from ecs_deploy.home import Home
from ecs_deploy.marks import EVERY_CONTAINER, Marks, rhythm_of
from ecs_deploy.notation import instant, short, tag_value
from ecs_deploy.order import are_one_push
from ecs_deploy.progress import Progress
from ecs_deploy.registry import Ecr, ecr
from ecs_deploy.request import NewImage, OldRevision, Request, Revert, parse
from ecs_deploy.service import Service
from ecs_deploy.support import require_supported
from ecs_deploy.task_definition import Edit, differ_elsewhere, edit, tags_for


@dataclass(frozen=True, slots=True)
class Job:
    """A checked request, the service as it is now, and the revision to start from, which is mostly the one in use.

    `attempt` counts the tries of this step, from 0.
    """

    request: Request
    execution: Mapping[str, str]
    attempt: int
    service: Service
    in_use: TaskDefinition
    base: TaskDefinition

    @property
    def started_at(self) -> datetime:
        return datetime.fromisoformat(self.execution["startedAt"])

    def marks(self, containers: tuple[str, ...] = EVERY_CONTAINER) -> Marks:
        """The place of this execution in the order of requests."""
        push = self.request.push
        return Marks(
            service=f"{self.service.cluster}/{self.service.name}",
            request=push.id if push else tag_value(self.execution["name"]),
            execution=tag_value(self.execution["id"]),
            requested_at=push.time if push else self.started_at,
            started_at=self.started_at,
            replaces=to_return_to(self.service, self.in_use),
            containers=containers,
            digest=tag_value(push.digest) if push else "",
        )


@shell.step
def handler(event: shell.Event, home: Home) -> Answer:
    """Answer `update` with a registered revision, or the end of an execution that changes nothing."""
    request = parse(event["request"], home)
    job = _look(request, event["execution"], event["attempt"], event.get("onto"))
    match request.wanted:
        case NewImage() as wanted:
            return _deploy(job, wanted, home)
        case OldRevision(name):
            return _reuse(job, _existing(name))
        case Revert():
            return _reuse(job, newest_stable_before(job.in_use))


def _look(request: Request, execution: Mapping[str, str], attempt: int, base: str | None) -> Job:
    service = ecs.describe_service(request.cluster, request.service)
    require_supported(service)
    in_use = ecs.describe_task_definition(service.in_use)
    return Job(request, execution, attempt, service, in_use, ecs.describe_task_definition(base) if base else in_use)


def _deploy(job: Job, wanted: NewImage, home: Home) -> Answer:
    """Register a revision with the image."""
    change = edit(job.base.document, wanted.image, wanted.container)
    marks = job.marks(change.containers)
    if ecr(change.image.domain) == Ecr(home.account, home.region):
        ecs.require_image(change.image)
    if owner := _claimed_by_another(job, marks, wanted.container):
        return _stand_down(job, Outcome.DUPLICATE, str(change.image), f"{owner} has the same event")
    if job.in_use.marks and are_one_push(marks, job.in_use.marks):
        return _stand_down(
            job, Outcome.DUPLICATE, str(change.image), f"{job.in_use.marks.execution} brought in the same image"
        )
    if not supersedes(job.in_use, marks):
        return _update(job, marks, _registered(job, marks, change), str(change.image))
    if not job.service.is_rolling_out:
        return _stand_down(job, Outcome.SUPERSEDED, str(change.image), _newer_than_this(job))
    return _stand_by(job, wanted)


def _stand_by(job: Job, wanted: NewImage) -> Answer:
    """Leave the revision for the newer one to return to, which may still fail; unless it has failed by then."""
    stable = replace(job, base=ecs.describe_task_definition(job.service.proven))
    change = edit(stable.base.document, wanted.image, wanted.container)
    marks = stable.marks(change.containers)
    revision = _registered(stable, marks, change)
    now = _look(job.request, job.execution, job.attempt, stable.base.arn)
    if supersedes(now.in_use, marks):
        return _stand_down(job, Outcome.SUPERSEDED, str(change.image), _newer_than_this(now))
    return _update(now, marks, revision, str(change.image))


def _reuse(job: Job, old: TaskDefinition) -> Answer:
    """Mark a revision as asked for again: its place in the order of requests is new, what it replaced is history."""
    marks = job.marks()
    image = old.document["containerDefinitions"][0]["image"]
    if owner := _claimed_by_another(job, marks):
        return _stand_down(job, Outcome.DUPLICATE, image, f"{owner} has the same event")
    if supersedes(job.in_use, marks):
        return _stand_down(job, Outcome.SUPERSEDED, image, _newer_than_this(job))
    ecs.tag(old.arn, replace(marks, replaces=old.marks.replaces if old.marks else marks.replaces).as_tags())
    shell.logger.info("Reused", revision=old.arn, replaces=marks.replaces)
    return _update(job, marks, old.arn, image)


def _claimed_by_another(job: Job, marks: Marks, container: str | None = None) -> str | None:
    """The other execution that has the same push of the same image for the same service, if any."""
    if job.request.push is None:
        return None
    name = sha256("\n".join((marks.service, container or "", job.request.push.id)).encode()).hexdigest()
    owner = executions.claim(shell.claims(), name, marks.execution)
    return owner if owner != marks.execution else None


def _registered(job: Job, marks: Marks, change: Edit) -> str:
    """Register the edited revision, unless an earlier try of this step has; answers its ARN."""
    tags = tags_for(job.base.tags, marks.as_tags())
    there = own(job.base, marks) if job.attempt else []
    for each in there:
        if not differ_elsewhere(each.document, job.base.document, marks.containers):
            return each.arn
    revision = ecs.register_task_definition(change.document, tags)
    shell.logger.info("Registered", revision=revision, replaces=marks.replaces, containers=change.containers)
    return revision


def _existing(name: str) -> TaskDefinition:
    try:
        old = ecs.describe_task_definition(name)
    except DeploymentFailed as error:
        raise InvalidRequest(f"The revision {name} cannot be deployed. {error.message}") from error
    if old.document.get("status") == "INACTIVE":
        raise InvalidRequest(f"The revision {name} is INACTIVE. Name one that is registered.")
    return old


def _newer_than_this(job: Job) -> str:
    """Why the request stands back."""
    theirs = job.in_use.marks
    return f"{short(job.in_use.arn)} was asked for at {instant(theirs.requested_at)}" if theirs else ""


def _stand_down(job: Job, outcome: Outcome, image: str, why: str) -> Answer:
    return course.stand_down(outcome, job.service, image, job.started_at, shell.now(), why)


def _update(job: Job, marks: Marks, revision: str, image: str) -> Answer:
    return course.update(
        Progress(
            execution=job.execution["id"],
            cluster=job.service.cluster,
            service=job.service.name,
            image=image,
            containers=marks.containers,
            revision=revision,
            base=job.base.arn,
            base_since=instant(in_use_since(job.service, job.base)),
            replaced=marks.replaces,
            timeout=job.request.timeout,
            rollback=job.request.rollback,
            request=marks.request,
            requested_at=instant(marks.requested_at),
            started_at=instant(marks.started_at),
            asked=job.request.as_json(),
            broken_since=broken_since(job.service, job.in_use),
            rhythm=rhythm_of(job.in_use.arn, job.in_use.tags),
        )
    )
