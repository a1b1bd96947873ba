"""Peers that send what no dkrepl would: raw bytes, frames with wrong checksums, messages from the future."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
from collections.abc import Iterator

import msgspec
import zmq

from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol import frames, messages
from dkrepl.io.state.node_keys import NodeKeys


@contextlib.contextmanager
def dealer(
    port: int, identity: str, keys: NodeKeys | None = None, server: NodeKeys | None = None, kind: int = zmq.DEALER
) -> Iterator[zmq.Socket[bytes]]:
    """A DEALER connected to a source's control port, under any name, with any keys (or none)."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    peer = context.socket(kind)
    if kind == zmq.DEALER:
        peer.setsockopt(zmq.ROUTING_ID, identity.encode())
    peer.setsockopt(zmq.RCVHWM, 1000 if kind == zmq.DEALER else 1)
    peer.setsockopt(zmq.LINGER, 1000)
    peer.setsockopt(zmq.RCVTIMEO, 20_000)
    peer.setsockopt(zmq.SNDTIMEO, 20_000)
    if keys is not None and server is not None:
        peer.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
        peer.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
        peer.setsockopt(zmq.CURVE_SERVERKEY, server.public)
    try:
        peer.connect(f"tcp://127.0.0.1:{port}")
        yield peer
    finally:
        peer.close()
        context.term()


def hello(record: NodeMetadata, node: str) -> messages.Hello:
    """The Hello of a node with this record."""
    return messages.Hello(
        protocol_min=messages.PROTOCOL_MIN,
        protocol_max=messages.PROTOCOL_MAX,
        mirror=record.mirror,
        mirror_id=record.mirror_id,
        node=node,
        size=record.size,
        block=record.block,
        generation=record.generation,
        history=list(record.history),
        store_state=record.store_state,
        epoch=record.epoch,
        software="test",
        follows=record.follows,
        terms=record.agreed,
    )


def answer_to(peer: zmq.Socket[bytes], message: messages.Hello) -> messages.AnyMessage:
    """Say Hello; return the first answer that is no heartbeat."""
    peer.send(messages.encode(message))
    while True:
        found = messages.decode(peer.recv())
        if not isinstance(found, messages.Alive | frames.Ack):
            return found


def hostile_frames(seed: int) -> Iterator[list[bytes]]:
    """Yield multipart control messages that must all be refused (or, if well-formed, must not matter)."""
    dice = random.Random(seed)
    good = messages.encode(messages.Alive(epoch=1, session=2, state="InSync"))
    fields = {"protocol": 1, "epoch": -1, "session": "x"}
    while True:
        cut = dice.randrange(len(good))
        yield [good[:cut]]
        yield [good[:cut] + bytes((good[cut] ^ 1 << dice.randrange(8),)) + good[cut + 1 :]]
        yield [dice.randbytes(dice.randrange(1, 3000))]
        yield [b""]
        yield [good, good]
        yield [good, b"", good[:5]]
        yield [frames.pack_control(dice.randbytes(50))]
        yield [frames.pack_control(msgspec.msgpack.encode({"type": "Welcome", **fields}))]
        yield [frames.pack_control(msgspec.msgpack.encode({"type": "Unheard"}))]
        yield [frames.pack_control(b"\x91" * 5000)]
        yield [frames.pack_ack(frames.Ack(1, *(dice.getrandbits(63) for _ in range(5))))]


def throw_bytes(port: int, times: int) -> None:
    """Connect again and again to a TCP port and send what is no ZeroMQ, or half of it."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
    openings = (os.urandom(5000), b"GET / HTTP/1.1\r\n\r\n", greeting[:20], greeting + b"\x04\xff" * 900, b"")
    for i in range(times):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as one:
            one.sendall(openings[i % len(openings)])
            if i % 3:
                one.shutdown(socket.SHUT_WR)


_READY = b"\x05READY" + b"\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER"
_HANDSHAKE = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_HANDSHAKE += b"\x04" + bytes((len(_READY),)) + _READY


@contextlib.contextmanager
def crowd(port: int, most: int) -> Iterator[None]:
    """Hold as many connections as can be had, at most ``most``, that do ZeroMQ's handshake and then nothing."""
    with contextlib.ExitStack() as held:
        for _ in range(most):
            try:
                one = held.enter_context(socket.create_connection(("127.0.0.1", port), 1))
                one.sendall(_HANDSHAKE)
            except OSError:
                break
        yield


def announce_too_much(port: int) -> None:
    """Do ZeroMQ's handshake, then announce a frame of an exabyte and begin to send it."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as one:
        one.sendall(_HANDSHAKE)
        one.settimeout(5)
        one.recv(64)
        one.sendall(b"\x02" + (1 << 60).to_bytes(8, "big"))
        for _ in range(64):
            one.sendall(bytes(1 << 20))


class Recorder:
    """A proxy in front of a port that keeps what clients say, and can say each piece twice."""

    def __init__(self, port: int) -> None:
        self.said: list[bytes] = []  # for each connection, all that its client sent
        self.twice = False
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """End every connection, and the threads."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to), 5)
                server.settimeout(None)
                self._open += [client, server]
                self.said.append(b"")
                for work in (self._forth, self._back):
                    thread = threading.Thread(target=work, args=(client, server, len(self.said) - 1), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _forth(self, client: socket.socket, server: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self.said[number] += data
                server.sendall(data * 2 if self.twice else data)
            server.shutdown(socket.SHUT_WR)

    @staticmethod
    def _back(client: socket.socket, server: socket.socket, _: int) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def half_open(port: int, count: int) -> Iterator[None]:
    """Hold connections that say nothing, or begin a handshake and do not go on."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
    with contextlib.ExitStack() as held:
        for i in range(count):
            one = held.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            one.sendall((b"", greeting[:10], greeting, greeting + b"\x04\xc8\x05HELLO")[i % 4])
        yield


def replay(port: int, recorded: bytes) -> None:
    """Say again what was recorded; return when the other end has closed."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as one:
        one.settimeout(20)
        one.sendall(recorded)
        while one.recv(65536):
            pass
