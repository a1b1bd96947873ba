"""The one connection that a frame came by, and closing it: ZeroMQ itself has no call for that."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import NamedTuple

import zmq


class Connection(NamedTuple):
    """A TCP connection of this process. Its number may become another's; the inode tells them apart."""

    fd: int
    inode: int
    address: str

    def hang_up(self, port: int) -> None:
        """Shut it down, if it still is the one that was accepted at ``port``; ZeroMQ sees its end and cleans up."""
        if self.fd < 0:
            return
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.fd)) as connection:
            if os.fstat(self.fd).st_ino != self.inode or connection.getsockname()[1] != port:
                return
            if connection.getpeername()[0].removeprefix("::ffff:") == self.address:
                connection.shutdown(socket.SHUT_RDWR)


def of_frame(frame: zmq.Frame) -> Connection:
    """Return the connection that ``frame`` came by, as far as it is known still (zmq_msg_get(3), ZMQ_SRCFD)."""
    try:
        fd = int(frame.get(zmq.SRCFD))
        return Connection(fd, os.fstat(fd).st_ino, str(frame.get("Peer-Address")).removeprefix("::ffff:"))
    except (zmq.ZMQError, ValueError, OSError):
        return Connection(-1, 0, "")
