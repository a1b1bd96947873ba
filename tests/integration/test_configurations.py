"""Mirrors unlike the others: tiny and huge blocks, many targets, block devices, changing target lists, full disks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dkrepl.io.store.sparse_file import create_sparse
from tests.integration.harness.applications import fio_command, loop_device, run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.node import Node
from tests.integration.harness.writer import Writer

pytestmark = pytest.mark.root


def test_more_extents_are_written_than_may_be_active_at_once(clusters: Clusters) -> None:
    cluster = clusters.make(size=64 * MIB, block=4096, extent="32KiB")  # 2048 extents, of which 1024 may be active
    run(*fio_command(cluster.device, "--bsrange=4k-512k", "--size=60m"))
    run("blkdiscard", cluster.device)
    run(*fio_command(cluster.device, "--bs=4k", "--size=64m", "--io_size=8m"))
    cluster.settle()
    cluster.assert_equal()
    status = cluster.source.status()
    assert status is not None
    assert status["active_extents"] <= 1024
    writer = Writer(cluster.device, 0, 64 * MIB)
    writer.wait_for_more(500)
    cluster.source.kill()
    writer.join()
    cluster.source.start()
    cluster.settle()
    writer.assert_all_in(cluster.device)
    cluster.assert_equal()
    assert cluster.seen("beta")["resent_bytes"] <= len(writer.blocks(4096)) * 4096


def test_the_largest_blocks(clusters: Clusters) -> None:
    cluster = clusters.make(size=64 * MIB + 4096 * 3, block="1MiB", extent="64MiB", targets=[("gamma", "async")])
    run(*fio_command(cluster.device, "--bsrange=4k-1m", "--size=60m"))
    cluster.settle()
    cluster.nodes["gamma"].kill()
    cluster.wait_state("gamma", "Disconnected")
    end = 64 * MIB + 4096 * 3
    run("fio", "--name=end", f"--filename={cluster.device}", f"--offset={end - 4096}", "--size=4k", "--rw=write")
    cluster.nodes["gamma"].start()
    cluster.settle()
    assert 0 < cluster.seen("gamma")["resent_bytes"] <= 2 * MIB
    cluster.assert_equal()


def test_seven_targets_are_more_than_one_group(clusters: Clusters) -> None:
    modes = [(f"t{i}", "sync" if i % 3 == 0 else "async") for i in range(7)]
    cluster = clusters.make(size=8 * MIB, targets=modes)
    run(*fio_command(cluster.device, "--bsrange=4k-256k", "--size=8m"))
    cluster.settle()
    cluster.nodes["t6"].kill()
    cluster.wait_state("t6", "Disconnected")
    run("fio", "--name=w", f"--filename={cluster.device}", "--rw=write", "--bs=64k", "--size=1m", "--direct=1")
    cluster.nodes["t6"].start()
    cluster.settle()
    assert 0 < cluster.seen("t6")["resent_bytes"] <= MIB
    cluster.assert_equal()


def test_block_devices_as_stores(clusters: Clusters, tmp_path: Path) -> None:
    for name in ("a", "b"):
        create_sparse(tmp_path / name, 32 * MIB)
    with loop_device(tmp_path / "a") as first, loop_device(tmp_path / "b") as second:
        cluster = clusters.make(start=False, initialise=False, size=32 * MIB, targets=[("gamma", "sync")])
        for node, device in zip(cluster.nodes.values(), (first, second), strict=True):
            node.store.symlink_to(device)
        for node in cluster.nodes.values():
            cluster.describe(node)
            node.initialise()
        cluster.start()
        run(*fio_command(cluster.device, "--bsrange=4k-256k", "--size=30m"))
        run("blkdiscard", "--offset", 4 * MIB, "--length", 4 * MIB, cluster.device)
        cluster.source.kill()
        cluster.source.start()
        cluster.settle()
        for node in cluster.nodes.values():
            assert node.stop() == 0
        cluster.assert_equal()
        assert (tmp_path / "a").read_bytes()[4 * MIB : 8 * MIB] == bytes(4 * MIB)


def _redescribed(node: Node, text: str) -> None:
    """Give a node another description, and its daemon the time to go by it."""
    if node.process is not None:
        assert node.stop() == 0
    (node.paths.etc / "r0.toml").write_text(text)
    node.start(ready=False)


def _without_gamma(cluster: Cluster) -> dict[Node, str]:
    """Let alpha and beta go by a description without gamma; return the ones that they had."""
    whole = {}
    for node in (cluster.nodes["beta"], cluster.source):
        whole[node] = (node.paths.etc / "r0.toml").read_text()
        parts = whole[node].split("[[node]]\n")
        _redescribed(node, "[[node]]\n".join(part for part in parts if '"gamma"' not in part))
    return whole


def test_a_target_that_was_taken_out_of_the_description_and_put_back_lacks_nothing(clusters: Clusters) -> None:
    cluster = clusters.make()
    run("fio", "--name=w", f"--filename={cluster.device}", "--rw=write", "--bs=64k", "--size=4m", "--direct=1")
    cluster.settle()
    cluster.nodes["gamma"].kill()
    cluster.wait_state("gamma", "Disconnected")
    whole = _without_gamma(cluster)
    cluster.settle("beta")
    place = [f"--filename={cluster.device}", "--offset=8m", "--size=4m"]
    run("fio", "--name=w", *place, "--rw=write", "--bs=64k", "--direct=1")
    for node, text in whole.items():
        _redescribed(node, text)
    cluster.nodes["gamma"].start()
    cluster.settle()
    assert cluster.seen("gamma")["last_resync"]["kind"] == "full"
    cluster.assert_equal()


def test_a_target_added_later_is_copied_in_full(clusters: Clusters) -> None:
    cluster = clusters.make(targets=[("beta", "sync"), ("gamma", "async")], start=False)
    gamma = cluster.nodes["gamma"]
    whole = _without_gamma(cluster)
    cluster.wait_in_sync("beta")
    run("fio", "--name=w", f"--filename={cluster.device}", "--rw=write", "--bs=64k", "--size=4m", "--direct=1")
    for node, text in whole.items():
        _redescribed(node, text)
    gamma.start()
    cluster.settle()
    assert cluster.seen("gamma")["last_resync"]["kind"] == "full"
    assert cluster.seen("gamma")["resent_bytes"] == 4 * MIB, "holes are not sent"
    assert cluster.seen("beta")["resent_bytes"] == 0
    cluster.assert_equal()


def test_a_target_with_a_full_disk_falls_behind_and_recovers(clusters: Clusters, tmp_path: Path) -> None:
    cluster = clusters.make(start=False, initialise=False, size=32 * MIB, targets=[("beta", "sync")])
    with _small_disk(cluster.nodes["beta"], tmp_path) as disk:
        for node in cluster.nodes.values():
            node.initialise()
        cluster.start()
        run(*fio_command(cluster.device, "--bs=256k", "--size=24m"))
        seen = cluster.wait_state("beta", "Behind")
        assert "No space left on device" in seen["reason"]
        assert cluster.nodes["beta"].logged("store_failed")[-1]["level"] == "error"
        run("mount", "-o", "remount,size=64m", disk)
        cluster.settle()
        cluster.assert_equal()
        cluster.nodes["beta"].clean()


def test_a_source_with_a_full_disk_tells_the_application_and_goes_on(clusters: Clusters, tmp_path: Path) -> None:
    cluster = clusters.make(start=False, initialise=False, size=32 * MIB, targets=[("beta", "sync")])
    with _small_disk(cluster.source, tmp_path) as disk:
        for node in cluster.nodes.values():
            node.initialise()
        cluster.start()
        writer = Writer(cluster.device, 0, 32 * MIB, threads=2, pages=(16,))
        writer.join()
        assert writer.error is not None
        status = cluster.source.status()
        assert status is not None
        assert any("No space left on device" in warning for warning in status["warnings"])
        assert cluster.source.logged("store_failed")
        run("mount", "-o", "remount,size=64m", disk)
        cluster.settle()
        cluster.assert_equal()
        run(*fio_command(cluster.device, "--bs=256k", "--size=24m"))
        cluster.settle()
        cluster.assert_equal()
        cluster.source.clean()


@contextlib.contextmanager
def _small_disk(node: Node, directory: Path) -> Iterator[Path]:
    """A disk of 12 MiB for a node's store, which is sparse and larger."""
    disk = directory / "disk"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=12m", "dkrepl-test", disk)
    try:
        store = disk / "store.img"
        with store.open("wb") as file:
            file.truncate(32 * MIB)
        node.store.symlink_to(store)
        yield disk
    finally:
        run("umount", "-l", disk)
