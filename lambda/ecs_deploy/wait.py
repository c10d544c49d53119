"""How long to wait before the next poll: in proportion to the time that has passed, so that polls stay few.

A rollout that took t seconds is noticed at most about a tenth of t late, whatever t is, and a deployment of a day
asks no more often than the account's quotas and the 25,000 events of an execution's history bear:
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

SHORTEST = 3
LONGEST = 120
_SHARE = 0.1


def next_wait(elapsed: float, left: float) -> int:
    """Whole seconds to wait, `elapsed` seconds after the update and `left` seconds before the deadline."""
    wait = min(max(SHORTEST, elapsed * _SHARE), LONGEST)
    # Never past the deadline: a timed-out deployment is undone when it times out, not a minute later.
    return max(1, round(min(wait, left)))
