"""Whether a control frame came from the node in whose name it speaks: what a ROUTER receives, checked by key."""

from __future__ import annotations

import zmq

from dkrepl.core.protocol.sender import name_of
from dkrepl.io.net.access import Access
from dkrepl.io.net.connection import of_frame
from dkrepl.io.net.nonblocking import NOWAIT


def take_rest(sock: zmq.Socket[bytes], identity: bytes, access: Access, port: int) -> tuple[bytes, bytes]:
    """Take the rest of a message of a ROUTER: (identity, frame), (identity, b"") or (b"", b"") as ``receive`` says."""
    part = sock.recv(NOWAIT, copy=False)
    name = name_of(identity)
    allowed = access.speaks_for(part, name)
    if not allowed:
        access.refuse("wrong_name", claimed=name[:64], public_key=access.user(part))
        of_frame(part).hang_up(port)
    if not part.more:
        return (identity, part.bytes) if allowed else (b"", b"")
    while part.more:
        part = sock.recv(NOWAIT, copy=False)
    return (identity if allowed else b""), b""
