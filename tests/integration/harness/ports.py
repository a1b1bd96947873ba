"""TCP ports for daemons: outside the range that the kernel gives to outgoing connections."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_given: set[int] = set()
_dice = random.Random()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens at, a different one each time."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = _dice.randrange(10_000, max(lowest, 10_100))
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
