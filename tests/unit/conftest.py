"""An ECS to deploy to: the model behind HTTP, on virtual time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ecs_deploy.aws import cloudwatch, dynamodb, ecr, ecs, stepfunctions, tagging
from ecs_deploy.handlers import runtime, targets
from tests.support.client import Client
from tests.support.clock import Clock
from tests.support.dynamodb_model import TABLE
from tests.support.ecs_model import MACHINE, REGION, EcsModel
from tests.support.endpoint import serve

ASSET = Path(__file__).parents[1] / "support" / "asset"


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
        # Without targets, unless a test has some.
        "LAMBDA_TASK_ROOT": str(ASSET),
        "MACHINE": MACHINE,
        "QUEUE": "https://sqs/queue",
        "TABLE": TABLE,
    }.items():
        monkeypatch.setenv(name, value)
    with serve(model) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        _forget()
        # They speak CBOR, which the endpoint does not.
        for service in (cloudwatch, tagging):
            monkeypatch.setattr(service, "connect", lambda: Client(model.call))
        yield model
    _forget()


def _forget() -> None:
    targets.served.cache_clear()
    ecr._connect_to.cache_clear()
    for service in (dynamodb, ecr, ecs, stepfunctions):
        service.connect.cache_clear()
