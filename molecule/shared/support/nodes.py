"""The three nodes, and the questions that the tests ask them again and again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import testinfra
from testinfra.host import Host

from demo.labs import LABS
from dkrepl.api.status import SourceStatus, Status, TargetAtSource
from tests.lab.container_node import DEVICE, MIRROR, STORE, UNIT, ContainerNode, device_open
from tests.lab.status import settled, source_status, target_of

__all__ = [
    "DEVICE",
    "MIRROR",
    "STORE",
    "UNIT",
    "Node",
    "assert_equal_copies",
    "device_open",
    "hold",
    "in_sync",
    "quiet",
    "store_hashes",
]

LAB = LABS["molecule"]
BLOCK = 64 * 1024
EXTENT = 4 * 1024 * 1024
MIB = 1024 * 1024
NODES = LAB.nodes
TARGETS = ("beta", "gamma")


class Node(ContainerNode):
    """One container, as testinfra sees it too, and what the tests of Molecule ask of it."""

    def __init__(self, name: str) -> None:
        super().__init__(LAB, name)
        self.host: Host = testinfra.get_host(f"podman://{LAB.container(name)}")

    def shown(self) -> Status:
        """The daemon's status; fails the test if there is none."""
        status = self.status()
        assert status is not None, f"{self.name} shows no status"
        return status

    def source(self) -> SourceStatus:
        """The same, of a node that has to be source."""
        return source_status(self.status())

    def target(self, name: str) -> TargetAtSource:
        """What the source says of one target."""
        return target_of(self.source(), name)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of this name since the daemon started."""
        lines = self.sh(f"dkrepl events {MIRROR} --json").splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == name]


def in_sync(source: Node, seconds: int = 60) -> None:
    """Wait until all targets of this source are in sync."""
    source.sh(f"dkrepl wait insync {MIRROR} --timeout {seconds}s", seconds=seconds + 10)


def quiet(source: Node) -> None:
    """Flush, and wait until nothing is on its way to a target any more."""
    source.sh(f"blockdev --flushbufs {DEVICE}; sync {DEVICE}")
    in_sync(source)
    source.wait("nothing open for any target", lambda: settled(source.status()))


def hold(source: Node, size: int) -> None:
    """Let all nodes hold the same random data, so many bytes at the start of the device, with nothing on its way."""
    in_sync(source)
    source.sh(f"dd if=/dev/urandom of={DEVICE} bs=1M count={size // MIB} oflag=direct conv=fsync,notrunc,nocreat")
    quiet(source)


def store_hashes(nodes: Iterable[Node]) -> dict[str, str]:
    """A hash of each node's whole store, read from the store itself and not through dkrepl."""
    return {node.name: node.digest() for node in nodes}


def assert_equal_copies(nodes: dict[str, Node], source: str = "alpha") -> None:
    """Nothing is open, and then all stores are equal."""
    quiet(nodes[source])
    hashes = store_hashes(nodes.values())
    assert len(set(hashes.values())) == 1, hashes
