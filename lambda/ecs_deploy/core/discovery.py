"""Services that opt in by their own tags: what the tags say, as a target.

A value has letters, digits, spaces and + - = . _ : / @, so that patterns of image tags are written in words:
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tag.html
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from ecs_deploy.core import gate_keys
from ecs_deploy.core.image import ImageReference, InvalidImageReference
from ecs_deploy.core.policy import Stage, Start, Target, execution_name
from ecs_deploy.core.registry import ecr
from ecs_deploy.core.tag_policy import from_words, problem_with

PREFIX = "ecs-deploy:"
REPOSITORY = f"{PREFIX}repository"

_NAME = r"[A-Za-z0-9_-]{1,255}"
_AGE = r"(?P<number>[1-9][0-9]{0,2}) (?P<unit>minute|hour|day)s?"
_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}
_LONGEST_AGE = 14 * 86_400
_RECONCILE = {"1 hour": 60, "never": None}
# A day: core/request.py.
_TIMEOUTS = range(10, 86_401)


class InvalidTags(ValueError):
    """The tags of a service cannot be meant; `problems` say why, each with its tag."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def target_of(cluster: str, service: str, tags: Mapping[str, str]) -> Target | None:
    """The target that a service is by its tags; None where they name no repository. Raises `InvalidTags`."""
    if REPOSITORY not in tags:
        return None
    own = {key.removeprefix(PREFIX): value for key, value in tags.items() if key.startswith(PREFIX)}
    members: dict[str, Any] = {"reconcile_minutes": _RECONCILE["1 hour"]}
    gates: dict[str, Any] = {}
    problems = []
    for key, value in own.items():
        try:
            if key in _GATES:
                gates |= _gate(key, value)
            else:
                members |= _READERS.get(key, _unknown)(value)
        except ValueError as error:
            problems.append(f"{PREFIX}{key}: {error}")
    if problems:
        raise InvalidTags(*problems)
    place, soak = members.pop("promoted_from", None), members.pop("soak", None)
    if (place is None) != (soak is None):
        raise InvalidTags(f"{PREFIX}promotedFrom: goes with {PREFIX}soak, each with the other one")
    if place and soak:
        members["promoted_from"] = Stage(place[0], place[1], soak)
    return Target(cluster, service, gates=gates, **members)


def complaint(cluster: str, service: str, tags: Mapping[str, str]) -> Start:
    """An execution that is refused and says what is wrong with the tags: once, since its name is made of them."""
    own = {key: value for key, value in sorted(tags.items()) if key.startswith(PREFIX)}
    name = execution_name("tags", f"{cluster}/{service}", *(f"{key}={value}" for key, value in own.items()))
    return Start(name, {"cluster": cluster, "service": service, "serviceTags": own})


def _unknown(_text: str) -> dict[str, Any]:
    raise ValueError(f"is not one of {', '.join(PREFIX + each for each in (*_READERS, *_GATES))}")


def _gate(key: str, text: str) -> dict[str, Any]:
    """A key of a request that says what a push has to pass: a number of seconds, or the words of a command."""
    value = {key: _GATES[key](text)}
    if problems := gate_keys.problems(value):
        raise ValueError("; ".join(each.removeprefix(key).removeprefix(": ") for each in problems))
    return value


def _repository(text: str) -> dict[str, Any]:
    try:
        image = ImageReference.parse(text)
    except InvalidImageReference as error:
        raise ValueError(f"is not the name of a repository: {error}") from error
    if image.tag or image.digest or (image.domain and not ecr(image.domain)):
        raise ValueError(
            "must be the name of an ECR repository, with its registry's host or without, and without a tag"
        )
    return {"repository": image.path, "registry": image.domain}


def _tags(text: str) -> dict[str, Any]:
    patterns = from_words(text)
    for each in patterns:
        if problem := problem_with(each):
            raise ValueError(f'"{each}" {problem}')
    return {"tags": patterns}


def _container(text: str) -> dict[str, Any]:
    if not re.fullmatch(_NAME, text):
        raise ValueError("is not a container name (1 to 255 letters, digits, _ and -)")
    return {"container": text}


def _timeout(text: str) -> dict[str, Any]:
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) not in _TIMEOUTS:
        raise ValueError(f"must be a whole number of seconds from {_TIMEOUTS.start} to {_TIMEOUTS.stop - 1}")
    return {"timeout": int(text)}


def _reconcile(text: str) -> dict[str, Any]:
    if text not in _RECONCILE:
        raise ValueError(f"must be one of {', '.join(_RECONCILE)}")
    return {"reconcile_minutes": _RECONCILE[text]}


def _stage(text: str) -> dict[str, Any]:
    cluster, _, service = text.partition("/")
    if not re.fullmatch(_NAME, cluster) or not re.fullmatch(_NAME, service):
        raise ValueError("must be a cluster and a service with / between, such as staging/doorman-service")
    return {"promoted_from": (cluster, service)}


def _soak(text: str) -> dict[str, Any]:
    return {"soak": _min_age(text)["min_age"]}


def _min_age(text: str) -> dict[str, Any]:
    found = re.fullmatch(_AGE, text)
    seconds = int(found["number"]) * _SECONDS[found["unit"]] if found else 0
    if not 0 < seconds <= _LONGEST_AGE:
        raise ValueError('must be an age of 14 days at most, such as "30 minutes", "1 hour" or "2 days"')
    return {"min_age": seconds}


def _name(member: str) -> Callable[[str], dict[str, Any]]:
    def read(text: str) -> dict[str, Any]:
        if not text.strip():
            raise ValueError("must not be empty")
        return {member: text}

    return read


def _flag(member: str) -> Callable[[str], dict[str, Any]]:
    def read(text: str) -> dict[str, Any]:
        if text not in {"true", "false"}:
            raise ValueError("must be true or false")
        return {member: text == "true"}

    return read


def _seconds(text: str) -> int:
    return int(text) if re.fullmatch("[0-9]{1,7}", text) else 0


_GATES: Mapping[str, Callable[[str], Any]] = {
    "approval": _seconds,
    "before": lambda text: {"command": text.split()},
    "after": lambda text: {"command": text.split()},
    "watch": lambda text: {"seconds": _seconds(text)},
}
_READERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "repository": _repository,
    "tags": _tags,
    "container": _container,
    "timeout": _timeout,
    "rollback": _flag("rollback"),
    "pin": _flag("pin"),
    "requireRollback": _flag("require_rollback"),
    "reconcile": _reconcile,
    "minAge": _min_age,
    "window": _name("window"),
    "alarm": _name("alarm"),
    "stickyRevert": _flag("sticky_revert"),
    "promotedFrom": _stage,
    "soak": _soak,
}
