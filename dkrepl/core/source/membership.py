"""The targets of a source: their states, how they leave the stream, and what is said and remembered of them.

``Source`` adds to it what happens: requests, messages, time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as replaced

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.terms import advisory, digest, required, sync_nodes
from dkrepl.core.actions import Action, Commit, Event, QuorumChanged, Send
from dkrepl.core.election.quorum import begun, still_former
from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.messages import AnyMessage, Evict, Refuse
from dkrepl.core.source.awaited import Returning
from dkrepl.core.source.new_generation import NewGeneration
from dkrepl.core.source.resync import RateLimit
from dkrepl.core.source.resync_queue import ResyncFeed
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.target_view import TargetView
from dkrepl.core.source.write_quorum import WriteQuorum
from dkrepl.core.states import SEEN_BY_SOURCE, TargetState, check_transition

RETRY_LAST = 30.0  # seconds; the longest pause before a target that keeps falling behind may join again


class Links:
    """``views``: every other node, as a target; ``actions``: what is to be done, in this order."""

    def __init__(
        self,
        description: Description,
        node: str,
        metadata: NodeMetadata,
        bitmaps: Mapping[str, IntentBitmap],
        intent: ActivityLog,
    ) -> None:
        self.description = description
        self.node = node
        self.metadata = peer_records.all_may_know(begun(metadata, description))
        self.terms = required(description)
        self.advisory = digest(advisory(description))
        self.activity_log = intent
        self.actions: list[Action] = []
        self._shift = description.block.bit_length() - 1
        self._new_generation = NewGeneration()
        self._commits = 0
        peers = description.peers(node)
        self.views = {
            peer.name: TargetView(
                peer.name,
                peer.mode,
                peer.on_full,
                peer.async_limit,
                description.window,
                i,
                frames.SLOTS,
                bitmaps[peer.name],
                description.store_timeout,
            )
            for i, peer in enumerate(peers)
        }
        for view in self.views.values():
            view.rate_limit = RateLimit(description.resync_rate)
            record = metadata.peers.get(view.name)
            if record is not None and record.full:
                view.bitmap.fill(1)  # at a start, not in the loop
            if record is not None and record.paused:
                view.state, view.reason = "Paused", "paused by the administrator"
        self.stream = Stream(tuple(self.views.values()), self._shift, -(-len(peers) // frames.SLOTS))
        self.feed = ResyncFeed(description, self.stream, intent)
        refuse = description.on_no_quorum == "error"
        # R4: an unproven target does not count. If its resync was cut short it calls its copy Inconsistent, even if
        # nothing is left to copy; a former source may hold answered writes that are not on its stable storage.
        records = {name: peer_records.record_of(metadata, name) for name in self.views}
        complete = {
            name
            for name, record in records.items()
            if not record.unproven and peer_records.has_all(record, metadata.generation)
        }
        self.quorum = WriteQuorum(
            description.min_copies,
            refuse,
            self.views.values(),
            self.metadata.former,
            node,
            complete,
            source_is_sync=description.node(node).mode == "sync",
        )
        self._knowing: set[str] = set()  # who has recorded the present terms, or is declared fenced
        self.knows()
        if self.quorum.changed():
            self._quorum_changed()
        self.returning = Returning(metadata, self.views.values())
        self.stream.hold |= bool(self.returning.names)

    def _evict(self, view: TargetView, state: TargetState, code: str, text: str, now: float) -> None:
        """Put ``view`` out of the stream and tell it; it may come back after a pause that grows (R5)."""
        lasted = now - view.in_sync_at if view.in_sync_at is not None else 0.0
        view.retry = 0.5 if lasted > RETRY_LAST else min(RETRY_LAST, max(0.5, view.retry * 2))
        self._send(view.name, Evict(view.epoch, code, text[:1000], view.retry))
        self._leave(view, state, text, now)

    def _leave(self, view: TargetView, state: TargetState, reason: str | None, now: float) -> None:
        if state == "Disconnected":
            view.stall.forget()
        if view.in_stream:
            if view.resync is not None:
                for run in view.resync.on_way:
                    self.feed.unpin(run.first, run.end)
            view.dropped_at = now if view.dropped_at is None else view.dropped_at
            view.in_sync_at = None
            self._state(view, state, reason)
            self.stream.leave(view)
            # R7: from the next answer on, the data has a past that this target does not know.
            self._new_generation.needed = True
            self.stream.hold = True
        else:
            self._state(view, state, reason)

    def _refuse(self, peer: str, view: TargetView | None, code: str, text: str, now: float) -> None:
        self._send(peer, Refuse(code, text[:1000], self.node))
        if view is not None:
            view.heard = now
            if view.state == "Refused" and view.reason == text:
                return
            self._leave(view, "Refused", text, now)
        self._event("target_refused", "warning", target=peer, code=code, reason=text)

    def pause(self, name: str, now: float) -> None:
        """Keep a target out of the stream until ``resume``; remembered across restarts."""
        view = self.views[name]
        self.metadata = peer_records.remembered(self.metadata, view.name, paused=True)
        self._commit(Commit(0, metadata=self.metadata))
        if view.state != "Paused":
            self._send(name, Evict(view.epoch, "Paused", "paused at the source", 1.0))
            self._leave(view, "Paused", "paused by the administrator", now)

    def resume(self, name: str, now: float) -> None:
        """Let a paused target join again."""
        view = self.views[name]
        self.metadata = peer_records.remembered(self.metadata, view.name, paused=False)
        self._commit(Commit(0, metadata=self.metadata))
        if view.state == "Paused":
            self._leave(view, "Disconnected", "resumed; waiting for it", now)

    def resync(self, name: str, full: bool, now: float) -> None:
        """Make a target join anew now; with ``full`` every block is copied, even if it comes back much later (R15)."""
        view = self.views[name]
        if full:
            view.bitmap.begin_fill(1)
            self.metadata = peer_records.remembered(self.metadata, name, full=True)
            self._commit(Commit(0, metadata=self.metadata))
        view.retry = 0.0
        if view.in_stream or view.state == "Connecting":
            self._evict(view, "Behind", "Resync", "a resync was asked for", now)
        elif view.state == "Behind":
            self._send(name, Evict(view.epoch, "Resync", "a resync was asked for", 0.0))  # it need not wait any longer

    def not_knowing(self, *fenced: str) -> list[str]:
        """Return the nodes of former terms that may not know the present ones; none if those that do are enough (R14).

        ``fenced``: nodes to be counted as knowing them.
        """
        known = {self.node, *self._knowing, *fenced}
        return sorted({n for terms in still_former(self.metadata, known) for n in sync_nodes(terms) if n not in known})

    def knows(self, *names: str) -> None:
        """Note that the nodes ``names`` have recorded the present description, or are declared fenced (R14)."""
        self._knowing.update(names)
        former = still_former(self.metadata, self._knowing)
        if former != self.metadata.former:
            self.metadata = msgspec.structs.replace(self.metadata, former=former)
            self._commit(Commit(0, metadata=self.metadata))
            self.quorum.must_satisfy(former)
            if self.quorum.changed():
                self._quorum_changed()

    def _state(self, view: TargetView, state: TargetState, reason: str | None) -> None:
        check_transition(SEEN_BY_SOURCE, view.name, view.state, state)
        if state != view.state:
            level = "info" if state in ("Connecting", "Resyncing", "InSync", "Paused") else "warning"
            self._event("target_state", level, target=view.name, before=view.state, after=state, reason=reason)
        view.state, view.reason = state, reason
        if self.quorum.changed():
            if self.quorum.too_few:
                self.quorum.note_flushed(self.stream.log.newest_change, view)
            self._quorum_changed()

    def _quorum_changed(self) -> None:
        """R4: with too few copies nothing is begun or answered; what goes on afterwards begins with a generation."""
        copies = self.quorum
        if copies.too_few:
            self._new_generation.needed = self.stream.hold = True
            outcome = "writes fail" if copies.refuse else "writes wait"
            self._event("quorum_lost", "warning", confirmable=copies.confirmable, min=copies.least, outcome=outcome)
        else:
            self._event("quorum_regained", confirmable=copies.confirmable, min=copies.least)
        self.actions.append(QuorumChanged())

    def _send(self, peer: str, message: AnyMessage) -> None:
        self.actions.append(Send(peer, message))

    def _event(self, name: str, level: str = "info", **fields: object) -> None:
        self.actions.append(Event(name, level, fields))

    def _commit(self, commit: Commit) -> int:
        self._commits += 1
        self.actions.append(replaced(commit, number=self._commits))
        return self._commits
