"""The emulator's ECS is as AWS documents it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.ecs_conformance import CASES, Stage
from tests.workflow.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.workflow.conftest import Service


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_ecs(create_service: Callable[..., Service], case: Callable[[Stage], None]) -> None:
    service = create_service()
    runs, crashes = service.push("2"), service.push("3", "crash")
    case(Stage(service.ecs, service.cluster, service.name, runs, crashes, eventually))
