"""A target holds, at every instant, the source's state after some write: in order and without gaps."""

from __future__ import annotations

import contextlib
import mmap
import os
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.integration.harness.applications import fio_command, run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.node import Node
from tests.lab.pages import PAGE
from tests.lab.waiting import wait_for

pytestmark = pytest.mark.root

PLACES = [offset * MIB + offset * PAGE for offset in (3, 11, 0, 7, 14, 5)]


class Counter:
    """One thread writes 1 to every place in order, then 2 to every place, and so on."""

    def __init__(self, cluster: Cluster) -> None:
        self.value = 0
        self._device = cluster.device
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def wait_for_more(self, rounds: int) -> None:
        goal = self.value + rounds
        wait_for(lambda: self.value, lambda value: value > goal, "writes go on")

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _count(self) -> None:
        buffer = mmap.mmap(-1, PAGE)
        fd = os.open(self._device, os.O_WRONLY | os.O_DIRECT)
        try:
            while not self._stop.is_set():
                buffer[:] = (self.value + 1).to_bytes(8, "little") * (PAGE // 8)
                for place in PLACES:
                    os.pwrite(fd, buffer, place)
                self.value += 1
        finally:
            os.close(fd)


@contextlib.contextmanager
def _counted_on(cluster: Cluster, rounds: int) -> Iterator[Iterator[Node]]:
    """An application counts; each target comes ``rounds`` times, after it has counted on. At the end all are equal."""
    counter = Counter(cluster)

    def targets() -> Iterator[Node]:
        for target in cluster.targets * rounds:
            counter.wait_for_more(10)
            yield target

    try:
        yield targets()
    finally:
        counter.stop()
    cluster.settle()
    cluster.assert_equal()


def test_a_target_that_stands_still_shows_a_prefix_of_the_writes(clusters: Clusters) -> None:
    cluster = clusters.make(size=16 * MIB, peer_timeout="30s")
    with _counted_on(cluster, 4) as targets:
        for target in targets:
            target.freeze()
            _assert_prefix(target.store.read_bytes())
            target.thaw()


def test_a_target_that_was_killed_shows_a_prefix_of_the_writes(clusters: Clusters) -> None:
    cluster = clusters.make(size=16 * MIB)
    with _counted_on(cluster, 2) as targets:
        for target in targets:
            target.kill()
            _assert_prefix(target.store.read_bytes())
            target.start()
            cluster.wait_in_sync()


def _assert_prefix(content: bytes) -> None:
    values = [int.from_bytes(content[place : place + 8], "little") for place in PLACES]
    assert values == sorted(values, reverse=True), values
    assert values[0] - values[-1] <= 1, values
    for place, value in zip(PLACES, values, strict=True):
        assert content[place : place + PAGE] == value.to_bytes(8, "little") * (PAGE // 8), "a torn page"


def test_overlapping_writes_in_flight_end_the_same_everywhere(clusters: Clusters) -> None:
    cluster = clusters.make(size=16 * MIB)
    jobs = [
        subprocess.Popen(
            [
                *("fio", f"--name=j{seed}", f"--filename={cluster.device}", "--rw=randwrite", "--bsrange=4k-256k"),
                *("--size=1m", "--io_size=24m", "--direct=1", "--ioengine=libaio", "--iodepth=16"),
                *(f"--randseed={seed}", "--norandommap", "--refill_buffers"),
            ],
            stdout=subprocess.DEVNULL,
        )
        for seed in (1, 2, 3)
    ]
    try:
        for job in jobs:
            assert job.wait(100) == 0
    finally:
        for job in jobs:
            job.kill()
            job.wait(100)
    cluster.settle()
    cluster.assert_equal()


def test_a_write_during_the_resync_of_its_block_is_never_undone(clusters: Clusters) -> None:
    """The blocks of the resync are not in memory, so reading them takes a worker, and writes come in between."""
    cluster = clusters.make(targets=[("gamma", "async")], size=8 * MIB)
    run("fio", "--name=fill", f"--filename={cluster.device}", "--rw=write", "--bs=1m", "--direct=1")
    cluster.settle()
    job = subprocess.Popen(
        [
            *("fio", "--name=j", f"--filename={cluster.device}", "--rw=randwrite", "--bs=4k", "--time_based"),
            *("--runtime=600", "--direct=1", "--ioengine=libaio", "--iodepth=8", "--refill_buffers"),
        ],
        stdout=subprocess.DEVNULL,
    )
    ended = threading.Event()
    forgetting = threading.Thread(target=_forget, args=(cluster, ended))
    forgetting.start()
    try:
        for _ in range(6):
            done = cluster.seen("gamma")["resent_bytes"]
            cluster.source.ask("resync", targets=["gamma"], full=True)
            cluster.wait_target("gamma", lambda one, d=done: one["resent_bytes"] >= d + cluster.size, "is copied")
            cluster.wait_in_sync()
        assert job.poll() is None
    finally:
        ended.set()
        forgetting.join(60)
        job.terminate()
        job.wait(60)
    cluster.settle()
    cluster.assert_equal()


def test_what_is_read_from_the_disk_is_what_was_written(clusters: Clusters) -> None:
    cluster = clusters.make(targets=[("gamma", "async")], size=32 * MIB)
    ended = threading.Event()
    forgetting = threading.Thread(target=_forget, args=(cluster, ended))
    forgetting.start()
    try:
        run(*fio_command(cluster.device, "--bsrange=4k-256k", "--size=32m"))
    finally:
        ended.set()
        forgetting.join(60)


def _forget(cluster: Cluster, ended: threading.Event) -> None:
    """Put the source's store out of memory, again and again."""
    with cluster.source.store.open("rb") as store:
        while not ended.is_set():
            os.fdatasync(store.fileno())
            os.posix_fadvise(store.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
