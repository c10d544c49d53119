"""The cause of a failure, by the words of ECS: each kind apart, and whatever a name says changes none."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.core.causes import cause_of, cause_of_exit, cause_of_line
from ecs_deploy.core.diagnosis import Observed, culprits, diagnose, log_stream
from ecs_deploy.core.service import Event, Task
from tests.support.rules import table

# Wherever a name may stand, it is "doorman"; a tag is ":9"; an account is this one, a region eu-west-1.
HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
PULL = "CannotPullContainerError: "
INIT = "ResourceInitializationError: "
SECRETS = f"{INIT}unable to pull secrets or registry auth: "
START = "CannotStartContainerError: Error response from daemon: "
OCI = f"{START}failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
SERVICE = "(service doorman) "
UNPLACED = f"{SERVICE}was unable to place a task. Reason: "
PLACE = f"{SERVICE}was unable to place a task because no container instance met all of its requirements. "
CLOSEST = f"{PLACE}The closest matching (container-instance 0123456789abcdef0123456789abcdef) "
GROUP = "(target-group arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/doorman/0123456789abcdef)"
DENIED = "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/doorman/0123456789abcdef is not authorized to perform: "
REVISION = "arn:aws:ecs:eu-west-1:123456789012:task-definition/doorman:2"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)

# What ECS and its agents say, by AWS's pages on stopped tasks and service events, the agent's source, and public reports.
REASONS = {
    "it is not there": [
        f"{PULL}pull image manifest has been retried 1 time(s): failed to resolve ref {HOST}/doorman:9: {HOST}/doorman:9: not found",
        f"{PULL}Error response from daemon: manifest for {HOST}/doorman:9 not found: manifest unknown: Requested image not found",
        f'{PULL}inspect image has been retried 1 time(s): failed to resolve ref "docker.io/library/doorman:9": docker.io/library/doorman:9: not found',
        f"{PULL}Error response from daemon: repository doorman not found: does not exist or no pull access",
        f"{PULL}API error (404): repository doorman not found",
        f"{PULL}Error: name unknown: The repository with name 'doorman' does not exist in the registry with id '123456789012'",
        f"{UNPLACED}{PULL}pull image manifest has been retried 1 time(s): failed to resolve ref {HOST}/doorman:9: {HOST}/doorman:9: not found.",
    ],
    "it is not there, or there is no permission": [
        f"{PULL}The task can\u2019t pull the image. Check whether the image exists. Error response from daemon: pull access denied for {HOST}/doorman, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
        f"{PULL}Error response from daemon: pull access denied for doorman, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
        f"{UNPLACED}{PULL}pull image manifest has been retried 1 time(s): failed to resolve ref docker.io/library/doorman:9: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed.",
    ],
    "cannot be pulled: no permission": [
        f'{PULL}Error response from daemon: Head "https://{HOST}/v2/doorman/manifests/9": no basic auth credentials',
        f"{PULL}pull image manifest has been retried 1 time(s): failed to resolve ref {HOST}/doorman:9: unexpected status from HEAD request to https://{HOST}/v2/doorman/manifests/9: 403 Forbidden",
        f"{PULL}Error: denied: User: arn:aws:sts::123456789012:assumed-role/doorman/1 is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:eu-west-1:123456789012:repository/doorman",
        f"{PULL}The task can\u2019t pull the image. Check that the role has the permissions to pull images from the registry. Error response from daemon: pull access denied for {HOST}/doorman, repository does not exist or may require 'docker login': denied: User: arn:aws:sts::123456789012:assumed-role/doorman/1 is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:eu-west-1:123456789012:repository/doorman because no identity-based policy allows the ecr:BatchGetImage action",
        f"{PULL}failed to pull: unexpected status: 401 Unauthorized",
        f"{PULL}API error (500): Get https://registry-1.docker.io/v2/library/doorman/manifests/9: unauthorized: incorrect username or password",
        f"{SECRETS}execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 1 time(s): {DENIED}ecr:GetAuthorizationToken on resource: *",
        f"{UNPLACED}{SECRETS}execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 1 time(s): operation error ECR: GetAuthorizationToken, https response error StatusCode: 400, RequestID: 01234567-89ab-cdef-0123-456789abcdef, api error {DENIED}ecr:GetAuthorizationToken on resource: * because no identity-based policy allows the ecr:GetAuthorizationToken action.",
    ],
    "no way to the registry": [
        f"{PULL}Error response from daemon: Get https://{HOST}/v2/: net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
        f'{PULL}failed to do request: Head "https://{HOST}/v2/doorman/manifests/9": dial tcp 10.0.0.1:443: i/o timeout',
        f"{PULL}ref pull has been retried 5 time(s): failed to copy: httpReadSeeker: failed open: failed to do request: Get {HOST}/doorman:9: dial tcp 10.0.0.1:443: i/o timeout",
        f'{PULL}Error response from daemon: Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host',
        f"{PULL}The task cannot pull {HOST}/doorman:9 from the registry {HOST}/doorman:9. There is a connection issue between the task and the registry. Check your task network configuration.",
        f"{SECRETS}The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration.",
        f'{SECRETS}execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: send request failed caused by: Post "https://api.ecr.eu-west-1.amazonaws.com/": dial tcp 10.0.0.1:443: i/o timeout. Please check your task network configuration.',
        f"{SERVICE}was unable to place a task. Reason: {SECRETS}The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration. operation error ECR: GetAuthorizationToken, exceeded maximum number of attempts, 3.",
    ],
    "another architecture": [
        f"{PULL}pull image manifest has been retried 7 time(s): image Manifest does not contain descriptor matching platform 'linux/arm64'",
        f"{PULL}Error response from daemon: no matching manifest for linux/arm64/v8 in the manifest list entries",
        f'{OCI}exec: "/doorman": exec format error: unknown',
        f"{START}OCI runtime create failed: container_linux.go:370: starting container process caused: exec /doorman: exec format error",
    ],
    "limits how often": [
        f"{PULL}Error response from daemon: toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating",
        f"{PULL}inspect image has been retried 5 time(s): httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/library/doorman/manifests/9: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.",
    ],
    "it has layers that are none": [
        f"{PULL}ref pull has been retried 1 time(s): failed to unpack image on snapshotter overlayfs: failed to extract layer sha256:{'c0' * 32}: failed to get stream processor for application/vnd.in-toto+json: no processor for media-type: unknown",
    ],
    "the disk is full": [
        f"{PULL}failed to register layer: write /var/lib/doorman/tmp: no space left on device",
        "CannotCreateContainerError: API error (500): mkdir /var/lib/docker/overlay2/doorman: no space left on device",
    ],
    "the image cannot be pulled": [
        f"{PULL}something new",
        f"CannotPullImageManifestError: failed to resolve ref {HOST}/doorman:9: unexpected status from HEAD request to https://{HOST}/v2/doorman/manifests/9: 503 Service Unavailable",
    ],
    "secrets of the task definition cannot be read: no permission": [
        f"{SECRETS}execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:doorman from secrets manager: {DENIED}secretsmanager:GetSecretValue",
        f"{SECRETS}execution resource retrieval failed: unable to retrieve secrets from ssm: service call has been retried 1 time(s): {DENIED}ssm:GetParameters on resource: arn:aws:ssm:eu-west-1:123456789012:parameter/doorman",
        f"{SECRETS}unable to retrieve secret from asm: failed to fetch secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:doorman from secrets manager: AccessDeniedException: Access to KMS is not allowed",
    ],
    "a secret of the task definition is not there": [
        f"{SECRETS}unable to retrieve secret from asm: failed to fetch secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:doorman from secrets manager: ResourceNotFoundException: Secrets Manager can't find the specified secret.",
        f"{SECRETS}unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid ssm parameters: doorman",
        f"{SECRETS}execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): retrieved secret from Secrets Manager did not contain json key doorman",
    ],
    "no way to the secrets": [
        f"{SECRETS}The task cannot pull secrets from AWS Secrets Manager. There is a connection issue between the task and AWS Secrets Manager. Check your task network configuration.",
        f'{SECRETS}unable to retrieve secret from asm: RequestError: send request failed caused by: Post "https://secretsmanager.eu-west-1.amazonaws.com/": dial tcp 10.0.0.1:443: i/o timeout',
        f"{SECRETS}execution resource retrieval failed: unable to retrieve secrets from ssm: service call has been retried 5 time(s): RequestCanceled: request context canceled caused by: context deadline exceeded. Please check your task network configuration.",
    ],
    "secrets of the task definition cannot be read": [
        f"{SECRETS}unable to retrieve secrets from ssm: service call has been retried 1 time(s): ThrottlingException: Rate exceeded",
    ],
    "the environment files cannot be read": [
        f"{INIT}failed to download env files: service call has been retried 1 time(s): operation error S3: HeadObject, https response error StatusCode: 403, api error Forbidden: Forbidden.",
    ],
    "no way to the environment files": [
        f"{INIT}failed to download env files: file download command: non empty error stream: RequestCanceled: request context canceled caused by: context deadline exceeded",
    ],
    "the tasks cannot be set up": [f"{INIT}something new"],
    "cannot write their log": [
        f"{INIT}failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1",
        f"{INIT}failed to validate logger args: {DENIED}logs:CreateLogGroup on resource: arn:aws:logs:eu-west-1:123456789012:log-group:doorman",
        f"{START}failed to initialize logging driver: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist.",
    ],
    "no way to the log": [
        f"{INIT}failed to validate logger args: The task cannot find the Amazon CloudWatch log group defined in the task definition. There is a connection issue between the task and Amazon CloudWatch. Check your network configuration. : signal: killed",
    ],
    "a volume cannot be mounted": [
        f"{INIT}failed to invoke EFS utils commands to set up EFS volumes: stderr: b'mount.nfs4: Connection timed out' : unsuccessful EFS utils command execution; code: 32",
        f'{INIT}failed to invoke EFS utils commands to set up EFS volumes: stderr: Failed to resolve "doorman.efs.eu-west-1.amazonaws.com"',
        f"{INIT}failed to invoke EFS utils commands to set up EFS volumes: stderr: mount.nfs4: mounting doorman.efs.eu-west-1.amazonaws.com:/doorman failed, reason given by server: No such file or directory : unsuccessful EFS utils command execution",
        "CannotCreateVolumeError: Volume doorman does not exist",
        f'{START}invalid mount config for type "bind": bind source path does not exist: /doorman',
    ],
    "cannot assume a role": [
        "ECS was unable to assume the role 'arn:aws:iam::123456789012:role/doorman' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions.",
        f"{SERVICE}failed to launch a task with (error ECS was unable to assume the role 'arn:aws:iam::123456789012:role/doorman' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role.).",
    ],
    "out of memory": [
        "OutOfMemoryError: Container killed due to memory usage",
        "OutOfMemory: Container killed due to memory usage",
    ],
    "command of a container cannot be run": [
        f'{OCI}exec: "doorman": executable file not found in $PATH: unknown',
        f'{START}OCI runtime create failed: container_linux.go:348: starting container process caused "exec: \\"doorman\\": executable file not found in $PATH": unknown',
        f'{OCI}exec: "/doorman.sh": permission denied: unknown',
        f'{OCI}exec: "/doorman.sh": stat /doorman.sh: no such file or directory: unknown',
    ],
    "a port that the task needs is taken": [
        f"{START}driver failed programming external connectivity on endpoint ecs-doorman-2-doorman-0123456789abcdef: Bind for 0.0.0.0:80 failed: port is already allocated",
        f"{START}driver failed programming external connectivity on endpoint doorman: listen tcp 0.0.0.0:80: bind: address already in use",
        f"{CLOSEST}is already using a port required by your task. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
        "RESOURCE:PORTS",
    ],
    "not started in time": [
        "DockerTimeoutError: Could not transition to started; timed out after waiting 3m0s",
        "ContainerRuntimeTimeoutError: Could not transition to running; timed out after waiting 1m: something",
    ],
    "a container cannot be started": [
        "ContainerRuntimeError: could not start the runtime task",
        f'{START}error gathering device information while adding custom device "/dev/doorman": no such file or directory',
    ],
    "fail their health check by the load balancer": [
        f"Task failed ELB health checks in {GROUP}",
        "Task failed ELB health checks in (elb doorman)",
        f"{SERVICE}(port 8080) is unhealthy in {GROUP} due to (reason Health checks failed with these codes: [502])",
        f"{SERVICE}(port 8080) is unhealthy in {GROUP} due to (reason Request timed out)",
        f"{SERVICE}(task 0123456789abcdef0123456789abcdef) (instance i-0123456789abcdef0) (port 80) is unhealthy in (target-group doorman) due to (reason Health checks failed)",
        "(service doorman, taskSet ecs-svc/0123456789012345678) (task 0123456789abcdef0123456789abcdef) (port 80) is unhealthy in (target-group doorman) due to (reason Request timed out)",
        f"{SERVICE}(instance i-0123456789abcdef0) is unhealthy in (elb doorman) due to (reason Instance has failed at least the UnhealthyThreshold number of health checks consecutively.)",
    ],
    "fail their health check by the container": [
        "Task failed container health checks",
        f"{SERVICE}(task 0123456789abcdef0123456789abcdef) failed container health checks.",
    ],
    "does not serve the Availability Zone": [
        f"{SERVICE}(task 0123456789abcdef0123456789abcdef) (port 3000) is unhealthy in {GROUP} due to (reason Target is in an Availability Zone that is not enabled for the load balancer)",
    ],
    "the target group does not take the tasks": [
        f"{SERVICE}failed to register targets in {GROUP} with (error The following targets are not in the target group VPC 'vpc-11111111': 'i-0123456789abcdef0')",
    ],
    "no instances": [
        f"{PLACE}Reason: No Container Instances were found in your cluster. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
        f"{SERVICE}was unable to reach steady state. Reason: No Container Instances were found in your capacity provider.",
    ],
    "no capacity": [
        f"{CLOSEST}has insufficient memory available. For more information, see the Troubleshooting section.",
        f"{CLOSEST}has insufficient CPU units available.",
        f"{UNPLACED}TaskFailedToStart: RESOURCE:GPU.",
        "RESOURCE:MEMORY",
        "Capacity is unavailable at this time. Please try again later or in a different availability zone",
        f"{UNPLACED}Capacity is unavailable at this time. Please try again later or in a different availability zone. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
        f"{UNPLACED}{INIT}Unable to launch instance(s) for capacity provider doorman. UnfulfillableCapacity: Unable to fulfill capacity due to your request configuration. Please adjust your request and try again.",
        f"{SERVICE}was unable to place a task because the resources could not be found.",
    ],
    "a quota of the account": [
        f"{UNPLACED}You've reached the limit on the number of vCPUs you can run concurrently.",
        f"{UNPLACED}You\u2019ve reached the limit on the number of tasks you can run concurrently",
        f"{UNPLACED}The requested MEMORY configuration is above your limit.",
        f"{UNPLACED}{INIT}Unable to launch instance(s) for capacity provider doorman. MaxSpotInstanceCountExceeded: Max spot instance count exceeded. RequestId: 01234567-89ab-cdef-0123-456789abcdef",
    ],
    "may not launch instances": [
        f"{UNPLACED}{INIT}Unable to launch instance(s) for capacity provider doorman. UnauthorizedOperation: You are not authorized to perform this operation. User: arn:aws:sts::123456789012:assumed-role/doorman/doorman is not authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/doorman",
    ],
    "agent of an instance is not connected": [
        f'{CLOSEST}encountered error "AGENT". For more information, see the Troubleshooting section.',
        f"{CLOSEST}doesn't have the agent connected. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
        "AGENT",
        f"{SERVICE}Timed out waiting for Amazon ECS Agent to start. Please check logs at /var/log/ecs/ecs-agent.log",
    ],
    "no instance fits": [
        f"{CLOSEST}is missing an attribute required by your task.",
        "ATTRIBUTE",
    ],
    "no network interface": [
        "RESOURCE:ENI",
        f'{CLOSEST}encountered error "RESOURCE:ENI".',
        f"{CLOSEST}has no available network interfaces.",
        "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment enabled in subnet 'doorman': InsufficientFreeAddressesInSubnet",
        "Timeout waiting for network interface provisioning to complete.",
    ],
    "AWS could not provide": [
        "Timeout waiting for EphemeralStorage provisioning to complete.",
        f"{UNPLACED}Internal error.",
    ],
    "old tasks are protected": [
        f"{SERVICE}was unable to reach steady state because task set (ecs-svc/0123456789012345678) was unable to scale in. Reason: The number of protected tasks are more than the desired count of tasks.",
    ],
    "neither stop old tasks nor start new ones": [
        f"{SERVICE}was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.",
    ],
    "limits how fast": [f"{SERVICE}operations are being throttled. Will try again later."],
    "capacity was taken back": [
        "Your Spot Task was interrupted.",
        "Host EC2 (instance i-0123456789abcdef0) terminated.",
    ],
}
CASES = [(reason, cause) for cause, reasons in REASONS.items() for reason in reasons]

NO_CAUSE = [
    "Essential container in task exited",
    "Scaling activity initiated by (deployment ecs-svc/0123456789012345678)",
    "Task stopped by user",
    f"{SERVICE}has started 1 tasks: (task 0123456789abcdef0123456789abcdef).",
    f"{SERVICE}is unable to consistently start tasks successfully.",
    # How containers end that wait for another one, or are to be stopped.
    "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency [doorman] for target [doorman] as dependency did not exit successfully.",
    "DockerTimeoutError: Could not transition to stopped; timed out after waiting 2m0s",
    "doorman has ended: oom",
    "the door is unhealthy and out of memory",
    "it said OutOfMemoryError: once",
]


def what(text: str) -> str:
    cause = cause_of(text)
    return cause.what if cause else ""


@pytest.mark.parametrize(("reason", "cause"), CASES)
def test_the_cause_of_a_reason(reason: str, cause: str) -> None:
    assert cause in what(reason)


def test_each_kind_is_told_apart() -> None:
    kinds = [{what(reason) for reason in reasons} for reasons in REASONS.values()]
    assert all(len(kind) == 1 for kind in kinds)
    assert len(set.union(*kinds)) == len(kinds)
    assert len(CASES) >= 80


@pytest.mark.parametrize("text", NO_CAUSE)
def test_what_tells_of_no_cause(text: str) -> None:
    assert what(text) == ""


TELLING = (
    "oom", "meeting-room-api", "oom-fix", "OutOfMemoryError", "CannotPullContainerError", "ResourceInitializationError", "unhealthy", "no-capacity",
    "access", "denied", "access-denied", "AccessDeniedException", "forbidden", "unauthorized", "toomanyrequests", "timeout", "i-o-timeout", "dial.tcp",
    "connection", "connection-issue", "registry", "secret", "secrets", "secretsmanager", "ssm", "not", "found", "not-found", "manifest", "manifest-unknown",
    "404", "exec", "exec-format-error", "port", "ports", "memory", "RESOURCE", "AGENT", "ATTRIBUTE", "volume", "mount", "EFS", "EBS", "log", "log-group",
    "logger", "driver", "no_space_left_on_device", "network.is.unreachable", "health", "checks", "deployment", "service", "task", "Reason", "error", "limit",
)  # fmt: skip
# What names of services, containers, secrets, roles, clusters and repositories are made of.
NAMES = st.sampled_from(TELLING) | st.lists(st.sampled_from(TELLING), min_size=2, max_size=4).flatmap(
    lambda words: st.sampled_from("-_").map(lambda mark: mark.join(words))
)
ACCOUNTS = st.sampled_from(["403403403403", "404404404404", "137137137137"]) | st.from_regex(
    r"[0-9]{12}", fullmatch=True
)
REGIONS = st.sampled_from(["us-east-1", "ap-southeast-3", "eu-isoe-west-1", "us-gov-west-1"])
ALL_REASONS = st.sampled_from([*(reason for reason, _ in CASES), *NO_CAUSE[:7]])


@pytest.mark.parametrize("word", TELLING)
def test_no_name_of_a_telling_word_changes_a_cause(word: str) -> None:
    for reason in [*(reason for reason, _ in CASES), *NO_CAUSE[:7]]:
        assert what(reason.replace("doorman", word).replace(":9", f":{word}")) == what(reason)


@given(ALL_REASONS, NAMES, NAMES, ACCOUNTS, REGIONS)
def test_no_name_tag_account_or_region_changes_a_cause(
    reason: str, name: str, tag: str, account: str, region: str
) -> None:
    renamed = reason.replace("doorman", name).replace(":9", f":{tag}").replace("/manifests/9", f"/manifests/{tag}")
    assert what(renamed.replace("123456789012", account).replace("eu-west-1", region)) == what(reason)


@given(ALL_REASONS, st.data())
def test_no_digest_changes_a_cause(reason: str, data: st.DataObject) -> None:
    digest = data.draw(st.text("0123456789abcdef", min_size=64, max_size=64))
    assert what(reason.replace(":9", f"@sha256:{digest}")) == what(reason)


@given(st.text(max_size=300))
def test_any_text_has_at_most_a_cause(text: str) -> None:
    for start in ("", PULL, INIT, START, SERVICE, UNPLACED):
        cause_of(start + text)
    cause_of_line(text)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("exec /usr/local/bin/docker-entrypoint.sh: exec format error", "another architecture"),
        ("standard_init_linux.go:228: exec user process caused: exec format error", "another architecture"),
        ('standard_init_linux.go:178: exec user process caused "exec format error"', None),
        ("exec /app/start.sh: no such file or directory", "the command of a container"),
        ("my job says: exec format error", None),
        ("exec format error", None),
    ],
)
def test_the_cause_of_a_line_of_the_container_runtime(line: str, cause: str | None) -> None:
    found = cause_of_line(line)
    assert (found is not None) is (cause is not None)
    assert (cause or "") in (found.what if found else "")


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


def ended(name: str, code: int | None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    told = {**({} if code is None else {"exitCode": code}), **({"reason": reason} if reason else {})}
    return {"name": name, **told, **more}


def definition(*names: str, sidecars: tuple[str, ...] = (), waits: dict[str, str] | None = None) -> dict[str, Any]:
    """A task definition in which the sidecars are not essential, and some containers wait for another."""
    options = {"awslogs-group": "/doorman", "awslogs-stream-prefix": "x"}
    log = {"logConfiguration": {"logDriver": "awslogs", "options": options}}
    ordered = {
        name: {"dependsOn": [{"containerName": other, "condition": "START"}]} for name, other in (waits or {}).items()
    }
    needed = [{"name": name, "image": "x", **log, **ordered.get(name, {})} for name in names]
    others = [{"name": name, "essential": False, **log, **ordered.get(name, {})} for name in sidecars]
    return {"containerDefinitions": [*needed, *others]}


OOM = "OutOfMemoryError: Container killed due to memory usage"


@table(
    "containers, document, blamed",
    {
        "one that failed": ([ended("app", 1)], definition("app"), ["app"]),
        "one that ended": ([ended("app", 0)], definition("app"), ["app"]),
        "a sidecar that was stopped with it": ([ended("envoy", 143), ended("app", 1)], definition("envoy", "app"), ["app"]),
        "a sidecar that was killed with it": ([ended("envoy", 137), ended("app", 0)], definition("envoy", "app"), ["app"]),
        "a sidecar that nginx's SIGQUIT stopped": ([ended("nginx", 131), ended("app", 0)], definition("nginx", "app"), ["app"]),
        "a sidecar that Windows stopped": ([ended("log", 3221225786), ended("app", 0)], definition("log", "app"), ["app"]),
        "a sidecar that ended well when it was stopped": ([ended("envoy", 0), ended("app", 2)], definition("envoy", "app"), ["app"]),
        "a sidecar that could not be stopped": (
            [ended("envoy", 137, "DockerTimeoutError: Could not transition to stopped; timed out after waiting 2m0s"), ended("app", 2)],
            definition("envoy", "app"), ["app"],
        ),
        "a sidecar that need not run": ([ended("setup", 0), ended("app", 0)], definition("app", sidecars=("setup",)), ["app"]),
        "a sidecar that need not run and failed before": ([ended("setup", 1), ended("app", 1)], definition("app", sidecars=("setup",)), ["app"]),
        "a sidecar that fails when it is stopped": ([ended("log", 1), ended("app", 137)], definition("app", sidecars=("log",)), ["app"]),
        "the essential one, though all were stopped": ([ended("log", 143), ended("app", 143)], definition("app", sidecars=("log",)), ["app"]),
        "one that the essential one waits for": (
            [ended("app", 143, "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency [setup] for target [app] as dependency did not exit successfully."), ended("setup", 1)],
            definition("app", sidecars=("setup",), waits={"app": "setup"}), ["setup"],
        ),
        "one that the essential one, never started, waits for": ([ended("app", None), ended("setup", 1)], definition("app", sidecars=("setup",), waits={"app": "setup"}), ["setup"]),
        "one that has a reason": ([ended("app", 1), ended("web", 137, OOM)], definition("app", "web"), ["web"]),
        "one that has a reason that nobody knows": ([ended("app", None, "SomethingNewError: x")], definition("app"), ["app"]),
        "one that another depends on": ([ended("app", 1), ended("db", 1)], definition("app", "db", waits={"app": "db"}), ["db"]),
        "one that another depends on through a third": ([ended("app", 1), ended("db", 1)], definition("app", "web", "db", waits={"app": "web", "web": "db"}), ["db"]),
        "two that failed": ([ended("app", 1), ended("web", 2)], definition("app", "web"), ["app", "web"]),
        "two that ended": ([ended("app", 0), ended("web", 0)], definition("app", "web"), ["app", "web"]),
        "the only one, killed": ([ended("app", 137)], definition("app"), ["app"]),
        "only a sidecar was stopped": ([ended("app", None), ended("log", 143)], definition("app", sidecars=("log",)), []),
        "all were stopped": ([ended("app", 137), ended("web", 143)], definition("app", "web"), []),
        "none ran": ([ended("app", None)], definition("app"), []),
        "nothing is known of the definition": ([ended("app", 1), ended("web", 143)], {"containerDefinitions": []}, ["app"]),
    },
)  # fmt: skip
def test_who_is_to_blame(containers: list[dict[str, Any]], document: dict[str, Any], blamed: list[str]) -> None:
    stopped = task(*containers)
    assert [each.name for each in culprits(stopped, document)] == blamed
    if document["containerDefinitions"]:
        stream = log_stream(document, stopped)
        assert (stream and stream.stream) == (f"x/{blamed[0]}/0123456789abcdef" if blamed else None)
    told = diagnose(Observed("said", (stopped,), (), document=document), REVISION, ()).reasons[0]
    # Where nobody is to blame, all that ended are told.
    named = blamed or [each["name"] for each in containers if "exitCode" in each]
    assert re.findall(r"container (\w+)(?= ended| \()", told) == named


ELB = {"stopCode": "ServiceSchedulerInitiated", "stoppedReason": f"Task failed ELB health checks in {GROUP}"}
CHECKED = {"stopCode": "ServiceSchedulerInitiated", "stoppedReason": "Task failed container health checks"}


@table(
    "stopped, logs, told",
    {
        "by the load balancer": (task(ended("app", 137), **ELB), "app", ""),
        "by the load balancer, one of two": (task(ended("app", 0), ended("web", 137), **ELB), None, ""),
        "by its container": (
            task(ended("app", 0), ended("web", 137, healthStatus="UNHEALTHY"), **CHECKED), "web", "; container web is unhealthy",
        ),
    },
)  # fmt: skip
def test_what_health_checks_stop_has_not_ended_by_itself(stopped: Task, logs: str | None, told: str) -> None:
    document = definition("app", "web")
    stream = log_stream(document, stopped)
    assert (stream and stream.stream) == (f"x/{logs}/0123456789abcdef" if logs else None)
    explained = diagnose(Observed("said", (stopped,), (), document=document), REVISION, ())
    assert "fail their health check" in explained.cause
    assert "exit code" not in explained.reasons[0]
    assert explained.reasons[0].endswith(told)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "ends by itself"),
        (1, "exits on its start"),
        (126, "cannot be run"),
        (127, "not in its image"),
        (132, "illegal instruction"),
        (134, "aborts"),
        (137, "was killed"),
        (139, "segmentation fault"),
        (143, "SIGTERM"),
    ],
)
def test_exit_codes(code: int, text: str) -> None:
    assert text in cause_of_exit(code).what
    explained = diagnose(Observed("said", (task(ended("app", code)),), (), document=definition("app")), REVISION, ())
    assert text in explained.cause
    assert f"container app ended with exit code {code}" in explained.reasons[0]


def test_a_code_with_a_reason_tells_more() -> None:
    explained = diagnose(Observed("said", (task(ended("app", 137, OOM)),), ()), REVISION, ())
    assert "out of memory" in explained.cause
    assert "container app ended with exit code 137 (OutOfMemoryError" in explained.reasons[0]


def test_what_the_container_runtime_logs_tells_more() -> None:
    lines = ("exec /app: exec format error",)
    explained = diagnose(Observed("said", (task(ended("app", 255)),), (), lines), REVISION, ())
    assert "another architecture (last line of the log: exec /app: exec format error)" in explained.cause


def test_two_containers_that_end_again_and_again_are_named() -> None:
    tasks = (task(ended("app", 0), ended("web", 143)), task(ended("app", 143), ended("web", 0)))
    explained = diagnose(Observed("said", tasks, (), document=definition("app", "web")), REVISION, ())
    assert "ends by itself with exit code 0" in explained.cause
    assert {reason.rpartition("container ")[2] for reason in explained.reasons[:2]} == {
        "app ended with exit code 0",
        "web ended with exit code 0",
    }


def test_the_cause_is_that_of_most_tasks_and_its_reason_is_the_first() -> None:
    ends = [*[(137, OOM)] * 3, (1, None), (2, None), (2, None), (3, None)]
    tasks = tuple(task(ended("app", code, reason)) for code, reason in ends)
    explained = diagnose(Observed("said", tasks, (), document=definition("app")), REVISION, ())
    assert "exits on its start (2 x stopped: EssentialContainerExited" in explained.cause
    assert [reason[:3] for reason in explained.reasons[:4]] == ["2 x", "1 x", "1 x", "3 x"]


def test_a_name_in_the_task_changes_no_cause() -> None:
    tasks = (task(ended("meeting-room-api", 1)),)
    explained = diagnose(Observed("said", tasks, (), document=definition("meeting-room-api")), REVISION, ())
    assert "exits on its start" in explained.cause


def test_a_port_that_is_taken_is_told_from_missing_capacity() -> None:
    text = f"{CLOSEST}is already using a port required by your task."
    explained = diagnose(Observed("said", (task(lastStatus="PENDING"),), (Event(NOW, text),)), REVISION, ())
    assert "minimumHealthyPercent" in explained.cause
    assert "already using a port" in explained.cause
    assert "CPU" not in explained.cause


@pytest.mark.parametrize("reason", [reason for reason, _ in CASES if reason.startswith("(service doorman")])
def test_an_event_with_a_cause_is_told(reason: str) -> None:
    explained = diagnose(Observed("said", (), (Event(NOW, reason),)), REVISION, ())
    assert explained.cause.startswith(what(reason))
    assert explained.reasons[0].startswith("1 x event: ")


def test_a_task_that_is_unhealthy_is_told() -> None:
    tasks = (task(lastStatus="RUNNING", healthStatus="UNHEALTHY"),)
    assert "health check by the container" in diagnose(Observed("said", tasks, ()), REVISION, ()).cause


@pytest.mark.parametrize(
    ("stop_code", "reason"),
    [
        ("SpotInterruption", "Your Spot Task was interrupted."),
        ("TerminationNotice", "x"),
        ("InfrastructureHealth", "x"),
        ("EssentialContainerExited", "Host EC2 (instance i-0123456789abcdef0) terminated."),
    ],
)
def test_capacity_that_was_taken_back_is_told_where_nothing_failed(stop_code: str, reason: str) -> None:
    lost = task(stopCode=stop_code, stoppedReason=reason)
    explained = diagnose(Observed("said", (lost, lost), ()), REVISION, ())
    assert explained.reasons == (f"2 x lost: {stop_code}: {reason}", "said")
    assert explained.cause.startswith("capacity was taken back")
    failed = diagnose(Observed("said", (lost, lost, task(ended("app", 1))), ()), REVISION, ())
    assert "taken back" not in str(failed)


def old(status: str, **more: Any) -> Task:
    return task(lastStatus=status, taskDefinitionArn=REVISION.replace(":2", ":1"), **more)


def test_old_tasks_that_do_not_go_are_named() -> None:
    others = [old(status) for status in ("RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED")]
    explained = diagnose(Observed("said", (task(lastStatus="RUNNING"), *others), ()), REVISION, ())
    assert explained.reasons[0].startswith("3 old tasks (doorman:1) have not stopped: ")
    assert all(text in explained.cause for text in ("deregistration delay", "stopTimeout", "task protection"))
    one = diagnose(Observed("said", (task(lastStatus="RUNNING"), others[0]), ()), REVISION, ())
    assert one.reasons[0].startswith("1 old task (doorman:1) ")


@pytest.mark.parametrize("new", [[], [{"lastStatus": "PENDING"}], [{"lastStatus": "RUNNING"}, {}]])
def test_old_tasks_that_the_new_ones_do_not_replace_yet_are_not(new: list[dict[str, Any]]) -> None:
    tasks = (*(task(ended("app", 1), **each) for each in new), old("RUNNING"))
    assert "old task" not in str(diagnose(Observed("said", tasks, ()), REVISION, ()))


def test_tasks_of_an_earlier_deployment_of_the_same_revision_tell_nothing() -> None:
    before = task(ended("app", 1), startedBy="ecs-svc/1")
    now = task(ended("app", 137, OOM), startedBy="ecs-svc/2")
    explained = diagnose(Observed("said", (before, before, now), (), deployment="ecs-svc/2"), REVISION, ())
    assert explained.reasons[0].startswith("1 x stopped")
    assert "out of memory" in explained.cause
    assert diagnose(Observed("said", (before,), (), deployment="ecs-svc/3"), REVISION, ()).reasons[0].startswith("1 x")


HOST_GONE = "Host EC2 (instance i-0123456789abcdef0) terminated."


@table(
    "stop_code, reason, has_failed",
    {
        "an essential container ended": ("EssentialContainerExited", "Essential container in task exited", True),
        "it could not be started": ("TaskFailedToStart", PULL, True),
        "failed ELB health checks": ("ServiceSchedulerInitiated", f"Task failed ELB health checks in {GROUP}", True),
        "failed container health checks": ("ServiceSchedulerInitiated", "Task failed container health checks", True),
        "failed health checks of another kind": ("ServiceSchedulerInitiated", "Task failed VPC Lattice health checks in x", True),
        "scaled in": ("ServiceSchedulerInitiated", "Scaling activity initiated by (deployment ecs-svc/1)", False),
        "scaled in, otherwise written": ("ServiceSchedulerInitiated", "Scaling activity initiated by deployment ecs-svc/1", False),
        "replaced": ("ServiceSchedulerInitiated", "Amazon ECS service deployment ecs-svc/1", False),
        "the scheduler gives no reason": ("ServiceSchedulerInitiated", None, False),
        "a person": ("UserInitiated", "Task stopped by user", False),
        "a person who writes what ECS does": ("UserInitiated", "Task failed container health checks", False),
        "Spot": ("SpotInterruption", "Your Spot Task was interrupted.", False),
        "an instance that goes": ("TerminationNotice", HOST_GONE, False),
        "an instance that goes, its containers ended": ("EssentialContainerExited", HOST_GONE, False),
        "an instance that was taken out": ("EssentialContainerExited", "Container instance deregistration forced by user", False),
        "a host of Fargate that fails": ("InfrastructureHealth", "x", False),
        "a code to come": ("SomethingNew", "x", False),
        "no code is told": (None, "Essential container in task exited", True),
        "no code is told, health checks": (None, "Task failed container health checks", True),
        "no code is told, Spot": (None, "Your Spot Task was interrupted.", False),
        "no code is told, a person": (None, "Task stopped by user", False),
        "no code is told, an instance that goes": (None, HOST_GONE, False),
        "no code is told, scaled in": (None, "Scaling activity initiated by (deployment ecs-svc/1)", False),
    },
)  # fmt: skip
def test_whose_fault_an_end_is(stop_code: str | None, reason: str | None, has_failed: bool) -> None:
    assert task(stopCode=stop_code, stoppedReason=reason).has_failed is has_failed
    assert not task(stopCode=stop_code, stoppedReason=reason, lastStatus="DEPROVISIONING").has_failed
