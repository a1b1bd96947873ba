"""The source's sockets: an XPUB for the stream (a PUB that shows who subscribes), a ROUTER for the control channel.

They belong to the one thread that made them.
"""

from __future__ import annotations

import errno
from typing import Any

import zmq

from dkrepl.config.description import Description, Node
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.protocol import frames
from dkrepl.io.net import options, subscribers
from dkrepl.io.net.access import Access
from dkrepl.io.net.addresses import bind, numeric
from dkrepl.io.net.nonblocking import NOWAIT, NOWAIT_MORE, descriptor
from dkrepl.io.net.sender import take_rest
from dkrepl.io.net.zap import ZapAuthenticator


class SourceSockets:
    """The source's ends of the stream and of the control channel."""

    def __init__(self, description: Description, node: Node, access: Access, *, limits: Limits = DEFAULT) -> None:
        """Bind both ports. Raises ``HostError`` naming the port that cannot be had."""
        self._context: zmq.Context[Any] = zmq.Context()
        self._access = access
        self._copy_below = limits.copy_below_bytes
        authenticator = ZapAuthenticator(self._context, access)
        self.stream = self._context.socket(zmq.XPUB)
        self.control = self._context.socket(zmq.ROUTER)
        self._control_port = node.control_port
        self._subscribers = subscribers.Subscribers(self.stream, access, node.data_port)
        try:
            options.common(self.stream, subscribers.LARGEST, description.peer_timeout)
            options.common(self.control, frames.MAX_CONTROL, description.peer_timeout)
            for sock, name in ((self.stream, "stream"), (self.control, "control")):
                access.serve(sock)
                authenticator.watch(sock, name)
            most = max(peer.async_limit for peer in description.nodes)
            self.stream.setsockopt(zmq.SNDHWM, most + options.EXTRA_MESSAGES)
            self.stream.setsockopt(zmq.SNDBUF, 1 << 20)
            self.control.setsockopt(zmq.ROUTER_MANDATORY, 1)
            # A peer that comes back while its old connection still seems alive takes its place.
            self.control.setsockopt(zmq.ROUTER_HANDOVER, 1)
            options.control_queues(self.control)
            # The first sending without a copy makes a thread and descriptors, which could be wanting later.
            self.stream.send(bytes(self._copy_below), NOWAIT, copy=False)
            address = numeric(node.address)
            bind(self.control, address, node.control_port, "control_port")
            bind(self.stream, address, node.data_port, "data_port")
        except BaseException:
            authenticator.start()  # it takes its sockets with it
            self.close()
            raise
        authenticator.start()
        self.fd = descriptor(self.control)
        self.unasked = True
        """Whether frames may wait of which ``fd`` says nothing any more: its signal is used up by any call."""

    def receive(self) -> tuple[bytes, bytes] | None:
        """Return (identity, frame) of the next control frame, None if none waits; then ``fd`` tells of the next.

        A message of too many parts gives an empty frame, which no check passes. One under a name that its sender has no
        key for is dropped, and its sender's connection is closed; then both are empty.
        """
        try:
            identity = self.control.recv(NOWAIT)
        except zmq.Again:
            self.unasked = False
            return None
        return take_rest(self.control, identity, self._access, self._control_port)

    def tend(self) -> None:
        """Look after the subscribers, now and then."""
        self._subscribers.tend()

    def send(self, identity: bytes, frame: bytes) -> bool:
        """Send a control frame; returns whether the peer is still connected. A full queue drops the frame."""
        self.unasked = True
        try:
            self.control.send_multipart((identity, frame), NOWAIT)
        except zmq.Again:
            return True
        except zmq.ZMQError as error:
            if error.errno == errno.EHOSTUNREACH:
                return False
            raise
        return True

    def publish(self, head: bytes, data: bytes | memoryview) -> None:
        """Publish a stream message; data of ``copy_below_bytes`` and more is sent from where it lies."""
        if len(data) < self._copy_below:
            self.stream.send(head + data if data else head, NOWAIT)
        else:
            self.stream.send(head, NOWAIT_MORE)
            self.stream.send(data, NOWAIT, copy=False)

    def close(self) -> None:
        """Close both sockets; what is unsent after the linger time is dropped."""
        self.stream.close()
        self.control.close()
        self._context.term()
