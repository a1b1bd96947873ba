"""Every rule holds, whatever the seed: clusters under faults, then liveness once the faults have stopped."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from tests.simulation.corpus import CORPUS
from tests.simulation.report import shrunk
from tests.simulation.seeds import cores, results
from tests.simulation.shrink import SECONDS
from tests.simulation.simulate import simulate

SEEDS = 2000


def _hold(seeds: Sequence[int]) -> None:
    """Run ``seeds`` on all cores; the first that fails is told, with what led to it."""
    begun = time.perf_counter()
    failed = None
    with results(seeds, cores()) as found:
        for result in found:
            if result.failure is not None:
                failed = result
                break
    if failed is not None:
        pytest.fail(shrunk(failed, 40, SECONDS), pytrace=False)
    print(f"{len(seeds)} seeds, {len(seeds) / (time.perf_counter() - begun):.1f} seeds/s")


@pytest.mark.timeout(1500)
def test_the_rules_hold() -> None:
    _hold(range(1, SEEDS + 1))


@pytest.mark.timeout(600)
def test_seeds_that_failed_once_hold() -> None:
    _hold(CORPUS)


def test_a_seed_gives_the_same_run_every_time() -> None:
    first, second = simulate(17), simulate(17)
    assert first.trace == second.trace
    assert first.counters == second.counters


@pytest.mark.timeout(600)
def test_faults_do_happen() -> None:
    counters: dict[str, int] = {}
    with results(range(1, 201), cores()) as found:
        for result in found:
            for what, count in result.counters.items():
                counters[what] = counters.get(what, 0) + count
    for what in (
        "killed",
        "power lost",
        "power losses imagined",
        "promote done",
        "switchover done",
        "resolve done",
        "blocks saved aside",
        "no space for a record",
        "frames corrupted",
        "frames repeated",
        "messages dropped at the high-water mark",
        "requests failed",
        "event generation_began",
        "event activity_log_recovered",
        "event bitmap_damaged",
        "event peers_asked",
    ):
        assert counters.get(what), f"no seed has seen: {what}"
