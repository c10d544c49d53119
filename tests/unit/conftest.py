"""An ECS to deploy to: the model behind HTTP, on virtual time."""

from collections.abc import Iterator

import pytest

from ecs_deploy.aws import dynamodb, ecr, ecs, stepfunctions
from ecs_deploy.handlers import runtime
from tests.support.clock import Clock
from tests.support.dynamodb_model import TABLE
from tests.support.ecs_model import MACHINE, REGION, EcsModel
from tests.support.endpoint import serve


@pytest.fixture(autouse=True)
def _log_again() -> Iterator[None]:
    """Some tests make the deployer quiet, which the next ones must not notice."""
    yield
    runtime.logger.setLevel("INFO")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(runtime, "now", clock.now)
    return clock


@pytest.fixture
def model(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[EcsModel]:
    model = EcsModel(clock)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": REGION,
        "DEAD_LETTERS": "https://sqs/dead-letters",
        "MACHINE": MACHINE,
        "TABLE": TABLE,
    }.items():
        monkeypatch.setenv(name, value)
    with serve(model) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        _forget_clients()
        yield model
    _forget_clients()


def _forget_clients() -> None:
    for service in (dynamodb, ecr, ecs, stepfunctions):
        service.connect.cache_clear()
