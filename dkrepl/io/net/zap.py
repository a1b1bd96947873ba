"""Answers ZeroMQ's question whether a peer may come in (ZAP, RFC 27), and counts who was turned away.

A thread, so that a handshake neither waits for the loop nor holds it up. It is asked once a connection, after CURVE
has shown that the peer holds the secret part of the key that it names; what it answers becomes the User-Id of every
frame of that connection. ZeroMQ keeps out a client that gets no answer.

Those who do not come so far, because they speak another protocol or do not know this node's key, are seen only in what
the sockets' monitors tell (zmq_socket_monitor(3)).

By hand, because pyzmq's authenticator (zmq.auth) refuses with 400, after which a peer whose key is being replaced never
connects again, and counts nobody.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from dkrepl.config import public_key
from dkrepl.io.net.access import Access

_ENDPOINT = "inproc://zeromq.zap.01"
_CURVE_REQUEST = 7  # parts: version, number, domain, address, routing id, mechanism, key
_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_WATCHED = _FAILED | zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_WATCHED |= zmq.EVENT_DISCONNECTED
# 3xx: "come back later". After 4xx and 5xx libzmq 4.3 never connects again (seen), though its key may be listed then.
_YES, _NO = b"200", b"300"


class ZapAuthenticator:
    """Admits peers to the sockets of one context. It ends when the context is terminated, which waits for it."""

    def __init__(self, context: zmq.Context[Any], access: Access) -> None:
        """To be made before the sockets are bound; nobody gets in until ``start``."""
        self._access = access
        self._context = context
        self._monitors: list[tuple[zmq.Socket[bytes], _Handshakes]] = []
        self._zap: zmq.Socket[bytes] | None = None
        if access.closed:
            self._zap = context.socket(zmq.REP)
            self._zap.setsockopt(zmq.LINGER, 0)
            self._zap.bind(_ENDPOINT)

    def watch(self, sock: zmq.Socket[bytes], name: str) -> None:
        """Count who does not get through the handshake at ``sock``, which is called ``name`` in events."""
        monitor = sock.get_monitor_socket(_WATCHED)
        self._monitors.append((monitor, _Handshakes(self._access, name)))

    def start(self) -> None:
        """Answer from now on. The sockets that were made here belong to the thread."""
        threading.Thread(target=self._run, name="authenticator", daemon=True).start()

    def _run(self) -> None:
        sockets = [monitor for monitor, _ in self._monitors] + ([self._zap] if self._zap is not None else [])
        poller = zmq.Poller()
        for sock in sockets:
            poller.register(sock, zmq.POLLIN)
        try:
            while True:
                ready = dict(poller.poll())
                for monitor, handshakes in self._monitors:
                    if monitor in ready:
                        handshakes.take(parse_monitor_message(monitor.recv_multipart()))
                if self._zap is not None and self._zap in ready:
                    self._zap.send_multipart(self._answer(self._zap.recv_multipart()))
        except zmq.ContextTerminated:
            pass
        finally:
            for sock in sockets:
                with contextlib.suppress(zmq.ZMQError):
                    sock.close()

    def _answer(self, request: list[bytes]) -> list[bytes]:
        version, number = (*request, b"", b"")[:2]
        key = request[6] if len(request) == _CURVE_REQUEST and request[5] == b"CURVE" else b""
        if self._access.name_of(key) is None:
            address = request[3].decode("ascii", "replace") if len(request) > 3 else None
            self._access.refuse("unknown_key", address=address, public_key=public_key.write(key))
            return [version, number, _NO, b"not a node of this mirror", b"", b""]
        return [version, number, _YES, b"", public_key.write(key).encode(), b""]


class _Handshakes:
    """What one bound socket's monitor tells: connections that ended before they had shown who they are.

    ZeroMQ tells why a handshake failed, and then that the connection is gone. What does not even begin as a handshake
    it closes without a reason.
    """

    def __init__(self, access: Access, name: str) -> None:
        self._access = access
        self._name = name
        self._passed = 0
        self._explained = False
        self._new: dict[int, int] = {}  # descriptor -> how many had passed when it came

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event of the monitor."""
        kind, value = int(event["event"]), int(event["value"])
        if kind == zmq.EVENT_ACCEPTED:
            self._new[value] = self._passed
        elif kind == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._passed += 1
        elif kind == zmq.EVENT_DISCONNECTED:
            unheard = self._new.pop(value, -1) == self._passed
            if unheard and not self._explained:
                self._access.refuse("handshake", socket=self._name)
            self._explained = False
        else:
            self._explained = True
            if kind != zmq.EVENT_HANDSHAKE_FAILED_AUTH:  # that one was counted when it was asked for
                self._access.refuse("handshake", socket=self._name)
