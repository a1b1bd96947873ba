"""A failing run is made small, and what is told of it repeats it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.simulation import schedule
from tests.simulation.faults import WEIGHTS
from tests.simulation.report import again, told
from tests.simulation.shrink import shrink
from tests.simulation.simulate import Result, simulate
from tests.simulation.test_mutations import a_failed_flush_is_overlooked

FAULTS = 4


@pytest.fixture(scope="module")
def failed() -> Iterator[Result]:
    """A run of broken code that had several faults before it failed; one of them matters."""
    with pytest.MonkeyPatch.context() as patch:
        a_failed_flush_is_overlooked(patch)
        for seed in range(1, 1000):
            result = simulate(seed)
            if result.failure is not None and result.failure.rule == "R2" and len(result.faults) >= FAULTS:
                break
        else:
            pytest.fail("no seed failed after several faults")
        yield result


@pytest.mark.timeout(300)
def test_faults_that_do_not_matter_are_left_out(failed: Result) -> None:
    smallest = shrink(failed, 200.0)
    assert smallest.failure is not None
    assert smallest.failure.rule == "R2"
    assert len(smallest.faults) < len(failed.faults)
    assert any(fault.kind == "disk fails" for fault in smallest.faults), "what breaks the rule must stay"
    repeated = simulate(smallest.seed, smallest.only, smallest.vary)
    assert repeated.trace == smallest.trace
    assert str(repeated.failure) == str(smallest.failure)


def test_the_report_says_how_to_see_the_run_again(failed: Result) -> None:
    text = "\n".join(told(replace(failed, only=frozenset({12, 3}), vary=2), 10))
    assert f"seed {failed.seed}: R2" in text
    assert f"make simulate SEEDS=1 START={failed.seed} ONLY=3,12 VARY=2" in text
    assert again(failed) == f"make simulate SEEDS=1 START={failed.seed}"


def test_no_time_to_shrink_is_no_failure_to_report(failed: Result) -> None:
    assert shrink(failed, 0.0) is failed


def test_a_seed_has_faults_of_some_kinds_only_and_always_the_same() -> None:
    def kinds(seed: int) -> set[str]:
        return {fault.kind for fault in schedule.draw(random.Random(seed), WEIGHTS, 0.2, 15.0)}

    found = [kinds(seed) for seed in range(40)]
    assert found == [kinds(seed) for seed in range(40)]
    assert set().union(*found) == set(WEIGHTS)
    assert sum(len(some) < len(WEIGHTS) / 2 for some in found) > len(found) / 3
