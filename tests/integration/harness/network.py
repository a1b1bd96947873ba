"""A network of the nodes' own, one namespace each, in which every direction between two nodes can be cut alone.

Each node's namespace has one link to a bridge, which has a namespace, too: nothing of it is on this host's own network
(ip-netns(8)).
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence

from tests.integration.harness.applications import run
from tests.lab.partition import Partition

_networks = itertools.count()


class Network:
    """``addresses`` of the nodes by name; ``partition`` cuts it."""

    def __init__(self, names: Sequence[str]) -> None:
        self._prefix = f"dkt{os.getpid()}-{next(_networks)}"
        self._hub = f"{self._prefix}-hub"
        self.addresses = {name: f"10.213.99.{place}" for place, name in enumerate(names, 11)}
        self.partition = Partition(self.addresses, self.within)

    def within(self, name: str) -> tuple[str, ...]:
        """Return the command that runs another in a node's network, and in all else as it would be run here."""
        return ("nsenter", f"--net=/run/netns/{self._space(name)}")

    def make(self) -> None:
        """Make the namespaces, the bridge and the links."""
        run("ip", "netns", "add", self._hub)
        run("ip", "-n", self._hub, "link", "add", "name", "bridge", "type", "bridge")
        run("ip", "-n", self._hub, "link", "set", "bridge", "up")
        for name, address in self.addresses.items():
            space = self._space(name)
            run("ip", "netns", "add", space)
            run("ip", "-n", self._hub, "link", "add", "name", name, "type", "veth",
                "peer", "name", "eth0", "netns", space)  # fmt: skip
            run("ip", "-n", self._hub, "link", "set", name, "master", "bridge", "up")
            run("ip", "-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", space, "link", "set", "eth0", "up")
            run("ip", "-n", space, "link", "set", "lo", "up")

    def take_away(self) -> None:
        """Remove the namespaces, and with them the links and the bridge."""
        for space in (*map(self._space, self.addresses), self._hub):
            with contextlib.suppress(AssertionError):  # the making may have broken off
                run("ip", "netns", "delete", space)

    def _space(self, name: str) -> str:
        return f"{self._prefix}-{name}"


@contextlib.contextmanager
def network(names: Sequence[str]) -> Iterator[Network]:
    """A network that is taken away in the end."""
    made = Network(names)
    try:
        made.make()
        yield made
    finally:
        made.take_away()
