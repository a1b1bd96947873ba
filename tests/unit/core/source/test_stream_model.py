"""The source's stream against a model, step by step: bitmaps name every difference (R2), and what is completed is where
it must be (R4), whatever the order of writes, acks, resyncs, departures and crashes of the targets."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dkrepl.core.source.resync_state import Resync
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.target_settings import TargetSettings
from dkrepl.core.source.target_view import TargetView
from tests.unit.bitmaps import bitmap_of

BLOCKS, PER, SHIFT = 16, 8, 12
PARTS = 2  # of a block: a write changes some of them, so it makes a block that differs no equal one
HALF = 1 << SHIFT - 1  # bytes
NAMES = ("sync", "block", "bitmap")
MODES = {"sync": ("sync", "block"), "block": ("async", "block"), "bitmap": ("async", "bitmap")}
LIMIT = 4

targets = st.sampled_from(NAMES)
parts = st.integers(0, 7) | st.integers(0, PARTS * BLOCKS - 1)


class Copy:
    """A target as it really is: for each part, the seq of the write that it holds, in memory and on its disk."""

    def __init__(self) -> None:
        self.cached = [0] * BLOCKS * PARTS
        self.durable = list(self.cached)
        self.applied = 0  # seq
        self.inbox: list[tuple[int, dict[int, int]]] = []  # (seq or -rseq, part -> version)
        self.resync_applied = 0

    def take(self, count: int) -> None:
        for number, changed in self.inbox[:count]:
            for part, version in changed.items():
                self.cached[part] = version
            if number > 0:
                self.applied = number
            else:
                self.resync_applied = -number
        del self.inbox[:count]


class StreamMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.here = [0] * BLOCKS * PARTS  # for each part, the seq of its newest write at the source
        self.copies = {name: Copy() for name in NAMES}
        self.views = {}
        for index, name in enumerate(NAMES):
            mode, on_full = MODES[name]
            bitmap = bitmap_of(BLOCKS, PER)
            settings = TargetSettings(
                name=name, mode=mode, on_full=on_full, limit=LIMIT, window=1 << 20, group=0, slot=index, bitmap=bitmap
            )
            self.views[name] = TargetView(settings)
        self.stream = Stream([view.settings for view in self.views.values()], SHIFT, 1)
        self.parked: set[int] = set()
        self.now = 0.0

    # --- the source --------------------------------------------------------------------------------

    @rule(first=parts, length=st.integers(1, 6))
    def write(self, first: int, length: int) -> None:
        length = min(length, PARTS * BLOCKS - first)
        seq = self.stream.intend(first * HALF, length * HALF, length * HALF)
        changed = dict.fromkeys(range(first, first + length), seq)
        for part in changed:
            self.here[part] = seq
        for member in self.stream.members:
            self.copies[member.name].inbox.append((seq, changed))
        self.stream.park(seq, (seq, 0))
        self.parked.add(seq)
        for member in self.stream.overfull():
            self._leave(self.views[member.name])

    @rule(first=parts, length=st.integers(1, 3))
    def write_again(self, first: int, length: int) -> None:
        self.write(first, length)

    @precondition(lambda self: self.stream.log.seq % 7 == 6)
    @rule(first=parts)
    def write_that_fails_here(self, first: int) -> None:
        """What the block holds is not known; nobody is sent it, and every target leaves, as ``local_error`` has it."""
        seq = self.stream.intend(first * HALF, HALF, HALF)
        self.here[first] = seq
        self.stream.log.forget(seq)
        for member in self.stream.members:
            self._leave(self.views[member.name])

    @rule()
    def answer(self) -> None:
        for seq, _ in self.stream.release():
            assert seq in self.parked
            self.parked.remove(seq)
            for member in self.stream.members:
                if member.mode == "sync":
                    assert self.copies[member.name].applied >= seq, f"R4: {member.name} has not applied {seq}"

    # --- a target ----------------------------------------------------------------------------------

    @rule(name=targets, count=st.integers(1, 4))
    def apply(self, name: str, count: int) -> None:
        if self.views[name].in_stream:
            self.copies[name].take(count)

    @rule(name=targets, flush=st.booleans())
    def confirm(self, name: str, flush: bool) -> None:
        view, copy = self.views[name], self.copies[name]
        member = view.member
        if member is None:
            return
        durable, resync_durable = member.durable, 0
        if flush:
            copy.durable = list(copy.cached)
            durable, resync_durable = copy.applied, copy.resync_applied
        member.advance(copy.applied, durable, self.stream.log, self.now)
        if member.resync is not None and resync_durable:
            member.advance_resync(resync_durable, self.stream.log)
            if member.resync.all_sent and not member.resync.on_way:
                view.machine.fire("copied")
                self.stream.copying(member, None)
        self.stream.log.trim(self.stream.confirmed)

    @precondition(lambda self: self.stream.log.seq % 5 == 4)
    @rule(name=targets)
    def crash(self, name: str) -> None:
        """It loses its power: what it had not flushed is gone."""
        if self.views[name].in_stream:
            self._leave(self.views[name])
        copy = self.copies[name]
        copy.cached = list(copy.durable)

    @rule(name=targets)
    def join(self, name: str) -> None:
        view = self.views[name]
        if view.in_stream:
            return
        view.machine.fire("hello accepted")
        view.machine.fire("entered")
        member = view.member = self.stream.enter(view.settings, 1, self.now)
        self.stream.copying(member, Resync(view.bitmap, 1 << SHIFT, self.now))
        copy = self.copies[name]
        copy.applied, copy.resync_applied, copy.inbox = self.stream.log.seq, 0, []
        assert view.resync is not None
        if not view.resync.total:
            view.machine.fire("copied")
            self.stream.copying(member, None)

    @precondition(lambda self: any(view.resync for view in self.views.values()))
    @rule(name=targets, most=st.integers(1, 4))
    def copy_some(self, name: str, most: int) -> None:
        view = self.views[name]
        found = view.resync.next_run() if view.resync is not None else None
        if view.resync is None or found is None:
            return
        first, end = found[0], min(found[1], found[0] + most)
        rseq = view.resync.sent(first, end, data_bytes=(end - first) << SHIFT, position=self.stream.log.seq)
        parts_sent = range(first * PARTS, end * PARTS)
        # As it is at this place of the stream (R3).
        self.copies[name].inbox.append((-rseq, {part: self.here[part] for part in parts_sent}))

    def _leave(self, view: TargetView) -> None:
        assert view.member is not None
        view.machine.fire("connection lost")
        self.stream.leave(view.member)
        view.member = None
        self.copies[view.name].inbox = []

    # --- what always holds -------------------------------------------------------------------------

    @invariant()
    def every_difference_is_named(self) -> None:
        """R2, also for what a power loss of the target would take away now."""
        for name, view in self.views.items():
            copy = self.copies[name]
            for part, version in enumerate(self.here):
                if version != copy.cached[part] or version != copy.durable[part]:
                    assert view.bitmap.bits[part // PARTS], f"block {part // PARTS} of {name} differs and is not named"

    @invariant()
    def in_sync_means_nothing_but_the_window(self) -> None:
        """R10: what is dirty at a target in sync was written after its newest durable ack."""
        for view in self.views.values():
            if view.state == "InSync":
                dirty = {block for first, end in view.bitmap.runs() for block in range(first, end)}
                assert all(max(self.here[block * PARTS : (block + 1) * PARTS]) > view.durable for block in dirty)

    @invariant()
    def windows_are_bounded(self) -> None:
        """R5: who may not delay the application leaves when its window is full."""
        view = self.views["bitmap"]
        assert not view.in_stream or self.stream.log.seq - view.applied <= LIMIT

    @invariant()
    def the_log_forgets(self) -> None:
        """R5: it holds no more than what some member of the stream has not confirmed."""
        assert self.stream.log.base <= self.stream.confirmed or not self.stream.members
        assert len(self.stream.log.last) <= BLOCKS


TestStream = StreamMachine.TestCase
TestStream.settings = settings(max_examples=250, stateful_step_count=60, derandomize=True, deadline=None)
