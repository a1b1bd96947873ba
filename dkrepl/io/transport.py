"""The sockets between nodes: what is set on them, and why.

Source: PUB carries the stream, ROUTER the control channel. Target: for each peer a DEALER, and at the source's a SUB.
ZeroMQ is a framed transport here and never trusted to hold data: high-water marks lie above what the windows allow, and
what they drop all the same is a gap that the target sees.

Each socket belongs to the one thread that made it.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Iterable
from typing import Any, cast

import zmq
from zmq.backend import Socket as BackendSocket
from zmq.utils.monitor import recv_monitor_message

from dkrepl.core import frames
from dkrepl.core.description import Description, Node
from dkrepl.core.errors import HostError

COPY_BELOW = 64 << 10  # bytes; from here on ZeroMQ sends from our memory instead of copying
_EXTRA_MESSAGES = 512  # high-water mark above the largest window: requests on their way (128 at most), resync, marks
_CONTROL_MESSAGES = 1000
# Plain integers: on the data path pyzmq's enumerations cost more than the calls that they are given to.
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)
_NOWAIT, _NOWAIT_MORE = int(zmq.DONTWAIT), int(zmq.DONTWAIT | zmq.SNDMORE)
_LINGER = 500  # ms that a socket may take to send its last messages when it is closed


def _endpoint(address: str, port: int) -> str:
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(address).version == 6:
            return f"tcp://[{address}]:{port}"
    return f"tcp://{address}:{port}"


def _numeric(address: str) -> str:
    """Return an IP address of ``address``: a socket is bound to a number. Raises ``HostError``."""
    try:
        return str(socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise HostError(f"the address {address} of this node cannot be resolved ({error.strerror})") from error


def _common(sock: zmq.Socket[bytes], largest: int, timeout: float) -> None:
    # A connection of which the other end is gone without a word, as after a loss of power or behind a firewall.
    sock.setsockopt(zmq.HEARTBEAT_IVL, int(timeout * 500))
    sock.setsockopt(zmq.HEARTBEAT_TIMEOUT, int(timeout * 1000))
    sock.setsockopt(zmq.LINGER, _LINGER)
    sock.setsockopt(zmq.MAXMSGSIZE, largest)
    sock.setsockopt(zmq.IPV6, 1)
    sock.setsockopt(zmq.TCP_KEEPALIVE, 1)
    sock.setsockopt(zmq.RECONNECT_IVL, 100)
    sock.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
    sock.setsockopt(zmq.HANDSHAKE_IVL, 5000)


def _readable(sock: zmq.Socket[bytes]) -> bool:
    # Asking also lets ZeroMQ take notice of what its descriptor signalled: zmq_getsockopt(3), ZMQ_EVENTS.
    # The backend's get, for the frontend's makes an enumeration of each answer.
    return bool(cast(int, BackendSocket.get(sock, _EVENTS)) & _POLLIN)


def _fd(sock: zmq.Socket[bytes]) -> int:
    return cast(int, sock.getsockopt(zmq.FD))


def _bind(sock: zmq.Socket[bytes], address: str, port: int, key: str) -> None:
    try:
        sock.bind(_endpoint(address, port))
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            raise HostError(f"port {port} of {address} is taken; stop what uses it or change {key}") from error
        raise HostError(f"cannot listen at {address} port {port} ({error}); check the node's address") from error


class SourceSockets:
    """The source's ends of the stream and of the control channel."""

    def __init__(self, description: Description, node: Node) -> None:
        """Bind both ports. Raises ``HostError`` naming the port that cannot be had."""
        self._context: zmq.Context[Any] = zmq.Context()
        self.stream = self._context.socket(zmq.PUB)
        self.control = self._context.socket(zmq.ROUTER)
        try:
            _common(self.stream, 1 << 16, description.peer_timeout)  # subscribers send subscriptions only
            _common(self.control, frames.MAX_CONTROL, description.peer_timeout)
            most = max(peer.async_limit for peer in description.nodes)
            self.stream.setsockopt(zmq.SNDHWM, most + _EXTRA_MESSAGES)
            self.stream.setsockopt(zmq.SNDBUF, 1 << 20)
            self.control.setsockopt(zmq.ROUTER_MANDATORY, 1)
            # A peer that comes back while its old connection still seems alive takes its place.
            self.control.setsockopt(zmq.ROUTER_HANDOVER, 1)
            self.control.setsockopt(zmq.SNDHWM, _CONTROL_MESSAGES)
            self.control.setsockopt(zmq.RCVHWM, _CONTROL_MESSAGES)
            # The first sending without a copy makes a thread and descriptors, which could be wanting later.
            self.stream.send(bytes(COPY_BELOW), _NOWAIT, copy=False)
            address = _numeric(node.address)
            _bind(self.control, address, node.control_port, "control_port")
            _bind(self.stream, address, node.data_port, "data_port")
        except BaseException:
            self.close()
            raise
        self.fd = _fd(self.control)
        self.unasked = True
        """Whether frames may wait of which ``fd`` says nothing any more: its signal is used up by any call."""

    def receive(self) -> tuple[bytes, bytes] | None:
        """Return (identity, frame) of the next control frame, None if none waits; then ``fd`` tells of the next.

        A message of too many parts gives an empty frame, which no check passes.
        """
        try:
            identity = self.control.recv(_NOWAIT)
        except zmq.Again:
            self.unasked = False
            return None
        part = self.control.recv(_NOWAIT, copy=False)
        if not part.more:
            return identity, part.bytes
        while part.more:
            part = self.control.recv(_NOWAIT, copy=False)
        return identity, b""

    def send(self, identity: bytes, frame: bytes) -> bool:
        """Send a control frame; returns whether the peer is still connected. A full queue drops the frame."""
        self.unasked = True
        try:
            self.control.send_multipart((identity, frame), _NOWAIT)
        except zmq.Again:
            return True
        except zmq.ZMQError as error:
            if error.errno == errno.EHOSTUNREACH:
                return False
            raise
        return True

    def publish(self, head: bytes, data: bytes | memoryview) -> None:
        """Publish a stream message; data of ``COPY_BELOW`` bytes and more is sent from where it lies."""
        if len(data) < COPY_BELOW:
            self.stream.send(head + data if data else head, _NOWAIT)
        else:
            self.stream.send(head, _NOWAIT_MORE)
            self.stream.send(data, _NOWAIT, copy=False)

    def close(self) -> None:
        """Close both sockets; what is unsent after the linger time is dropped."""
        self.stream.close()
        self.control.close()
        self._context.term()


class DoorSocket:
    """The control port of a node that is not serving as source."""

    def __init__(self, description: Description, node: Node) -> None:
        """Bind the port. Raises ``HostError``."""
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        try:
            _common(self._socket, frames.MAX_CONTROL, description.peer_timeout)
            self._socket.setsockopt(zmq.SNDHWM, _CONTROL_MESSAGES)
            self._socket.setsockopt(zmq.RCVHWM, _CONTROL_MESSAGES)
            _bind(self._socket, _numeric(node.address), node.control_port, "control_port")
        except BaseException:
            self.close()
            raise
        self.fd = _fd(self._socket)

    def receive(self) -> tuple[bytes, bytes] | None:
        """Return (identity, frame) of the next control frame, or None if none waits."""
        while _readable(self._socket):
            parts = self._socket.recv_multipart(_NOWAIT)
            if len(parts) == 2:
                return parts[0], parts[1]
        return None

    def send(self, identity: bytes, frame: bytes) -> None:
        """Send a control frame; to one who is gone, or does not read, it is dropped."""
        with contextlib.suppress(zmq.ZMQError):
            self._socket.send_multipart((identity, frame), _NOWAIT)

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()
        self._context.term()


class TargetSockets:
    """A target's ends: a control socket to each peer, and one subscription at the source."""

    def __init__(self, description: Description, node: Node) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._peers = {peer.name: peer for peer in description.peers(node.name)}
        self._timeout = description.peer_timeout
        self._incarnation = os.urandom(4).hex()
        self._hwm = node.async_limit + _EXTRA_MESSAGES
        self.control: dict[str, zmq.Socket[bytes]] = {}
        self.stream: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        for peer in self._peers.values():
            sock = self._context.socket(zmq.DEALER)
            _common(sock, frames.MAX_CONTROL, description.peer_timeout)
            sock.setsockopt(zmq.IMMEDIATE, 1)
            sock.setsockopt(zmq.SNDHWM, _CONTROL_MESSAGES)
            sock.setsockopt(zmq.RCVHWM, _CONTROL_MESSAGES)
            sock.setsockopt(zmq.ROUTING_ID, f"{node.name}/{self._incarnation}".encode())
            sock.connect(_endpoint(peer.address, peer.control_port))
            self.control[peer.name] = sock
        self.fds = {_fd(sock): name for name, sock in self.control.items()}

    def send(self, peer: str, frame: bytes) -> None:
        """Send a control frame; without a connection it is dropped: whoever waits for an answer asks again."""
        with contextlib.suppress(zmq.Again):
            self.control[peer].send(frame, _NOWAIT)

    def receive(self, peer: str) -> bytes | None:
        """Return the next control frame from ``peer``, or None if none waits or it has too many parts."""
        sock = self.control[peer]
        if not _readable(sock):
            return None
        parts = sock.recv_multipart(_NOWAIT)
        return parts[0] if len(parts) == 1 else b""

    def subscribe(self, peer: str, topics: Iterable[bytes]) -> list[int]:
        """Subscribe at ``peer`` with a new socket; return its file descriptors (stream, monitor)."""
        self.unsubscribe()
        node = self._peers[peer]
        sock = self._context.socket(zmq.SUB)
        _common(sock, frames.MAX_DATA + (1 << 16), self._timeout)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.RCVHWM, self._hwm)
        sock.setsockopt(zmq.RCVBUF, 1 << 20)
        for topic in topics:
            sock.setsockopt(zmq.SUBSCRIBE, topic)
        monitor = sock.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        sock.connect(_endpoint(node.address, node.data_port))
        self.stream, self._monitor = sock, monitor
        return [_fd(sock), _fd(monitor)]

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
        while monitor is not None and _readable(monitor):
            lost = recv_monitor_message(monitor, zmq.DONTWAIT)["event"] == zmq.EVENT_DISCONNECTED or lost
        return lost

    def next_message(self) -> tuple[memoryview, memoryview | None] | None:
        """Return (head frame, data frame or None) of the next stream message, or None if none waits."""
        sock = self.stream
        if sock is None:
            return None
        try:
            part = sock.recv(_NOWAIT, copy=False)
        except zmq.Again:
            return None
        head = part.buffer
        data: memoryview | None = None
        while part.more:
            part = sock.recv(_NOWAIT, copy=False)
            data = part.buffer if data is None else memoryview(b"")  # a third part: fails its checks
        return head, data

    def close(self) -> None:
        """Close every socket."""
        self.unsubscribe()
        for sock in self.control.values():
            sock.close()
        self._context.term()
