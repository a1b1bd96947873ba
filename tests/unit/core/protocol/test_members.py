"""Members of a generation travel by name: what a receiver's own description says of nodes changes nothing."""

from __future__ import annotations

import pytest

from dkrepl.core.protocol import frames, members
from dkrepl.errors import ProtocolError
from tests.unit.streams import packed

GENERATION = int("ab" * 8, 16)


def frame(data: bytes) -> bytes:
    return packed(frames.LIVE, [(frames.GENERATION, len(data), GENERATION)], data)


def test_names_and_modes_arrive_as_they_were_sent() -> None:
    sent = {"beta": True, "gamma": False}
    message = frames.parse_stream(frame(members.pack(sent)), None, 1 << 30)
    assert members.parse(message.data) == sent


@pytest.mark.parametrize("data", [b"", b"\x93\x01\x02\x03", members.pack({"x" * 65: True}), b"\x81\xa4beta\x02"])
def test_members_that_cannot_be_understood_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="members of a generation"):
        frames.parse_stream(frame(data), None, 1 << 30)
