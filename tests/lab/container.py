"""The container backend: nodes as they are deployed, each a container with systemd, on a lab of ``demo/labs.py``.

A power cut kills a container with all that runs in it; the kernel lives on, so writes that it had taken and not yet
stored are not lost. (The simulator loses those, too.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from demo import power
from demo.labs import Lab
from demo.shell import run
from dkrepl.api import requests
from tests.lab.container_load import SCRIPT, ContainerLoad, ContainerWrites
from tests.lab.container_node import DEVICE, ContainerNode, how
from tests.lab.mirror import Mirror, Wanted
from tests.lab.node import Node
from tests.lab.partition import Partition
from tests.lab.status import serves, source_status
from tests.lab.waiting import REAL
from tests.lab.workload import Area, first_number

_AREA = 4 << 20  # bytes: it writes each block again and again, so that the bounds of a resync mean something


class ContainerLab:
    """Shows the mirror that is deployed, and leaves it as it was: alpha is source, every target in sync."""

    def __init__(self, lab: Lab) -> None:
        self._mirror = ContainerMirror({name: ContainerNode(lab, name) for name in lab.nodes}, cuts_of(lab))
        self._lab = lab

    @contextmanager
    def mirror(self, wanted: Wanted) -> Iterator[ContainerMirror]:
        """Return the mirror; fails if it is deployed otherwise than the story wants it."""
        mirror = self._mirror
        mirror.wait_in_sync(mirror.alpha)
        status = source_status(mirror.alpha.status())
        found = (mirror.seen(mirror.alpha, mirror.gamma).mode, status.quorum.min)
        assert found == (wanted.gamma, wanted.min_copies), f"deployed are gamma {found[0]}, min_copies {found[1]}"
        mirror.size, mirror.block, mirror.extent = status.size, status.block, status.extent
        try:
            yield mirror
        finally:
            power.restore(self._lab, *self._lab.nodes)
            mirror.heal()
            for node in mirror.nodes.values():
                node.start()
            mirror.make_source(mirror.nodes["alpha"])


class ContainerMirror(Mirror):
    """Nodes in containers."""

    pause = 0.3
    patience = 120.0
    clock = REAL
    nodes: dict[str, ContainerNode]

    def __init__(self, nodes: dict[str, ContainerNode], cuts: Partition) -> None:
        self.nodes = nodes
        self._cuts = cuts

    def cut(self, node: Node, *others: Node) -> None:
        self._cuts.part(node.name, *(other.name for other in others))

    def heal(self) -> None:
        self._cuts.heal()

    def load(self, node: Node, area: Area, seed: int) -> ContainerLoad:
        return ContainerLoad(self.nodes[node.name], Area(area.first, min(area.length, _AREA)), seed)

    def fill(self, node: Node, area: Area) -> ContainerWrites:
        writes, number = ContainerWrites(), first_number()
        words = ("fill", DEVICE, *map(str, (area.first, area.length, number)))
        done = self.nodes[node.name].run("python3", "-c", SCRIPT, *words, seconds=120)
        assert done.returncode == 0, f"the device of {node.name} cannot be filled: {how(done)}"
        writes.account.fills(number, area)
        return writes

    def make_source(self, node: ContainerNode) -> None:
        """Hand the mirror over to a node, if it is not source, and wait until all targets are in sync."""

        def sources() -> list[ContainerNode]:
            return [other for other in self.nodes.values() if serves(other.status())]

        [source] = self._until(sources, lambda found: len(found) == 1, "there is one source")
        self.wait_in_sync(source)
        if source is not node:
            source.ask(requests.Switchover(to=node.name))
            self.wait_in_sync(node)


def cuts_of(lab: Lab) -> Partition:
    """Return what cuts the network between the containers of a lab."""

    def within(node: str) -> tuple[str, str]:
        process = run("podman", "inspect", "--format", "{{.State.Pid}}", lab.container(node))
        return "nsenter", f"--net=/proc/{process}/ns/net"  # the node need not have the command installed

    def running() -> list[str]:
        names = run("podman", "ps", "--filter", f"label={lab.label}", "--format", "{{.Names}}").split()
        return [node for node in lab.nodes if lab.container(node) in names]

    return Partition({node: lab.address(node) for node in lab.nodes}, within, running)
