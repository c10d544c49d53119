"""The cause of a failure, by the words of ECS: each kind apart, and whatever a name says changes none."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.core.causes import cause_of, cause_of_exit
from ecs_deploy.core.diagnosis import Observed, diagnose, died, log_stream
from ecs_deploy.core.service import Event, Task
from tests.support.rules import table

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
PULL = "CannotPullContainerError: "
INIT = "ResourceInitializationError: "
PLACE = "(service doorman) was unable to place a task because "
REVISION = "arn:aws:ecs:eu-west-1:123456789012:task-definition/doorman:2"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)

# What ECS and its agents say, by AWS's pages on stopped tasks and service events and by public reports.
REASONS = {
    # Registry: not there.
    f"{PULL}pull image manifest has been retried 1 time(s): failed to resolve ref {HOST}/doorman:9: {HOST}/doorman:9: not found": "it is not there",
    f"{PULL}Error response from daemon: manifest for {HOST}/doorman:9 not found: manifest unknown: Requested image not found": "it is not there",
    f'{PULL}inspect image has been retried 1 time(s): failed to resolve ref "docker.io/library/doorman:9": docker.io/library/doorman:9: not found': "it is not there",
    f"{PULL}Error response from daemon: repository doorman not found: does not exist or no pull access": "it is not there",
    f"{PULL}API error (404): repository doorman not found": "it is not there",
    f"{PULL}Error: name unknown: The repository with name 'doorman' does not exist in the registry with id '123456789012'": "it is not there",
    # Registry: permission.
    f"{PULL}Error response from daemon: pull access denied for doorman, repository does not exist or may require 'docker login': denied: requested access to the resource is denied": "no permission",
    f'{PULL}Error response from daemon: Head "https://{HOST}/v2/doorman/manifests/9": no basic auth credentials': "no permission",
    f"{PULL}pull image manifest has been retried 1 time(s): failed to resolve ref {HOST}/doorman:9: unexpected status from HEAD request to https://{HOST}/v2/doorman/manifests/9: 403 Forbidden": "no permission",
    f"{PULL}Error: denied: User: arn:aws:sts::123456789012:assumed-role/execution/1 is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:eu-west-1:123456789012:repository/doorman": "no permission",
    f"{PULL}failed to pull: unexpected status: 401 Unauthorized": "no permission",
    f"{INIT}unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 1 time(s): AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/execution/1 is not authorized to perform: ecr:GetAuthorizationToken on resource: *": "no permission",
    # Registry: no way.
    f"{PULL}Error response from daemon: Get https://{HOST}/v2/: net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)": "no way to the registry",
    f'{PULL}failed to do request: Head "https://{HOST}/v2/doorman/manifests/9": dial tcp 10.0.0.1:443: i/o timeout': "no way to the registry",
    f'{PULL}Error response from daemon: Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host': "no way to the registry",
    f"{PULL}The task cannot pull {HOST}/doorman:9 from the registry {HOST}/doorman:9. There is a connection issue between the task and the registry. Check your task network configuration.": "no way to the registry",
    f"{INIT}unable to pull secrets or registry auth: The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration.": "no way to the registry",
    f'{INIT}unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: send request failed caused by: Post "https://api.ecr.eu-west-1.amazonaws.com/": dial tcp 10.0.0.1:443: i/o timeout': "no way to the registry",
    # Registry: the rest.
    f"{PULL}image Manifest does not contain descriptor matching platform 'linux/arm64'": "another architecture",
    f"{PULL}Error response from daemon: no matching manifest for linux/arm64/v8 in the manifest list entries": "another architecture",
    f"{PULL}Error response from daemon: toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating": "limits how often",
    f"{PULL}failed to extract layer: write /var/lib/containerd/tmp: no space left on device": "the disk is full",
    f"{PULL}something new": "the image cannot be pulled",
    # Secrets.
    f"{INIT}unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:door from secrets manager: AccessDeniedException: User is not authorized to perform: secretsmanager:GetSecretValue": "cannot be read: no permission",
    f"{INIT}unable to pull secrets or registry auth: unable to retrieve secret from asm: failed to fetch secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:door from secrets manager: ResourceNotFoundException: Secrets Manager can't find the specified secret.": "a secret of the task definition is not there",
    f"{INIT}unable to pull secrets or registry auth: unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid ssm parameters: door": "a secret of the task definition is not there",
    f"{INIT}unable to pull secrets or registry auth: The task cannot pull secrets from AWS Secrets Manager. There is a connection issue between the task and AWS Secrets Manager. Check your task network configuration.": "no way to the secrets",
    f'{INIT}unable to pull secrets or registry auth: unable to retrieve secret from asm: RequestError: send request failed caused by: Post "https://secretsmanager.eu-west-1.amazonaws.com/": dial tcp 10.0.0.1:443: i/o timeout': "no way to the secrets",
    # Logs, volumes, roles.
    f"{INIT}failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist.": "cannot write their log",
    f"{INIT}failed to invoke EFS utils commands to set up EFS volumes: stderr: mount.nfs4: Connection timed out : unsuccessful EFS utils command execution": "a volume cannot be mounted",
    "CannotCreateVolumeError: Volume doors does not exist": "a volume cannot be mounted",
    "ECS was unable to assume the role 'arn:aws:iam::123456789012:role/execution' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions.": "cannot assume a role",
    # Start.
    "OutOfMemoryError: Container killed due to memory usage": "out of memory",
    'CannotStartContainerError: Error response from daemon: failed to create task for container: OCI runtime create failed: exec: "start.sh": executable file not found in $PATH': "the command of a container cannot be run",
    "CannotStartContainerError: Error response from daemon: OCI runtime create failed: exec /app: exec format error": "another architecture",
    "CannotStartContainerError: Error response from daemon: driver failed programming external connectivity on endpoint ecs-doorman: Bind for 0.0.0.0:80 failed: port is already allocated": "a port that the task needs is taken",
    "CannotStartContainerError: API error (500): failed to initialize logging driver: ResourceNotFoundException": "cannot write their log",
    "CannotCreateContainerError: API error: no space left on device": "the disk is full",
    "ContainerRuntimeError: could not start the runtime task": "a container cannot be started",
    # Health.
    "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/doorman/0123456789abcdef)": "fail their health check",
    "Task failed container health checks": "fail their health check",
    "(service doorman) (port 8080) is unhealthy in (target-group arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/doorman/0123456789abcdef) due to (reason Health checks failed with these codes: [502])": "fail their health check",
    "(service doorman) (task 0123456789abcdef0123456789abcdef) (port 80) is unhealthy in (target-group doorman) due to (reason Request timed out)": "fail their health check",
    # Placement and network.
    f"{PLACE}no container instance met all of its requirements. Reason: No Container Instances were found in your cluster.": "no instance fits",
    f"{PLACE}no container instance met all of its requirements. The closest matching (container-instance 0123456789abcdef0123456789abcdef) has insufficient memory available. For more information, see the Troubleshooting section.": "no capacity",
    f"{PLACE}no container instance met all of its requirements. The closest matching (container-instance 0123456789abcdef0123456789abcdef) has insufficient CPU units available.": "no capacity",
    f"{PLACE}no container instance met all of its requirements. The closest matching (container-instance 0123456789abcdef0123456789abcdef) is already using a port required by your task.": "a port that the task needs is taken",
    f"{PLACE}no container instance met all of its requirements. The closest matching (container-instance 0123456789abcdef0123456789abcdef) is missing an attribute required by your task.": "no instance fits",
    "RESOURCE:MEMORY": "no capacity",
    "RESOURCE:PORTS": "a port that the task needs is taken",
    "RESOURCE:ENI": "no network interface",
    "Capacity is unavailable at this time. Please try again later or in a different availability zone": "no capacity",
    "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment enabled in subnet 'subnet-0123456789abcdef0': InsufficientFreeAddressesInSubnet": "no network interface",
    "Timeout waiting for network interface provisioning to complete.": "no network interface",
}


def what(text: str) -> str:
    cause = cause_of(text)
    return cause.what if cause else ""


@pytest.mark.parametrize("reason", REASONS)
def test_the_cause_of_a_reason(reason: str) -> None:
    assert REASONS[reason] in what(reason)


def test_there_are_many() -> None:
    assert len(REASONS) >= 40


@pytest.mark.parametrize(
    "text",
    [
        "Essential container in task exited",
        "Scaling activity initiated by (deployment ecs-svc/0123456789012345678)",
        "Task stopped by user",
        "meeting-room-api has ended: oom",
        "the door is unhealthy and out of memory",
        "it said OutOfMemoryError: once",
    ],
)
def test_what_tells_of_no_cause(text: str) -> None:
    assert what(text) == ""


TELLING = [
    "oom-fix", "meeting-room-api", "unhealthy", "no-capacity", "access-denied", "i-o-timeout", "403403403403", "manifest-unknown",
    "out.of.memory", "no_basic_auth", "dial.tcp", "not-found", "secretsmanager", "connection-issue", "no-space-left", "log-group", "efs",
]  # fmt: skip
NAMES = st.sampled_from(TELLING)


@given(st.sampled_from(sorted(REASONS)), NAMES, NAMES)
def test_no_name_tag_or_repository_changes_a_cause(reason: str, name: str, tag: str) -> None:
    renamed = reason.replace(f"{HOST}/doorman:9", f"{HOST}/{name}:{tag}").replace("'doorman'", f"'{name}'")
    renamed = renamed.replace("docker.io/library/doorman:9", f"docker.io/library/{name}:{tag}")
    renamed = renamed.replace("(service doorman)", f"(service {name})").replace(
        "/v2/doorman/manifests/9", f"/v2/{name}/{tag}"
    )
    renamed = renamed.replace("repository/doorman", f"repository/{name}").replace("secret:door ", f"secret:{name} ")
    assert what(renamed) == what(reason)


def task(*containers: dict[str, Any], **more: Any) -> Task:
    described = {
        "taskArn": "arn:aws:ecs:eu-west-1:123456789012:task/production1/0123456789abcdef",
        "taskDefinitionArn": REVISION,
        "lastStatus": "STOPPED",
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "containers": list(containers),
    }
    return Task.described({**described, **more})


def ended(name: str, code: int | None, reason: str | None = None) -> dict[str, Any]:
    return {"name": name, **({} if code is None else {"exitCode": code}), **({"reason": reason} if reason else {})}


def definition(*names: str, sidecars: tuple[str, ...] = ()) -> dict[str, Any]:
    options = {"awslogs-group": "/doorman", "awslogs-stream-prefix": "x"}
    log = {"logConfiguration": {"logDriver": "awslogs", "options": options}}
    needed = [{"name": name, "image": "x", **log} for name in names]
    return {"containerDefinitions": [*needed, *({"name": name, "essential": False, **log} for name in sidecars)]}


@table(
    "containers, document, culprit",
    {
        "one that failed": ([ended("app", 1)], definition("app"), "app"),
        "one that ended": ([ended("app", 0)], definition("app"), "app"),
        "a sidecar that was stopped with it": ([ended("envoy", 143), ended("app", 1)], definition("envoy", "app"), "app"),
        "a sidecar that was killed with it": ([ended("envoy", 137), ended("app", 0)], definition("envoy", "app"), "app"),
        "a sidecar that ended well when it was stopped": ([ended("envoy", 0), ended("app", 2)], definition("envoy", "app"), "app"),
        "a sidecar that need not run": ([ended("setup", 0), ended("app", 0)], definition("app", sidecars=("setup",)), "app"),
        "a sidecar that need not run and failed before": ([ended("setup", 1), ended("app", 1)], definition("app", sidecars=("setup",)), "app"),
        "one that has a reason": ([ended("app", 1), ended("web", 137, "OutOfMemoryError: killed")], definition("app", "web"), "web"),
        "the only one, killed": ([ended("app", 137)], definition("app"), "app"),
        "all were stopped": ([ended("app", 137), ended("web", 143)], definition("app", "web"), None),
        "none ran": ([ended("app", None)], definition("app"), None),
    },
)  # fmt: skip
def test_who_died(containers: list[dict[str, Any]], document: dict[str, Any], culprit: str | None) -> None:
    dead = died(task(*containers), document)
    assert (dead and dead.name) == culprit
    stream = log_stream(document, task(*containers))
    assert (stream and stream.stream) == (f"x/{culprit}/0123456789abcdef" if culprit else None)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "ends by itself"),
        (1, "exits on its start"),
        (127, "not in its image"),
        (137, "was killed"),
        (139, "segmentation fault"),
    ],
)
def test_exit_codes(code: int, text: str) -> None:
    assert text in cause_of_exit(code).what
    explained = diagnose(Observed("said", (task(ended("app", code)),), (), document=definition("app")), REVISION, ())
    assert text in explained.cause
    assert f"container app ended with exit code {code}" in explained.reasons[0]


def test_two_containers_that_end_again_and_again_are_named() -> None:
    tasks = (task(ended("app", 0), ended("web", 143)), task(ended("app", 143), ended("web", 0)))
    explained = diagnose(Observed("said", tasks, (), document=definition("app", "web")), REVISION, ())
    assert "ends by itself with exit code 0" in explained.cause
    assert {reason.rpartition("container ")[2] for reason in explained.reasons[:2]} == {
        "app ended with exit code 0",
        "web ended with exit code 0",
    }


def test_a_name_in_the_task_changes_no_cause() -> None:
    tasks = (task(ended("meeting-room-api", 1)),)
    explained = diagnose(Observed("said", tasks, (), document=definition("meeting-room-api")), REVISION, ())
    assert "exits on its start" in explained.cause


def test_a_port_that_is_taken_is_told_from_missing_capacity() -> None:
    text = f"{PLACE}no container instance met all of its requirements. The closest matching (container-instance 1) is already using a port required by your task."
    explained = diagnose(Observed("said", (), (Event(NOW, text),)), REVISION, ())
    assert "minimumHealthyPercent" in explained.cause
    assert "CPU" not in explained.cause


def test_old_tasks_that_do_not_go_are_named() -> None:
    new = task(lastStatus="RUNNING")
    old = [
        task(lastStatus=status, taskDefinitionArn=REVISION.replace(":2", ":1")) for status in ("RUNNING", "STOPPING")
    ]
    explained = diagnose(Observed("said", (new, *old), ()), REVISION, ())
    assert explained.reasons[0].startswith("2 tasks of doorman:1 have not stopped yet")
    assert "deregistration delay" in explained.cause


@table(
    "stop_code, reason, has_failed",
    {
        "an essential container ended": ("EssentialContainerExited", "Essential container in task exited", True),
        "it could not be started": ("TaskFailedToStart", PULL, True),
        "failed ELB health checks": ("ServiceSchedulerInitiated", "Task failed ELB health checks in (target-group x)", True),
        "failed container health checks": ("ServiceSchedulerInitiated", "Task failed container health checks", True),
        "scaled in": ("ServiceSchedulerInitiated", "Scaling activity initiated by (deployment ecs-svc/1)", False),
        "the scheduler gives no reason": ("ServiceSchedulerInitiated", None, False),
        "a person": ("UserInitiated", "Task stopped by user", False),
        "Spot": ("SpotInterruption", "Your Spot Task was interrupted.", False),
        "an instance that goes": ("TerminationNotice", "Host EC2 (instance i-1) terminated.", False),
        "no code is told": (None, "Essential container in task exited", True),
    },
)  # fmt: skip
def test_whose_fault_an_end_is(stop_code: str | None, reason: str | None, has_failed: bool) -> None:
    assert task(stopCode=stop_code, stoppedReason=reason).has_failed is has_failed
    assert not task(stopCode=stop_code, stoppedReason=reason, lastStatus="DEPROVISIONING").has_failed
