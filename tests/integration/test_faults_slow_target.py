"""An async target stands still, or hangs on a line of 1 Mbit/s: nobody else notices, and it catches up (R5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.harness.applications import Fio
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.slow_network import SlowNetwork, slow_network

pytestmark = pytest.mark.root

WINDOW = 4 * MIB
WRITTEN = 384 * MIB
# Windows of three targets, lent buffers and unanswered writes (docs/internals/reliability.md); a queue for gamma would
# take more.
BOUND = 3 * WINDOW + 48 * MIB + 64 * MIB
TARGETS = (("beta", "sync"), ("gamma", "async"), ("delta", "async"))


@pytest.mark.parametrize("how", ["stopped", "1mbit"])
def test_a_slow_async_target_costs_bounded_memory_and_nobody_elses_lag_and_catches_up(
    clusters: Clusters, say: Callable[[str], None], how: str
) -> None:
    with slow_network() as network:
        cluster = clusters.make(
            start=False,
            targets=TARGETS,
            on_full="bitmap",
            window=WINDOW,
            addresses={"alpha": network.here, "gamma": network.there},
        )
        gamma = cluster.nodes["gamma"]
        gamma.within = network.within
        cluster.start()
        try:
            grown = _suffer(cluster, network, how)
            say(f"{how}: the source grew by {grown / MIB:.0f} of {BOUND // MIB} MiB over {WRITTEN // MIB} written")
        finally:
            gamma.clean()


def _suffer(cluster: Cluster, network: SlowNetwork, how: str) -> int:
    """Slow gamma down under load, and let it catch up; return by how many bytes the source grew."""
    gamma = cluster.nodes["gamma"]
    # Warm, so that what follows is growth: of a mirror that has been at work.
    Fio(cluster.device, "--bs=64k", "--size=48m").finish()
    cluster.settle()
    before = _source(cluster)["process"]["rss_bytes"]
    if how == "stopped":
        gamma.freeze()
    else:
        network.slow(how)
    peak = 0
    fio = Fio(cluster.device, "--bs=64k", "--size=48m", f"--io_size={WRITTEN}", "--rate=48m", "--verify=0")
    try:
        while fio.running:
            status = _source(cluster)
            peak = max(peak, status["process"]["rss_bytes"])
            seen = {one["name"]: one for one in status["targets"]}
            assert seen["beta"]["state"] == "InSync", seen["beta"]
            assert seen["delta"]["window"]["bytes"] <= WINDOW + MIB
            assert seen["gamma"]["window"]["bytes"] <= WINDOW + MIB
        fio.finish()
    finally:
        fio.end()
    assert peak - before < BOUND, f"the source grew by {(peak - before) / MIB:.0f} MiB"
    # Delta's way is free, and its lag is over as soon as it can be, while gamma still has most of it to get.
    cluster.settle("beta", "delta")
    assert cluster.seen("gamma")["dirty_blocks"] > 0
    delta = cluster.nodes["delta"]
    cluster.assert_equal(cluster.nodes["beta"], delta)
    left = [event for event in cluster.source.logged("target_state") if event["target"] == "beta"]
    assert left[-1]["after"] == "InSync"
    if how == "stopped":
        gamma.thaw()
    else:
        network.mend()
    cluster.settle()
    cluster.assert_equal()
    return int(peak - before)


def _source(cluster: Cluster) -> dict[str, Any]:
    status = cluster.source.status()
    assert status is not None
    return status
