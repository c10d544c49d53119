"""An ECS to deploy to: the model behind HTTP, on virtual time."""

from collections.abc import Iterator

import pytest

from ecs_deploy import ecs, executions, shell
from tests.support.clock import Clock
from tests.support.ecs_model import CLAIMS, REGION, EcsModel
from tests.support.endpoint import serve


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(shell, "now", clock.now)
    return clock


@pytest.fixture
def model(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[EcsModel]:
    model = EcsModel(clock)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": REGION,
        "CLAIMS": CLAIMS,
    }.items():
        monkeypatch.setenv(name, value)
    with serve(model) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        _forget_clients()
        yield model
    _forget_clients()


def _forget_clients() -> None:
    ecs.connect.cache_clear()
    ecs.connect_ecr.cache_clear()
    executions.connect.cache_clear()
