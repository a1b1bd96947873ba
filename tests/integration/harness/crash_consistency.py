"""A file system on the device is used in earnest; the recorded store of a node is rebuilt as power losses would leave
it, and each time the file system must be whole and hold what was fsynced."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.integration.harness import recording_daemon
from tests.integration.harness.applications import run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.file_workload import FileWorkload
from tests.integration.harness.rebuilding import Record, crashes, rebuild
from tests.lab.waiting import wait_for

SIZE = 320 * MIB  # mkfs.xfs wants 300 MiB
_MAKE = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q", "-f")}
_CHECK = {"ext4": ("e2fsck", "-f", "-n"), "xfs": ("xfs_repair", "-n")}
_OPTIONS = {"ext4": "rw", "xfs": "rw,nouuid"}


@dataclass
class Found:
    """What was tried."""

    crashes: int
    writes: int
    flushes: int
    bytes: int
    at_stake: int  # changes that were not flushed, over all crashes
    fsynced: int  # states of files
    looked_up: int  # files that had to be there, over all crashes

    def __str__(self) -> str:
        return (
            f"{self.crashes} power losses in {self.writes} changes ({self.bytes / MIB:.0f} MiB) and {self.flushes} "
            f"flushes of the store, {self.at_stake} changes unflushed; {self.fsynced} fsynced states of files, "
            f"looked up {self.looked_up} times"
        )


def start_recorded(cluster: Cluster, name: str) -> Path:
    """Start every daemon, that of ``name`` with a record of what its store is told; return the record."""
    record = cluster.nodes[name].directory / "record"
    launch = (sys.executable, recording_daemon.__file__, str(record))
    for node in cluster.nodes.values():
        node.start(False, launch if node.name == name else (sys.executable,))
    cluster.wait_in_sync()
    return record


def try_power_losses(
    cluster: Cluster, name: str, kind: str, seed: int, steps: int, at_flushes: int, others: int
) -> Found:
    """Use a file system of ``kind`` on the device, then look at ``at_flushes`` + ``others`` rebuilt stores of ``name``.

    Fails if a check of the file system finds anything, or a file is not as it must be.
    """
    record_path = start_recorded(cluster, name)
    begun = len(cluster.source.logged("target_state"))
    dice = random.Random(seed)
    run(*_MAKE[kind], cluster.device)
    mountpoint = cluster.source.directory / "mnt"
    mountpoint.mkdir()
    work = FileWorkload(mountpoint, lambda: record_path.stat().st_size, seed)
    with _mounted(kind, cluster.device, mountpoint):
        work.prepare()
        first = record_path.stat().st_size
        fio = subprocess.Popen(_fio(mountpoint, seed), stdout=subprocess.DEVNULL)
        try:
            wait_for(lambda: record_path.stat().st_size, lambda size: size > first + 4 * MIB, "fio writes")
            for _ in range(steps):
                work.step()
            last = record_path.stat().st_size
        finally:
            fio.kill()
            fio.wait()
    cluster.settle()
    left = [event for event in cluster.source.logged("target_state")[begun:] if event["after"] != "InSync"]
    assert not left, f"a target left the stream: {left}"
    cluster.assert_equal()
    for node in cluster.nodes.values():
        node.stop()
    record = Record.read(record_path)
    order = crashes(record, first, last, at_flushes, others, dice)
    looked_up = 0
    with tempfile.TemporaryDirectory(prefix="dkrepl-crash-", dir="/dev/shm") as scratch:
        for crash, store in rebuild(record, SIZE, order, Path(scratch)):
            try:
                looked_up += _look_at(kind, store, Path(scratch), work, crash.place)
            except AssertionError as error:
                raise AssertionError(f"{crash}: {error}") from error
    size = sum(change.length for change in record.changes if change.data is not None)
    at_stake = sum(record.before(crash.place) - record.durable(crash.place) for crash in order)
    return Found(len(order), len(record.changes), len(record.flushes), size, at_stake, work.durable, looked_up)


def _look_at(kind: str, store: Path, scratch: Path, work: FileWorkload, place: int) -> int:
    mountpoint = scratch / "mnt"
    mountpoint.mkdir(exist_ok=True)
    device = run("losetup", "--find", "--show", "--direct-io=off", store).strip()
    try:
        with _mounted(kind, Path(device), mountpoint):  # this replays the journal
            found = work.assert_holds(mountpoint, place)
        run(*_CHECK[kind], device)
    finally:
        run("losetup", "--detach", device)
    return found


@contextlib.contextmanager
def _mounted(kind: str, device: Path, mountpoint: Path) -> Iterator[None]:
    run("mount", "-t", kind, "-o", _OPTIONS[kind], device, mountpoint)
    try:
        yield
    except BaseException:
        run("umount", "--lazy", mountpoint)
        raise
    run("umount", mountpoint)


def _fio(directory: Path, seed: int) -> list[str]:
    return [
        *("fio", "--name=db", f"--directory={directory}", "--rw=randwrite", "--bsrange=4k-64k", "--size=16m"),
        *(
            "--fsync=16",
            "--rate=2m",
            "--time_based",
            "--runtime=600",
            "--thread",
            f"--randseed={seed}",
            "--verify_state_save=0",
        ),
    ]
