"""Cuts of the network between nodes that have a network namespace each, in one direction or in both.

A cut drops what arrives at a node from another (iptables(8)): the sender is told nothing, as with a real line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from demo.shell import run


class Partition:
    """``addresses`` of the nodes by name; ``within(name)`` is the command that runs another in a node's network.

    ``running``: the nodes that have a network now; all of them, if it is not given.
    """

    def __init__(
        self,
        addresses: Mapping[str, str],
        within: Callable[[str], Sequence[str]],
        running: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        self.addresses = addresses
        self._within = within
        self._running = running or addresses.keys

    def deafen(self, node: str, *senders: str) -> None:
        """From now on nothing that these nodes send reaches ``node``; what it sends still reaches them."""
        for sender in senders:
            self._change(node, "--append", "INPUT", "--source", self.addresses[sender], "--jump", "DROP")

    def part(self, node: str, *others: str) -> None:
        """From now on nothing passes between ``node`` and these nodes."""
        self.deafen(node, *others)
        for other in others:
            self.deafen(other, node)

    def heal(self) -> None:
        """Let everything pass again at all nodes that run. (At one that was started again, everything does.)"""
        for node in self._running():
            self._change(node, "--flush", "INPUT")

    def _change(self, node: str, *rule: str) -> None:
        run(*self._within(node), "iptables", "--wait", *rule)
