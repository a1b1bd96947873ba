"""Another node becomes source, and only what the bitmaps name is copied (R7, R8): after a switchover nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.harness.applications import run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.node import Node

pytestmark = pytest.mark.root


def _write(node: Node, offset: int, size: str = "1m", rw: str = "write", bs: str = "64k") -> None:
    run("fio", "--name=w", f"--filename={node.device}", f"--rw={rw}", f"--bs={bs}", f"--offset={offset}",
        f"--size={size}", "--direct=1", "--end_fsync=1", "--randrepeat=0", "--verify_state_save=0")  # fmt: skip


def _all_in_sync(source: Node) -> dict[str, dict[str, Any]]:
    """Wait until every target of ``source`` is in sync with nothing dirty; return what it shows of each."""
    return {one["name"]: one for one in source.wait_settled()["targets"]}


def test_a_switchover_of_a_device_that_was_taken_over_from_a_predecessor(cluster: Cluster) -> None:
    alpha, beta = cluster.source, cluster.nodes["beta"]
    _write(alpha, 0, "8m")
    # Under the unit the mount is gone with the predecessor's namespace, and only the loop device keeps the file.
    run("umount", "--lazy", str(alpha.paths.mountpoint("r0")))
    code, answer, sentence = alpha.cli("switchover", "r0", "--to", "beta", "--json")
    assert code == 0, sentence
    assert json.loads(answer)["changed"]
    assert {one["resent_bytes"] for one in _all_in_sync(beta).values()} == {0}
    assert alpha.present_status()["role"] == "target"


def test_a_switchover_is_refused_while_it_could_lose_something(cluster: Cluster) -> None:
    alpha = cluster.source
    with alpha.device.open("rb"):
        code, _, sentence = alpha.cli("switchover", "r0", "--to", "beta")
        assert code == 5
        assert "in use" in sentence
    alpha.cli("pause", "r0", "beta")
    code, _, sentence = alpha.cli("switchover", "r0", "--to", "beta")
    assert code == 5
    assert "beta is Paused" in sentence
    code, _, sentence = alpha.cli("switchover", "r0", "--to", "omega")
    assert code == 6
    assert alpha.present_status()["state"] == "Serving"
    alpha.cli("resume", "r0", "beta")
    cluster.wait_in_sync()
    code, _, _ = alpha.cli("switchover", "r0", "--to", "alpha")
    assert code == 0


def test_after_a_failover_the_survivor_and_the_old_source_are_copied_in_part(cluster: Cluster) -> None:
    alpha, beta, gamma = (cluster.nodes[name] for name in ("alpha", "beta", "gamma"))
    _write(alpha, 0, "32m")
    cluster.settle()
    _write(alpha, 0, "2m", "randwrite", "4k")
    alpha.kill()
    beta.wait_missing_source()
    beta.ask("promote", fenced=["alpha"])
    beta.wait_serving()
    _write(beta, 48 * MIB, "1m")
    seen = beta.wait_until(
        lambda found: found and {one["name"]: one["state"] for one in found["targets"]}.get("gamma") == "InSync",
        "gamma follows beta",
    )
    survivor = next(one for one in seen["targets"] if one["name"] == "gamma")
    assert survivor["last_resync"]["kind"] == "partial"
    assert survivor["last_resync"]["copied_bytes"] <= 4 * MIB  # the last 2 MiB, and the 1 MiB since

    alpha.start(ready=False)
    old = _all_in_sync(beta)["alpha"]
    assert old["last_resync"]["kind"] == "partial"
    assert old["last_resync"]["copied_bytes"] <= 4 * MIB
    cluster.assert_equal_to(beta, alpha, gamma)
