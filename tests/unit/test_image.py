"""Image references agree with Docker's grammar and give back the text they were read from."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_deploy.core.image import ImageReference, InvalidImageReference

SHA256 = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8
# The grammar as https://pkg.go.dev/github.com/distribution/reference prints it, for names with an explicit domain.
DOMAIN = r"(?:[a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9])(?:\.(?:[a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9]))+(?::[0-9]{1,5})?"
PATH = r"[a-z0-9]{1,5}(?:(?:[_.]|__|-{1,3})[a-z0-9]{1,5}){0,2}"
TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest"),
    [
        ("nginx", ("docker.io", "library/nginx"), None, None),
        ("nginx:1.27", ("docker.io", "library/nginx"), "1.27", None),
        ("bitnami/redis:6", ("docker.io", "bitnami/redis"), "6", None),
        ("docker.io/nginx", ("docker.io", "library/nginx"), None, None),
        ("index.docker.io/library/nginx", ("docker.io", "library/nginx"), None, None),
        ("name_with_underscore:tag", ("docker.io", "library/name_with_underscore"), "tag", None),
        ("a__b/c--d.e", ("docker.io", "a__b/c--d.e"), None, None),
        (f"repo:tag@{SHA256}", ("docker.io", "library/repo"), "tag", SHA256),
        (f"repo@{SHA512}", ("docker.io", "library/repo"), None, SHA512),
        (f"host:8080/a/b/c@{SHA256}", ("host:8080", "a/b/c"), None, SHA256),
        ("host:8080/a:1", ("host:8080", "a"), "1", None),
        ("localhost/app", ("localhost", "app"), None, None),
        ("localhost:5000", ("docker.io", "library/localhost"), "5000", None),
        ("domain.com:8080", ("docker.io", "library/domain.com"), "8080", None),
        ("[::1]:5000/app", ("[::1]:5000", "app"), None, None),
        ("Registry/app", ("Registry", "app"), None, None),
        (
            "1.dkr.ecr.eu-west-1.amazonaws.com/team/app:v1",
            ("1.dkr.ecr.eu-west-1.amazonaws.com", "team/app"),
            "v1",
            None,
        ),
    ],
)
def test_reads_every_form(text: str, repository: tuple[str, str], tag: str | None, digest: str | None) -> None:
    reference = ImageReference.parse(text)
    assert (reference.repository, reference.tag, reference.digest) == (repository, tag, digest)
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/something",
        "something/",
        "a//b",
        "domain.com:abc/repo/image",
        "_something:tag123",
        "-app",
        "app_",
        "a___b",
        "Nginx",
        "a/B",
        "app:",
        "app:-tag",
        "app:a b",
        "app:" + "t" * 129,
        "app:1\n",
        "app@",
        "@" + SHA512,
        f"@sha512:{'a' * 64}",
        f"app@sha512:{'a' * 64}",
        f"app@sha256:{'A' * 64}",
        f"app@md5:{'a' * 32}",
        f"app@{SHA256}@{SHA256}",
        "f" * 64,
        "a" * 256,
        f"{'a.' * 130}io/app",
        f"a.io:{'1' * 300}/app",
        "https://host/app",
        "ap\N{LATIN SMALL LETTER E WITH ACUTE}",
        "app:\N{ARABIC-INDIC DIGIT ONE}",
    ],
)
def test_refuses_what_docker_refuses(text: str) -> None:
    with pytest.raises(InvalidImageReference):
        ImageReference.parse(text)


@given(
    domain=st.none() | st.from_regex(DOMAIN, fullmatch=True).filter(lambda domain: len(domain) < 260),
    path=st.lists(st.from_regex(PATH, fullmatch=True), min_size=1, max_size=3).map("/".join),
    tag=st.none() | st.from_regex(TAG, fullmatch=True),
    digest=st.none() | st.from_regex("sha256:[a-f0-9]{64}", fullmatch=True),
)
def test_text_and_reference_are_two_forms_of_one_thing(
    domain: str | None, path: str, tag: str | None, digest: str | None
) -> None:
    if domain is None and re.match(r"(?:localhost|[^/]*\.[^/]*)/", path):
        return  # Docker reads the first component as a host then
    text = (f"{domain}/" if domain else "") + path + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    reference = ImageReference.parse(text)
    assert (reference.domain, reference.path, reference.tag, reference.digest) == (domain, path, tag, digest)
    assert str(reference) == text


@given(st.text(max_size=80))
def test_any_text_is_read_back_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidImageReference):
        assert str(ImageReference.parse(text)) == text


def test_a_tag_overrides_tag_and_digest() -> None:
    assert str(ImageReference.parse(f"h.io/app:1@{SHA256}").with_tag("2")) == "h.io/app:2"


def test_latest_is_meant_only_where_nothing_is_said() -> None:
    assert str(ImageReference.parse("app").with_default_tag()) == "app:latest"
    assert str(ImageReference.parse("app:1").with_default_tag()) == "app:1"
    assert str(ImageReference.parse(f"app@{SHA256}").with_default_tag()) == f"app@{SHA256}"
