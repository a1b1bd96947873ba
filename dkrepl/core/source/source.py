"""The source of a mirror: a state machine that takes events and gives actions (sans-I/O).

States of a target as seen from here, and what moves it (every other event leaves the state as it is):

    Disconnected  Hello accepted -> Connecting
    Connecting    Ready, once recorded -> Resyncing;  deadline -> Behind;  silence -> Disconnected
    Resyncing     all copied and confirmed -> InSync;  Trouble, Evict -> Behind;  silence -> Disconnected
    InSync        window full under "bitmap", Trouble -> Behind;  silence -> Disconnected
    Behind        Hello -> Connecting;  silence -> Disconnected
    Refused       Hello accepted -> Connecting;  silence -> Disconnected
    Paused        resume -> Disconnected
    any           pause -> Paused;  Hello refused -> Refused

Rules kept here: R1 by ``admit`` (nothing is written while its extent is not active), R4 and R5 by ``Stream``,
R7 by ``decide`` and by beginning a new generation before the first answer that a lost target does not know of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace as replaced
from typing import Any

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.terms import disagreement
from dkrepl.core.actions import Commit, PublishFlush, PublishGeneration, PublishMarker
from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.generation import decide
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.messages import (
    Alive,
    Answer,
    AnyMessage,
    BitmapPart,
    Bye,
    Evict,
    Hello,
    Ready,
    Refuse,
    Stalled,
    Trouble,
)
from dkrepl.core.source import join, membership
from dkrepl.core.source.backpressure import BackPressure
from dkrepl.core.source.heartbeat import alive, positions
from dkrepl.core.source.lag import LagClock
from dkrepl.core.source.membership import Links
from dkrepl.core.source.resync import Resync
from dkrepl.core.source.split_brain import OtherSource, found
from dkrepl.core.source.target_view import TargetView

_PROBE_FIRST, _PROBE_LAST = 0.02, 1.0  # seconds between probes
_POSITIONS = 0.25  # seconds between two messages about how far the other targets are
_BITMAPS_LOST = 3  # epochs in which a target's marked blocks did not arrive, after which all of it is copied
_STALL = 4  # peer timeouts without progress after which a target leaves the stream


class Source(Links):
    """``identity()`` gives a new random identity (16 hex digits); ``now`` is a monotonic clock, in seconds."""

    def __init__(
        self,
        description: Description,
        node: str,
        metadata: NodeMetadata,
        bitmaps: Mapping[str, IntentBitmap],
        intent: ActivityLog,
        session: int,
        identity: Callable[[], str],
    ) -> None:
        super().__init__(description, node, metadata, bitmaps, intent)
        self.session = session
        self.generation = metadata.generation  # the durable one; metadata's may be on its way to stable storage
        self.commit_error: str | None = None
        self.other_sources: dict[
            str, OtherSource
        ] = {}  # other nodes that are source, or refused to follow by what they hold
        self.wall = 0.0  # Unix seconds, as the caller keeps it; told, and never reckoned with
        self.stalled = 0.0  # seconds for which the own store has stood still, as the caller keeps it
        self._identity = identity
        self._extent_shift = description.extent.bit_length() - 1
        self.lag = LagClock()
        self._told_at = 0.0
        self._activity_commit = 0
        self._entering: dict[int, tuple[str, int]] = {}  # commit -> target and epoch that go on after it
        self._filling: dict[
            str, tuple[int, Callable[[], Commit]]
        ] = {}  # target -> joining that goes on when its bitmap is filled
        self._timeout = description.peer_timeout
        self._beat_at = 0.0
        self._commit_retry_at = 0.0
        self._verdict_commit = 0  # that makes a failed flush known for good
        self._backpressure = BackPressure()
        self.ending = False  # it says goodbye, and lets nobody in any more

    # --- the data path -------------------------------------------------------------------------------

    def admit(self, offset: int, length: int) -> bool:
        """Whether a change of ``length`` bytes at ``offset`` may be made now (R1, R7).

        If not, the caller keeps the request and asks again after the next commit; what it needs is noted.
        """
        first = offset >> self._extent_shift
        end = ((offset + length - 1) >> self._extent_shift) + 1
        active = self.activity_log.active
        if end - first == 1 and first in active and not self._new_generation.needed:
            active[first] = self.stream.log.seq + 1
            return True
        if self.quorum.too_few:
            return False
        if self._new_generation.needed or not self.activity_log.covers(first, end):
            self.activity_log.want(first, end)
            return False
        for extent in range(first, end):
            active[extent] = self.stream.log.seq + 1
        return True

    def touched(self, offset: int, length: int, seq: int) -> None:
        """The change ``seq`` was admitted earlier and is published now; its extents have been pinned meanwhile (R1)."""
        active = self.activity_log.active
        for extent in range(offset >> self._extent_shift, ((offset + length - 1) >> self._extent_shift) + 1):
            active[extent] = seq

    def local_error(self, seq: int, now: float) -> None:
        """The write ``seq`` failed at the local store: what its blocks hold is unknown, so they must be copied."""
        self.stream.log.forget(seq)
        for view in self.stream.members:
            self._evict(view, "Behind", "SourceStoreError", "the source's store failed a write", now)

    def local_sync_failed(self, why: str, now: float) -> None:
        """The local store could not be flushed: what was written since the last flush may be lost here (fsync(2)).

        The targets may have it, so their copies may differ, and be the better ones: every block that may be affected is
        marked (R2), and nothing is copied, even after a restart, until an administrator clears it (R15).
        """
        extents = self.activity_log.unsynced
        for view in self.views.values():
            view.bitmap.mark_extents(extents)
            view.bitmap.seal(extents.difference(self.activity_log.active))
        self.metadata = msgspec.structs.replace(self.metadata, store_failed=why[:500])
        self._verdict_commit = self._commit(Commit(0, sync_bitmaps=True, metadata=self.metadata))
        for view in self.views.values():
            if view.in_stream or view.state == "Connecting":  # also one that is still entering
                self._evict(view, "Behind", "SourceStoreError", "the source's store failed a flush", now)

    @property
    def judging(self) -> bool:
        """Whether the record of a failed flush is on its way; its requests are not answered before that (R15)."""
        return self._verdict_commit != 0

    @property
    def unrecorded(self) -> bool:
        """Whether a failed flush could not be recorded yet."""
        return bool(self.metadata.store_failed and self.commit_error)

    def record_again(self) -> None:
        """It ends: a failed flush that could not be recorded when it happened is recorded now, if that is possible."""
        if self.unrecorded:
            self._commit(Commit(0, sync_bitmaps=True, metadata=self.metadata))

    def clear_store_failed(self) -> None:
        """The administrator says that the store is sound: what it holds now is copied to the targets."""
        self.metadata = msgspec.structs.replace(self.metadata, store_failed="")
        self._commit(Commit(0, metadata=self.metadata))

    def clear_forced(self) -> None:
        """The administrator has looked at what the forced promotion lost."""
        self.metadata = msgspec.structs.replace(self.metadata, forced=(), forced_at=0.0)
        self._commit(Commit(0, metadata=self.metadata))

    def drop_overfull(self, now: float) -> None:
        """Take out of the stream whoever's window is full under ``on_full = "bitmap"`` (R5)."""
        for view in self.stream.overfull():
            text = "its window is full; it will catch up from the bitmap"
            self._evict(view, "Behind", "WindowFull", text, now)

    def store_synced(self, seq: int) -> None:
        """The local store is flushed: everything up to ``seq`` is durable here."""
        self.stream.local_durable = max(self.stream.local_durable, seq)

    # --- messages ------------------------------------------------------------------------------------

    def on_message(self, peer: str, message: AnyMessage, now: float) -> None:
        """Take a control message from ``peer``, whose name the transport has established."""
        view = self.views.get(peer)
        if isinstance(message, Hello):
            self._on_hello(peer, message, now)
            return
        if view is None:
            return
        if isinstance(message, Stalled):
            self._on_stalled(view, message, now)
            return
        view.heard = now
        if isinstance(message, Bye):
            self.lost(peer, "it was stopped", now)
        elif isinstance(message, Alive):
            self._note_stall(view, message.stalled, now)
            joined = view.in_stream or view.state == "Connecting"
            if message.epoch and (message.epoch != view.epoch or not joined):
                self._send(peer, Evict(message.epoch, "NotJoined", "the source does not know this epoch"))
        elif isinstance(message, BitmapPart):
            if message.epoch == view.epoch and view.state == "Connecting":
                self._on_bitmap_part(view, message, now)
        elif isinstance(message, Ready):
            if message.epoch == view.epoch and view.state == "Connecting":
                self._on_ready(view, message, now)
        elif (
            isinstance(message, Trouble)
            and message.epoch == view.epoch
            and (view.in_stream or view.state == "Connecting")
        ):
            self._event("target_trouble", "warning", target=peer, code=message.code, reason=message.text)
            self._evict(view, "Behind", message.code, message.text, now)

    def _on_stalled(self, view: TargetView, message: Stalled, now: float) -> None:
        """The target's loop waits for its store: that counts as a heartbeat, until ``store_timeout`` (R13)."""
        if view.state != "Disconnected":
            self._note_stall(view, message.seconds, now)
            if not view.stall.too_long(now):
                view.heard = now

    def _note_stall(self, view: TargetView, seconds: float, now: float) -> None:
        if view.state != "Disconnected" and (event := view.stall.note(seconds, now)) is not None:
            level = "warning" if event == "store_stalled" else "info"
            view.applied_at = view.durable_at = now  # the stall itself is not held against it
            self._event(event, level, node=view.name, seconds=round(seconds, 1) or None)

    def on_ack(self, peer: str, ack: frames.Ack, now: float) -> None:
        """Take a confirmation. One that cannot be true detaches the target."""
        view = self.views.get(peer)
        if view is None or not view.in_stream or ack.epoch != view.epoch or ack.session != self.session:
            return
        view.heard = now
        resync = view.resync
        sent = resync.rseq if resync else ack.resync_durable
        seq = self.stream.log.seq
        if not (view.durable <= ack.durable <= ack.applied <= seq and ack.applied >= view.applied) or not (
            ack.resync_durable <= ack.resync_applied <= sent
        ):
            self._event("target_trouble", "error", target=peer, code="BadAck", reason="it confirmed what was not sent")
            self._evict(view, "Behind", "BadAck", "a confirmation names writes that were never sent", now)
            return
        if resync is not None and resync.lost(ack.applied, ack.resync_applied):
            self._evict(view, "Behind", "Gap", "a message of the resync was lost on its way", now)
            return
        oldest = min(member.durable for member in self.stream.members)
        view.advance(ack.applied, ack.durable, self.stream.log, now)
        if resync is not None:
            self._resync_confirmed(view, resync, ack.resync_durable, now)
        if view.generation_seq and ack.durable >= view.generation_seq:
            view.generation_seq = 0
            # What it recorded before is gone there.
            self.metadata = peer_records.remembered(self.metadata, view.name, generations=(self.generation,))
            if view.state == "InSync":
                self.metadata = peer_records.based(self.metadata, view.name, (self.generation,), view.mode == "sync")
            self._end_hold()
        if self.stream.confirmed > oldest:
            self.stream.log.trim(self.stream.confirmed)

    def lost(self, peer: str, why: str, now: float) -> None:
        """The transport, or the peer itself, says that ``peer`` is gone."""
        view = self.views.get(peer)
        if view is not None and view.state not in ("Disconnected", "Paused"):
            self._leave(view, "Disconnected", why, now)

    def _on_hello(self, peer: str, hello: Hello, now: float) -> None:
        view = self.views.get(peer)
        if view is None or hello.node != peer:
            self._refuse(peer, None, "UnknownNode", f"{peer} is not a node of {self.description.name}", now)
            return
        view.heard = now
        if self.ending or view.stall.too_long(now):
            return  # it repeats its Hello, and reports when its store moves again
        if view.state == "Paused":
            self._send(peer, Refuse("Paused", f"{peer} is paused; resume it at the source", self.node))
            return
        if (refusal := join.protocol_refusal(hello, peer)) is not None:
            self._refuse(peer, view, *refusal, now)
            return
        if view.state == "Connecting" and hello.epoch < view.epoch and now < view.deadline - self._timeout:
            if view.probe_wait:
                self._welcome(view, now)  # its Hello and our Welcome crossed
            return
        if self.metadata.store_failed:
            text = (
                f"the store of {self.node} failed a flush, so {peer} may have the better copy; promote {peer}, or, if "
                f"the store is sound, dkrepl clear {self.description.name} store-failed on {self.node}"
            )
            self._refuse(peer, view, "SourceStoreError", text, now)
            return
        if view.in_stream or view.state == "Connecting":
            self._leave(view, "Disconnected", "it connected anew", now)
        asked = peer_records.record_of(self.metadata, peer).full
        decision = decide(self.metadata, hello, asked or view.bitmap.any())
        if decision.action == "Refuse":
            if decision.code == "SplitBrain":
                self._note_split_brain(peer)
            self._refuse(peer, view, decision.code, decision.text, now)
            return
        differs = disagreement(self.terms, hello.terms, peer, self.description.name)
        if differs is not None:
            self._refuse(peer, view, "DescriptionsDiffer", differs, now)
            return
        self._note_advisory(view, hello.advisory)
        if decision.action == "Full" or asked:
            # Before the epoch is recorded: a crash in between must not leave an empty bitmap that counts.
            view.bitmap.begin_fill(1)
        view.epoch = max(view.epoch, peer_records.record_of(self.metadata, peer).offered, hello.epoch) + 1
        self._state(view, "Connecting", decision.text)
        view.deadline = now + 2 * self._timeout
        view.probe_at, view.probe_wait = 0.0, 0.0
        view.bits_received = 0

        def offer() -> Commit:
            self.metadata = join.offered(self.metadata, hello, view.epoch, decision)
            return Commit(0, sync_bitmaps=True, metadata=self.metadata)

        self._go_on_after(view, offer)
        self._event("target_joins", target=peer, decision=decision.action, code=decision.code, reason=decision.text)

    def _note_split_brain(self, peer: str) -> None:
        """R15: record a split-brain: it stays known until it is resolved, even after a restart without the peer."""
        if not peer_records.record_of(self.metadata, peer).split_brain:
            self.metadata = peer_records.remembered(self.metadata, peer, split_brain=True)
            self._commit(Commit(0, metadata=self.metadata))

    def _note_advisory(self, view: TargetView, theirs: str) -> None:
        differ = theirs != self.advisory
        if differ and not view.advisory_differs:
            text = f"the descriptions of {self.node} and {view.name} differ: dkrepl config diff {self.description.name}"
            self._event("descriptions_differ", "warning", target=view.name, reason=text)
        view.advisory_differs = differ

    def _welcome(self, view: TargetView, now: float) -> None:
        welcome = join.welcome(self.metadata, view, self.session, self.terms, self.advisory)
        self._send(view.name, welcome)
        view.probe_at, view.probe_wait = now, _PROBE_FIRST

    def _on_bitmap_part(self, view: TargetView, message: BitmapPart, now: float) -> None:
        """Note blocks that it wrote and we may lack: they are copied to it, like ours that it may lack (R7, R8)."""
        try:
            view.bits_received += view.bitmap.merge(message.first, message.bits)
        except ValueError as error:
            self._evict(view, "Behind", "BadBitmap", str(error), now)

    def _on_ready(self, view: TargetView, message: Ready, now: float) -> None:
        if not view.probe_wait:
            return
        if view.bits_received != message.dirty_blocks:
            view.bitmaps_lost += 1
            if view.bitmaps_lost < _BITMAPS_LOST:
                text = f"{view.bits_received} of its {message.dirty_blocks} marked blocks have arrived"
                self._evict(view, "Behind", "BitmapLost", text, now)
                return
            self._event("peer_bitmap_lost", "warning", target=view.name, outcome="full resync")
            view.bitmap.begin_fill(1)  # parts were lost each time: copy everything
            view.bits_received = view.bitmap.blocks
        view.bitmaps_lost = 0
        view.probe_wait = 0.0

        # R2: recorded before a bit can be cleared that a copy of an earlier epoch still needs.
        def recorded() -> Commit:
            facts: dict[str, Any] = {"epoch": view.epoch, "merged": True, "full": False, "unproven": True}
            self.metadata = peer_records.remembered(self.metadata, view.name, **facts)
            return Commit(0, sync_bitmaps=view.bits_received > 0, metadata=self.metadata)

        self._go_on_after(view, recorded)

    def _go_on_after(self, view: TargetView, record: Callable[[], Commit]) -> None:
        """Welcome ``view``, or let it into the stream, once what ``record`` changes is durable.

        If its bitmap is being filled, that is finished first: no commit may record a bitmap as valid before (R2).
        """
        self._entering = {n: step for n, step in self._entering.items() if step[0] != view.name}
        self._filling.pop(view.name, None)
        if view.bitmap.filling:
            self._filling[view.name] = (view.epoch, record)
            self.fill_step()
            return
        self._entering[self._commit(record())] = (view.name, view.epoch)

    @property
    def filling(self) -> bool:
        """Whether ``fill_step`` has more to do."""
        return any(view.bitmap.filling for view in self.views.values())

    def fill_step(self) -> None:
        """Go on filling the bitmaps of which every block is to be copied; to be called in each round (R13)."""
        for view in self.views.values():
            if view.bitmap.filling:
                view.bitmap.fill_step()
            if not view.bitmap.filling and (step := self._filling.pop(view.name, None)) is not None:
                epoch, record = step
                if view.state == "Connecting" and view.epoch == epoch:
                    commit = replaced(record(), sync_bitmaps=True)
                    self._entering[self._commit(commit)] = (view.name, view.epoch)

    def _enter(self, view: TargetView, now: float) -> None:
        self._state(view, "Resyncing", None)
        self.stream.enter(view, now)
        self.knows(view.name)  # it has recorded the present description with the epoch
        view.generation_seq = 0
        view.positions_sent = {}
        resync = Resync(view.bitmap, self.description.block, now)
        self.stream.copying(view, resync)
        self.actions.append(PublishMarker(view.name, frames.START, resync.total, 0, self.stream.log.written))
        self._finish_if_all_sent(view)

    def on_answers(self, answers: Iterable[Answer]) -> None:
        """Take what the peers that do not follow say of themselves: one may be source too (R7)."""
        rivals = found(self.metadata, self.views, answers)
        for name, rival in rivals.items():
            if name not in self.other_sources or self.other_sources[name].kind != rival.kind:
                if rival.kind == "SplitBrain":
                    self._note_split_brain(name)
                event = "split_brain" if rival.kind == "SplitBrain" else "two_sources"
                self._event(event, "error", peer=name, reason=rival.text)
        self.other_sources = rivals

    # --- resync --------------------------------------------------------------------------------------

    def resync_step_done(self, view: TargetView) -> None:
        """Ends the resync of ``view`` with a mark if nothing is left; to be called after the last message."""
        if view.in_stream:
            self._finish_if_all_sent(view)

    def cannot_copy(self, name: str, why: str, now: float) -> None:
        """Blocks for a resync cannot be read here: the target waits, and tries again later."""
        view = self.views[name]
        view.retry = membership.RETRY_LAST
        self._evict(view, "Behind", "SourceStoreError", why, now)

    def _finish_if_all_sent(self, view: TargetView) -> None:
        resync = view.resync
        if resync is not None and resync.all_sent and not resync.finishing:
            resync.rseq += 1
            resync.finishing = resync.rseq
            generation = int(self.generation or "0", 16)
            self.metadata = peer_records.may_know(self.metadata, view.name, self.generation)
            view.synced_as = self.generation
            self.actions.append(PublishMarker(view.name, frames.SYNCED, resync.rseq, 0, generation))

    def _resync_confirmed(self, view: TargetView, resync: Resync, durable: int, now: float) -> None:
        freed = view.advance_resync(durable, self.stream.log)
        for first, end in freed:
            self.feed.unpin(first, end)
        if freed:
            view.applied_at = view.durable_at = now
        if resync.finishing and durable >= resync.finishing:
            self.stream.copying(view, None)
            view.last_resync = {
                "kind": resync.kind,
                "seconds": round(now - resync.started, 3),
                "copied_bytes": resync.total * self.description.block,
                "sent_bytes": resync.sent_bytes,
            }
            view.in_sync_at = now
            view.dropped_at = None
            self._state(view, "InSync", None)
            generations = (view.synced_as, self.generation)
            self.metadata = peer_records.based(self.metadata, view.name, generations, view.mode == "sync")
            self._commit(Commit(0, metadata=self.metadata))
            self._send(view.name, self._alive(view, now))  # so that it knows at once as of when its copy is complete

    # --- time, commits -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Let time pass: heartbeats, deadlines, probes, ageing of extents, commits that are due."""
        self.lag.sample(self.stream.log.seq, now)
        for view in self.views.values():
            self._check_deadlines(view, now)
            if view.state == "Connecting" and view.probe_wait and now >= view.probe_at:
                self.actions.append(PublishMarker(view.name, frames.PROBE, 0))
                view.probe_at = now + view.probe_wait
                view.probe_wait = min(_PROBE_LAST, view.probe_wait * 2)
        if now >= self._beat_at:
            self._beat_at = now + self._timeout / 5
            for view in self.views.values():
                view.positions_sent = {}  # sent again now and then: a target that is recording something ignores it
                if view.state != "Disconnected":
                    self._send(view.name, self._alive(view, now))
        if now >= self._told_at:
            self._told_at = now + _POSITIONS
            self.send_positions()
        self.plan(now)

    def send_positions(self) -> None:
        """Report each target that is in sync how far the others are (R8: what survivors would have to copy)."""
        for name, message in positions(self.stream.members, self.generation):
            self._send(name, message)

    def plan(self, now: float, everything: bool = False) -> None:
        """Begin the commits that are needed: a generation, active extents."""
        if now < self._commit_retry_at:
            return
        if self.returning.over(self.views, now):
            self._end_hold()
        may_begin = not self._new_generation.commit and not self.quorum.too_few and not self.returning.names
        if self._new_generation.needed and may_begin and (self.activity_log.wanted or self.stream.waiting):
            self._begin_generation()
        planned = self.activity_log.plan(self.stream.confirmed, now, everything)
        if planned is not None:
            active, leaving = planned
            for view in self.views.values():
                view.bitmap.seal(leaving)
            self._activity_commit = self._commit(
                Commit(0, bool(leaving), bool(leaving), (self.activity_log.serial, active))
            )
        if self.activity_log.short:
            self._make_room(now)
        else:
            self._backpressure.enough()

    def _make_room(self, now: float) -> None:
        """Writes wait for room in the intent log: have the targets flush what keeps extents active (R5)."""
        for view in self._backpressure.delayers(self.stream.members, now):
            text = "it keeps the intent log full; it will catch up from the bitmap"
            self._evict(view, "Behind", "ActivityLogFull", text, now)
        if self._backpressure.must_ask(self.stream.members):
            seq = self.stream.control_record()
            self.actions.append(PublishFlush(seq))
            self._backpressure.asked(seq, now)

    def committed(self, number: int, now: float) -> None:
        """A commit is durable."""
        self.commit_error = None
        if number == self._verdict_commit:
            self._verdict_commit = 0
        elif number == self._activity_commit:
            self._activity_commit = 0
            self.activity_log.committed(self.stream.log.seq)
        elif number == self._new_generation.commit:
            self._generation_durable()
        elif (step := self._entering.pop(number, None)) is not None:
            view = self.views[step[0]]
            if view.state == "Connecting" and view.epoch == step[1]:
                if self.metadata.peers[view.name].epoch < view.epoch:
                    self._welcome(view, now)
                else:
                    self._enter(view, now)

    def commit_failed(self, number: int, why: str, now: float) -> bool:
        """A commit could not be made durable; return whether writes were waiting for it, which must fail now."""
        self.commit_error = why
        self._commit_retry_at = now + 1.0
        self._event("commit_failed", "error", reason=why)
        if number == self._verdict_commit:
            # The application is told all the same; the next commit, whatever it is for, records it.
            self._verdict_commit = 0
        elif number == self._activity_commit:
            self._activity_commit = 0
            self.activity_log.failed()
            return True
        if number == self._new_generation.commit:
            self._new_generation.commit = 0
            return True
        if (step := self._entering.pop(number, None)) is not None:
            view = self.views[step[0]]
            if view.state == "Connecting" and view.epoch == step[1]:
                text = f"the source cannot record the epoch: {why}"
                self._evict(view, "Behind", "SourceMetadata", text, now)
        return False

    def _begin_generation(self) -> None:
        """Begin a new generation; it counts once it is durable."""
        self.metadata = self._new_generation.begin(self.metadata, self._identity(), self.stream.members, self.wall)
        self._new_generation.commit = self._commit(Commit(0, metadata=self.metadata))

    def _generation_durable(self) -> None:
        previous, self.generation = self.generation, self.metadata.generation
        kept = self._new_generation.durable(self.views)
        self._new_generation.needed |= self.quorum.too_few
        self._event("generation_began", generation=self.generation, previous=previous)
        if self.stream.members:
            seq = self.stream.control_record()
            for view in self.stream.members:
                view.generation_seq = seq
                self.metadata = peer_records.may_know(self.metadata, view.name, self.generation)
            self.actions.append(PublishGeneration(seq, self.generation, kept))
        self._end_hold()

    def _end_hold(self) -> None:
        """Let answers go, once whoever's word they rest on remembers that another is without (R7).

        A sync target that has a held write, but not the generation, could be overwritten by one that lacks the write.
        """
        unknowing = any(view.generation_seq and view.mode == "sync" for view in self.stream.members)
        self.stream.hold = self.stream.hold and (self._new_generation.needed or unknowing)

    def _check_deadlines(self, view: TargetView, now: float) -> None:
        if view.state == "Disconnected" or view.state == "Paused":
            return
        if now - view.heard > self._timeout:
            self._leave(view, "Disconnected", f"nothing heard for {self._timeout:g} s", now)
        elif view.stall.too_long(now) and (view.in_stream or view.state == "Connecting"):
            text = f"its store has stood still for more than {self.description.store_timeout:g} s; check its disk"
            self._evict(view, "Behind", "StoreStalled", text, now)
        elif view.stall.excused(now):
            return  # it confirms nothing, and cannot (R13)
        elif view.state == "Connecting" and now > view.deadline:
            self._evict(view, "Behind", "NoProbe", "the stream does not reach it; check the data port", now)
        elif view.in_stream and view.without_progress(self.stream.log.seq, now) > _STALL * self._timeout:
            self._evict(view, "Behind", "Stalled", "it confirms nothing; check its store", now)

    def _alive(self, view: TargetView, now: float) -> Alive:
        said = alive(view, self.session, self.description, self.stream.log, self.lag, self.wall, now, self.stalled)
        return msgspec.structs.replace(said, former=bool(self.metadata.former))
