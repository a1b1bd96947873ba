"""Every rule holds, whatever the seed: clusters under faults, then liveness once the faults have stopped."""

from __future__ import annotations

import pytest

from tests.simulation.corpus import CORPUS
from tests.simulation.simulate import Result, simulate

SEEDS = 500
PART = 25


def _hold(seeds: range | tuple[int, ...]) -> None:
    failed: list[Result] = [result for result in map(simulate, seeds) if result.failure is not None]
    report = "\n".join(
        f"seed {result.seed}: {result.failure}\n"
        + "\n".join(f"    {line}" for line in result.trace[-30:])
        + f"\n  again: make simulate SEEDS=1 START={result.seed}"
        for result in failed[:2]
    )
    assert not failed, f"{len(failed)} of {len(seeds)} seeds failed\n{report}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(1, SEEDS + 1, PART))
def test_the_rules_hold(first: int) -> None:
    _hold(range(first, first + PART))


@pytest.mark.timeout(600)
def test_seeds_that_failed_once_hold() -> None:
    _hold(CORPUS)


def test_a_seed_gives_the_same_run_every_time() -> None:
    first, second = simulate(17), simulate(17)
    assert first.trace == second.trace
    assert first.counters == second.counters


def test_faults_do_happen() -> None:
    counters: dict[str, int] = {}
    for seed in range(1, 40):
        for what, count in simulate(seed).counters.items():
            counters[what] = counters.get(what, 0) + count
    for what in (
        "killed",
        "power lost",
        "power losses imagined",
        "promotions",
        "frames corrupted",
        "frames repeated",
        "messages dropped at the high-water mark",
        "requests failed",
        "event generation_minted",
        "event intent_log_recovered",
        "event bitmap_damaged",
    ):
        assert counters.get(what), f"no seed has seen: {what}"
