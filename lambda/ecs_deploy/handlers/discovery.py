"""The services that opt in by tags: which want a push, and which there are.

The tagging API and the index say whom to look at; the tags that ECS shows count. What is wrong with them is said once.
"""

from collections.abc import Iterable, Iterator, Mapping

from ecs_deploy.aws import ecs, index, tagging
from ecs_deploy.aws.index import Indexed
from ecs_deploy.core.discovery import PREFIX, REPOSITORY, InvalidTags, complaint, target_of
from ecs_deploy.core.errors import DeployError, Error
from ecs_deploy.core.policy import Target
from ecs_deploy.handlers import executions, runtime


def wanting(repository: str) -> list[Target]:
    """The services that wait for pushes to a repository. Raises `DeployError`, `AwsUnavailable`."""
    indexed = {each.key: each for each in index.read(repository)}
    found = []
    for key, tags in _tags_of(indexed):
        target = _target(key, tags)
        if target and target.repository == repository:
            found.append(target)
        elif REPOSITORY not in tags or target:
            index.remove(indexed[key])
    return found


def refresh() -> list[str]:
    """Look for all services that opt in; answer their keys. Raises `DeployError`, `AwsUnavailable`."""
    return note(tagging.services_with(REPOSITORY))


def note(keys: Iterable[str]) -> list[str]:
    """Note those of the services that opt in; answer their keys. Raises `DeployError`, `AwsUnavailable`."""
    known = set(map(_as_item, index.read()))
    found = []
    for key, tags in _tags_of(keys):
        if target := _target(key, tags):
            found.append(key)
            seen = Indexed(
                target.repository or "", key, {name: tags[name] for name in sorted(tags) if name.startswith(PREFIX)}
            )
            if _as_item(seen) not in known:
                index.put(seen)
    return found


def all_known() -> list[Target]:
    """The targets that services were when they were looked at last. Raises `DeployError`, `AwsUnavailable`."""
    found = []
    for each in index.read():
        cluster, _, service = each.key.partition("/")
        try:
            target = target_of(cluster, service, each.tags)
        except InvalidTags:
            continue
        found += [target] if target else []
    return found


def _tags_of(keys: Iterable[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The tags of each service; none of one that is not there."""
    clusters: dict[str, list[str]] = {}
    for key in keys:
        cluster, _, service = key.partition("/")
        clusters.setdefault(cluster, []).append(service)
    for cluster, services in clusters.items():
        try:
            found = ecs.tags_of(cluster, services)
        except DeployError as error:
            if error.error is not Error.SERVICE_NOT_FOUND:
                raise
            found = {}
        for service in services:
            yield f"{cluster}/{service}", found.get(service, {})


def _target(key: str, tags: Mapping[str, str]) -> Target | None:
    cluster, _, service = key.partition("/")
    try:
        return target_of(cluster, service, tags)
    except InvalidTags as error:
        runtime.logger.warning("The tags of a service cannot be meant", service=key, problems=error.problems)
        executions.start(complaint(cluster, service, tags))
        return None


def _as_item(each: Indexed) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return each.repository, each.key, tuple(sorted(each.tags.items()))
