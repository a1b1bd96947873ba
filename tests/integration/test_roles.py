"""Promotion and demotion: what is refused, and that the data goes along."""

from __future__ import annotations

import contextlib
import fcntl
import threading
from pathlib import Path

import pytest

from dkrepl.errors import Refused
from tests.integration.harness.applications import mounted, run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.node import Node
from tests.integration.harness.writer import Writer

pytestmark = pytest.mark.root


def _promote(node: Node, *options: str) -> None:
    code, _, err = node.cli("promote", "r0", *options)
    assert code == 0, err
    node.wait_serving()


def test_a_promotion_is_refused_while_the_source_lives(cluster: Cluster) -> None:
    for force in ([], ["--force", "00000000"]):
        code, _, err = cluster.nodes["beta"].cli("promote", "r0", *force)
        assert code == Refused.exit_code
        assert "alpha is alive" in err
    assert cluster.source.cli("promote", "r0")[0] == Refused.exit_code
    cluster.settle()


def test_after_the_death_of_the_source_a_target_carries_on(cluster: Cluster) -> None:
    alpha, beta, gamma = cluster.nodes.values()
    writer = Writer(cluster.device, 0, 16 * MIB)
    writer.wait_for_more(100)
    alpha.kill()  # only the daemon dies: all that the kernel had taken from it is there when it comes back
    writer.join()
    beta.wait_missing_source()
    _promote(beta, "--fenced", "alpha")
    # R4: all that was completed is there.
    writer.assert_all_in(beta.device)

    second = Writer(beta.device, 0, 16 * MIB, seed=2)  # over the same pages
    second.wait_for_more(100)
    gamma.wait_following("beta")
    second.stop()
    assert second.error is None
    beta.wait_settled("gamma")
    cluster.assert_equal_to(beta, gamma)
    second.assert_all_in(gamma.store)

    # R7: the old source returns, and nobody takes its older data: it becomes what beta is.
    alpha.start(ready=False)
    gamma.kill()
    gamma.start()
    for node in (alpha, gamma):
        node.wait_following("beta")
    beta.wait_settled("alpha", "gamma")
    cluster.assert_equal_to(beta, alpha, gamma)


def test_source_and_target_change_places_and_back(cluster: Cluster) -> None:
    alpha, beta, gamma = cluster.nodes.values()
    run("fio", "--name=fill", f"--filename={cluster.device}", "--rw=write", "--bs=256k", "--size=8m", "--direct=1")
    cluster.settle()
    for old, new in ((alpha, beta), (beta, alpha)):
        assert old.cli("demote", "r0")[0] == 0
        old.wait_until(lambda status: status and status.get("role") == "target", "it is a target")
        assert not old.device.exists()
        new.wait_missing_source()
        _promote(new)
        writer = Writer(new.device, 4 * MIB, 12 * MIB, seed=ord(new.name[0]))
        writer.wait_for_more(50)
        for node in (old, gamma):
            node.wait_until(
                lambda status, n=new: status and status.get("source") == n.name and status["state"] == "InSync",
                f"it follows {new.name}",
            )
        writer.stop()
        assert writer.error is None
        new.wait_settled(old.name, "gamma")
        cluster.assert_equal_to(new, old, gamma)
        writer.assert_all_in(old.store)


def test_nobody_else_can_lock_the_store_while_a_node_changes_its_role(cluster: Cluster) -> None:
    """As udevd does with a disk that was closed: the node would find it in use, and end."""
    alpha = cluster.source
    locked: list[bool] = []
    ended = threading.Event()

    def lock() -> None:
        with alpha.store.open("rb") as store:
            while not ended.is_set():
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(store, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    locked.append(True)
                    fcntl.flock(store, fcntl.LOCK_UN)

    other = threading.Thread(target=lock)
    other.start()
    try:
        for command, role in (("demote", "target"), ("promote", "source")):
            alpha.ask(command)
            alpha.wait_until(lambda status, r=role: status and status.get("role") == r, f"it is {role}")
    finally:
        ended.set()
        other.join()
    assert not locked


def test_a_demotion_is_refused_while_the_device_is_used(cluster: Cluster, tmp_path: Path) -> None:
    run("mkfs.ext4", "-q", cluster.device)
    with mounted(cluster.device, tmp_path / "mnt") as point:
        code, _, err = cluster.source.cli("demote", "r0")
        assert code == Refused.exit_code
        assert f"mounted on {point}" in err
        (point / "file").write_text("still a source")
    assert cluster.source.cli("demote", "r0")[0] == 0
    cluster.source.wait_until(lambda status: status and status.get("role") == "target", "it is a target")


def test_a_copy_in_the_middle_of_a_resync_is_promoted_only_by_force(clusters: Clusters) -> None:
    cluster = clusters.make(targets=[("gamma", "async")], resync_rate="8MiB/s")
    gamma = cluster.nodes["gamma"]
    gamma.kill()
    cluster.wait_state("gamma", "Disconnected")
    run("fio", "--name=fill", f"--filename={cluster.device}", "--rw=write", "--bs=1m", "--size=32m", "--direct=1")
    gamma.start()
    cluster.wait_target("gamma", lambda one: one["resync"] and one["resync"]["done_bytes"] > MIB, "is being copied")
    cluster.source.kill()
    gamma.wait_missing_source()
    code, _, err = gamma.cli("promote", "r0")
    assert code == Refused.exit_code
    assert "in the middle of a resync" in err
    gamma.promote()
