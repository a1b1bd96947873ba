"""Twenty times the source's node is lost under load; the sync target that takes its place lacks nothing (R4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.harness.failover import SIZE, lose_the_source
from tests.integration.harness.fixtures import Clusters
from tests.lab.seeds import seed_for

pytestmark = pytest.mark.root


@pytest.mark.parametrize("number", range(1, 21))
def test_no_acknowledged_write_is_lost_with_the_source(
    clusters: Clusters, tmp_path: Path, request: pytest.FixtureRequest, say: Callable[[str], None], number: int
) -> None:
    cluster = clusters.make(linked=True, size=SIZE, peer_timeout="3s")
    seed = seed_for(request.node.nodeid, say)
    say(str(lose_the_source(cluster, seed, tmp_path / "fio", silently=bool(number % 2))))
