"""The targets of a source: how their states change, how they leave the stream, and what that means for writes."""

from __future__ import annotations

from collections.abc import Mapping

from dkrepl.config.limits import Limits
from dkrepl.core.actions import QuorumChanged, SourceAction
from dkrepl.core.lineage import peer_records
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol.messages import Evict, Refuse
from dkrepl.core.source.new_generation import NewGeneration
from dkrepl.core.source.record import SourceRecord
from dkrepl.core.source.resync_order import ResyncOrder
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.target_view import TargetView
from dkrepl.core.source.write_quorum import WriteQuorum
from dkrepl.core.states import EventSeenBySource


class Targets:
    """Changes the states of the targets, and takes them out of the stream.

    ``views``: every other node, as a target, by name.
    """

    def __init__(
        self,
        *,
        node: str,
        views: Mapping[str, TargetView],
        record: SourceRecord,
        stream: Stream,
        resync_order: ResyncOrder,
        quorum: WriteQuorum,
        new_generation: NewGeneration,
        out: Outbox[SourceAction],
        limits: Limits,
    ) -> None:
        self.views = views
        self._node = node
        self._record = record
        self._stream = stream
        self._resync_order = resync_order
        self._quorum = quorum
        self._new_generation = new_generation
        self._out = out
        self._limits = limits

    # --- states ----------------------------------------------------------------------------------------

    def fire(self, view: TargetView, event: EventSeenBySource, reason: str | None) -> None:
        """Change the state of a target as the table says (core/states.py)."""
        before = view.machine.fire(event)
        view.reason = reason
        after = view.state
        if after != before:
            level = "info" if after in ("Connecting", "Resyncing", "InSync", "Paused") else "warning"
            self._out.report("target_state", level, target=view.name, before=before, after=after, reason=reason)
        if self._quorum.changed():
            if self._quorum.lost:
                failed = peer_records.record_of(self._record.metadata, view.name).unproven
                self._quorum.note_flushed(self._stream.log.newest_change, None if failed else view)
            self.quorum_changed()

    def quorum_changed(self) -> None:
        """R4: without a quorum nothing begins or completes; what goes on afterwards begins with a generation."""
        quorum = self._quorum
        if quorum.lost:
            self._new_generation.require()
            outcome = "writes fail" if quorum.fails else "writes wait"
            self._out.report("quorum_lost", "warning", available=quorum.available, min=quorum.least, outcome=outcome)
        else:
            self._out.report("quorum_regained", available=quorum.available, min=quorum.least)
        self._out.add(QuorumChanged())

    # --- leaving ---------------------------------------------------------------------------------------

    def copying(self, view: TargetView) -> None:
        """Blocks are about to be copied to a target: until all of them are, it calls its copy Inconsistent (R4, R6)."""
        self._quorum.doubt(view.name)

    def store_failed(self, view: TargetView) -> None:
        """The store of a target has failed: it calls its copy Inconsistent, so it counts no more, restart or not (R4).

        Nor does a flush go by what it had on stable storage before. To be called before it is evicted.
        """
        metadata = self._record.metadata
        if not peer_records.record_of(metadata, view.name).unproven:
            self._record.set(peer_records.remembered(metadata, view.name, unproven=True))
        self._quorum.doubt(view.name)

    def evict(self, view: TargetView, code: str, text: str, now: float) -> None:
        """Put ``view`` out of the stream and tell it; it may come back after a pause that grows (R5)."""
        first, last = self._limits.rejoin_first_seconds, self._limits.rejoin_last_seconds
        since = view.member.in_sync_at if view.member is not None else None
        lasted = now - since if since is not None else 0.0
        view.retry = first if lasted > last else min(last, max(first, view.retry * 2))
        self._out.send(view.name, Evict(view.epoch, code, text[:1000], view.retry))
        self.leave(view, "evicted", text, now)

    def refuse(self, view: TargetView, code: str, text: str, now: float) -> None:
        """Do not let a target join, and tell it why."""
        self._out.send(view.name, Refuse(code, text[:1000], self._node))
        view.heard = now
        if view.state == "Refused" and view.reason == text:
            return
        self.leave(view, "hello refused", text, now)
        self._out.report("target_refused", "warning", target=view.name, code=code, reason=text)

    def disconnected(self, view: TargetView, why: str, now: float) -> None:
        """A target is gone, unless it is known to be away already."""
        if view.state not in ("Disconnected", "Paused"):
            self.leave(view, "connection lost", why, now)

    def leave(self, view: TargetView, event: EventSeenBySource, reason: str | None, now: float) -> None:
        """A target leaves the stream, if it is in it, or the way into it."""
        member, view.entry = view.member, None
        self.fire(view, event, reason)
        if view.state == "Disconnected":
            view.stall.forget()
        if member is None:
            return
        if member.resync is not None:
            for run in member.resync.on_way:
                self._resync_order.unpin(run.first, run.end)
        view.dropped_at = now if view.dropped_at is None else view.dropped_at
        view.member = None
        self._stream.leave(member)
        self._new_generation.require()  # R7: this target does not know what is written from now on

    # --- the administrator -----------------------------------------------------------------------------

    def pause(self, name: str, now: float) -> int:
        """Keep a target out of the stream until ``resume``; remembered across restarts. Returns the commit."""
        view = self.views[name]
        number = self._record.set(peer_records.remembered(self._record.metadata, name, paused=True))
        if view.state != "Paused":
            self._out.send(name, Evict(view.epoch, "Paused", "paused at the source", 1.0))
            self.leave(view, "paused", "paused by the administrator", now)
        return number

    def resume(self, name: str, now: float) -> int:
        """Let a paused target join again. Returns the commit."""
        view = self.views[name]
        number = self._record.set(peer_records.remembered(self._record.metadata, name, paused=False))
        if view.state == "Paused":
            self.leave(view, "resumed", "resumed; waiting for it", now)
        return number

    def resync(self, name: str, full: bool, now: float) -> int | None:
        """Make a target join anew now; with ``full`` every block is copied, even if it comes back much later (R15).

        Returns the commit, None if nothing had to be recorded.
        """
        view, number = self.views[name], None
        if full:
            view.bitmap.begin_fill(1)
            number = self._record.set(peer_records.remembered(self._record.metadata, name, full=True))
        view.retry = 0.0
        if view.in_stream or view.state == "Connecting":
            self.evict(view, "Resync", "a resync was asked for", now)
        elif view.state == "Behind":
            # It need not wait any longer.
            self._out.send(name, Evict(view.epoch, "Resync", "a resync was asked for", 0.0))
        return number
