"""Keeping a descriptor across the death of the daemon: systemd holds it and gives it to the next one.

Source: sd_notify(3) (FDSTORE, FDNAME, FDPOLL, FDSTOREREMOVE) and sd_listen_fds(3). The unit needs
``FileDescriptorStoreMax=``.
"""

from __future__ import annotations

import contextlib
import os
import socket

from dkrepl.io.systemd.notify import manager_address, notify

_FIRST = 3  # SD_LISTEN_FDS_START
_held: dict[str, int] = {}  # what the manager gave to this process and has not been taken yet


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


def holds(*names: str) -> bool:
    """Whether the manager gave this process any of ``names``, and it has not been taken."""
    _receive()
    return any(name in _held for name in names)


def take(*names: str) -> tuple[str, int] | None:
    """Return (name, descriptor) of the first of ``names`` that the manager held, or None; the others are closed."""
    _receive()
    found: tuple[str, int] | None = None
    for name in names:
        fd = _held.pop(name, None)
        if fd is not None and found is None:
            found = (name, fd)
        elif fd is not None:
            os.close(fd)
    return found


def _receive() -> None:
    """Note what the manager gave, once; a child process must not find it."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return
    given = os.environ.get("LISTEN_FDNAMES", "").split(":")
    count = int(os.environ.get("LISTEN_FDS", "0"))
    for name, fd in zip(given, range(_FIRST, _FIRST + count), strict=False):
        os.set_inheritable(fd, False)
        if name in _held:
            os.close(fd)
        else:
            _held[name] = fd
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(variable, None)
