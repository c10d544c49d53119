"""Random rollouts in virtual time, and what policies of polling make of them: `python -m tests.bench.replay`.

A rollout is two moments after the update of the service: all new tasks run, and ECS calls it complete. In between the
old tasks go, which takes at least a few seconds. A policy is counted by its calls to ECS, those beside its polls
included.

Events take what EventBridge and a function take, polls what a function takes, warm or cold (docs/start-up.md), and a
read right after an event may be stale. Those times are assumptions: AWS gives no figures.
"""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecs_deploy.core.poll_schedule import AFTER_SIGNAL, next_wait

ROLLOUTS = 10_000
SEED = 1
OLD_TASKS_TAKE = 5.0
TIMEOUT = 86_400
# Beside the polls, tests/unit/test_polls.py holds it to: the service twice, the revision, the new one, the update, and
# the tasks that run in the end, listed and described.
OTHER_CALLS = 7
# Seconds from the moment that ECS is through until a wait has ended, of a poll, and for which a read may be stale.
EVENT, POLL, STALE = (0.5, 2.0), (0.2, 1.2), (0.0, 2.0)


@dataclass(frozen=True, slots=True)
class Rollout:
    """Seconds from the update until all new tasks run, and until the rollout is complete."""

    ran: float
    complete: float


@dataclass(frozen=True, slots=True)
class Watched:
    """The calls that it took to notice the end of a rollout, and how late that was, in seconds."""

    calls: int
    lag: float
    complete: float

    @property
    def share(self) -> float:
        """The lag as a share of the rollout; of 30 seconds, where it took less."""
        return self.lag / max(self.complete, 30)


Policy = Callable[[Rollout, int], Watched]


def random_rollouts(
    count: int = ROLLOUTS, seed: int = SEED, *, shortest: float = 20, longest: float = 600
) -> list[Rollout]:
    """Rollouts of `shortest` to `longest` seconds, on a scale of doublings, the old tasks taking any part of them."""
    dice = random.Random(seed)
    rollouts = []
    for _ in range(count):
        complete = math.exp(dice.uniform(math.log(shortest), math.log(longest)))
        rollouts.append(Rollout(complete - dice.uniform(OLD_TASKS_TAKE, max(OLD_TASKS_TAKE, 0.9 * complete)), complete))
    return rollouts


def with_events(rollout: Rollout, number: int) -> Watched:
    """This deployer, when ECS's events of the rollout's beginning and its end arrive."""
    dice = random.Random(number)
    hears_from = dice.uniform(*EVENT)
    signal, fresh = rollout.complete + dice.uniform(*EVENT), rollout.complete + dice.uniform(*STALE)
    read_at, elapsed, polls, looks = 0.0, 0.0, 0, len(AFTER_SIGNAL)
    while True:
        by_time = elapsed + next_wait(elapsed, TIMEOUT, looks=looks, hears=polls > 0 and read_at > hears_from)
        # One that comes while a poll is under way ends the wait after it at once.
        is_signalled = read_at < signal <= by_time
        read_at = max(elapsed, signal) if is_signalled else by_time
        looks, polls, elapsed = 0 if is_signalled else looks + 1, polls + 1, read_at + dice.uniform(*POLL)
        if read_at >= fresh:
            return Watched(OTHER_CALLS + polls, elapsed - rollout.complete, rollout.complete)


def without_events(rollout: Rollout, number: int) -> Watched:
    """This deployer, when every event is lost."""
    dice = random.Random(number)
    elapsed, polls = 0.0, 0
    while True:
        elapsed += next_wait(elapsed, TIMEOUT, looks=len(AFTER_SIGNAL), hears=False)
        read_at, polls = elapsed, polls + 1
        elapsed += dice.uniform(*POLL)
        if read_at >= rollout.complete:
            return Watched(OTHER_CALLS + polls, elapsed - rollout.complete, rollout.complete)


def intervals(first: float, most: float, others: int = OTHER_CALLS) -> Policy:
    """A policy of waits that double from `first` up to `most`; a fixed interval where they are the same.

    It makes `others` calls beside its polls.
    """

    def watch(rollout: Rollout, number: int) -> Watched:
        dice = random.Random(number)
        elapsed, polls, wait = 0.0, 0, first
        while True:
            read_at, polls = elapsed, polls + 1
            elapsed += dice.uniform(*POLL)
            if read_at >= rollout.complete:
                return Watched(others + polls, elapsed - rollout.complete, rollout.complete)
            elapsed += wait
            wait = min(2 * wait, most)

    return watch


def script(rollout: Rollout, number: int) -> Watched:
    """The bash script: two calls every 10 s until a new task runs, then one every 2 s."""
    dice = random.Random(number)
    elapsed, calls = 0.0, 6
    while True:
        read_at, calls = elapsed, calls + 2
        elapsed += dice.uniform(*POLL)
        if read_at >= rollout.ran:
            break
        elapsed += 10
    while True:
        read_at, calls = elapsed, calls + 1
        elapsed += dice.uniform(*POLL)
        if read_at >= rollout.complete:
            return Watched(calls, elapsed - rollout.complete, rollout.complete)
        elapsed += 2


def action(rollout: Rollout, number: int) -> Watched:
    """The GitHub action: 15 s at first, then any time up to twice as long as before, up to 120 s; one call more."""
    dice = random.Random(number)
    elapsed, calls, longest = 0.0, 3, 15
    while True:
        read_at, calls = elapsed, calls + 1
        elapsed += dice.uniform(*POLL)
        if read_at >= rollout.complete:
            return Watched(calls + 1, elapsed - rollout.complete, rollout.complete)
        elapsed += dice.uniform(15, longest) if longest <= 120 else 120
        longest *= 2


def ecspresso(rollout: Rollout, number: int) -> Watched:
    """ecspresso: AWS's waiter every 15 s, the status to show every 10 s, and 3 s before and after."""
    watched = intervals(15, 15, others=4)(rollout, number)
    seconds = watched.lag + rollout.complete
    return Watched(watched.calls + int(seconds // 10), watched.lag + 3, rollout.complete)


@dataclass(frozen=True, slots=True)
class Figures:
    """A policy over many rollouts: calls, lag in seconds, lag as a share of the rollout."""

    name: str
    calls: float
    most_calls: int
    median_lag: float
    worst_lag: float
    mean_share: float
    worst_share: float

    @classmethod
    def of(cls, name: str, watched: Sequence[Watched]) -> "Figures":
        lags = [each.lag for each in watched]
        return cls(
            name=name,
            calls=statistics.mean(each.calls for each in watched),
            most_calls=max(each.calls for each in watched),
            median_lag=statistics.median(lags),
            worst_lag=max(lags),
            mean_share=statistics.mean(each.share for each in watched),
            worst_share=max(each.share for each in watched),
        )

    def is_better(self, other: "Figures") -> bool:
        """Whether it asks less and knows sooner, by the median or as a share of the rollout."""
        is_sooner = self.median_lag <= other.median_lag or self.mean_share <= other.mean_share
        return self.calls <= other.calls and is_sooner


def figures(name: str, policy: Policy, rollouts: Sequence[Rollout]) -> Figures:
    """The figures of a policy."""
    return Figures.of(name, [policy(each, number) for number, each in enumerate(rollouts)])


def ours(rollouts: Sequence[Rollout]) -> tuple[Figures, Figures]:
    """This deployer's figures: with events, and with all of them lost."""
    return (
        figures("ecs-deploy, with events", with_events, rollouts),
        figures("ecs-deploy, all events lost", without_events, rollouts),
    )


def others(rollouts: Sequence[Rollout]) -> list[Figures]:
    """The figures of fixed intervals and of doubling ones."""
    fixed = {f"every {wait} s": intervals(wait, wait) for wait in (1, 2, 3, 5, 8, 10, 15, 20, 30, 45, 60, 90, 120)}
    doubling = {
        f"{first} s, doubling to {most} s": intervals(first, most)
        for first in (1, 2, 5, 10, 15)
        for most in (10, 20, 30, 60, 120)
        if most > first
    }
    return [figures(name, policy, rollouts) for name, policy in (fixed | doubling).items()]


def peers(rollouts: Sequence[Rollout]) -> list[Figures]:
    """The figures of the intervals that other deployers are published with: tests/bench/replayed.py says where."""
    policies = {
        "bash script": script,
        "fabfuel/ecs-deploy": intervals(1, 1, others=9),
        "AWS CLI": intervals(15, 15, others=2),
        "GitHub action": action,
        "ecspresso": ecspresso,
    }
    return [figures(name, policy, rollouts) for name, policy in policies.items()]


def main() -> None:
    """Print the figures."""
    for title, rollouts in (
        ("rollouts of 20 to 600 s", random_rollouts()),
        ("rollouts of 10 minutes to an hour", random_rollouts(shortest=600, longest=3600)),
    ):
        print(f"{title:34}   calls        lag\n{'':34}mean most  median worst  share")
        for each in (*ours(rollouts), *peers(rollouts), *others(rollouts)):
            print(
                f"{each.name:34}{each.calls:4.1f} {each.most_calls:4d} {each.median_lag:6.1f} s {each.worst_lag:4.0f} s"
                f" {each.mean_share:5.1%} of the rollout, at worst {each.worst_share:.0%}"
            )


if __name__ == "__main__":
    main()
