"""A message of the stream as it is on the wire."""

from __future__ import annotations

from typing import Any

from xxhash import xxh3_64_intdigest as checksum

from dkrepl.core.protocol import frames


def packed(kind: int, records: list[tuple[int, int, int]], data: bytes = b"", **fields: Any) -> bytes:
    """Return a whole small message, head and data in one frame; ``fields`` of the head are set otherwise."""
    plain: dict[str, Any] = {"group": 0, "mask": 1, "epoch": 0, "session": 7, "first": 1, "position": 1}
    raw = [frames.pack_record(*record) for record in records]
    total = checksum(data) if data else 0
    head = frames.pack_head(kind=kind, records=raw, data_len=len(data), data_sum=total, **plain | fields)
    return head + data
