"""Stories of what happens between the parts: promotions, restarts and descriptions that change. "Safe" must be safe.

Each says what is right, and holds for several orders of events.
"""

from __future__ import annotations

import pytest

from dkrepl.errors import DkreplError
from dkrepl.io.fuse import SYNC, WRITE
from tests.simulation.disk import SECTOR
from tests.simulation.settings import PEER_TIMEOUT
from tests.simulation.story import SEEDS, Story, telling

each = pytest.mark.parametrize("seed", SEEDS)
ALL = ("alpha", "beta", "gamma")
HEARTBEAT = PEER_TIMEOUT / 5


def not_silently(story: Story, name: str) -> None:
    """A node that lacks what was answered is not called safe to promote."""
    assert story.missing(name), f"seed {story.world.seed}: the story went another way: {name} has everything"
    assert not story.safe(name), f"seed {story.world.seed}: {name} lacks {story.missing(name)[:3]}"


def all_come_back(story: Story, source: str) -> None:
    """Every machine is up and reachable: in the end all copies have everything that was answered."""
    story.start(*story.cluster.machines)
    story.until(lambda: story.is_source(source) and story.in_sync(), f"all are in sync with {source}")
    story.quiet()  # a discard on its way is in none of the copies, or in some
    for name in story.cluster.machines:
        assert not story.missing(name), f"seed {story.world.seed}: {name} lacks {story.missing(name)[:3]}"


# --- R11: what a promotion may call safe -------------------------------------------------------------


@each
def test_a_promotion_without_the_word_of_a_peer_that_may_know_more_is_not_safe(seed: int) -> None:
    with telling(seed) as story:
        story.cut("gamma", "alpha", "beta")
        story.run(8.0)  # alpha and beta go on
        story.quiet()  # a discard that its source dies in may be done, or not
        story.crash("power", "alpha")
        story.run(4.0)
        not_silently(story, "gamma")
        story.join("gamma", "alpha", "beta")
        all_come_back(story, "alpha")


@each
def test_what_a_successor_answers_alone_is_not_forgotten_with_its_power(seed: int) -> None:
    with telling(seed, kept=True) as story:
        story.quiet()
        story.restart("alpha")
        story.until(lambda: story.is_source("alpha"), "alpha serves again")
        story.write_a_little()  # answered before beta and gamma are back, or only with them
        story.crash("power", "alpha")
        story.run(2 * PEER_TIMEOUT)
        for name in ("beta", "gamma"):
            assert not story.missing(name) or not story.safe(name)
        all_come_back(story, "alpha")


@each
@pytest.mark.parametrize("peers", ["slow", "away"])
def test_a_source_that_was_stopped_does_not_serve_before_its_peers_have_answered(seed: int, peers: str) -> None:
    with telling(seed) as story:  # start_alone is "never"
        story.quiet()
        story.stop("alpha")
        story.run(2 * PEER_TIMEOUT)
        story.promote("beta", force=True)
        story.write_a_little()
        if peers == "slow":
            story.slow(0.6)  # a question and its answer take longer than a quick look
        else:
            story.cut("alpha", "beta", "gamma")
        story.start("alpha")  # in the same boot of its kernel
        served = story.world.run_until(story.world.now + 8.0, lambda: story.is_source("alpha"))
        assert not served, f"seed {seed}: alpha serves what it had, and beta is source"
        story.slow(0.0)
        story.join("alpha", "beta", "gamma")
        all_come_back(story, "beta")


@each
def test_no_other_node_is_promoted_while_a_source_hands_over(seed: int) -> None:
    with telling(seed, nodes=4) as story:
        story.quiet()
        story.command("alpha", "switchover", to="delta")
        story.until(lambda: story.is_source("delta") and story.in_sync(), "all follow delta")
        story.command("delta", "switchover", to="gamma")
        story.until(lambda: not story.is_source("delta"), "delta is source no more")
        story.cut("gamma", "delta")  # so gamma does not learn yet that it is to be source
        story.run(1.0)
        looked = story.command("alpha", "promote", dry_run=True)
        assert not story.cluster.sources, f"seed {seed}: the story went another way: gamma has taken over"
        assert "HandingOver" in looked["codes"], f"seed {seed}: {looked['codes']}"
        assert not looked["safe"], f"seed {seed}: gamma may be source at any moment"
        assert isinstance(story.ask_for("alpha", "promote"), DkreplError), f"seed {seed}: alpha is promoted"
        story.join("gamma", "delta")
        all_come_back(story, "gamma")


# --- R14: descriptions that differ for a while -------------------------------------------------------


@each
def test_no_unsafe_promotion_looks_safe_while_only_the_source_knows_that_a_node_was_removed(seed: int) -> None:
    with telling(seed, nodes=4) as story:
        story.crash("kill", "beta")
        without_beta = story.nodes("alpha", "gamma", "delta")
        story.describe(without_beta, *ALL, "delta")
        story.restart("alpha")  # gamma and delta go on with the description that they have read
        story.run(6.0)
        story.cut("gamma", "alpha", "delta")
        story.run(8.0)
        story.quiet()
        story.flush()
        story.crash("power", "alpha")
        story.restart("delta")
        story.join("gamma", "delta")
        story.run(4.0)
        not_silently(story, "gamma")
        story.join("gamma", "alpha")
        story.restart("gamma")
        story.start("alpha")
        story.until(lambda: story.is_source("alpha") and story.in_sync(), "gamma and delta are in sync with alpha")
        for name in ("alpha", "gamma", "delta"):
            assert not story.missing(name)


@each
def test_no_unsafe_promotion_looks_safe_where_a_description_has_the_nodes_in_another_order(seed: int) -> None:
    with telling(seed, nodes=4) as story:
        story.describe(story.nodes("alpha", "beta", "delta", "gamma"), "beta")
        story.restart("beta")
        story.run(6.0)
        story.cut("delta", *ALL)
        story.run(8.0)
        story.quiet()
        story.flush()
        story.crash("power", "alpha", "gamma")  # beta has everything that was answered
        story.restart("beta")
        story.join("delta", *ALL)
        story.run(4.0)
        not_silently(story, "delta")
        story.describe(story.cluster.description, "beta")
        story.restart("beta")
        all_come_back(story, "alpha")


@each
def test_what_an_old_source_alone_has_is_saved_aside_whatever_its_description_says_now(seed: int) -> None:
    with telling(seed, modes={"beta": "async"}, depth=4, pace=0.01) as story:
        story.crash("kill", "gamma")
        story.run(2 * PEER_TIMEOUT)  # only beta is left, which is asynchronous
        story.quiet()
        story.cluster.switch.wires("alpha", "beta").cut.add(("alpha", "beta"))
        story.write_a_little()  # answered by alpha, and on its way to beta
        story.crash("kill", "alpha")
        story.run(2 * PEER_TIMEOUT)
        story.join("alpha", "beta")
        alone = story.cluster.answers.missing(story.store("beta"))
        assert alone, f"seed {seed}: the story went another way: beta has everything"
        story.promote("beta", force=True)
        story.write_a_little(b"B", 1)
        story.describe(story.modes(beta="sync"), *ALL)  # it is the main node now
        story.crash("kill", "beta")
        story.start(*ALL)
        story.until(lambda: story.is_source("beta") and story.follows("alpha"), "alpha follows beta")
        per = story.cluster.description.block // SECTOR
        aside = story.machine("alpha").kept.get("beta", {})
        for promise in alone:
            at = promise.sector % per * SECTOR
            block = aside.get(promise.sector // per, b"")
            kept = promise.kept_in(story.store("alpha")) or block[at : at + SECTOR] in promise.fits
            assert kept, f"seed {seed}: {promise} is replaced, and kept nowhere"


# --- R15: verdicts outlive the daemon ----------------------------------------------------------------


@each
def test_a_failed_flush_is_not_forgotten_by_a_restart(seed: int) -> None:
    with telling(seed, kept=True) as story:
        story.quiet()
        story.run(3.0)  # until no extent is active any more: to retire one, the store is flushed
        data = b"".join(b"better copies %02d" % number for number in range(16))
        alpha = story.machine("alpha")
        assert story.write(0, data).code == 0
        alpha.disk_faults["sync"] = 1.0
        story.run(1.5)  # the targets flush by themselves
        assert story.flush().code != 0
        story.run(1.0)
        assert story.store("alpha")[: len(data)] != data, "the story went another way: alpha has lost nothing"
        story.crash("kill", "alpha")
        alpha.disk_faults.clear()
        story.run(0.2)
        story.start("alpha")
        story.run(10.0)
        for name in ("beta", "gamma"):
            assert story.store(name)[: len(data)] == data, f"seed {seed}: {name}'s better copy is overwritten"


@each
def test_what_a_promotion_by_force_overruled_is_recorded_before_a_former_source_serves(seed: int) -> None:
    with telling(seed) as story:  # start_alone is "never"
        story.quiet()
        story.stop("alpha")
        story.cut("alpha", "beta", "gamma")
        story.start("alpha")
        story.run(3.0)
        assert not story.safe("alpha")
        story.promote("alpha", force=True)
        assert "NoQuorum" in story.machine("alpha").disk.durable_metadata().forced
        story.restart("alpha")
        story.join("alpha", "beta", "gamma")
        story.until(lambda: story.is_source("alpha"), "alpha serves again")
        assert "NoQuorum" in story.source.runtime.source.metadata.forced, f"seed {seed}: a restart forgets it"


@pytest.mark.parametrize("seed", range(1, 33))  # a power loss may leave what was never flushed
def test_a_full_resync_that_was_asked_for_is_remembered(seed: int) -> None:
    with telling(seed) as story:
        story.quiet()
        story.command("alpha", "pause", targets=["gamma"])
        story.run(1.0)
        story.command("alpha", "resync", targets=["gamma"], full=True)
        story.crash("power", "alpha")
        story.run(0.5)
        story.start("alpha")
        story.until(lambda: story.is_source("alpha"), "alpha serves again")
        bitmap = story.source.runtime.source.views["gamma"].bitmap
        assert bitmap.count() == bitmap.blocks, f"seed {seed}: {bitmap.count()} of {bitmap.blocks} are to be copied"


# --- R4, R10: what was answered, and what is confirmed -----------------------------------------------


@each
def test_a_flush_that_waits_over_a_takeover_is_not_answered_by_the_source_alone(seed: int) -> None:
    with telling(seed, kept=True, min_copies=2) as story:
        story.quiet()
        assert story.write(SECTOR, b"0" * SECTOR).code == 0
        story.run(0.1)
        assert story.write(0, b"A" * SECTOR).code == 0
        flush = story.ask(SYNC)
        story.crash("kill", "alpha")
        story.run(0.05)
        story.start("alpha")
        story.until(lambda: flush.code is not None, "the flush is answered")
        having = [name for name in ALL if story.machine(name).disk.store.durable[:SECTOR] == b"A" * SECTOR]
        assert flush.code != 0 or len(having) >= 2, f"seed {seed}: answered, and durable on {having}"


@each
def test_an_ack_that_was_lost_in_a_reconnection_is_repeated(seed: int) -> None:
    with telling(seed) as story:
        story.quiet()
        write = story.ask(WRITE, 0, b"A" * SECTOR)
        story.reconnect("beta", 0.7)  # longer than until beta has flushed, and confirmed that
        story.run(0.7 + 3 * HEARTBEAT)
        assert write.code == 0, f"seed {seed}: nobody has confirmed the write"
        view = story.source.runtime.source.views["beta"]
        assert view.state == "InSync"
        assert view.durable == story.source.runtime.source.stream.log.seq
