"""When a source's daemon last gave a sign of life, in memory that the service manager hands to its successor.

Other nodes count a source as gone only after ``peer_timeout`` without a message. So if the previous daemon gave a sign
of life more recently than that, its successor knows that no other node can have been promoted meanwhile.

The memory is a memfd(2) kept in the manager's descriptor store: it goes with the unit, so after a stop nothing is
known. Time is CLOCK_BOOTTIME, which also counts while the host is suspended (clock_gettime(2)).
"""

from __future__ import annotations

import mmap
import os
import struct

from dkrepl.io.host.boot_clock import boot_seconds
from dkrepl.io.systemd import fd_store

_NAME = "sign-of-life"
_MOMENT = struct.Struct("<d")


class SignOfLife:
    """``age``: seconds since the predecessor's last sign of life, None if it left none."""

    def __init__(self) -> None:
        held = fd_store.take(_NAME)
        if held is None:
            fd = os.memfd_create(_NAME, os.MFD_CLOEXEC)
            os.pwrite(fd, bytes(mmap.PAGESIZE), 0)  # written, so that the page is there and cannot fault
            fd_store.keep(_NAME, fd)
        else:
            fd = held[1]
        self._memory = mmap.mmap(fd, mmap.PAGESIZE)
        os.close(fd)
        (moment,) = _MOMENT.unpack_from(self._memory)
        self.age: float | None = max(boot_seconds() - moment, 0.0) if moment else None

    def show(self) -> None:
        """Give a sign of life: the loop of this source runs, so its heartbeats are sent."""
        _MOMENT.pack_into(self._memory, 0, boot_seconds())
