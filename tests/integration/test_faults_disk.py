"""Disks fail: I/O errors of stores, and of the intent log; a state directory without space.

Each test holds the node to the policy in docs/concepts/failures.md: what is acknowledged is kept, the state shown
is true, and when the fault is over everything is in sync again.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from dkrepl.errors import StateDirectoryError
from tests.integration.harness.applications import run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.faulty_file import faulty_file
from tests.integration.harness.faulty_store import SIZE, on_faulty_store
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.node import ROOT, Node
from tests.integration.harness.writer import Writer
from tests.lab.pages import PAGE, pattern
from tests.lab.waiting import wait_for

pytestmark = pytest.mark.root


def _write(device: Path, page: int, number: int) -> int:
    """Write one page with O_DIRECT; return 0 or the error that the application gets."""
    fd = os.open(device, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    try:
        with mmap.mmap(-1, PAGE) as buffer:
            buffer[:] = pattern(number, page * PAGE)
            os.pwrite(fd, buffer, page * PAGE)
    except OSError as error:
        return error.errno or -1
    finally:
        os.close(fd)
    return 0


def _fsync(device: Path) -> int:
    """Flush the device; return 0 or the error that the application gets."""
    fd = os.open(device, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        return error.errno or -1
    finally:
        os.close(fd)
    return 0


def _holds(node: Node, page: int, number: int) -> bool:
    with node.store.open("rb", buffering=0) as store:
        return os.pread(store.fileno(), PAGE, page * PAGE) == pattern(number, page * PAGE)


def _restart(node: Node) -> None:
    node.stop()
    node.start()


# --- a target's store ------------------------------------------------------------------------------------


def test_a_target_whose_store_fails_a_write_leaves_and_comes_back_when_that_is_over(
    clusters: Clusters, tmp_path: Path
) -> None:
    with on_faulty_store(clusters, tmp_path, "beta") as (cluster, file):
        writer = Writer(cluster.device, 0, 16 * MIB)
        writer.wait_for_more(100)
        file.fail("write", 0, 16 * MIB)
        seen = cluster.wait_state("beta", "Behind")
        assert "Input/output error" in seen["reason"]
        assert seen["dirty_blocks"] > 0
        writer.wait_for_more(100)
        cluster.wait_state("gamma", "InSync")
        assert cluster.nodes["beta"].logged("store_failed")[-1]["level"] == "error"
        # As long as it lasts the target tries and fails; nobody calls it in sync.
        cluster.wait_target("beta", lambda one: one["state"] in ("Connecting", "Resyncing"), "tries again")
        cluster.wait_state("beta", "Behind")
        writer.stop()
        assert writer.error is None
        file.mend()
        cluster.settle()
        cluster.assert_equal()
        writer.assert_all_in(cluster.nodes["beta"].store)
        assert cluster.seen("beta")["last_resync"]["kind"] == "partial"


def test_a_target_whose_store_failed_a_flush_is_out_until_its_daemon_starts_anew(
    clusters: Clusters, tmp_path: Path
) -> None:
    with on_faulty_store(clusters, tmp_path, "beta") as (cluster, file):
        writer = Writer(cluster.device, 0, 16 * MIB, flush_every=20)
        writer.wait_for_more(100)
        file.fail("sync")
        cluster.wait_state("beta", "Behind")
        file.mend()
        # fsync(2): a flush that succeeds after one that failed does not tell of the pages that the first one lost.
        told = len(cluster.nodes["beta"].logged("store_failed"))
        wait_for(lambda: len(cluster.nodes["beta"].logged("store_failed")), lambda n: n > told, "beta fails again")
        writer.wait_for_more(100)
        writer.stop()
        assert writer.error is None
        assert cluster.seen("beta")["state"] != "InSync"
        _restart(cluster.nodes["beta"])
        cluster.settle()
        cluster.assert_equal()
        writer.assert_all_in(cluster.nodes["beta"].store)


# --- the source's store ----------------------------------------------------------------------------------


def test_a_write_that_the_sources_store_fails_is_told_to_the_application_and_to_nobody_as_data(
    clusters: Clusters, tmp_path: Path
) -> None:
    with on_faulty_store(clusters, tmp_path, "alpha") as (cluster, file):
        assert _write(cluster.device, 5, 1) == 0
        file.fail("write", 5 * PAGE, 6 * PAGE)
        assert _write(cluster.device, 5, 2) == errno.EIO
        assert _write(cluster.device, 6, 3) == 0, "the rest of the device goes on"
        status = cluster.source.status()
        assert status is not None
        assert any("Input/output error" in warning for warning in status["warnings"])
        assert cluster.source.logged("store_failed")[-1]["level"] == "error"
        cluster.settle()
        for node in cluster.nodes.values():
            assert _holds(node, 5, 1), f"{node.name} holds a write that failed"
            assert _holds(node, 6, 3)
        file.mend()
        assert _write(cluster.device, 5, 4) == 0
        cluster.settle()
        cluster.assert_equal()


def test_a_block_that_the_source_cannot_read_keeps_a_target_out_of_sync_until_it_can(
    clusters: Clusters, tmp_path: Path
) -> None:
    with on_faulty_store(clusters, tmp_path, "alpha") as (cluster, file):
        gamma = cluster.nodes["gamma"]
        gamma.kill()
        cluster.wait_state("gamma", "Disconnected")
        assert _write(cluster.device, 100, 1) == 0
        file.fail("read", 100 * PAGE, 101 * PAGE)
        gamma.start()
        seen = cluster.wait_state("gamma", "Behind")
        assert "cannot read" in seen["reason"]
        assert gamma.present_status()["store_state"] == "Inconsistent"
        assert cluster.seen("beta")["state"] == "InSync"
        assert _write(cluster.device, 101, 2) == 0
        file.mend()
        assert cluster.source.cli("resync", "r0", "gamma")[0] == 0  # need not wait for the next try, 30 s later
        cluster.settle()
        cluster.assert_equal()


def test_a_flush_that_the_sources_store_fails_is_told_and_nothing_is_copied_until_an_administrator_says_so(
    clusters: Clusters, tmp_path: Path
) -> None:
    with on_faulty_store(clusters, tmp_path, "alpha") as (cluster, file):
        assert [_write(cluster.device, page, page) for page in range(50)] == [0] * 50
        assert _fsync(cluster.device) == 0
        assert [_write(cluster.device, page, 1000 + page) for page in range(50)] == [0] * 50
        file.fail("sync")
        assert _fsync(cluster.device) == errno.EIO
        file.mend()
        for name in ("beta", "gamma"):
            seen = cluster.wait_state(name, "Refused", "Behind")
            assert "flush" in seen["reason"]
        assert _fsync(cluster.device) == errno.EIO, "a flush that succeeds would hide what was lost"
        # R4: the sync target has every write that was answered, whatever became of the source's pages.
        assert all(_holds(cluster.nodes["beta"], page, 1000 + page) for page in range(50))
        status = cluster.source.status()
        assert status is not None
        assert any("flush" in warning for warning in status["warnings"])
        for restart in (cluster.source.kill, cluster.source.stop):
            restart()
            cluster.source.start()
            for name in ("beta", "gamma"):
                assert "flush" in cluster.wait_state(name, "Refused")["reason"]
            assert _fsync(cluster.device) == errno.EIO, "R15: a restart does not make the store any better"
            status = cluster.source.status()
            assert status is not None
            assert any("dkrepl clear r0 store-failed" in warning for warning in status["warnings"])
        assert all(_holds(cluster.nodes["beta"], page, 1000 + page) for page in range(50)), "nothing was copied over it"
        assert cluster.source.cli("clear", "r0", "store-failed")[0] == 0
        cluster.settle()
        cluster.assert_equal()
        assert _fsync(cluster.device) == 0


def test_a_source_whose_store_failed_a_flush_gives_way_to_a_target_that_has_every_answered_write(
    clusters: Clusters, tmp_path: Path
) -> None:
    with on_faulty_store(clusters, tmp_path, "alpha") as (cluster, file):
        alpha, beta = cluster.source, cluster.nodes["beta"]
        assert [_write(cluster.device, page, 1000 + page) for page in range(50)] == [0] * 50
        file.fail("sync")
        assert _fsync(cluster.device) == errno.EIO
        file.mend()
        alpha.ask("demote")
        alpha.wait_until(lambda status: status and status["role"] == "target", "it is a target")
        found = alpha.ask("promote", dry_run=True)
        assert {"StoreFailed", "Inconsistent"} <= set(found["codes"])
        beta.wait_missing_source()
        beta.ask("promote")
        beta.wait_until(lambda status: status and status["role"] == "source", "it is the source")
        alpha.wait_until(lambda status: status and status["state"] == "InSync", "its copy is repaired")
        assert not any("flush" in warning for warning in alpha.present_status()["warnings"])
        assert all(_holds(node, page, 1000 + page) for node in (alpha, beta) for page in range(50))


# --- metadata --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _on_small_state(clusters: Clusters, name: str) -> Iterator[tuple[Cluster, Path]]:
    """A mirror in sync, whose node ``name`` keeps its records on a disk of 1 MiB."""
    cluster = clusters.make(start=False, initialise=False, size=SIZE)
    state = cluster.nodes[name].paths.state
    state.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1m", "dkrepl-test", state)
    try:
        for node in cluster.nodes.values():
            node.initialise()
        cluster.start()
        yield cluster, state / "ballast"
    finally:
        cluster.nodes[name].clean()
        run("umount", "--lazy", state)


def _fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(PAGE))


def test_a_source_that_cannot_record_a_new_generation_fails_writes_and_goes_on_when_it_can(clusters: Clusters) -> None:
    with _on_small_state(clusters, "alpha") as (cluster, ballast):
        assert _write(cluster.device, 1, 1) == 0
        cluster.settle()
        _fill(ballast)
        cluster.nodes["gamma"].kill()
        cluster.wait_state("gamma", "Disconnected")
        # R7: that gamma is without what follows must be on record before an answer. It cannot be, so there is none.
        assert _write(cluster.device, 2, 2) == errno.EIO
        assert cluster.source.wait_for_event("commit_failed")["level"] == "error"
        status = cluster.source.status()
        assert status is not None
        assert any("No space left on device" in warning for warning in status["warnings"])
        ballast.unlink()
        wait_for(lambda: _write(cluster.device, 2, 3), lambda code: code == 0, "the application can write again")
        cluster.wait_state("beta", "InSync")
        cluster.nodes["gamma"].start()
        cluster.settle()
        cluster.assert_equal()
        assert all(_holds(node, 2, 3) and _holds(node, 1, 1) for node in cluster.nodes.values())


def test_a_target_that_cannot_record_its_joining_stays_out_until_it_can(clusters: Clusters) -> None:
    with _on_small_state(clusters, "beta") as (cluster, ballast):
        assert _write(cluster.device, 1, 1) == 0
        cluster.settle()
        _fill(ballast)
        assert cluster.source.cli("resync", "r0", "beta")[0] == 0
        cluster.source.wait_for_event("target_trouble", target="beta", code="MetadataError")
        seen = cluster.wait_state("beta", "Behind")
        assert "No space left on device" in seen["reason"]
        assert _write(cluster.device, 3, 3) == 0, "the application goes on"
        ballast.unlink()
        cluster.settle()
        cluster.assert_equal()
        assert cluster.seen("beta")["resent_bytes"] <= 2 * 65536


def test_a_daemon_that_starts_without_space_for_its_records_says_so_and_is_started_again(clusters: Clusters) -> None:
    with _on_small_state(clusters, "beta") as (cluster, ballast):
        beta = cluster.nodes["beta"]
        beta.kill()
        cluster.wait_state("beta", "Disconnected")
        assert _write(cluster.device, 2, 2) == 0
        # As after a boot of the kernel, which the record has to name before anything else.
        beta.set_metadata(msgspec.structs.replace(beta.metadata(), boot="another boot of the kernel"))
        _fill(ballast)
        beta.start(ready=False)
        code = beta.exit_code()
        assert code == StateDirectoryError.exit_code
        assert "No space left on device" in beta.last_words()
        unit = (ROOT / "packaging" / "dkrepl@.service").read_text()
        (given_up,) = (line for line in unit.splitlines() if line.startswith("RestartPreventExitStatus="))
        assert str(code) not in given_up.partition("=")[2].split(), "it would stay down when there is space again"
        ballast.unlink()
        beta.start()
        cluster.settle()
        cluster.assert_equal()
        assert cluster.seen("beta")["last_resync"]["kind"] == "partial"


def test_a_source_whose_intent_log_fails_fails_new_extents_and_goes_on_in_those_that_are_active(
    clusters: Clusters, tmp_path: Path
) -> None:
    cluster = clusters.make(size=64 * MIB)
    assert _write(cluster.device, 0, 1) == 0
    active = cluster.source.state_dir / "intent" / "active"
    assert cluster.source.stop() == 0
    far = 48 * MIB // PAGE
    with faulty_file(tmp_path / "faulty", active.stat().st_size, active.read_bytes()) as file:
        run("mount", "--bind", file.path, active)
        try:
            cluster.source.start()
            cluster.wait_in_sync()
            assert _write(cluster.device, 0, 2) == 0
            file.fail("write")
            # R1: no data without its intent on stable storage.
            assert _write(cluster.device, far, 3) == errno.EIO
            assert _write(cluster.device, 0, 4) == 0, "an extent that is active needs nothing"
            status = cluster.source.status()
            assert status is not None
            assert any("Input/output error" in warning for warning in status["warnings"])
            assert not _holds(cluster.source, far, 3)
            file.mend()
            wait_for(lambda: _write(cluster.device, far, 5), lambda code: code == 0, "it can write there again")
            cluster.settle()
            cluster.assert_equal()
            assert cluster.source.stop() == 0
        finally:
            cluster.source.clean()
            run("umount", "--lazy", active)
