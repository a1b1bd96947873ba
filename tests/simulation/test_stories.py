"""Changes of roles in a calm network: how much is sent again is bounded (R8), and nothing is lost (R7)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from dkrepl.core.errors import DkreplError
from tests.simulation import cluster as cluster_module
from tests.simulation import settings
from tests.simulation.cluster import Cluster
from tests.simulation.commands import give
from tests.simulation.patches import simulated
from tests.simulation.roles import promote
from tests.simulation.settings import EXTENT_BLOCKS, Settings
from tests.simulation.test_mutations import nobody_mints_a_generation
from tests.simulation.world import START, RuleBroken

SEEDS = range(1, 9)
# A write is marked for another target until that has flushed it (within 0.5 s), has told the source, and the source has
# told everybody (every 0.25 s); a little for ticks and for the way.
OUTSTANDING = 1.2  # seconds


def _calm(rng: random.Random) -> Settings:
    drawn = settings.draw(rng)
    while len(drawn.description.nodes) != 3:
        drawn = settings.draw(rng)
    nodes = tuple(
        msgspec.structs.replace(node, mode="sync", on_full="block", async_limit=16) for node in drawn.description.nodes
    )
    description = msgspec.structs.replace(drawn.description, nodes=nodes, resync_rate=0, start_alone=None)
    return replace(drawn, description=description, hwm=200, cold=0.0, depth=2, pace=0.02, kept=False, never_waits=False)


class Story:
    """A cluster of alpha (source), beta and gamma, all in sync."""

    def __init__(self, seed: int) -> None:
        self.cluster = Cluster(seed)
        self.world = self.cluster.world

    def begin(self) -> None:
        """Let them come in sync, and write for a while."""
        self.cluster.start()
        self.until(self.in_sync, "all are in sync")
        self.run(3.0)

    def run(self, seconds: float) -> None:
        self.world.run_until(self.world.now + seconds)

    def until(self, done: Callable[[], bool], what: str) -> None:
        assert self.world.run_until(self.world.now + 30.0, done), f"seed {self.world.seed}: never: {what}"

    def in_sync(self, but: str = "") -> bool:
        source = self.cluster.source
        if source is None or len(self.cluster.sources) != 1:
            return False
        return all(view.state == "InSync" for view in source.runtime.source.views.values() if view.name != but)

    def command(self, node: str, what: str, **arguments: Any) -> None:
        """Give a command, which must not be refused."""
        answers: list[Any] = []
        process = self.cluster.machines[node].process
        assert process is not None
        give(process, what, arguments, answers.append)
        self.until(lambda: bool(answers), f"an answer to {what}")
        assert not isinstance(answers[0], DkreplError), f"seed {self.world.seed}: {what}: {answers[0]}"

    def copied(self, target: str) -> int:
        """Blocks that the source's last resync of a target had to copy."""
        source = self.cluster.source
        assert source is not None
        last = source.runtime.source.views[target].last_resync
        return int(last["copied_bytes"]) // self.cluster.description.block

    def written_since(self, moment: float) -> set[int]:
        """Blocks that any source has written since then."""
        return {block for at, block in self.cluster.application.touched if at >= moment}

    def equal(self) -> None:
        """Nothing asks any more, and the copies are the same."""
        self.cluster.application.running = False
        self.until(lambda: not self.cluster.application.asked and self.in_sync(), "all are quiet and in sync")
        self.run(2.0)
        stores = {bytes(machine.disk.store.cache) for machine in self.cluster.machines.values()}
        assert len(stores) == 1, f"seed {self.world.seed}: the copies differ"


@pytest.fixture(params=SEEDS)
def story(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    monkeypatch.setattr(cluster_module, "draw", _calm)
    told = Story(request.param)
    with simulated(told.cluster):
        told.begin()
        yield told
        told.cluster.end()


def test_survivors_of_a_dead_source_copy_what_was_outstanding(story: Story) -> None:
    died = story.world.now
    story.cluster.machines["alpha"].crash("power")
    story.run(3.0)
    story.command("beta", "promote")
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
    story.command("gamma", "promote")
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


def test_a_source_that_mints_no_generation_is_caught(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
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
