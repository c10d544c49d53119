"""The SDK's clients as the deployer uses them, with a function behind that answers, and no network between."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Self

from botocore.exceptions import ClientError, ReadTimeoutError

from tests.support.aws_error import AnswerLost, AwsError

Answering = Callable[[str, dict[str, Any]], dict[str, Any]]

# How an operation gives the next page, and how it is asked for; the others have one name for both.
_TOKENS = {
    "get_resources": ("PaginationToken", "PaginationToken"),
    "query": ("LastEvaluatedKey", "ExclusiveStartKey"),
}
_TIMES = {"createdAt", "imagePushedAt", "startedAt", "stoppedAt"}


class Client:
    """A client for any service; `answering` gets the action and the body of each request."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._put_raw: Callable[..., None] | None = None
        self._paged = ""

    @property
    def meta(self) -> Self:
        return self

    @property
    def events(self) -> Self:
        return self

    def register(self, _event: str, handler: Callable[..., None]) -> None:
        self._put_raw = handler

    def unregister(self, _event: str, _handler: Callable[..., None]) -> None:
        self._put_raw = None

    def register_task_definition(self, **_: Any) -> dict[str, Any]:
        params: dict[str, Any] = {}
        if self._put_raw:
            self._put_raw(params)
        return {"Raw": self._call("RegisterTaskDefinition", json.loads(params["body"]))}

    def describe_task_definition(self, **body: Any) -> dict[str, Any]:
        return {"Raw": self._call("DescribeTaskDefinition", body)}

    def get_paginator(self, operation: str) -> Self:
        self._paged = operation
        return self

    def paginate(self, **body: Any) -> Iterator[dict[str, Any]]:
        size = {"maxResults": each["PageSize"]} if (each := body.pop("PaginationConfig", None)) else {}
        operation = getattr(self, self._paged)
        answers, asks = _TOKENS.get(self._paged, ("nextToken", "nextToken"))
        page = operation(**body, **size)
        yield page
        while token := page.get(answers):
            page = operation(**body, **size, **{asks: token})
            yield page

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        action = "".join(word.capitalize() for word in operation.split("_"))
        return lambda **body: _with_times(self._call(action, body))

    def _call(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._answering(action, body)
        except AnswerLost as error:
            raise ReadTimeoutError(endpoint_url="AWS") from error
        except AwsError as error:
            document = {
                "Error": {"Code": error.code, "Message": error.message},
                "ResponseMetadata": {"HTTPStatusCode": error.status},
                **error.more,
            }
            raise ClientError(document, action) from error  # type: ignore[arg-type]


def _with_times(value: Any) -> Any:
    """The same document with its times as the SDK gives them."""
    if isinstance(value, dict):
        return {
            key: datetime.fromtimestamp(each, UTC) if key in _TIMES else _with_times(each)
            for key, each in value.items()
        }
    return [_with_times(each) for each in value] if isinstance(value, list) else value
