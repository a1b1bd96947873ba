"""Nodes whose descriptions differ: what matters keeps them apart, and is named; what does not is a warning."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.harness.applications import run
from tests.integration.harness.cluster import Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.node import MIRROR, Node

pytestmark = pytest.mark.root

THREE_SYNC = (("beta", "sync"), ("gamma", "sync"))


def _write(cluster: Cluster) -> None:
    run("fio", "--name=w", f"--filename={cluster.device}", "--rw=write", "--bs=64k", "--size=1m", "--direct=1",
        "--end_fsync=1", "--randrepeat=0", "--verify_state_save=0")  # fmt: skip


def _redescribe(cluster: Cluster, node: Node, **changes: Any) -> None:
    """Change what the file of a node says, and start its daemon anew."""
    node.stop()
    cluster.describe(node, **changes)
    node.start(ready=False)


def test_a_target_with_another_min_copies_is_refused_and_the_key_is_named(clusters: Clusters) -> None:
    cluster = clusters.make(targets=THREE_SYNC)
    gamma = cluster.nodes["gamma"]
    _redescribe(cluster, gamma, min_copies=2)
    seen = cluster.wait_state("gamma", "Refused")
    assert "min_copies (1 here, 2 there)" in seen["reason"]
    gamma.wait_until(lambda status: status and status["state"] == "Refused", "it says so itself")
    code, out, sentence = cluster.source.cli("config", "diff", MIRROR)
    assert code == 5
    assert "gamma" in sentence
    assert "required: min_copies: 1 here, 2 there" in out
    assert "beta: the same" in out
    _redescribe(cluster, gamma)
    cluster.wait_in_sync()
    code, out, _ = cluster.source.cli("config", "diff", MIRROR, "--json")
    assert (code, json.loads(out)["agree"]) == (0, True)


def test_the_order_of_the_nodes_is_no_difference(clusters: Clusters) -> None:
    cluster = clusters.make(targets=THREE_SYNC)
    beta, order = cluster.nodes["beta"], list(cluster.nodes)
    cluster.nodes = {name: cluster.nodes[name] for name in reversed(order)}
    _redescribe(cluster, beta)
    cluster.wait_in_sync()
    _write(cluster)
    cluster.settle()
    assert beta.cli("config", "diff", MIRROR)[0] == 0
    cluster.assert_equal()


def test_a_key_that_need_not_be_equal_is_a_warning(clusters: Clusters) -> None:
    cluster = clusters.make(targets=THREE_SYNC)
    _redescribe(cluster, cluster.nodes["gamma"], resync_rate="1MiB/s")
    cluster.wait_in_sync()
    cluster.source.wait_for_event("descriptions_differ", target="gamma")
    status = cluster.source.status()
    assert status is not None
    assert any("the description of gamma differs" in warning for warning in status["warnings"])
    code, out, _ = cluster.source.cli("config", "diff", MIRROR)
    assert code == 5
    assert "advisory: resync_rate: 0 here, 1048576 there" in out


def test_a_lowered_min_copies_counts_once_enough_of_the_old_nodes_know_it_or_are_said_to_be_gone(
    clusters: Clusters,
) -> None:
    cluster = clusters.make(targets=THREE_SYNC, min_copies=2)
    _write(cluster)
    alpha = cluster.source
    for node in cluster.targets:
        node.kill()
    cluster.keys["min_copies"] = 1
    alpha.stop()
    cluster.describe(alpha)
    alpha.start(ready=False)
    # By the old description beta and gamma alone may promote one of themselves: so nothing is answered without them.
    alpha.wait_until(lambda status: status and status["state"] == "Starting", "it asks its peers")
    alpha.promote()
    status = alpha.wait_serving()
    assert any("the description has changed" in warning for warning in status["warnings"])
    code, _, sentence = alpha.cli("config", "adopt", MIRROR)
    assert code == 5
    assert "--fenced NODE" in sentence
    assert alpha.cli("config", "adopt", MIRROR, "--fenced", "beta")[0] == 0
    _write(cluster)
    for node in cluster.targets:
        cluster.describe(node)
        node.start(ready=False)
    cluster.settle()
    cluster.assert_equal()
