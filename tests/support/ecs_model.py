"""A model of ECS (and of what the deployer asks of ECR and Step Functions) that rolls services out over virtual time.

It keeps documents as they were sent, whatever is in them, and follows AWS's docs where the deployer depends on them:

- a deployment's life and the rolling update: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html
- the circuit breaker and its threshold: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
- the fields of a deployment: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html
- the name of an execution: https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
"""

import copy
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.support.aws_error import AwsError
from tests.support.clock import Clock, RealClock
from tests.support.dynamodb_model import ACTIONS, Table
from tests.support.single_tasks import SingleTask, SingleTasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Document = dict[str, Any]

ACCOUNT = "123456789012"
REGION = "eu-west-1"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:EcsDeploy"
_ECS_ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
MOST_DEPLOYMENTS = 5
PAGE_OF_TASKS = 100
IMAGE_MANIFEST: Document = {
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json"},
    "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}],
}
WRITES = frozenset({"RegisterTaskDefinition", "UpdateService", "DeregisterTaskDefinition"})
_MOST_SERVICES, _PAGE_OF_RESOURCES = 10, 100


@dataclass(frozen=True)
class Behaviour:
    """What a task does: it starts in `start` seconds, then runs, or fails `life` seconds later; or never starts."""

    start: float = 5
    life: float | None = None
    starts: bool = True
    stop_code: str = "EssentialContainerExited"
    reason: str = "Essential container in task exited"
    exit_code: int | None = None
    log: tuple[str, ...] = ()

    @property
    def is_unhealthy(self) -> bool:
        return self.stop_code == "ServiceSchedulerInitiated"

    @property
    def is_counted(self) -> bool:
        """Whether ECS counts its end as a failure: not that of a container which ran and then exited.

        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html (failedTasks)
        """
        return self.stop_code == "TaskFailedToStart" or self.is_unhealthy


RUNS = Behaviour()
CRASHES = Behaviour(life=1, exit_code=3, log=("starting", "no door to guard"))
CANNOT_BE_PULLED = Behaviour(
    start=2,
    life=0,
    stop_code="TaskFailedToStart",
    reason="CannotPullContainerError: pull image manifest has been retried 1 time(s): doorman:1.1.0: not found",
)
UNHEALTHY = Behaviour(
    life=20, stop_code="ServiceSchedulerInitiated", reason="Task failed container health checks", exit_code=137
)
OUT_OF_MEMORY = Behaviour(life=4, exit_code=137, reason="OutOfMemoryError: Container killed due to memory usage")
HANGS = Behaviour(starts=False)


@dataclass
class Task:
    """A task of a deployment; its behaviour was fixed when it was launched."""

    id: str
    revision: str
    launched: datetime
    behaviour: Behaviour
    started_by: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    stopped: datetime | None = None
    stop_code: str = ""
    reason: str = ""

    @property
    def started(self) -> datetime | None:
        """When it reached RUNNING, or will; a task that fails to start never does."""
        if not self.behaviour.starts or self.behaviour.stop_code == "TaskFailedToStart":
            return None
        return self.launched + timedelta(seconds=self.behaviour.start)

    def is_running(self, now: datetime) -> bool:
        return self.started is not None and now >= self.started

    def has_failed(self, now: datetime) -> bool:
        if not self.behaviour.starts or self.behaviour.life is None:
            return False
        return now >= self.launched + timedelta(seconds=self.behaviour.start + self.behaviour.life)


@dataclass
class Deployment:
    """A deployment with its tasks."""

    id: str
    revision: str
    created: datetime
    status: str = "PRIMARY"
    rollout_state: str | None = "IN_PROGRESS"
    reason: str = ""
    tasks: list[Task] = field(default_factory=list)
    failed: int = 0
    drain_at: datetime | None = None
    completed: datetime | None = None
    digests: dict[str, str] = field(default_factory=dict)
    stopped: bool = False


@dataclass
class Service:
    """A service and its deployments, the newest first."""

    name: str
    cluster: str
    desired: int
    deployments: list[Deployment]
    breaker: bool = False
    breaker_rolls_back: bool = False
    drain: float = 3
    last_completed: str = ""
    last_digests: dict[str, str] = field(default_factory=dict)
    has_rollout_state: bool = True
    strategy: str = "ROLLING"
    bake_minutes: int = 0
    shifts: list[Deployment] = field(default_factory=list)
    hooks: list[Document] = field(default_factory=list)
    stopped: list[Task] = field(default_factory=list)
    events: list[Document] = field(default_factory=list)
    extra: Document = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def primary(self) -> Deployment:
        return self.deployments[0]


@dataclass
class Revision:
    """A registered task definition and its tags."""

    document: Document
    tags: list[Document]


class EcsModel:
    """ECS for one account and region."""

    def __init__(self, clock: Clock | RealClock) -> None:
        self.clock = clock
        self.families: dict[str, list[Revision]] = {}
        self.services: dict[tuple[str, str], Service] = {}
        self.clusters = {"production1"}
        self.images: set[tuple[str, str]] = set()
        self.table = Table()
        self.sent: list[Document] = []
        self.before_update: dict[tuple[str, str], tuple[datetime, Document]] = {}
        self.stale_seconds = 0.0
        self.unknown_seconds = 0.0
        self.parameters: dict[str, str] = {}
        self.pushed: dict[str, list[Document]] = {}
        self.manifests: dict[str, Document] = {}
        self.cached_prefixes: list[str] = []
        self.archived: set[str] = set()
        self.lifecycle_policies: dict[str, Document] = {}
        self.has_every_digest = True
        self.references: dict[str, str] = {}
        self.reports_digests = True
        self.reports_children: dict[str, str] = {}
        self.fails_to_roll_back = False
        self.behaviours: dict[str, Behaviour | Iterator[Behaviour]] = {}
        self.refused: set[str] = set()
        self.refusals: dict[str, str] = {}
        self.calls: list[tuple[str, Document]] = []
        self.executions: dict[str, str] = {}
        self.statuses: dict[str, str] = {}
        self.outputs: dict[str, Document] = {}
        self.waits: set[str] = set()
        self.tell: Callable[[Document], None] = _nobody_listens
        self.before_call: Callable[[str, Document], None] = _nothing
        self.after_call: Callable[[str, Document], None] = _nothing
        self._deployments_made = 0
        self._tasks_made = 0
        self._simulated_until = clock.now()
        self.records_calls = True
        self.calendars: dict[str, str] = {}
        self.alarms: dict[str, str] = {}
        self.alarmed_at: dict[str, datetime] = {}
        self.unindexed: set[str] = set()
        self.single = SingleTasks(_ECS_ARN)

    def add_revision(self, document: Document, tags: Document | None = None) -> str:
        """Register what a person would have registered; answers the ARN."""
        pairs = [{"key": key, "value": value} for key, value in (tags or {}).items()]
        answer = self._register_task_definition({**document, "tags": pairs})
        arn: str = answer["taskDefinition"]["taskDefinitionArn"]
        return arn

    def add_service(self, name: str, revision: str, *, desired: int = 2, **settings: Any) -> Service:
        """Create a service that runs `revision` and is stable."""
        launched = self.clock.now() - timedelta(hours=1)
        deployment = Deployment(
            self._deployment_id(),
            revision,
            self.clock.now(),
            rollout_state="COMPLETED",
        )
        deployment.digests = self.resolved(revision)
        deployment.tasks = [
            Task(self._task_id(), revision, launched, RUNS, deployment.id, deployment.digests) for _ in range(desired)
        ]
        service = Service(name, "production1", desired, [deployment], last_completed=revision, **settings)
        service.last_digests = deployment.digests
        deployment.completed = launched
        service.shifts.append(deployment)
        self.services["production1", name] = service
        return service

    def push_image(self, repository: str, digest: str, *tags: str) -> None:
        """Push an image, whose tags leave the images that had them."""
        others = self.pushed.setdefault(repository, [])
        for each in others:
            each["imageTags"] = [tag for tag in each["imageTags"] if tag not in tags]
        others.append({"imageDigest": digest, "imageTags": list(tags), "imagePushedAt": self.clock.now().timestamp()})
        self.images |= {(repository, name) for name in (digest, *tags)}

    def resolved(self, revision: str) -> dict[str, str]:
        """The digest of each container of a revision as of now: ECS resolves tags when a deployment begins.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html
        """
        containers = self.revision(revision).document["containerDefinitions"]
        return {each["name"]: self.digest_of(each["image"]) for each in containers}

    def digest_of(self, image: str) -> str:
        """The digest that a reference stands for now."""
        name, _, digest = image.partition("@")
        if digest:
            return digest
        repository, tag = name.rpartition("/")[2].partition(":")[::2]
        path = f"{name.partition('/')[2]}".partition(":")[0] if name.startswith(REGISTRY) else repository
        pushed = [each["imageDigest"] for each in self.pushed.get(path, []) if tag in each["imageTags"]]
        found = pushed[-1] if pushed else digest_of(tag or "latest")
        self.references[f"{name.removesuffix(f':{tag}')}@{found}"] = image
        return found

    def pinned(self, image: str) -> str:
        """A reference by the digest that it stands for now."""
        digest = self.digest_of(image)
        return next(each for each, tag in self.references.items() if tag == image and each.endswith(digest))

    def named(self, image: str) -> str:
        """A reference by its tag, where it has a digest and some tag has it."""
        if image not in self.references:
            known = [f"{REGISTRY}/{repository}:{version}" for repository, version in self.images]
            for each in (*known, *self.behaviours):
                self.digest_of(each)
        return self.references.get(image, image)

    def call(self, action: str, body: Document) -> Document:
        """Answer a request of the API; raises `AwsError`."""
        if self.records_calls:
            self.calls.append((action, copy.deepcopy(body)))
        self.before_call(action, body)
        if action in self.refusals:
            raise AwsError("AccessDeniedException", self.refusals[action])
        if action in self.refused:
            raise AwsError("AccessDeniedException", f"User: somebody is not authorized to perform: x:{action}")
        self._simulate()
        handlers: dict[str, Callable[[Document], Document]] = {
            "DescribeServices": self._describe_services,
            "DescribeTaskDefinition": self._describe_task_definition,
            "RegisterTaskDefinition": self._register_task_definition,
            "UpdateService": self._update_service,
            "DescribeImages": self._describe_images,
            "BatchGetImage": self._batch_get_image,
            "PutImage": self._put_image,
            "GetLifecyclePolicy": self._get_lifecycle_policy,
            "DescribePullThroughCacheRules": self._describe_pull_through_cache_rules,
            "RunTask": lambda body: self.single.run(body, self.clock.now()),
            "StopTask": self._stop_task,
            "ContinueServiceDeployment": self._continue_service_deployment,
            "ListTasks": self._list_tasks,
            "DescribeTasks": self._describe_tasks,
            "DescribeServiceDeployments": self._describe_service_deployments,
            "ListServiceDeployments": self._list_service_deployments,
            "StopServiceDeployment": self._stop_service_deployment,
            "DescribeServiceRevisions": self._describe_service_revisions,
            "ListTaskDefinitions": self._list_task_definitions,
            "DeregisterTaskDefinition": self._deregister_task_definition,
            "GetLogEvents": self._get_log_events,
            "StartExecution": self._start_execution,
            "DescribeExecution": self._describe_execution,
            "SendTaskSuccess": self._send_task_success,
            "PutParameter": self._put_parameter,
            "GetCalendarState": self._get_calendar_state,
            "DescribeAlarms": self._describe_alarms,
            "GetResources": self._get_resources,
            "SendMessage": self._send_message,
            **dict.fromkeys(ACTIONS, lambda body: self.table.call(action, body)),
        }
        answer = handlers[action](body)
        self.after_call(action, body)
        return copy.deepcopy(answer)

    def called(self, *actions: str) -> list[str]:
        """The actions that were called, or those of them that are named."""
        return [action for action, _ in self.calls if not actions or action in actions]

    @property
    def writes(self) -> list[str]:
        return self.called(*WRITES)

    def revision(self, arn: str) -> Revision:
        family, _, number = arn.rpartition("/")[2].partition(":")
        try:
            revisions = self.families[family]
            return revisions[int(number) - 1] if number else revisions[-1]
        except (KeyError, IndexError) as error:
            raise AwsError("ClientException", "Unable to describe task definition.") from error

    def tags(self, arn: str) -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in self.revision(arn).tags}

    def _describe_services(self, body: Document) -> Document:
        cluster = body["cluster"].rpartition("/")[2]
        if cluster not in self.clusters:
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        if len(body["services"]) > _MOST_SERVICES:
            raise AwsError("InvalidParameterException", "Services cannot be more than 10.")
        found = [self.services.get((cluster, name.rpartition("/")[2])) for name in body["services"]]
        shown = [{**self._shown(each), "tags": _pairs(each.tags, "key", "value")} for each in found if each]
        if "TAGS" not in body.get("include", ()):
            shown = [{key: value for key, value in each.items() if key != "tags"} for each in shown]
        return {"services": shown, "failures": []}

    def stale_view(self) -> Document | None:
        """The only service as it was before its last update, while reads may still show that."""
        for at, before in self.before_update.values():
            if self.clock.now() < at + timedelta(seconds=60):
                return copy.deepcopy(before)
        return None

    def _shown(self, service: Service) -> Document:
        """The service as it is read, which may be as it was before the last update (eventual consistency)."""
        at, before = self.before_update.get((service.cluster, service.name), (None, {}))
        if at and self.clock.now() < at + timedelta(seconds=self.stale_seconds):
            return before
        return self._described(service)

    def _describe_task_definition(self, body: Document) -> Document:
        revision = self.revision(body["taskDefinition"])
        return {
            "taskDefinition": revision.document,
            **({"tags": revision.tags} if "TAGS" in body.get("include", ()) else {}),
        }

    def _register_task_definition(self, body: Document) -> Document:
        revisions = self.families.setdefault(body["family"], [])
        document = {key: value for key, value in body.items() if key != "tags"}
        document |= {
            "taskDefinitionArn": f"{_ECS_ARN}:task-definition/{body['family']}:{len(revisions) + 1}",
            "revision": len(revisions) + 1,
            "status": "ACTIVE",
            "compatibilities": ["EC2", "FARGATE"],
            "requiresAttributes": [{"name": "com.amazonaws.ecs.capability.docker-remote-api.1.18"}],
            "registeredAt": self.clock.now().timestamp(),
            "registeredBy": f"arn:aws:sts::{ACCOUNT}:assumed-role/somebody/session",
        }
        revisions.append(Revision(document, list(body.get("tags", []))))
        return {"taskDefinition": document, "tags": revisions[-1].tags}

    def _update_service(self, body: Document) -> Document:
        cluster = body["cluster"].rpartition("/")[2]
        service = self.services.get((cluster, body["service"].rpartition("/")[2]))
        if service is None:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        definition = self.revision(body["taskDefinition"]).document
        if definition["status"] != "ACTIVE":
            raise AwsError("ClientException", "TaskDefinition is inactive")
        arn = definition["taskDefinitionArn"]
        # Seen for a moment after a registration: hashicorp/terraform-provider-aws#45553.
        if definition["registeredAt"] > (self.clock.now() - timedelta(seconds=self.unknown_seconds)).timestamp():
            raise AwsError("ClientException", "TaskDefinition not found.")
        # aws/containers-roadmap#2836. What failed and has no tasks any more is not active:
        # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html (status)
        active = [each for each in service.deployments if each.tasks or each.rollout_state != "FAILED"]
        if len(active) >= MOST_DEPLOYMENTS and arn != service.primary.revision:
            raise AwsError("InvalidParameterException", "5 active deployments exist, unable to create new deployment.")
        before = copy.deepcopy(self._described(service))
        self.before_update[service.cluster, service.name] = self.clock.now(), before
        self.start_deployment(service, arn)
        return {"service": self._described(service)}

    def _describe_images(self, body: Document) -> Document:
        if "imageIds" not in body:
            if body["repositoryName"] not in self.pushed:
                raise AwsError("RepositoryNotFoundException", "The repository does not exist in the registry.")
            assert body["filter"] == {"tagStatus": "TAGGED"}
            return self._page(body, [each for each in self.pushed[body["repositoryName"]] if each["imageTags"]])
        found = [self._stored(body["repositoryName"], each) for each in body["imageIds"]]
        # One that is missing is an error for all of them.
        if None in found:
            raise AwsError("ImageNotFoundException", "The image does not exist within the repository.")
        return {"imageDetails": found}

    def _stored(self, repository: str, image: Document) -> Document | None:
        wanted = image.get("imageDigest") or image["imageTag"]
        for each in self.pushed.get(repository, [])[::-1]:
            if wanted in {each["imageDigest"], *each["imageTags"]}:
                return {**each, **self._details(repository, each["imageDigest"])}
        for path, version in sorted(self.images):
            digest = digest_of(version)
            if path == repository and wanted in {version, digest}:
                return {"imageTags": [version], **self._details(repository, digest)}
        # What an event says was pushed is there, unless a test is about what is gone.
        is_there = self.has_every_digest and ":" in wanted and any(path == repository for path, _ in self.images)
        return {"imageTags": [], **self._details(repository, wanted)} if is_there else None

    def _details(self, repository: str, digest: str) -> Document:
        manifest = self.manifests.get(digest, IMAGE_MANIFEST)
        return {
            "repositoryName": repository,
            "imageDigest": digest,
            "imageStatus": "ARCHIVED" if digest in self.archived else "ACTIVE",
            "imageManifestMediaType": manifest.get("mediaType", ""),
        }

    def _batch_get_image(self, body: Document) -> Document:
        digest = body["imageIds"][0]["imageDigest"]
        found = self._stored(body["repositoryName"], body["imageIds"][0])
        manifests = [self.manifests.get(digest, IMAGE_MANIFEST)] if found else []
        return {"images": [{"imageManifest": json.dumps(each)} for each in manifests], "failures": []}

    def _put_image(self, body: Document) -> Document:
        stored = next(e for e in self.pushed[body["repositoryName"]] if e["imageDigest"] == body["imageDigest"])
        if body["imageTag"] in stored["imageTags"]:
            raise AwsError("ImageAlreadyExistsException", "Image with that digest and tag already exists.")
        for each in self.pushed[body["repositoryName"]]:
            each["imageTags"] = [tag for tag in each["imageTags"] if tag != body["imageTag"]]
        stored["imageTags"].append(body["imageTag"])
        return {"image": {}}

    def _get_lifecycle_policy(self, body: Document) -> Document:
        policy = self.lifecycle_policies.get(body["repositoryName"])
        if policy is None:
            raise AwsError("LifecyclePolicyNotFoundException", "Lifecycle policy does not exist.")
        return {"lifecyclePolicyText": json.dumps(policy)}

    def _describe_pull_through_cache_rules(self, _body: Document) -> Document:
        return {"pullThroughCacheRules": [{"ecrRepositoryPrefix": each} for each in self.cached_prefixes]}

    def _page(self, body: Document, images: list[Document]) -> Document:
        """A page of images, shorter than those of AWS."""
        start = int(body.get("nextToken", 0))
        end = start + min(body["maxResults"], 2)
        return {"imageDetails": images[start:end], **({"nextToken": str(end)} if end < len(images) else {})}

    def _described_shift(self, service: Service) -> Document:
        """What differs where traffic is shifted: a service deployment, and nothing to read in the deployments."""
        if service.strategy == "ROLLING":
            return {}
        current = {"currentServiceDeployment": _shift_arn(service, service.shifts[-1])} if service.shifts else {}
        return {"deployments": [], **current}

    def _find_shift(self, arn: str) -> tuple[Service, Deployment]:
        return next(
            (service, each)
            for service in self.services.values()
            for each in service.shifts
            if each.id.rpartition("/")[2] == arn.rpartition("/")[2]
        )

    def _list_service_deployments(self, body: Document) -> Document:
        service = self.services[body["cluster"].rpartition("/")[2], body["service"].rpartition("/")[2]]
        after = body.get("createdAt", {}).get("after", datetime(1970, 1, 1, tzinfo=UTC))
        since = after if isinstance(after, datetime) else datetime.fromtimestamp(after, UTC)
        statuses = body.get("status")
        made = [
            each
            for each in service.shifts
            if each.created >= since and (not statuses or self._status_of_shift(service, each)[0] in statuses)
        ]
        return {
            "serviceDeployments": [
                {
                    "serviceDeploymentArn": _shift_arn(service, each),
                    "createdAt": each.created.timestamp(),
                    "targetServiceRevisionArn": _shift_arn(service, each, "service-revision"),
                }
                for each in made
            ]
        }

    def _stop_service_deployment(self, body: Document) -> Document:
        """Go back to what was successful last, with its digests, and without a bake.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stop-service-deployment.html
        """
        assert body["stopType"] == "ROLLBACK"
        service, shift = self._find_shift(body["serviceDeploymentArn"])
        if self._status_of_shift(service, shift)[0] not in {"PENDING", "IN_PROGRESS"}:
            raise AwsError("ConflictException", "The service deployment is not in a state that can be stopped.")
        shift.rollout_state, shift.stopped, shift.reason = "FAILED", True, "Rollback requested by a person."
        for task in shift.tasks:
            self._stop(service, task, "ServiceSchedulerInitiated", "Scaling activity", self.clock.now())
        shift.tasks.clear()
        if not self.fails_to_roll_back:
            self.start_deployment(service, service.last_completed, service.last_digests)
        return {"serviceDeploymentArn": body["serviceDeploymentArn"]}

    def _describe_service_deployments(self, body: Document) -> Document:
        found = [self._find_shift(arn) for arn in body["serviceDeploymentArns"]]
        return {"serviceDeployments": [self._described_deployment(*each) for each in found]}

    def _described_deployment(self, service: Service, shift: Deployment) -> Document:
        status, stage, reason = self._status_of_shift(service, shift)
        return {
            "serviceDeploymentArn": _shift_arn(service, shift),
            "createdAt": shift.created.timestamp(),
            "status": status,
            "lifecycleStage": stage,
            "statusReason": reason,
            "targetServiceRevision": {"arn": _shift_arn(service, shift, "service-revision")},
            "lifecycleHookDetails": service.hooks,
            **(
                {"deploymentCircuitBreaker": {"failureCount": shift.failed, "threshold": int(_threshold(service))}}
                if service.breaker
                else {}
            ),
        }

    def _describe_service_revisions(self, body: Document) -> Document:
        found = [(arn, self._find_shift(arn)[1]) for arn in body["serviceRevisionArns"]]
        return {
            "serviceRevisions": [
                {
                    "serviceRevisionArn": arn,
                    "taskDefinition": each.revision,
                    "containerImages": [
                        {"containerName": name, **({"imageDigest": digest} if self.reports_digests else {})}
                        for name, digest in each.digests.items()
                    ],
                }
                for arn, each in found
            ]
        }

    def _status_of_shift(self, service: Service, shift: Deployment) -> tuple[str, str, str]:
        """Status, stage and reason: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html."""
        if shift.stopped and self.fails_to_roll_back:
            return "ROLLBACK_FAILED", "CLEAN_UP", shift.reason
        if shift.rollout_state == "FAILED" and (service.breaker_rolls_back or shift.stopped):
            returned = service.primary.rollout_state == "COMPLETED"
            return ("ROLLBACK_SUCCESSFUL" if returned else "ROLLBACK_IN_PROGRESS"), "CLEAN_UP", shift.reason
        if shift.rollout_state == "FAILED" or (shift is not service.primary and shift.rollout_state == "IN_PROGRESS"):
            return "STOPPED", "SCALE_UP", shift.reason
        if shift.completed is None:
            return "IN_PROGRESS", "SCALE_UP", ""
        baked = self.clock.now() >= shift.completed + timedelta(minutes=service.bake_minutes)
        return ("SUCCESSFUL", "CLEAN_UP", "") if baked else ("IN_PROGRESS", "BAKE_TIME", "")

    def _stop_task(self, body: Document) -> Document:
        answer = self.single.stop(body, self.clock.now())
        self._tell_of_single(next(each for each in self.single.all if each.arn == body["task"]))
        return answer

    def _continue_service_deployment(self, body: Document) -> Document:
        """Let a paused deployment go on, or roll back.

        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContinueServiceDeployment.html
        """
        service, _ = self._find_shift(body["serviceDeploymentArn"])
        hook = next((each for each in service.hooks if each["hookId"] == body["hookId"]), None)
        if hook is None or hook["status"] != "AWAITING_ACTION":
            raise AwsError("InvalidParameterException", "The lifecycle hook does not await an action.")
        hook["status"] = "SUCCEEDED" if body["action"] == "CONTINUE" else "FAILED"
        if body["action"] == "ROLLBACK":
            self._stop_service_deployment(
                {"serviceDeploymentArn": body["serviceDeploymentArn"], "stopType": "ROLLBACK"}
            )
        return {"serviceDeploymentArn": body["serviceDeploymentArn"]}

    def _list_tasks(self, body: Document) -> Document:
        if "startedBy" in body:
            assert "serviceName" not in body, "startedBy must be the only filter"
            return {"taskArns": self.single.listed(body, self.clock.now())}
        service = self.services[body["cluster"], body["serviceName"]]
        tasks = self._tasks(service, body.get("desiredStatus", "RUNNING"))
        start, end = (at := int(body.get("nextToken", 0))), at + PAGE_OF_TASKS
        more = {"nextToken": str(end)} if end < len(tasks) else {}
        return {"taskArns": [self._task_arn(service, each) for each in tasks[start:end]], **more}

    def _describe_tasks(self, body: Document) -> Document:
        assert 0 < len(body["tasks"]) <= PAGE_OF_TASKS
        single = [self.single.find(arn, self.clock.now()) for arn in body["tasks"]]
        if any(each.arn in body["tasks"] for each in self.single.all):
            return {"tasks": [each for each in single if each]}
        return {"tasks": [self._described_task(*self._find_task(arn)) for arn in body["tasks"]]}

    def _tasks(self, service: Service, status: str) -> list[Task]:
        if status == "STOPPED":
            return service.stopped
        return [task for each in service.deployments for task in each.tasks]

    def _find_task(self, arn: str) -> tuple[Service, Task]:
        return next(
            (service, task)
            for service in self.services.values()
            for task in [*self._tasks(service, "STOPPED"), *self._tasks(service, "RUNNING")]
            if self._task_arn(service, task) == arn
        )

    def _task_arn(self, service: Service, task: Task) -> str:
        return f"{_ECS_ARN}:task/{service.cluster}/{task.id}"

    def _task_id(self) -> str:
        self._tasks_made += 1
        return f"{self._tasks_made:032x}"

    def _described_task(self, service: Service, task: Task) -> Document:
        status = "STOPPED" if task.stopped else "RUNNING" if task.is_running(self.clock.now()) else "PENDING"
        definition = self.revision(task.revision).document
        first, *_ = definition["containerDefinitions"]
        crashed = task.stopped is not None and task.behaviour.exit_code is not None
        ended = {"exitCode": task.behaviour.exit_code} if crashed else {}
        return {
            "taskArn": self._task_arn(service, task),
            "taskDefinitionArn": task.revision,
            "startedBy": task.started_by,
            "lastStatus": status,
            "createdAt": task.launched.timestamp(),
            "healthStatus": "UNKNOWN",
            "containers": [
                {
                    "name": each["name"],
                    "lastStatus": status,
                    **(ended if each is first else {}),
                    **self._reported_digest(task, each["name"]),
                }
                for each in definition["containerDefinitions"]
            ],
            **({"startedAt": task.started.timestamp()} if task.started and status != "PENDING" else {}),
            **(
                {"stoppedAt": task.stopped.timestamp(), "stopCode": task.stop_code, "stoppedReason": task.reason}
                if task.stopped
                else {}
            ),
        }

    def _reported_digest(self, task: Task, container: str) -> Document:
        """It may be absent, or that of the platform's manifest: aws/amazon-ecs-agent#3576."""
        digest = task.digests.get(container)
        is_pulled = self.reports_digests and digest is not None and task.is_running(self.clock.now())
        return {"imageDigest": self.reports_children.get(str(digest), digest)} if is_pulled else {}

    def _list_task_definitions(self, body: Document) -> Document:
        revisions = self.families.get(body["familyPrefix"], [])
        status = body.get("status", "ACTIVE")
        arns = [each.document["taskDefinitionArn"] for each in revisions if each.document["status"] == status]
        return {"taskDefinitionArns": arns[::-1] if body.get("sort") == "DESC" else arns}

    def _deregister_task_definition(self, body: Document) -> Document:
        revision = self.revision(body["taskDefinition"])
        revision.document["status"] = "INACTIVE"
        return {"taskDefinition": revision.document}

    def _get_log_events(self, body: Document) -> Document:
        task_id = body["logStreamName"].rpartition("/")[2]
        if (written := self.single.log_of(task_id)) is not None:
            return {"events": [{"timestamp": 0, "message": f"{line}\n"} for line in written[-body["limit"] :]]}
        for service in self.services.values():
            for task in service.stopped:
                if task.id == task_id:
                    lines = task.behaviour.log[-body["limit"] :]
                    return {"events": [{"timestamp": 0, "message": f"{line}\n"} for line in lines]}
        raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")

    def _start_execution(self, body: Document) -> Document:
        """An execution that nobody runs here; its name is taken from then on, whatever the input."""
        arn = f"{body['stateMachineArn'].replace(':stateMachine:', ':execution:')}:{body['name']}"
        if arn in self.executions:
            raise AwsError("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
        self.executions[arn] = body["input"]
        return {"executionArn": arn, "startDate": self.clock.now().timestamp()}

    def _describe_execution(self, body: Document) -> Document:
        arn = body["executionArn"]
        if arn not in self.statuses:
            raise AwsError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
        return {"executionArn": arn, "status": self.statuses[arn], **self.outputs.get(arn, {})}

    def _send_task_success(self, body: Document) -> Document:
        """End a wait, once: https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html."""
        if body["taskToken"] not in self.waits:
            raise AwsError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        self.waits.remove(body["taskToken"])
        return {}

    def _send_message(self, body: Document) -> Document:
        self.sent.append(body)
        return {"MessageId": "1"}

    def _put_parameter(self, body: Document) -> Document:
        assert (body["Type"], body["Overwrite"]) == ("String", True)
        self.parameters[body["Name"]] = body["Value"]
        return {"Version": 1, "Tier": "Standard"}

    def _get_calendar_state(self, body: Document) -> Document:
        """Whether a calendar is open: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCalendarState.html."""
        (name,) = body["CalendarNames"]
        if name not in self.calendars:
            raise AwsError("InvalidDocument", f"Document {name} does not exist")
        return {"State": self.calendars[name], "NextTransitionTime": "2026-02-02T08:00:00Z"}

    def _get_resources(self, body: Document) -> Document:
        """Pages of services with a tag, by an index that may be late.

        https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
        """
        assert body["ResourceTypeFilters"] == ["ecs:service"]
        ((key,),) = [each.values() for each in body["TagFilters"]]
        found = [each for each in self.services.values() if key in each.tags and each.name not in self.unindexed]
        first = int(body.get("PaginationToken") or 0)
        page = [
            {"ResourceARN": self._arn(each), "Tags": _pairs(each.tags, "Key", "Value")}
            for each in found[first : first + _PAGE_OF_RESOURCES]
        ]
        rest = str(first + len(page)) if first + len(page) < len(found) else ""
        return {"ResourceTagMappingList": page, "PaginationToken": rest}

    def _describe_alarms(self, body: Document) -> Document:
        """The alarms with these names: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html."""
        found = [
            {
                "AlarmName": each,
                "StateValue": self.alarms[each],
                **({"StateTransitionedTimestamp": self.alarmed_at[each]} if each in self.alarmed_at else {}),
            }
            for each in body["AlarmNames"]
            if each in self.alarms
        ]
        return {"MetricAlarms": found, "CompositeAlarms": []}

    def start_deployment(
        self, service: Service, revision: str, digests: dict[str, str] | None = None
    ) -> Deployment:  # fmt: skip
        """Make `revision` PRIMARY: the same one again makes no new deployment. A rollback gives the `digests`."""
        if service.primary.revision == revision and service.primary.rollout_state != "FAILED":
            return service.primary
        service.primary.status = "ACTIVE"
        made = Deployment(self._deployment_id(), revision, self.clock.now())
        made.digests = self.resolved(revision) if digests is None else digests
        made.reason = f"ECS deployment {made.id} in progress."
        service.deployments.insert(0, made)
        service.shifts.append(made)
        self._tell_of(service, made, self.clock.now())
        return made

    def _tell_of(self, service: Service, deployment: Deployment, at: datetime) -> None:
        """Tell that a deployment is in progress, completed or failed; of shifted traffic AWS documents no event.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html
        """
        if service.strategy != "ROLLING" or self.tell is _nobody_listens:
            return
        detail = {
            "eventType": "ERROR" if deployment.rollout_state == "FAILED" else "INFO",
            "eventName": f"SERVICE_DEPLOYMENT_{deployment.rollout_state}",
            "clusterArn": f"{_ECS_ARN}:cluster/{service.cluster}",
            "deploymentId": deployment.id,
            "updatedAt": _text(at),
            "reason": deployment.reason,
        }
        self.tell(_event("ECS Deployment State Change", at, self._arn(service), detail))

    def tell_of_hook(self, service: Service, name: str) -> None:
        """Tell of a hook; of the event's members, AWS documents none."""
        shift = _shift_arn(service, service.shifts[-1])
        detail = {"eventName": name, "serviceDeploymentArn": shift}
        self.tell(_event("ECS Hook State Change", self.clock.now(), shift, detail))

    def _arn(self, service: Service) -> str:
        return f"{_ECS_ARN}:service/{service.cluster}/{service.name}"

    def _deployment_id(self) -> str:
        self._deployments_made += 1
        return f"ecs-svc/{self._deployments_made:019d}"

    def _described(self, service: Service) -> Document:
        now = self.clock.now()
        described = [
            {
                "id": each.id,
                "status": each.status,
                "taskDefinition": each.revision,
                "desiredCount": service.desired if each.status == "PRIMARY" else 0,
                "runningCount": (running := sum(task.is_running(now) for task in each.tasks)),
                "pendingCount": len(each.tasks) - running,
                "failedTasks": each.failed,
                "createdAt": each.created.timestamp(),
                "updatedAt": each.created.timestamp(),
                **(
                    {"rolloutState": each.rollout_state, "rolloutStateReason": each.reason}
                    if service.has_rollout_state
                    else {}
                ),
            }
            for each in service.deployments
        ]
        return {
            "serviceName": service.name,
            "serviceArn": self._arn(service),
            "clusterArn": f"{_ECS_ARN}:cluster/{service.cluster}",
            "status": "ACTIVE",
            "desiredCount": service.desired,
            "runningCount": sum(each["runningCount"] for each in described),
            "pendingCount": sum(each["pendingCount"] for each in described),
            "taskDefinition": service.primary.revision,
            "deploymentConfiguration": {
                "lifecycleHooks": [{"targetType": each["targetType"]} for each in service.hooks],
                "strategy": service.strategy,
                "bakeTimeInMinutes": service.bake_minutes,
                "deploymentCircuitBreaker": {"enable": service.breaker, "rollback": service.breaker_rolls_back},
            },
            "deployments": described,
            "events": service.events,
            **self._described_shift(service),
            **service.extra,
        }

    def _simulate(self) -> None:
        now, step = self.clock.now(), timedelta(seconds=1)
        for each in self.single.advance(now):
            self._tell_of_single(each)
        moving = [each for each in self.services.values() if not self._is_settled(each)]
        while moving and self._simulated_until < now:
            self._simulated_until = min(self._simulated_until + step, now)
            for service in moving:
                self._roll(service, self._simulated_until)
            moving = [each for each in moving if not self._is_settled(each)]
        self._simulated_until = now

    def _is_settled(self, service: Service) -> bool:
        """Whether nothing can happen to the service by itself any more."""
        tasks = service.primary.tasks
        complete = len(service.deployments) == 1 and service.primary.rollout_state == "COMPLETED"
        return complete and len(tasks) == service.desired and all(each.behaviour.life is None for each in tasks)

    def _roll(self, service: Service, now: datetime) -> None:
        primary = service.primary
        if any(task.started == now and not task.behaviour.is_unhealthy for task in primary.tasks):
            primary.failed = 0
        for deployment in service.deployments:
            for task in [each for each in deployment.tasks if each.has_failed(now)]:
                deployment.tasks.remove(task)
                deployment.failed += task.behaviour.is_counted
                self._stop(service, task, task.behaviour.stop_code, task.behaviour.reason, now)
        if primary.rollout_state == "IN_PROGRESS" and service.breaker and primary.failed >= _threshold(service):
            self._break(service, now)
            return
        if primary.rollout_state == "FAILED":
            return
        for task in primary.tasks[service.desired :]:
            primary.tasks.remove(task)
            self._stop(service, task, "ServiceSchedulerInitiated", "Scaling activity initiated by a person", now)
        missing = service.desired - len(primary.tasks)
        if missing > 0:
            self._note(service, f"has started {missing} tasks: (task 1)", now)
        for _ in range(missing):
            behaviour = self._behaviour(primary)
            primary.tasks.append(Task(self._task_id(), primary.revision, now, behaviour, primary.id, primary.digests))
        healthy = sum(task.is_running(now) and task.behaviour.life is None for task in primary.tasks)
        if healthy >= service.desired and primary.rollout_state == "IN_PROGRESS":
            self._drain(service, now)

    def _drain(self, service: Service, now: datetime) -> None:
        for old in service.deployments[1:]:
            if old.drain_at is None:
                old.drain_at = now + timedelta(seconds=service.drain)
                drains = "loadBalancers" in service.extra
                what = "begun draining connections on {} tasks" if drains else "stopped {} running tasks: (task 1)"
                self._note(service, f"has {what.format(len(old.tasks))}", now)
            if now >= old.drain_at:
                service.deployments.remove(old)
                for task in old.tasks:
                    self._stop(
                        service, task, "ServiceSchedulerInitiated", "Scaling activity initiated by deployment", now
                    )
        if len(service.deployments) == 1:
            service.primary.rollout_state = "COMPLETED"
            service.primary.completed = now
            service.primary.reason = f"ECS deployment {service.primary.id} completed."
            self._tell_of(service, service.primary, now)
            self._note(service, f"(deployment {service.primary.id}) deployment completed", now)
            service.last_completed = service.primary.revision
            service.last_digests = service.primary.digests

    def _note(self, service: Service, text: str, now: datetime) -> None:
        """Note an event of the service, of which ECS shows the latest hundred.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages.html
        """
        message = f"(service {service.name}) {text}."
        service.events.insert(0, {"id": "event", "createdAt": now.timestamp(), "message": message})
        del service.events[100:]

    def _stop(self, service: Service, task: Task, code: str, reason: str, now: datetime) -> None:
        task.stopped, task.stop_code, task.reason = now, code, reason
        service.stopped.append(task)
        if self.tell is _nobody_listens:
            return
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html
        detail = {
            **self._described_task(service, task),
            "group": f"service:{service.name}",
            "clusterArn": f"{_ECS_ARN}:cluster/{service.cluster}",
            "createdAt": _text(task.launched),
            "stoppedAt": _text(now),
        }
        detail |= {"startedAt": _text(task.started)} if task.started else {}
        self.tell(_event("ECS Task State Change", now, self._task_arn(service, task), detail))

    def _tell_of_single(self, task: SingleTask) -> None:
        at = task.stopped or self.clock.now()
        detail = {
            **self.single.described(task, at),
            "clusterArn": f"{_ECS_ARN}:cluster/{task.request['cluster']}",
            "createdAt": _text(task.began),
            "stoppedAt": _text(at),
        }
        self.tell(_event("ECS Task State Change", at, task.arn, detail))

    def _break(self, service: Service, now: datetime) -> None:
        failed = service.primary
        failed.rollout_state = "FAILED"
        failed.reason = "ECS deployment circuit breaker: tasks failed to start."
        self._tell_of(service, failed, now)
        for task in failed.tasks:
            self._stop(service, task, "ServiceSchedulerInitiated", "Scaling activity initiated by deployment", now)
        failed.tasks.clear()
        if service.breaker_rolls_back:
            made = self.start_deployment(service, service.last_completed, service.last_digests)
            made.reason = f"ECS deployment circuit breaker: rolling back to deploymentId {made.id}."

    def _behaviour(self, deployment: Deployment) -> Behaviour:
        """A task does what the worst of its containers does, by digest or by name."""
        images = []
        for each in self.revision(deployment.revision).document["containerDefinitions"]:
            name = each["image"].partition("@")[0]
            path = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
            images += [f"{path}@{deployment.digests.get(each['name'])}", self.named(each["image"])]
        found = [self.behaviours[image] for image in dict.fromkeys(images) if image in self.behaviours]
        behaviours = [each if isinstance(each, Behaviour) else next(each) for each in found] or [RUNS]
        return max(behaviours, key=lambda each: (not each.starts, each.life is not None))


def _event(detail_type: str, at: datetime, resource: str, detail: Document) -> Document:
    """An event as EventBridge hands it on: its time has whole seconds."""
    return {
        "id": f"{detail_type} {resource} {at.isoformat()}",
        "source": "aws.ecs",
        "detail-type": detail_type,
        "account": ACCOUNT,
        "region": REGION,
        "time": _text(at),
        "resources": [resource],
        "detail": detail,
    }


def _text(at: datetime) -> str:
    return at.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def digest_of(tag: str) -> str:
    """The digest of what nobody has pushed otherwise, the same for one tag."""
    return f"sha256:{hashlib.sha256(tag.encode()).hexdigest()}"


def _nobody_listens(_event: Document) -> None:
    """No rule matches the event."""


def _pairs(tags: dict[str, str], key: str, value: str) -> list[Document]:
    return [{key: name, value: text} for name, text in tags.items()]


def _nothing(_action: str, _body: Document) -> None:
    """Nobody looks on."""


def _shift_arn(service: Service, shift: Deployment, kind: str = "service-deployment") -> str:
    return f"{_ECS_ARN}:{kind}/{service.cluster}/{service.name}/{shift.id.rpartition('/')[2]}"


def _threshold(service: Service) -> float:
    """Half of the desired count, but at least 3 and at most 200."""
    return min(max(3.0, 0.5 * service.desired), 200.0)
