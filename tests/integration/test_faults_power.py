"""Power is lost at a node while a file system is in use: its copy is a whole file system with all that was fsynced."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.harness.crash_consistency import SIZE, try_power_losses
from tests.integration.harness.fixtures import Clusters
from tests.lab.seeds import seed_for

pytestmark = pytest.mark.root


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_after_a_power_loss_the_sync_target_holds_a_whole_file_system_and_what_was_fsynced(
    clusters: Clusters, request: pytest.FixtureRequest, say: Callable[[str], None], kind: str
) -> None:
    cluster = clusters.make(start=False, targets=[("beta", "sync")], size=SIZE)
    seed = seed_for(request.node.nodeid, say)
    say(str(try_power_losses(cluster, "beta", kind, seed, steps=80, at_flushes=12, others=18)))
