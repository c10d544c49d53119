"""The grammar of `tags`: which tags a target waits for, and what pushes of them go by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.core.policy import Target
from ecs_deploy.core.tag_policy import from_words, is_policy, policy_of, problem_with
from ecs_deploy.core.versions import InvalidRange, in_range, version_of
from tests.support.rules import table


@table(
    "patterns, tag, policy",
    {
        "any": (("*",), "v1", ""),
        "the very one": (("v1",), "v1", ""),
        "another one": (("v1",), "v2", None),
        "one that begins so": (("v*",), "v1.2-rc", ""),
        "one that has it in the middle": (("*-rc*",), "v1-rc2", ""),
        "one that begins otherwise": (("v*",), "main", None),
        "a dot is a dot": (("v1.2",), "v1x2", None),
        "one of several": (("v*", "main"), "main", ""),
        "none of several": (("v*", "main"), "dev", None),
        "capital letters are others": (("v*",), "V1", None),
        "what is left out": (("v*", "!*-debug"), "v1-debug", None),
        "what is left out, in whatever order": (("!*-debug", "v*"), "v1-debug", None),
        "what is not left out": (("v*", "!*-debug"), "v1", ""),
        "all but what is left out": (("!*-debug", "!latest"), "main", ""),
        "a version in the range": (("semver:>=1.2 <2",), "1.4.0", "semver:"),
        "a version with v before it": (("semver:^1.2",), "v1.4.0", "semver:"),
        "a version that is not in the range": (("semver:^1.2",), "2.0.0", None),
        "a version that is left out": (("semver:^1.2", "!1.4.0"), "1.4.0", None),
        "half a version": (("semver:*",), "1.4", None),
        "what is no version": (("semver:*",), "latest", None),
        "a number inside": (("main-{n}-*",), "main-12-abc", "main-{n}-*"),
        "no number inside": (("main-{n}-*",), "main-x-abc", None),
        "a number that is negative": (("main{n}",), "main-1", None),
        "nothing but a number": (("{n}",), "20260131", "{n}"),
        "the first that matches": (("semver:*", "*"), "1.0.0", "semver:"),
        "the first that matches, of others": (("*", "semver:*"), "1.0.0", ""),
    },
)
def test_what_is_waited_for(patterns: tuple[str, ...], tag: str, policy: str | None) -> None:
    assert policy_of(patterns, tag) == policy
    assert Target("c", "s", "r", patterns).policy_of(tag) == policy
    assert not any(map(problem_with, patterns))
    assert not policy or is_policy(policy)


@table(
    "text, tag, within",
    {
        "a pre-release is in no range that names none": (">=1.0.0", "1.1.0-rc.1", False),
        "not in every version either": ("*", "1.1.0-rc.1", False),
        "one that names one has those of other versions, too": (">=1.0.0-0", "1.1.0-rc.1", True),
        "from the one that it names": (">=1.0.0-rc.2", "1.0.0-rc.1", False),
        "not those of the version that it ends before": (">=1.0.0-0 <2.0.0", "2.0.0-rc.1", False),
        "a range from one pre-release to another names them": ("1.0.0-rc.1 - 2.0.0", "1.5.0-rc.1", True),
        "a range from one to another names none": ("1.0.0 - 2.0.0", "1.5.0-rc.1", False),
        "a range from one to another": ("1.0.0 - 2.0.0", "2.0.0", True),
        "one or the other": ("^1 || ^3", "3.1.0", True),
        "neither": ("^1 || ^3", "2.1.0", False),
        "a caret keeps what is left of it": ("^0.2.3", "0.3.0", False),
        "a tilde": ("~1.2.3", "1.2.9", True),
        "a part that may be any": ("1.2.x", "1.2.7", True),
    },
)
def test_ranges(text: str, tag: str, within: bool) -> None:
    assert in_range(text, tag) is within


@pytest.mark.parametrize("text", ["newest", ">=1.2, <2", ">=", "1.2.3.4"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(InvalidRange):
        in_range(text, "1.0.0")
    assert "range" in (problem_with(f"semver:{text}") or "")


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "!",
        "!!a",
        "a b",
        "a/b",
        "x" * 129,
        "{n}-{n}",
        "*a*b*{n}",
        "!{n}",
        "{m}",
        "semver:",
        "semver: ",
        "!semver:1",
        "v1\n",
    ],
)
def test_what_is_no_pattern(pattern: str) -> None:
    problem = problem_with(pattern) or ""
    assert problem == "names no range; every version is semver:*" or (
        problem.startswith(
            "is not a pattern of tags: letters, digits, '_', '.', '-' and '*', up to 128, with '!' before"
        )
        and problem.endswith("to leave tags out, or with one '{n}' and at most two '*'; or semver: and a range")
    )


@pytest.mark.parametrize("text", ["", "*", "semver:^1", "main", "*-*-*-{n}", "{n}{n}"])
def test_what_is_no_policy(text: str) -> None:
    assert not is_policy(text)


@table(
    "policy, tag, version",
    {
        "none": ("", "1.0.0", None),
        "of no tag": ("{n}", "", None),
        "a number": ("main-{n}", "main-007", 7),
        "no number": ("main-{n}", "dev-7", None),
        "the last number of several": ("*-{n}", "1-2-3", 3),
        "no version": ("semver:", "main", None),
    },
)
def test_versions(policy: str, tag: str, version: int | None) -> None:
    assert version_of(policy, tag) == version


@table(
    "text, patterns",
    {
        "a tag": ("latest", ("latest",)),
        "any": ("@any", ("*",)),
        "some": ("v@any", ("v*",)),
        "several": ("v@any / main", ("v*", "main")),
        "what is left out": ("v@any / @not @any-debug", ("v*", "!*-debug")),
        "a number": ("main-@n-@any", ("main-{n}-*",)),
        "from and below": ("semver:@from 1.2 @below 2", ("semver:>=1.2 <2",)),
        "above and up to": ("semver:@above 1.2.0 @upto 2.0.0", ("semver:>1.2.0 <=2.0.0",)),
        "caret, tilde": ("semver:@caret 1.2 @or @tilde 3.1", ("semver:^1.2 || ~3.1",)),
        "without words": ("semver:1.x", ("semver:1.x",)),
        "from one to another": ("semver:1.2.0 - 1.9.0 / @not 1.3.0", ("semver:1.2.0 - 1.9.0", "!1.3.0")),
    },
)
def test_words(text: str, patterns: tuple[str, ...]) -> None:
    assert from_words(text) == patterns
    assert not any(map(problem_with, patterns))


@pytest.mark.parametrize("text", ["@every", "a//b", "v@any,main", "semver:@between 1 2", "/"])
def test_words_that_mean_nothing(text: str) -> None:
    assert any(map(problem_with, from_words(text)))


@given(st.text("abn019@{}*!/.-_:<>=^~| vsemr", max_size=40))
def test_whatever_is_written_is_understood_or_refused(text: str) -> None:
    for pattern in (text, *from_words(text)):
        if not problem_with(pattern):
            policy_of((pattern,), "v1.0.0")
