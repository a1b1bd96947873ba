"""The source of a mirror: takes events and gives actions (sans-I/O). The states of its targets are in core/states.py.

Each question has a part of its own: how a target enters (``Entering``) and leaves (``Targets``), in which order writes
go out and when they are answered (``Stream``), which blocks are copied next (``ResyncQueue``), when a new generation is
begun (``NewGeneration``), whether enough copies confirm a write (``WriteQuorum``), what a failed flush means
(``StoreVerdict``), which nodes know the description (``KnownTerms``), what is on record (``SourceRecord``), how it ends
(``Ending``). The order of a single write is in ``WritePath``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.config.terms import required
from dkrepl.core.actions import PublishFlush, QuorumChanged, SourceAction
from dkrepl.core.election.quorum import begun
from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.outbox import Outbox
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
    Stalled,
    Trouble,
)
from dkrepl.core.source.awaited import Awaited
from dkrepl.core.source.backpressure import BackPressure
from dkrepl.core.source.deadlines import verdict_on
from dkrepl.core.source.ending import Ending
from dkrepl.core.source.entering import Entering
from dkrepl.core.source.heartbeat import alive, positions
from dkrepl.core.source.known_terms import KnownTerms
from dkrepl.core.source.lag import LagClock
from dkrepl.core.source.new_generation import NewGeneration
from dkrepl.core.source.record import Admission, Offer, SourceRecord
from dkrepl.core.source.resync_queue import ResyncQueue
from dkrepl.core.source.resyncs import Resyncs
from dkrepl.core.source.split_brain import OtherSource, found
from dkrepl.core.source.store_verdict import StoreVerdict
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.target_settings import TargetSettings
from dkrepl.core.source.target_view import TargetView
from dkrepl.core.source.targets import Targets
from dkrepl.core.source.write_quorum import WriteQuorum


class Source:
    """``identity()`` gives a new random identity (16 hex digits); ``wall`` is Unix time; ``now`` a monotonic clock.

    ``views``: every other node, as a target, by name; ``actions``: what is to be done, in this order.
    """

    def __init__(
        self,
        description: Description,
        node: str,
        metadata: NodeMetadata,
        bitmaps: Mapping[str, IntentBitmap],
        activity_log: ActivityLog,
        session: int,
        identity: Callable[[], str],
        *,
        wall: float = 0.0,
        limits: Limits = DEFAULT,
    ) -> None:
        self.description = description
        self.limits = limits
        self.node = node
        self.session = session
        self.activity_log = activity_log
        self._wall = wall  # of the newest tick; sent, and never reckoned with
        self._stalled = 0.0  # seconds for which the own store had been stalled at the newest tick
        self.other_sources: dict[str, OtherSource] = {}  # nodes that are source as well, by name
        self._out: Outbox[SourceAction] = Outbox()
        self.actions = self._out.actions
        self.record = SourceRecord(peer_records.all_may_know(begun(metadata, description)), self.actions)
        peers = description.peers(node)
        settings = [TargetSettings.of(description, peer, i, bitmaps[peer.name]) for i, peer in enumerate(peers)]
        self.views = {
            one.name: TargetView(one, store_timeout=description.store_timeout, rate=description.resync_rate)
            for one in settings
        }
        block_shift, groups = description.block.bit_length() - 1, -(-len(peers) // frames.SLOTS)
        self.stream = Stream(settings, block_shift, groups, limits=limits)
        self.queue = ResyncQueue(description, self.stream, activity_log, self.views, limits=limits)
        self.lag = LagClock(limits=limits)
        self.new_generation = NewGeneration(
            record=self.record, stream=self.stream, identity=identity, out=self._out, limits=limits
        )
        self._begin(metadata)
        self.quorum = WriteQuorum.of(description, metadata, self.metadata.former, self.views)
        self._targets = Targets(
            node=node,
            views=self.views,
            record=self.record,
            stream=self.stream,
            queue=self.queue,
            quorum=self.quorum,
            new_generation=self.new_generation,
            out=self._out,
            limits=limits,
        )
        self.known_terms = KnownTerms(self.record, self.quorum, self._targets.quorum_changed)
        self.known_terms.known_by()
        if self.quorum.changed():
            self._targets.quorum_changed()
        self.store_verdict = StoreVerdict(self.record, self._targets, activity_log)
        self.resyncs = Resyncs(
            description=description,
            targets=self._targets,
            stream=self.stream,
            queue=self.queue,
            record=self.record,
            new_generation=self.new_generation,
            known_terms=self.known_terms,
            in_sync=lambda view, now: self._out.send(view.name, self._alive(view, now)),  # as of when it is complete
            out=self._out,
            limits=limits,
        )
        self._entering = Entering(
            description=description,
            terms=required(description),
            session=session,
            record=self.record,
            targets=self._targets,
            admit=self.resyncs.begin,
            out=self._out,
            limits=limits,
        )
        self.awaited = Awaited(metadata, self.views.values(), limits=limits)
        self.stream.hold |= bool(self.awaited.names)
        self._backpressure = BackPressure(limits=limits)
        self.ending = Ending(
            node=node,
            peers=self.views,
            stream=self.stream,
            record=self.record,
            activity_log=activity_log,
            store_verdict=self.store_verdict,
            clean=lambda now: self.plan(now, everything=True),
            positions=self.send_positions,
            out=self._out,
            limits=limits,
        )
        self._extent_shift = description.extent.bit_length() - 1
        self._beat_at = self._positions_at = self._commit_retry_at = 0.0

    def _begin(self, metadata: NodeMetadata) -> None:
        for view in self.views.values():
            record = metadata.peers.get(view.name)
            if record is not None and record.full:
                view.bitmap.fill(1)  # at a start, not in the loop
            if record is not None and record.paused:
                view.machine.fire("paused")
                view.reason = "paused by the administrator"

    @property
    def metadata(self) -> NodeMetadata:
        """The newest record; it may be on its way to stable storage."""
        return self.record.metadata

    @property
    def generation(self) -> str:
        """The durable generation."""
        return self.new_generation.current

    # --- the data path ---------------------------------------------------------------------------------

    def admit(self, offset: int, length: int) -> bool:
        """Whether a change of ``length`` bytes at ``offset`` may be made now (R1, R7).

        If not, the caller keeps the request and asks again after the next commit; what it needs is noted.
        """
        first = offset >> self._extent_shift
        end = ((offset + length - 1) >> self._extent_shift) + 1
        active = self.activity_log.active
        if end - first == 1 and first in active and not self.new_generation.needed:
            active[first] = self.stream.log.seq + 1
            return True
        if self.quorum.lost:
            return False
        if self.new_generation.needed or not self.activity_log.covers(first, end):
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
        for member in self.stream.members:
            view = self.views[member.name]
            self._targets.evict(view, "SourceStoreError", "the source's store failed a write", now)

    def drop_overfull(self, now: float) -> None:
        """Take out of the stream each target whose window is full under ``on_full = "bitmap"`` (R5)."""
        for member in self.stream.overfull():
            text = "its window is full; it will catch up from the bitmap"
            self._targets.evict(self.views[member.name], "WindowFull", text, now)

    def store_synced(self, seq: int) -> None:
        """The local store is flushed: everything up to ``seq`` is durable here."""
        self.stream.local_durable = max(self.stream.local_durable, seq)

    def local_sync_failed(self, why: str, now: float) -> None:
        """The local store could not be flushed: see ``StoreVerdict``."""
        self.store_verdict.flush_failed(why, now)

    # --- the end ---------------------------------------------------------------------------------------

    def fail_waiting(self) -> None:
        """The device is going: what waits for more copies has waited long enough, and fails (R4)."""
        self.quorum.end()
        self._out.add(QuorumChanged())

    def last_flush_ended(self, seq: int, why: str | None, now: float) -> None:
        """The flush of the store up to ``seq``, for which ``Ending`` asked, has ended; ``why`` it failed, or None."""
        if why is None:
            self.store_synced(seq)
        else:
            self._out.report("store_failed", "error", reason=why)
            self.local_sync_failed(why, now)
        self.ending.flush_ended()

    # --- messages --------------------------------------------------------------------------------------

    def on_message(self, peer: str, message: AnyMessage, now: float) -> None:
        """Take a control message from ``peer``, whose name the transport has established."""
        if isinstance(message, Hello):
            if not self.ending.said_goodbye:
                self._entering.on_hello(peer, message, now)
            return
        view = self.views.get(peer)
        if view is None:
            return
        if isinstance(message, Stalled):
            self._on_stalled(view, message, now)
            return
        view.heard = now
        match message:
            case Bye():
                self.lost(peer, "it was stopped", now)
            case Alive():
                self._on_alive(view, message, now)
            case BitmapPart():
                self._entering.on_bitmap_part(view, message, now)
            case Ready():
                self._entering.on_ready(view, message, now)
            case Trouble() if message.epoch == view.epoch and (view.in_stream or view.state == "Connecting"):
                self._out.report("target_trouble", "warning", target=peer, code=message.code, reason=message.text)
                if message.code == "StoreError":
                    self._targets.store_failed(view)
                self._targets.evict(view, message.code, message.text, now)
            case _:
                return

    def _on_alive(self, view: TargetView, message: Alive, now: float) -> None:
        self._note_stall(view, message.stalled, now)
        here = view.in_stream or view.state == "Connecting"
        if message.epoch and (message.epoch != view.epoch or not here):
            self._out.send(view.name, Evict(message.epoch, "NotJoined", "the source does not know this epoch"))

    def _on_stalled(self, view: TargetView, message: Stalled, now: float) -> None:
        """The target's loop waits for its store: that counts as a heartbeat, until ``store_timeout`` (R13)."""
        if view.state != "Disconnected":
            self._note_stall(view, message.seconds, now)
            if not view.stall.too_long(now):
                view.heard = now

    def _note_stall(self, view: TargetView, seconds: float, now: float) -> None:
        if view.state != "Disconnected" and (event := view.stall.note(seconds, now)) is not None:
            level = "warning" if event == "store_stalled" else "info"
            if view.member is not None:
                view.member.excuse(now)
            self._out.report(event, level, node=view.name, seconds=round(seconds, 1) or None)

    def on_ack(self, peer: str, ack: frames.Ack, now: float) -> None:
        """Take an ack. One that cannot be true evicts the target."""
        view = self.views.get(peer)
        member = view.member if view is not None else None
        if view is None or member is None or ack.epoch != view.epoch or ack.session != self.session:
            return
        view.heard = now
        resync = member.resync
        sent = resync.rseq if resync else ack.resync_durable
        seq = self.stream.log.seq
        if not (member.durable <= ack.durable <= ack.applied <= seq and ack.applied >= member.applied) or not (
            ack.resync_durable <= ack.resync_applied <= sent
        ):
            text = "it confirmed what was never sent"
            self._out.report("target_trouble", "error", target=peer, code="BadAck", reason=text)
            self._targets.evict(view, "BadAck", "an ack names writes that were never sent", now)
            return
        if resync is not None and resync.lost(ack.applied, ack.resync_applied):
            self._targets.evict(view, "Gap", "a message of the resync was lost on its way", now)
            return
        oldest = self.stream.confirmed
        member.advance(ack.applied, ack.durable, self.stream.log, now)
        if resync is not None:
            self.resyncs.acknowledged(view, member, resync, ack.resync_durable, now)
        if member.generation_seq and ack.durable >= member.generation_seq:
            self.new_generation.acknowledged(member)
        if self.stream.confirmed > oldest:
            self.stream.log.trim(self.stream.confirmed)

    def lost(self, peer: str, why: str, now: float) -> None:
        """The transport, or the peer itself, says that ``peer`` is gone."""
        if (view := self.views.get(peer)) is not None:
            self._targets.lost(view, why, now)

    def on_answers(self, answers: Iterable[Answer]) -> None:
        """Take what the peers that do not follow say of themselves: one may be source too (R7)."""
        others = found(self.metadata, self.views, answers)
        for name, other in others.items():
            if name not in self.other_sources or self.other_sources[name].kind != other.kind:
                if other.kind == "SplitBrain":
                    self._entering.note_split_brain(name)
                event = "split_brain" if other.kind == "SplitBrain" else "two_sources"
                self._out.report(event, "error", peer=name, reason=other.text)
        self.other_sources = others

    # --- the administrator -----------------------------------------------------------------------------

    def pause(self, name: str, now: float) -> int:
        """Keep a target out of the stream until ``resume``; remembered across restarts. Returns the commit."""
        return self._targets.pause(name, now)

    def resume(self, name: str, now: float) -> int:
        """Let a paused target join again. Returns the commit."""
        return self._targets.resume(name, now)

    def resync(self, name: str, full: bool, now: float) -> int | None:
        """Make a target join anew now; with ``full`` every block is copied, even if it comes back much later (R15).

        Returns the commit, None if nothing had to be recorded.
        """
        return self._targets.resync(name, full, now)

    def clear_store_failed(self) -> int:
        """The administrator says that the store is sound: what it holds now is copied. Returns the commit."""
        return self.store_verdict.clear()

    def clear_forced(self) -> int:
        """The administrator has looked at what the forced promotion lost. Returns the commit."""
        return self.record.set(msgspec.structs.replace(self.metadata, forced=(), forced_at=0.0))

    # --- bitmaps that are filled ---------------------------------------------------------------------------

    @property
    def filling(self) -> bool:
        """Whether ``fill_step`` has more to do."""
        return self._entering.filling

    def fill_step(self) -> None:
        """Go on filling the bitmaps of which every block is to be copied; to be called in each round (R13)."""
        self._entering.fill_step()

    # --- time, commits ---------------------------------------------------------------------------------

    def tick(self, now: float, *, wall: float, stalled: float) -> None:
        """Let time pass: heartbeats, deadlines, probes, ageing of extents, commits that are due.

        ``wall``: Unix time; ``stalled``: seconds for which the own store has stood still.
        """
        self._wall, self._stalled = wall, stalled
        self.lag.sample(self.stream.log.seq, now)
        for view in self.views.values():
            self._check_deadlines(view, now)
            self._entering.probe(view, now)
        if now >= self._beat_at:
            self._beat_at = now + self.description.peer_timeout / 5
            for view in self.views.values():
                if view.member is not None:
                    view.member.positions_sent = {}  # sent again: a target that is recording something ignores it
                if view.state != "Disconnected":
                    self._out.send(view.name, self._alive(view, now))
        if now >= self._positions_at:
            self._positions_at = now + self.limits.positions_seconds
            self.send_positions()
        self.plan(now)

    def send_positions(self) -> None:
        """Tell each target that is in sync how far the others are (R8: what survivors would have to copy)."""
        for name, message in positions(self.stream.members, self.generation):
            self._out.send(name, message)

    def plan(self, now: float, everything: bool = False) -> None:
        """Begin the commits that are needed: a verdict, a generation, active extents.

        ``everything``: the last ones; from then on only the ending itself records anything.
        """
        if now < self._commit_retry_at or (self.ending.leaving and not everything):
            return
        self.store_verdict.record_again()
        new = self.new_generation
        if self.awaited.over(self.views, now):
            new.end_hold()
        may_begin = not new.on_its_way and not self.quorum.lost and not self.awaited.names
        if new.needed and may_begin and (self.activity_log.wanted or self.stream.waiting):
            new.begin(self._wall)
        planned = self.activity_log.plan(self.stream.confirmed, now, everything)
        if planned is not None:
            active, leaving = planned
            for view in self.views.values():
                view.bitmap.seal(leaving)
            durable, serial = bool(leaving), self.activity_log.serial
            self.record.commit("activity", sync_store=durable, sync_bitmaps=durable, active=(serial, active))
        if self.activity_log.short:
            self._make_room(now)
        else:
            self._backpressure.enough()

    def _make_room(self, now: float) -> None:
        """Writes wait for room in the activity log: have the targets flush what keeps extents active (R5)."""
        for member in self._backpressure.delayers(self.stream.members, now):
            text = "it keeps the activity log full; it will catch up from the bitmap"
            self._targets.evict(self.views[member.name], "ActivityLogFull", text, now)
        if self._backpressure.must_ask(self.stream.members):
            seq = self.stream.control_record()
            self._out.add(PublishFlush(seq))
            self._backpressure.asked(seq, now)

    def committed(self, number: int, now: float) -> None:
        """A commit is durable. Raises ``LocalProtocolError`` if none of that number is on its way."""
        purpose = self.record.committed(number)
        match purpose:
            case "activity":
                self.activity_log.committed(self.stream.log.seq)
            case "generation":
                self.new_generation.durable(self.quorum.lost)
            case Offer() | Admission():
                self._entering.recorded(purpose, now)
            case "facts" | "store verdict":
                return
            case _:
                assert_never(purpose)

    def commit_failed(self, number: int, why: str, now: float) -> bool:
        """A commit could not be made durable; return whether writes were waiting for it, which must fail now.

        Raises ``LocalProtocolError`` if none of that number is on its way.
        """
        purpose = self.record.failed(number, why)
        self._commit_retry_at = now + self.limits.commit_retry_seconds
        self._out.report("commit_failed", "error", reason=why)
        match purpose:
            case "activity":
                self.activity_log.failed()
                return True
            case "generation":
                return True
            case Offer() | Admission():
                self._entering.not_recorded(purpose, why, now)
            case "facts" | "store verdict":
                # The application hears of a failed flush all the same; ``plan`` records it again (R15).
                return False
            case _:
                assert_never(purpose)
        return False

    def _check_deadlines(self, view: TargetView, now: float) -> None:
        found = verdict_on(view, self.description, self.stream.log.seq, self.limits, now)
        if found is None:
            return
        if found.code:
            self._targets.evict(view, found.code, found.text, now)
        else:
            self._targets.lost(view, found.text, now)

    def _alive(self, view: TargetView, now: float) -> Alive:
        log, clocks = self.stream.log, {"wall": self._wall, "now": now, "stalled": self._stalled}
        said = alive(view, self.session, self.description, log, self.lag, **clocks)
        return msgspec.structs.replace(said, former=bool(self.metadata.former))
