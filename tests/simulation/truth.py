"""What really was written: every session of a source, record by record, to compare copies with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dkrepl.core.protocol import frames
from tests.simulation.disk import SECTOR
from tests.simulation.settings import BLOCK
from tests.simulation.world import RuleBroken

if TYPE_CHECKING:
    from tests.simulation.answered import Promise

_EMPTYING = (frames.DISCARD, frames.ZERO)
_MARK = 16
GARBAGE = 99  # what a failed local write left

Point = tuple[int, int]  # (session, seq): the content after that record


@dataclass
class Session:
    """A source's run: its content was ``base``, and then came ``ops``; ``parent`` is where its content came from."""

    number: int
    node: str
    base: bytes
    parent: Point | None
    ops: list[tuple[int, int, int, bytes]] = field(default_factory=list)  # (op, length, offset, data), from seq 1
    live: bytearray = field(default_factory=bytearray)
    marks: list[bytes] = field(default_factory=list)  # the content after every ``_MARK`` records
    unseen: dict[str, int] = field(default_factory=dict)  # target -> newest seq answered while it was not in the stream
    under_way: tuple[int, int] | None = None  # (offset, end) of a discard that has no place in the stream yet
    spoiled: bool = False  # the store lost some of it meanwhile
    forced: bool = False  # its source was promoted by force
    unelected: bool = False  # it was, in this run or before, or it serves although others did not answer
    began: float = 0.0
    answered: float = -1.0  # when the newest change was asked for that it has answered
    relied: dict[tuple[str, str], int] = field(default_factory=dict)  # the same, and on the word of the second
    promises: dict[int, Promise] = field(default_factory=dict)  # sector -> the answered write that its content has
    asked: dict[int, tuple[int, int, int, bytes]] = field(default_factory=dict)  # what a failed flush has replaced
    failed: set[int] = field(
        default_factory=set
    )  # records in whose place a write failed: what it left is anybody's guess

    def add(self, seq: int, op: int, length: int, offset: int, data: bytes, content: bytearray) -> None:
        """A record is in the source's store, whose content is now ``content``."""
        assert seq == len(self.ops) + 1, f"record {seq} follows {len(self.ops)}"
        apply(self.live, op, length, offset, data)
        if self.under_way is not None:
            content = bytearray(content)
            content[slice(*self.under_way)] = self.live[slice(*self.under_way)]
        if self.live != content:
            lost = op in _EMPTYING and self.spoiled  # a flush failed while it was under way
            if op != frames.FLUSH and not lost:
                raise RuleBroken("R3", f"the store of {self.node} is not what it published up to {seq}")
            if op == frames.FLUSH:
                self.failed.add(seq)
            op, data = GARBAGE, bytes(content)
            self.live[:] = content
        self.spoiled = self.spoiled and self.under_way is not None
        self.ops.append((op, length, offset, data))
        if seq % _MARK == 0:
            self.marks.append(bytes(self.live))

    def went_back(self, content: bytearray) -> None:
        """The store lost some of what was written."""
        self.spoiled = self.under_way is not None
        if self.ops:
            _, length, offset, _ = self.ops[-1]
            self.asked.setdefault(len(self.ops), self.ops[-1])
            self.ops[-1] = (GARBAGE, length, offset, bytes(content))
            self.failed.discard(len(self.ops))
            del self.marks[(len(self.ops) - 1) // _MARK :]
            if len(self.ops) % _MARK == 0:
                self.marks.append(bytes(content))
        else:
            self.base = bytes(content)
        self.live[:] = content

    def record(self, seq: int) -> tuple[int, int, int, bytes]:
        """The record ``seq`` as it was published, even if the store has lost it since."""
        return self.asked.get(seq, self.ops[seq - 1])

    def wrote(self, seq: int) -> bool:
        """Whether any of the records up to ``seq`` changed data."""
        return any(length or op == GARBAGE for op, length, _, _ in self.ops[:seq])

    def image(self, seq: int) -> bytearray:
        """The content after record ``seq``."""
        mark = seq // _MARK
        found = bytearray(self.marks[mark - 1] if mark else self.base)
        for op in self.ops[mark * _MARK : seq]:
            apply(found, *op)
        return found

    def blocks(self, first: int, last: int) -> set[int]:
        """The blocks that the records ``first`` to ``last`` changed."""
        found: set[int] = set()
        for _, length, offset, _ in self.ops[first - 1 : last]:
            if length:
                found.update(range(offset // BLOCK, (offset + length - 1) // BLOCK + 1))
        return found

    def covers(self, seq: int, content: bytearray) -> str:
        """Say why ``content`` lacks something of the records up to ``seq``, or "" if every sector has its value of
        then or a later one."""
        expected = self.image(seq)
        if expected == content:
            return ""
        for at in range(0, len(expected), SECTOR):
            have = content[at : at + SECTOR]
            if expected[at : at + SECTOR] != have and not self._later(seq, at, have):
                return f"sector {at // SECTOR} is {bytes(have)!r}, not {bytes(expected[at : at + SECTOR])!r} or newer"
        return ""

    def _later(self, seq: int, at: int, have: bytearray) -> bool:
        if self.under_way is not None and self.under_way[0] <= at < self.under_way[1] and not any(have):
            return True
        for op, length, offset, data in self.ops[seq:]:
            if op == GARBAGE:
                if data[at : at + SECTOR] == have:
                    return True
            elif offset <= at < offset + length:
                value = bytes(SECTOR) if op in _EMPTYING else data[at - offset : at - offset + SECTOR]
                if value == have:
                    return True
        return False


def block_of(content: bytes | bytearray, block: int) -> bytes:
    """The content of a block."""
    return bytes(content[block * BLOCK : (block + 1) * BLOCK])


def values(record: tuple[int, int, int, bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield each sector that a record writes, and its value."""
    op, length, offset, data = record
    for at in range(0, length if op != GARBAGE else 0, SECTOR):
        value = bytes(SECTOR) if op in _EMPTYING else data[at : at + SECTOR]
        yield (offset + at) // SECTOR, value


def apply(image: bytearray, op: int, length: int, offset: int, data: bytes) -> None:
    """Change ``image`` as a record says."""
    if op == frames.WRITE:
        image[offset : offset + length] = data
    elif op in _EMPTYING:
        image[offset : offset + length] = bytes(length)
    elif op == GARBAGE:
        image[:] = data


class Follower:
    """The content that a target must have, brought forward as it applies."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._seq = 0
        self._image = bytearray()

    def image(self, session: Session, seq: int) -> bytearray:
        """The content after record ``seq`` of ``session``."""
        if self._session is not session or seq < self._seq:
            self._session, self._seq, self._image = session, 0, bytearray(session.base)
        for op in session.ops[self._seq : seq]:
            apply(self._image, *op)
        self._seq = seq
        return self._image
