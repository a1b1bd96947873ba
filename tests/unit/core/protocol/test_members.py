"""Members of a generation travel by name: what a receiver's own description says of nodes changes nothing."""

from __future__ import annotations

import pytest
from xxhash import xxh3_64_intdigest as checksum

from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol import frames, members
from dkrepl.errors import ProtocolError

GENERATION = int("ab" * 8, 16)


def frame(data: bytes) -> bytes:
    record = frames.pack_record(frames.GENERATION, len(data), GENERATION)
    return (
        frames.pack_head(
            group=0,
            mask=1,
            kind=frames.LIVE,
            epoch=0,
            session=7,
            first=1,
            position=1,
            records=[record],
            data_len=len(data),
            data_sum=checksum(data),
        )
        + data
    )


def test_names_and_modes_arrive_as_they_were_sent() -> None:
    sent = {"beta": True, "gamma": False}
    message = frames.parse_stream(frame(members.pack(sent)), None, 1 << 30)
    assert members.parse(message.data) == sent


@pytest.mark.parametrize("data", [b"", b"\x93\x01\x02\x03", members.pack({"x" * 65: True}), b"\x81\xa4beta\x02"])
def test_members_that_cannot_be_understood_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="members of a generation"):
        frames.parse_stream(frame(data), None, 1 << 30)


def test_what_an_asynchronous_peer_may_lack_is_remembered_whatever_its_mode_becomes() -> None:
    record = NodeMetadata(
        format=2,
        mirror="r0",
        mirror_id="m1",
        node="alpha",
        role="source",
        size=1 << 30,
        block=1 << 16,
        extent=1 << 22,
        generation="g1",
    )
    record = peer_records.in_sync(record, "beta", "g1", sync=False)
    record = peer_records.with_base(record, {"beta": True}, "g2")
    beta = peer_records.record_of(record, "beta")
    assert not peer_records.has_all(beta, "g1")
    assert peer_records.has_all(beta, "g2")
    again = peer_records.record_of(peer_records.in_sync(record, "beta", "g1", sync=True), "beta")
    assert peer_records.has_all(again, "g1")
