"""What an application writes on the source is on every target: real FUSE, loop devices and ZeroMQ over TCP."""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path

import pytest

from tests.integration.harness.applications import fio_command, mounted, run
from tests.integration.harness.cluster import MIB, Cluster

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    "sizes", [("--bs=4k", "--size=16m"), ("--bsrange=4k-256k", "--size=56m"), ("--bs=1m", "--size=56m")]
)
def test_what_fio_writes_and_verifies_is_equal_on_every_node(shared: Cluster, sizes: tuple[str, str]) -> None:
    run(*fio_command(shared.device, *sizes, "--fsync=64"))
    shared.settle()
    shared.assert_equal()


def test_unaligned_sectors_are_replicated(shared: Cluster) -> None:
    run(*fio_command(shared.device, "--bsrange=512-20k", "--blockalign=512", "--bs_unaligned=0", "--size=4m"))
    shared.settle()
    shared.assert_equal()


def test_discards_and_zeroes_read_as_zeroes_on_every_node(shared: Cluster) -> None:
    run("blkdiscard", shared.device)
    run("fio", *_fill(shared.device, 48))
    run("blkdiscard", "--offset", 4 * MIB, "--length", 9 * MIB, shared.device)
    run("blkdiscard", "--zeroout", "--offset", 20 * MIB + 4096, "--length", 3 * MIB + 512, shared.device)
    run("blkdiscard", "--offset", 30 * MIB + 8192, "--length", 64 * 1024 + 4096, shared.device)
    run("fio", *_fill(shared.device, 1, offset=6))
    shared.settle()
    shared.assert_equal()
    for node in shared.nodes.values():
        with node.store.open("rb") as store:
            assert os.pread(store.fileno(), 2 * MIB, 4 * MIB) == bytes(2 * MIB)
            assert os.pread(store.fileno(), MIB, 6 * MIB) != bytes(MIB)
            assert os.pread(store.fileno(), 6 * MIB, 7 * MIB) == bytes(6 * MIB)
            assert os.pread(store.fileno(), 3 * MIB + 512, 20 * MIB + 4096) == bytes(3 * MIB + 512)
        assert node.store.stat().st_blocks * 512 < 44 * MIB, f"{node.name} gave no space back"


def test_a_whole_device_can_be_discarded(shared: Cluster) -> None:
    run("fio", *_fill(shared.device, 16))
    run("blkdiscard", shared.device)
    shared.settle()
    shared.assert_equal()
    assert all(not _first_data(node.store) for node in shared.nodes.values())


def test_a_file_system_made_and_filled_on_the_device_is_on_every_node(shared: Cluster, tmp_path: Path) -> None:
    tree = Path(shutil.__file__).parent / "asyncio"
    run("mkfs.ext4", "-q", shared.device)
    with mounted(shared.device, tmp_path / "mnt") as point:
        shutil.copytree(tree, point / "tree", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(tree, point / "gone", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.rmtree(point / "gone")
    shared.settle()
    shared.assert_equal()
    for node in shared.targets:
        run("e2fsck", "-fn", node.store)
        with mounted(node.store, tmp_path / node.name, "-o", "ro,loop,noload") as point:
            same = filecmp.dircmp(tree, point / "tree", ignore=["__pycache__"])
            assert [*same.left_only, *same.right_only, *same.diff_files, *same.funny_files] == []
            assert not (point / "gone").exists()


def test_counters_tell_what_was_done(shared: Cluster) -> None:
    before = [status["counters"] for node in shared.nodes.values() if (status := node.status())]
    run("fio", *_fill(shared.device, 8))
    shared.settle()
    status = shared.source.status()
    assert status is not None
    assert status["counters"]["written_bytes"] - before[0]["written_bytes"] == 8 * MIB
    for node, counters in zip(shared.targets, before[1:], strict=True):
        seen = node.status()
        assert seen is not None
        assert seen["counters"]["applied_bytes"] - counters["applied_bytes"] == 8 * MIB
        assert (seen["state"], seen["store_state"], seen["source"]) == ("InSync", "Consistent", "alpha")
        assert seen["generation"] == status["generation"] != ""
        assert seen["durable_seq"] == status["seq"]
    assert [one["resent_bytes"] for one in status["targets"]] == [0, 0], "new and empty copies needed no resync"


def _fill(device: Path, mebibytes: int, offset: int = 0) -> list[str]:
    place = [f"--filename={device}", f"--offset={offset}m", f"--size={mebibytes}m"]
    return ["--name=fill", *place, "--rw=write", "--bs=256k", "--direct=1", "--ioengine=libaio", "--iodepth=4"]


def _first_data(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read().lstrip(b"\0")[:1]
