"""What a daemon sends: any number of lines with ``progress``, then one with ``ok`` or ``error``."""

from __future__ import annotations

from typing import Any

import msgspec

from dkrepl.api.failure import Failure


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line of an answer; exactly one of the three is set. Progress of null or {} says only that it goes on."""

    ok: Any = msgspec.UNSET
    progress: Any = msgspec.UNSET
    error: Failure | msgspec.UnsetType = msgspec.UNSET

    @property
    def ends(self) -> bool:
        """Whether nothing comes after it."""
        return self.progress is msgspec.UNSET


_decode = msgspec.json.Decoder(Line).decode


def encode(line: Line) -> bytes:
    """Return the line as it is sent."""
    return msgspec.json.encode(line) + b"\n"


def decode(line: bytes) -> Line:
    """Return the line that was sent. Raises ``ValueError`` for anything else."""
    try:
        found = _decode(line)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if [found.ok, found.progress, found.error].count(msgspec.UNSET) != 2:
        raise ValueError("it must have exactly one of ok, progress and error")
    return found
