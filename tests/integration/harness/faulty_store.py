"""A mirror of real daemons, one of which has a store that can be made to fail, or to stand still."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.faulty_file import FaultyFile, faulty_file
from tests.integration.harness.fixtures import Clusters

SIZE = 32 * MIB


@contextlib.contextmanager
def on_faulty_store(
    clusters: Clusters, directory: Path, name: str, **keys: Any
) -> Iterator[tuple[Cluster, FaultyFile]]:
    """A mirror in sync, whose node ``name`` has that store. ``keys``: of the description."""
    cluster = clusters.make(start=False, initialise=False, size=SIZE, **keys)
    with faulty_file(directory / "faulty", SIZE) as file:
        cluster.nodes[name].store.symlink_to(file.path)
        for node in cluster.nodes.values():
            node.initialise()
        cluster.start()
        try:
            yield cluster, file
        finally:
            file.mend()  # a process that waits for it could not be ended
            cluster.nodes[name].clean()
