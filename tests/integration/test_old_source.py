"""A node that was source comes back: it asks its peers before it serves, and never becomes a second source unasked."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import msgspec
import pytest

from dkrepl.io.state import metadata_file
from tests.integration.harness.applications import run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.node import Node
from tests.lab.waiting import wait_for

pytestmark = pytest.mark.root


def _write(node: Node, offset: int) -> None:
    run("fio", "--name=w", f"--filename={node.device}", "--rw=write", "--bs=64k", f"--offset={offset}", "--size=1m",
        "--direct=1", "--end_fsync=1", "--randrepeat=0", "--verify_state_save=0")  # fmt: skip


def _write_and_settle(cluster: Cluster) -> None:
    _write(cluster.source, 0)
    cluster.settle()


def _replaced(cluster: Cluster, end: Callable[[Node], object]) -> tuple[Node, Node]:
    """Return alpha, which has written and then ended that way, and beta, which was promoted in its place."""
    alpha, beta = cluster.source, cluster.nodes["beta"]
    _write_and_settle(cluster)
    end(alpha)
    beta.wait_missing_source()
    beta.ask("promote", fenced=["alpha"])
    beta.wait_serving()
    return alpha, beta


def _after_a_reboot(node: Node) -> None:
    """Change the record as if the node's kernel had been booted since."""
    state_dir = node.paths.state_dir("r0")
    metadata_file.write(state_dir, msgspec.structs.replace(metadata_file.read(state_dir), boot="an earlier one"))


def test_a_source_that_died_and_was_replaced_comes_back_as_a_target(cluster: Cluster) -> None:
    alpha, beta = _replaced(cluster, Node.kill)
    _write(beta, 4 * MIB)

    alpha.start(ready=False)
    found = alpha.wait_following("beta")
    assert found["source"] == "beta"
    assert alpha.logged("peers_asked")[-1]["outcome"] == "follow"
    beta.wait_until(lambda status: all(target["state"] == "InSync" for target in status["targets"]), "all are in sync")
    cluster.assert_equal_to(beta, alpha, cluster.nodes["gamma"])


def test_a_source_that_was_rebooted_serves_again_when_all_peers_have_answered(cluster: Cluster) -> None:
    alpha = cluster.source
    _write_and_settle(cluster)
    alpha.stop()
    _after_a_reboot(alpha)
    alpha.start()
    cluster.wait_in_sync()
    assert alpha.logged("peers_asked")[-1].get("not_answered") is None


def test_a_source_that_was_rebooted_waits_for_a_peer_that_does_not_answer(cluster: Cluster) -> None:
    alpha, gamma = cluster.source, cluster.nodes["gamma"]
    _write_and_settle(cluster)
    gamma.kill()
    alpha.stop()
    _after_a_reboot(alpha)
    alpha.start(ready=False)
    seen = alpha.wait_until(lambda status: status and "waiting for gamma" in status.get("reason", ""), "it says whom")
    assert seen["state"] == "Starting"
    assert not cluster.device.exists()
    code, _, sentence = alpha.cli("promote", "r0")
    assert code == 5
    assert "gamma did not answer, and may have been promoted" in sentence
    code, _, _ = alpha.cli("demote", "r0")
    assert code == 5

    gamma.start(ready=False)
    alpha.wait_until(lambda status: status and status["state"] == "Serving", "it serves once gamma has answered")
    cluster.wait_in_sync()
    cluster.assert_equal()


def test_a_source_that_was_stopped_does_not_serve_because_its_kernel_still_runs(cluster: Cluster) -> None:
    """The one that was promoted meanwhile does not answer at once: what passed since is not known to the old source."""
    alpha, beta = _replaced(cluster, Node.stop)
    _write(beta, 4 * MIB)
    beta.freeze()
    cluster.nodes["gamma"].freeze()
    alpha.start(ready=False)
    alpha.wait_until(lambda status: status and "waiting for beta" in status.get("reason", ""), "it says whom it asks")
    wait_for(alpha.uptime, lambda seconds: seconds > 3.0, "it has had time to serve")
    assert alpha.present_status()["state"] == "Starting"
    assert not cluster.device.exists()
    for node in cluster.targets:
        node.thaw()
    alpha.wait_following("beta")
    cluster.assert_equal_to(beta, alpha)


def test_an_administrator_or_the_description_can_let_a_source_start_alone(clusters: Clusters) -> None:
    cluster = clusters.make(start_alone="1s")
    alpha = cluster.source
    _write_and_settle(cluster)
    for node in cluster.nodes.values():
        node.stop()
    _after_a_reboot(alpha)
    alpha.start(ready=False)
    alpha.wait_until(lambda status: status and status["state"] == "Serving", "it serves alone")
    assert alpha.logged("peers_asked")[-1]["not_answered"] == ["beta", "gamma"]
    alpha.stop()

    cluster.describe(alpha, start_alone="never")
    _after_a_reboot(alpha)
    alpha.start(ready=False)
    alpha.wait_until(lambda status: status and status["state"] == "Starting", "it waits")
    alpha.promote()


def test_a_first_source_that_was_lost_and_initialised_anew_follows_the_one_that_has_the_data(cluster: Cluster) -> None:
    alpha, beta = _replaced(cluster, Node.stop)
    shutil.rmtree(alpha.paths.state_dir("r0"))
    alpha.store.unlink()
    alpha.initialise()

    alpha.start(ready=False)
    alpha.wait_following("beta")
    cluster.assert_equal_to(beta, alpha)
