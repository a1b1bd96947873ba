"""Tests that take minutes each, on the same real parts as ``tests/integration``; ``make test-long`` runs them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

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
