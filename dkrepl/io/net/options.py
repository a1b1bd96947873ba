"""What is set on every socket between nodes, and why.

ZeroMQ is a framed transport here and never trusted to hold data: high-water marks lie above what the windows allow, and
what they drop all the same is a gap that the target sees.
"""

from __future__ import annotations

import zmq

EXTRA_MESSAGES = 512  # high-water mark above the largest window: requests on their way (128 at most), resync, markers
RECONNECT, RECONNECT_SLOWLY = 100, 1000  # ms
_RECONNECT_MOST = 500  # ms; a source that is restarted waits for its sync targets
_CONTROL_MESSAGES = 1000
_CONNECT = 2000  # ms; the kernel alone repeats its connection request ever more rarely, up to a minute apart (tcp(7))
_HANDSHAKE = 5000  # ms
_LINGER = 500  # ms that a socket may take to send its last messages when it is closed


def common(sock: zmq.Socket[bytes], largest: int, timeout: float) -> None:
    """Set what all sockets share: messages up to ``largest`` bytes, a peer silent for ``timeout`` seconds is gone."""
    # A connection of which the other end is gone without a word, as after a loss of power or behind a firewall.
    sock.setsockopt(zmq.HEARTBEAT_IVL, int(timeout * 500))
    sock.setsockopt(zmq.HEARTBEAT_TIMEOUT, int(timeout * 1000))
    sock.setsockopt(zmq.LINGER, _LINGER)
    sock.setsockopt(zmq.MAXMSGSIZE, largest)
    sock.setsockopt(zmq.IPV6, 1)
    sock.setsockopt(zmq.TCP_KEEPALIVE, 1)
    sock.setsockopt(zmq.CONNECT_TIMEOUT, _CONNECT)
    sock.setsockopt(zmq.RECONNECT_IVL, RECONNECT)
    sock.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MOST)
    sock.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE)


def control_queues(sock: zmq.Socket[bytes]) -> None:
    """Bound the queues of a control socket, in both directions (R5)."""
    sock.setsockopt(zmq.SNDHWM, _CONTROL_MESSAGES)
    sock.setsockopt(zmq.RCVHWM, _CONTROL_MESSAGES)
