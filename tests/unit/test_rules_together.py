"""The rule of a group: who is started next, when all have to return, and how the group ends."""

from ecs_deploy.core import together
from ecs_deploy.core.decision import Outcome
from ecs_deploy.core.errors import Error
from ecs_deploy.core.together import AT_ONCE, Done, End, Goes, Group, Member, Phase, end_of
from tests.support.rules import at, table


def member(name: str, ended: str = "", **more: object) -> Member:
    return Member("c", name, started=bool(ended), ended=ended)._replace(**more)  # type: ignore[arg-type]


def group(*members: Member, phase: Phase = Phase.DEPLOY, message: str = "") -> Group:
    return Group(members, at(0), phase, message)


RUNS = member("runs", started=True)
WAITS = member("waits")
DONE = member("done", "DEPLOYED", before="app:1")
FAILED = member("failed", "DeploymentFailed", before="app:1")
CHECKED = member("checked", "REHEARSED")


def starts(before: Group) -> tuple[Phase, list[str]]:
    found = together.rule(before)
    assert isinstance(found, Goes)
    return found.group.phase, [found.group.members[number].service for number in found.starts]


@table(
    "before, phase, names",
    {
        "all are checked at once": (
            group(member("a", order=1), member("b"), phase=Phase.CHECK), Phase.CHECK, ["a", "b"],
        ),
        "it waits for checks": (group(CHECKED, RUNS, phase=Phase.CHECK), Phase.CHECK, []),
        "all are checked": (group(CHECKED, CHECKED, phase=Phase.CHECK), Phase.DEPLOY, ["checked", "checked"]),
        "one would be superseded": (
            group(CHECKED, member("a", "SUPERSEDED"), phase=Phase.CHECK), Phase.DEPLOY, ["checked", "a"],
        ),
        "the lowest order first": (group(member("a", order=2), member("b", order=1)), Phase.DEPLOY, ["b"]),
        "the next order waits": (group(member("a", order=2), RUNS._replace(order=1)), Phase.DEPLOY, []),
        "the next order": (group(member("a", order=2), DONE._replace(order=1)), Phase.DEPLOY, ["a"]),
        "one of this order still waits": (group(RUNS, WAITS, DONE), Phase.DEPLOY, ["waits"]),
        "one has failed, and another one runs": (group(FAILED, RUNS, WAITS), Phase.DEPLOY, []),
        "one has failed": (group(FAILED, DONE, WAITS), Phase.RETURN, ["done"]),
        "one was held": (group(member("held", "HELD"), DONE), Phase.RETURN, ["done"]),
        "one was stopped": (group(member("stopped", "ABORTED"), DONE), Phase.RETURN, ["done"]),
        "what was superseded returns, too": (
            group(FAILED, member("a", "SUPERSEDED", before="app:1"), member("b", "UNCHANGED", before="app:1")),
            Phase.RETURN,
            ["a"],
        ),
        "a service returns once": (
            group(FAILED, DONE, DONE._replace(container="proxy")), Phase.RETURN, ["done"],
        ),
        "what stays does not return": (
            group(FAILED, DONE, DONE._replace(service="a", stays=True)), Phase.RETURN, ["done"],
        ),
    },
)  # fmt: skip
def test_who_is_started(before: Group, phase: Phase, names: list[str]) -> None:
    assert starts(before) == (phase, names)


def test_not_all_at_once() -> None:
    many = [member(str(number)) for number in range(100)]
    phase, names = starts(group(*many, phase=Phase.CHECK))
    assert (phase, len(names)) == (Phase.CHECK, AT_ONCE)
    half = [each._replace(started=number < AT_ONCE) for number, each in enumerate(many)]
    assert starts(group(*half, phase=Phase.CHECK)) == (Phase.CHECK, [])


FAILS = "The group was not deployed: one of its services failed."
RETURNED = (
    FAILED._replace(deployed="DeploymentFailed", ended="", started=False),
    DONE._replace(deployed="DEPLOYED"),
)


@table(
    "before, end, said",
    {
        "all are deployed": (group(DONE, DONE), Outcome.DEPLOYED, ""),
        "one was so already": (group(DONE, member("a", "UNCHANGED")), Outcome.DEPLOYED, ""),
        "all were so already": (group(member("a", "UNCHANGED")), Outcome.UNCHANGED, ""),
        "one was superseded": (group(DONE, member("a", "SUPERSEDED")), Outcome.SUPERSEDED, ""),
        "one is held": (group(CHECKED, member("a", "HELD"), phase=Phase.CHECK), Outcome.HELD, ""),
        "one cannot be deployed": (
            group(CHECKED, member("a", "ImageNotFound"), phase=Phase.CHECK, message="c/a: no image"),
            Error.IMAGE_NOT_FOUND,
            "Nothing was changed, since one of them cannot be deployed. c/a: no image",
        ),
        "one could not be checked": (
            group(CHECKED, member("a", "States.Runtime"), phase=Phase.CHECK),
            Error.DEPLOYMENT_FAILED,
            "Nothing was changed, since one of them cannot be deployed. ",
        ),
        "one has failed alone": (
            group(FAILED, message="c/failed: it crashes"),
            Error.DEPLOYMENT_FAILED,
            "The group was not deployed: one of its services failed. c/failed: it crashes",
        ),
        "the others have returned": (
            group(*RETURNED, phase=Phase.RETURN, message="why"),
            Error.DEPLOYMENT_FAILED,
            "The group was not deployed: one of its services failed. why Returned to what ran before: c/done.",
        ),
        "a return was superseded": (
            group(RETURNED[0], RETURNED[1]._replace(ended="SUPERSEDED"), phase=Phase.RETURN, message="why"),
            Error.DEPLOYMENT_FAILED,
            "The group was not deployed: one of its services failed. why Returned to what ran before: c/done.",
        ),
        "a return has failed": (
            group(RETURNED[0], RETURNED[1]._replace(ended="RollbackFailed"), phase=Phase.RETURN, message="why"),
            Error.ROLLBACK_FAILED,
            f"{FAILS} why The return failed too: c/done. Look at these services now.",
        ),
        "one stays": (
            group(RETURNED[0], RETURNED[1]._replace(stays=True), phase=Phase.RETURN, message="why"),
            Error.DEPLOYMENT_FAILED,
            "The group was not deployed: one of its services failed. why Not returned, since rollback is off: c/done.",
        ),
    },
)
def test_how_it_ends(before: Group, end: Outcome | Error, said: str) -> None:
    found = together.rule(before)
    assert isinstance(found, Done)
    assert (found.end, found.message) == (end, said)
    assert [each.partition(":")[0] for each in found.reasons] == [each.key for each in before.members]


def test_the_reasons_name_each_end() -> None:
    found = together.rule(group(*RETURNED, phase=Phase.RETURN))
    assert isinstance(found, Done)
    assert found.reasons == ("c/failed: DeploymentFailed", "c/done: DEPLOYED, returned")


@table(
    "phase, end, ended, before, message",
    {
        "deployed": (Phase.DEPLOY, End("DEPLOYED"), "DEPLOYED", "", ""),
        "failed": (Phase.DEPLOY, End("DeploymentFailed", "it crashes"), "DeploymentFailed", "", "c/runs: it crashes"),
        "checked": (Phase.CHECK, End("REHEARSED", before="app:7"), "REHEARSED", "app:7", ""),
        "would be held": (Phase.CHECK, End("REHEARSED", would_end="HELD", before="app:7"), "HELD", "app:7", ""),
    },
)
def test_an_end_is_noted(phase: Phase, end: End, ended: str, before: str, message: str) -> None:
    after = together.noted(group(WAITS, RUNS, phase=phase), {1: end})
    assert (after.members[1].ended, after.members[1].before, after.message) == (ended, before, message)
    assert after.members[0] == WAITS
    assert together.running(after) == ()


def test_the_first_that_fails_is_told() -> None:
    after = together.noted(group(RUNS, RUNS), {0: End("DeploymentFailed", "first"), 1: End("DeploymentFailed", "then")})
    assert after.message == "c/runs: first"


@table(
    "status, output, error, cause, expected",
    {
        "it runs": ("RUNNING", {}, "", {}, None),
        "it waits to go on": ("PENDING_REDRIVE", {}, "", {}, None),
        "it succeeded": ("SUCCEEDED", {"outcome": "DEPLOYED"}, "", {}, End("DEPLOYED")),
        "it was a check": (
            "SUCCEEDED",
            {"outcome": "REHEARSED", "shown": {"ends": "HELD", "stable": "app:7"}},
            "",
            {},
            End("REHEARSED", "", "HELD", "app:7"),
        ),
        "it failed": ("FAILED", {}, "ImageNotFound", {"message": "no image"}, End("ImageNotFound", "no image")),
        "it was stopped": ("ABORTED", {}, "", {}, End("ABORTED", "its execution has ended as ABORTED")),
    },
)
def test_how_an_execution_has_ended(
    status: str, output: dict[str, object], error: str, cause: dict[str, object], expected: End | None
) -> None:
    assert end_of(status, output, error, cause) == expected


def test_what_was_started_runs() -> None:
    before = group(WAITS, member("a"), DONE)
    after = together.started(before, 1)
    assert after.members == (WAITS, member("a", started=True), DONE)
    assert together.running(after) == (1,)


def test_what_is_over_is_known_to_the_end() -> None:
    """The output of the group's execution names how its members ended."""
    for before in (
        group(DONE),
        group(member("a", "HELD"), phase=Phase.CHECK),
        group(member("a", "ImageNotFound"), phase=Phase.CHECK),
        group(*RETURNED, phase=Phase.RETURN),
    ):
        found = together.rule(before)
        assert isinstance(found, Done)
        assert [each.key for each in found.group.members] == [each.key for each in before.members]


def test_a_return_goes_on_and_names_what_was_not_deployed() -> None:
    before = group(WAITS, FAILED, DONE, DONE._replace(service="b", order=1), phase=Phase.DEPLOY)
    assert starts(before) == (Phase.RETURN, ["done", "b"])
    found = together.rule(before)
    assert isinstance(found, Goes)
    first, second = found.starts
    over = together.noted(found.group, {first: End("DEPLOYED"), second: End("DeploymentFailed", "no")})
    done = together.rule(over)
    assert isinstance(done, Done)
    assert done.reasons == ("c/waits: not deployed", "c/failed: DeploymentFailed", "c/done: DEPLOYED, returned",
                            "c/b: DEPLOYED, returned")  # fmt: skip
    assert done.end is Error.ROLLBACK_FAILED
    assert "Returned to what ran before: c/done." in done.message
    assert "The return failed too: c/b." in done.message


def test_several_are_listed() -> None:
    back = [DONE._replace(service=name, deployed="DEPLOYED", ended="DEPLOYED") for name in "abc"]
    done = together.rule(group(RETURNED[0], *back, phase=Phase.RETURN))
    assert isinstance(done, Done)
    assert "Returned to what ran before: c/a, c/b, c/c." in done.message
    stay = [each._replace(stays=True) for each in back]
    done = together.rule(group(RETURNED[0], *stay, phase=Phase.RETURN))
    assert isinstance(done, Done)
    assert "Not returned, since rollback is off: c/a, c/b, c/c." in done.message
    broken = [each._replace(ended="RollbackFailed") for each in back]
    done = together.rule(group(RETURNED[0], *broken, phase=Phase.RETURN))
    assert isinstance(done, Done)
    assert "The return failed too: c/a, c/b, c/c." in done.message


def test_an_execution_without_an_outcome() -> None:
    assert end_of("SUCCEEDED", {}, "", {}) == End("")
