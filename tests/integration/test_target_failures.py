"""A target dies, stands still or falls behind: the application goes on, and it comes back by a bounded resync."""

from __future__ import annotations

import pytest

from tests.integration.harness.applications import Fio, run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.writer import Writer

pytestmark = pytest.mark.root

BLOCK = 64 << 10


def _prefill(cluster: Cluster) -> None:
    """Write the whole device, so that copying more than needed would show."""
    run("fio", "--name=fill", f"--filename={cluster.device}", "--rw=write", "--bs=1m", "--direct=1")
    cluster.settle()


@pytest.mark.parametrize("name", ["beta", "gamma"])
def test_a_target_killed_under_load_comes_back_by_a_bounded_resync(shared: Cluster, name: str) -> None:
    _prefill(shared)
    target = shared.nodes[name]
    writer = Writer(shared.device, 16 * MIB, 24 * MIB)
    writer.wait_for_more(100)
    target.kill()
    shared.wait_state(name, "Disconnected")
    writer.wait_for_more(50)
    writer.stop()
    assert writer.error is None
    dirty, resent = (shared.seen(name)[key] for key in ("dirty_blocks", "resent_bytes"))
    touched = writer.blocks(BLOCK)
    assert 0 < dirty <= len(touched)

    target.start()
    shared.settle()
    seen = shared.seen(name)
    assert seen["last_resync"]["kind"] == "partial"
    assert 0 < seen["resent_bytes"] - resent <= dirty * BLOCK
    shared.assert_equal()
    writer.assert_all_in(target.store)


def test_a_target_killed_and_restarted_under_load_ends_equal(shared: Cluster) -> None:
    fio = Fio(shared.device, "--bsrange=4k-64k", "--size=48m", "--rate=6m", "--fsync=32")
    try:
        for name in ("beta", "gamma", "beta"):
            shared.nodes[name].kill()
            shared.wait_state(name, "Disconnected")
            shared.nodes[name].start()
            shared.wait_in_sync(name)
        fio.finish()
    finally:
        fio.end()
    shared.settle()
    shared.assert_equal()


def test_a_sync_target_that_stands_still_holds_writes_until_its_timeout_and_no_longer(shared: Cluster) -> None:
    _prefill(shared)
    beta = shared.nodes["beta"]
    resent = shared.seen("beta")["resent_bytes"]
    writer = Writer(shared.device, 0, 8 * MIB)
    writer.wait_for_more(50)
    beta.freeze()
    seen = shared.wait_state("beta", "Disconnected", "Behind")
    assert seen["dirty_blocks"] > 0
    writer.wait_for_more(50)
    beta.thaw()
    shared.wait_in_sync("beta")
    writer.stop()
    assert writer.error is None
    shared.settle()
    shared.assert_equal()
    assert shared.seen("beta")["resent_bytes"] - resent <= len(writer.blocks(BLOCK)) * BLOCK
    writer.assert_all_in(beta.store)


def test_an_async_target_under_on_full_bitmap_never_holds_a_write(clusters: Clusters) -> None:
    cluster = clusters.make(
        targets=[("gamma", "async")], on_full="bitmap", async_limit=64, peer_timeout="60s", window="4MiB"
    )
    gamma = cluster.nodes["gamma"]
    gamma.freeze()
    # The timeout of 60 s cannot have passed when these are answered: only the full window can have ended the waiting.
    run("fio", "--name=fill", f"--filename={cluster.device}", "--rw=write", "--bs=64k", "--direct=1", seconds=40)
    seen = cluster.seen("gamma")
    assert seen["state"] == "Behind"
    assert seen["dirty_blocks"] > 0
    gamma.thaw()
    cluster.settle()
    assert cluster.seen("gamma")["resent_bytes"] > 0
    cluster.assert_equal()


def test_an_async_target_under_on_full_block_holds_writes_at_its_limit(clusters: Clusters) -> None:
    cluster = clusters.make(targets=[("gamma", "async")], on_full="block", async_limit=32, peer_timeout="4s")
    gamma = cluster.nodes["gamma"]
    gamma.freeze()
    writer = Writer(cluster.device, 0, 16 * MIB, threads=1, pages=(1,))
    seen = cluster.wait_target("gamma", lambda one: one["window"]["writes"] > 32, "has a full window")
    assert seen["state"] == "InSync"
    assert seen["window"]["writes"] <= 33, "one write waits, and no other was answered"
    assert writer.count <= 32
    gamma.thaw()
    writer.wait_for_more(200)
    writer.stop()
    cluster.settle()
    assert cluster.seen("gamma")["resent_bytes"] == 0, "it never left the stream"
    cluster.assert_equal()
    writer.assert_all_in(gamma.store)


def _gamma_comes_back_to_a_full_device(clusters: Clusters, resync_rate: str) -> Cluster:
    """Return a mirror whose target begins a resync of everything."""
    cluster = clusters.make(targets=[("gamma", "async")], resync_rate=resync_rate)
    cluster.nodes["gamma"].kill()
    cluster.wait_state("gamma", "Disconnected")
    run("fio", "--name=fill", f"--filename={cluster.device}", "--rw=write", "--bs=1m", "--direct=1")
    cluster.nodes["gamma"].start()
    return cluster


def test_a_target_killed_in_the_middle_of_a_resync_continues_it(clusters: Clusters) -> None:
    cluster = _gamma_comes_back_to_a_full_device(clusters, "16MiB/s")
    gamma = cluster.nodes["gamma"]
    half = 32 * MIB
    cluster.wait_target("gamma", lambda one: one["resync"] and one["resync"]["done_bytes"] > half, "is half copied")
    gamma.kill()
    dirty = cluster.wait_state("gamma", "Disconnected")["dirty_blocks"]
    resent = cluster.seen("gamma")["resent_bytes"]
    assert dirty * BLOCK <= 32 * MIB, "what was confirmed is not copied again"
    assert gamma.metadata().store_state == "Inconsistent"
    gamma.start()
    cluster.settle()
    assert cluster.seen("gamma")["resent_bytes"] - resent <= dirty * BLOCK
    assert gamma.metadata().store_state == "Consistent"
    cluster.assert_equal()


def test_progress_of_a_resync_stays_within_its_bounds(clusters: Clusters) -> None:
    cluster = _gamma_comes_back_to_a_full_device(clusters, "24MiB/s")
    percents: list[float] = []

    def note(one: dict[str, object]) -> bool:
        resync = one["resync"]
        if isinstance(resync, dict):
            percents.append(resync["percent"])
            assert resync["eta_seconds"] is None or resync["eta_seconds"] >= 0
            assert 0 <= resync["done_bytes"] <= resync["total_bytes"]
        return one["state"] == "InSync"

    writer = Writer(cluster.device, 0, 4 * MIB, threads=1)
    cluster.wait_target("gamma", note, "is in sync")
    writer.stop()
    assert len(percents) > 5
    assert percents == sorted(percents)
    assert 0 <= percents[0] <= percents[-1] <= 100
    cluster.settle()
    cluster.assert_equal()
