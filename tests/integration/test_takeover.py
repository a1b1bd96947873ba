"""The source's daemon dies or is restarted under a device in use: its successor goes on, applications see a pause."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.harness.cluster import Cluster
from tests.integration.harness.kills import kill_again_and_again
from tests.integration.harness.service_manager import ServiceManager, path_with_systemctl
from tests.lab.seeds import seed_for
from tests.lab.waiting import LONG

pytestmark = pytest.mark.root

KILLS = 10  # tests/long has more


@contextlib.contextmanager
def _fio(cluster: Cluster, seconds: int) -> Iterator[subprocess.Popen[str]]:
    """fio that reads and writes for so long, and ends with an error if one request fails; it is gone at the end."""
    job = f"""--name=v --filename={cluster.device} --rw=randrw --bsrange=4k-64k --size=48m --direct=1 --ioengine=libaio
        --iodepth=16 --verify=crc32c --verify_backlog=512 --time_based --runtime={seconds} --verify_state_save=0"""
    fio = subprocess.Popen(
        ["fio", *job.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cluster.source.directory,
    )
    with fio:
        try:
            yield fio
        finally:
            fio.kill()


def test_a_daemon_killed_at_any_moment_is_replaced_and_no_application_gets_an_error(
    manager: ServiceManager, tmp_path: Path, request: pytest.FixtureRequest, say: Callable[[str], None]
) -> None:
    seed = seed_for(request.node.nodeid, say)
    say(f"kills: {kill_again_and_again(manager, KILLS, seed, tmp_path / 'load')}")


def test_a_restart_leaves_the_device_to_the_successor_and_a_stop_takes_it_away(
    manager: ServiceManager, tmp_path: Path
) -> None:
    cluster = manager.cluster
    restarting = {
        "PATH": path_with_systemctl(tmp_path / "bin", "7 dkrepl@r0.service restart running"),
        "DKREPL_UNIT": "dkrepl@r0.service",
    }
    cluster.source.stop()
    manager.start(True, **restarting)
    cluster.wait_in_sync()
    with _fio(cluster, 10) as fio:
        for _ in range(3):
            before = cluster.source.present_status()["counters"]["writes"]
            cluster.source.wait_until(
                lambda status, n=before: status and status["counters"]["writes"] > n + 300, "writes go on"
            )
            assert cluster.source.stop() == 0
            assert set(manager.held) & {"device", "device-drained"}
            manager.start(True, **restarting)
        output, _ = fio.communicate(timeout=LONG)
    assert fio.returncode == 0, output
    cluster.settle()
    cluster.assert_equal()
    cluster.source.kill()
    manager.start()  # no restart job any more
    cluster.wait_in_sync()
    assert cluster.source.stop() == 0
    assert not set(manager.held) & {"device", "device-drained"}
    assert not cluster.device.exists()


def test_a_source_that_was_replaced_ends_its_device_so_that_nobody_hangs(manager: ServiceManager) -> None:
    cluster = manager.cluster
    alpha, beta = cluster.source, cluster.nodes["beta"]
    with _fio(cluster, 600) as fio:
        alpha.wait_until(lambda status: status and status["counters"]["writes"] > 300, "writes go on")
        alpha.kill()
        beta.wait_missing_source()
        beta.ask("promote", fenced=["alpha"])
        beta.wait_until(lambda status: status and status["role"] == "source", "it is source")
        manager.start()
        alpha.wait_until(lambda status: status and status["role"] == "target", "it follows beta")
        fio.communicate(timeout=LONG)
    assert fio.returncode != 0, "the application must be told"
    assert not set(manager.held) & {"device", "device-drained"}
    assert not cluster.device.exists()
