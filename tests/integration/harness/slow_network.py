"""A network namespace with one link to this host, which can be made as slow as a long line (ip-netns(8), tc-tbf(8))."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from tests.integration.harness.applications import run


class SlowNetwork:
    """``here`` and ``there`` are the addresses of the two ends; ``within`` runs a command at the far one."""

    def __init__(self) -> None:
        number = os.getpid() % 16384
        self._name = f"dkt{number}"
        net = f"10.{64 + number // 256}.{number % 256}"
        self.here, self.there = f"{net}.1", f"{net}.2"
        self.within = ("ip", "netns", "exec", self._name)

    def make(self) -> None:
        """Make the namespace and the link."""
        near, far = f"{self._name}a", f"{self._name}b"
        run("ip", "netns", "add", self._name)
        run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", self._name)
        run("ip", "address", "add", f"{self.here}/30", "dev", near)
        run("ip", "link", "set", near, "up")
        run(*self.within, "ip", "address", "add", f"{self.there}/30", "dev", far)
        run(*self.within, "ip", "link", "set", far, "up")
        run(*self.within, "ip", "link", "set", "lo", "up")

    def slow(self, rate: str) -> None:
        """Let no more than ``rate`` (as "1mbit") through towards the far end."""
        run(
            "tc",
            "qdisc",
            "add",
            "dev",
            f"{self._name}a",
            *("root", "tbf", "rate", rate, "burst", "16kb"),
            "limit",
            "64kb",
        )

    def mend(self) -> None:
        """Let everything through again."""
        run("tc", "qdisc", "del", "dev", f"{self._name}a", "root")

    def take_away(self) -> None:
        """Remove it, and with the namespace the link."""
        run("ip", "netns", "delete", self._name)


@contextlib.contextmanager
def slow_network() -> Iterator[SlowNetwork]:
    """A network that is taken away in the end."""
    network = SlowNetwork()
    try:
        network.make()
        yield network
    finally:
        network.take_away()
