"""A load on a node whose answered writes are known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from support.nodes import MIB, Node
from tests.lab.container_load import ContainerLoad
from tests.lab.workload import Area


@contextmanager
def writing(node: Node, offset: int, length: int = 4 * MIB, seed: int = 1) -> Iterator[ContainerLoad]:
    """A writer in an area of the device that is gone at the end, whatever happened."""
    writer = ContainerLoad(node, Area(offset, length), seed)
    try:
        yield writer
    finally:
        writer.stop()
