"""What a revision is made from, and whether somebody else has changed the service since.

Revision 1 is what was stable; 2 and 3 are the deployer's, 8 and 9 a person's.
"""

import pytest

from ecs_deploy.core.base import (
    MAY_LAND_LATE,
    base_of,
    displaced_by,
    intent_of,
    is_since,
    late_revisions,
    observed_stable,
    renewed,
)
from ecs_deploy.core.service import Deployment, Service
from ecs_deploy.core.state import Base, Intent, Stable, State
from tests.support.rules import (
    at,
    base,
    deployment,
    displaced,
    intent,
    pushed,
    service,
    shifting,
    stable,
    state,
    table,
    td,
)

STABLE = stable(1, 0)
IN_PROGRESS = "IN_PROGRESS"


def known(*intents: Intent, was: Stable | None = STABLE) -> State:
    return state(intents=intents, stable=was)


@table(
    "shown, known, expected",
    {
        "the first deployment to a service": (service(deployment(1)), state(), base(1)),
        "what was stable last": (service(deployment(1)), known(), base(1)),
        "what a person has brought in": (service(deployment(9, 4)), known(), base(9, 4)),
        "what a person is bringing in": (
            service(deployment(9, 4, rollout=IN_PROGRESS), displaced(1)),
            known(intent("a", 2, noted=1)),
            base(9, 4),
        ),
        "a rollout without a verdict is not carried on": (
            service(deployment(2, 1, rollout=IN_PROGRESS), displaced(1)),
            known(intent("a", 2, noted=1)),
            base(1, 1, deployment="ecs-svc/2"),
        ),
        "a rollout whose answer was lost is not carried on": (
            service(deployment(2, 1, rollout=IN_PROGRESS), displaced(1)),
            known(intent("a", 2)),
            base(1, 1, deployment="ecs-svc/2"),
        ),
        "a call that was applied late, over a person's change": (
            service(deployment(2, 5, rollout=IN_PROGRESS), displaced(9, 4), displaced(1)),
            known(intent("a", 2)),
            base(9, 5, deployment="ecs-svc/2"),
        ),
        "a call that was applied late, over a newer one on the same base": (
            service(deployment(2, 5, rollout=IN_PROGRESS), displaced(3, 4), displaced(1)),
            known(intent("a", 2), intent("b", 3, 4, noted=4)),
            base(1, 5, deployment="ecs-svc/2"),
        ),
        "a call that was applied late, over one for another container, which is not proven": (
            service(deployment(2, 5, rollout=IN_PROGRESS), displaced(3, 4), displaced(1)),
            known(intent("a", 2), intent("b", 3, 4, containers=("proxy",), noted=4)),
            base(1, 5, deployment="ecs-svc/2"),
        ),
        "a call that was applied late, over one on top of a person's change": (
            service(deployment(2, 5, rollout=IN_PROGRESS), displaced(3, 4)),
            known(intent("a", 2), intent("b", 3, 4, on=base(9, 3), noted=4)),
            base(9, 5, deployment="ecs-svc/2"),
        ),
        "a call that was applied late, over one that became stable": (
            service(deployment(2, 5, rollout=IN_PROGRESS), displaced(3, 3)),
            known(intent("a", 2), intent("b", 3, 3, noted=3), was=stable(3, 4)),
            base(3, 5, deployment="ecs-svc/2"),
        ),
        "a return whose answer was lost is carried on": (
            service(deployment(1, 5, rollout=IN_PROGRESS), displaced(9, 4), displaced(2)),
            known(intent("a", 1, 5, on=base(2))),
            base(1, 5),
        ),
        "a rollout that failed is not carried on": (
            service(deployment(2, 1, rollout="FAILED"), displaced(1)),
            known(intent("a", 2, noted=1)),
            base(1, 1, deployment="ecs-svc/2"),
        ),
        "a rollout that somebody else has begun anew is theirs": (
            service(deployment(2, 3, named="forced", rollout=IN_PROGRESS), displaced(1)),
            known(intent("a", 2, noted=1)),
            base(2, 3, deployment="forced"),
        ),
        "neither is one on top of what a person brought in": (
            service(deployment(2, 5, rollout=IN_PROGRESS), displaced(9, 4)),
            known(intent("a", 2, 5, on=base(9, 4), noted=5)),
            base(9, 5, deployment="ecs-svc/2"),
        ),
        "what it took the place of is carried on": (
            service(deployment(2, 5, rollout=IN_PROGRESS), displaced(9, 4)),
            known(intent("a", 2, 5, noted=5, displaced=9)),
            base(9, 5, deployment="ecs-svc/2"),
        ),
        "what became stable since it was called is carried on": (
            service(deployment(2, 5, rollout=IN_PROGRESS), displaced(3)),
            known(intent("a", 2, 1, noted=1), was=stable(3, 4)),
            base(3, 5, deployment="ecs-svc/2"),
        ),
        "what became stable in the moment of the call is not": (
            service(deployment(2, 5, rollout=IN_PROGRESS), displaced(3)),
            known(intent("a", 2, 4, noted=4), was=stable(3, 4)),
            base(1, 5, deployment="ecs-svc/2"),
        ),
        "a complete rollout without a verdict is carried on": (
            service(deployment(2, 1)),
            known(intent("a", 2, noted=1)),
            base(2, 1),
        ),
        "unless its answer was lost": (
            service(deployment(2, 1)),
            known(intent("a", 2)),
            base(1, 1, deployment="ecs-svc/2"),
        ),
        "a complete rollout that took the place of a person's change is not": (
            service(deployment(2, 1)),
            known(intent("a", 2, noted=1, displaced=9)),
            base(9, 1, deployment="ecs-svc/2"),
        ),
        "a stable one that took the place of a person's change is not": (
            service(deployment(1)),
            known(intent("a", 1, noted=1, displaced=9)),
            base(9, 0, deployment="ecs-svc/1"),
        ),
        "a return that took the place of a person's change is not": (
            service(deployment(1, 5, rollout=IN_PROGRESS), displaced(9, 4)),
            known(intent("a", 1, 5, on=base(2), noted=5, displaced=9)),
            base(9, 5, deployment="ecs-svc/1"),
        ),
        "a stable one whose tasks are replaced": (
            service(deployment(1, 3, named="forced", rollout=IN_PROGRESS), displaced(1)),
            known(intent("a", 1, noted=0)),
            base(1, 3, deployment="forced"),
        ),
        "behind a Classic Load Balancer, one that is alone and runs is complete": (
            service(deployment(2, 1, rollout=None)),
            known(intent("a", 2, noted=1)),
            base(2, 1),
        ),
        "behind a Classic Load Balancer, one that is not alone is not": (
            service(deployment(2, 1, rollout=None), displaced(1, rollout=None)),
            known(intent("a", 2, noted=1)),
            base(1, 1, deployment="ecs-svc/2"),
        ),
        "where ECS shifts traffic, the revision of the service": (shifting(1), known(), base(1, None, deployment="")),
        "where ECS shifts traffic, a person's revision": (
            shifting(9),
            known(intent("a", 2, noted=1)),
            base(9, None, deployment=""),
        ),
        "where ECS shifts traffic, a revision without a verdict is not carried on": (
            shifting(2),
            known(intent("a", 2, noted=1)),
            base(1, None, deployment=""),
        ),
    },
)
def test_base(shown: Service, known: State, expected: Base) -> None:
    assert base_of(shown, known, at(30)) == expected


CALLED = intent("a", 2, 10, noted=10)
STALE = service(deployment(1))


@table(
    "shown, known, seconds, expected",
    {
        "it counts as shown": (STALE, known(CALLED), 1, base(1, 10, deployment="ecs-svc/2")),
        "for a minute": (STALE, known(CALLED), 59, base(1, 10, deployment="ecs-svc/2")),
        "not for longer": (STALE, known(CALLED), 60, base(1)),
        "what the newest of two calls was made from": (
            STALE,
            known(intent("a", 2, 9, noted=9), intent("b", 3, 10, on=base(8, 0, deployment="ecs-svc/1"), noted=10)),
            1,
            base(8, 10, deployment="ecs-svc/3"),
        ),
        "a call whose answer is not known hides nothing": (
            STALE,
            known(CALLED, intent("b", 3, 10)),
            1,
            base(1, 10, deployment="ecs-svc/2"),
        ),
        "nothing was called": (STALE, known(), 1, base(1)),
        "what was stable, if it is brought back": (
            service(deployment(3, 5)),
            known(intent("a", 1, 10, on=base(3, 5), noted=10, deployment="back")),
            1,
            base(1, 10, deployment="back"),
        ),
        "what it took the place of": (
            STALE,
            known(intent("a", 2, 10, noted=10, displaced=9)),
            1,
            base(9, 10, deployment="ecs-svc/2"),
        ),
        "what became stable since": (
            STALE,
            known(CALLED, was=stable(3, 11)),
            1,
            base(3, 10, deployment="ecs-svc/2"),
        ),
        "it is shown": (
            service(deployment(2, 10, rollout=IN_PROGRESS), displaced(1)),
            known(CALLED),
            1,
            base(1, 10, deployment="ecs-svc/2"),
        ),
        "it is shown beside what a person brought in after it": (
            service(deployment(9, 10), displaced(2, 10)),
            known(CALLED),
            1,
            base(9, 10),
        ),
        "a person has brought in another revision since it was made": (
            service(deployment(9, 10)),
            known(CALLED),
            1,
            base(9, 10),
        ),
        "what a person had brought in before is shown as it was": (
            service(deployment(9, 4)),
            known(intent("a", 2, 10, on=base(1, 5), noted=10)),
            1,
            base(1, 10, deployment="ecs-svc/2"),
        ),
        "where ECS shifts traffic, nothing tells": (shifting(1), known(CALLED), 1, base(1, None, deployment="")),
    },
)
def test_what_was_just_called_is_not_shown_yet(shown: Service, known: State, seconds: float, expected: Base) -> None:
    assert base_of(shown, known, at(10, seconds)) == expected


@table(
    "revision, made, index",
    {
        "by its deployment": (3, deployment(3), 1),
        "by its deployment, whatever the revision": (9, deployment(9, named="ecs-svc/3"), 1),
        "by its revision, where the answer is not known": (2, deployment(2), 0),
        "the newest call, if there were two": (4, deployment(4), 3),
        "not by its revision, if its deployment is known to be another one": (3, deployment(3, named="forced"), None),
        "by its revision, as long as a call may land late": (2, deployment(2, 15.9), 0),
        "not by its revision, if no call lands that late": (2, deployment(2, 16), None),
        "by its revision, where ECS does not tell when it was made": (2, deployment(2, None), 0),
        "by its revision, where ECS tells no deployment": (3, None, 1),
        "another revision": (9, deployment(9), None),
        "another revision, where ECS tells no deployment": (9, None, None),
    },
)
def test_intent_of(revision: int, made: Deployment | None, index: int | None) -> None:
    intents = (intent("a", 2), intent("b", 3, noted=2), intent("c", 4, 5), intent("d", 4, 6))
    found = intent_of(state(intents=intents), td(revision), made)
    assert found == (None if index is None else intents[index])


@table(
    "called, minutes, late",
    {
        "a call by another execution": (intent("other", 2, 1), 2, {td(2)}),
        "up to the time after which none is applied": (intent("other", 2, 1), 15.9, {td(2)}),
        "but not after it": (intent("other", 2, 1), 16, set()),
        "whose answer is known": (intent("other", 2, 1, noted=1), 2, set()),
        "the call that is followed": (intent("mine", 3, 1), 2, set()),
    },
)
def test_late_revisions(called: Intent, minutes: float, late: set[str]) -> None:
    assert late_revisions(state(intents=(called,)), td(3), at(minutes)) == late
    assert at(15) - at(0) == MAY_LAND_LATE


def test_all_late_revisions() -> None:
    intents = (intent("a", 2), intent("mine", 3), intent("b", 4), intent("c", 5, noted=1))
    assert late_revisions(state(intents=intents), td(3), at(2)) == {td(2), td(4)}


@table(
    "shown, known, expected",
    {
        "nothing has happened": (service(deployment(1)), known(), base(1)),
        "the tasks were replaced by force": (
            service(deployment(1, 3, named="forced"), displaced(1)),
            known(),
            base(1, 3, deployment="forced"),
        ),
        "an older rollout on the same base was applied late": (
            service(deployment(2, 3, rollout=IN_PROGRESS), displaced(1)),
            known(intent("older", 2)),
            base(1, 3, deployment="ecs-svc/2"),
        ),
        "an older rollout on another base was applied late": (
            service(deployment(2, 3, rollout=IN_PROGRESS), displaced(1)),
            known(intent("older", 2, on=base(8, 0.5)), intent("mine", 4)),
            base(1, 3, deployment="ecs-svc/2"),
        ),
        "an older rollout was applied late, over a person's change": (
            service(deployment(2, 3, rollout=IN_PROGRESS), displaced(9, 2), displaced(1)),
            known(intent("older", 2)),
            None,
        ),
        "an older rollout was applied late, over another one of the deployer's": (
            service(deployment(2, 3, rollout=IN_PROGRESS), displaced(3, 2), displaced(1)),
            known(
                intent("older", 2, on=base(8, 0.5)),
                intent("other", 3, on=base(8, 0.5), containers=("proxy",), noted=2),
            ),
            base(1, 3, deployment="ecs-svc/2"),
        ),
        "an older rollout was applied late, though it was called again since": (
            service(deployment(2, 3, named="late", rollout=IN_PROGRESS), displaced(1)),
            known(intent("older", 2, on=base(8, 0.5)), intent("again", 2, 2, on=base(8, 0.5), noted=2)),
            base(1, 3, deployment="late"),
        ),
        "an older rollout on another base is there, as it was noted": (
            service(deployment(2, 3, rollout=IN_PROGRESS), displaced(1)),
            known(intent("older", 2, on=base(8), noted=3)),
            None,
        ),
        "a person has brought in another revision": (service(deployment(9, 3), displaced(1)), known(), None),
        "a person has brought in another revision in the same moment": (service(deployment(9, 0)), known(), None),
        "what was before the base is still shown": (service(deployment(8, -5)), known(), base(1)),
        "ECS does not tell when a person's change was made": (service(deployment(9, None)), known(), None),
        "where ECS shifts traffic, nothing has happened": (shifting(1), known(), base(1, None, deployment="")),
        "where ECS shifts traffic, a person has brought in another revision": (shifting(9), known(), None),
    },
)
def test_renewed(shown: Service, known: State, expected: Base | None) -> None:
    assert renewed(base(1), shown, known, at(30)) == expected


def test_a_base_without_a_date_is_never_newer_than_what_is_shown() -> None:
    assert renewed(base(1, None), service(deployment(9, -5)), known(), at(30)) is None


CALL = intent("mine", 3, 10, on=base(1, 0))
NEW = deployment(3, 10, rollout=IN_PROGRESS)


@table(
    "answer, known, revision",
    {
        "only what it was made from": (service(NEW, displaced(1)), known(CALL), None),
        "nothing at all": (service(NEW), known(CALL), None),
        "a person's change": (service(NEW, displaced(9, 9), displaced(1)), known(CALL), 9),
        "a person's change in the moment in which the base was made": (
            service(NEW, displaced(9, 0), displaced(1)),
            known(CALL),
            9,
        ),
        "a person's change of which ECS tells no time": (
            service(NEW, displaced(9, None), displaced(1)),
            known(CALL),
            9,
        ),
        "a person's change that was there before the base": (
            service(NEW, displaced(1), displaced(8, -5)),
            known(CALL),
            None,
        ),
        "the newest of two changes": (service(NEW, displaced(8, 8), displaced(9, 9), displaced(1)), known(CALL), 9),
        "the newest of two changes, however they are listed": (
            service(NEW, displaced(9, 9), displaced(8, 8), displaced(1)),
            known(CALL),
            9,
        ),
        "a person's change below one that may be displaced": (
            service(NEW, displaced(1, 9, named="forced"), displaced(9, 8)),
            known(CALL),
            9,
        ),
        "the base, whose tasks were replaced by force": (
            service(NEW, displaced(1, 9, named="forced")),
            known(CALL),
            None,
        ),
        "the revision itself, which an earlier try brought in": (
            service(NEW, displaced(3, 9, named="earlier")),
            known(CALL),
            None,
        ),
        "a call of another execution that was applied late": (
            service(NEW, displaced(2, 9), displaced(1)),
            known(intent("other", 2, 9, on=base(8)), CALL),
            None,
        ),
        "a call of another execution that can be that late no more": (
            service(NEW, displaced(2, 9), displaced(1)),
            known(intent("other", 2, -5, on=base(8)), CALL),
            2,
        ),
        "an earlier call of its own that was applied late": (
            service(NEW, displaced(2, 9), displaced(1)),
            known(intent("mine", 2, 9, on=base(8)), CALL),
            None,
        ),
        "its place was taken already": (service(deployment(9, 11), displaced(3, 10), displaced(1)), known(CALL), None),
        "an older request for its container, on the same base": (
            service(NEW, displaced(2, 9), displaced(1)),
            known(intent("older", 2, 9, noted=9), CALL),
            None,
        ),
        "an older request for another container, on the same base": (
            service(NEW, displaced(2, 9), displaced(1)),
            known(intent("older", 2, 9, containers=("proxy",), noted=9), CALL),
            2,
        ),
        "an older request for its container, on another base": (
            service(NEW, displaced(2, 9), displaced(1)),
            known(intent("older", 2, 9, on=base(9), noted=9), CALL),
            2,
        ),
        "the revision of an older request, by somebody else's deployment": (
            service(NEW, displaced(2, 9, named="theirs"), displaced(1)),
            known(intent("older", 2, 9, noted=9), CALL),
            2,
        ),
        "where ECS shifts traffic, nothing tells": (shifting(3), known(CALL), None),
    },
)
def test_displaced(answer: Service, known: State, revision: int | None) -> None:
    assert displaced_by(answer, CALL, known, at(10), returning=False) == (td(revision) if revision else None)


@table(
    "answer, known, revision",
    {
        "what another execution has brought in": (
            service(NEW, displaced(2, 9), displaced(1)),
            known(intent("other", 2, 9, on=base(9), containers=("proxy",), noted=9), CALL),
            None,
        ),
        "a person's change": (service(NEW, displaced(9, 9), displaced(1)), known(CALL), 9),
        "a person's deployment of what another execution has brought in": (
            service(NEW, displaced(2, 9, named="theirs"), displaced(1)),
            known(intent("other", 2, 9, noted=9), CALL),
            2,
        ),
        "what was stable, which comes back in any case": (
            service(NEW, displaced(9, 9), displaced(1)),
            known(CALL)._replace(stable=stable(9)),
            None,
        ),
        "an earlier revision of this execution": (
            service(NEW, displaced(4, 9, named="forced by somebody"), displaced(1)),
            known(intent("mine", 4, 9, noted=9), CALL),
            None,
        ),
    },
)
def test_displaced_by_a_return(answer: Service, known: State, revision: int | None) -> None:
    assert displaced_by(answer, CALL, known, at(10), returning=True) == (td(revision) if revision else None)


def test_what_was_stable_is_a_persons_change_for_who_deploys() -> None:
    answer = service(NEW, displaced(9, 9), displaced(1))
    assert displaced_by(answer, CALL, known(CALL)._replace(stable=stable(9)), at(10), returning=False) == td(9)


def test_a_request_for_all_containers_displaces_any_older_one() -> None:
    older = intent("older", 2, 9, containers=("proxy",), noted=9)
    call = intent("mine", 3, 10, containers=("*",))
    assert displaced_by(service(NEW, displaced(2, 9)), call, known(older, call), at(10), returning=False) is None


@table(
    "primary, since",
    {
        "another deployment, made later": (deployment(9, 1), True),
        "another deployment, made in the same moment": (deployment(9, 0), True),
        "another deployment, made before": (deployment(9, -1), False),
        "another deployment of the base's revision, made later": (deployment(1, 1, named="forced"), True),
        "the base's own deployment": (deployment(1, 1), False),
        "another deployment of which ECS tells no time": (deployment(9, None), True),
    },
)
def test_since(primary: Deployment, since: bool) -> None:
    assert is_since(primary, base(1, 0)) is since


def test_any_other_deployment_is_since_a_base_without_a_date() -> None:
    assert is_since(deployment(9, -1), base(1, None))
    assert not is_since(deployment(1, -1), base(1, None))


@table(
    "shown, known, expected",
    {
        "nothing was known: what ECS shows in a steady state": (service(deployment(1)), state(), stable(1, 30)),
        "nothing was known: what was in a steady state before what rolls out": (
            service(deployment(9, 4, rollout=IN_PROGRESS), displaced(1)),
            state(),
            stable(1, 30),
        ),
        "nothing was known, and ECS shows nothing in a steady state": (
            service(deployment(9, 4, rollout=IN_PROGRESS), displaced(1, rollout="FAILED")),
            state(),
            None,
        ),
        "what was known still runs": (
            service(deployment(1)),
            known(was=stable(1, digests={"app": "sha256:1"})),
            stable(1, digests={"app": "sha256:1"}),
        ),
        "what was known still runs, by another deployment": (
            service(deployment(1, 4, named="forced")),
            known(),
            STABLE,
        ),
        "a person's change is in a steady state since": (service(deployment(9, 4)), known(), stable(9, 30)),
        "a person's change was made in the moment of the verdict": (service(deployment(9, 0)), known(), stable(9, 30)),
        "a person's change is not steady yet": (
            service(deployment(9, 4, rollout=IN_PROGRESS), displaced(1)),
            known(),
            STABLE,
        ),
        "what ran before is still shown": (service(deployment(8, -1)), known(), STABLE),
        "ECS tells no time": (service(deployment(9, None)), known(), STABLE),
        "a rollout that was superseded is in a steady state": (
            service(deployment(2, 4)),
            known(intent("a", 2, 4, noted=4)),
            stable(2, 30),
        ),
        "a call whose answer was lost is in a steady state": (
            service(deployment(2, 4)),
            known(intent("a", 2, 4)),
            STABLE,
        ),
        "what has failed is in a steady state": (
            service(deployment(2, 4)),
            state(intents=(intent("a", 2, 4, noted=4),), stable=STABLE, newest={"app": pushed("a", 3, failed=9)}),
            STABLE,
        ),
        "what has failed, and somebody else has brought it in again": (
            service(deployment(2, 10, named="theirs")),
            state(intents=(intent("a", 2, 4, noted=4),), stable=STABLE, newest={"app": pushed("a", 3, failed=9)}),
            stable(2, 30),
        ),
        "another request has failed since": (
            service(deployment(2, 4)),
            state(intents=(intent("a", 2, 4, noted=4),), stable=STABLE, newest={"app": pushed("b", 3, failed=9)}),
            stable(2, 30),
        ),
        "behind a Classic Load Balancer, a person's change is steady": (
            service(deployment(9, 4, rollout=None)),
            known(),
            stable(9, 30),
        ),
        "behind a Classic Load Balancer, a person's change is not alone": (
            service(deployment(9, 4, rollout=None), displaced(1, rollout=None)),
            known(),
            STABLE,
        ),
        "where ECS shifts traffic, nothing was known": (shifting(1), state(), stable(1, 30)),
        "where ECS shifts traffic, what was known still runs": (shifting(1), known(), STABLE),
        "where ECS shifts traffic, a person's change runs": (shifting(9), known(), stable(9, 30)),
        "where ECS shifts traffic, the deployer's own change is unproven": (
            shifting(2),
            known(intent("a", 2, noted=1)),
            STABLE,
        ),
    },
)
def test_observed_stable(shown: Service, known: State, expected: Stable | None) -> None:
    assert observed_stable(shown, known, at(30)) == expected


@pytest.mark.parametrize("minutes", [3, 4])
def test_who_is_listed_first_does_not_matter_where_ecs_tells_no_time(minutes: float) -> None:
    answer = service(NEW, displaced(9, minutes), displaced(8, None))
    assert displaced_by(answer, CALL, known(CALL), at(10), returning=False) == td(8)
