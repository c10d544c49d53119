"""Whatever a task definition carries arrives in the new revision, over real HTTP and the real SDK.

The documents hold members that no SDK has heard of. One of them, `family`, and the containers' names and images are
what the deployer reads.
"""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecs_deploy.core.task_definition import OWN_TAG_PREFIX, WRITTEN_BY_ECS
from tests.support.clock import Clock
from tests.support.ecs_model import EcsModel
from tests.support.workflow import execute

member_names = st.text(min_size=1, max_size=12) | st.sampled_from(
    ["ephemeralStorage", "runtimePlatform", "taskRoleArn", "volumes", "inferenceAccelerators", "futureMember", "cpu"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(member_names, inner, max_size=3),
    max_leaves=10,
)
members = st.dictionaries(
    member_names.filter(lambda name: name not in WRITTEN_BY_ECS | {"family", "containerDefinitions", "tags"}), values
)
container_members = st.dictionaries(member_names.filter(lambda name: name not in {"name", "image"}), values)
tags = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9 +=._:/@-]{1,20}", fullmatch=True).filter(
        lambda key: not key.startswith((OWN_TAG_PREFIX, "aws:"))
    ),
    st.from_regex(r"[A-Za-z0-9 +=._:/@-]{0,20}", fullmatch=True),
    max_size=5,
)


def without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_null(each) for key, each in value.items() if each is not None}
    return [without_null(each) for each in value] if isinstance(value, list) else value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(top=members, first=container_members, second=container_members, tags=tags)
def test_every_member_arrives(
    model: EcsModel,
    clock: Clock,
    top: dict[str, Any],
    first: dict[str, Any],
    second: dict[str, Any],
    tags: dict[str, str],
) -> None:
    family = f"f{len(model.families)}"
    before = {
        **top,
        "family": family,
        "containerDefinitions": [
            {**first, "name": "app", "image": "doorman:1.0.0"},
            {**second, "name": "proxy", "image": "envoy:1"},
        ],
    }
    model.services.clear()
    model.table.items.clear()
    model.add_service("doorman-service", model.add_revision(before, tags))
    request = {"cluster": "production1", "service": "doorman-service", "image": "doorman:1.1.0"}

    end = execute(request, clock, name=family)

    assert end.output
    after = model.revision(end.output["revision"])
    sent = {key: value for key, value in after.document.items() if key not in WRITTEN_BY_ECS}
    expected = without_null(before)
    expected["containerDefinitions"][0]["image"] = "doorman:1.1.0"
    assert sent == expected
    kept = {tag["key"]: tag["value"] for tag in after.tags if not tag["key"].startswith(OWN_TAG_PREFIX)}
    assert kept == tags
