"""`make bench`: measures, writes docs/benchmarks.md, and fails where a figure is over its bound."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.bench import cost, peers, push, replay, replayed, report, startup


def main() -> int:
    """Measure everything; answers 1 where something is over its bound."""
    began = time.monotonic()
    # First, while the machine is quiet.
    starts, sizes = startup.measure(), startup.sizes()
    pushes = push.measure()
    say("The starts are measured. Replaying rollouts in virtual time ...")
    rollouts = replay.random_rollouts()
    ours, others = replay.ours(rollouts), [*replay.others(rollouts)]
    in_virtual_time = replayed.measure()
    say("Deploying in real time, which takes eleven minutes ...")
    with ThreadPoolExecutor(1) as pool:
        is_up = threading.Event()
        bill = pool.submit(cost.measure, is_up)
        is_up.wait()
        measured = peers.measure(say)
    results = report.Results(
        starts=starts,
        sizes=sizes,
        pushes=pushes,
        calls=replayed.count_calls(),
        measured=measured,
        replayed=in_virtual_time,
        bill=bill.result(),
        ours=ours,
        peers=replay.peers(rollouts),
        others=others,
        minutes=(time.monotonic() - began) / 60,
    )
    report.write(results)
    say(report.PAGE.read_text())
    over = results.over()
    for each in over:
        say(f"over its bound: {each}")
    return int(bool(over))


def say(text: str) -> None:
    """Print what is known so far."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
