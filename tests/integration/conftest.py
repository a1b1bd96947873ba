"""Clusters for tests: whatever a test leaves is taken away, whether it passed or not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.cluster import Cluster


class Clusters:
    """Makes clusters under one directory; ``close`` takes all of them away."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: list[Cluster] = []

    def make(self, start: bool = True, **options: Any) -> Cluster:
        """Return a new cluster, by default with every daemon started and every target in sync."""
        cluster = Cluster(self._directory / f"c{len(self._made)}", **options)
        self._made.append(cluster)
        if start:
            cluster.start()
        return cluster

    def close(self) -> None:
        for cluster in self._made:
            cluster.close()


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Clusters]:
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("needs root, /dev/fuse and loop devices")
    made = Clusters(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def cluster(clusters: Clusters) -> Cluster:
    """A source, a synchronous target beta and an asynchronous target gamma, in sync."""
    return clusters.make()
