"""A target's sockets: for each peer a DEALER at its control port, and at the source a SUB for the stream.

They belong to the one thread that made them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from dkrepl.config.description import Description, Node
from dkrepl.core.protocol import frames
from dkrepl.io.net import options
from dkrepl.io.net.access import Access
from dkrepl.io.net.addresses import endpoint
from dkrepl.io.net.nonblocking import NOWAIT, descriptor, readable


class TargetSockets:
    """A target's ends: control sockets to each peer, and one subscription at the source.

    A peer that is being given a new key is tried with both, by a socket each; only one of them gets through.
    """

    def __init__(self, description: Description, node: Node, access: Access) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._access = access
        self._node = node.name
        self._peers = {peer.name: peer for peer in description.peers(node.name)}
        self._timeout = description.peer_timeout
        self._hwm = node.async_limit + options.EXTRA_MESSAGES
        self.control: dict[str, dict[bytes | None, zmq.Socket[bytes]]] = {peer: {} for peer in self._peers}
        self._answered: dict[str, bytes | None] = {}  # the key by which a peer was heard last
        self.stream: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self.renew()

    @property
    def fds(self) -> list[int]:
        """The descriptors that tell of control frames."""
        return [descriptor(sock) for socks in self.control.values() for sock in socks.values()]

    def renew(self) -> None:
        """Connect by the peers' keys as they are now; connections whose key is as it was are left alone."""
        for peer, socks in self.control.items():
            keys = self._access.keys_of(peer)
            for key in [key for key in socks if key not in keys]:
                socks.pop(key).close()
            for key in keys:
                if key not in socks:
                    # While one of two keys is wrong its connection fails again and again: not too often.
                    pause = options.RECONNECT if len(keys) == 1 else options.RECONNECT_SLOWLY
                    socks[key] = self._connect(self._peers[peer], key, pause)

    def _connect(self, peer: Node, key: bytes | None, pause: int) -> zmq.Socket[bytes]:
        sock: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        options.common(sock, frames.MAX_CONTROL, self._timeout)
        sock.setsockopt(zmq.RECONNECT_IVL, pause)
        self._access.approach(sock, key)
        sock.setsockopt(zmq.IMMEDIATE, 1)
        options.control_queues(sock)
        # Known to this peer alone, so that no other can take the place of this connection (ROUTER_HANDOVER).
        sock.setsockopt(zmq.ROUTING_ID, f"{self._node}/{os.urandom(16).hex()}".encode())
        sock.connect(endpoint(peer.address, peer.control_port))
        return sock

    def send(self, peer: str, frame: bytes) -> None:
        """Send a control frame; without a connection it is dropped: a node that waits for an answer asks again."""
        for sock in self.control[peer].values():
            with contextlib.suppress(zmq.Again):
                sock.send(frame, NOWAIT)
                return

    def receive(self, peer: str) -> bytes | None:
        """Return the next control frame from ``peer``, or None if none waits or it has too many parts."""
        for key, sock in self.control[peer].items():
            if readable(sock):
                self._answered[peer] = key
                parts = sock.recv_multipart(NOWAIT)
                return parts[0] if len(parts) == 1 else b""
        return None

    def subscribe(self, peer: str, topics: Iterable[bytes]) -> list[int]:
        """Subscribe at ``peer`` with a new socket; return its file descriptors (stream, monitor)."""
        self.unsubscribe()
        node = self._peers[peer]
        sock = self._context.socket(zmq.SUB)
        options.common(sock, frames.MAX_DATA + (1 << 16), self._timeout)
        keys = self._access.keys_of(peer)
        answered = self._answered.get(peer)
        self._access.approach(sock, answered if answered in keys else keys[0])
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.RCVHWM, self._hwm)
        sock.setsockopt(zmq.RCVBUF, 1 << 20)
        for topic in topics:
            sock.setsockopt(zmq.SUBSCRIBE, topic)
        monitor = sock.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        sock.connect(endpoint(node.address, node.data_port))
        self.stream, self._monitor = sock, monitor
        return [descriptor(sock), descriptor(monitor)]

    def unsubscribe(self) -> None:
        """Drop the subscription and everything of it that waits."""
        if self.stream is not None:
            self.stream.disable_monitor()
            self.stream.close()
        self.stream = self._monitor = None

    def broken(self) -> bool:
        """Whether the stream's connection was lost since it was made: then something may be missing."""
        monitor = self._monitor
        lost = False
        while monitor is not None and readable(monitor):
            lost = recv_monitor_message(monitor, zmq.DONTWAIT)["event"] == zmq.EVENT_DISCONNECTED or lost
        return lost

    def next_message(self) -> tuple[memoryview, memoryview | None] | None:
        """Return (head frame, data frame or None) of the next stream message, or None if none waits."""
        sock = self.stream
        if sock is None:
            return None
        try:
            part = sock.recv(NOWAIT, copy=False)
        except zmq.Again:
            return None
        head = part.buffer
        data: memoryview | None = None
        while part.more:
            part = sock.recv(NOWAIT, copy=False)
            data = part.buffer if data is None else memoryview(b"")  # a third part: fails its checks
        return head, data

    def close(self) -> None:
        """Close every socket."""
        self.unsubscribe()
        for socks in self.control.values():
            for sock in socks.values():
                sock.close()
        self._context.term()
