"""Runs seeds: ``python -m tests.simulation.run --seeds 1000 --start 1 [--jobs 2]``."""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections import Counter

from tests.simulation.report import shrunk, told
from tests.simulation.seeds import cores, results
from tests.simulation.shrink import SECONDS
from tests.simulation.simulate import Result, simulate

_TAIL = 60  # lines of the trace shown


def main() -> int:
    """Run; returns 1 if a seed failed."""
    parser = argparse.ArgumentParser(description="Simulate whole clusters, one for each seed.")
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--start", type=int, default=1, help="the first")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes; by default one for each core")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failure")
    parser.add_argument("--trace", type=int, default=_TAIL, help="lines of the trace shown")
    parser.add_argument("--only", default="", help="the numbers of the faults that strike, with commas between")
    parser.add_argument("--vary", type=int, default=0, help="another order of events")
    parser.add_argument(
        "--shrink", type=float, default=SECONDS, help="seconds that may be used to make a failure small"
    )
    options = parser.parse_args()
    only = frozenset(map(int, options.only.split(","))) if options.only else None
    seeds = range(options.start, options.start + options.seeds)
    begun = time.perf_counter()
    counters: Counter[str] = Counter()
    done = failed = events = 0
    with results(seeds, options.jobs, functools.partial(simulate, only=only, vary=options.vary)) as found:
        for result in found:
            done += 1
            events += result.events
            counters.update(result.counters)
            if result.failure is not None:
                failed += 1
                if not options.keep_going:
                    break
                print("\n".join(told(result, 0)), flush=True)
    took = time.perf_counter() - begun
    if failed and not options.keep_going:
        _show(result, options.trace, 0.0 if only is not None else options.shrink)
    speed = f"{done / took:.1f} seeds/s, {events / done:.0f} events a seed"
    print(f"{done} seeds from {options.start}, {failed} failed; {speed}")
    shown = [f"{count} {what}" for what, count in sorted(counters.items()) if not what.startswith("event ")]
    print("  " + ", ".join(shown))
    return 1 if failed else 0


def _show(result: Result, lines: int, seconds: float) -> None:
    if result.faults and seconds:
        print(
            f"seed {result.seed} failed: {result.failure}\n  looking for fewer of its faults, {seconds:g} s", flush=True
        )
    print(shrunk(result, lines, seconds, lambda text: print(f"  {text}", flush=True)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
