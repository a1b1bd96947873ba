"""Keeping a descriptor across the death of the daemon: systemd holds it and gives it to the next one.

Source: sd_notify(3) (FDSTORE, FDNAME, FDPOLL, FDSTOREREMOVE) and sd_listen_fds(3). The unit needs
``FileDescriptorStoreMax=``.
"""

from __future__ import annotations

import contextlib
import os
import socket

from dkrepl.io.notify import manager_address, notify

_FIRST = 3  # SD_LISTEN_FDS_START


def keep(name: str, fd: int) -> bool:
    """Ask the service manager to hold a duplicate of ``fd`` as ``name``; returns whether there is one to ask.

    The manager does not watch the descriptor (FDPOLL=0): a FUSE connection is readable whenever a request waits.
    """
    address = manager_address()
    if address is None:
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.connect(address)
        socket.send_fds(sock, [f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0".encode()], [fd])
        return True
    return False


def forget(name: str) -> None:
    """Ask the manager to close what it holds as ``name``."""
    notify(f"FDSTOREREMOVE=1\nFDNAME={name}")


def take(*names: str) -> tuple[str, int] | None:
    """Return (name, descriptor) of the first of ``names`` that the manager held, or None. To be called once."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    given = os.environ.get("LISTEN_FDNAMES", "").split(":")
    count = int(os.environ.get("LISTEN_FDS", "0"))
    held = dict(zip(given, range(_FIRST, _FIRST + count), strict=False))
    wanted = next((name for name in names if name in held), None)
    for fd in range(_FIRST, _FIRST + count):
        os.set_inheritable(fd, False)
        if wanted is None or fd != held[wanted]:
            os.close(fd)
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(variable, None)
    return None if wanted is None else (wanted, held[wanted])
