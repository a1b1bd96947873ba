"""The activity log: which extents are active, and when the record of them must be made durable.

Rule R1: before a block's new data can reach stable storage anywhere, its extent is durably recorded as active.
After a power loss every block of an active extent is taken to differ, for every target; so no bit needs an fsync
of its own. If only the process dies, the bitmaps are exact: their memory, a file in tmpfs, outlives it.

An extent stops being active, lazily, when nothing in it is on the way: its writes are durable here and at every
target in the stream. Then its bits are sealed, the bitmaps flushed and the record written without it, in this order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from dkrepl.config.limits import DEFAULT, Limits


class ActivityLog:
    """Active extents of a mirror of ``extents`` extents; ``active`` is what the durable record holds."""

    def __init__(self, extents: int, active: Iterable[int], serial: int, *, limits: Limits = DEFAULT) -> None:
        self._limits = limits
        self.extents = extents
        self.serial = serial
        self.active: dict[int, int] = dict.fromkeys(active, 0)  # extent -> seq of its newest write
        self.wanted: set[int] = set()
        self.short = 0  # extents that writes wait for and for which the last plan had no room
        self._urgent: dict[int, None] = {}  # those of ``wanted`` that writes wait for, in the order of their asking
        self._passed_over: list[int] = []  # those that the last commit had no room for, the longest waiting first
        self._pinned: Counter[int] = Counter()
        self._committing: frozenset[int] | None = None
        self._leaving: frozenset[int] = frozenset()  # extents that the commit on its way leaves out
        self._doubtful: set[int] = set()  # extents that a failed commit left out: they stay in the record
        self._idle: dict[int, tuple[int, float]] = {}

    @property
    def committing(self) -> bool:
        """Whether a commit is on its way to stable storage."""
        return self._committing is not None

    @property
    def unsynced(self) -> set[int]:
        """Every extent that may hold data not yet on stable storage here."""
        return {*self.active, *(self._committing or ()), *self._leaving, *self._doubtful}

    def covers(self, first: int, end: int) -> bool:
        """Whether extents ``first`` to ``end`` - 1 are all durably active."""
        active = self.active
        return all(extent in active for extent in range(first, end))

    def want(self, first: int, end: int) -> None:
        """Ask that extents ``first`` to ``end`` - 1 be active after the next commit, for a write waits for them.

        A write that still waits after a commit asks again. It does not lose its turn to those that came meanwhile (R5).
        """
        self._urgent.update(dict.fromkeys(range(first, end)))
        self.wanted.update(range(first, end))
        if first and first - 1 in self.active:
            self.wanted.update(range(end, min(end + self._limits.extents_ahead, self.extents)))

    def want_later(self, extent: int) -> None:
        """Ask that an extent be active when no write wants the room."""
        self.wanted.add(extent)

    def pin(self, first: int, end: int) -> None:
        """Keep extents active while resync blocks of theirs are on the way."""
        self._pinned.update(range(first, end))

    def unpin(self, first: int, end: int) -> None:
        """Undo one ``pin`` of the same range."""
        for extent in range(first, end):
            self._pinned[extent] -= 1
            if self._pinned[extent] <= 0:
                del self._pinned[extent]

    def plan(
        self, confirmed: int, now: float, everything: bool = False
    ) -> tuple[frozenset[int], frozenset[int]] | None:
        """Begin a commit: return (extents to record as active, extents leaving), or None if nothing changes.

        ``confirmed``: the newest seq that every target in the stream has confirmed durable. ``everything``: let
        every extent go that may (a clean stop). Extents that leave are inactive at once, so that a write to
        them waits for the next commit. The caller seals them, and makes their data and bits durable before the record.
        """
        if self.committing:
            return None
        leaving = self._choose_leaving(confirmed, now, everything)
        room = self._limits.active_extents - (len(self.active) - len(leaving)) - len(self._doubtful)
        urgent = dict.fromkeys([*(e for e in self._passed_over if e in self._urgent), *self._urgent])
        needed = [e for e in urgent if e not in self.active and e not in self._doubtful]
        passed_over = needed[max(room, 0) :]
        self.short = len(passed_over)
        needed += sorted(self.wanted.difference(self.active, self._doubtful, self._urgent))
        arriving = needed[: max(room, 0)]
        arriving += self._doubtful
        if not leaving and not arriving:
            self.wanted.difference_update(self.active)
            return None
        for extent in leaving:
            del self.active[extent]
            self._idle.pop(extent, None)
        self._committing, self._leaving = frozenset(arriving), frozenset(leaving)
        self._passed_over = passed_over
        self.wanted.clear()
        self._urgent.clear()
        self.serial += 1
        return frozenset(self.active) | self._committing, frozenset(leaving)

    def committed(self, seq: int) -> None:
        """The planned record is durable; ``seq`` is the newest write's."""
        assert self._committing is not None
        for extent in self._committing:
            self.active[extent] = seq
        self._committing = None
        self._doubtful.clear()

    def failed(self) -> None:
        """The planned record, or what must precede it, could not be written: its new extents are not active.

        Nor are those that it left out, for it may be on the disk all the same; but their data and bits may not be
        durable, so the next record names them again (R1). It is written over the failed one, not over the last
        good one, and under another number, so that parts of both are not taken for one.
        """
        self._doubtful |= self._leaving
        self._committing = None
        self.serial += 1

    def _choose_leaving(self, confirmed: int, now: float, everything: bool) -> list[int]:
        """Extents that may stop being active: the idle ones, and more if room is needed."""
        limit = self._limits.active_extents
        need = len(self.active) + len(self._doubtful) + len(self.wanted) - limit
        if not everything and need <= 0:
            return [e for e in self._idle_since(now) if self._may_leave(e, confirmed)]
        able = [e for e in self.active if self._may_leave(e, confirmed)]
        if everything:
            return able
        able.sort(key=self.active.__getitem__)
        return able[: max(need, limit // 8)]

    def _may_leave(self, extent: int, confirmed: int) -> bool:
        return self.active[extent] <= confirmed and extent not in self._pinned and extent not in self.wanted

    def _idle_since(self, now: float) -> list[int]:
        """Extents that no write has touched for ``extent_idle_seconds``; notes the touches seen at this call."""
        idle = []
        for extent, seq in self.active.items():
            seen = self._idle.get(extent)
            if seen is None or seen[0] != seq:
                self._idle[extent] = (seq, now)
            elif now - seen[1] >= self._limits.extent_idle_seconds:
                idle.append(extent)
        return idle
