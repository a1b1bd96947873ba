"""Frames of the stream: what is packed is read back, and any other bytes are refused with a ProtocolError (R9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkrepl.core.protocol import frames, members
from dkrepl.errors import ProtocolError
from tests.unit import streams

LIMIT = 1 << 20  # bytes of the mirror
SESSION = 0x1234_5678_9ABC_DEF1


def packed(kind: int, records: list[tuple[int, int, int]], data: bytes = b"", first: int = 7, epoch: int = 0) -> bytes:
    return streams.packed(kind, records, data, session=SESSION, first=first, epoch=epoch, position=9)


def read(frame: bytes, data: bytes | None = None) -> frames.StreamMessage:
    return frames.parse_stream(frame, data, LIMIT)


MEMBERS = members.pack({"beta": True})
GOOD = packed(frames.LIVE, [(frames.WRITE, 5, 4096), (frames.ZERO, 512, 0), (frames.FLUSH, 0, 0)], b"hello")


def test_what_is_packed_is_read_back() -> None:
    message = read(GOOD)
    assert message.records == [(frames.WRITE, 5, 4096), (frames.ZERO, 512, 0), (frames.FLUSH, 0, 0)]
    assert (message.kind, message.session, message.first, message.position) == (frames.LIVE, SESSION, 7, 9)
    assert bytes(message.data) == b"hello"


def test_large_data_travels_in_a_frame_of_its_own() -> None:
    whole = packed(frames.RESYNC, [(frames.WRITE, 5, 0)], b"hello", epoch=3)
    assert bytes(read(whole[:-5], b"hello").data) == b"hello"
    with pytest.raises(ProtocolError, match="two places"):
        read(whole, b"hello")
    with pytest.raises(ProtocolError, match="data fails its checksum"):
        read(whole[:-5], b"hallo")


@pytest.mark.parametrize("bit", range(0, 8 * len(GOOD), 5))
def test_a_flipped_bit_is_noticed(bit: int) -> None:
    broken = bytearray(GOOD)
    broken[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProtocolError):
        read(bytes(broken))


@pytest.mark.parametrize("length", range(len(GOOD)))
def test_a_frame_cut_short_is_noticed(length: int) -> None:
    with pytest.raises(ProtocolError):
        read(GOOD[:length])


@pytest.mark.parametrize(
    ("kind", "records", "data"),
    [
        (frames.LIVE, [(frames.WRITE, 2, LIMIT - 1)], b"xx"),  # past the end
        (frames.LIVE, [(frames.WRITE, 0, 0)], b""),
        (frames.LIVE, [(frames.DISCARD, 2**32 - 1, 2**64 - 1)], b""),
        (frames.LIVE, [(frames.PROBE, 0, 0)], b""),  # not of this kind
        (frames.RESYNC, [(frames.FLUSH, 0, 0)], b""),
        (frames.LIVE, [(99, 0, 0)], b""),
        (frames.LIVE, [], b""),
        (frames.MARKER, [(frames.PROBE, 0, 0)] * 2, b""),
        (frames.MARKER, [(frames.DIGEST, frames.MAX_DATA + 1, 0)], b""),
        (77, [(frames.WRITE, 1, 0)], b"x"),
        (frames.LIVE, [(frames.WRITE, 3, 0)], b"xx"),  # fewer data than its records say
        (frames.LIVE, [(frames.FLUSH, 0, 0)], b"xx"),
        (frames.LIVE, [(frames.FLUSH, 0, 0), (frames.WRITE, 2, 0)], b"xx"),  # what follows a flush has to wait
        (frames.LIVE, [(frames.FLUSH, 0, 0)] * 2, b""),
        (frames.LIVE, [(frames.GENERATION, len(MEMBERS), 1), (frames.WRITE, 2, 0)], MEMBERS + b"xx"),
        (frames.LIVE, [(frames.WRITE, 2, 0), (frames.GENERATION, len(MEMBERS), 1)], b"xx" + MEMBERS),
    ],
)
def test_a_frame_that_is_whole_but_not_allowed_is_refused(
    kind: int, records: list[tuple[int, int, int]], data: bytes
) -> None:
    with pytest.raises(ProtocolError):
        read(packed(kind, records, data))


@given(st.binary(max_size=400), st.none() | st.binary(max_size=50))
def test_any_bytes_are_a_message_or_a_protocol_error(frame: bytes, data: bytes | None) -> None:
    try:
        read(frame, data)
    except ProtocolError:
        return
    raise AssertionError("random bytes passed two checksums")


@given(
    st.integers(0, 255),
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)), max_size=5),
    st.binary(max_size=64),
    st.integers(0, 2**64 - 1),
)
def test_any_records_under_a_right_checksum_are_a_message_or_a_protocol_error(
    kind: int, records: list[tuple[int, int, int]], data: bytes, first: int
) -> None:
    try:
        message = read(packed(kind, records, data, first))
    except ProtocolError:
        return
    assert message.records == records
    for op, length, offset in records:
        if op in (frames.WRITE, frames.DISCARD, frames.ZERO):
            assert 0 < length <= LIMIT - offset


def test_every_topic_of_a_target_has_its_bit_and_no_other_targets_alone() -> None:
    for slot in range(4):
        topics = frames.topics_of(2, slot, 4)
        assert len(topics) == len(set(topics)) == 8
        assert all(topic[0] == 2 and topic[1] >> slot & 1 for topic in topics)
