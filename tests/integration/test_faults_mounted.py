"""The source's daemon dies, and is restarted, under a mounted file system in use: nobody notices."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from tests.integration.harness.applications import run
from tests.integration.harness.file_workload import FileWorkload
from tests.integration.harness.service_manager import ServiceManager, path_with_systemctl

pytestmark = pytest.mark.root

ROUNDS = 6


def test_a_mounted_file_system_lives_through_kills_and_restarts_of_the_daemon(
    manager: ServiceManager, tmp_path: Path
) -> None:
    cluster, source = manager.cluster, manager.cluster.source
    restarting = {
        "PATH": path_with_systemctl(tmp_path / "bin", "7 dkrepl@r0.service restart running"),
        "DKREPL_UNIT": "dkrepl@r0.service",
    }
    source.kill()
    manager.start(True, **restarting)
    run("mkfs.ext4", "-q", "-F", cluster.device)
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    run("mount", "-t", "ext4", cluster.device, mountpoint)
    stop = Event()
    moments = itertools.count(1)
    work = FileWorkload(mountpoint, lambda: next(moments), seed=1)

    def use() -> None:
        while not stop.is_set():
            work.step()

    try:
        work.prepare()
        with ThreadPoolExecutor(1) as pool:
            used = pool.submit(use)
            try:
                for number in range(ROUNDS):
                    before = work.durable
                    source.wait_until(lambda status, n=before: used.done() or work.durable > n + 5, "files are written")
                    assert not used.done(), "the application got an error"
                    if number % 2:
                        assert source.stop() == 0
                    else:
                        source.kill()
                    manager.start(True, **restarting)
            finally:
                stop.set()
            used.result(60)
        assert work.assert_holds(mountpoint, next(moments)) > 0
    finally:
        run("umount", mountpoint)
    run("e2fsck", "-f", "-n", cluster.device)
    cluster.settle()
    cluster.assert_equal()
