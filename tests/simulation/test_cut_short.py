"""A source dies before it hears that a resync has ended: after a restart that target does not count as a copy (R4)."""

from __future__ import annotations

import pytest

from dkrepl.io.fuse import SYNC
from tests.simulation.story import telling
from tests.simulation.test_mutations import a_resync_that_was_cut_short_counts

SEEDS = (4, 7, 13, 16)  # in which all blocks are durable at beta a moment before alpha hears that beta is in sync
each = pytest.mark.parametrize("seed", SEEDS)


def flush_after_a_resync_that_was_cut_short(seed: int) -> int | None:
    """Return how a flush ends for which alpha alone is there (``min_copies = 2``); None: it waits.

    beta is copied anew, over a slow link. Both daemons are killed when the last block is durable at beta, and before
    alpha hears that beta is in sync. Then alpha is started, and beta is not.
    """
    with telling(seed, nodes=2, min_copies=2, on_no_quorum="wait") as story:
        story.write_a_little()
        story.quiet()
        story.command("alpha", "resync", targets=["beta"], full=True)
        view = story.process("alpha").runtime.source.views["beta"]
        story.until(lambda: view.resync is not None and view.resync.total > 0, "blocks are copied")
        wires = story.cluster.switch.wires("alpha", "beta")
        wires.rate = 500.0
        story.until(lambda: view.state == "Resyncing" and not view.bitmap.any(), "all blocks are copied")
        story.crash("kill", "alpha", "beta")
        wires.rate = 0.0
        story.start("alpha")
        story.until(lambda: bool(story.cluster.sources), "alpha serves")
        story.until(lambda: story.source.runtime.requests.attached, "its device is there")
        asked = story.ask(SYNC)
        story.run(3.0)
        return asked.code


@each
def test_a_flush_waits_for_a_target_that_was_never_seen_in_sync(seed: int) -> None:
    assert flush_after_a_resync_that_was_cut_short(seed) is None


@each
def test_a_source_that_counts_such_a_target_is_noticed(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a_resync_that_was_cut_short_counts(monkeypatch)
    assert flush_after_a_resync_that_was_cut_short(seed) == 0
