"""The stream of a source: orders writes, knows who is in it, and decides when a request completes.

    intend   seq given, bits set in every bitmap, before the data is written here        (R1, with the intent log)
    park     written here and published: waits to complete
    release  every target that must have it has it (R4); a window that is full holds it (R5)

A write that completes after a target left must be preceded by a new generation that is durable (rule R7): until then
``hold`` lets nothing complete. Only ``NewGeneration`` sets it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.source.member import Member
from dkrepl.core.source.resync_state import Resync
from dkrepl.core.source.target_settings import TargetSettings
from dkrepl.core.source.write_log import WriteLog

Token = tuple[int, int]
"""What the caller needs to complete a request: its number for it, and the bytes of a write, -1 for any other.

Opaque here.
"""


class Watch:
    """Notes whether blocks ``first`` to ``end`` - 1 are written while they are read somewhere else."""

    __slots__ = ("end", "first", "touched")

    def __init__(self, first: int, end: int) -> None:
        self.first = first
        self.end = end
        self.touched = False


class Stream:
    """Orders the changes of the device, and keeps those that wait to complete.

    Blocks are of ``1 << shift`` bytes; ``targets`` are all of the mirror, in the stream or not.
    """

    def __init__(self, targets: Sequence[TargetSettings], shift: int, groups: int, *, limits: Limits = DEFAULT) -> None:
        self.log = WriteLog(limits=limits)
        self.members: tuple[Member, ...] = ()
        self.masks = [0] * groups
        self.hold = False
        self.local_durable = 0
        self._watches: list[Watch] = []
        self.under_way: tuple[int, int] | None = None  # (offset, end) in bytes of a slow change that has no seq yet
        self._shift = shift
        self._piece_shift = limits.piece_shift
        self._unconfirmed = limits.unconfirmed_writes
        self._undurable = limits.undurable_writes
        self._resyncs: tuple[Resync, ...] = ()
        self._maps = [(target.bitmap.bits, target.bitmap.touched) for target in targets]
        self._bitmaps = [target.bitmap for target in targets]
        assert all(bitmap.piece_shift == self._piece_shift for bitmap in self._bitmaps)
        self._writes: deque[tuple[int, Token]] = deque()
        self._flushes: deque[tuple[int, Token]] = deque()

    @property
    def confirmed(self) -> int:
        """The newest seq that every member has confirmed durable."""
        return min((member.durable for member in self.members), default=self.log.seq)

    @property
    def waiting(self) -> bool:
        """Whether anything waits to complete."""
        return bool(self._writes or self._flushes)

    def begin_slow(self, offset: int, length: int) -> None:
        """Begin a slow change, one at a time: sets its bits (R1), which stay until it has a seq (R2).

        Until ``end_slow`` nothing else may change the range, and its content belongs to no place of the stream (R3).
        """
        first, end = self._blocks(offset, length)
        for resync in self._resyncs:
            resync.before_write(first, end)
        for bitmap in self._bitmaps:
            bitmap.mark(first, end)
        for watch in self._watches:
            if first < watch.end and watch.first < end:
                watch.touched = True
        self.log.begin(first, end)
        self.under_way = (offset, offset + length)

    def end_slow(self) -> int:
        """The slow change has ended, well or not: return the seq that it has at this place of the stream."""
        assert self.under_way is not None
        offset, end = self.under_way
        seq = self.intend(offset, end - offset, 0)
        self.log.end_of(*self._blocks(offset, end - offset))
        self.under_way = None
        return seq

    def changing(self, offset: int, length: int) -> bool:
        """Whether a slow change that has no seq yet overlaps the range."""
        now = self.under_way
        return now is not None and offset < now[1] and now[0] < offset + length

    def _blocks(self, offset: int, length: int) -> tuple[int, int]:
        return offset >> self._shift, ((offset + length - 1) >> self._shift) + 1

    def intend(self, offset: int, length: int, data_length: int) -> int:
        """Give the next seq to a change of ``length`` bytes at ``offset`` and set its bits (R1).

        Must precede the write to the local store. ``data_length``: bytes that go to the targets.
        """
        first = offset >> self._shift
        end = ((offset + length - 1) >> self._shift) + 1
        for resync in self._resyncs:
            resync.before_write(first, end)
        if end - first == 1:
            piece = first >> self._piece_shift
            for bits, touched in self._maps:
                bits[first] = 1
                touched[piece] = 1  # CHANGED
        else:
            for bitmap in self._bitmaps:
                bitmap.mark(first, end)
        for watch in self._watches:
            if first < watch.end and watch.first < end:
                watch.touched = True
        if not self.members:
            self.log.trim(self.log.seq)
        return self.log.append(first, end, data_length)

    def watch(self, first: int, end: int) -> Watch:
        """Note from now on whether blocks ``first`` to ``end`` - 1 are written, until ``unwatch``."""
        watch = Watch(first, end)
        self._watches.append(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Note nothing more."""
        self._watches.remove(watch)

    def control_record(self) -> int:
        """Give the next seq to a record that changes no data."""
        if not self.members:
            self.log.trim(self.log.seq)
        return self.log.append(0, 0, 0)

    def park(self, seq: int, token: Token) -> None:
        """The write ``seq`` is stored here and published; ``token`` waits for ``release``."""
        self._writes.append((seq, token))

    def park_flush(self, seq: int, token: Token) -> None:
        """``token`` waits until everything up to ``seq`` is durable where it must be."""
        self._flushes.append((seq, token))

    def store_synced(self, seq: int) -> None:
        """The local store is flushed: everything up to ``seq`` is durable here."""
        self.local_durable = max(self.local_durable, seq)

    def release(self) -> list[Token]:
        """Return the tokens of what completes now."""
        out: list[Token] = []
        if self.hold:
            return out
        members, log, writes = self.members, self.log, self._writes
        if writes and not any(member.holds(writes[-1][0], log) for member in members):
            out.extend(token for _, token in writes)
            writes.clear()
        while writes and not any(member.holds(writes[0][0], log) for member in members):
            out.append(writes.popleft()[1])
        flushes = self._flushes
        if flushes:
            durable = min((v.durable for v in members if v.mode == "sync"), default=self.local_durable)
            durable = min(durable, self.local_durable)
            while flushes and flushes[0][0] <= durable:
                out.append(flushes.popleft()[1])
        return out

    def fail_flushes(self, seq: int) -> list[Token]:
        """The local store could not be flushed: return the tokens of the flushes up to ``seq``."""
        out = []
        while self._flushes and self._flushes[0][0] <= seq:
            out.append(self._flushes.popleft()[1])
        return out

    def fail_held(self) -> list[Token]:
        """What is held cannot complete: return all tokens, which are to fail."""
        out: list[Token] = []
        if self.hold:
            out = [token for _, token in (*self._writes, *self._flushes)]
            self._writes.clear()
            self._flushes.clear()
        return out

    def overfull(self) -> list[Member]:
        """Members that leave the stream (R5): under ``on_full = "bitmap"`` with a full window; and any that leaves so
        much unconfirmed that the write log is nearly full, as flushes without a write do, which no window holds."""
        seq, log = self.log.seq, self.log
        return [
            member
            for member in self.members
            if (member.on_full == "bitmap" and member.mode != "sync" and member.over(seq, log))
            or seq - member.durable > self._unconfirmed
        ]

    def enter(self, settings: TargetSettings, epoch: int, now: float) -> Member:
        """Publish to a target from the next write on; return what is kept of it while it is in the stream."""
        if not self.members:
            self.log.trim(self.log.seq)
        member = Member(settings, epoch=epoch, at=self.log.seq, now=now, undurable=self._undurable)
        self.members = (*self.members, member)
        self.masks[settings.group] |= settings.bit
        return member

    def copying(self, member: Member, resync: Resync | None) -> None:
        """From now on ``resync`` copies to ``member``; with None it has ended."""
        member.resync = resync
        self._resyncs = tuple(one.resync for one in self.members if one.resync is not None)

    def leave(self, member: Member) -> None:
        """Publish to ``member`` no more; what it has not confirmed stays in its bitmap."""
        self.copying(member, None)
        self.members = tuple(one for one in self.members if one is not member)
        self.masks[member.settings.group] &= ~member.settings.bit
        self.log.trim(self.confirmed)
