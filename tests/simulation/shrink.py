"""The smallest set of a failing seed's faults with which it still fails.

Faults are left out in halves, then quarters, and so on to single ones (Zeller and Hildebrandt, "Simplifying and
isolating failure-inducing input", 2002). What is left out changes what comes after it, so each attempt is made with
several orders of events.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.simulation.simulate import Result, simulate

SECONDS = 60.0
_ORDERS = 6  # orders of events tried with each set


def shrink(failed: Result, seconds: float = SECONDS, report: Callable[[str], None] = lambda _: None) -> Result:
    """Return the result of the smallest run found in ``seconds`` that breaks the same rule; or ``failed`` itself."""
    deadline = time.monotonic() + seconds
    best = failed
    parts = 2
    while best.faults and time.monotonic() < deadline:
        kept = [fault.number for fault in best.faults]
        parts = min(parts, len(kept))
        smaller = None
        for part in range(parts):
            without = kept[: part * len(kept) // parts] + kept[(part + 1) * len(kept) // parts :]
            smaller = _fails(failed, frozenset(without), best.vary, deadline)
            if smaller is not None:
                break
        if smaller is not None:
            best, parts = smaller, max(parts - 1, 2)
            report(f"fails with {len(best.faults)} of {len(failed.faults)} faults")
        elif parts == len(kept):
            break
        else:
            parts *= 2
    return best


def _fails(failed: Result, only: frozenset[int], vary: int, deadline: float) -> Result | None:
    assert failed.failure is not None
    for order in (vary, *(n for n in range(_ORDERS) if n != vary)):
        if time.monotonic() > deadline:
            break
        result = simulate(failed.seed, only, order)
        if result.failure is not None and result.failure.rule == failed.failure.rule:
            return result
    return None
