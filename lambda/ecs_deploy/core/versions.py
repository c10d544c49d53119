"""The version in a tag, by which pushes under one policy go: a semantic version, or a number inside the tag."""

import re
from functools import cache
from typing import Any

SEMVER = "semver:"
NUMBER = "{n}"
# From one version to another there is a hyphen, too, with a space before it.
_PRE_RELEASE = r"[0-9]-"


class InvalidRange(ValueError):
    """The text is not a range of semantic versions."""


def version_of(policy: str, tag: str) -> Any:
    """What a tag is compared by under a policy, `SEMVER` or a pattern with a number inside; None where it has none."""
    if not policy:
        return None
    if policy == SEMVER:
        return _semantic(tag)
    found = re.fullmatch(expression(policy), tag)
    return int(found["n"]) if found else None


def in_range(text: str, tag: str) -> bool:
    """Whether a tag is a version of a range, with `v` before it or without. Raises `InvalidRange`.

    A pre-release is in no range that names none.
    """
    version, wanted = _semantic(tag), _range(text)
    return (
        version is not None
        and (not version.prerelease or re.search(_PRE_RELEASE, text) is not None)
        and version in wanted
    )


def check_range(text: str) -> None:
    """Raise `InvalidRange` unless a text is a range."""
    _range(text)


@cache
def expression(pattern: str) -> str:
    """The regular expression of a pattern, in which `*` stands for any characters and `{n}` for a number."""
    parts = [re.escape(each).replace(r"\*", ".*") for each in pattern.split(NUMBER)]
    return "(?P<n>[0-9]+)".join(parts)


@cache
def _semantic(tag: str) -> Any:
    # Most services go without versions, and each start would wait for it.
    from semantic_version import Version  # noqa: PLC0415

    try:
        return Version(tag.removeprefix("v"))
    except ValueError:
        return None


@cache
def _range(text: str) -> Any:
    from semantic_version import NpmSpec  # noqa: PLC0415
    from semantic_version.base import Range  # noqa: PLC0415

    class AnyPreRelease(NpmSpec):  # type: ignore[misc]
        """The grammar of npm, but a pre-release in the range lets in those of its other versions, too."""

        class Parser(NpmSpec.Parser):  # type: ignore[misc]
            @classmethod
            def range(cls, operator: str, target: Any) -> Any:
                return Range(operator, target)

    try:
        return AnyPreRelease(text)
    except ValueError as error:
        raise InvalidRange(str(error)) from error
