"""The causes of failed tasks: recognised from error types and sentences of ECS, never from a word in a name.

Names, tags, digests, ids and hosts are taken out of a text before it is read, and what is left is read as phrases.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/resolve-stopped-errors.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html
"""

import re
from typing import NamedTuple


class Cause(NamedTuple):
    """What it is, and what to do."""

    what: str
    step: str


class _Sign(NamedTuple):
    """A text with this beginning, and one of these phrases after it, tells of a cause."""

    begins: str
    phrases: str
    cause: Cause


_PULL = r"CannotPull\w*:"
_INIT = r"ResourceInitializationError:"
_START = r"(?:CannotStart|CannotCreate|CannotRun)ContainerError:|ContainerRuntime(?:Timeout)?Error:"
_PLACE = r"… was unable to place a task because|RESOURCE:|Capacity is unavailable"
_ANY = r""
_CONNECTION = (
    r"connection issue|i/o timeout|dial tcp|connection refused|no such host|TLS handshake timeout"
    r"|context deadline exceeded|request canceled|Client\.Timeout|network is unreachable|connection reset"
)
_DENIED = (
    r"pull access denied|is not authorized to perform|not authorized to access|no basic auth|access denied"
    r"|access forbidden|403 Forbidden|401 Unauthorized|unauthorized: |requested access to the resource"
    r"|AccessDeniedException|token has expired"
)
_ABSENT = r"not found|does not exist|manifest unknown|no such image|failed to resolve ref"
_SECRETS = (
    r"cannot pull secrets|retrieve secrets?|fetch secrets?|secretsmanager|secrets manager|ssm parameters?|ssm params"
)

_NO_WAY = Cause(
    "there is no way to the registry",
    "Give the tasks a route to it: a public IP address, a NAT gateway, or VPC endpoints for ECR and S3, and a security "
    "group that lets them out.",
)
_NO_PERMISSION = Cause(
    "the image cannot be pulled: no permission",
    "Give the task's execution role the right to pull from the registry, or the registry's policy that role.",
)
_NO_IMAGE = Cause("the image cannot be pulled: it is not there", "Push the image, or correct its repository and tag.")
_NO_SECRETS = Cause(
    "the secrets of the task definition cannot be read: no permission",
    "Allow the task's execution role to read them, and the key that encrypts them.",
)
_NO_WAY_TO_SECRETS = Cause(
    "there is no way to the secrets of the task definition",
    "Give the tasks a route to Secrets Manager and Systems Manager: NAT or VPC endpoints, and an open security group.",
)
_WRONG_ARCHITECTURE = Cause(
    "the image is built for another architecture",
    "Build it for the one of runtimePlatform or of the instances, or as a multi-architecture image.",
)
_PORT = Cause(
    "a port that the task needs is taken on the instance",
    "Use dynamic host ports or awsvpc, add an instance, or let old tasks stop first (minimumHealthyPercent).",
)
_MEMORY = Cause("a container runs out of memory", "Raise the memory of the task or the container, or use less of it.")
_CAPACITY = Cause("there is no capacity to place the tasks", "Add capacity, or ask for less CPU and memory.")
_NETWORK = Cause(
    "the tasks get no network interface",
    "Free addresses in their subnets, and look at the limits of network interfaces of the account and the instances.",
)
_DISK = Cause("the disk is full", "Raise ephemeralStorage or the instance's disk, or make the image smaller.")

_SIGNS = (
    _Sign(_PULL, r"no space left on device", _DISK),
    _Sign(_PULL, r"matching platform|no match for platform|no matching manifest", _WRONG_ARCHITECTURE),
    _Sign(
        _PULL,
        r"toomanyrequests|pull rate limit|429 Too Many Requests",
        Cause(
            "the registry limits how often images are pulled",
            "Authenticate to it, or serve the image from ECR, for instance by a pull through cache.",
        ),
    ),
    _Sign(_PULL, _CONNECTION, _NO_WAY),
    _Sign(_PULL, _DENIED, _NO_PERMISSION),
    _Sign(_PULL, _ABSENT, _NO_IMAGE),
    _Sign(
        _PULL,
        "",
        Cause(
            "the image cannot be pulled",
            "Check the registry, the image's architecture, and the tasks' way to the registry.",
        ),
    ),
    _Sign(
        _INIT,
        r"log group|log stream|logger args|log driver|initialize logging",
        Cause("the tasks cannot write their log", "Create the log group, and allow the execution role to write to it."),
    ),
    _Sign(
        _INIT,
        r"EFS|volume|mount",
        Cause("a volume cannot be mounted", "Check its file system, its mount targets, and the security groups."),
    ),
    _Sign(_INIT, rf"(?:{_SECRETS}).*(?:{_CONNECTION})", _NO_WAY_TO_SECRETS),
    _Sign(
        _INIT,
        rf"(?:{_SECRETS}).*(?:not found|does not exist|can't find|invalid|ResourceNotFoundException|did not contain)",
        Cause("a secret of the task definition is not there", "Create it, or correct its ARN in the task definition."),
    ),
    _Sign(_INIT, rf"(?:{_SECRETS})", _NO_SECRETS),
    _Sign(_INIT, r"registry auth.*(?:not authorized|AccessDenied)", _NO_PERMISSION),
    _Sign(_INIT, _CONNECTION, _NO_WAY),
    _Sign(
        _INIT,
        "",
        Cause("the tasks cannot be set up", "Read the reason; it names what the task could not reach or use."),
    ),
    _Sign(r"OutOfMemory(?:Error)?:", "", _MEMORY),
    _Sign(_START, r"exec format error", _WRONG_ARCHITECTURE),
    _Sign(_START, r"port is already allocated|address already in use", _PORT),
    _Sign(_START, r"no space left on device", _DISK),
    _Sign(
        _START,
        r"executable file not found|no such file or directory|permission denied",
        Cause("the command of a container cannot be run", "Correct entryPoint and command, or the file's permissions."),
    ),
    _Sign(
        _START,
        r"log driver|initialize logging|log group",
        Cause("the tasks cannot write their log", "Create the log group, and allow the role to write to it."),
    ),
    _Sign(
        _START,
        "",
        Cause("a container cannot be started", "Start the image with the same settings, and read the reason."),
    ),
    _Sign(
        r"CannotCreateVolumeError:|CannotAttachVolume\w*:|EBS volume|Task failed to attach",
        "",
        Cause("a volume cannot be mounted", "Check its configuration, and the infrastructure role that attaches it."),
    ),
    _Sign(
        _ANY,
        r"\bunable to assume the role",
        Cause(
            "ECS cannot assume a role of the task", "Let ecs-tasks.amazonaws.com assume it, and check that it is there."
        ),
    ),
    _Sign(
        _ANY,
        r"Network Interface (?:creation|provisioning|attachment)|(?:Create|Attach) Network Interface"
        r"|waiting for network interface|free addresses in subnet|InsufficientFreeAddressesInSubnet|RESOURCE:ENI",
        _NETWORK,
    ),
    _Sign(
        r"Task failed ELB health checks|Task failed container health checks|(?:… )+is unhealthy in",
        "",
        Cause(
            "the tasks fail their health check",
            "Check the path and the port of the health check, and give the tasks more time by its grace period.",
        ),
    ),
    _Sign(_PLACE, r"RESOURCE:PORTS|already using a port|port required by your task", _PORT),
    _Sign(_PLACE, r"insufficient (?:memory|CPU)", _CAPACITY),
    _Sign(
        _PLACE,
        r"missing an attribute|ATTRIBUTE|met all of its requirements|placement constraint",
        Cause(
            "no instance fits the tasks",
            "Compare the task definition's attributes and placement constraints with the instances of the cluster.",
        ),
    ),
    _Sign(_PLACE, "", _CAPACITY),
)

# What is quoted; a service or another thing in brackets; what has a slash (but for i/o), an at sign, a hyphen, a dot or
# an underscore in it; long numbers.
_NAMES = re.compile(
    r"""(?x) "[^"]*" | '[^']*' | `[^`]*` | \((?:service|task|instance|deployment|target-group|port|taskSet)\ [^)]*\)
    | (?<!\S)(?!i/o\b)\S*[/@]\S*
    | (?<!\S)(?!Client\.Timeout|RESOURCE:)\w+(?:[-_.:]\w+)+:?
    | \b\d{5,}\b | \b[0-9a-f]{12,}\b"""
)


def cause_of(text: str) -> Cause | None:
    """The cause that a reason of ECS tells of, if it is a known one."""
    plain = _NAMES.sub("…", text)
    for sign in _SIGNS:
        if re.match(sign.begins, plain) and re.search(sign.phrases, plain, re.IGNORECASE | re.DOTALL):
            return sign.cause
    return None


_EXITS = {
    0: Cause(
        "a container ends by itself with exit code 0",
        "A container of a service has to go on running: keep its process in the foreground, or make it not essential.",
    ),
    126: Cause(
        "the command of a container cannot be run", "Correct entryPoint and command, or the file's permissions."
    ),
    127: Cause("the command of a container is not in its image", "Correct entryPoint and command."),
    137: Cause("a container was killed", "Look at its memory, and at whether it ends within stopTimeout."),
    139: Cause(
        "a container crashes: segmentation fault",
        "Start the image with the same environment, on the same architecture.",
    ),
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
