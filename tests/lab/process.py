"""The process backend: real daemons on this host with FUSE, loop devices and TCP, each in a network of its own.

A power cut takes the daemon, its device and what was in memory file systems; the kernel lives on, so writes that it
had taken and not yet stored are not lost. (The simulator loses those, too.)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dkrepl.api.requests import Request
from dkrepl.api.status import Status
from tests.integration.harness.applications import run
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.network import Network, network
from tests.integration.harness.node import Node as Host
from tests.integration.harness.unit import Unit
from tests.integration.harness.writer import Writer
from tests.lab.mirror import Mirror, Wanted
from tests.lab.node import Node
from tests.lab.pages import fill
from tests.lab.status import serves
from tests.lab.waiting import REAL
from tests.lab.workload import Account, Area, Missing, first_number

SIZE = 32 << 20
BLOCK = 64 << 10
EXTENT = 1 << 20
_NAMES = ("alpha", "beta", "gamma")


class ProcessLab:
    """Makes mirrors under the directory of a test."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    @contextmanager
    def mirror(self, wanted: Wanted) -> Iterator[ProcessMirror]:
        """Return a mirror in sync, with a small ``peer_timeout``."""
        keys: dict[str, Any] = {"peer_timeout": "1s", "extent": EXTENT, "min_copies": wanted.min_copies}
        if wanted.resync_seconds:
            keys["resync_rate"] = int(SIZE / wanted.resync_seconds)
        with contextlib.ExitStack() as stack:
            net = stack.enter_context(network(_NAMES))
            cluster = self._clusters.make(
                start=False,
                targets=(("beta", "sync"), ("gamma", wanted.gamma)),
                size=SIZE,
                addresses=net.addresses,
                **keys,
            )
            mirror = ProcessMirror({name: ProcessNode(host) for name, host in cluster.nodes.items()}, net)
            for name, node in mirror.nodes.items():
                stack.callback(node.unit.close)
                stack.callback(node.host.clean)
                node.host.within = net.within(name)
                node.start()
            mirror.wait_in_sync(mirror.alpha)
            yield mirror


class ProcessMirror(Mirror):
    """Nodes in the namespaces of a network."""

    size = SIZE
    block = BLOCK
    extent = EXTENT
    pause = 0.03
    clock = REAL
    nodes: dict[str, ProcessNode]

    def __init__(self, nodes: dict[str, ProcessNode], net: Network) -> None:
        self.nodes = nodes
        self._cuts = net.partition

    def cut(self, node: Node, *others: Node) -> None:
        self._cuts.part(node.name, *(other.name for other in others))

    def heal(self) -> None:
        self._cuts.heal()

    def load(self, node: Node, area: Area, seed: int) -> ProcessLoad:
        return ProcessLoad(self.nodes[node.name].host, area, seed)

    def fill(self, node: Node, area: Area) -> ProcessWrites:
        account, number = Account(), first_number()
        fill(str(self.nodes[node.name].host.device), area.first, area.length, number)
        account.fills(number, area)
        return ProcessWrites(account)

    @contextmanager
    def used(self, node: Node) -> Iterator[None]:
        with self.nodes[node.name].host.device.open("rb"):
            yield


class ProcessNode:
    """A daemon of this host, under a unit."""

    def __init__(self, host: Host) -> None:
        self.name = host.name
        self.host = host
        self.unit = Unit(host)

    def start(self) -> None:
        self.unit.start()

    def stop(self) -> None:
        self.unit.stop()

    def restart(self) -> None:
        self.unit.restart()

    def kill(self) -> None:
        self.unit.kill()

    def power_off(self) -> None:
        self.unit.power_off()

    def power_on(self) -> None:
        self.unit.start()

    def status(self) -> Status | None:
        return self.host.shown()

    def ask(self, request: Request) -> dict[str, Any]:
        answer: dict[str, Any] = self.host.request(request)
        return answer

    def digest(self) -> str:
        return run("sha256sum", self.host.store).split()[0]


class ProcessWrites:
    """What an application has written."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def written(self, unit: int) -> int:
        return self._account.written(unit)

    def missing_on(self, node: Node) -> list[Missing]:
        host = _host(node)
        return self._account.missing_in(host.device if serves(host.shown()) else host.store)

    def missing_aside(self, node: Node) -> list[Missing]:
        [image] = (_host(node).state_dir / "diverged").glob("*.img")
        return self._account.missing_in(image)


class ProcessLoad(ProcessWrites):
    """An application in threads of this process."""

    def __init__(self, host: Host, area: Area, seed: int) -> None:
        self._writer = Writer(host.device, area.first, area.end, threads=2, seed=seed, flush_every=25)
        super().__init__(self._writer.account)

    @property
    def errors(self) -> int:
        return self._writer.errors

    def wait_for_more(self, writes: int) -> None:
        self._writer.wait_for_more(writes)

    def stop(self) -> None:
        self._writer.stop()


def _host(node: Node) -> Host:
    assert isinstance(node, ProcessNode)
    return node.host
