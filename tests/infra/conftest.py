"""The template of the stack as cdk.json has it, synthesized once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.synthesis import CDK_JSON, synthesize


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    return synthesize(CDK_JSON["context"]["targets"])
