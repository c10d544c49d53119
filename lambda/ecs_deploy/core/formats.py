"""Formats: a revision in short, a moment, a text as the value of a tag."""

from datetime import UTC, datetime
from urllib.parse import quote


def short(revision: str) -> str:
    """``family:number`` of a revision's ARN."""
    return revision.rpartition("/")[2]


def family(revision: str) -> str:
    """The family in a revision's ARN."""
    return short(revision).rpartition(":")[0]


def number(revision: str) -> int:
    """The number in a revision's ARN; ECS counts each family up by one."""
    return int(revision.rpartition(":")[2])


def tag_value(text: str) -> str:
    """`text` in the letters that a tag on an ECS resource may have, different texts staying different.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tag.html
    """
    return quote(text, safe=" +-._:/@").replace("%", "=").replace("~", "=7E")[:256]


def instant(moment: datetime) -> str:
    """ISO 8601 in UTC to the millisecond, so that the text sorts as the time does."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
