"""Hundreds of power losses at the target, and at the source, under ext4 and xfs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.harness.crash_consistency import SIZE, try_power_losses
from tests.integration.harness.fixtures import Clusters
from tests.lab.seeds import seed_for

pytestmark = [pytest.mark.root, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("name", ["beta", "alpha"], ids=["sync-target", "source"])
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_after_a_power_loss_a_node_holds_a_whole_file_system_and_what_was_fsynced(
    clusters: Clusters, request: pytest.FixtureRequest, say: Callable[[str], None], kind: str, name: str
) -> None:
    cluster = clusters.make(start=False, targets=[("beta", "sync")], size=SIZE)
    seed = seed_for(request.node.nodeid, say)
    say(str(try_power_losses(cluster, name, kind, seed, steps=300, at_flushes=100, others=150)))
