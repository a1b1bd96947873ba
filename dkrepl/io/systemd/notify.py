"""Telling systemd how the service is: one datagram, as sd_notify(3) describes it.

By hand: it takes ten lines, and the packages that do it either cannot send a descriptor along (fd_store.py) or have to
be compiled against libsystemd on every node.
"""

from __future__ import annotations

import contextlib
import os
import socket


def manager_address() -> str | None:
    """Return the address of the service manager's socket, or None if there is no manager."""
    address = os.environ.get("NOTIFY_SOCKET")
    return "\0" + address[1:] if address and address.startswith("@") else address or None


def notify(state: str) -> None:
    """Send ``state`` (such as "READY=1") to the service manager, if there is one."""
    address = manager_address()
    if address is None:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(state.encode(), address)


def watchdog_seconds() -> float | None:
    """Return how often the manager wants to hear "WATCHDOG=1" at the least, or None: sd_watchdog_enabled(3)."""
    usec, pid = os.environ.get("WATCHDOG_USEC"), os.environ.get("WATCHDOG_PID")
    if not usec or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1e6
