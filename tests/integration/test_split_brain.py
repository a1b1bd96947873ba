"""Two nodes that each wrote without the other: both stay as they are until an administrator decides (R7)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.harness.applications import run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.node import Node

pytestmark = pytest.mark.root


def _write(node: Node, offset: int, value: int, size: int = MIB) -> None:
    with node.device.open("r+b") as device:
        device.seek(offset)
        device.write(bytes([value]) * size)
    run("blockdev", "--flushbufs", str(node.device))
    run("fio", "--name=s", f"--filename={node.device}", "--rw=write", "--bs=4k", f"--offset={offset + size}",
        "--size=4k", "--direct=1", "--end_fsync=1", f"--buffer_pattern={value}", "--verify_state_save=0")  # fmt: skip


def _beta_takes_over(clusters: Clusters) -> Cluster:
    """Return a pair whose link is cut, with beta promoted: both are source."""
    cluster = clusters.make(targets=(("beta", "sync"),), linked=True)
    _write(cluster.source, 0, 1)
    cluster.settle()
    cluster.links["beta"].cut()
    beta = cluster.nodes["beta"]
    beta.wait_missing_source()
    code, _, sentence = beta.cli("promote", "r0", "--fenced", "alpha")
    assert code == 0, sentence
    return cluster


def test_two_sources_find_each_other_out_and_the_loser_keeps_its_blocks(clusters: Clusters, tmp_path: Path) -> None:
    cluster = _beta_takes_over(clusters)
    alpha, beta = cluster.source, cluster.nodes["beta"]
    _write(alpha, 8 * MIB, 0xA)  # alpha alone
    _write(alpha, 0, 0xA)
    _write(beta, 16 * MIB, 0xB)  # beta alone
    _write(beta, 0, 0xB)
    cluster.links["beta"].mend()

    seen = {}
    for node, other in ((alpha, "beta"), (beta, "alpha")):
        status = node.wait_until(lambda found: found and found.get("split_brain"), "it reports the split-brain")
        seen[node.name] = status["split_brain"]
        assert status["role"] == "source"
        assert status["state"] == "Serving"
        assert status["split_brain"]["with"] == other
        assert 2 * MIB <= status["split_brain"]["here_bytes"] <= 3 * MIB
        assert status["split_brain"]["since"]
        assert node.logged("split_brain")
    assert seen["alpha"]["here_bytes"] == seen["beta"]["there_bytes"]

    code, _, sentence = alpha.cli("resolve", "r0", "--keep", "alpha")
    assert code == 2, sentence
    code, _, sentence = alpha.cli("resolve", "r0", "--keep", "beta")
    assert code == 0, sentence
    alpha.wait_following("beta")
    status = alpha.wait_until(lambda found: found and found["diverged"] and found["diverged"][0]["settled"], "it keeps")
    assert any("diverged" in warning for warning in status["warnings"])
    cluster.assert_equal_to(beta, alpha)
    joined = next(one for one in beta.present_status()["targets"] if one["name"] == "alpha")
    assert joined["last_resync"]["kind"] == "partial"
    assert joined["last_resync"]["copied_bytes"] <= 5 * MIB

    name = status["diverged"][0]["name"]
    lost = tmp_path / "lost.img"
    code, _, sentence = alpha.cli("diverged", "export", name, str(lost), "--mirror", "r0")
    assert code == 0, sentence
    content = lost.read_bytes()
    assert content[:MIB] == b"\x0a" * MIB
    assert content[8 * MIB : 9 * MIB] == b"\x0a" * MIB
    assert content[16 * MIB : 17 * MIB] == bytes(MIB)
    _, listed, _ = alpha.cli("diverged", "list", "r0", "--json")
    assert [one["name"] for one in json.loads(listed)["diverged"]] == [name]
    code, _, _ = alpha.cli("diverged", "drop", name, "--mirror", "r0")
    assert code == 0
    assert "nothing is saved" in alpha.cli("diverged", "list", "r0")[1]


def test_a_source_that_was_replaced_and_wrote_nothing_alone_is_told_so(clusters: Clusters) -> None:
    cluster = _beta_takes_over(clusters)
    alpha, beta = cluster.source, cluster.nodes["beta"]
    _write(beta, 16 * MIB, 0xB)
    cluster.links["beta"].mend()
    alpha.wait_until(
        lambda found: found and any("demote this node" in text for text in found["warnings"]), "it is told to give way"
    )
    assert alpha.present_status()["split_brain"] is None
    assert alpha.cli("demote", "r0")[0] == 0
    alpha.wait_following("beta")
    assert alpha.present_status()["diverged"] == []
    cluster.assert_equal_to(beta, alpha)


@pytest.mark.parametrize("policy", ["keep", "ask"])
def test_an_old_source_keeps_the_writes_that_an_async_target_never_got(clusters: Clusters, policy: str) -> None:
    cluster = clusters.make(targets=(("beta", "async"),), on_diverged=policy)
    alpha, beta = cluster.source, cluster.nodes["beta"]
    _write(alpha, 0, 1)
    cluster.settle()
    beta.freeze()
    _write(alpha, 8 * MIB, 0xA)  # answered, and in the window of beta, which stands still
    alpha.kill()
    beta.thaw()
    beta.wait_missing_source()
    beta.promote()
    _write(beta, 8 * MIB, 0xB)

    alpha.start(ready=False)
    if policy == "ask":
        refused = alpha.wait_until(lambda status: status and status.get("state") == "Refused", "it waits to be told")
        assert "dkrepl resolve --keep beta on alpha" in refused["reason"]
        with alpha.store.open("rb") as store:
            store.seek(8 * MIB)
            assert store.read(MIB) == b"\x0a" * MIB
        assert alpha.cli("resolve", "r0", "--keep", "beta")[0] == 0
    alpha.wait_following("beta")
    found = alpha.wait_until(
        lambda status: status and status["diverged"] and status["diverged"][0]["settled"], "it has compared"
    )
    cluster.assert_equal_to(beta, alpha)
    kept = found["diverged"][0]
    image = (alpha.state_dir / "diverged" / f"{kept['name']}.img").read_bytes()
    assert image[8 * MIB : 9 * MIB] == b"\x0a" * MIB
