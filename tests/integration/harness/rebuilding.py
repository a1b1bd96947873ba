"""Rebuilds a store from its record as a power loss may have left it: what was flushed, and some of what was not."""

from __future__ import annotations

import bisect
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.harness.applications import run
from tests.integration.harness.recording_daemon import ENTRY, FLUSH_BEGINS, FLUSH_ENDED, WRITE

_PIECE = 4096  # a torn write is there, or not, in pieces of this


@dataclass(frozen=True)
class Change:
    """One write, or one range that was made to read as zeroes. ``place`` is where in the record its entry ends."""

    place: int
    offset: int
    length: int
    data: bytes | None

    def pieces(self) -> Iterator[Change]:
        """Yield the parts that a power loss may tell apart."""
        for at in range(0, self.length, _PIECE):
            length = min(_PIECE, self.length - at)
            data = None if self.data is None else self.data[at : at + length]
            yield Change(self.place, self.offset + at, length, data)


@dataclass
class Record:
    """What a store was told. ``flushes``: (place in the record at which it had ended, changes that it covers)."""

    changes: list[Change] = field(default_factory=list)
    flushes: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a record whose daemon has ended."""
        found, content, at = cls(), memoryview(path.read_bytes()), 0
        begun: dict[int, int] = {}
        while at + ENTRY.size <= len(content):
            what, number, offset, length = ENTRY.unpack_from(content, at)
            at += ENTRY.size
            if what == FLUSH_BEGINS:
                begun[number] = offset
            elif what == FLUSH_ENDED:
                found.flushes.append((at, begun.pop(number)))
            else:
                data = bytes(content[at : at + length]) if what == WRITE else None
                at += length if what == WRITE else 0
                found.changes.append(Change(at, offset, length, data))
        return found

    def durable(self, place: int) -> int:
        """Return how many changes are on stable storage at ``place``."""
        ended = bisect.bisect_right(self.flushes, place, key=lambda flush: flush[0])
        return max((covered for _, covered in self.flushes[:ended]), default=0)

    def before(self, place: int) -> int:
        """Return how many changes had begun at ``place``."""
        return bisect.bisect_right(self.changes, place, key=lambda change: change.place)


@dataclass(frozen=True)
class Crash:
    """A moment at which power is lost, and what of the unflushed changes is on the disk then.

    ``kept``: the probability for each; ``torn``: it is thrown for each piece of 4 KiB and not for the whole.
    """

    place: int
    kept: float
    torn: bool
    seed: int

    def __str__(self) -> str:
        how = {0.0: "nothing", 1.0: "all"}.get(self.kept, f"{self.kept:.0%}{' in pieces' if self.torn else ''}")
        return f"power lost at byte {self.place} of the record, {how} of what was not flushed is there"


def crashes(record: Record, first: int, last: int, at_flushes: int, others: int, dice: random.Random) -> list[Crash]:
    """Choose moments between two places of the record: ends of flushes, with just what is flushed, and ``others``.

    Half of those are any moments, and half such at which much was not flushed.
    """
    ends = [place for place, _ in record.flushes if first <= place <= last]
    chosen = ends if len(ends) <= at_flushes else dice.sample(ends, at_flushes)
    found = [Crash(place, 0.0, False, 0) for place in chosen]
    places = [change.place for change in record.changes if first <= change.place <= last]
    by_stake = sorted(places, key=lambda place: record.before(place) - record.durable(place))
    moments = dice.sample(places, min(others // 2, len(places)))
    moments += dice.sample(by_stake[-len(places) // 4 :], min(others - others // 2, len(places) // 4))
    for place in moments:
        kept = dice.choice([0.0, 1.0, 0.5, dice.random(), dice.random()])
        found.append(Crash(place, kept, dice.random() < 0.6, dice.randrange(1 << 31)))
    return sorted(found, key=lambda crash: crash.place)


def rebuild(record: Record, size: int, order: list[Crash], directory: Path) -> Iterator[tuple[Crash, Path]]:
    """Yield each crash, in the order of their places, with the store as it left it; the next overwrites that."""
    base, trial = directory / "flushed.img", directory / "store.img"
    base.touch()
    done = 0
    with base.open("r+b", buffering=0) as flushed:
        flushed.truncate(size)
        for crash in order:
            durable, begun = record.durable(crash.place), record.before(crash.place)
            for change in record.changes[done:durable]:
                _apply(flushed.fileno(), change)
            done = max(done, durable)
            run("cp", "--sparse=always", base, trial)
            dice = random.Random(crash.seed)
            with trial.open("r+b", buffering=0) as store:
                for change in record.changes[done:begun]:
                    for part in change.pieces() if crash.torn else (change,):
                        if dice.random() < crash.kept:
                            _apply(store.fileno(), part)
            yield crash, trial


def _apply(fd: int, change: Change) -> None:
    os.pwrite(fd, change.data if change.data is not None else bytes(change.length), change.offset)
