"""How an execution ended: what to say of it, what to do next, and the exit status."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

SUCCESS, FAILURE, NO_AWS, USAGE, NO_SERVICE, NO_CLUSTER, NO_IMAGE, BAD_IMAGE, INTERRUPTED = 0, 1, 2, 3, 5, 7, 8, 13, 130
"""The exit statuses; 1, 3, 5, 7, 8 and 13 are the bash script's. docs/cli.md has them."""

_AFTER = {
    "DEPLOYED": "The service runs it, and ECS has completed the rollout.",
    "SUPERSEDED": "Nothing was undone. Follow the newer one, or request it again by hand.",
    "UNCHANGED": "Nothing was done.",
    "REHEARSED": "Nothing was done.",
    "APPROVED": "Follow it with: ecs-deploy follow.",
    "HELD": "Pushes wait. Let them go on with: ecs-deploy release.",
}
_INSTEAD = {
    "ABORTED": "A person has stopped the execution. ECS goes on with the last update: check the service.",
    "TIMED_OUT": "Step Functions has ended the execution. Nobody follows the service any more: check it.",
}
# A request whose image cannot be read: the words of docs/reference.md, after the beginning or another problem.
_ABOUT_IMAGE = re.compile(r"(?:^|[.;] )image: ")


class End(NamedTuple):
    """An end, for people: its name, sentences, and the exit status. `document` is the output, or the cause."""

    name: str
    text: str
    reasons: tuple[str, ...]
    code: int
    document: Mapping[str, Any]


def end_of(execution: Mapping[str, Any]) -> End:
    """Read the end of an execution from DescribeExecution's answer.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
    """
    status, error = execution["status"], execution.get("error")
    document = _document(execution.get("output") if status == "SUCCEEDED" else execution.get("cause"))
    reasons = tuple(document.get("reasons") or ())
    if status == "SUCCEEDED":
        name = str(document.get("outcome", "SUCCEEDED"))
        text = f"{_what(document)}{_AFTER.get(name, '')}".strip()
        said, *others = (text, *reasons) if text else reasons or ("It has succeeded.",)
        return End(name, said, tuple(others), SUCCESS, document)
    if error is None:
        return End(status, _INSTEAD.get(status, "It was ended."), reasons, FAILURE, document)
    text = str(document.get("message") or execution.get("cause") or "Step Functions gives no cause.")
    code = FAILURE
    if error == "InvalidRequest":
        code = BAD_IMAGE if _ABOUT_IMAGE.search(text) else USAGE
    return End(str(error), text, reasons, code, document)


def _what(document: Mapping[str, Any]) -> str:
    revision = str(document.get("revision") or "").rpartition("/")[2]
    image = document.get("image")
    if not image:
        return ""
    seconds = f", {document['seconds']:.0f} s" if document.get("seconds") else ""
    made = f" ({revision})" if revision else ""
    group, where = document.get("together"), f"{document.get('service')} in {document.get('cluster')}"
    return f"{f'The group {group}' if group else where}: {image}{made}{seconds}. "


def _document(text: str | None) -> dict[str, Any]:
    try:
        read = json.loads(text or "{}")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
