"""The fixtures of all scenarios; pytest is told to load them in .config/molecule/config.yml."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.nodes import LAB, NODES, Node, in_sync
from tests.lab.container import ContainerLab


@pytest.fixture(scope="session")
def nodes() -> dict[str, Node]:
    return {name: Node(name) for name in NODES}


@pytest.fixture(scope="session")
def alpha(nodes: dict[str, Node]) -> Node:
    return nodes["alpha"]


@pytest.fixture
def lab() -> ContainerLab:
    """For the stories of tests/scenarios: the mirror that is deployed."""
    return ContainerLab(LAB)


@pytest.fixture
def settled(alpha: Node) -> Iterator[None]:
    """The test starts with alpha as source and all targets in sync, whatever the one before it did."""
    in_sync(alpha)
    yield
    alpha.sh("pkill -x fio || true; umount /mnt/r0 2>/dev/null || true")
