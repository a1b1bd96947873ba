"""The source dies; when it returns only what its intent log names is sent again, and nothing acknowledged is lost."""

from __future__ import annotations

import signal
from pathlib import Path

import msgspec
import pytest

from dkrepl.core.intent import activity_record
from dkrepl.io.block import loop
from tests.integration.harness.applications import run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.node import Node
from tests.integration.harness.writer import Writer

pytestmark = pytest.mark.root

BLOCK = 64 << 10


def _lose_power(source: Node) -> None:
    """Make it as if the kernel had been booted since, and no bit of an active extent had reached the disk."""
    source.set_metadata(msgspec.structs.replace(source.metadata(), boot="another boot of the kernel"))
    intent = source.state_dir / "intent"
    width = 4 * MIB // BLOCK // 8  # bytes of the bitmap that an extent has
    for path in intent.glob("*.bitmap"):
        content = bytearray(path.read_bytes())
        for extent in activity_record.parse((intent / "active").read_bytes()).extents:
            content[4096 + extent * width : 4096 + (extent + 1) * width] = bytes(width)
        path.write_bytes(content)


def _crash_under_load(cluster: Cluster, flush_every: int = 25) -> Writer:
    """Fill the device, settle, write to 8 MiB of it, and kill the source in the middle of that."""
    run("fio", "--name=fill", f"--filename={cluster.device}", "--rw=write", "--bs=1m", "--direct=1")
    cluster.settle()
    writer = Writer(cluster.device, 16 * MIB, 24 * MIB, flush_every=flush_every)
    writer.wait_for_more(200)
    cluster.source.kill()
    writer.join()
    assert writer.error is not None, "the application must be told"
    return writer


@pytest.mark.parametrize("flush_every", [0, 5])
def test_a_source_killed_under_load_sends_again_only_what_its_intent_log_names(
    shared: Cluster, flush_every: int
) -> None:
    writer = _crash_under_load(shared, flush_every=flush_every)
    # R4: the sync target has every acknowledged write, though the source is gone.
    writer.assert_all_in(shared.nodes["beta"].store)

    shared.source.start()
    shared.settle()
    dirty = shared.source.logged("activity_log_recovered")[-1]["dirty_blocks"]
    touched = writer.blocks(BLOCK)
    for name in ("beta", "gamma"):
        seen = shared.seen(name)
        assert dirty[name] <= len(touched)
        assert seen["resent_bytes"] <= dirty[name] * BLOCK
    assert not shared.source.logged("bitmap_damaged")
    shared.assert_equal()
    for node in shared.nodes.values():
        writer.assert_all_in(node.store)
    writer.assert_all_in(shared.device)


def test_a_source_killed_again_and_again_ends_equal(shared: Cluster) -> None:
    for seed in range(1, 5):
        writer = Writer(shared.device, 0, 32 * MIB, seed=seed)
        writer.wait_for_more(50)
        shared.source.kill()
        writer.join()
        shared.source.start()
        writer.assert_all_in(shared.device)
        if seed % 2:
            shared.wait_in_sync()
    shared.settle()
    shared.assert_equal()


def test_after_a_power_loss_of_the_source_only_active_extents_are_sent_again(shared: Cluster) -> None:
    writer = _crash_under_load(shared)
    _lose_power(shared.source)

    shared.source.start()
    shared.settle()
    event = shared.source.logged("activity_log_recovered")[-1]
    extent = 4 * MIB
    assert event["power_lost"] is True
    touched = writer.blocks(extent)
    # The prefill's extents are active still, for they age out lazily; nothing beyond them is.
    assert len(touched) <= event["active_extents"] <= shared.size // extent
    for name in ("beta", "gamma"):
        seen = shared.seen(name)
        assert seen["last_resync"]["kind"] in ("partial", "full")
        assert 0 < seen["resent_bytes"] <= event["active_extents"] * extent
    shared.assert_equal()
    writer.assert_all_in(shared.device)


def test_idle_extents_are_not_sent_again_after_a_power_loss(clusters: Clusters) -> None:
    cluster = clusters.make(targets=[("beta", "sync")])
    run("fio", "--name=fill", f"--filename={cluster.device}", "--rw=write", "--bs=1m", "--direct=1")
    cluster.settle()
    assert cluster.source.stop() == 0  # a clean stop leaves no extent active
    cluster.source.start()
    cluster.settle()
    writer = Writer(cluster.device, 16 * MIB, 18 * MIB)
    writer.wait_for_more(50)
    cluster.source.kill()
    writer.join()
    _lose_power(cluster.source)
    cluster.source.start()
    cluster.settle()
    event = cluster.source.logged("activity_log_recovered")[-1]
    assert 1 <= event["active_extents"] <= 1 + 4, "one was written, four at most are made active ahead"
    assert cluster.seen("beta")["resent_bytes"] <= event["active_extents"] * 4 * MIB
    assert cluster.seen("beta")["last_resync"]["kind"] == "partial"
    cluster.assert_equal()


def test_a_source_killed_while_idle_sends_nothing_again(shared: Cluster) -> None:
    run("fio", "--name=fill", f"--filename={shared.device}", "--rw=write", "--bs=1m", "--size=8m", "--direct=1")
    shared.settle()
    shared.source.kill()
    shared.source.start()
    shared.settle()
    assert [shared.seen(name)["resent_bytes"] for name in ("beta", "gamma")] == [0, 0]
    shared.assert_equal()


def test_all_nodes_killed_at_once_return_equal(shared: Cluster) -> None:
    writer = Writer(shared.device, 0, 16 * MIB)
    writer.wait_for_more(100)
    for node in shared.nodes.values():
        node.signal(signal.SIGKILL)
    for node in shared.nodes.values():
        node.kill()
    writer.join()
    for node in shared.nodes.values():
        node.start(ready=False)
    shared.settle()
    shared.assert_equal()
    for node in shared.nodes.values():
        writer.assert_all_in(node.store)


def test_a_source_killed_while_a_target_is_away_still_knows_what_that_target_lacks(shared: Cluster) -> None:
    gamma = shared.nodes["gamma"]
    gamma.kill()
    shared.wait_state("gamma", "Disconnected")
    writer = Writer(shared.device, 8 * MIB, 12 * MIB)
    writer.wait_for_more(100)
    shared.source.kill()
    writer.join()
    shared.source.start(ready=False)
    alone = "waiting for gamma,"
    shared.source.wait_until(lambda status: status and alone in status.get("reason", ""), "it waits for gamma alone")
    shared.source.promote()
    shared.settle("beta")
    assert shared.seen("gamma")["dirty_blocks"] > 0
    gamma.start()
    shared.settle()
    seen = shared.seen("gamma")
    assert seen["last_resync"]["kind"] == "partial"
    assert seen["resent_bytes"] <= len(writer.blocks(BLOCK)) * BLOCK
    shared.assert_equal()
    writer.assert_all_in(gamma.store)


def test_a_killed_source_leaves_nothing_behind_when_it_returns(shared: Cluster) -> None:
    mountpoint = shared.source.paths.mountpoint("r0")
    for _ in range(2):
        shared.source.kill()
        shared.source.start()
        assert len(loop.find(mountpoint)) == 1
        assert Path("/proc/self/mountinfo").read_text().count(str(mountpoint)) == 1
    shared.settle()
