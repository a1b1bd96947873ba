"""A network link between a target and the source that can be cut, frozen, slowed and made to damage what it carries.

It forwards two TCP ports, the control channel's and the stream's. The target's description names the link's
ports in place of the source's.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

_CHUNK = 64 << 10
_KEPT = 1 << 20  # bytes that the link holds for a reader that is slower
Damage = Callable[[bytes], bytes]


@dataclass
class _Way:
    """One direction of a connection: what was read and not yet passed on."""

    reader: socket.socket
    writer: socket.socket
    damaged: bool
    pending: bytearray = field(default_factory=bytearray)


class Link:
    """A proxy in a thread of its own, in front of the ports ``control`` and ``data`` of 127.0.0.1."""

    def __init__(self, control: int, data: int) -> None:
        self.frozen = False
        self.damage: Damage | None = None  # done to what the stream carries towards the target
        self.damaged = 0  # times
        self._cut = False
        self._ways: list[_Way] = []
        self._closing = False
        self._lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()
        self._listeners: dict[socket.socket, int] = {}
        for port in (control, data):
            listener = socket.create_server(("127.0.0.1", 0), backlog=16)
            listener.setblocking(False)
            self._listeners[listener] = port
        self._data = data
        self.control_port, self.data_port = (one.getsockname()[1] for one in self._listeners)
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Reset every connection and refuse new ones; ``mend`` accepts them again."""
        self._cut = True
        self._nudge()

    def flap(self) -> None:
        """Reset every connection; new ones are let through."""
        with self._lock:
            for way in list(self._ways):
                self._drop(way)

    def freeze(self) -> None:
        """Carry nothing more, with the connections left open: a half-open link."""
        self.frozen = True

    def mend(self) -> None:
        """Carry everything again."""
        self.frozen = self._cut = False
        self.damage = None
        self._nudge()

    def close(self) -> None:
        """End the thread and every connection."""
        self._closing = True
        self._nudge()
        self._thread.join(10)
        for one in (*self._listeners, self._wake, self._woken):
            one.close()

    def _nudge(self) -> None:
        self._wake.send(b"x")

    def _run(self) -> None:
        while not self._closing:
            with self._lock:
                if self._cut:
                    for way in list(self._ways):
                        self._drop(way)
                ways = [] if self.frozen else list(self._ways)
            reading = [way.reader for way in ways if len(way.pending) < _KEPT]
            writing = [way.writer for way in ways if way.pending]
            listening = [] if self.frozen else list(self._listeners)
            try:
                readable, writable, _ = select.select([*reading, *listening, self._woken], writing, [], 0.05)
            except (ValueError, OSError):
                continue  # a connection was reset meanwhile
            with self._lock:
                self._round(set(readable), set(writable))
        with self._lock:
            for way in list(self._ways):
                self._drop(way)

    def _round(self, readable: set[socket.socket], writable: set[socket.socket]) -> None:
        if self._woken in readable:
            self._woken.recv(4096)
        for listener in self._listeners:
            if listener in readable:
                self._accept(listener)
        for way in list(self._ways):
            try:
                if way.reader in readable and way in self._ways:
                    self._read(way)
                if way.writer in writable and way.pending:
                    del way.pending[: way.writer.send(way.pending)]
            except BlockingIOError:
                continue
            except OSError:
                self._drop(way)

    def _accept(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        port = self._listeners[listener]
        try:
            if self._cut:
                raise ConnectionRefusedError
            server = socket.create_connection(("127.0.0.1", port), 5)
        except OSError:
            _reset(client)
            return
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ways += [_Way(client, server, False), _Way(server, client, port == self._data)]

    def _read(self, way: _Way) -> None:
        data = way.reader.recv(_CHUNK)
        if not data:
            self._drop(way)
            return
        if way.damaged and self.damage is not None:
            changed = self.damage(data)
            self.damaged += changed != data
            data = changed
        way.pending += data

    def _drop(self, way: _Way) -> None:
        for other in list(self._ways):
            if other is way or (other.reader is way.writer and other.writer is way.reader):
                self._ways.remove(other)
        _reset(way.reader)
        _reset(way.writer)


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
