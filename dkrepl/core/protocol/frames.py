"""Frames of the stream and of the control channel: how they are laid out, packed and checked.

Little-endian throughout. A *stream message* is a head, followed by its data either in the same ZeroMQ frame
(small) or in a second one (large, sent without a copy):

    head    topic      2 B   group, mask: which targets the message is for; PUB filters on these two bytes
            magic      2 B   0xD4B1
            version    1 B
            kind       1 B   LIVE, RESYNC or MARKER
            count      2 B   number of records
            epoch      4 B   RESYNC and MARKER: which epoch of the target this belongs to; LIVE: 0
            data_len   4 B   bytes of data: of the WRITE records, and of a GENERATION, which names its members
            session    8 B   identity of the source's run; a message of an old session is dropped
            first      8 B   LIVE: seq of the first record; RESYNC, SYNCED: the target's resync seq; START: blocks to
                             be copied; DIGEST: number of the question; PROBE: 0
            position   8 B   seq of the last live write published before this message
            data_sum   8 B   XXH3-64 of the data
            records   16 B each: op, 3 B of zero, length (4 B), offset (8 B)
            head_sum   8 B   XXH3-64 of everything before it
    data    the data of the WRITE and GENERATION records, joined in their order

A FLUSH is the last record of its message, for what follows it has to wait (R3); a GENERATION is the only one.

Rule R9: a frame whose checksum, size or layout is wrong raises ``ProtocolError`` and nothing of it is used.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from xxhash import xxh3_64_intdigest as checksum

from dkrepl.core.protocol import members
from dkrepl.errors import ProtocolError

Buffer = bytes | bytearray | memoryview

VERSION = 1
MAGIC = 0xD4B1

# kinds of stream message
LIVE, RESYNC, MARKER = 1, 2, 3

# operations of a record: the first three change data (DISCARD and ZERO both read back as zeros)
WRITE, DISCARD, ZERO, FLUSH, GENERATION = 1, 2, 3, 4, 5
# operations of the one record of a MARKER
PROBE, START, SYNCED, DIGEST = 16, 17, 18, 19

_DATA_OPS = frozenset((WRITE, DISCARD, ZERO))
_LIVE_OPS = frozenset((WRITE, DISCARD, ZERO, FLUSH, GENERATION))
_MARK_OPS = frozenset((PROBE, START, SYNCED, DIGEST))
_ALLOWED = {LIVE: _LIVE_OPS, RESYNC: _DATA_OPS, MARKER: _MARK_OPS}

SLOTS = 6  # targets that share one group: each subscribes to 2 ** (SLOTS - 1) topics
MAX_RECORDS = 1024
MAX_DATA = 8 << 20  # bytes in one message
MAX_CONTROL = 256 << 10  # bytes in one control frame

_HEAD = struct.Struct("<BBHBBHIIQQQQ")
_RECORD = struct.Struct("<BxxxIQ")
_SUM = struct.Struct("<Q")
_ACK = struct.Struct("<HBBIQQQQQ")
_CONTROL = struct.Struct("<HBB")

HEAD_BYTES = _HEAD.size
RECORD_BYTES = _RECORD.size
KIND_CONTROL, KIND_ACK = 32, 33

pack_record = _RECORD.pack


class StreamMessage(NamedTuple):
    """A checked stream message; ``data`` holds the data of the WRITE and GENERATION records, joined."""

    kind: int
    epoch: int
    session: int
    first: int
    position: int
    records: list[tuple[int, int, int]]  # (op, length in bytes, offset in bytes)
    data: memoryview


class Ack(NamedTuple):
    """A target's ack: everything up to each seq is applied, or durable."""

    epoch: int
    session: int
    applied: int
    durable: int
    resync_applied: int
    resync_durable: int


def topic(group: int, mask: int) -> bytes:
    """Return the two bytes that a target's subscription matches."""
    return bytes((group, mask))


def topics_of(group: int, slot: int, slots: int) -> list[bytes]:
    """Return every topic that is for the target in ``slot`` (0 to ``slots`` - 1) of ``group``."""
    bit = 1 << slot
    return [topic(group, mask) for mask in range(1, 1 << slots) if mask & bit]


def pack_head(
    *,
    group: int,
    mask: int,
    kind: int,
    epoch: int,
    session: int,
    first: int,
    position: int,
    records: Sequence[bytes],
    data_len: int,
    data_sum: int,
) -> bytes:
    """Return the head of a stream message; ``records`` come from ``pack_record(op, length, offset)``."""
    head = _HEAD.pack(
        group, mask, MAGIC, VERSION, kind, len(records), epoch, data_len, session, first, position, data_sum
    )
    body = head + b"".join(records)
    return body + _SUM.pack(checksum(body))


def parse_stream(frame: Buffer, data: Buffer | None, limit: int) -> StreamMessage:
    """Check and return a stream message.

    ``data`` is the second frame, if there was one; ``limit`` the mirror's size in bytes, which no record may
    pass. Raises ``ProtocolError``.
    """
    view = memoryview(frame)
    if len(view) < HEAD_BYTES + 8:
        raise ProtocolError(f"a stream frame of {len(view)} bytes is shorter than a head; it was dropped")
    _, _, magic, version, kind, count, epoch, data_len, session, first, position, data_sum = _HEAD.unpack_from(view)
    if magic != MAGIC:
        raise ProtocolError("a stream frame does not begin with dkrepl's magic number; it was dropped")
    if version != VERSION:
        raise ProtocolError(
            f"a stream frame has version {version}, this node speaks {VERSION}; upgrade the older of the two"
        )
    end = HEAD_BYTES + count * RECORD_BYTES
    if not 0 < count <= MAX_RECORDS or data_len > MAX_DATA or len(view) < end + 8:
        raise ProtocolError("a stream frame is truncated, empty or larger than allowed; it was dropped")
    if checksum(view[:end]) != _SUM.unpack_from(view, end)[0]:
        raise ProtocolError("a stream frame's head fails its checksum; it was dropped")
    if data is None:
        body = view[end + 8 :]
    else:
        if len(view) != end + 8:
            raise ProtocolError("a stream frame has data in two places; it was dropped")
        body = memoryview(data)
    if len(body) != data_len or (data_len and checksum(body) != data_sum):
        raise ProtocolError("a stream frame's data fails its checksum; it was dropped")
    allowed = _ALLOWED.get(kind)
    if allowed is None:
        raise ProtocolError(f"a stream frame has the unknown kind {kind}; it was dropped")
    if kind == MARKER and count != 1:
        raise ProtocolError("a stream marker has other than one record; it was dropped")
    records = [(op, length, offset) for op, length, offset in _RECORD.iter_unpack(view[HEAD_BYTES:end])]
    total = flushes = 0
    for op, length, offset in records:
        if op not in allowed:
            raise ProtocolError(f"a stream record has the operation {op}, not allowed in its kind; it was dropped")
        if op in _DATA_OPS or op == DIGEST:
            if offset + length > limit or not length or (op == DIGEST and length > MAX_DATA):
                raise ProtocolError("a stream record reaches outside the device; it was dropped")
            if op == WRITE:
                total += length
        elif op == GENERATION:
            if count != 1:
                raise ProtocolError("a stream frame has more beside a new generation; it was dropped")
            members.parse(body[total : total + length])
            total += length
        elif op == FLUSH:
            flushes += 1
    if flushes and (flushes > 1 or records[-1][0] != FLUSH):
        raise ProtocolError("a stream frame has a flush before its last record; it was dropped")
    if total != data_len:
        raise ProtocolError("a stream frame's records and data differ in length; it was dropped")
    return StreamMessage(kind, epoch, session, first, position, records, body)


def pack_ack(ack: Ack) -> bytes:
    """Return the control frame of an ack."""
    body = _ACK.pack(MAGIC, VERSION, KIND_ACK, *ack)
    return body + _SUM.pack(checksum(body))


def pack_control(body: bytes) -> bytes:
    """Return the control frame that carries an encoded message."""
    frame = _CONTROL.pack(MAGIC, VERSION, KIND_CONTROL) + body
    return frame + _SUM.pack(checksum(frame))


def parse_control(frame: Buffer) -> Ack | bytes:
    """Check a control frame; return the ack, or the encoded message that it carries.

    Raises ``ProtocolError``; a frame of another protocol version is left to the handshake to refuse, so its
    body is returned when it passes the checksum.
    """
    view = memoryview(frame)
    if not _CONTROL.size + 8 <= len(view) <= MAX_CONTROL:
        raise ProtocolError(f"a control frame of {len(view)} bytes is not of an allowed size; it was dropped")
    body, total = view[:-8], _SUM.unpack_from(view, len(view) - 8)[0]
    magic, _, kind = _CONTROL.unpack_from(view)
    if magic != MAGIC:
        raise ProtocolError("a control frame does not begin with dkrepl's magic number; it was dropped")
    if checksum(body) != total:
        raise ProtocolError("a control frame fails its checksum; it was dropped")
    if kind == KIND_ACK:
        if len(body) != _ACK.size:
            raise ProtocolError("an ack has the wrong length; it was dropped")
        fields = _ACK.unpack(body)
        return Ack(*fields[3:])
    if kind == KIND_CONTROL:
        return bytes(body[_CONTROL.size :])
    raise ProtocolError(f"a control frame has the unknown kind {kind}; it was dropped")
