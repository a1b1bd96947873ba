"""Peers that send what no dkrepl would: raw bytes, frames with wrong checksums, messages from the future."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Iterator

import msgspec
import zmq

from dkrepl.core import frames, messages
from dkrepl.core.metadata import NodeMetadata
from dkrepl.io.node_keys import NodeKeys


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
        *(messages.PROTOCOL_MIN, messages.PROTOCOL_MAX, record.mirror, record.mirror_id, node, record.size),
        *(record.block, record.generation, list(record.history), record.store_state, record.join, "test"),
        follows=record.follows,
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
    good = messages.encode(messages.Alive(1, 2, "InSync"))
    fields = {"protocol": 1, "join": -1, "session": "x"}
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
        yield [frames.pack_ack(frames.Ack(1, dice.getrandbits(63), *(dice.getrandbits(63) for _ in range(4))))]


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
