"""Starting and stopping: cleanly, while the device is in use, twice, and without the rights that it takes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dkrepl.errors import HostError, StoreError
from dkrepl.io.block import loop
from tests.integration.harness.applications import run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.node import ROOT
from tests.integration.harness.writer import Writer

pytestmark = pytest.mark.root


def _assert_nothing_left(cluster: Cluster) -> None:
    paths = cluster.source.paths
    assert not loop.find(paths.mountpoint("r0"))
    assert str(paths.mountpoint("r0")) not in Path("/proc/self/mountinfo").read_text()
    assert not paths.device("r0").is_symlink()
    assert not paths.mountpoint("r0").exists()
    assert not paths.socket("r0").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_after_a_clean_stop_nothing_is_left_and_nothing_is_sent_again(cluster: Cluster, number: signal.Signals) -> None:
    writer = Writer(cluster.device, 0, 16 * MIB)
    writer.wait_for_more(200)
    writer.stop()
    cluster.source.signal(number)
    assert cluster.source.exit_code() == 0
    assert cluster.source.logged()[-1]["event"] == "daemon_stopped"
    _assert_nothing_left(cluster)
    # Stopped cleanly, the source has waited for what was on its way.
    cluster.assert_equal()
    writer.assert_all_in(cluster.nodes["gamma"].store)

    cluster.source.start()
    cluster.settle()
    assert not cluster.source.logged("activity_log_recovered")
    assert [cluster.seen(name)["resent_bytes"] for name in ("beta", "gamma")] == [0, 0]
    cluster.assert_equal()


def test_targets_stopped_cleanly_under_load_lack_only_what_was_written_since(cluster: Cluster) -> None:
    writer = Writer(cluster.device, 0, 16 * MIB)
    for node in cluster.targets:
        writer.wait_for_more(200)
        assert node.stop() == 0
        cluster.wait_state(node.name, "Disconnected")
    writer.stop()
    assert writer.error is None
    dirty = {node.name: cluster.seen(node.name)["dirty_bytes"] for node in cluster.targets}
    for node in cluster.targets:
        node.start()
    cluster.settle()
    for name, most in dirty.items():
        assert cluster.seen(name)["resent_bytes"] <= most
    cluster.assert_equal()


def test_a_source_stopped_while_its_device_is_used_says_by_whom_and_ends(cluster: Cluster, tmp_path: Path) -> None:
    point = tmp_path / "mnt"
    point.mkdir()
    run("mkfs.ext4", "-q", cluster.device)
    run("mount", cluster.device, point)
    mounted = True
    try:
        (point / "file").write_text("kept")
        run("sync", "-f", point)
        assert cluster.source.stop() == 0
        told = cluster.source.logged("device_in_use")
        assert f"mounted on {point}" in told[0]["users"]
        run("umount", "-l", point)
        mounted = False
        cluster.source.start()
        cluster.settle()
        run("mount", cluster.device, point)
        mounted = True
        assert (point / "file").read_text() == "kept"
    finally:
        if mounted:
            run("umount", "-l", point)
    cluster.settle()
    cluster.assert_equal()


def test_a_second_daemon_on_the_same_store_is_refused_and_disturbs_nothing(clusters: Clusters) -> None:
    cluster = clusters.make(targets=[("gamma", "async")])
    for node in cluster.nodes.values():
        first = node.process
        node.process = None
        node.start(ready=False)
        assert node.exit_code() == StoreError.exit_code
        node.process = first
        assert f"the store {node.store} is in use" in node.log.read_text()
    run("fio", "--name=w", f"--filename={cluster.device}", "--rw=write", "--bs=64k", "--size=4m", "--direct=1")
    cluster.settle()
    cluster.assert_equal()


def test_a_daemon_that_was_not_initialised_says_what_to_do(clusters: Clusters) -> None:
    cluster = clusters.make(start=False, initialise=False, targets=[("gamma", "async")])
    cluster.source.start(ready=False)
    assert cluster.source.exit_code() == 6
    assert "run dkrepl init r0" in cluster.source.log.read_text()


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can reach."""
    directory = Path(tempfile.mkdtemp(prefix="dkrepl-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def test_a_source_needs_root_and_says_so(open_directory: Path) -> None:
    nobody = 65534
    with contextlib.closing(Cluster(open_directory, targets=[("gamma", "async")])) as cluster:
        for path in open_directory.rglob("*"):
            os.chown(path, nobody, nobody)
        paths = cluster.source.paths
        where = ["--etc", str(paths.etc), "--state", str(paths.state), "--run", str(paths.run)]
        # From the sources, for the interpreter of the tests may lie where only root can reach it.
        done = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, *where, "run", "r0", "--node", "alpha"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == HostError.exit_code, done.stderr
    assert done.stderr.startswith("dkrepl: a source needs root")
    assert done.stderr.count("\n") == 1


_AS_NOBODY = """
import os
from dkrepl.cli.main import run
import dkrepl.daemon.main
os.setgid(65534)
os.setuid(65534)
run()
"""
