"""Asking a socket whether something waits, without waiting for it, at the price that the data path can pay."""

from __future__ import annotations

from typing import cast

import zmq
from zmq.backend import Socket as BackendSocket

# Plain integers: on the data path pyzmq's enumerations cost more than the calls that they are given to.
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)
NOWAIT, NOWAIT_MORE = int(zmq.DONTWAIT), int(zmq.DONTWAIT | zmq.SNDMORE)


def readable(sock: zmq.Socket[bytes]) -> bool:
    """Whether a message waits."""
    # Asking also lets ZeroMQ take notice of what its descriptor signalled: zmq_getsockopt(3), ZMQ_EVENTS.
    # The backend's get, for the frontend's makes an enumeration of each answer.
    return bool(cast(int, BackendSocket.get(sock, _EVENTS)) & _POLLIN)


def descriptor(sock: zmq.Socket[bytes]) -> int:
    """Return the descriptor that signals when a message may wait."""
    return cast(int, sock.getsockopt(zmq.FD))
