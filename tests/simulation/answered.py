"""What applications were told is done, sector by sector, and which copies lack it: the ground truth of rule R11."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dkrepl.io.fuse import DISCARD, WRITE, ZERO
from tests.simulation.disk import SECTOR
from tests.simulation.truth import GARBAGE, Session, values

if TYPE_CHECKING:
    from tests.simulation.device import Asked
    from tests.simulation.machine import Machine


@dataclass(eq=False)
class Promise:
    """An answered write to one sector; ``fits``: what a copy that has it may hold there, which is its value or that of
    a later write to the same data."""

    session: Session
    seq: int
    sector: int
    number: int  # in the order of the answers
    at: float  # when it was answered
    fits: set[bytes]
    flushed: bool = False  # a flush that was asked for after the answer has been answered as well

    def kept_in(self, content: bytes | bytearray) -> bool:
        """Whether a copy with this content has it."""
        return bytes(content[self.sector * SECTOR : (self.sector + 1) * SECTOR]) in self.fits

    def __str__(self) -> str:
        return f"sector {self.sector} of write {self.seq} of {self.session.node} (session {self.session.number:x})"


@dataclass
class Answered:
    """Every promise that is still to be kept. It ends when

    a later answered write to the same data replaces it,
    an administrator gives it up: a promotion by force of a copy without it, ``resolve --discard``,
    it is saved aside at the node that has it, or
    it was not flushed, and the power, or a failed flush, took it from every copy, or from its source, which serves on.
    """

    count: int = 0  # answers so far
    _promises: dict[int, list[Promise]] = field(default_factory=dict)  # by sector; several after a split-brain

    def missing(self, content: bytes | bytearray, before: float | None = None) -> list[Promise]:
        """Return what a copy with this content lacks; ``before``: only of what was answered up to that moment."""
        return [
            promise
            for found in self._promises.values()
            for promise in found
            if not promise.kept_in(content) and (before is None or promise.at <= before)
        ]

    # --- a source ------------------------------------------------------------------------------------

    def began(self, session: Session, past: set[int], power_lost: bool) -> None:
        """A source begins; ``past``: the numbers of the sessions that its content comes from."""
        for sector, found in self._promises.items():
            kept = [promise for promise in found if promise.kept_in(session.base)]
            if kept:
                session.promises[sector] = next((p for p in kept if p.session.number in past), kept[0])
        if power_lost:
            self.give_up(p for p in self.missing(session.base) if not p.flushed and p.session.number in past)

    def wrote(self, session: Session, seq: int) -> None:
        """The record ``seq`` is in the source's store: a copy may hold its value instead of what was there before."""
        for sector, value in values(session.ops[seq - 1]):
            promise = session.promises.get(sector)
            if promise is not None:
                promise.fits.add(value)

    def write(self, session: Session, seq: int, sectors: range, now: float) -> list[Promise]:
        """A write to ``sectors``, whose last record is ``seq``, is answered. Returns what is promised now."""
        self.count += 1
        fits = _fitting(session, seq, sectors)
        made = []
        for sector in sectors:
            before = session.promises.get(sector)
            if before is not None and before.session is session and before.seq >= seq:
                continue
            made.append(Promise(session, seq, sector, self.count, now, fits[sector]))
            self._replace(before, made[-1])
            session.promises[sector] = made[-1]
        return made

    def flush(self, session: Session, asked: int) -> list[Promise]:
        """A flush is answered that was asked for after ``asked`` answers. Returns what it makes safe from now on."""
        self.count += 1
        made = [p for p in session.promises.values() if not p.flushed and p.number <= asked]
        for promise in made:
            promise.flushed = True
        return made

    def died_in(self, requests: Iterable[Asked]) -> None:
        """A source has died, and has not answered these: its copy, and others, may hold what they wrote, or not."""
        for asked in requests:
            if asked.op not in (WRITE, DISCARD, ZERO):
                continue
            data = asked.original.data or bytes(asked.original.length)
            for index, sector in enumerate(asked.sectors):
                for promise in self._promises.get(sector, ()):
                    promise.fits.add(bytes(data[index * SECTOR : (index + 1) * SECTOR]))

    # --- what ends a promise -------------------------------------------------------------------------

    def give_up(self, promises: Iterable[Promise]) -> None:
        """Nobody has to keep these any more."""
        for promise in list(promises):
            found = self._promises.get(promise.sector, [])
            if promise in found:
                found.remove(promise)

    def store_lost(self, session: Session) -> None:
        """A failed flush took something from the store of a source."""
        self.give_up(p for p in session.promises.values() if not p.flushed and not p.kept_in(session.live))

    def power_lost(self, machines: Iterable[Machine]) -> None:
        """Some machine has lost its power: what was not flushed, and no machine has any more, is lost."""
        contents = [machine.disk.store.cache for machine in machines]
        loose = [promise for found in self._promises.values() for promise in found if not promise.flushed]
        self.give_up(p for p in loose if not any(p.kept_in(content) for content in contents))

    def replaced(self, held: bytes | bytearray, new: bytes | bytearray, aside: dict[int, bytes], block: int) -> None:
        """A copy ``held`` gives way to ``new``: what is kept ``aside``, by block, need not be in any copy."""
        per = block // SECTOR
        found = []
        for promise in self.missing(new):
            if not promise.kept_in(held):
                continue
            piece, at = aside.get(promise.sector // per, b""), promise.sector % per * SECTOR
            if piece[at : at + SECTOR] in promise.fits:
                found.append(promise)
        self.give_up(found)

    def _replace(self, before: Promise | None, promise: Promise) -> None:
        found = self._promises.setdefault(promise.sector, [])
        if before is not None and before in found:
            found.remove(before)
        found.append(promise)


def _fitting(session: Session, seq: int, sectors: range) -> dict[int, set[bytes]]:
    """Return the values that each sector of a request may have, whose last piece is the record ``seq``."""
    fits: dict[int, set[bytes]] = {sector: set() for sector in sectors}
    left = set(sectors)
    op = session.record(seq)[0]
    for number in range(len(session.ops), 0, -1):
        record = session.record(number)
        for at, value in values(record):
            if at in left:
                fits[at].add(value)
        if number in session.failed:  # before this write was answered, one to the same data failed
            for at in left:
                fits[at].add(record[3][at * SECTOR : (at + 1) * SECTOR])
        first, count = record[2] // SECTOR, record[1] // SECTOR
        if number <= seq and record[0] == op and sectors.start <= first and first + count <= sectors.stop:
            left.difference_update(range(first, first + count))
            if not left:
                break
    return fits


def garbage(session: Session) -> None:
    """A write of a source has failed, and nobody was told that it is done: its blocks may hold anything."""
    op, _, _, content = session.ops[-1]
    assert op == GARBAGE
    for promise in session.promises.values():
        if not promise.kept_in(content):
            promise.fits.add(content[promise.sector * SECTOR : (promise.sector + 1) * SECTOR])
