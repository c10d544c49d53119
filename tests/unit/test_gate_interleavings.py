"""No update before its gates, and never two tasks at once, in whatever order the calls of several executions fall."""

import json
import os
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.ecs_model import EcsModel
from tests.support.exploration import World, explore, walk
from tests.support.single_tasks import Ends
from tests.support.worlds import Push, a_world, by_hand, finish, service_of, set_the_stage

TASK, APPROVAL = {"before": {"command": ["migrate"], "timeout": 60}}, {"approval": 600}
FAILS = {"before": {"command": ["fails"], "timeout": 60}}
EXPECTED = {"DEPLOYED", "SUPERSEDED", "UNCHANGED", "DeploymentFailed", "NotApproved", "States.Runtime"}


@pytest.fixture(autouse=True)
def on_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    set_the_stage(monkeypatch)


@dataclass
class Guard:
    """Looks on: what was approved, and whether an update comes before it was, or before its task has ended well."""

    model: EcsModel
    gates: dict[str, dict[str, Any]]
    approved: set[str] = field(default_factory=set)

    def __call__(self, action: str, body: dict[str, Any]) -> None:
        if action == "TransactWriteItems":
            self._note(body)
        if action != "UpdateService":
            return
        request = self._request_of(body["taskDefinition"])
        gates = self.gates.get(request, {})
        assert "approval" not in gates or request in self.approved, f"{request} was not approved"
        if "before" in gates:
            ended = [each for each in self.model.single.all if each.exit_code == 0]
            assert request in {self._request_of(each.request["taskDefinition"]) for each in ended}, "its task has not"

    def _note(self, body: dict[str, Any]) -> None:
        for each in body["TransactItems"]:
            value = json.loads(each.get("Put", {}).get("Item", {}).get("value", {}).get("S", "{}"))
            for gate in value.get("gates", {}).values():
                if gate["answer"] and gate["answer"]["is_yes"]:
                    self.approved.add(gate["candidate"]["request"])

    def _request_of(self, revision: str) -> str:
        return self.model.tags(revision).get("ecs-deploy:request", "")


def gated(*pushes: Push) -> World:
    world = a_world(*pushes)
    world.model.refused.clear()
    world.model.single.ends = {"migrate": Ends(after=3), "fails": Ends(after=3, exit_code=1)}
    gates = {f"push-{each.number}-{each.container}": dict(each.gates) for each in pushes}
    world.model.before_call = Guard(world.model, gates)
    return world


def hold(world: World) -> None:
    finish(world)
    ends = {each.name: each.end for each in world.executions if each.end}
    names = {name: end.error or (end.output or {})["outcome"] for name, end in ends.items()}
    assert {end for name, end in names.items() if not name.startswith("says")} <= EXPECTED, names
    assert world.model.single.most_at_once() <= 1
    tokens = [each.request["clientToken"] for each in world.model.single.all]
    assert len(tokens) == len(set(tokens))
    assert service_of(world).primary.rollout_state == "COMPLETED"


def runs(world: World) -> str:
    (container,) = world.model.revision(service_of(world).primary.revision).document["containerDefinitions"]
    return world.model.named(container["image"])


@pytest.mark.parametrize(
    ("pushes", "image"),
    [
        ((Push(1, gates=TASK, crashes=1),), "doorman:1"),
        ((Push(1, gates=FAILS, crashes=1),), "doorman:0"),
        ((Push(1, gates=TASK), Push(2, gates=TASK)), "doorman:2"),
        ((Push(1, gates=TASK), Push(2)), "doorman:2"),
        ((Push(1), Push(2, gates=FAILS)), "doorman:1"),
    ],
)
def test_the_schedules_of_tasks(pushes: tuple[Push, ...], image: str) -> None:
    def check(world: World) -> None:
        hold(world)
        assert runs(world) == image

    explore(gated(*pushes), check, None if len(pushes) == 1 else 0)


@pytest.mark.parametrize("seed", range(int(os.environ.get("SAMPLES", "10"))))
def test_a_sample_of_the_schedules_of_three(seed: int) -> None:
    random_ = random.Random(f"gates {seed}")
    for _ in range(10):
        pushes = tuple(
            Push(
                number,
                works=random_.random() < 0.7,
                crashes=random_.choice([0, 1, 2]),
                deaths=random_.choice([0, 0, 1]),
                gates=random_.choice([TASK, TASK, FAILS, APPROVAL, {**APPROVAL, **TASK}, {}]),
            )
            for number in (1, 2, 3)
        )
        world = gated(*pushes)
        for each in random_.sample(pushes, 2):
            says = random_.choice([{"approve": ""}, {"approve": ""}, {"reject": "", "why": "no"}])
            to = {key: f"e{each.number}-doorman" if key != "why" else value for key, value in says.items()}
            by_hand(world, f"says-{each.number}", **to)
        try:
            walk(world, iter(lambda random_=random_: random_.randrange(40), None))  # type: ignore[misc]
            hold(world)
        except Exception as error:
            error.add_note(repr(pushes))
            raise
