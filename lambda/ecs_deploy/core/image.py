"""An image reference, parsed by Docker's grammar and never matched as text."""

import re
from typing import NamedTuple, Self

_HOST_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_HOST_COMPONENT}(?:\.{_HOST_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PATH_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_MOST_PATH_CHARACTERS = 255
# A host name has 253, a port 6: https://datatracker.ietf.org/doc/html/rfc1035#section-2.3.4
_MOST_DOMAIN_CHARACTERS = 259

_DOCKER_HUB = "docker.io"
_DOCKER_HUB_OLD_NAME = "index.docker.io"
_DOCKER_HUB_OFFICIAL = "library/"


class InvalidImageReference(ValueError):
    """The text is not an image reference; its message says which part is wrong."""


class ImageReference(NamedTuple):
    """``[domain][:port]/[path/]name[:tag][@digest]``, as it was written.

    The grammar is Docker's: https://pkg.go.dev/github.com/distribution/reference
    """

    domain: str | None
    path: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference; raises `InvalidImageReference`."""
        rest, at, digest = text.partition("@")
        if at:
            _check_digest(digest)
        first, slash, remainder = rest.partition("/")
        domain = first if slash and _reads_as_domain(first) else None
        if domain is not None:
            if len(domain) > _MOST_DOMAIN_CHARACTERS:
                raise InvalidImageReference(f"the registry host is longer than {_MOST_DOMAIN_CHARACTERS} characters")
            if not _DOMAIN.fullmatch(domain):
                raise InvalidImageReference(f"{domain!r} is not a registry host with an optional port")
            rest = remainder
        path, colon, tag = rest.partition(":")
        if not _PATH.fullmatch(path):
            raise InvalidImageReference(f"{path!r} is not a repository path (lower-case letters, digits, . _ - and /)")
        if len(path) > _MOST_PATH_CHARACTERS:
            raise InvalidImageReference(f"the repository path is longer than {_MOST_PATH_CHARACTERS} characters")
        if colon:
            check_tag(tag)
        if domain is None and not colon and not at and re.fullmatch("[a-f0-9]{64}", path):
            raise InvalidImageReference("64 hexadecimal digits are an image id, not a repository")
        return cls(domain, path, tag if colon else None, digest if at else None)

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """The reference without tag and digest, as it was written."""
        return f"{self.domain}/{self.path}" if self.domain else self.path

    @property
    def repository(self) -> tuple[str, str]:
        """Registry and repository as Docker reads them: the identity that two references share or do not."""
        domain = self.domain or _DOCKER_HUB
        if domain == _DOCKER_HUB_OLD_NAME:
            domain = _DOCKER_HUB
        official = domain == _DOCKER_HUB and "/" not in self.path
        return domain, _DOCKER_HUB_OFFICIAL + self.path if official else self.path

    def with_tag(self, tag: str) -> Self:
        """The same image by another tag: a digest would win over it, so it goes."""
        return self._replace(tag=tag, digest=None)

    def with_default_tag(self) -> Self:
        """What Docker pulls when neither tag nor digest is written: ``latest``."""
        return self if self.tag or self.digest else self._replace(tag="latest")

    def pinned(self, digest: str) -> Self:
        """The image with this digest, whatever becomes of its tag, in the form that ECS documents.

        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html (image)
        """
        return self._replace(tag=None, digest=digest)

    def versioned_as(self, other: "ImageReference") -> Self:
        """This repository, as it is written here, at the tag and digest of `other`."""
        return self._replace(tag=other.tag, digest=other.digest)


def check_tag(tag: str) -> None:
    """Raise `InvalidImageReference` unless `tag` can be the tag of an image."""
    if not _TAG.fullmatch(tag):
        raise InvalidImageReference(f"{tag!r} is not a tag (1 to 128 letters, digits, _ . -, not starting with . or -)")


def _reads_as_domain(first: str) -> bool:
    """Docker's own rule to tell ``host/name`` from ``user/name``."""
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def _check_digest(digest: str) -> None:
    algorithm, _, encoded = digest.partition(":")
    length = _DIGEST_LENGTHS.get(algorithm)
    if length is None or not re.fullmatch(f"[a-f0-9]{{{length}}}", encoded):
        known = ", ".join(f"{name} with {count}" for name, count in _DIGEST_LENGTHS.items())
        raise InvalidImageReference(f"{digest!r} is not a digest ({known} lower-case hexadecimal digits)")
