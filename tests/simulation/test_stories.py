"""Changes of roles in a calm network: how much is sent again is bounded (R8), and nothing is lost (R7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.simulation.roles import promote
from tests.simulation.settings import EXTENT_BLOCKS, LIMITS
from tests.simulation.story import SEEDS, Story, telling
from tests.simulation.test_mutations import nobody_mints_a_generation
from tests.simulation.world import START, RuleBroken

# A write that was answered is marked for another target until that has flushed it (within 0.5 s), has told the source,
# and the source has told everybody (every 0.25 s); a little for ticks and for the way.
OUTSTANDING = 1.2  # seconds


@pytest.fixture(params=SEEDS)
def story(request: pytest.FixtureRequest) -> Iterator[Story]:
    # A bitmap is cleared at one message, as in the product.
    with telling(request.param, limits=replace(LIMITS, peer_bitmap_pieces=1024)) as told:
        told.run(1.5)
        yield told


def test_survivors_of_a_dead_source_copy_what_was_outstanding(story: Story) -> None:
    died = story.world.now
    story.cluster.machines["alpha"].crash("power")
    story.run(3.0)
    story.command("beta", "promote", fenced=["alpha"])
    story.until(lambda: story.in_sync(but="alpha"), "gamma is in sync with beta")
    outstanding = story.written_since(died - OUTSTANDING)
    assert story.copied("gamma") <= len(outstanding), f"{len(outstanding)} blocks were outstanding"
    story.cluster.machines["alpha"].start()
    story.until(story.in_sync, "alpha is in sync with beta")
    active = {block // EXTENT_BLOCKS for block in story.written_since(START)}
    assert story.copied("alpha") <= len(active) * EXTENT_BLOCKS
    story.equal()


def test_an_old_source_that_was_killed_copies_what_was_outstanding(story: Story) -> None:
    died = story.world.now
    story.cluster.machines["alpha"].crash("kill")
    story.run(3.0)
    story.command("gamma", "promote", fenced=["alpha"])
    story.run(2.0)
    story.cluster.machines["alpha"].start()
    story.until(story.in_sync, "alpha is in sync with gamma")
    assert story.copied("alpha") <= len(story.written_since(died - OUTSTANDING))
    story.equal()


def write_alone_and_return(story: Story) -> None:
    """The source goes on without the others; one of them is promoted all the same, and the old source comes back."""
    for name in ("beta", "gamma"):
        story.command("alpha", "pause", targets=[name])
    story.run(2.0)
    story.cluster.machines["alpha"].crash("kill")
    story.run(3.0)
    promote(story.cluster.machines["beta"], force=True)
    story.until(lambda: story.cluster.source is not None and story.cluster.source.name == "beta", "beta is source")
    story.run(2.0)
    story.cluster.machines["alpha"].start()
    story.run(10.0)


def test_what_a_source_wrote_alone_is_not_lost(story: Story) -> None:
    write_alone_and_return(story)
    alpha = story.cluster.machines["alpha"]
    assert alpha.process is not None
    following = alpha.process.is_target and alpha.process.runtime.target.state == "InSync"
    assert alpha.kept or not following, f"seed {story.world.seed}: what alpha alone had is replaced, and kept nowhere"


def test_a_source_that_begins_no_new_generation_is_caught(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody_mints_a_generation(monkeypatch)
    with pytest.raises(RuleBroken, match="R7"):
        write_alone_and_return(story)


def test_a_switchover_copies_nothing(story: Story) -> None:
    story.cluster.application.running = False
    story.until(lambda: not story.cluster.application.asked, "nothing is asked")
    story.run(2.0)
    story.command("alpha", "switchover", to="beta")
    story.until(lambda: story.cluster.source is not None and story.cluster.source.name == "beta", "beta is source")
    story.until(story.in_sync, "all follow beta")
    assert [story.copied(name) for name in ("alpha", "gamma")] == [0, 0]
    story.equal()
