"""Every story is told on virtual time, for several orders of events, and on real daemons of this host."""

from __future__ import annotations

import pytest

from tests.integration.harness.fixtures import Clusters
from tests.lab.mirror import Lab
from tests.lab.process import ProcessLab
from tests.lab.simulated import SimulatedLab

SEEDS = range(1, 5)
_BACKENDS = [
    *(pytest.param(seed, id=f"simulated-seed{seed}") for seed in SEEDS),
    pytest.param(None, id="process", marks=pytest.mark.root),
]


@pytest.fixture(params=_BACKENDS)
def lab(request: pytest.FixtureRequest) -> Lab:
    """Makes mirrors; the name of the test says which backend and seed it has."""
    if request.param is not None:
        return SimulatedLab(request.param)
    clusters: Clusters = request.getfixturevalue("clusters")
    return ProcessLab(clusters)
