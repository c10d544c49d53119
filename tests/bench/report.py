"""Writes docs/benchmarks.md and its plot from what was measured; the words are in page.md."""

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import cost, plot, push, startup
from tests.bench.cost import Bill
from tests.bench.peers import AWS_CLI, FABFUEL, OURS
from tests.bench.replay import Figures
from tests.bench.replayed import ACTION, ECSPRESSO, LOST, MOST_CALLS, MOVED_BY, SCRIPT, TIMES, Calls
from tests.bench.scenarios import SCENARIOS, Measured
from tests.bench.startup import Start

DOCS = Path(__file__).parents[2] / "docs"
WORDS = Path(__file__).with_name("page.md")
PAGE, PLOT = DOCS / "benchmarks.md", DOCS / "benchmarks.svg"
_MEASURED = (OURS, FABFUEL, AWS_CLI)
_REPLAYED = (OURS, LOST, SCRIPT, FABFUEL, AWS_CLI, ACTION, ECSPRESSO)


@dataclass(frozen=True, slots=True)
class Results:
    """All that one run of the bench has measured."""

    starts: Sequence[Start]
    sizes: tuple[int, int]
    pushes: Sequence[float]
    calls: Calls
    measured: Sequence[Measured]
    replayed: Sequence[Measured]
    bill: Bill
    ours: Sequence[Figures]
    peers: Sequence[Figures]
    others: Sequence[Figures]
    minutes: float

    def over(self) -> list[str]:
        """What is over its bound."""
        most = startup.MOST_CPU_RATIO
        over = [f"{each.name}: {each.ratio:.2f} times its clients" for each in self.starts if each.ratio > most]
        if self.sizes[1] > startup.MOST_ZIPPED_BYTES:
            over.append(f"the asset without the SDK: {self.sizes[1]} bytes")
        if statistics.median(self.pushes) > push.MOST_SECONDS:
            over.append(f"a push: {statistics.median(self.pushes):.2f} s until UpdateService")
        if any(count > most for count, most in zip(self.calls, MOST_CALLS, strict=True)):
            over.append(f"a deployment without incident: {self.calls}")
        if self.bill.dollars >= cost.MOST_DOLLARS:
            over.append(f"a deployment: ${self.bill.dollars:.5f}")
        wrong = (each for each in (*self.measured, *self.replayed) if not each.is_right)
        over += [f"{each.deployer}: wrong about {each.scenario}" for each in wrong if each.deployer in {OURS, LOST}]
        rivals = (*self.peers, *self.others)
        better = (other for other in rivals if other.is_better(self.ours[0]))
        return over + [f"{other.name} asks less and knows sooner" for other in better]


def write(results: Results) -> None:
    """Write the page and the plot."""
    PLOT.write_text(plot.draw(results.ours, results.peers, results.others))
    PAGE.write_text(page(results))


def page(results: Results) -> str:
    """The page, in its words."""
    whole, own = results.sizes
    minutes = results.bill.minutes
    return WORDS.read_text().format(
        date=datetime.now(UTC).date(),
        minutes=results.minutes,
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        times=TIMES,
        moved=MOVED_BY,
        ecs_calls=results.calls.to_ecs,
        most_ecs_calls=MOST_CALLS.to_ecs,
        table_calls=results.calls.to_table,
        most_table_calls=MOST_CALLS.to_table,
        replays=_replays(results.replayed),
        rollouts=_rollouts((*results.ours, *results.peers)),
        real=_real(results.measured),
        means=_means(results.measured),
        runs=startup.RUNS,
        most_ratio=startup.MOST_CPU_RATIO,
        megabytes=startup.MEGABYTES_OF_A_CPU,
        starts=_starts(results.starts),
        pushes=len(results.pushes),
        median_push=statistics.median(results.pushes),
        longest_push=max(results.pushes),
        most_push=push.MOST_SECONDS,
        zipped=whole / 1e6,
        own=own / 1e6,
        messages=cost.MESSAGE_REQUESTS,
        most_dollars=cost.MOST_DOLLARS,
        bill=_bill(results.bill),
        billed=minutes,
        waits=_waits(minutes),
        noted=cost.PRICES_NOTED,
        prices=_prices(),
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _replays(replayed: Sequence[Measured]) -> str:
    def measured(scenario: str, deployer: str) -> list[Measured]:
        return [each for each in replayed if (each.scenario, each.deployer) == (scenario, deployer)]

    rows = [[each.name, *(_cell(measured(each.name, name)) for name in _REPLAYED)] for each in SCENARIOS]
    return _table(["rollout", *_REPLAYED], rows)


def _cell(measured: Sequence[Measured]) -> str:
    if not measured:
        return ""
    text = f"{statistics.median(each.calls for each in measured):.0f}"
    wrong = [each for each in measured if not each.is_right]
    lags = [each.lag for each in measured if each.lag is not None and each.is_right]
    if lags:
        text += f", {statistics.median(lags):.0f} / {max(lags):.0f}"
    if not wrong:
        return text
    often = "" if len(wrong) == len(measured) else f" {len(wrong)} of {len(measured)} times"
    return f"{text}, **{_says(wrong[0])}{often}**"


def _says(measured: Measured) -> str:
    return "says success" if measured.succeeded else "says failure"


def _rollouts(figures: Iterable[Figures]) -> str:
    rows = [
        [
            each.name,
            f"{each.calls:.0f}",
            str(each.most_calls),
            f"{each.median_lag:.1f} s",
            f"{each.worst_lag:.0f} s",
            f"{each.mean_share:.1%}",
            f"{each.worst_share:.0%}",
        ]
        for each in figures
    ]
    header = ["", "calls, on average", "at most", "lag, median", "at worst", "share, on average", "at worst"]
    return _table(header, rows)


def _real(measured: Sequence[Measured]) -> str:
    found = {(each.scenario, each.deployer): each for each in measured}
    rows = [[each.name, *(_real_cell(found[each.name, name]) for name in _MEASURED)] for each in SCENARIOS]
    return _table(["rollout", *_MEASURED], rows)


def _real_cell(each: Measured) -> str:
    lag = "" if each.lag is None else f", {each.lag:.1f}"
    return f"{each.calls}{lag}, CPU {each.cpu or 0:.1f}" + ("" if each.is_right else f", **{_says(each)}**")


def _means(measured: Sequence[Measured]) -> str:
    rows = []
    for name in _MEASURED:
        acted = [each.to_update for each in measured if each.deployer == name and each.to_update]
        cpu = [each.cpu for each in measured if each.deployer == name and each.cpu]
        figures = (statistics.median(acted), max(acted), statistics.median(cpu), max(cpu))
        rows.append([name, *(f"{each:.1f} s" for each in figures)])
    return _table(["", "to UpdateService, median", "at most", "CPU, median", "at most"], rows)


def _starts(starts: Iterable[Start]) -> str:
    rows = []
    for each in starts:
        seconds = [f"{one:.2f} s" for one in (each.cpu, each.alone)]
        slow = each.compiled * startup.MEGABYTES_OF_A_CPU / 512
        ratio = [f"{each.ratio:.2f}", f"{each.compiled:.2f} s", f"{slow:.1f} s"]
        rows.append([f"`{each.name}`", ", ".join(each.clients), *seconds, *ratio])
    return _table(["", "its clients", "CPU", "the clients alone", "ratio", "from the asset", "with 512 MB"], rows)


def _bill(bill: Bill) -> str:
    rows: list[tuple[str, str, cost.Price]] = [
        ("state transitions", str(bill.transitions), cost.TRANSITION),
        ("requests of functions", str(bill.requests), cost.REQUEST),
        ("their GB-seconds", f"{bill.gb_seconds:.1f}", cost.GB_SECOND),
        ("events that notify", str(bill.events), cost.EVENT),
        ("requests to the queue", str(cost.MESSAGE_REQUESTS), cost.MESSAGE_REQUEST),
        ("units read from the table", str(bill.table.read), cost.READ),
        ("units written to it", str(bill.table.written), cost.WRITE),
    ]
    lines = [[what, count, f"${float(count) * price.dollars:.6f}"] for what, count, price in rows]
    total = ["**in all**", f"{bill.seconds:.0f} s, {bill.polls} polls", f"**${bill.dollars:.6f}**"]
    log = ["beside that, its log", f"{bill.history_bytes / 1000:.0f} kB", f"${bill.dollars_of_logs:.6f}"]
    return _table(["", "", "US dollars"], [*lines, total, log])


def _waits(minutes: int) -> str:
    others = {
        "a GitHub Actions runner (Linux, 2 cores)": cost.RUNNER_MINUTE,
        "an action of CodePipeline": cost.PIPELINE_MINUTE,
    }
    return _table(["", "US dollars"], [[name, f"${minutes * price.dollars:.3f}"] for name, price in others.items()])


def _prices() -> str:
    rows = [[each.of, f"${each.dollars:.10f}".rstrip("0"), f"<{each.page}>"] for each in cost.PRICES]
    return _table(["", "US dollars", "page"], rows)
