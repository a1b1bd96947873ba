"""What looks as if a rule were broken, and is not: the checks let it pass, and nothing beside it."""

from __future__ import annotations

import pytest

from dkrepl.core.source.write_quorum import WriteQuorum
from dkrepl.io.fuse import WRITE
from tests.simulation.disk import SECTOR
from tests.simulation.story import SEEDS, Story, telling
from tests.simulation.world import RuleBroken

each = pytest.mark.parametrize("seed", SEEDS)
SLOW = 0.2  # seconds on the way


def restart_without_memory(story: Story) -> None:
    """beta is away, and alpha is restarted after all of it was to be copied; the memory of its bitmaps is lost."""
    story.crash("kill", "beta")
    story.run(1.0)
    story.command("alpha", "resync", targets=["beta"], full=True)
    story.crash("kill", "alpha")
    alpha = story.machine("alpha")
    alpha.disk.memory.clear()
    story.cluster.checks.forget_bitmaps(alpha)
    story.cluster.checks.before_crash(alpha, "kill")


@each
def test_a_restart_marks_everything_where_an_administrator_wants_all_of_it_copied(seed: int) -> None:
    with telling(seed, nodes=2, start_alone=1.0) as story:
        story.quiet()
        restart_without_memory(story)
        story.start("alpha")
        story.until(lambda: story.is_source("alpha"), "alpha serves again")
        view = story.source.runtime.source.views["beta"]
        assert view.bitmap.count() == story.cluster.description.blocks


@each
def test_but_not_where_nobody_has_asked_for_that(seed: int) -> None:
    with telling(seed, nodes=2, start_alone=1.0) as story:
        story.quiet()
        restart_without_memory(story)
        story.machine("alpha").known.full_begun.clear()
        story.start("alpha")
        with pytest.raises(RuleBroken, match="R8: beta's block"):
            story.until(lambda: story.is_source("alpha"), "alpha serves again")


def answered_by_a_store_that_failed(story: Story) -> list[int | None]:
    """beta has a write and confirms it; then its store fails the next one. Return how both are answered."""
    story.quiet()
    beta, session = story.machine("beta"), story.source.runtime.source.session
    story.slow(SLOW)
    first = story.ask(WRITE, 0, b"a" * SECTOR)
    story.until(lambda: 0 < first.seq <= beta.reached[session], "beta has it")
    beta.disk_faults["write"] = 1.0
    second = story.ask(WRITE, 0, b"b" * SECTOR)
    story.run(3.0)
    return [first.code, second.code]


@each
def test_a_copy_counts_whose_store_failed_after_its_ack(seed: int) -> None:
    with telling(seed, nodes=2, min_copies=2, on_no_quorum="wait") as story:
        assert answered_by_a_store_that_failed(story) == [0, None]


@each
def test_but_not_for_what_it_has_not_got(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with telling(seed, nodes=2, min_copies=2, on_no_quorum="wait") as story:
        monkeypatch.setattr(WriteQuorum, "changed", lambda quorum: False)  # its source believes that it is still there
        with pytest.raises(RuleBroken, match=r"R4: write .* of 2 copies"):
            answered_by_a_store_that_failed(story)
