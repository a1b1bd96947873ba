"""The sockets between nodes: what is set on them, and why.

Source: XPUB carries the stream (a PUB that shows who subscribes), ROUTER the control channel. Target: for each peer a
DEALER, and at the source's a SUB. ZeroMQ is a framed transport here and never trusted to hold data: high-water marks
lie above what the windows allow, and what they drop all the same is a gap that the target sees.

Every socket speaks CURVE, unless the description says security = "none": ``io/net/access.py``, ``io/net/zap.py``. What
a peer is called follows from its key; a frame under another name is dropped, and its connection closed.

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

from dkrepl.config.description import Description, Node
from dkrepl.core.protocol import frames
from dkrepl.errors import HostError
from dkrepl.io.net import subscribers
from dkrepl.io.net.access import Access
from dkrepl.io.net.connection import of_frame
from dkrepl.io.net.zap import ZapAuthenticator

COPY_BELOW = 64 << 10  # bytes; from here on ZeroMQ sends from our memory instead of copying
_EXTRA_MESSAGES = 512  # high-water mark above the largest window: requests on their way (128 at most), resync, marks
_CONTROL_MESSAGES = 1000
# Plain integers: on the data path pyzmq's enumerations cost more than the calls that they are given to.
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)
_NOWAIT, _NOWAIT_MORE = int(zmq.DONTWAIT), int(zmq.DONTWAIT | zmq.SNDMORE)
_RECONNECT, _RECONNECT_SLOWLY = 100, 1000  # ms
_CONNECT = 2000  # ms; the kernel alone repeats its connection request ever more rarely, up to a minute apart (tcp(7))
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
    sock.setsockopt(zmq.CONNECT_TIMEOUT, _CONNECT)
    sock.setsockopt(zmq.RECONNECT_IVL, _RECONNECT)
    sock.setsockopt(zmq.RECONNECT_IVL_MAX, 500)  # a source that is restarted waits for its sync targets
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

    def __init__(self, description: Description, node: Node, access: Access) -> None:
        """Bind both ports. Raises ``HostError`` naming the port that cannot be had."""
        self._context: zmq.Context[Any] = zmq.Context()
        self._access = access
        authenticator = ZapAuthenticator(self._context, access)
        self.stream = self._context.socket(zmq.XPUB)
        self.control = self._context.socket(zmq.ROUTER)
        self._control_port = node.control_port
        self._subscribers = subscribers.Subscribers(self.stream, access, node.data_port)
        try:
            _common(self.stream, subscribers.LARGEST, description.peer_timeout)
            _common(self.control, frames.MAX_CONTROL, description.peer_timeout)
            for sock, name in ((self.stream, "stream"), (self.control, "control")):
                access.serve(sock)
                authenticator.watch(sock, name)
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
            authenticator.start()  # it takes its sockets with it
            self.close()
            raise
        authenticator.start()
        self.fd = _fd(self.control)
        self.unasked = True
        """Whether frames may wait of which ``fd`` says nothing any more: its signal is used up by any call."""

    def receive(self) -> tuple[bytes, bytes] | None:
        """Return (identity, frame) of the next control frame, None if none waits; then ``fd`` tells of the next.

        A message of too many parts gives an empty frame, which no check passes. One under a name that its sender has no
        key for is dropped, and its sender's connection is closed; then both are empty.
        """
        try:
            identity = self.control.recv(_NOWAIT)
        except zmq.Again:
            self.unasked = False
            return None
        return _checked(self.control, identity, self._access, self._control_port)

    def tend(self) -> None:
        """Look after the subscribers, now and then."""
        self._subscribers.tend()

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


def _checked(sock: zmq.Socket[bytes], identity: bytes, access: Access, port: int) -> tuple[bytes, bytes]:
    """Take the rest of a message of a ROUTER: (identity, frame), (identity, b"") or (b"", b"") as ``receive`` says."""
    part = sock.recv(_NOWAIT, copy=False)
    name = identity.partition(b"/")[0].decode("utf-8", "replace")
    allowed = access.speaks_for(part, name)
    if not allowed:
        access.refuse("wrong_name", claimed=name[:64], public_key=access.user(part))
        of_frame(part).hang_up(port)
    if not part.more:
        return (identity, part.bytes) if allowed else (b"", b"")
    while part.more:
        part = sock.recv(_NOWAIT, copy=False)
    return (identity if allowed else b""), b""


class DoorSocket:
    """The control port of a node that is not serving as source."""

    def __init__(self, description: Description, node: Node, access: Access) -> None:
        """Bind the port. Raises ``HostError``."""
        self._context: zmq.Context[Any] = zmq.Context()
        self._access = access
        self._port = node.control_port
        authenticator = ZapAuthenticator(self._context, access)
        self._socket = self._context.socket(zmq.ROUTER)
        try:
            _common(self._socket, frames.MAX_CONTROL, description.peer_timeout)
            access.serve(self._socket)
            authenticator.watch(self._socket, "control")
            # As at the source: a peer that comes back while its old connection still seems alive takes its place.
            self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
            self._socket.setsockopt(zmq.SNDHWM, _CONTROL_MESSAGES)
            self._socket.setsockopt(zmq.RCVHWM, _CONTROL_MESSAGES)
            _bind(self._socket, _numeric(node.address), node.control_port, "control_port")
        except BaseException:
            authenticator.start()  # it takes its sockets with it
            self.close()
            raise
        authenticator.start()
        self.fd = _fd(self._socket)

    def receive(self) -> tuple[bytes, bytes] | None:
        """Return (identity, frame) of the next control frame, or None if none waits; both empty as at the source."""
        if not _readable(self._socket):
            return None
        return _checked(self._socket, self._socket.recv(_NOWAIT), self._access, self._port)

    def send(self, identity: bytes, frame: bytes) -> None:
        """Send a control frame; to one who is gone, or does not read, it is dropped."""
        with contextlib.suppress(zmq.ZMQError):
            self._socket.send_multipart((identity, frame), _NOWAIT)

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()
        self._context.term()


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
        self._hwm = node.async_limit + _EXTRA_MESSAGES
        self.control: dict[str, dict[bytes | None, zmq.Socket[bytes]]] = {peer: {} for peer in self._peers}
        self._answered: dict[str, bytes | None] = {}  # the key by which a peer was heard last
        self.stream: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self.renew()

    @property
    def fds(self) -> list[int]:
        """The descriptors that tell of control frames."""
        return [_fd(sock) for socks in self.control.values() for sock in socks.values()]

    def renew(self) -> None:
        """Connect by the peers' keys as they are now; connections whose key is as it was are left alone."""
        for peer, socks in self.control.items():
            keys = self._access.keys_of(peer)
            for key in [key for key in socks if key not in keys]:
                socks.pop(key).close()
            for key in keys:
                if key not in socks:
                    # While one of two keys is wrong its connection fails again and again: not too often.
                    pause = _RECONNECT if len(keys) == 1 else _RECONNECT_SLOWLY
                    socks[key] = self._connect(self._peers[peer], key, pause)

    def _connect(self, peer: Node, key: bytes | None, pause: int) -> zmq.Socket[bytes]:
        sock: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        _common(sock, frames.MAX_CONTROL, self._timeout)
        sock.setsockopt(zmq.RECONNECT_IVL, pause)
        self._access.approach(sock, key)
        sock.setsockopt(zmq.IMMEDIATE, 1)
        sock.setsockopt(zmq.SNDHWM, _CONTROL_MESSAGES)
        sock.setsockopt(zmq.RCVHWM, _CONTROL_MESSAGES)
        # Known to this peer alone, so that no other can take the place of this connection (ROUTER_HANDOVER).
        sock.setsockopt(zmq.ROUTING_ID, f"{self._node}/{os.urandom(16).hex()}".encode())
        sock.connect(_endpoint(peer.address, peer.control_port))
        return sock

    def send(self, peer: str, frame: bytes) -> None:
        """Send a control frame; without a connection it is dropped: whoever waits for an answer asks again."""
        for sock in self.control[peer].values():
            with contextlib.suppress(zmq.Again):
                sock.send(frame, _NOWAIT)
                return

    def receive(self, peer: str) -> bytes | None:
        """Return the next control frame from ``peer``, or None if none waits or it has too many parts."""
        for key, sock in self.control[peer].items():
            if _readable(sock):
                self._answered[peer] = key
                parts = sock.recv_multipart(_NOWAIT)
                return parts[0] if len(parts) == 1 else b""
        return None

    def subscribe(self, peer: str, topics: Iterable[bytes]) -> list[int]:
        """Subscribe at ``peer`` with a new socket; return its file descriptors (stream, monitor)."""
        self.unsubscribe()
        node = self._peers[peer]
        sock = self._context.socket(zmq.SUB)
        _common(sock, frames.MAX_DATA + (1 << 16), self._timeout)
        keys = self._access.keys_of(peer)
        answered = self._answered.get(peer)
        self._access.approach(sock, answered if answered in keys else keys[0])
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
        for socks in self.control.values():
            for sock in socks.values():
                sock.close()
        self._context.term()
