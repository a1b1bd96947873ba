"""One thing that an application asks of the device, as the daemon sees it."""

from __future__ import annotations

from typing import Final

READ: Final = 1
WRITE: Final = 2
SYNC: Final = 3
DISCARD: Final = 4
ZERO: Final = 5
OP_NAMES: Final = {READ: "read", WRITE: "write", SYNC: "sync", DISCARD: "discard", ZERO: "zero"}


class Request:
    """One thing that an application asks of the device. Offsets and lengths in bytes.

    ``data`` is what a WRITE writes (``bytes`` below LARGE, else a ``memoryview``), valid for as long as
    anybody holds it; for every other operation it is empty.
    """

    __slots__ = ("data", "length", "offset", "op", "unique")

    # Its arguments have no names in calls: one is made for each request, and names take twice as long.
    def __init__(self, op: int, unique: int, offset: int, length: int, data: bytes | memoryview) -> None:
        self.op = op
        self.unique = unique
        self.offset = offset
        self.length = length
        self.data = data

    def __repr__(self) -> str:
        return f"<{OP_NAMES[self.op]} {self.unique:#x} {self.offset}+{self.length}>"
