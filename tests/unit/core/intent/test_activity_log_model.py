"""The activity log against a model of a disk that may lose its power between any two steps: whatever is torn or was
never flushed, the bitmap names every block that differs afterwards (R1), and no more than the crash explains (R8)."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dkrepl.config.limits import Limits
from dkrepl.core.intent import activity_record
from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.intent.bitmap import IntentBitmap

PER, EXTENTS = 8, 6
BLOCKS = PER * EXTENTS - 3
LIMITS = Limits(active_extents=3)

blocks = st.integers(0, 2) | st.integers(0, BLOCKS - 1)
chance = st.integers(0, 1 << 16).map(random.Random)


class IntentMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.seq = self.confirmed = 0
        self.now = 0.0
        self.live: set[int] = set()  # blocks of writes on the way to the target
        self.store = [0] * BLOCKS  # seq of the write that each block holds
        self.store_disk = [0] * BLOCKS
        self.target = [0] * BLOCKS
        self.bits = bytearray(IntentBitmap.bits_bytes(BLOCKS, PER))
        self.seals = bytearray(IntentBitmap.seals_bytes(BLOCKS, PER))
        self.bitmap = IntentBitmap(self.bits, self.seals, BLOCKS, PER)
        self.bitmap.fill(0)
        self.bits_disk, self.seals_disk = bytes(self.bits), bytes(self.seals)
        self.record = self.record_disk = activity_record.empty_file()
        self.log = ActivityLog(EXTENTS, (), activity_record.parse(self.record).serial, limits=LIMITS)
        self.steps: list[str] = []  # of the commit on its way
        self.planned: frozenset[int] = frozenset()

    # --- the source --------------------------------------------------------------------------------

    @rule(first=blocks, length=st.integers(1, 4))
    def write(self, first: int, length: int) -> None:
        end = min(first + length, BLOCKS)
        low, high = first // PER, (end - 1) // PER + 1
        if not self.log.covers(low, high):
            self.log.want(low, high)
            return
        self.seq += 1
        for extent in range(low, high):
            self.log.active[extent] = self.seq
        self.bitmap.mark(first, end)
        self.store[first:end] = [self.seq] * (end - first)
        self.live.update(range(first, end))

    @rule(extent=st.integers(0, EXTENTS - 2), also=st.booleans())
    def write_one(self, extent: int, also: bool) -> None:
        self.write(extent * PER + also, 1)

    @rule()
    def target_confirms(self) -> None:
        """The target has all that was written so far, durably, and all of a resync, for which extents are active."""
        found = set(self.live)
        for extent in self.log.active:
            found.update(range(extent * PER, min(extent * PER + PER, BLOCKS)))
        for block in found:
            self.target[block] = self.store[block]
            self.bitmap.clear(block, block + 1)
        self.target_leaves()

    @rule()
    def target_leaves(self) -> None:
        """Nothing on the way is waited for any more; what was written stays marked."""
        self.live.clear()
        self.confirmed = self.seq

    @rule(extent=st.integers(0, EXTENTS - 1))
    def resync_wants(self, extent: int) -> None:
        """What was left dirty by a crash can be copied once its extent is active."""
        self.log.want_later(extent)

    @precondition(lambda self: not self.steps)
    @rule(idle=st.booleans(), everything=st.integers(0, 2))
    def commit_begins(self, idle: bool, everything: int) -> None:
        self.now += LIMITS.extent_idle_seconds + 1.0 if idle else 0.1
        found = self.log.plan(self.confirmed, self.now, everything == 0)
        if found is not None:
            self.planned, leaving = found
            self.bitmap.seal(leaving)
            self.steps = (["store", "bitmap"] if leaving else []) + ["write record", "flush record"]

    @precondition(lambda self: self.steps)
    @rule()
    def commit_goes_on(self) -> None:
        step = self.steps.pop(0)
        if step == "store":
            self.store_disk = list(self.store)
        elif step == "bitmap":
            self.bits_disk, self.seals_disk = bytes(self.bits), bytes(self.seals)
        elif step == "write record":
            at, content = activity_record.pack(self.log.serial, tuple(self.planned))
            self.record = self.record[:at] + content + self.record[at + len(content) :]
        else:
            self.record_disk = self.record
            self.log.committed(self.seq)

    @precondition(lambda self: self.steps)
    @rule()
    def commit_ends(self) -> None:
        while self.steps:
            self.commit_goes_on()

    @precondition(lambda self: self.steps)
    @rule(chance=chance)
    def commit_fails(self, chance: random.Random) -> None:
        """A write or a flush gave an error: what was not flushed may be on the disk all the same."""
        self.record_disk = self._torn(self.record_disk, self.record, activity_record.SECTOR, chance)
        self.steps = []
        self.log.failed()

    # --- the machine -------------------------------------------------------------------------------

    @rule(chance=chance)
    def kernel_writes_back(self, chance: random.Random) -> None:
        self._write_back(chance)

    @rule(chance=chance)
    def power_is_lost(self, chance: random.Random) -> None:
        known = self.bitmap.bits.copy()
        self._write_back(chance)
        self.record = self.record_disk = self._torn(self.record_disk, self.record, activity_record.SECTOR, chance)
        self.store = list(self.store_disk)
        self.bits[:], self.seals[:] = self.bits_disk, self.seals_disk
        found = activity_record.parse(self.record)
        assert not self.bitmap.damaged(found.extents), "R8: a power loss alone looks like damage"
        self.bitmap.mark_extents(found.extents)
        for block in range(BLOCKS):
            if self.store[block] != self.target[block]:
                assert self.bitmap.bits[block], f"R1: block {block} differs and is not named"
            if self.bitmap.bits[block] and not known[block]:
                assert block // PER in found.extents, f"R8: block {block} became dirty without a cause"
        self.bits_disk, self.seals_disk = bytes(self.bits), bytes(self.seals)
        self.log = ActivityLog(EXTENTS, found.extents, found.serial, limits=LIMITS)
        self.steps = []
        self.target_leaves()

    @invariant()
    def bounded(self) -> None:
        """R8: a power loss costs no more than this."""
        assert len(self.log.active) <= LIMITS.active_extents + 1

    @invariant()
    def a_killed_process_leaves_exact_bitmaps(self) -> None:
        """R2: what the page cache has names every difference, and nothing else."""
        for block in range(BLOCKS):
            assert self.bitmap.bits[block] or self.store[block] == self.target[block]

    def _write_back(self, chance: random.Random) -> None:
        self.bits_disk = self._torn(self.bits_disk, bytes(self.bits), 4, chance)
        self.seals_disk = self._torn(self.seals_disk, bytes(self.seals), 4, chance)
        for block in range(BLOCKS):
            if chance.random() < 0.5:
                self.store_disk[block] = self.store[block]

    @staticmethod
    def _torn(old: bytes, new: bytes, unit: int, chance: random.Random) -> bytes:
        share = chance.choice((0.0, 0.5, 1.0))
        return b"".join((new if chance.random() < share else old)[at : at + unit] for at in range(0, len(new), unit))


TestIntent = IntentMachine.TestCase
TestIntent.settings = settings(max_examples=300, stateful_step_count=60, derandomize=True, deadline=None)
