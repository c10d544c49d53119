"""The causes of failed tasks: recognised from error types and sentences of ECS, never from a word in a name.

A text belongs to the group whose beginning it has, and has the first cause there whose phrase is in it. Before that,
names, tags, digests, ids and hosts are taken out; and since no name has a space in it, no phrase is a single word.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html
https://github.com/aws/amazon-ecs-agent/blob/master/agent/dockerclient/dockerapi/errors.go
"""

import re
from typing import NamedTuple


class Cause(NamedTuple):
    """What it is, and what to do."""

    what: str
    step: str


def _no_way(to: str, endpoints: str) -> Cause:
    step = f"Give the tasks a route to it: a public IP address, a NAT gateway, or VPC endpoints for {endpoints}"
    return Cause(f"there is no way to {to}", f"{step}, and a security group that lets them out.")


_NO_WAY = _no_way("the registry", "ECR and S3")
_NO_WAY_TO_SECRETS = _no_way("the secrets of the task definition", "Secrets Manager and Systems Manager")
_NO_WAY_TO_ENV_FILES = _no_way("the environment files", "S3")
_NO_WAY_TO_LOGS = _no_way("the log", "CloudWatch Logs")

_NO_PERMISSION = Cause(
    "the image cannot be pulled: no permission",
    "Give the task's execution role the right to pull from the registry, or the registry's policy that role.",
)
_NO_IMAGE = Cause("the image cannot be pulled: it is not there", "Push the image, or correct its repository and tag.")
# Registries do not tell those who may not pull whether an image is there.
_NO_IMAGE_OR_PERMISSION = Cause(
    "the image cannot be pulled: it is not there, or there is no permission",
    "Correct its repository and tag, or give the task credentials for the registry.",
)
_PULL_LIMIT = Cause(
    "the registry limits how often images are pulled",
    "Authenticate to it, or serve the image from ECR, for instance by a pull through cache.",
)
_LAYERS = Cause(
    "the image cannot be pulled: it has layers that are none",
    "Push an image; if it is built with attestations, build it without them (--provenance=false).",
)
_PULL = Cause(
    "the image cannot be pulled",
    "Check the registry, the image's architecture, and the tasks' way to the registry.",
)
_ARCHITECTURE = Cause(
    "the image is built for another architecture",
    "Build it for the one of runtimePlatform or of the instances, or as a multi-architecture image.",
)
_NO_SECRET = Cause(
    "a secret of the task definition is not there", "Create it, or correct its ARN or key in the task definition."
)
_SECRETS_DENIED = Cause(
    "the secrets of the task definition cannot be read: no permission",
    "Allow the task's execution role to read them, and the key that encrypts them.",
)
_SECRETS = Cause("the secrets of the task definition cannot be read", "Read the reason, and correct what it names.")
_ENV_FILES = Cause(
    "the environment files cannot be read",
    "Check that they are there, and allow the task's execution role to read them and where their bucket is.",
)
_LOG = Cause("the tasks cannot write their log", "Create the log group, and allow the execution role to write to it.")
_VOLUME = Cause(
    "a volume cannot be mounted",
    "Check what it is made from, its mount targets, the security groups, and the role that uses or attaches it.",
)
_SETUP = Cause("the tasks cannot be set up", "Read the reason; it names what the task could not reach or use.")
_ROLE = Cause(
    "ECS cannot assume a role of the task", "Let ecs-tasks.amazonaws.com assume it, and check that it is there."
)
_COMMAND = Cause(
    "the command of a container cannot be run", "Correct entryPoint and command, or the file's permissions."
)
_START = Cause("a container cannot be started", "Start the image with the same settings, and read the reason.")
_SLOW = Cause("a container is not started in time", "Look at the load and the disk of the instance.")
_MEMORY = Cause("a container runs out of memory", "Raise the memory of the task or the container, or use less of it.")
_DISK = Cause("the disk is full", "Raise ephemeralStorage or the instance's disk, or make the image smaller.")
_PORT = Cause(
    "a port that the task needs is taken on the instance",
    "Use dynamic host ports or awsvpc, add an instance, or let old tasks stop first (minimumHealthyPercent).",
)
_NETWORK = Cause(
    "the tasks get no network interface",
    "Free addresses in their subnets, and look at the limits of network interfaces of the account and the instances.",
)
_CAPACITY = Cause("there is no capacity to place the tasks", "Add capacity, or ask for less CPU and memory.")
_LOST_CAPACITY = Cause("capacity was taken back", "Use capacity that is not Spot, or deploy again when there is more.")
_QUOTA = Cause("a quota of the account is used up", "Ask for more in Service Quotas, or run fewer tasks.")
_THROTTLED = Cause("AWS limits how fast ECS starts tasks", "Deploy again later, or ask for a higher rate.")
_NO_INSTANCES = Cause(
    "the cluster has no instances", "Add some; if there are, look at why their agents do not register in the cluster."
)
_AGENT = Cause("the agent of an instance is not connected", "Read its log, restart it, or replace the instance.")
_NO_FIT = Cause(
    "no instance fits the tasks",
    "Compare the task definition's attributes and placement constraints with the instances of the cluster.",
)
_MAY_NOT_LAUNCH = Cause(
    "ECS may not launch instances",
    "Allow the infrastructure role of the capacity provider to, and to pass the role of its instances.",
)
_ELB = Cause(
    "the tasks fail their health check by the load balancer",
    "Check its path, port and codes, the security groups, and give the tasks more time by its grace period.",
)
_CONTAINER = Cause(
    "the tasks fail their health check by the container",
    "Run the command of healthCheck in the image, and give the container more time by its startPeriod.",
)
_ZONE = Cause(
    "the load balancer does not serve the Availability Zone of the tasks",
    "Enable the zone for the load balancer, or take its subnet from the service.",
)
_TARGETS = Cause(
    "the target group does not take the tasks",
    "Compare its VPC, target type (ip or instance) and port with the service's.",
)
_PROTECTED = Cause(
    "old tasks are protected and do not stop", "End their protection (UpdateTaskProtection), or wait until it ends."
)
_PERCENT = Cause(
    "the service may neither stop old tasks nor start new ones",
    "Lower minimumHealthyPercent or raise maximumPercent, so that one task may come or go.",
)
_AWS = Cause("AWS could not provide what the tasks need", "Deploy again; if it stays, read AWS Health.")

_CONNECTION = (
    r"connection issue|i/o timeout|dial tcp|connection refused|no such host|TLS handshake timeout"
    r"|context deadline exceeded|request cancell?ed|Client\.Timeout exceeded|network is unreachable|connection reset"
)
_DENIED = (
    r"not authorized to|no basic auth|access denied|access forbidden|403 Forbidden|401 Unauthorized|error Forbidden: "
    r"|unauthorized: (?:authentication|incorrect|access)|AccessDeniedException: |token has expired|KMS is not allowed"
)
_ABSENT = r"not found: |not found[.\"]?$|does not exist|manifest unknown|name unknown|no such image"
_FULL = r"no space left on device"
_OF_SECRETS = r"(?:pull|retrieve|fetch|fetching) secrets? (?!or )|registry auth from asm|secrets manager|ssm param"
_OF_LOGS = r"logger args|logging driver|log driver|CloudWatch log"
_INIT = r"ResourceInitializationError: "

# What a text begins with, and the phrases that tell the causes apart; the order counts.
_GROUPS: dict[str, dict[str, Cause]] = {
    r"OutOfMemory(?:Error)?:": {"": _MEMORY},
    r"CannotPull\w*:": {
        _FULL: _DISK,
        r"matching platform|no match for platform|no matching manifest": _ARCHITECTURE,
        r"toomanyrequests: |pull rate limit|429 Too Many Requests": _PULL_LIMIT,
        r"no processor for|unsupported media type": _LAYERS,
        _CONNECTION: _NO_WAY,
        r"requested access to the resource|pull access denied(?!.*not authorized to)": _NO_IMAGE_OR_PERMISSION,
        _DENIED: _NO_PERMISSION,
        _ABSENT: _NO_IMAGE,
        "": _PULL,
    },
    rf"{_INIT}Unable to launch instance": {
        _DENIED: _MAY_NOT_LAUNCH,
        r"(?:Limit|Count)Exceeded: ": _QUOTA,
        "": _CAPACITY,
    },
    rf"{_INIT}failed to download env files": {_CONNECTION: _NO_WAY_TO_ENV_FILES, "": _ENV_FILES},
    rf"{_INIT}.{{,60}}?(?:{_OF_LOGS})": {_CONNECTION: _NO_WAY_TO_LOGS, "": _LOG},
    rf"{_INIT}.*?(?:EFS utils|EFS volumes|EBS volume|FSx for|to mount )": {"": _VOLUME},
    rf"{_INIT}.*?(?:{_OF_SECRETS})": {
        _CONNECTION: _NO_WAY_TO_SECRETS,
        r"can't find the|invalid ssm param|contain json key|ResourceNotFoundException: |not found[.\"]?$": _NO_SECRET,
        _DENIED: _SECRETS_DENIED,
        "": _SECRETS,
    },
    _INIT: {_CONNECTION: _NO_WAY, rf"registry auth.*(?:{_DENIED})": _NO_PERMISSION, "": _SETUP},
    # So ends a container that waited for another one, or was to be stopped: the cause is elsewhere.
    r"\w+: (?:dependency graph: |Could not transition to stopped)|CannotStopContainerError:": {},
    r"(?:CannotStart|CannotCreate|CannotRun|CannotInspect)Container\w*:|(?:Docker|Container|HostConfig)\w+Error:": {
        r"exec format error": _ARCHITECTURE,
        r"port is already allocated|address already in use|ports are not available": _PORT,
        _FULL: _DISK,
        r"cannot allocate memory|minimum memory limit": _MEMORY,
        rf"(?:{_OF_LOGS}).*(?:{_CONNECTION})": _NO_WAY_TO_LOGS,
        _OF_LOGS: _LOG,
        r"error mounting|error while mounting|mount config|bind source path|failed to mount": _VOLUME,
        r"executable file not found|exec:? …:? (?:stat …:? )?(?:no such file|permission denied)": _COMMAND,
        r"timed out after waiting": _SLOW,
        "": _START,
    },
    r"\w+Volume\w*Error:|EBS volume|Task failed to attach|Timeout waiting for EBS": {"": _VOLUME},
    r"ECS was unable to assume the role": {"": _ROLE},
    r"Unexpected EC2 error|Timeout waiting for network interface|RESOURCE:ENI": {"": _NETWORK},
    r"InternalError:|Internal error|Timeout waiting for": {"": _AWS},
    r"(?:Task )?failed container health checks": {"": _CONTAINER},
    r"(?:Task )?failed (?:\S+ ){0,3}health checks|is unhealthy in": {
        r"Availability Zone that is not enabled": _ZONE,
        "": _ELB,
    },
    r"failed to register targets": {"": _TARGETS},
    r"was unable to reach steady state because task set": {"": _PROTECTED},
    r"was unable to stop or start tasks during a deployment": {"": _PERCENT},
    r"operations are being throttled": {"": _THROTTLED},
    r"You.ve reached the limit on|The requested \w+ configuration is above your limit": {"": _QUOTA},
    r"was unable to (?:place a task|reach steady state)|(?:RESOURCE:\w+|AGENT|ATTRIBUTE|LOCATION)\.?$"
    r"|Timed out waiting for Amazon ECS Agent|Capacity is unavailable|Empty Capacity Provider|No Container Instances": {
        r"RESOURCE:PORTS|already using a port": _PORT,
        r"RESOURCE:ENI|network interfaces? available|available network interface": _NETWORK,
        r"\"AGENT\"|^AGENT|the agent connected|Amazon ECS Agent": _AGENT,
        r"No Container Instances were found": _NO_INSTANCES,
        r"insufficient \w+|RESOURCE:\w+": _CAPACITY,
        r"^ATTRIBUTE|^LOCATION|met all of its requirements|placement constraint": _NO_FIT,
        "": _CAPACITY,
    },
    r"Your Spot Task was interrupted|Host EC2 ": {"": _LOST_CAPACITY},
}

# What an event is about; and the words with which one repeats the reason of a task.
_SUBJECT = re.compile(
    r"\(?service \(?[^\s,()]+(?:, taskSet [^\s()]+)?\)*(?: \((?:task|instance|port|deployment) [^)]*\))* "
)
_WRAPPING = re.compile(
    r"was unable to place a task\. Reason: |failed to launch a task with \(error |TaskFailedToStart: "
)
# A command; what is quoted or in brackets; what has a slash (but for i/o), an at sign, a hyphen, a dot, a colon
# or an underscore in it; long numbers.
_NAMES = re.compile(
    r"""(?x) (?<=exec:\ )\\?"[^"]*" | (?<!encountered\ error\ )"[^"\s]*" | '[^'\s]*' | `[^`]*`
    | \((?:service|task|instance|target-group|elb|container-instance)\ [^)]*\)
    | (?<!\S)(?!i/o\b)\S*[/@]\S*
    | (?<!\S)(?!Client\.Timeout|RESOURCE:)\w+(?:[-_.:]\w+)+:?
    | \b\d{5,}\b | \b[0-9a-f]{12,}\b"""
)


def cause_of(text: str) -> Cause | None:
    """The cause that a reason of ECS tells of, if it is a known one."""
    text = _SUBJECT.sub("", text, count=1) if _SUBJECT.match(text) else text
    while wrapping := _WRAPPING.match(text):
        text = text[wrapping.end() :]
    plain = _NAMES.sub("…", text)
    group = next((group for begins, group in _GROUPS.items() if re.match(begins, plain, re.DOTALL)), {})
    found = (cause for phrase, cause in group.items() if re.search(phrase, plain, re.IGNORECASE | re.DOTALL))
    return next(found, None)


_EXEC = r"(?:exec \S+|standard_init_linux\.go:\d+: exec .*): \"?{}\"?"
_LINES = {
    _EXEC.format("exec format error"): _ARCHITECTURE,
    _EXEC.format("(?:no such file or directory|permission denied)"): _COMMAND,
}


def cause_of_line(line: str) -> Cause | None:
    """The cause that a line of a log tells of that the container runtime has written, not the application."""
    return next((cause for whole, cause in _LINES.items() if re.fullmatch(whole, line)), None)


_CRASH = "Start the image with the same environment, on the same architecture."
_EXITS = {
    0: Cause(
        "a container ends by itself with exit code 0",
        "A container of a service has to go on running: keep its process in the foreground, or make it not essential.",
    ),
    126: _COMMAND,
    127: Cause("the command of a container is not in its image", "Correct entryPoint and command."),
    132: Cause("a container crashes: illegal instruction", _CRASH),
    134: Cause("a container crashes: it aborts", _CRASH),
    137: Cause("a container was killed", "Look at its memory, and at whether it ends within stopTimeout."),
    139: Cause("a container crashes: segmentation fault", _CRASH),
    143: Cause("a container was stopped by SIGTERM", "Look at what sends it, such as another process in the task."),
}


def cause_of_exit(code: int) -> Cause:
    """The cause that the exit code of a container tells of."""
    return _EXITS.get(
        code,
        Cause(
            "a container exits on its start",
            "Read the last lines of its log and start the image with the same environment.",
        ),
    )
