"""The targets: which push of which repository deploys which service.

The context key `targets` is read once, here, into frozen values; everything after this module may trust them. All
problems of all entries are listed at once, each naming its entry and its key.

The names are held to AWS's own rules, because a name that AWS would refuse is found here in a second and in
CloudFormation after minutes, and because a name never has to be escaped in an ARN or a template:
- clusters and services: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html
- repositories: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
- tags: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageIdentifier.html
- roles: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
- parameters: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from semantic_version import NpmSpec

from infra import gates
from infra.context import InvalidContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

EVERY_TAG = ("*",)
DEFAULT_TIMEOUT = 600
SHORTEST_TIMEOUT, LONGEST_TIMEOUT = 10, 86_400
DEFAULT_RECONCILE = "1 hour"
MOST_OFTEN_RECONCILED = 5
"""Minutes: events are seldom lost, and each time costs some calls for each target."""
LONGEST_AGE = 14 * 1440
"""Minutes: while a push waits, a message is sent again every quarter of an hour."""

_ECS_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_REPOSITORY = re.compile(
    r"(?=.{2,256}\Z)(?:[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*/)*[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
)
# The grammar of the dispatcher: lambda/ecs_deploy/core/tag_policy.py.
# https://docs.aws.amazon.com/general/latest/gr/ecr.html
_HOST = re.compile(r"\A(?P<host>(?P<account>[0-9]{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+)/")
_TAG = re.compile(r"!?[A-Za-z0-9_.*-]{1,128}|(?=[^*]*(?:\*[^*]*){0,2}\Z)[A-Za-z0-9_.*-]*\{n\}[A-Za-z0-9_.*-]*")
_SEMVER = "semver:"
_ROLE = re.compile(r"(?=.{1,576}\Z)(?:[\w+=,.@-]+/)*[\w+=,.@-]{1,64}", re.ASCII)
_PARAMETER = re.compile(r"(?=.{1,1000}\Z)(?!/?(?i:aws|ssm))(?:(?:/[A-Za-z0-9_.-]+){1,15}|[A-Za-z0-9_.-]+)")
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_CreateDocument.html
_DOCUMENT = re.compile(r"[A-Za-z0-9_.-]{3,128}")
_CALENDAR_ARN = re.compile(rf"arn:aws[a-z-]*:ssm:[a-z0-9-]+:[0-9]{{12}}:document/{_DOCUMENT.pattern}")
# What a policy would read as more than a name is no name here:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
_ALARM = re.compile(r"[^*?$\"\\\x00-\x1f]{1,255}")
# At most a year: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
_RATE = re.compile(r"(?=[0-9]{1,3} )(?P<number>[1-9][0-9]*) (?P<unit>minute|hour|day)s?")
_MINUTES = {"minute": 1, "hour": 60, "day": 1440}


@dataclass(frozen=True)
class Stage:
    """An earlier stage: a service, and the seconds that it has to run something before that is taken over."""

    cluster: str
    service: str
    soak: int


@dataclass(frozen=True)
class Target:
    """One entry of `targets`. Without a `repository` no push starts it; `timeout` is in seconds.

    With `pin`, a new revision has the image's digest; with `requireRollback`, nothing is deployed that could not be
    returned from; with `retain`, the image to return to is kept in ECR by a tag.

    `reconcile` is the minutes from one search for what was missed to the next; None for none. `roles` are the names,
    with their paths, of the roles that its task definition may carry; None for any role of the account. `parameter` is
    the name of the one in Systems Manager to which the image is written that the service runs.

    Pushes wait until their image is `minAge` seconds old, while the change calendar `window` is closed, while the
    `alarm` is not OK, and, with `stickyRevert`, after a revert by hand. They have to pass an `approval`, within so many
    seconds, the task `before`, and once they are stable the one `after`, and a `watch`.

    With `promotedFrom` no push starts it: it takes over what an earlier stage has run for some time. Those of one
    group, `together`, are deployed as one, those of a lower `order` first.
    """

    cluster: str
    service: str
    repository: str | None = None
    tags: tuple[str, ...] = EVERY_TAG
    timeout: int = DEFAULT_TIMEOUT
    rollback: bool = True
    container: str | None = None
    pin: bool = True
    requireRollback: bool = False  # noqa: N815 - the key of cdk.json, and of a request
    retain: bool = False
    reconcile: int | None = None
    roles: tuple[str, ...] | None = None
    parameter: str | None = None
    minAge: int = 0  # noqa: N815
    window: str | None = None
    alarm: str | None = None
    stickyRevert: bool = False  # noqa: N815
    registry: str | None = None
    approval: int | None = None
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None
    watch: Mapping[str, object] | None = None
    promotedFrom: Stage | None = None  # noqa: N815
    together: str | None = None
    order: int = 0

    @property
    def gates(self) -> dict[str, object]:
        """What a push has to pass, by the keys of a request."""
        return {key: value for key in gates.KEYS if (value := getattr(self, key)) is not None}

    @property
    def registry_place(self) -> tuple[str, str]:
        """The account and the region of the registry, where it has one of its own."""
        found = _HOST.match(f"{self.registry}/")
        return (found["account"], found["region"]) if found else ("", "")


def parse(value: object, registries: Sequence[str] = (), *, may_be_empty: bool = False) -> tuple[Target, ...]:
    """Read the context key `targets`: a list, or the JSON text of one, as `cdk -c targets='[…]'` gives it.

    A repository may be of one of the `registries`. Raises `InvalidContext` with every problem of every entry.
    """
    entries = _entries(value, may_be_empty=may_be_empty)
    problems: list[str] = []
    targets: list[Target] = []
    for index, entry in enumerate(entries):
        found = _problems(entry, registries)
        problems += [f"cdk.json, targets[{index}]{problem}" for problem in found]
        if found or not isinstance(entry, dict):
            continue
        rate = entry.get("reconcile", DEFAULT_RECONCILE) if "repository" in entry else None
        read = {"tags": tuple(entry.get("tags", EVERY_TAG)), "reconcile": _minutes(rate) if rate else None}
        more: dict[str, object] = {"roles": tuple(entry["roles"])} if "roles" in entry else {}
        if host := _HOST.match(entry.get("repository", "")):
            more |= {"registry": host["host"], "repository": entry["repository"][host.end() :]}
        more |= {"minAge": (_minutes(entry["minAge"]) or 0) * 60} if "minAge" in entry else {}
        if stage := entry.get("promotedFrom"):
            soak = (_minutes(stage["soak"]) or 0) * 60
            more |= {"promotedFrom": Stage(stage["cluster"], stage["service"], soak)}
        target = Target(**{**entry, **read, **more})
        problems += _shared_parameter(index, target, targets)
        if target in targets:
            problems.append(f"cdk.json, targets[{index}]: says the same as targets[{targets.index(target)}].")
        targets.append(target)
    problems += _stages(targets, may_be_elsewhere=may_be_empty)
    if problems:
        raise InvalidContext(*problems)
    return tuple(targets)


def as_json(targets: Sequence[Target]) -> str:
    """The targets as the dispatcher reads them, which has no use for roles and parameters."""
    keys: tuple[str, ...] = ("cluster", "service", "repository", "tags", "timeout", "rollback", "container", "pin")
    keys += ("retain", "window", "alarm", "registry")
    renamed = {
        "require_rollback": "requireRollback",
        "reconcile_minutes": "reconcile",
        "min_age": "minAge",
        "sticky_revert": "stickyRevert",
    }
    return json.dumps(
        [
            {key: getattr(each, name) for key, name in (dict(zip(keys, keys, strict=True)) | renamed).items()}
            | {"gates": each.gates, "promoted_from": asdict(each.promotedFrom) if each.promotedFrom else None}
            | {"together": each.together or "", "order": each.order}
            for each in targets
        ]
    )


def _entries(value: object, *, may_be_empty: bool) -> list[object]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise InvalidContext(f"cdk.json, targets: is text that is not JSON ({error}).") from None
    if not isinstance(value, list):
        raise InvalidContext("cdk.json, targets: must be a list of targets.")
    if not value and not may_be_empty:
        raise InvalidContext(
            "cdk.json, targets: is empty, so nothing could be deployed. Name at least one cluster and service."
        )
    return value


def _problems(entry: object, registries: Sequence[str]) -> list[str]:
    """Every problem of one entry, each starting with the key it is about."""
    if not isinstance(entry, dict):
        return [f": must be an object with cluster and service, but is {entry!r}."]
    problems = [f".{key}: is missing." for key in ("cluster", "service") if key not in entry]
    for key, value in entry.items():
        if key not in _RULES:
            problems.append(f".{key}: is not a key of a target; the keys are {', '.join(_RULES)}.")
        elif said := _RULES[key](value):
            problems.append(f".{key}: {said}, but is {value!r}.")
    repository = entry.get("repository")
    host = None if _repository(repository) else _HOST.match(str(repository))
    if host and not {host["account"], f"{host['account']}/{host['region']}"} & {*registries}:
        problems.append(f".repository: its registry is not listed in registries; add {host['account']} there.")
    meaningless = [key for key in _OF_PUSHES if key in entry]
    meaningless += ["reconcile"] if entry.get("reconcile") is not None else []
    if "parameter" in entry and not entry.keys() & {"repository", "container"}:
        problems.append(".parameter: needs repository or container, which says whose image to write.")
    if "order" in entry and "together" not in entry:
        problems.append(".order: has no meaning without together.")
    if "promotedFrom" in entry:
        problems += [f".{key}: has no meaning with promotedFrom." for key in _NOT_OF_STAGES if key in entry]
    if "repository" not in entry:
        problems += [f".{key}: has no meaning without repository." for key in meaningless]
    return problems


def _stages(targets: Sequence[Target], *, may_be_elsewhere: bool) -> list[str]:
    """What is wrong with the stages of targets; with discovery, one may be a service that opts in by its tags."""
    problems = []
    stages = {
        (each.cluster, each.service): (each.promotedFrom.cluster, each.promotedFrom.service)
        for each in targets
        if each.promotedFrom
    }
    for index, target in enumerate(targets):
        if target.promotedFrom is None:
            continue
        where = f"cdk.json, targets[{index}].promotedFrom"
        place = (target.promotedFrom.cluster, target.promotedFrom.service)
        if not may_be_elsewhere and place not in {(each.cluster, each.service) for each in targets}:
            problems.append(f"{where}: {'/'.join(place)} is no target; add it, or correct the name.")
        seen = {(target.cluster, target.service)}
        while place in stages and place not in seen:
            seen.add(place)
            place = stages[place]
        if place in seen:
            problems.append(f"{where}: leads back to {'/'.join(place)}, so that nothing would ever be pushed.")
    return problems


def _ecs_name(value: object) -> str | None:
    valid = isinstance(value, str) and _ECS_NAME.fullmatch(value)
    return None if valid else "must be a name of 1 to 255 letters, digits, underscores and hyphens"


def _repository(value: object) -> str | None:
    valid = isinstance(value, str) and _REPOSITORY.fullmatch(_HOST.sub("", value))
    return (
        None
        if valid
        else (
            "must be the name of an ECR repository, without a tag, after its registry's host where that is another one"
        )
    )


def _tags(value: object) -> str | None:
    if not isinstance(value, list) or not value:
        return "must be a list with at least one tag"
    if not all(isinstance(tag, str) and _is_pattern(tag) for tag in value):
        return (
            "must hold patterns of 1 to 128 letters, digits, '_', '.' and '-', with '*' for any characters, '!' before "
            "what is left out, or one '{n}' for a number; or semver: and a range, such as 'semver:>=1.2 <2'"
        )
    return None if len(set(value)) == len(value) else "must name each tag once"


def _is_pattern(tag: str) -> bool:
    if not tag.startswith(_SEMVER):
        return _TAG.fullmatch(tag) is not None
    try:
        NpmSpec(tag.removeprefix(_SEMVER))
    except ValueError:
        return False
    return bool(tag.removeprefix(_SEMVER).strip())


def _timeout(value: object) -> str | None:
    valid = type(value) is int and SHORTEST_TIMEOUT <= value <= LONGEST_TIMEOUT
    return None if valid else f"must be a whole number of seconds from {SHORTEST_TIMEOUT} to {LONGEST_TIMEOUT}"


def _flag(value: object) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _roles(value: object) -> str | None:
    if not isinstance(value, list) or not all(isinstance(role, str) and _ROLE.fullmatch(role) for role in value):
        return "must be a list of names of roles, with their paths and without their ARNs; an empty one for no role"
    return None if len(set(value)) == len(value) else "must name each role once"


def _shared_parameter(index: int, target: Target, others: list[Target]) -> list[str]:
    """What is wrong where another target writes the same parameter: they may differ in what starts them only."""
    for number, other in enumerate(others):
        if target.parameter and target.parameter == other.parameter and _writes(target) != _writes(other):
            return [f"cdk.json, targets[{index}].parameter: is that of targets[{number}], which writes another image."]
    return []


def _writes(target: Target) -> tuple[str | None, ...]:
    return target.cluster, target.service, target.container or target.repository


def _parameter(value: object) -> str | None:
    valid = isinstance(value, str) and _PARAMETER.fullmatch(value)
    return None if valid else 'must be the name of a parameter of Systems Manager, such as "/doorman/image"'


def _reconcile(value: object) -> str | None:
    valid = value is None or (isinstance(value, str) and (_minutes(value) or 0) >= MOST_OFTEN_RECONCILED)
    return None if valid else 'must be a rate of 5 minutes or more, such as "30 minutes", "1 hour" or "2 days", or null'


def _minutes(rate: str) -> int | None:
    """The minutes of a rate; None if it is none."""
    found = _RATE.fullmatch(rate)
    return int(found["number"]) * _MINUTES[found["unit"]] if found else None


def _min_age(value: object) -> str | None:
    valid = isinstance(value, str) and 0 < (_minutes(value) or 0) <= LONGEST_AGE
    return None if valid else 'must be an age of 14 days at most, such as "30 minutes", "1 hour" or "2 days"'


def _order(value: object) -> str | None:
    valid = type(value) is int and 0 <= value <= _LAST
    return None if valid else f"must be a whole number from 0 to {_LAST}"


_LAST = 99


def _promoted_from(value: object) -> str | None:
    valid = (
        isinstance(value, dict)
        and value.keys() == {"cluster", "service", "soak"}
        and not _ecs_name(value["cluster"])
        and not _ecs_name(value["service"])
        and not _min_age(value["soak"])
    )
    return None if valid else 'must have cluster, service and soak, an age of 14 days at most, such as "30 minutes"'


def _window(value: object) -> str | None:
    valid = isinstance(value, str) and (_DOCUMENT.fullmatch(value) or _CALENDAR_ARN.fullmatch(value))
    return None if valid else "must be the name or the ARN of a change calendar of Systems Manager"


def _alarm(value: object) -> str | None:
    valid = isinstance(value, str) and _ALARM.fullmatch(value)
    return None if valid else "must be the name of an alarm of CloudWatch"


# Without a repository they have no meaning.
_OF_PUSHES = (
    *("tags", "pin", "requireRollback", "retain", "minAge", "window", "alarm", "stickyRevert"),
    *gates.KEYS,
    *("promotedFrom", "together", "order"),
)
# What is taken over from a stage goes by its digest, and not by pushes.
_NOT_OF_STAGES = ("tags", "pin", "minAge", "together")
_RULES: dict[str, Callable[[object], str | None]] = {
    "repository": _repository,
    "tags": _tags,
    "cluster": _ecs_name,
    "service": _ecs_name,
    "timeout": _timeout,
    "rollback": _flag,
    "container": _ecs_name,
    "pin": _flag,
    "requireRollback": _flag,
    "retain": _flag,
    "reconcile": _reconcile,
    "roles": _roles,
    "parameter": _parameter,
    "minAge": _min_age,
    "window": _window,
    "alarm": _alarm,
    "stickyRevert": _flag,
    **gates.RULES,
    "promotedFrom": _promoted_from,
    "together": _ecs_name,
    "order": _order,
}
