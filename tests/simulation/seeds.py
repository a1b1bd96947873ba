"""Many seeds at once, on as many cores as wanted: their results in order."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.simulate import Result, simulate

_CHUNK = 4  # seeds that a process takes at a time


def cores() -> int:
    """Cores that this process may use: sched_getaffinity(2)."""
    return len(os.sched_getaffinity(0))


@contextlib.contextmanager
def results(seeds: Sequence[int], jobs: int, one: Callable[[int], Result] = simulate) -> Iterator[Iterator[Result]]:
    """Run ``one`` for each seed in ``jobs`` processes; what is not wanted any more at the end is not begun."""
    if jobs <= 1:
        yield map(one, seeds)
        return
    # Not multiprocessing.Pool, which waits for ever for a worker that was killed; this one raises.
    pool = ProcessPoolExecutor(jobs)
    try:
        yield pool.map(one, seeds, chunksize=_CHUNK)
    finally:
        pool.shutdown(cancel_futures=True)
