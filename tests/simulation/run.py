"""Runs seeds: ``python -m tests.simulation.run --seeds 1000 --start 1 [--jobs 2]``."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.simulation.seeds import cores, results
from tests.simulation.simulate import Result

_TAIL = 60  # lines of the trace shown


def main() -> int:
    """Run; returns 1 if a seed failed."""
    parser = argparse.ArgumentParser(description="Simulate whole clusters, one for each seed.")
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--start", type=int, default=1, help="the first")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes; by default one for each core")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failure")
    parser.add_argument("--trace", type=int, default=_TAIL, help="lines of the trace shown")
    options = parser.parse_args()
    seeds = range(options.start, options.start + options.seeds)
    begun = time.perf_counter()
    counters: Counter[str] = Counter()
    done = failed = events = 0
    with results(seeds, options.jobs) as found:
        for result in found:
            done += 1
            events += result.events
            counters.update(result.counters)
            if result.failure is not None:
                failed += 1
                _show(result, 0 if options.keep_going and failed > 1 else options.trace)
                if not options.keep_going:
                    break
    took = time.perf_counter() - begun
    speed = f"{done / took:.1f} seeds/s, {events / done:.0f} events a seed"
    print(f"{done} seeds from {options.start}, {failed} failed; {speed}")
    shown = [f"{count} {what}" for what, count in sorted(counters.items()) if not what.startswith("event ")]
    print("  " + ", ".join(shown))
    return 1 if failed else 0


def _show(result: Result, lines: int) -> None:
    assert result.failure is not None
    print(f"seed {result.seed}: {result.failure}")
    for line in result.trace[-lines:] if lines else ():
        print("    " + line)
    print(f"  again: make simulate SEEDS=1 START={result.seed}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
