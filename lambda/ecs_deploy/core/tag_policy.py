"""Which tags a target waits for, and what pushes of these go by: the grammar of `tags`.

| pattern | tags | newer is |
|---|---|---|
| `main` | this one | the later push |
| `v*` | `*` stands for any characters | the later push |
| `!*-debug` | none of these, whatever else matches | |
| `semver:>=1.2 <2` | versions in a range of npm's grammar, with `v` before them or without | the higher version |
| `main-{n}-*` | with a number inside | the higher number |
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from ecs_deploy.core.lifecycle import OWN_TAG_PREFIX
from ecs_deploy.core.versions import NUMBER, SEMVER, InvalidRange, check_range, in_range, version_of

_PLAIN = r"[A-Za-z0-9_.*-]{1,128}"
_WITH_NUMBER = r"(?=[^*]*(?:\*[^*]*){0,2}\Z)[A-Za-z0-9_.*-]*\{n\}[A-Za-z0-9_.*-]*"
_NOT = "!"
# The value of a tag has no *, {, !, ^, ~, < or >:
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tag.html
_WORDS = {
    "any": "*", "n": NUMBER, "not": _NOT, "from": ">=", "above": ">", "upto": "<=", "below": "<", "caret": "^",
    "tilde": "~", "or": "||",
}  # fmt: skip
_WORD = rf"@({'|'.join(sorted(_WORDS, key=len, reverse=True))})"
_BEFORE_SOMETHING = r"(?<=[!<>=^~]) +"


def policy_of(patterns: Sequence[str], tag: str) -> str | None:
    """What pushes of a tag go by: `SEMVER`, a pattern with a number inside, or "" for their time.

    None where it is not waited for, as the deployer's own tags never are.
    """
    wanted = [each for each in patterns if not each.startswith(_NOT)] or ["*"]
    unwanted = [each.removeprefix(_NOT) for each in patterns if each.startswith(_NOT)]
    if tag.startswith(OWN_TAG_PREFIX) or any(_matches(each, tag) for each in unwanted):
        return None
    pattern = next((each for each in wanted if _matches(each, tag)), None)
    if pattern is None:
        return None
    return SEMVER if pattern.startswith(SEMVER) else pattern if NUMBER in pattern else ""


def _matches(pattern: str, tag: str) -> bool:
    if pattern.startswith(SEMVER):
        return in_range(pattern.removeprefix(SEMVER), tag)
    return version_of(pattern, tag) is not None if NUMBER in pattern else fnmatchcase(tag, pattern)


def is_policy(text: str) -> bool:
    """Whether it may be what `policy_of` answers."""
    return text == SEMVER or re.fullmatch(_WITH_NUMBER, text) is not None


def problem_with(pattern: str) -> str | None:
    """What is wrong with a pattern, to follow its name; None if nothing is."""
    if pattern.startswith(SEMVER):
        try:
            check_range(pattern.removeprefix(SEMVER))
        except InvalidRange as error:
            return f"is not a range of semantic versions: {error}"
        return None if pattern.removeprefix(SEMVER).strip() else "names no range; every version is semver:*"
    if re.fullmatch(_PLAIN, pattern.removeprefix(_NOT)) or re.fullmatch(_WITH_NUMBER, pattern):
        return None
    return (
        "is not a pattern of tags: letters, digits, '_', '.', '-' and '*', up to 128, with '!' before them to leave "
        "tags out, or with one '{n}' and at most two '*'; or semver: and a range"
    )


def from_words(text: str) -> tuple[str, ...]:
    """The patterns that the value of a tag says in words: `v@any / @not @any-debug`, `semver:@from 1.2 @below 2`."""
    symbols = re.sub(_WORD, lambda found: _WORDS[found[1]], text)
    return tuple(re.sub(_BEFORE_SOMETHING, "", each.strip()) for each in symbols.split("/"))
