"""Random rollouts in virtual time, and what policies of polling make of them: `python -m tests.bench.replay`.

A rollout is two moments after the update of the service: all new tasks run, and ECS calls it complete. In between the
old tasks go, which takes at least a few seconds.
"""

import math
import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ecs_deploy.core.poll_schedule import PollSchedule, Stage, jitter

ROLLOUTS = 10_000
SEED = 1
SHORTEST_ROLLOUT, LONGEST_ROLLOUT = 20.0, 600.0
OLD_TASKS_TAKE = 5.0
# What "within 20 % of the last" lets a rollout differ by.
VARIES = 0.2
TIMEOUT = 86_400


@dataclass(frozen=True, slots=True)
class Rollout:
    """Seconds from the update until all new tasks run, and until the rollout is complete."""

    ran: float
    complete: float

    def stage(self, elapsed: float) -> Stage:
        """What DescribeServices shows of it, before it is complete."""
        return Stage.STARTING if elapsed < self.ran else Stage.ENDING

    def again(self, dice: random.Random) -> "Rollout":
        """The service's next rollout: either part takes up to a fifth more or less."""
        ran = self.ran * dice.uniform(1 - VARIES, 1 + VARIES)
        return Rollout(ran, ran + (self.complete - self.ran) * dice.uniform(1 - VARIES, 1 + VARIES))


@dataclass(frozen=True, slots=True)
class Watched:
    """What it took to notice the end of a rollout, and how late that was, in seconds."""

    polls: int
    lag: float
    complete: float

    @property
    def share(self) -> float:
        """The lag as a share of the rollout; of 30 seconds, where it took less."""
        return self.lag / max(self.complete, 30)

    @property
    def is_within_bounds(self) -> bool:
        """At most 40 polls, and at most a tenth of the rollout late, or 3 seconds where that is less."""
        return self.polls <= 40 and self.lag <= max(3, 0.1 * self.complete) + 1e-9


Policy = Callable[[Rollout, int], Watched]


def random_rollouts(count: int = ROLLOUTS, seed: int = SEED) -> list[Rollout]:
    """Rollouts of 20 to 600 seconds, as many below 110 as above, the old tasks taking any part of them."""
    dice = random.Random(seed)
    rollouts = []
    for _ in range(count):
        complete = math.exp(dice.uniform(math.log(SHORTEST_ROLLOUT), math.log(LONGEST_ROLLOUT)))
        rollouts.append(Rollout(complete - dice.uniform(OLD_TASKS_TAKE, max(OLD_TASKS_TAKE, 0.9 * complete)), complete))
    return rollouts


def pairs(rollouts: Iterable[Rollout], seed: int = SEED) -> list[tuple[Rollout, Rollout]]:
    """Each rollout as the service's last one, and the next."""
    dice = random.Random(seed)
    return [(last, last.again(dice)) for last in rollouts]


def follow(rollout: Rollout, number: int, schedule: PollSchedule) -> tuple[Watched, str]:
    """Poll as the deployer does; also what it remembers for the service's next rollout."""
    elapsed, polls = 0, 0
    while elapsed < rollout.complete:
        wait, schedule = schedule.next_wait(
            rollout.stage(elapsed), elapsed, TIMEOUT - elapsed, polls, jitter(f"execution {number}", polls)
        )
        elapsed += wait
        polls += 1
    return Watched(polls, elapsed - rollout.complete, rollout.complete), schedule.memory(elapsed)


def unknown(rollout: Rollout, number: int) -> Watched:
    """This deployer, at a service that it never deployed before."""
    return follow(rollout, number, PollSchedule())[0]


def known(last: Rollout, rollout: Rollout, number: int) -> Watched:
    """This deployer, when it knows how long the service's last rollout took."""
    memory = f"{round(last.ran)}+{round(last.complete - last.ran)}"
    return follow(rollout, number, PollSchedule.remembered(memory))[0]


def remembered(rollout: Rollout, number: int, seed: int = SEED) -> list[Watched]:
    """This deployer at one service again and again, with nothing but what it remembers from the time before."""
    dice = random.Random(f"{seed} {number}")
    first, memory = follow(rollout, number, PollSchedule())
    watched = [first]
    for _ in range(3):
        rollout = rollout.again(dice)
        later, memory = follow(rollout, number, PollSchedule.remembered(memory))
        watched.append(later)
    return watched


def intervals(first: float, most: float) -> Policy:
    """A policy of waits that double from `first` up to `most`; a fixed interval where they are the same."""

    def watch(rollout: Rollout, _number: int) -> Watched:
        elapsed, polls, wait = 0.0, 0, first
        while elapsed < rollout.complete:
            elapsed += wait
            polls += 1
            wait = min(2 * wait, most)
        return Watched(polls, elapsed - rollout.complete, rollout.complete)

    return watch


def script(rollout: Rollout, _number: int) -> Watched:
    """The bash script: two calls every 10 s until a new task runs, then one every 2 s."""
    elapsed, polls = 0.0, 2
    while elapsed < rollout.ran:
        elapsed += 10
        polls += 2
    polls += 1
    while elapsed < rollout.complete:
        elapsed += 2
        polls += 1
    return Watched(polls, elapsed - rollout.complete, rollout.complete)


def action(rollout: Rollout, number: int) -> Watched:
    """The GitHub action: 15 s at first, then any time up to twice as long as before, up to 120 s."""
    dice = random.Random(number)
    elapsed, polls, longest = 0.0, 1, 15
    while elapsed < rollout.complete:
        elapsed += dice.uniform(15, longest) if longest <= 120 else 120
        polls += 1
        longest *= 2
    return Watched(polls, elapsed - rollout.complete, rollout.complete)


@dataclass(frozen=True, slots=True)
class Figures:
    """A policy over many rollouts: polls, lag in seconds, lag as a share of the rollout."""

    name: str
    polls: float
    most_polls: int
    median_lag: float
    worst_lag: float
    mean_share: float
    worst_share: float

    @classmethod
    def of(cls, name: str, watched: Sequence[Watched]) -> "Figures":
        lags = [each.lag for each in watched]
        return cls(
            name=name,
            polls=statistics.mean(each.polls for each in watched),
            most_polls=max(each.polls for each in watched),
            median_lag=statistics.median(lags),
            worst_lag=max(lags),
            mean_share=statistics.mean(each.share for each in watched),
            worst_share=max(each.share for each in watched),
        )

    def is_better(self, other: "Figures") -> bool:
        """Whether it asks less and knows sooner: by the median and the average, or both times at worst."""
        on_average = self.polls <= other.polls and (
            self.median_lag <= other.median_lag or self.mean_share <= other.mean_share
        )
        at_worst = self.most_polls <= other.most_polls and self.worst_share <= other.worst_share
        return on_average or at_worst


def ours(rollouts: Sequence[Rollout]) -> tuple[Figures, Figures]:
    """This deployer's figures: with nothing known, and with the service's last rollout known."""
    first = [unknown(each, number) for number, each in enumerate(rollouts)]
    next_ones = [known(last, each, number) for number, (last, each) in enumerate(pairs(rollouts))]
    return Figures.of("ecs-deploy, nothing known", first), Figures.of("ecs-deploy, last rollout known", next_ones)


def others(rollouts: Sequence[Rollout]) -> list[Figures]:
    """The figures of fixed intervals and of doubling ones."""
    fixed = {f"every {wait} s": intervals(wait, wait) for wait in (2, 3, 4, 5, 6, 8, 10, 11, 12, 15, 20, 30, 45, 60)}
    doubling = {
        f"{first} s, doubling to {most} s": intervals(first, most)
        for first in (1, 2, 5, 10, 15)
        for most in (10, 20, 30, 60, 120)
        if most > first
    }
    return [
        Figures.of(name, [policy(each, number) for number, each in enumerate(rollouts)])
        for name, policy in (fixed | doubling).items()
    ]


def peers(rollouts: Sequence[Rollout]) -> list[Figures]:
    """The figures of the intervals that other deployers are published with."""
    policies = {
        "bash script": script,
        "fabfuel/ecs-deploy": intervals(1, 1),
        "AWS CLI": intervals(15, 15),
        "GitHub action": action,
    }
    return [
        Figures.of(name, [policy(each, number) for number, each in enumerate(rollouts)])
        for name, policy in policies.items()
    ]


def main() -> None:
    """Print the figures."""
    rollouts = random_rollouts()
    print(f"{'':34}   polls        lag")
    print(f"{'':34}mean most  median worst  share")
    for each in (*ours(rollouts), *peers(rollouts), *others(rollouts)):
        print(
            f"{each.name:34}{each.polls:4.1f} {each.most_polls:4d} {each.median_lag:6.1f} s {each.worst_lag:3.0f} s "
            f"{each.mean_share:5.1%} of the rollout, at worst {each.worst_share:.0%}"
        )
    for number, name in enumerate(("first", "second", "third", "fourth")):
        watched = [remembered(each, index)[number] for index, each in enumerate(rollouts)]
        few = sum(each.polls <= 15 for each in watched) / len(watched)
        lag = Figures.of("", watched).median_lag
        print(f"{name} rollout of a service: {lag:.1f} s, {few:.1%} with at most 15 polls")


if __name__ == "__main__":
    main()
