"""The source of a mirror: takes events and gives actions (sans-I/O). The states of its targets are in core/states.py.

Each question has a part of its own (docs/internals/architecture.md lists them), and callers ask that part. What is here
concerns several of them. The order of a single write is in ``WritePath``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.config.terms import required
from dkrepl.core.actions import QuorumChanged, SourceAction
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
from dkrepl.core.source.acks import Acks
from dkrepl.core.source.awaited import Awaited
from dkrepl.core.source.commits import Commits
from dkrepl.core.source.deadlines import verdict_on
from dkrepl.core.source.ending import Ending
from dkrepl.core.source.entering import Entering
from dkrepl.core.source.heartbeat import Heartbeat
from dkrepl.core.source.known_terms import KnownTerms
from dkrepl.core.source.lag import LagClock
from dkrepl.core.source.new_generation import NewGeneration
from dkrepl.core.source.record import SourceRecord
from dkrepl.core.source.resync_lifecycle import ResyncLifecycle
from dkrepl.core.source.resync_order import ResyncOrder
from dkrepl.core.source.split_brain import OtherSource, found
from dkrepl.core.source.store_verdict import StoreVerdict
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.target_settings import TargetSettings
from dkrepl.core.source.target_view import TargetView
from dkrepl.core.source.targets import Targets
from dkrepl.core.source.write_admission import WriteAdmission
from dkrepl.core.source.write_quorum import WriteQuorum


class Source:
    """A node as source: makes its parts, and hands them the events that concern more than one.

    ``identity()`` gives a new random identity (16 hex digits); ``wall`` is Unix time; ``now`` a monotonic clock.

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
        self.resync_order = ResyncOrder(description, self.stream, activity_log, self.views, limits=limits)
        self.lag = LagClock(limits=limits)
        self.new_generation = NewGeneration(
            record=self.record, stream=self.stream, identity=identity, out=self._out, limits=limits
        )
        self._begin(metadata)
        self.quorum = WriteQuorum.of(description, metadata, self.metadata.former, self.views)
        self.targets = Targets(
            node=node,
            views=self.views,
            record=self.record,
            stream=self.stream,
            resync_order=self.resync_order,
            quorum=self.quorum,
            new_generation=self.new_generation,
            out=self._out,
            limits=limits,
        )
        self.known_terms = KnownTerms(self.record, self.quorum, self.targets.quorum_changed)
        self.known_terms.known_by()
        if self.quorum.changed():
            self.targets.quorum_changed()
        self.store_verdict = StoreVerdict(self.record, self.targets, activity_log)
        self.heartbeat = Heartbeat(
            description=description,
            session=session,
            record=self.record,
            targets=self.targets,
            stream=self.stream,
            new_generation=self.new_generation,
            lag=self.lag,
            out=self._out,
            wall=wall,
            limits=limits,
        )
        self.resyncs = ResyncLifecycle(
            description=description,
            targets=self.targets,
            stream=self.stream,
            resync_order=self.resync_order,
            record=self.record,
            new_generation=self.new_generation,
            known_terms=self.known_terms,
            in_sync=self.heartbeat.send,
            out=self._out,
            limits=limits,
        )
        self.entering = Entering(
            description=description,
            terms=required(description),
            session=session,
            record=self.record,
            targets=self.targets,
            admit=self.resyncs.begin,
            out=self._out,
            limits=limits,
        )
        self.write_admission = WriteAdmission(
            description.extent,
            activity_log=activity_log,
            stream=self.stream,
            quorum=self.quorum,
            new_generation=self.new_generation,
        )
        self.acks = Acks(
            session=session,
            targets=self.targets,
            stream=self.stream,
            resyncs=self.resyncs,
            new_generation=self.new_generation,
            out=self._out,
        )
        self.awaited = Awaited(metadata, self.views.values(), limits=limits)
        if self.awaited.names:
            self.new_generation.require()
        self.commits = Commits(
            record=self.record,
            targets=self.targets,
            stream=self.stream,
            activity_log=activity_log,
            quorum=self.quorum,
            awaited=self.awaited,
            new_generation=self.new_generation,
            entering=self.entering,
            store_verdict=self.store_verdict,
            leaving=lambda: self.ending.leaving,
            out=self._out,
            wall=wall,
            limits=limits,
        )
        self.ending = Ending(
            node=node,
            peers=self.views,
            stream=self.stream,
            record=self.record,
            activity_log=activity_log,
            store_verdict=self.store_verdict,
            clean=lambda now: self.commits.plan(now, everything=True),
            positions=self.heartbeat.send_positions,
            out=self._out,
            limits=limits,
        )

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

    def local_error(self, seq: int, now: float) -> None:
        """The write ``seq`` failed at the local store: what its blocks hold is unknown, so they must be copied."""
        self.stream.log.forget(seq)
        for member in self.stream.members:
            view = self.views[member.name]
            self.targets.evict(view, "SourceStoreError", "the source's store failed a write", now)

    def drop_overfull(self, now: float) -> None:
        """Take out of the stream each target whose window is full under ``on_full = "bitmap"`` (R5)."""
        for member in self.stream.overfull():
            text = "its window is full; it will catch up from the bitmap"
            self.targets.evict(self.views[member.name], "WindowFull", text, now)

    # --- the end ---------------------------------------------------------------------------------------

    def fail_waiting(self) -> None:
        """The device is going: what waits for more copies has waited long enough, and fails (R4)."""
        self.quorum.end()
        self._out.add(QuorumChanged())

    def last_flush_ended(self, seq: int, why: str | None, now: float) -> None:
        """The flush of the store up to ``seq``, for which ``Ending`` asked, has ended; ``why`` it failed, or None."""
        if why is None:
            self.stream.store_synced(seq)
        else:
            self._out.report("store_failed", "error", reason=why)
            self.store_verdict.flush_failed(why, now)
        self.ending.flush_ended()

    # --- messages --------------------------------------------------------------------------------------

    def on_message(self, peer: str, message: AnyMessage, now: float) -> None:
        """Take a control message from ``peer``, whose name the transport has established."""
        if isinstance(message, Hello):
            if not self.ending.said_goodbye:
                self.entering.on_hello(peer, message, now)
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
                self.disconnected(peer, "it was stopped", now)
            case Alive():
                self._on_alive(view, message, now)
            case BitmapPart():
                self.entering.on_bitmap_part(view, message, now)
            case Ready():
                self.entering.on_ready(view, message, now)
            case Trouble() if message.epoch == view.epoch and (view.in_stream or view.state == "Connecting"):
                self._out.report("target_trouble", "warning", target=peer, code=message.code, reason=message.text)
                if message.code == "StoreError":
                    self.targets.store_failed(view)
                self.targets.evict(view, message.code, message.text, now)
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

    def disconnected(self, peer: str, why: str, now: float) -> None:
        """The transport, or the peer itself, says that ``peer`` is gone."""
        if (view := self.views.get(peer)) is not None:
            self.targets.disconnected(view, why, now)

    def on_answers(self, answers: Iterable[Answer]) -> None:
        """Take what the peers that do not follow say of themselves: one may be source too (R7)."""
        others = found(self.metadata, self.views, answers)
        for name, other in others.items():
            if name not in self.other_sources or self.other_sources[name].kind != other.kind:
                if other.kind == "SplitBrain":
                    self.entering.note_split_brain(name)
                event = "split_brain" if other.kind == "SplitBrain" else "two_sources"
                self._out.report(event, "error", peer=name, reason=other.text)
        self.other_sources = others

    # --- the administrator -----------------------------------------------------------------------------

    def clear_forced(self) -> int:
        """The administrator has looked at what the forced promotion lost. Returns the commit."""
        return self.record.set(msgspec.structs.replace(self.metadata, forced=(), forced_at=0.0))

    # --- time ------------------------------------------------------------------------------------------

    def tick(self, now: float, *, wall: float, stalled: float) -> None:
        """Let time pass: heartbeats, deadlines, probes, ageing of extents, commits that are due.

        ``wall``: Unix time; ``stalled``: seconds for which the own store has stood still.
        """
        self.lag.sample(self.stream.log.seq, now)
        for view in self.views.values():
            self._check_deadlines(view, now)
            self.entering.probe(view, now)
        self.heartbeat.tick(now, wall=wall, stalled=stalled)
        self.commits.tick(now, wall)

    def _check_deadlines(self, view: TargetView, now: float) -> None:
        found = verdict_on(view, self.description, self.stream.log.seq, self.limits, now)
        if found is None:
            return
        if found.code:
            self.targets.evict(view, found.code, found.text, now)
        else:
            self.targets.disconnected(view, found.text, now)
