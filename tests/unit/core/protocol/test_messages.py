"""Control frames: messages and acks are read back, and any other bytes are refused (R9)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from dkrepl.core.protocol import frames, messages
from dkrepl.core.protocol.messages import Alive, Bye, Digest, Evict, Hello, Ready, Refuse, Stalled, Trouble, Welcome
from dkrepl.errors import ProtocolError

HELLO = Hello(
    protocol_min=1,
    protocol_max=1,
    mirror="r0",
    mirror_id="m1",
    node="beta",
    size=1 << 30,
    block=65536,
    generation="g1",
    history=["g0"],
    store_state="Consistent",
    epoch=4,
    software="0.1.0",
    follows="alpha",
)
ACK = frames.Ack(epoch=3, session=2**64 - 1, applied=10, durable=9, resync_applied=8, resync_durable=7)


@pytest.mark.parametrize(
    "message",
    [
        HELLO,
        Welcome(
            protocol=1,
            epoch=5,
            session=2**63 - 1,
            group=0,
            slot=3,
            mirror_id="m1",
            generation="g1",
            history=["g0"],
            decision="Copy",
            source="alpha",
        ),
        Refuse("SplitBrain", "both were written", "alpha"),
        Ready(5),
        Alive(epoch=5, session=7, state="InSync", dirty_bytes=0, total_bytes=0, rate=1.5),
        Evict(5, "WindowFull", "too slow", 0.5),
        Trouble(5, "Gap", "writes are missing"),
        Digest(5, 1, "ab" * 16),
        Bye("alpha"),
        Stalled("beta", 7.5),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_is_read_back(message: messages.AnyMessage) -> None:
    assert messages.decode(messages.encode(message)) == message


def test_an_ack_is_read_back() -> None:
    assert messages.decode(frames.pack_ack(ACK)) == ACK


@pytest.mark.parametrize("whole", [messages.encode(HELLO), frames.pack_ack(ACK)], ids=["message", "ack"])
def test_a_flipped_bit_or_a_missing_byte_is_noticed(whole: bytes) -> None:
    for bit in range(0, 8 * len(whole), 3):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        # The protocol's version is the handshake's to refuse, but no frame of this version carries another one.
        with pytest.raises(ProtocolError):
            messages.decode(bytes(broken))
    for length in range(len(whole)):
        with pytest.raises(ProtocolError):
            messages.decode(whole[:length])


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        messages.decode(frame)


@given(st.binary(max_size=200))
def test_any_body_under_a_right_checksum_is_a_message_or_a_protocol_error(body: bytes) -> None:
    try:
        messages.decode(frames.pack_control(body))
    except ProtocolError:
        return


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
_tags = st.sampled_from(["Hello", "Welcome", "Refuse", "Ready", "Alive", "Evict", "Trouble", "Digest", "Bye", "X"])
_keys = st.sampled_from([*Hello.__struct_fields__, *Welcome.__struct_fields__, "code", "text", "retry", "number"])


@settings(suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(_tags, st.dictionaries(_keys, _values, max_size=6))
def test_any_well_formed_fields_are_a_message_or_a_protocol_error(tag: str, fields: dict[str, object]) -> None:
    body = msgspec.msgpack.encode({"type": tag, **fields})
    try:
        message = messages.decode(frames.pack_control(body))
    except ProtocolError:
        return
    assert type(message).__name__ == tag


@pytest.mark.parametrize(
    ("field", "value"),
    [("epoch", -1), ("epoch", 2**31), ("node", "x" * 65), ("history", ["g"] * 65), ("size", "1"), ("block", 2**63)],
)
def test_a_value_out_of_range_is_refused(field: str, value: object) -> None:
    fields = {"type": "Hello", **msgspec.structs.asdict(HELLO), field: value}
    with pytest.raises(ProtocolError, match="cannot be understood"):
        messages.decode(frames.pack_control(msgspec.msgpack.encode(fields)))


def test_an_ack_of_a_wrong_length_is_refused() -> None:
    short = frames.pack_ack(ACK)[:-9]
    with pytest.raises(ProtocolError, match="wrong length"):
        messages.decode(short + checksummed(short))


def test_a_control_frame_of_an_unknown_kind_is_refused() -> None:
    frame = frames._CONTROL.pack(frames.MAGIC, frames.VERSION, 99) + b"x"
    with pytest.raises(ProtocolError, match="unknown kind 99"):
        messages.decode(frame + checksummed(frame))


def checksummed(body: bytes) -> bytes:
    return int(xxh3_64_intdigest(body)).to_bytes(8, "little")


def test_a_frame_longer_than_allowed_is_refused_unread() -> None:
    with pytest.raises(ProtocolError, match="not of an allowed size"):
        messages.decode(bytes(frames.MAX_CONTROL + 1))
