"""Which targets were in sync when a generation began, as a GENERATION record of the stream carries it.

They are listed by name, not by their position in the description: where descriptions differ, the same position would
mean another node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from dkrepl.errors import ProtocolError

_Name = Annotated[str, msgspec.Meta(max_length=64)]
_Members = Annotated[dict[_Name, bool], msgspec.Meta(max_length=64)]
_decoder = msgspec.msgpack.Decoder(_Members)


def pack(members: Mapping[str, bool]) -> bytes:
    """Return the data of a GENERATION record; ``members``: by name, whether the target is synchronous."""
    return msgspec.msgpack.encode(dict(members))


def parse(data: bytes | bytearray | memoryview) -> dict[str, bool]:
    """Return what ``pack`` was given. Raises ``ProtocolError``."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"the members of a generation cannot be understood ({error}); it was dropped") from None
