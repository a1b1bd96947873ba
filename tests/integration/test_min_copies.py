"""``min_copies``: with too few copies writes wait or fail, reads go on, and nothing hangs for ever."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import threading
from pathlib import Path

import pytest

from tests.integration.harness.cluster import Cluster
from tests.integration.harness.fixtures import Clusters
from tests.lab.waiting import LONG

pytestmark = pytest.mark.root

PAGE = 4096


class Once:
    """One operation on the device in a thread: ``result`` is None until it has its answer, then 0 or an errno."""

    def __init__(self, device: Path, what: str, offset: int = 0, value: int = 1) -> None:
        self.result: int | None = None
        self._do = {"write": self._write, "flush": self._flush, "discard": self._discard}[what]
        self._device, self._offset, self._value = device, offset, value
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            fd = os.open(self._device, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
            try:
                self._do(fd)
            finally:
                os.close(fd)
            self.result = 0
        except OSError as error:
            self.result = error.errno

    def _write(self, fd: int) -> None:
        buffer = mmap.mmap(-1, PAGE)
        buffer[:] = bytes([self._value]) * PAGE
        os.pwrite(fd, buffer, self._offset)

    def _flush(self, fd: int) -> None:
        os.fsync(fd)

    def _discard(self, fd: int) -> None:
        fcntl.ioctl(fd, 0x1277, struct.pack("QQ", self._offset, PAGE))  # BLKDISCARD, linux/fs.h

    def wait(self) -> int:
        self._thread.join(LONG)
        assert self.result is not None, "it has no answer"
        return self.result


def _read(device: Path, offset: int = 0) -> bytes:
    buffer = mmap.mmap(-1, PAGE)
    fd = os.open(device, os.O_RDONLY | os.O_DIRECT)
    try:
        assert os.preadv(fd, [buffer], offset) == PAGE
    finally:
        os.close(fd)
    return bytes(buffer)


def _lose_beta(cluster: Cluster) -> None:
    cluster.nodes["beta"].kill()
    cluster.source.wait_until(lambda status: status["quorum"] == {"available": 1, "min": 2}, "it counts one copy")


def test_writes_wait_until_there_are_enough_copies_and_reads_go_on(clusters: Clusters) -> None:
    cluster = clusters.make(min_copies=2)
    alpha, beta, gamma = cluster.nodes.values()
    assert Once(cluster.device, "write", value=1).wait() == 0
    assert alpha.present_status()["quorum"] == {"available": 2, "min": 2}
    generation = alpha.present_status()["generation"]
    assert not alpha.present_status()["warnings"]
    cluster.settle()
    _lose_beta(cluster)
    waiting = [Once(cluster.device, "write", value=2), Once(cluster.device, "write", 1 << 20, value=3)]
    assert Once(cluster.device, "flush").wait() == 0  # all that it covers is durable on both
    gamma.kill()
    cluster.wait_state("gamma", "Disconnected")
    for _ in range(3):
        assert _read(cluster.device)[0] == 1
    status = alpha.present_status()
    assert "1 of 2 copies are available (min_copies), so writes wait" in " ".join(status["warnings"])
    assert alpha.logged("quorum_lost")[-1]["outcome"] == "writes wait"
    assert [one.result for one in waiting] == [None] * 2
    # nothing was written that only this node has, so there is nothing to diverge
    assert status["generation"] == generation
    gamma.start()
    cluster.wait_in_sync("gamma")  # an async copy does not count
    assert [one.result for one in waiting] == [None] * 2
    discard = Once(cluster.device, "discard", 2 << 20)

    beta.start()
    assert [one.wait() for one in (*waiting, discard)] == [0] * 3
    assert alpha.logged("quorum_regained")
    assert (_read(cluster.device)[0], _read(cluster.device, 1 << 20)[0]) == (2, 3)
    cluster.settle()
    cluster.assert_equal()
    assert not alpha.present_status()["warnings"]


def test_under_on_too_few_error_writes_fail_and_succeed_again_later(clusters: Clusters) -> None:
    cluster = clusters.make(min_copies=2, on_no_quorum="error")
    alpha, beta, _ = cluster.nodes.values()
    assert Once(cluster.device, "write", value=1).wait() == 0
    beta.freeze()
    parked = Once(cluster.device, "write", 4096, value=2)  # waits for beta, which does not answer any more
    assert parked.wait() == errno.EIO
    for what in ("write", "flush", "discard"):  # a flush too, for the parked write is not durable at beta
        assert Once(cluster.device, what, 8192).wait() == errno.EIO, what
    assert "so writes fail" in " ".join(alpha.present_status()["warnings"])
    assert _read(cluster.device)[0] == 1
    beta.thaw()
    cluster.wait_in_sync("beta")
    assert Once(cluster.device, "write", value=4).wait() == 0
    assert Once(cluster.device, "flush").wait() == 0
    cluster.settle()
    cluster.assert_equal()


def test_a_stop_does_not_hang_for_writes_that_wait_for_copies(clusters: Clusters) -> None:
    cluster = clusters.make(min_copies=2)
    alpha, beta, _ = cluster.nodes.values()
    assert Once(cluster.device, "write", value=1).wait() == 0
    _lose_beta(cluster)
    waiting = Once(cluster.device, "write", value=2)
    assert alpha.stop() == 0
    assert waiting.wait() == errno.EIO
    alpha.start()
    beta.start()
    cluster.wait_in_sync()
    assert _read(cluster.device)[0] == 1
    cluster.settle()
    cluster.assert_equal()


def test_a_first_source_waits_with_writes_until_its_first_target_is_there(clusters: Clusters) -> None:
    cluster = clusters.make(start=False, min_copies=2)
    alpha, beta, gamma = cluster.nodes.values()
    alpha.start()
    gamma.start()
    waiting = Once(cluster.device, "write", value=7)
    cluster.wait_in_sync("gamma")
    assert _read(cluster.device)[0] == 0
    assert waiting.result is None
    beta.start()
    assert waiting.wait() == 0
    assert _read(cluster.device)[0] == 7
    cluster.wait_in_sync()
    cluster.settle()
    cluster.assert_equal()


def test_a_source_that_is_cut_off_answers_nothing_so_that_there_is_no_split_brain(clusters: Clusters) -> None:
    cluster = clusters.make(targets=[("beta", "sync")], linked=True, peer_timeout="1s", min_copies=2)
    alpha, beta = cluster.nodes.values()
    assert Once(cluster.device, "write", value=1).wait() == 0
    cluster.links["beta"].cut()
    alpha.wait_until(lambda status: status["quorum"]["available"] == 1, "it is alone")
    waiting = Once(alpha.device, "write", value=2)
    beta.wait_missing_source()
    assert beta.cli("promote", "r0")[0] == 0
    beta.wait_serving()
    cluster.links["beta"].mend()
    alpha.wait_until(lambda status: any("beta is source too" in text for text in status["warnings"]), "it is told")
    assert alpha.present_status()["split_brain"] is None
    assert waiting.result is None
    assert alpha.stop() == 0
    assert waiting.wait() == errno.EIO
