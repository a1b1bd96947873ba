"""What every test here may ask for; see ``harness/fixtures.py``."""

from __future__ import annotations

from harness.fixtures import (
    Clusters,
    cluster,
    clusters,
    manager,
    module_clusters,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    say,
    shared,
)

__all__ = [
    "Clusters",
    "cluster",
    "clusters",
    "manager",
    "module_clusters",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "say",
    "shared",
]
